"""Websocket echoes: the next message goes when the last one has come back."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from functools import partial

from benchmarks.client import Endpoint, Unable
from benchmarks.figures import Figure, Measure, Run

LOADS = {
    "64B_1": (64, 1),
    "64B_50": (64, 50),
    "64KB_4": (64 << 10, 4),
    "1MB_2": (1 << 20, 2),
}
"""Bytes of a message, and connections."""


def load_argv(run: Run, *, size: int = 64, connections: int = 1) -> list[str]:
    """The client of ``native/load.c``, at the product's echo."""
    endpoint: Endpoint = run.product.native
    argv = [str(run.space.load), f"--host={endpoint.host}", f"--port={endpoint.port}"]
    argv += [f"--path={endpoint.prefix}/echo", f"--size={size}", f"--connections={connections}"]
    argv += [f"--header={name}: {value}" for name, value in endpoint.headers.items()]
    return argv


def load(argv: list[str]) -> dict[str, float]:
    """What the client prints; raises Unable if it cannot do what it was asked for."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unable(done.stderr.strip() or f"the client ended with {done.returncode}")
    found: dict[str, float] = json.loads(done.stdout)
    if found["unanswered"] and not found["messages"]:
        raise Unable("no message came back")
    return found


def echo(name: str, size: int, connections: int, run: Run) -> Mapping[str, float]:
    argv = load_argv(run, size=size, connections=connections)
    found = load([*argv, f"--seconds={run.scale.seconds}"])
    if found["unanswered"]:
        raise Unable(f"{found['unanswered']:g} messages did not come back")
    return {f"ws_{name}": found["per_second"]}


MEASURES = [
    Measure(
        (
            Figure(
                f"ws_{name}",
                f"websocket {name.partition('_')[0]}, connections: {connections}",
                "messages/s",
            ),
        ),
        partial(echo, name, size, connections),
    )
    for name, (size, connections) in LOADS.items()
]
