"""What a request for a new session asks for, checked: `Wanted`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .apps.app import App
from .errors import InvalidRequest
from .hosts.base import Host
from .offers import Offers
from .options import OptionSchema
from .spawners.base import Spawner
from .validation import CHOICES, absolute_path, check_fields, check_name, check_timeout

START_FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "app": str,
    "name": str,
    "cwd": str,
    "file": str,
    **CHOICES,
}


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """The administrator's limits, in seconds; None for none."""

    default: float | None
    maximum: float | None

    @property
    def usual(self) -> float | None:
        """The time limit when nobody says one: the default, but never over the maximum."""
        limits = [t for t in (self.default, self.maximum) if t is not None]
        return min(limits, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A session that may be started: all values are checked and complete."""

    app: App
    spawner: Spawner
    name: str
    cwd: str
    options: Mapping[str, Any]
    resources: Mapping[str, Any]
    timeout: float | None


async def read_start(request: Any, offers: Offers, root_dir: str, limits: TimeLimits) -> Wanted:
    """What `request` asks for. Called by `SessionManager.create`.

    Parameters
    ----------
    request
        The body of ``POST sessions``: ``openapi.yaml`` documents it.
    root_dir
        Where relative paths begin, and the folder when nobody says one.

    Raises
    ------
    InvalidRequest, AppNotFound, SpawnerNotFound, AppUnavailable
    """
    request = check_fields(request, START_FIELDS)
    if request.get("app") is None:
        raise InvalidRequest.field("app", "say which app to start")
    spawner = offers.spawner(request.get("spawner") or "local")
    app = await offers.app(request["app"], _given_folder(request, root_dir))
    file = await _file(request.get("file") or "", app, spawner.host, root_dir)
    given = request.get("cwd") or (str(Path(file).parent) if file else "")
    cwd = await folder(given, root_dir, spawner.host)
    choices, _unknown = await offers.choices.fill(app, cwd, spawner)
    wanted = Wanted(
        app=app,
        spawner=spawner,
        name=check_name(request["name"]) if request.get("name") is not None else app.title,
        cwd=cwd,
        options=choices.check(request.get("options") or {}, "options", {"cwd": cwd, "file": file}),
        resources=OptionSchema(spawner.options_schema()).check(
            request.get("resources") or {}, "resources", {"cwd": cwd}
        ),
        timeout=check_timeout("timeout", request.get("timeout", limits.usual), limits.maximum),
    )
    await offers.check(app, spawner)
    return wanted


def _given_folder(request: Mapping[str, Any], root_dir: str) -> str:
    """The folder that `request` is about, absolute, as far as it can be told without looking."""
    given = request.get("cwd") or ""
    if not given and request.get("file"):
        given = str(Path(absolute_path(request["file"], root_dir)).parent)
    return absolute_path(given or root_dir, root_dir)


async def folder(given: str, root_dir: str, host: Host) -> str:
    """The folder `given`, absolute; `root_dir` if it is empty.

    On a host that does not see this machine's files, paths begin at the home there, and that is
    the folder when nobody says one.

    Raises
    ------
    InvalidRequest
        On the field ``cwd``, if that is no folder on `host` that the user may enter.
    """
    path = await _path(given or ".", root_dir, host)
    if not path or not await host.is_directory(path):
        where = "" if host.same_files else f" on {host.name}"
        raise InvalidRequest.field("cwd", f"{given!r} is not a directory{where} that you may enter")
    return path


async def _path(given: str, root_dir: str, host: Host) -> str:
    """`given` as an absolute path on `host`; empty if it is no path."""
    if host.same_files:
        return absolute_path(given, root_dir)
    home = await host.home()
    return absolute_path(given, home, home)


async def _file(given: str, app: App, host: Host, root_dir: str) -> str:
    """The file that somebody launched from, absolute; empty if there was none."""
    if not given:
        return ""
    if not app.choices.from_place("file"):
        raise InvalidRequest.field("file", f"{app.title} is not started for a file")
    path = await _path(given, root_dir, host)
    if not path or not await host.is_file(path):
        where = "" if host.same_files else f" on {host.name}"
        raise InvalidRequest.field("file", f"{given!r} is not a file{where} that you may read")
    return path
