"""`Catalogue`: all apps that there are, and whether they can be started."""

from __future__ import annotations

import asyncio
import difflib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import AppNotFound, AppUnavailable
from ..hosts.base import Host
from .app import App, AppError, Start
from .deriving import Derived, derive, override
from .folders import Broken, Definition
from .marks import NOWHERE, Marks
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
    overrides
        The trait ``SessionManager.option_overrides``.
    """

    def __init__(
        self,
        log: logging.Logger,
        sources: Sequence[Source],
        overrides: Mapping[str, Any] | None = None,
    ) -> None:
        self._log = log
        self._sources = sources
        self._overrides = overrides or {}
        self._warned: set[str] = set()
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

    async def definitions(self, name: str) -> list[Definition]:
        """All that is defined under `name`, that which counts first, then what it replaces."""
        found = await asyncio.to_thread(self._read)
        return found.get(name, [])[::-1]

    def _read(self) -> dict[str, list[Definition]]:
        found: dict[str, list[Definition]] = {}
        for source in self._sources:
            for item in source():
                found.setdefault(item.name, []).append(item)
        return found

    def _load(self) -> tuple[dict[str, App], list[Broken]]:
        read = self._read()
        for name in self._overrides.keys() - read.keys():
            self._warn(f"SessionManager.option_overrides[{name!r}]: there is no such app")
        found = _Resolving(read, self._overrides).all()
        apps = {name: f for name, f in found.items() if isinstance(f, App)}
        broken = [f for f in found.values() if isinstance(f, Broken)]
        for problem in set(broken) - self._told:
            level = logging.DEBUG if problem.expected else logging.WARNING
            self._log.log(level, "App left out: %s: %s", problem.where, problem.message)
        self._told.update(broken)
        return apps, broken

    def _warn(self, sentence: str) -> None:
        if sentence not in self._warned:
            self._warned.add(sentence)
            self._log.warning("%s", sentence)


class _Resolving:
    """From what the sources have to what counts: extended, and with administrators' changes."""

    def __init__(
        self, read: Mapping[str, Sequence[Definition]], overrides: Mapping[str, Any]
    ) -> None:
        self._read = read
        self._overrides = overrides
        self._known: dict[tuple[str, int], App | Broken] = {}

    def all(self) -> dict[str, App | Broken]:
        return {name: self._one(name, len(items) - 1, ()) for name, items in self._read.items()}

    def _one(self, name: str, index: int, trail: tuple[tuple[str, int], ...]) -> App | Broken:
        """The definition of `name` with this number.

        Parameters
        ----------
        trail
            Those that extend it, outermost first.
        """
        key = (name, index)
        if key not in self._known:
            item = self._read[name][index]
            found = self._extended(item, key, trail) if isinstance(item, Derived) else item
            last = index == len(self._read[name]) - 1
            if isinstance(found, App) and last and name in self._overrides:
                found = self._overridden(found)
            self._known[key] = found
        return self._known[key]

    def _extended(
        self, item: Derived, key: tuple[str, int], trail: tuple[tuple[str, int], ...]
    ) -> App | Broken:
        # An app may extend that which it replaces.
        own = item.extends == item.name
        base = (item.extends, key[1] - 1 if own else len(self._read.get(item.extends, ())) - 1)
        try:
            if base[1] < 0:
                earlier = " in an earlier source" if own else ""
                sentence = f"extends: there is no app {item.extends!r}{earlier}"
                raise AppError(sentence, ("extends",))
            if base in (*trail, key):
                circle = " → ".join([*(name for name, _ in (*trail, key)), base[0]])
                raise AppError(f"extends: it goes round in a circle: {circle}", ("extends",))
            found = self._one(*base, (*trail, key))
            if isinstance(found, Broken):
                sentence = f"extends: {item.extends} is broken: {found.where}: {found.message}"
                raise AppError(sentence, ("extends",))
            return derive(item, found)
        except AppError as error:
            mark = Marks.of(Path(item.origin)).at(error.path) if item.directory else NOWHERE
            return Broken(item.name, item.origin, str(error), *mark)

    def _overridden(self, app: App) -> App | Broken:
        origin = f"SessionManager.option_overrides[{app.name!r}]"
        try:
            return override(app, self._overrides[app.name], origin)
        except AppError as error:
            return Broken(app.name, origin, str(error).removeprefix(f"{origin}: "))


def needs(app: App) -> list[tuple[str, str]]:
    """What `app` may need, as `Host.have` is asked for it."""
    return [(r.kind, name) for r in app.requires for name in r.names]


def missing(app: App, there: Mapping[tuple[str, str], bool]) -> str:
    """What `app` lacks where `there` is: the sentence that says what to install, or nothing."""
    for requirement in app.requires:
        if not any(there[requirement.kind, name] for name in requirement.names):
            return requirement.install
    return ""


async def unavailable(app: App, host: Host) -> str:
    """Why `app` cannot be started on `host`: the sentence that says what to install, or nothing."""
    wanted = needs(app)
    return missing(app, dict(zip(wanted, await host.have(wanted), strict=True))) if wanted else ""


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
