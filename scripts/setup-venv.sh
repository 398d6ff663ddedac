#!/usr/bin/env bash
# The virtual environment with this project in it, editable.
# usage: setup-venv.sh [EXTRA...]   extras on top of lab and desktop, such as: test dev
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

extras=$(printf '%s\n' lab desktop "$@" | sort -u | paste -sd,)
stamp=$venv/.installed-$extras

# Stale when the project's metadata changed, or the clone was moved: scripts name the old place.
key=$({ cat "$root/pyproject.toml"; printf '%s\n' "$root"; } | sha256sum)
[[ -x $venv/bin/python && -f $stamp && $(<"$stamp") == "$key" ]] && exit 0

suits() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

if [[ ! -x $venv/bin/python ]] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
  # The system's Python first: other users of the machine can run it, which root's own they cannot.
  python=
  for candidate in ${PYTHON:-/usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11}; do
    candidate=$(command -v "$candidate") && suits "$candidate" && python=$candidate && break
  done
  [[ -n $python ]] || die "no Python 3.11 or newer was found; set PYTHON to one"
  if [[ $python == /usr/bin/python3 ]] && ! "$python" -c 'import ensurepip' 2>/dev/null; then
    "$root/scripts/setup-system.sh" venv
  fi
  say "Making a virtual environment of $("$python" --version) in ${venv##*/}"
  "$python" -m venv "$venv"
fi

say "Installing jupyter_sessions[$extras] into ${venv##*/} (a minute or two, the first time)"
# The front end is built apart from this (setup-lab.sh): it needs Node, and changes more often.
(cd "$root" && HATCH_BUILD_NO_HOOKS=true "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  --editable ".[$extras]")
printf '%s\n' "$key" >"$stamp"
