# `make demo` and `make test` set up all they need, on a fresh Debian too; the work is in scripts/.
#   make demo  [PORT=8888] [DIR=folder] [ARGS="arguments of jupyter lab"]
#   make test  [WORKERS=2] [ARGS="arguments of pytest"]
#   make benchmark  [ARGS="--quick --only http,websocket"]: the gateway beside other proxies
#   make check the quick loop: lint, types, and the tests that start no big programs

MAKEFLAGS += --no-print-directory
.PHONY: demo test check benchmark venv tools lab clean
.DEFAULT_GOAL := help

.PHONY: help
help:
	@sed -n 's/^#   //p' Makefile

demo:
	@scripts/demo.sh $(ARGS)

test:
	@scripts/test.sh $(ARGS)

check:
	@scripts/test.sh --quick $(ARGS)

benchmark:
	@scripts/benchmark.sh $(ARGS)

venv:
	@scripts/setup-venv.sh test dev

tools:
	@scripts/setup-tools.sh

lab:
	@scripts/setup-lab.sh

# The tools in the user's cache stay: other clones use them too.
clean:
	@rm -rf .venv .venv-benchmark .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist test-results \
		node_modules labextension/lib jupyter_sessions/labextension
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

export PORT DIR WORKERS
