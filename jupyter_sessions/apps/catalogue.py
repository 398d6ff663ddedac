"""`Catalogue`: all apps that there are, and whether they can be started."""

from __future__ import annotations

import asyncio
import difflib
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from ..errors import AppNotFound
from ..hosts.base import Host
from .app import App
from .folders import Broken, folders, read_folder


class Catalogue:
    """The apps, read anew each time so that an edited ``app.yaml`` needs no restart.

    Parameters
    ----------
    places
        Gives the folders to read, first to last.
    log
        Is told of each broken definition, once.
    """

    def __init__(self, log: logging.Logger, places: Callable[[], Iterable[Path]] = folders) -> None:
        self._log = log
        self._places = places
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
            raise AppNotFound(f"The app {name!r} is broken: {problem.origin}: {problem.message}")
        close = difflib.get_close_matches(name, apps, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else "`jupyter sessions apps` lists them."
        raise AppNotFound(f"There is no app {name!r}. {hint}")

    def _load(self) -> tuple[dict[str, App], list[Broken]]:
        found = {f.name: f for folder in self._places() for f in read_folder(folder)}
        apps = {name: f for name, f in found.items() if isinstance(f, App)}
        broken = [f for f in found.values() if isinstance(f, Broken)]
        for problem in set(broken) - self._told:
            self._log.warning("App left out: %s: %s", problem.origin, problem.message)
        self._told.update(broken)
        return apps, broken


async def unavailable(app: App, host: Host) -> str:
    """Why `app` cannot be started on `host`: the sentence that says what to install, or nothing."""
    for requirement in app.requires:
        if not any([await host.has(requirement.kind, name) for name in requirement.names]):
            return requirement.install
    return ""
