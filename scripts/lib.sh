# Shared by the scripts here; sourced, not run.
# shellcheck shell=bash
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=${SESSIONS_VENV:-$root/.venv} # another one for what must not get into it, as benchmark.sh does
: "${HOME:?HOME must be set: the tools are kept below it}"

# What each step needs from Debian. A package is only installed if it is not there yet.
packages_venv=(python3-venv)
packages_tools=(build-essential pkg-config libkrb5-dev libsecret-1-dev ca-certificates)
packages_demo=(tigervnc-standalone-server tigervnc-tools openbox xterm dbus x11-xserver-utils
  fonts-dejavu-core)
packages_benchmark=(nginx wrk gcc libc6-dev chromium socat)
packages_test=(openssl chromium xdotool imagemagick iproute2 sudo procps nginx xpra xvfb python3-pil jwm
  openssh-client openssh-server fish tcsh util-linux environment-modules r-base-core r-cran-shiny
  slurmctld slurmd slurm-client munge slurmdbd slurm-wlm-mysql-plugin mariadb-server
  libslurm-perl libslurmdb-perl libswitch-perl gridengine-master gridengine-exec gridengine-client)

node_version=24.19.0
tools_layout=1 # one more whenever setup-tools.sh makes the folder in another way

say() { printf '%s\n' "$*" >&2; }
die() {
  say "error: $*"
  exit 1
}

# The folder of the tools for exactly these versions, whichever clone asks for them.
tools_dir() {
  local key
  key=$({
    cat "$root"/scripts/tools/package{,-lock}.json
    printf '%s %s %s\n' "$tools_layout" "$node_version" "$(uname -sm)"
  } | sha256sum | cut -c1-16)
  printf '%s\n' "${XDG_CACHE_HOME:-$HOME/.cache}/jupyter-sessions-tools/$key"
}

# Puts the virtual environment, and with it the tools, on PATH for what runs afterwards.
use_venv() {
  export VIRTUAL_ENV=$venv PATH="$venv/bin:$PATH"
}
