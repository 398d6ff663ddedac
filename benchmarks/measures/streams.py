"""Answers that come bit by bit: each bit should be passed on when it is there."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

from benchmarks.client import Unable, arrivals
from benchmarks.figures import Figure, Measure, Run

EVENTS = 20
EVENT_INTERVAL = 50
DRIPS = 20
DRIP_INTERVAL = 100
"""Milliseconds."""


def events(run: Run) -> Mapping[str, float]:
    """Server-sent events, each with the time at which it left the app."""
    path = f"/events?count={EVENTS}&interval={EVENT_INTERVAL}"
    began = time.monotonic_ns()
    delays: list[float] = []
    first = 0.0
    pieces = 0
    data = b""
    for when, piece in arrivals(run.product.native, path, Accept="text/event-stream"):
        data += piece
        complete = re.findall(rb"data: (\d+)\n\n", data)
        if len(complete) > len(delays):
            pieces += 1
            first = first or (when - began) / 1e6
            delays += [(when - int(sent)) / 1e6 for sent in complete[len(delays) :]]
    if len(delays) != EVENTS:
        raise Unable(f"{len(delays)} of {EVENTS} events came")
    return {
        "sse_first": first,
        "sse_delay": max(delays),
        "sse_alone": 100 * pieces / EVENTS,
    }


def drip(run: Run) -> Mapping[str, float]:
    """A plain answer, one byte at a time."""
    path = f"/drip?count={DRIPS}&interval={DRIP_INTERVAL}"
    began = time.monotonic_ns()
    came = 0
    first = 0.0
    for when, piece in arrivals(run.product.native, path):
        came += piece.count(b".")
        if came and not first:
            first = (when - began) / 1e6
    if came != DRIPS:
        raise Unable(f"{came} of {DRIPS} bytes came")
    return {"drip_first": first}


MEASURES = [
    Measure(
        (
            Figure("sse_first", "server-sent events: the first after", "ms", "lower"),
            Figure("sse_delay", "server-sent events: longest delay", "ms", "lower"),
            Figure("sse_alone", "server-sent events: arrived by themselves", "%"),
        ),
        events,
    ),
    Measure(
        (Figure("drip_first", f"a byte each {DRIP_INTERVAL} ms: the first after", "ms", "lower"),),
        drip,
    ),
]
