# Runs, and leaves it to others to say so in service.json.
echo 'echo cancelled >> "$service_record"' > cancel.sh
sed -i 's/.*JOB_STATUS.*/    "JOB_STATUS": "Installing packages",/' service.json
python3 -m http.server "${service_port}" --bind 127.0.0.1 &
sleep inf
