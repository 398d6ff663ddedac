"""Apps from folders: ``<somewhere>/<name>/app.yaml`` with an ``icon.svg`` beside it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from jupyter_core.paths import jupyter_config_path

from ..plain import read_yaml
from .app import App, AppError

BUILTIN = Path(__file__).with_name("builtin")
LARGEST = 256 * 1024
"""Bytes that an ``app.yaml`` may have."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A definition that cannot be used, and why: the others are not affected."""

    name: str
    origin: str
    message: str


def folders() -> list[Path]:
    """Where apps are looked for, first to last; a later one replaces an earlier one."""
    return [
        BUILTIN,
        *(Path(p) / "jupyter_sessions" / "apps" for p in reversed(jupyter_config_path())),
    ]


def read_folder(folder: Path) -> Iterator[App | Broken]:
    """The apps in `folder`, by name."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - a missing folder is no error
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        yield Broken(str(folder), str(folder), f"cannot be read: {error.strerror}")
        return
    for name in names:
        if (found := read_app(folder / name / "app.yaml")) is not None:
            yield found


def read_app(path: Path) -> App | Broken | None:
    """The app that the file `path` defines; None if there is no such file.

    Parsed once for each state of the file: YAML is slow, and this is asked for all the time.
    """
    name, origin = path.parent.name, str(path)
    try:
        info = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return Broken(name, origin, f"cannot be read: {error.strerror}")
    if not stat.S_ISREG(info.st_mode):
        return Broken(name, origin, "is not a file")
    if info.st_size > LARGEST:
        return Broken(name, origin, f"is larger than {LARGEST} bytes")
    return _parse(path, (info.st_ino, info.st_mtime_ns, info.st_size))


@lru_cache(1000)
def _parse(path: Path, _state: tuple[int, int, int]) -> App | Broken:
    name, origin = path.parent.name, str(path)
    try:
        data = read_yaml(path, LARGEST)
        app = App.from_definition(data, origin=origin, directory=path.parent)
        if app.name != name:
            raise AppError(f"name: {app.name!r} is not the name of its folder, {name!r}")
    except OSError as error:
        return Broken(name, origin, f"cannot be read: {error.strerror}")
    except ValueError as error:
        return Broken(name, origin, str(error))
    return app
