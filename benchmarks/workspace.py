"""A directory for one run: programs that were compiled for it, configuration, logs."""

from __future__ import annotations

import contextlib
import resource
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
NATIVE = HERE / "native"


class Missing(Exception):
    """A program that is needed is not installed."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where one run keeps its files.

    Parameters
    ----------
    path
        A fresh directory.
    """

    path: Path

    @property
    def backend(self) -> Path:
        """The program behind the proxies, see ``native/backend.c``."""
        return self.path / "backend"

    @property
    def load(self) -> Path:
        """The websocket client, see ``native/load.c``."""
        return self.path / "load"

    def directory(self, name: str) -> Path:
        """The directory `name`, made if need be."""
        path = self.path / name
        path.mkdir(exist_ok=True)
        return path

    def log(self, name: str) -> Path:
        return self.path / f"{name}.log"


@contextlib.contextmanager
def workspace() -> Iterator[Workspace]:
    """Make a workspace with all programs in it, and take it away at the end."""
    path = Path(tempfile.mkdtemp(prefix="jsb-"))
    try:
        space = Workspace(path)
        for program in (space.backend, space.load):
            source = NATIVE / f"{program.name}.c"
            subprocess.run([tool("cc"), "-O2", "-o", program, source], check=True)
        yield space
    finally:
        shutil.rmtree(path, ignore_errors=True)


def tool(name: str) -> str:
    """Where the program `name` is."""
    # Debian keeps nginx where a plain user's PATH may not look.
    if (found := shutil.which(name) or shutil.which(name, path="/usr/sbin")) is None:
        raise Missing(f"{name} is not installed; `make benchmark` installs what is needed")
    return found


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def raise_file_limit() -> None:
    """Let this process and its children open as many files as they may."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
