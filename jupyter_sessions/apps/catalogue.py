"""`Catalogue`: all apps that there are, and whether they can be started."""

from __future__ import annotations

import asyncio
import difflib
import logging
from collections.abc import Mapping, Sequence

from ..errors import AppNotFound, AppUnavailable
from ..hosts.base import Host
from .app import App, AppError, Start
from .folders import Broken
from .sources import Source

PREPARE_SECONDS = 60.0
"""Seconds that an app may take to say what to run."""


class Catalogue:
    """The apps, read anew each time so that an edited ``app.yaml`` needs no restart.

    Parameters
    ----------
    log
        Is told of each broken definition, once.
    sources
        Where apps come from, first to last: a later one replaces an earlier one.
    """

    def __init__(self, log: logging.Logger, sources: Sequence[Source]) -> None:
        self._log = log
        self._sources = sources
        self._told: set[Broken] = set()

    async def load(self) -> tuple[dict[str, App], list[Broken]]:
        """All usable apps by name, and the definitions that are not."""
        return await asyncio.to_thread(self._load)

    async def app(self, name: str) -> App:
        """The app called `name`.

        Raises
        ------
        AppNotFound
        """
        apps, broken = await self.load()
        if name in apps:
            return apps[name]
        problem = next((b for b in broken if b.name == name), None)
        if problem is not None:
            raise AppNotFound(f"The app {name!r} is broken: {problem.where}: {problem.message}")
        close = difflib.get_close_matches(name, apps, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else "`jupyter sessions apps` lists them."
        raise AppNotFound(f"There is no app {name!r}. {hint}")

    async def definitions(self, name: str) -> list[App | Broken]:
        """All that is defined under `name`, that which counts first, then what it replaces."""
        found = await asyncio.to_thread(self._read)
        return found.get(name, [])[::-1]

    def _read(self) -> dict[str, list[App | Broken]]:
        found: dict[str, list[App | Broken]] = {}
        for source in self._sources:
            for item in source():
                found.setdefault(item.name, []).append(item)
        return found

    def _load(self) -> tuple[dict[str, App], list[Broken]]:
        found = {name: items[-1] for name, items in self._read().items()}
        apps = {name: f for name, f in found.items() if isinstance(f, App)}
        broken = [f for f in found.values() if isinstance(f, Broken)]
        for problem in set(broken) - self._told:
            level = logging.DEBUG if problem.expected else logging.WARNING
            self._log.log(level, "App left out: %s: %s", problem.where, problem.message)
        self._told.update(broken)
        return apps, broken


async def unavailable(app: App, host: Host) -> str:
    """Why `app` cannot be started on `host`: the sentence that says what to install, or nothing."""
    wanted = [(r.kind, name) for r in app.requires for name in r.names]
    there = dict(zip(wanted, await host.have(wanted), strict=True)) if wanted else {}
    for requirement in app.requires:
        if not any(there[requirement.kind, name] for name in requirement.names):
            return requirement.install
    return ""


async def definition_for(app: App, start: Start) -> Mapping[str, object]:
    """The definition to start `app` by. Called once for each attempt of a session.

    Raises
    ------
    AppUnavailable
        If it does not say what to run; the message says why.
    """
    if app.prepare is None:
        return app.definition
    try:
        async with asyncio.timeout(PREPARE_SECONDS):
            return await asyncio.to_thread(app.prepare, start)
    except TimeoutError:
        why = f"it has not said what to run within {PREPARE_SECONDS:g} s"
    except AppError as error:
        why = str(error)
    raise AppUnavailable(f"{app.title} cannot be started: {why} ({app.origin}).")
