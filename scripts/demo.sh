#!/usr/bin/env bash
# Set up everything, and open JupyterLab with sessions ready to start, in this folder or in DIR.
# (Not at home by default: VS Code mistrusts all extensions below the folder that it opens, its own
# built-in ones too, and ours are in the cache there.)
# usage: [PORT=8888] [DIR=folder] demo.sh [argument of `jupyter lab`]...
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

"$root/scripts/setup-system.sh" venv tools demo
"$root/scripts/setup-venv.sh"
"$root/scripts/setup-tools.sh"
"$root/scripts/setup-lab.sh"
use_venv

arguments=(--port="${PORT:-8888}" --ServerApp.root_dir="${DIR:-$root}")
((EUID == 0)) && arguments+=(--allow-root)
# Without a screen there is no browser to open: the URL is printed either way.
[[ $(uname) != Darwin && -z ${DISPLAY:-} && -z ${WAYLAND_DISPLAY:-} ]] && arguments+=(--no-browser)

export LANG=${LANG:-C.UTF-8} SHELL=${SHELL:-/bin/bash}
cd "${DIR:-$root}"
exec jupyter lab "${arguments[@]}" "$@"
