"""``jupyter sessions spawners``: where sessions can run, and which ways lead there."""

from __future__ import annotations

import argparse

from ..options import OptionSchema
from ..way_check import Found, WayCheck
from .apps import missing
from .choices import typed_values
from .output import answer, answer_json, say, table
from .setting import manager


async def spawners(args: argparse.Namespace, config: list[str]) -> int:
    """One of the commands below; the list if none is named."""
    return await (check if args.action == "check" else listed)(args, config)


async def listed(args: argparse.Namespace, config: list[str]) -> int:
    async with manager(config) as m:
        found = await m.offers.spawners()
    if args.json:
        answer_json(found)
    else:
        rows = [(s["name"], s["title"], s["host"], missing(s)) for s in found]
        table(("SPAWNER", "TITLE", "HOST", ""), rows)
    return 0


async def check(args: argparse.Namespace, config: list[str]) -> int:
    async with manager(config) as m:
        spawner = m.offers.spawner(args.spawner)
        schema = OptionSchema(spawner.options_schema())
        given = typed_values(args.resource, "resources", schema.properties)
        resources = schema.check(given, "resources", {"cwd": "/"})
        say(f"{spawner.name}: a small job is started; it may wait for {args.wait:g} s.")
        check = WayCheck(spawner, m.store.root / "checks", resources, args.wait)
        found = await check.run()
    if args.json:
        answer_json(found.describe())
    else:
        _tell(found)
    return 0 if found.works else 1


def _tell(found: Found) -> None:
    for problem in (found.problem, found.left):
        if problem:
            say(f"{found.spawner}: {problem}")
    if found.node:
        say(f"{found.spawner}: the job ran on {found.node}.")
    for way in found.ways:
        verdict = "ok" if way.works else "failed"
        mark = "  (as configured)" if way.configured else ""
        answer(f"{verdict:<7} {way.name:<7} {way.message}{mark}")
    working = [way.name for way in found.ways if way.works]
    if found.ways and not found.works and working:
        say(f"Its trait `reach` should be one of those that work: {', '.join(working)}.")
