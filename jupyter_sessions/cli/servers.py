"""The Jupyter servers of this user: where a session can be opened."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from jupyter_core.paths import jupyter_runtime_dir

from ..errors import SpawnerError
from .output import say

START_WAIT = 60.0
"""Seconds that a Jupyter server may take to come up."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running Jupyter server: its address without its base URL, and its base URL."""

    url: str
    base_url: str

    def link(self, path: str) -> str:
        """The full URL of `path`, as far as it is known."""
        return urljoin(self.url, path) if self.url else path


def running(base_url: str | None = None) -> Server | None:
    """A server of this user that runs, one with the prefix `base_url` if there is one."""
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    if prefix is not None:
        # In a hub's server its own address means nothing to a browser.
        return Server(os.environ.get("JUPYTERHUB_PUBLIC_URL", ""), prefix)
    found = sorted(_listed(), key=lambda info: info["base_url"] != base_url)
    return next((Server(i["url"], i["base_url"]) for i in found if not i.get("sock")), None)


async def start(path: str, base_url: str, *, browser: bool) -> Server:
    """Start a Jupyter server that stays when this command ends, and wait until it is up.

    Parameters
    ----------
    path
        What Jupyter opens in the browser, in its own way (so that no token is in a command line).
    base_url
        The prefix of all its URLs, that of `path` included.

    Raises
    ------
    SpawnerError
        If it does not come up; the message says where its log is.
    """
    argv = [sys.executable, "-m", "jupyter_server"]
    argv += [f"--ServerApp.default_url={path}", f"--ServerApp.base_url={base_url}"]
    argv += [] if browser else ["--no-browser"]
    argv += ["--allow-root"] if os.geteuid() == 0 else []
    say("No Jupyter server runs: starting one.")
    log = Path(jupyter_runtime_dir(), "jupyter-sessions-server.log")
    process = await asyncio.to_thread(_spawn, argv, log)
    try:
        async with asyncio.timeout(START_WAIT):
            while process.poll() is None:
                if (server := await asyncio.to_thread(_of_process, process.pid)) is not None:
                    return server
                await asyncio.sleep(0.1)
    except TimeoutError:
        process.terminate()
    raise SpawnerError(f"The Jupyter server did not come up: see {log}.")


def _spawn(argv: list[str], log: Path) -> subprocess.Popen[bytes]:
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )


def _of_process(pid: int) -> Server | None:
    return next((Server(i["url"], i["base_url"]) for i in _listed() if i["pid"] == pid), None)


def _listed() -> Iterator[dict[str, Any]]:
    """The servers that run, as ``jupyter server list`` finds them: importing that takes longer."""
    for path in sorted(Path(jupyter_runtime_dir()).glob("jpserver-*.json")):
        try:
            info = json.loads(path.read_text(encoding="utf-8"))
            os.kill(info["pid"], 0)
        except (OSError, ValueError, KeyError, TypeError):
            continue  # it ended, or is about to write this file
        yield info
