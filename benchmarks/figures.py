"""What is measured, as the report needs to know it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from benchmarks.products import Product
from benchmarks.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Scale:
    """How long and how much.

    Parameters
    ----------
    seconds
        Of one round of load.
    paced_seconds
        Of one round of single messages or requests at fixed times.
    bulk
        Bytes of a large transfer.
    idle
        Websockets whose memory is measured.
    most
        Websockets that are to be open at once.
    """

    seconds: float = 3.0
    paced_seconds: float = 6.0
    bulk: int = 1 << 30
    idle: int = 1000
    most: int = 2500


QUICK = Scale(seconds=1.0, paced_seconds=4.0, bulk=256 << 20, idle=300, most=600)


@dataclass(frozen=True, slots=True)
class Figure:
    """One number about a product.

    Parameters
    ----------
    key
        Its name in the results.
    better
        Which of two numbers is the better one.
    """

    key: str
    title: str
    unit: str
    better: Literal["higher", "lower"] = "higher"


@dataclass(frozen=True, slots=True)
class Run:
    """What a measure is given: a product, and how hard to push."""

    product: Product
    scale: Scale
    space: Workspace


@dataclass(frozen=True, slots=True)
class Measure:
    """Produces some figures about a product.

    Parameters
    ----------
    run
        Returns a number for each figure's key; raises `Unable` if the product cannot do it.
    applies
        Whether it makes sense for a product.
    fresh
        Whether it wants the product as it is after its start: what a process has once used for
        something it keeps, and a second look finds nothing.
    """

    figures: tuple[Figure, ...]
    run: Callable[[Run], Mapping[str, float]]
    applies: Callable[[Product], bool] = lambda product: True
    fresh: bool = False


def is_proxy(product: Product) -> bool:
    return product.tree is not None


def has_jupyter(product: Product) -> bool:
    return product.jupyter is not None


def number(value: float) -> str:
    """`value` with the digits that say something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
