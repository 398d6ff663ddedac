#!/usr/bin/env bash
# Lint, types and tests. All of them run, whatever fails; pytest's summary is the last thing said.
# usage: test.sh [--quick] [argument of pytest]...
#   --quick  leave out the tests that start real programs, and what only those need
#   WORKERS  how many tests run at a time (default: 2)
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

if [[ ${1:-} == --quick ]]; then
  shift
  set -- -m "not real" "$@"
else
  "$root/scripts/setup-system.sh" venv tools demo test
  "$root/scripts/setup-apps.sh"
  "$root/scripts/setup-pythons.sh"
  "$root/scripts/setup-torque.sh"
fi
"$root/scripts/setup-venv.sh" test dev
"$root/scripts/setup-tools.sh"
"$root/scripts/setup-lab.sh"
use_venv

cd "$root"
export LANG=${LANG:-C.UTF-8} SHELL=${SHELL:-/bin/bash}
unset PYTHONDONTWRITEBYTECODE # or each of hundreds of processes compiles what it imports anew
failed=0
step() {
  say "• $*"
  "$@" || failed=1
}
step ruff check --quiet
step ruff format --check --quiet
step mypy --no-error-summary
# Node comes with the tools; the apps' own PATH stays as it is.
PATH="$(tools_dir)/bin:$PATH" step jlpm run lint
PATH="$(tools_dir)/bin:$PATH" step jlpm run test
# Which tests have to stay together, tests/scheduling.py says.
step pytest --quiet -n "${WORKERS:-2}" "$@"
exit "$failed"
