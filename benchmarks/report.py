"""The results as files: JSON with every round, and Markdown and plots of the medians."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.figures import number
from benchmarks.plots import plot
from benchmarks.products import TITLES
from benchmarks.results import Results, Spread, machine
from benchmarks.targets import TARGETS

OURS = "sessions"
REFERENCES = ("nginx", "chp", "jsp")


def write(results: Results, folder: Path) -> None:
    """Write all files of a report to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gateway.json").write_text(json.dumps(results.to_json(), indent=1) + "\n")
    (folder / "gateway.md").write_text(markdown(results) + "\n")
    plot(results, folder)


def markdown(results: Results) -> str:
    """The whole report as text."""
    about = ", ".join(f"{name} {value}" for name, value in machine().items())
    parts = [
        "# The gateway, measured",
        f"Medians of {len(results.rounds)} rounds. {about}.",
        _table(["", "unit", *_titles(results.products)], _medians(results)),
    ]
    if targets := list(_targets(results)):
        header = ["target", "", "limit", "reached (from least to most)", ""]
        parts += ["## Targets", _table(header, targets)]
    ours = [name for name in results.products if name.startswith(OURS)]
    for reference in (name for name in REFERENCES if name in results.products):
        if rows := list(_ratios(results, ours, reference)):
            parts += [
                f"## Compared with {TITLES[reference]}",
                "Ratio of the figures in the same round: median (from least to most).",
                _table(["", *_titles(ours)], rows),
            ]
    if results.problems:
        rows = [[key, TITLES[name], why] for (key, name), why in results.problems.items()]
        parts += ["## What did not work", _table(["figure", "with", "why"], rows)]
    return "\n\n".join(parts)


def _titles(products: Sequence[str]) -> list[str]:
    return [TITLES[name] for name in products]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _medians(results: Results) -> Iterable[list[str]]:
    for figure in results.figures:
        cells = []
        for product in results.products:
            if found := results.values(figure.key, product):
                cells.append(number(found.median))
            else:
                cells.append("error" if (figure.key, product) in results.problems else "")
        yield [figure.title, figure.unit, *cells]


def _targets(results: Results) -> Iterable[list[str]]:
    titles = {figure.key: figure for figure in results.figures}
    for target in TARGETS:
        if (reached := target.reached(results)) is None:
            continue
        figure = titles[target.figure]
        unit = f"times {TITLES[target.reference]}" if target.reference else figure.unit
        yield [
            figure.title,
            TITLES[target.product],
            f"{target.relation} {target.limit:g} {unit}",
            spread(reached),
            "met" if target.met_by(reached.median) else "**missed**",
        ]


def _ratios(results: Results, ours: Sequence[str], reference: str) -> Iterable[list[str]]:
    for figure in results.figures:
        ratios = [results.ratios(figure.key, product, reference) for product in ours]
        if any(ratios):
            yield [figure.title, *(spread(ratio) if ratio else "" for ratio in ratios)]


def spread(found: Spread) -> str:
    if found.low == found.high:
        return number(found.median)
    return f"{number(found.median)} ({number(found.low)} to {number(found.high)})"
