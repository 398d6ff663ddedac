"""Apps from folders: ``<somewhere>/<name>/app.yaml`` with an ``icon.svg`` beside it.

Every function reads files: call them in a thread.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_config_path

from ..plain import NotPlain, read_yaml
from .app import App, AppError, check_outline
from .deriving import Derived
from .marks import Marks

BUILTIN = Path(__file__).with_name("builtin")
LARGEST = 256 * 1024
"""Bytes that an ``app.yaml`` may have."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A definition that cannot be used, and why: the others are not affected.

    Parameters
    ----------
    line, column
        Where in the file `origin`, from 1; 0 if that is not known.
    expected
        Whether nobody here has to do with it: a package that lacks a program on this machine.
    """

    name: str
    origin: str
    message: str
    line: int = 0
    column: int = 0
    expected: bool = False

    @property
    def where(self) -> str:
        """Where the mistake is, as editors and compilers write it."""
        return f"{self.origin}:{self.line}:{self.column}" if self.line else self.origin


Definition = App | Broken | Derived
"""What a source has under a name."""


def folders() -> list[Path]:
    """Where people keep apps, first to last; a later one replaces an earlier one."""
    return [Path(p) / "jupyter_sessions" / "apps" for p in reversed(jupyter_config_path())]


def read_folder(folder: Path) -> Iterator[Definition]:
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


def read_app(path: Path) -> Definition | None:
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


def parse(data: Any, origin: str, directory: Path | None) -> App | Derived:
    """What the definition `data` describes.

    Raises
    ------
    AppError
    """
    if isinstance(data, dict) and "extends" in data:
        check_outline(data)
        return Derived(data["name"], data["extends"], data, origin, directory)
    return App.from_definition(data, origin=origin, directory=directory)


@lru_cache(1000)
def _parse(path: Path, _state: tuple[int, int, int]) -> Definition:
    name, origin = path.parent.name, str(path)
    try:
        data = read_yaml(path, LARGEST)
        app = parse(data, origin, path.parent)
        if app.name != name:
            sentence = f"name: {app.name!r} is not the name of its folder, {name!r}"
            raise AppError(sentence, ("name",))
    except OSError as error:
        return Broken(name, origin, f"cannot be read: {error.strerror}")
    except NotPlain as error:
        return Broken(name, origin, str(error), *(error.mark or (0, 0)))
    except AppError as error:
        return Broken(name, origin, str(error), *Marks.of(path).at(error.path))
    return app
