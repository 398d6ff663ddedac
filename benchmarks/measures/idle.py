"""Websockets that are open and do nothing: what each costs, and how many there can be."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from benchmarks.client import Unable
from benchmarks.figures import Figure, Measure, Run, is_proxy
from benchmarks.measures.websocket import load_argv

WARM_UP = 10
"""Websockets opened before memory is looked at: what serves the first stays for all."""


@contextmanager
def held(run: Run, connections: int) -> Iterator[int]:
    """So many websockets, open for as long as the block runs; how many have answered."""
    argv = [*load_argv(run, connections=connections), "--hold"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        try:
            line = client.stdout.readline()
            if not line:
                raise Unable("the client ended")
            found = json.loads(line)
            if not found["answered"]:
                raise Unable(found["problem"] or "no echo came")
            yield found["answered"]
        finally:
            client.stdin.close()


def memory(run: Run) -> Mapping[str, float]:
    tree = run.product.tree
    assert tree is not None
    with held(run, WARM_UP):
        before = tree.memory()
    with held(run, run.scale.idle) as count:
        after = tree.memory()
    if count != run.scale.idle:
        raise Unable(f"{count} of {run.scale.idle} are open")
    return {"idle_websocket": (after - before) / count / 1024, "idle_memory": after / 1e6}


def most(run: Run) -> Mapping[str, float]:
    with held(run, run.scale.most) as count:
        return {"open_websockets": count}


MEASURES = [
    Measure(
        (
            Figure("idle_websocket", "memory of an idle websocket", "KB", "lower"),
            Figure("idle_memory", "all memory while these are open", "MB", "lower"),
        ),
        memory,
        is_proxy,
        fresh=True,
    ),
    Measure(
        (Figure("open_websockets", "websockets open at once that answer", "websockets"),), most
    ),
]
