# Runs first, where the session starts: see to it that what the service needs is there.
set -o pipefail

if ! command -v python3 > /dev/null; then
    displayErrorMessage "python3 is not installed on $(hostname)"
fi
echo "Prepared in ${PW_PARENT_JOB_DIR}"
