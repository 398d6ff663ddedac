"""What a proxy inside Jupyter costs Jupyter itself: its own ``GET /api``, idle and beside load."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from contextlib import closing
from statistics import median

from benchmarks.client import Endpoint, Unable, read_head
from benchmarks.figures import Figure, Measure, Run, has_jupyter
from benchmarks.measures.websocket import load_argv

MESSAGE = 64 << 10
WARM_UP = 20
"""Requests before those that count."""


def api(run: Run) -> Mapping[str, float]:
    assert run.product.jupyter is not None
    endpoint = run.product.jupyter.endpoint
    seconds = run.scale.paced_seconds
    idle = latency(endpoint, seconds / 2)
    argv = [*load_argv(run, size=MESSAGE), f"--seconds={seconds + 2}"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as streaming:
        try:
            busy = latency(endpoint, seconds / 2)
            if streaming.poll() is not None:
                assert streaming.stderr is not None
                raise Unable(f"the stream ended: {streaming.stderr.read().decode().strip()}")
        finally:
            streaming.terminate()
    return {"api_idle": idle, "api_streaming": busy, "api_slowdown": busy / idle}


def latency(endpoint: Endpoint, seconds: float) -> float:
    """The median of requests in ms, one after the other on one connection."""
    request = endpoint.head("/api")
    taken = []
    with closing(endpoint.connect()) as connection:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            sent = time.perf_counter()
            connection.sendall(request)
            status, length, rest = read_head(connection)
            while len(rest) < (length or 0):
                rest += connection.recv(65536)
            taken.append((time.perf_counter() - sent) * 1e3)
            if status != 200:
                raise Unable(f"HTTP {status}")
    return median(taken[WARM_UP:])


MEASURES = [
    Measure(
        (
            Figure("api_idle", "Jupyter's own GET /api", "ms", "lower"),
            Figure("api_streaming", "the same beside a stream of 64 KB messages", "ms", "lower"),
            Figure("api_slowdown", "the second divided by the first", "times", "lower"),
        ),
        api,
        has_jupyter,
    )
]
