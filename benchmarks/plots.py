"""The medians as bars: one picture for each unit."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure as Picture
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from benchmarks.figures import Figure, number
from benchmarks.products import TITLES
from benchmarks.results import Results

COLOURS = {
    "direct": "#bbbbbb",
    "nginx": "#666666",
    "chp": "#d9a441",
    "jsp": "#c0504d",
    "sessions": "#1f6fb2",
    "sessions-unix": "#4c9bd6",
    "sessions-uvloop": "#7fc0e8",
    "sessions-uncached": "#9db4c9",
    "sessions-plain": "#c9d6e2",
}


FILES = {
    "requests/s": "requests",
    "messages/s": "messages",
    "MB/s": "transfers",
    "ms": "times",
    "MB": "memory",
    "KB": "idle",
    "µs": "processor",
}
"""The name of the plot of all figures of a unit."""
COLUMNS = 3
INCHES = (4.2, 0.24)
"""The width of a figure's bars, and the height of each."""


def plot(results: Results, folder: Path) -> None:
    """Write ``gateway-<name>.svg`` to `folder`: the medians of all figures of one unit each."""
    for unit, name in FILES.items():
        figures = [
            figure
            for figure in results.figures
            if figure.unit == unit
            and any(results.values(figure.key, product) for product in results.products)
        ]
        if figures:
            _plot(results, figures, folder / f"gateway-{name}.svg")


def _plot(results: Results, figures: list[Figure], path: Path) -> None:
    rows = -(-len(figures) // COLUMNS)
    height = INCHES[1] * len(results.products) + 0.8
    picture = Picture(figsize=(INCHES[0] * COLUMNS, height * rows), layout="constrained")
    axes = picture.subplots(rows, COLUMNS, squeeze=False)
    for figure, area in zip_longest(figures, axes.flat):
        if figure is None:
            area.axis("off")
        else:
            _bars(results, figure, area)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": path.name}):
        picture.savefig(path, metadata={"Date": None})


def _bars(results: Results, figure: Figure, area: Any) -> None:
    found = {name: results.values(figure.key, name) for name in results.products}
    names = [name for name in results.products if found[name]]
    spreads = [spread for spread in found.values() if spread]
    bars = area.barh(
        [TITLES[name] for name in names],
        [spread.median for spread in spreads],
        color=[COLOURS[name] for name in names],
        xerr=[
            [spread.median - spread.low for spread in spreads],
            [spread.high - spread.median for spread in spreads],
        ],
        error_kw={"ecolor": "#333333", "elinewidth": 0.8},
    )
    area.bar_label(bars, [number(spread.median) for spread in spreads], padding=4, fontsize=7)
    area.invert_yaxis()
    area.xaxis.set_major_locator(MaxNLocator(4))
    area.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    area.margins(x=0.25)
    area.set_title(f"{figure.title} ({figure.unit}; {figure.better} is better)", fontsize=8)
    area.tick_params(labelsize=7)
    area.spines[["top", "right"]].set_visible(False)
