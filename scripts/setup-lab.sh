#!/usr/bin/env bash
# Build the JupyterLab front end as it is released, where JupyterLab in the virtual environment finds
# it. Nothing is done if its sources are as they were.
# usage: setup-lab.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

cd "$root"
built=jupyter_sessions/labextension
stamp=node_modules/.built-front-end
vendored=jupyter_sessions/apps/builtin/terminal/page/vendor
key=$(find labextension/{src,style,schema} scripts/vendor.mjs package.json yarn.lock .yarnrc.yml tsconfig.json -type f -print0 |
  sort -z | xargs -0 sha256sum | sha256sum)

mkdir -p "$venv/share/jupyter/labextensions"
ln -sfn "$root/$built" "$venv/share/jupyter/labextensions/jupyter-sessions"
# Maps of sources are of a build for development, as `jlpm watch` leaves one behind.
[[ -f $stamp && -f $built/package.json && -f $vendored/xterm.mjs && $(<"$stamp") == "$key" ]] &&
  ! compgen -G "$built/static/*.map" >/dev/null && exit 0

tools=$(tools_dir)
[[ -e $tools ]] || "$root/scripts/setup-tools.sh"
use_venv
export PATH="$tools/bin:$PATH" NODE_USE_SYSTEM_CA=1

run() {
  "$@" >"$log" 2>&1 </dev/null || {
    cat "$log" >&2
    die "this failed: $*"
  }
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
say "Building the JupyterLab front end (half a minute, the first time)"
run jlpm install --immutable
run jlpm clean
run jlpm build
printf '%s\n' "$key" >"$stamp"
