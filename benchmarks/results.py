"""The numbers of a run, round by round."""

from __future__ import annotations

import platform
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from benchmarks.figures import Figure

DISTRIBUTIONS = ("jupyter_server", "jupyter_server_proxy", "jupyter_sessions", "tornado", "uvloop")


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some numbers, and between which they lie."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Spread | None:
        return cls(statistics.median(numbers), min(numbers), max(numbers)) if numbers else None


@dataclass(slots=True)
class Results:
    """What was measured.

    Parameters
    ----------
    figures
        What there is to be known.
    products
        Of which products, by name.
    """

    figures: Sequence[Figure]
    products: Sequence[str]
    rounds: list[dict[tuple[str, str], float]] = field(default_factory=list)
    problems: dict[tuple[str, str], str] = field(default_factory=dict)

    def next_round(self) -> None:
        self.rounds.append({})

    def add(self, product: str, found: Mapping[str, float]) -> None:
        """Note what was measured of `product` in the present round."""
        for key, value in found.items():
            self.rounds[-1][key, product] = value

    def fail(self, keys: Iterable[str], product: str, reason: str) -> None:
        """Note that `product` cannot do it."""
        for key in keys:
            self.problems[key, product] = reason

    def values(self, key: str, product: str) -> Spread | None:
        """A figure over all rounds."""
        return Spread.of([r[key, product] for r in self.rounds if (key, product) in r])

    def ratios(self, key: str, product: str, reference: str) -> Spread | None:
        """A figure of `product` divided by that of `reference` in the same round."""
        pairs = [(r.get((key, product)), r.get((key, reference))) for r in self.rounds]
        return Spread.of(
            [ours / theirs for ours, theirs in pairs if ours is not None and theirs and theirs > 0]
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "machine": machine(),
            "figures": {
                figure.key: {
                    "title": figure.title,
                    "unit": figure.unit,
                    "better": figure.better,
                    "rounds": {
                        product: [r.get((figure.key, product)) for r in self.rounds]
                        for product in self.products
                    },
                    "problems": {
                        product: self.problems[figure.key, product]
                        for product in self.products
                        if (figure.key, product) in self.problems
                    },
                }
                for figure in self.figures
            },
        }


def machine() -> dict[str, Any]:
    """On what, when and of which versions."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": _processor(),
        "processors": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
        **{name: metadata.version(name) for name in DISTRIBUTIONS},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
