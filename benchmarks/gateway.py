"""The gateway beside other proxies, in one run: ``python -m benchmarks.gateway --help``.

All products run all the time, and one at a time is measured, in turn: what disturbs the machine
disturbs them alike, and ratios are of neighbours in time.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.backends import backends, write_content
from benchmarks.client import Unable
from benchmarks.figures import QUICK, Measure, Run, Scale
from benchmarks.measures import GROUPS
from benchmarks.processes import NotStarted, all_ended, guard
from benchmarks.products import PRODUCTS, Backends, Product
from benchmarks.report import markdown, write
from benchmarks.results import Results
from benchmarks.workspace import HERE, Workspace, raise_file_limit, workspace

USUAL = [name for name in PRODUCTS if name != "sessions-plain"]
OUTPUT = HERE / "results"


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="short rounds, and fewer of them")
    parser.add_argument("--rounds", type=int, help="how often each is measured (3; quick: 1)")
    parser.add_argument(
        "--only", type=_names(GROUPS), default=list(GROUPS), help=f"some of {','.join(GROUPS)}"
    )
    parser.add_argument(
        "--figures", default="", help="only measures whose figures' keys begin with this"
    )
    parser.add_argument(
        "--products", type=_names(PRODUCTS), default=USUAL, help=f"some of {','.join(PRODUCTS)}"
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="the folder for gateway.json, gateway.md and plots; that of the published results if\n"
        "everything is measured, else none: they are only printed",
    )
    given = parser.parse_args()
    given.scale = QUICK if given.quick else Scale()
    given.rounds = given.rounds or (1 if given.quick else 3)
    complete = not given.quick and given.only == list(GROUPS) and given.products == USUAL
    given.output = given.output or (OUTPUT if complete and not given.figures else None)
    return given


def _names(known: Collection[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"{min(unknown)!r} is none of {', '.join(known)}")
        return [name for name in known if name in names]

    return parse


class Comparison:
    """Products that run, and what is measured of them.

    Parameters
    ----------
    behind
        The apps behind them all.
    stack
        Ends what was started.
    """

    def __init__(
        self,
        given: argparse.Namespace,
        space: Workspace,
        behind: Backends,
        stack: contextlib.ExitStack,
    ) -> None:
        self._scale: Scale = given.scale
        self._space = space
        self._behind = behind
        self._measures = [
            one
            for group in given.only
            for one in GROUPS[group]
            if any(figure.key.startswith(given.figures) for figure in one.figures)
        ]
        self.results = Results([f for one in self._measures for f in one.figures], given.products)
        self._instances = 0
        self._products = [stack.enter_context(self._start(name)) for name in given.products]

    def round(self) -> None:
        """Measure everything once, one product after the other."""
        self.results.next_round()
        for one in self._measures:
            for product in filter(one.applies, self._products):
                self._measure(one, product)

    def _measure(self, one: Measure, product: Product) -> None:
        keys = [figure.key for figure in one.figures]
        try:
            if one.fresh:
                with self._start(product.name) as fresh:
                    found = one.run(Run(fresh, self._scale, self._space))
            else:
                found = one.run(Run(product, self._scale, self._space))
        except (Unable, NotStarted, TimeoutError, ConnectionError) as reason:
            self.results.fail(keys, product.name, str(reason))
            say(f"  {product.name:18} {keys[0]}: {reason}")
        else:
            self.results.add(product.name, found)
            numbers = ", ".join(f"{key} {value:.5g}" for key, value in found.items())
            say(f"  {product.name:18} {numbers}")

    @contextlib.contextmanager
    def _start(self, name: str) -> Iterator[Product]:
        self._instances += 1
        instance = f"{name}-{self._instances}"
        try:
            with PRODUCTS[name](instance, self._space, self._behind) as product:
                yield replace(product, name=name)
        except NotStarted:
            say(self._space.log(instance).read_text(errors="replace"))
            raise


def compare(given: argparse.Namespace) -> Results:
    with contextlib.ExitStack() as stack:
        stack.enter_context(all_ended())
        space = stack.enter_context(workspace())
        write_content(space)
        behind = stack.enter_context(backends(space))
        say(f"starting {', '.join(given.products)}")
        comparison = Comparison(given, space, behind, stack)
        for number in range(1, given.rounds + 1):
            say(f"round {number} of {given.rounds}")
            comparison.round()
        return comparison.results


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    given = options()
    guard()
    raise_file_limit()
    results = compare(given)
    if given.output:
        write(results, given.output)
    print(markdown(results))


if __name__ == "__main__":
    main()
