"""What the gateway is meant to reach, in figures of one run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.results import Results, Spread


@dataclass(frozen=True, slots=True)
class Target:
    """A limit for a figure of `product`, or for its ratio to that of `reference`."""

    figure: str
    relation: Literal["at least", "at most"]
    limit: float
    reference: str | None = None
    product: str = "sessions"

    def reached(self, results: Results) -> Spread | None:
        """What was measured; None if it was not."""
        if self.reference is None:
            return results.values(self.figure, self.product)
        return results.ratios(self.figure, self.product, self.reference)

    def met_by(self, value: float) -> bool:
        return value >= self.limit if self.relation == "at least" else value <= self.limit


def _small(connections: int) -> tuple[Target, ...]:
    figure = f"get_100B_{connections}"
    return (
        Target(figure, "at least", 30, "jsp"),
        Target(figure, "at least", 5, "chp"),
        Target(figure, "at least", 0.75, "nginx"),
        Target(figure, "at least", 6, "jsp", "sessions-uncached"),
        Target(figure, "at least", 1, "chp", "sessions-uncached"),
    )


TARGETS = (
    *_small(16),
    *_small(64),
    Target("get_100B_1", "at least", 8, "jsp"),
    Target("get_100B_1", "at least", 0.6, "nginx"),
    Target("get_1MB_16", "at least", 1.0, "nginx"),
    Target("cpu_browser", "at most", 60),
    Target("download", "at least", 0.8, "direct"),
    Target("upload", "at least", 0.8, "direct"),
    Target("download_memory", "at most", 10),
    Target("upload_memory", "at most", 10),
    Target("ws_64B_50", "at least", 0.75, "nginx"),
    Target("ws_64KB_4", "at least", 1.0, "nginx"),
    Target("ws_1MB_2", "at least", 0.85, "nginx"),
    Target("typing_p50", "at most", 1.4, "nginx"),
    Target("typing_python_p99", "at most", 2),
    Target("typing_c_p99", "at most", 2),
    Target("api_slowdown", "at most", 1.3),
    Target("idle_websocket", "at most", 14),
    Target("open_websockets", "at least", 1.0, "direct"),
)
