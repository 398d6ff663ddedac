"""A project's defaults: the nearest ``.jupyter-sessions/defaults.yaml`` above a folder.

.. code-block:: yaml

    apps:
      code-server:
        timeout: 14400
        options: { folder: /data/atlas }
        resources: { priority: low }

Whoever can write into the project writes this file, so it decides nothing: a form shows its values
before they are used, and nothing else reads them.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import InvalidRequest
from .plain import check_plain, read_yaml
from .validation import check_choices

PLACE = Path(".jupyter-sessions", "defaults.yaml")
LARGEST = 64 * 1024
"""Bytes that the file may have."""


@dataclass(frozen=True, slots=True)
class Project:
    """What a project's file says of one app.

    Parameters
    ----------
    origin
        The file, relative to the server's root folder.
    choices
        ``spawner``, ``options``, ``resources``, ``timeout``, as far as it says so; not yet checked
        against the app.
    problem
        What is wrong with the file, as a sentence; there are no `choices` then.
    """

    origin: str
    choices: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


def project_of(app: str, cwd: str, root: str) -> Project | None:
    """What the project around `cwd` says of `app`; None if it says nothing.

    Called for a form, in a thread: reads one small file at the most. Never raises.

    Parameters
    ----------
    cwd
        An absolute path. Only in it, and in those of its parents that lie in `root`, is looked
        for the file.
    root
        The server's root folder, absolute.
    """
    folder, top = Path(cwd), Path(root)
    if not folder.is_relative_to(top):
        return None
    while True:
        path = folder / PLACE
        origin = str(path.relative_to(top))
        try:
            if stat.S_ISREG(path.stat().st_mode):
                return _read(path, origin, app)
            return Project(origin, problem="It is not a file.")
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            return Project(origin, problem=f"It cannot be read: {error.strerror}.")
        if folder == top:
            return None
        folder = folder.parent


def _read(path: Path, origin: str, app: str) -> Project | None:
    try:
        data = read_yaml(path, LARGEST)
        check_plain(data, path.name)
        apps = _apps(data)
        if app not in apps:
            return None
        return Project(origin, check_choices(apps[app]))
    except InvalidRequest as error:
        return Project(origin, problem=f"apps.{app}: {error.message}")
    except ValueError as error:
        return Project(origin, problem=str(error))


def _apps(data: Any) -> Mapping[str, Any]:
    """The part about apps; an empty file says nothing."""
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ValueError("it has to be a mapping with the key `apps`")
    if unknown := data.keys() - {"apps"}:
        raise ValueError(f"{min(unknown)}: unknown; known is apps")
    apps = data.get("apps") or {}
    if not isinstance(apps, dict):
        raise ValueError("apps: it has to be a mapping of apps' names")
    return apps
