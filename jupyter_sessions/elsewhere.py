"""`Elsewhere`: which of the things that apps need other hosts have, as far as they have said."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping

from .apps.app import App
from .apps.catalogue import missing, needs
from .errors import SpawnerError
from .hosts.base import Host

KNOWN_SECONDS = 30.0
"""Seconds that an answer is good for."""
PATIENCE = 1.0
"""Seconds that people wait for hosts before they are shown what was known before."""


class Elsewhere:
    """What hosts other than this machine have. A host that is away holds up nobody for long."""

    def __init__(self) -> None:
        self._there: dict[str, dict[tuple[str, str], bool]] = {}
        self._asked: dict[str, float] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def look(self, hosts: Iterable[Host], apps: Iterable[App]) -> None:
        """Ask `hosts` for what `apps` need, each at once for all of them, if it is time.

        Called before a list or form is shown. Returns after `PATIENCE` at the latest; what comes
        later is there the next time.
        """
        wanted = sorted({need for app in apps for need in needs(app)})
        tasks = [self._ask_if_due(host, wanted) for host in hosts] if wanted else []
        if pending := [task for task in tasks if task is not None]:
            await asyncio.wait(pending, timeout=PATIENCE)

    def problem(self, app: App, host: Host) -> str | None:
        """Why `app` cannot be started on `host`; empty if it can, None if `look` has not learnt."""
        there = self._there.get(host.name, {})
        known = all(need in there for need in needs(app))
        return missing(app, there) if known else None

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ask_if_due(self, host: Host, wanted: list[tuple[str, str]]) -> asyncio.Task[None] | None:
        if host.name not in self._tasks:
            there = self._there.get(host.name, {})
            fresh = time.monotonic() - self._asked.get(host.name, float("-inf")) < KNOWN_SECONDS
            # One that was away a moment ago is not asked again at once, whatever is wanted of it.
            if fresh and (not there or all(need in there for need in wanted)):
                return None
            self._tasks[host.name] = asyncio.create_task(
                self._ask(host, wanted), name=f"sessions-needs-{host.name}"
            )
        return self._tasks[host.name]

    async def _ask(self, host: Host, wanted: list[tuple[str, str]]) -> None:
        try:
            answers: Mapping[tuple[str, str], bool] = dict(
                zip(wanted, await host.have(wanted), strict=True)
            )
            self._there.setdefault(host.name, {}).update(answers)
        except SpawnerError:
            pass  # what was known stays known; the spawner says itself that its host is away
        finally:
            self._asked[host.name] = time.monotonic()
            del self._tasks[host.name]
