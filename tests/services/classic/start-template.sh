# The older form: placeholders that the platform fills in, and a notification.
servicePort=__servicePort__
job_number=__job_number__

cat > service-kill-${job_number}.sh <<HERE
echo killed ${job_number} >> ${service_record}
HERE

if [[ ${service_secure} == "Yes" ]]; then
    tls="${service_name}/serve.py ${servicePort} cert.pem"
    openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=somebody -keyout key.pem -out cert.pem -days 1
    cat key.pem >> cert.pem
    sed -i 's|.*"URL".*|    "URL": "/sme",|' service.json
else
    tls="${service_name}/serve.py ${servicePort}"
fi

# Notify platform that service is ready
${sshusercontainer} ${pw_job_dir}/utils/notify.sh Running
python3 ${tls}
