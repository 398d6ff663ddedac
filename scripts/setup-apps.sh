#!/usr/bin/env bash
# Streamlit, Dash, MLflow and the like, at the versions of tools/apps-requirements.txt, for the tests of
# the built-in apps, and packages for jupyter-server-proxy, in a folder beside them. They live in a virtual environment of their own in the user's cache, which every clone
# shares: nothing of it gets into this project's. The clone's virtual environment has a link to it.
# usage: setup-apps.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

[[ -x $venv/bin/python ]] || "$root/scripts/setup-venv.sh"

layout=2 # one more whenever this script makes the folder in another way
requirements=$root/scripts/tools/apps-requirements.txt
packages=$root/scripts/tools/server-proxy-requirements.txt
# The system's Python, as the project's own: see setup-venv.sh.
python=$("$venv/bin/python" -c 'import sys; print(sys._base_executable)')
key=$({
  cat "$requirements" "$packages"
  printf '%s\n' "$layout"
  "$python" -c 'import sys; print(sys.executable, sys.version)'
} | sha256sum | cut -c1-16)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/jupyter-sessions-tools
apps=$cache/apps-$key

link() {
  mkdir -p "$venv/share"
  ln -sfn "$apps" "$venv/share/tested-apps"
}
if [[ -e $apps/.complete ]]; then
  link
  exit 0
fi

mkdir -p "$cache"
if command -v flock >/dev/null; then
  exec {lock}>"$cache/.lock-apps"
  flock "$lock"
  if [[ -e $apps/.complete ]]; then # another clone was quicker
    link
    exit 0
  fi
fi

say "Installing the web frameworks that the tests start below $cache (1 to 3 minutes, once)"
# In its place from the beginning: the programs of a virtual environment name it.
rm -rf "$apps"
"$python" -m venv "$apps"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# The list is complete, and leaves out what the tests do not need: nothing is resolved.
"$apps/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile \
  --requirement "$requirements" >"$log" 2>&1 || {
  cat "$log" >&2
  die "pip could not install the web frameworks"
}
# Not into its site-packages: they are imported by the Jupyter of the tests.
"$apps/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile \
  --target "$apps/server-proxy" --requirement "$packages" >"$log" 2>&1 || {
  cat "$log" >&2
  die "pip could not install the packages for jupyter-server-proxy"
}
for module in bokeh dash gradio marimo mlflow panel shiny streamlit tensorboard voila; do
  "$apps/bin/python" -c "import $module" >"$log" 2>&1 || {
    cat "$log" >&2
    die "$module was installed but cannot be imported"
  }
done
touch "$apps/.complete"
link
