# Answers with what it was given: its environment, and what inputs.sh says.
python3 "${PW_PARENT_JOB_DIR}/inputs/serve.py" "${service_port}"
