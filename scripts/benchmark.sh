#!/usr/bin/env bash
# Measure the gateway beside nginx, configurable-http-proxy and jupyter-server-proxy; see
# docs/benchmarks.md. What it needs is set up first, in a virtual environment of its own: another
# proxy's Jupyter extension has no business in the one for development.
# usage: benchmark.sh [argument of `python -m benchmarks.gateway`]...
SESSIONS_VENV=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)/.venv-benchmark
export SESSIONS_VENV
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

"$root/scripts/setup-system.sh" venv tools demo benchmark
"$root/scripts/setup-venv.sh" benchmark
"$root/scripts/setup-tools.sh"
use_venv

export LANG=${LANG:-C.UTF-8} SHELL=${SHELL:-/bin/bash}
cd "$root"
exec python -m benchmarks.gateway "$@"
