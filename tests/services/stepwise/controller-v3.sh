echo "preparing ${service_record}"
while [[ -n "${service_wait}" && ! -e "${service_wait}" ]]; do sleep 0.1; done
if [[ "${service_trouble}" == "true" ]]; then
    displayErrorMessage "The license server \"lic1\" is full: $(echo 7) of 7"
fi
