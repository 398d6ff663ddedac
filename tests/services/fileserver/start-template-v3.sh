# Starts the service at ${service_port}. Inputs: fs_dir, the folder that is served.
serve_dir="${fs_dir:-${HOME}}"
echo "Serving ${serve_dir} at port ${service_port}"

echo '#!/bin/bash' > cancel.sh
chmod +x cancel.sh

python3 -m http.server "${service_port}" --bind 127.0.0.1 --directory "${serve_dir}" &
echo "kill $!" >> cancel.sh
echo "echo cancelled > '${serve_dir}/cancelled'" >> cancel.sh
sleep inf
