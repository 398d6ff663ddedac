"""`Offers`: what can be started, and where."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from .apps.app import App
from .apps.catalogue import Catalogue, unavailable
from .errors import AppUnavailable, SpawnerNotFound
from .spawners.base import Spawner

OPEN_PORT = "It listens on a TCP port, which other users of the machine can reach too."


class Offers:
    """The apps and the spawners of one server, as people and programs are told of them.

    Parameters
    ----------
    open_ports
        ``warn``, ``deny`` or ``allow``: see `SessionManager.open_ports`.
    """

    def __init__(
        self, catalogue: Catalogue, spawners: Mapping[str, Spawner], open_ports: str
    ) -> None:
        self.catalogue = catalogue
        self._spawners = spawners
        self._open_ports = open_ports

    async def apps(self) -> list[dict[str, Any]]:
        """All apps as the REST API answers them, those that cannot be started here included."""
        apps, broken = await self.catalogue.load()
        described = [await self.describe(app) for app in apps.values()]
        return described + [
            {
                "name": item.name,
                "title": item.name,
                "description": "",
                "category": "Broken",
                "options": {},
                "available": False,
                "unavailable_reason": f"{item.where}: {item.message}",
                "notice": "",
                "origin": item.origin,
                "icon": False,
                "open_in": "lab",
                "launcher": True,
            }
            for item in broken
        ]

    async def describe(self, app: App) -> dict[str, Any]:
        """`app` as the REST API answers it, on this machine."""
        reason = await self._problem(app, self._spawners["local"])
        warn = app.has_open_port and self._open_ports == "warn"
        return {
            "name": app.name,
            "title": app.title,
            "description": app.description,
            "category": app.category,
            "options": app.options,
            "available": not reason,
            "unavailable_reason": reason,
            "notice": " ".join(filter(None, [app.notice, OPEN_PORT if warn else ""])),
            "origin": app.origin,
            "icon": await asyncio.to_thread(lambda: app.icon is not None),
            "open_in": app.open_in,
            "launcher": app.launcher,
        }

    async def spawners(self) -> list[dict[str, Any]]:
        """All spawners: where they run, what may be chosen, and whether they answer."""
        return [await self._described(spawner) for spawner in self._spawners.values()]

    async def _described(self, spawner: Spawner) -> dict[str, Any]:
        reason = await spawner.available()
        return {
            "name": spawner.name,
            "title": spawner.title or spawner.name,
            "host": spawner.host.name,
            "options": spawner.options_schema(),
            "available": not reason,
            "unavailable_reason": reason,
        }

    def spawner(self, name: str) -> Spawner:
        """The spawner called `name`.

        Raises
        ------
        SpawnerNotFound
        """
        if name not in self._spawners:
            known = ", ".join(self._spawners)
            raise SpawnerNotFound(f"There is no spawner {name!r} here; there are: {known}.")
        return self._spawners[name]

    async def check(self, app: App, spawner: Spawner) -> None:
        """Nothing, if `app` can be started by `spawner`.

        Raises
        ------
        AppUnavailable
            The message says what to install.
        """
        if reason := await self._problem(app, spawner):
            raise AppUnavailable(f"{app.title} cannot be started: {reason}")

    async def _problem(self, app: App, spawner: Spawner) -> str:
        if reason := await unavailable(app, spawner.host):
            return reason
        if app.has_open_port and self._open_ports == "deny":
            return f"{OPEN_PORT} The administrator denies that (SessionManager.open_ports)."
        return ""
