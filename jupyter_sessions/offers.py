"""`Offers`: what can be started, and where."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .apps.app import ICONS, App
from .apps.catalogue import Catalogue, unavailable
from .apps.folders import Broken
from .elsewhere import Elsewhere
from .errors import AppNotFound, AppUnavailable, SpawnerNotFound
from .finding import ChoiceFinder
from .project_apps import CATEGORY, PREFIX, ProjectApp, ProjectApps
from .spawners.base import Spawner

LARGEST_README = 256 * 1024
"""Bytes of a README that are shown."""
OPEN_PORT = "It listens on a TCP port, which other users of the machine can reach too."


class Offers:
    """The apps and the spawners of one server, as people and programs are told of them.

    Parameters
    ----------
    open_ports
        ``warn``, ``deny`` or ``allow``: see `SessionManager.open_ports`.
    wrong
        Why spawners cannot be used that are configured, by name: they are listed with the reason.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        projects: ProjectApps,
        spawners: Mapping[str, Spawner],
        open_ports: str,
        wrong: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.catalogue = catalogue
        self.projects = projects
        self.choices = ChoiceFinder()
        self._spawners = spawners
        self._open_ports = open_ports
        self._wrong = wrong
        self._elsewhere = Elsewhere()

    async def close(self) -> None:
        """Wait for no host any more. Called when the server ends."""
        await self._elsewhere.close()

    async def app(self, name: str, cwd: str = "") -> App:
        """The app called `name`: one of this machine, or ``project:<name>`` of a project.

        Parameters
        ----------
        cwd
            The folder whose project is meant, absolute.

        Raises
        ------
        AppNotFound
        Untrusted
            If it is a project's, and was not trusted as it is now.
        """
        if not name.startswith(PREFIX):
            return await self.catalogue.app(name)
        return await self._trusted(await asyncio.to_thread(self.projects.find, name, cwd))

    async def _trusted(self, found: ProjectApp) -> App:
        """A project's app, to be started: see `ProjectApp.app`."""
        base = await self.catalogue.app(found.extends) if found.extends else None
        return found.app(base)

    async def apps(self, cwd: str | None = None) -> list[dict[str, Any]]:
        """All apps as the REST API answers them, those that cannot be started here included.

        Parameters
        ----------
        cwd
            The folder whose projects' apps to list too, absolute; None for none.
        """
        apps, broken = await self.catalogue.load()
        described = [await self.describe(app) for app in apps.values()]
        described += [_described(item.name, item) for item in broken]
        if cwd is not None:
            for found in await asyncio.to_thread(self.projects.all, cwd):
                described.append(await self._of_project(found))
        return described

    async def described(self, name: str, cwd: str) -> dict[str, Any]:
        """The app `name` as the REST API answers it; see `app`.

        Raises
        ------
        AppNotFound
        """
        if not name.startswith(PREFIX):
            return await self.describe(await self.catalogue.app(name))
        return await self._of_project(await asyncio.to_thread(self.projects.find, name, cwd))

    async def icon(self, name: str, cwd: str) -> tuple[bytes, str] | None:
        """The icon of the app `name` and its media type, if it has one; see `app`.

        Raises
        ------
        AppNotFound
        """
        if name.startswith(PREFIX):
            return (await asyncio.to_thread(self.projects.find, name, cwd)).icon
        path = (await self.catalogue.app(name)).icon
        if path is None:
            return None
        return await asyncio.to_thread(path.read_bytes), ICONS[path.suffix.lower()]

    async def readme(self, name: str, cwd: str) -> bytes | None:
        """What is written about the app `name`, as Markdown, if anything is; see `app`.

        Raises
        ------
        AppNotFound
        """
        if name.startswith(PREFIX):
            return (await asyncio.to_thread(self.projects.find, name, cwd)).readme
        app = await self.catalogue.app(name)
        return await asyncio.to_thread(_content, app)

    async def _of_project(self, found: ProjectApp | Broken) -> dict[str, Any]:
        """A project's app as the REST API answers it: until it is trusted, by its outline."""
        if isinstance(found, Broken):
            return _described(found.name, found) | {"category": CATEGORY}
        project = {
            "folder": str(found.project),
            "state": found.state,
            "digest": found.snapshot.digest,
        }
        common = {"origin": found.place, "icon": found.icon is not None, "project": project}
        common |= {"readme": found.readme is not None}
        if found.state == "trusted":
            try:
                return await self.describe(await self._trusted(found)) | common
            except AppNotFound as error:
                reason = error.message
                return _described(found.name, Broken(found.name, found.place, reason)) | common
        outline = found.outline
        return {
            **_described(found.name, None),
            "title": found.title,
            "description": outline.get("description", ""),
            "category": CATEGORY,
            "available": True,
            "notice": found.notice,
            "open_in": outline.get("open_in", "lab"),
            "launcher": outline.get("launcher", True),
            **common,
        }

    async def describe(self, app: App) -> dict[str, Any]:
        """`app` as the REST API answers it. It is available if any spawner can start it."""
        problems = await self._problems(app)
        reason = "" if "" in problems.values() else str(problems["local"])
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
            "readme": await asyncio.to_thread(lambda: app.readme is not None),
            "open_in": app.open_in,
            "launcher": app.launcher,
            "project": None,
        }

    async def spawners(self, app: App | None = None) -> list[dict[str, Any]]:
        """All spawners: where they run, what may be chosen, and whether they can be used.

        Parameters
        ----------
        app
            For what; None for anything.
        """
        described = await asyncio.gather(*map(self._described, self._spawners.values()))
        problems = await self._problems(app) if app is not None else {}
        for spawner in described:
            reason = spawner["unavailable_reason"] or problems.get(spawner["name"]) or ""
            spawner |= {"available": not reason, "unavailable_reason": reason}
        return [*described, *(_unusable(name, reason) for name, reason in self._wrong.items())]

    async def _described(self, spawner: Spawner) -> dict[str, Any]:
        reason = await spawner.available()
        return {
            "name": spawner.name,
            "title": self.spawner_title(spawner.name),
            "host": spawner.host.name,
            "same_files": spawner.host.same_files,
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
        if name in self._wrong:
            raise SpawnerNotFound(f"The spawner {name!r} cannot be used: {self._wrong[name]}")
        if name not in self._spawners:
            known = ", ".join(self._spawners)
            raise SpawnerNotFound(f"There is no spawner {name!r} here; there are: {known}.")
        return self._spawners[name]

    def has_spawner(self, name: str) -> bool:
        """Whether there is a spawner `name` whose configuration can be used."""
        return name in self._spawners

    def spawner_title(self, name: str) -> str:
        """What people call the spawner `name`; its name if there is none of that name any more."""
        spawner = self._spawners.get(name)
        return name if spawner is None else spawner.title or name

    async def check(self, app: App, spawner: Spawner) -> None:
        """Nothing, if `app` can be started by `spawner`.

        Raises
        ------
        AppUnavailable
            The message says what to install.
        """
        if reason := await self._problem(app, spawner):
            problems = await self._problems(app)
            others = [name for name, problem in problems.items() if problem == ""]
            hint = f" It can be started by: {', '.join(others)}." if others else ""
            raise AppUnavailable(f"{app.title} cannot be started: {reason}{hint}")

    async def _problem(self, app: App, spawner: Spawner) -> str:
        if spawner.check_requirements and (reason := await unavailable(app, spawner.host)):
            return reason
        return self._denied(app)

    async def _problems(self, app: App) -> dict[str, str | None]:
        """Why each spawner cannot start `app`; empty if it can, None where nobody has said yet."""
        here = self._spawners["local"].host
        asked = {s.host.name: s.host for s in self._spawners.values() if s.check_requirements}
        others = [host for host in asked.values() if host is not here]
        if others:
            apps, _ = await self.catalogue.load()
            await self._elsewhere.look(others, [*apps.values(), app])
        lacking = {host.name: self._elsewhere.problem(app, host) for host in others}
        lacking[here.name] = await unavailable(app, here)
        return {
            name: self._denied(app)
            or (lacking[spawner.host.name] if spawner.check_requirements else "")
            for name, spawner in self._spawners.items()
        }

    def _denied(self, app: App) -> str:
        if app.has_open_port and self._open_ports == "deny":
            return f"{OPEN_PORT} The administrator denies that (SessionManager.open_ports)."
        return ""


def _unusable(name: str, reason: str) -> dict[str, Any]:
    """What a spawner is answered as whose configuration is wrong."""
    return {
        "name": name,
        "title": name,
        "host": "local",
        "same_files": True,
        "options": {"type": "object", "properties": {}},
        "available": False,
        "unavailable_reason": reason,
    }


def _content(app: App) -> bytes | None:
    """The beginning of an app's README: what does not fit in here is no introduction."""
    if app.readme is None:
        return None
    with app.readme.open("rb") as file:
        return file.read(LARGEST_README)


def _described(name: str, broken: Broken | None) -> dict[str, Any]:
    """What an app is answered as of which nothing can be used."""
    return {
        "name": name,
        "title": name,
        "description": "",
        "category": "Broken",
        "options": {},
        "available": False,
        "unavailable_reason": "" if broken is None else f"{broken.where}: {broken.message}",
        "notice": "",
        "origin": "" if broken is None else broken.origin,
        "icon": False,
        "readme": False,
        "open_in": "lab",
        "launcher": True,
        "project": None,
    }
