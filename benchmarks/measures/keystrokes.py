"""What somebody who types feels: one small message every 10 ms, and how long its echo takes.

Also while Jupyter's loop is busy: these are sent at their times whatever has come back, so that a
pause counts for every message that it holds up. A busy loop takes a processor, too; what that alone
does to each product is seen beside a process which is none of theirs and as busy.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from benchmarks.blocking import BREAK, HOLD
from benchmarks.figures import Figure, Measure, Run, has_jupyter
from benchmarks.measures.websocket import load, load_argv

INTERVAL = 10
"""Milliseconds."""


_BUSY = f"""
import time
while True:
    deadline = time.monotonic() + {HOLD}
    while time.monotonic() < deadline:
        pass
    time.sleep({BREAK})
"""


def typing(key: str, run: Run) -> Mapping[str, float]:
    argv = [*load_argv(run), f"--interval={INTERVAL}", f"--seconds={run.scale.paced_seconds}"]
    found = load(argv)
    return {f"{key}_p50": found["p50_us"] / 1e3, f"{key}_p99": found["p99_us"] / 1e3}


def blocked(how: str, run: Run) -> Mapping[str, float]:
    server = run.product.jupyter
    assert server is not None
    server.block(how)
    try:
        return typing(f"typing_{how}", run)
    finally:
        server.block("off")


@contextmanager
def _busy_process() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", _BUSY])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def beside_a_busy_process(run: Run) -> Mapping[str, float]:
    with _busy_process():
        return typing("typing_beside", run)


def _figures(key: str, title: str) -> tuple[Figure, Figure]:
    return (
        Figure(f"{key}_p50", f"{title}: median", "ms", "lower"),
        Figure(f"{key}_p99", f"{title}: 99 %", "ms", "lower"),
    )


MEASURES = [
    Measure(_figures("typing", "typing"), partial(typing, "typing")),
    Measure(
        _figures("typing_python", "typing, Jupyter busy with Python"),
        partial(blocked, "python"),
        has_jupyter,
    ),
    Measure(
        _figures("typing_c", "typing, Jupyter busy with a long call into C"),
        partial(blocked, "c"),
        has_jupyter,
    ),
    Measure(
        _figures("typing_beside", "typing, another process busy"),
        beside_a_busy_process,
    ),
]
