"""Another machine as a host of ours: its configuration, its connections, its troubles."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest

from jupyter_sessions.errors import SpawnerError, Unreachable
from jupyter_sessions.hosts.base import Host
from jupyter_sessions.places import build_hosts

from .far import FarMachine
from .server import Home

SERVICES = Path(__file__).parents[1] / "services"
T = TypeVar("T")


def configure(home: Home, far: FarMachine, **traits: Any) -> None:
    """Let the Jupyter of `home` know `far`."""
    spec = settings(far, **traits)
    (home.path / ".jupyter").mkdir(exist_ok=True)
    (home.path / ".jupyter" / "jupyter_server_config.py").write_text(
        f"c.SessionManager.hosts = {{'far': {spec!r}}}\n"
        "c.SessionManager.spawners = {'far': {'class': 'process', 'host': 'far', 'title': 'Far'}}\n"
        f"c.SessionManager.service_directories = [{str(SERVICES)!r}]\n"
    )
    runtime = home.path / "run"
    runtime.mkdir(mode=0o700, exist_ok=True)
    home.env["XDG_RUNTIME_DIR"] = str(runtime)


def settings(far: FarMachine, **traits: Any) -> dict[str, Any]:
    return {
        "class": "ssh",
        "address": "far",
        "config_file": str(far.config),
        "python": "/opt/venv/bin/python",
        **traits,
    }


def apart(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run `work` in a loop of its own: the browser has one running in this thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(work())).result()


def masters(home: Home) -> list[int]:
    """The processes that hold this user's connections."""
    runtime = f"ControlPath={home.path}/run/"
    done = subprocess.run(["pgrep", "-f", runtime], capture_output=True, text=True, check=False)
    return [int(pid) for pid in done.stdout.split()]


def sockets(home: Home) -> list[str]:
    directory = home.path / "run" / "jupyter-sessions"
    return sorted(p.name for p in directory.iterdir() if p.is_socket())


def trouble(far: FarMachine, *, inside: bool = False, **traits: Any) -> str:
    """Why the host cannot be used, which is also how a call of it fails.

    Parameters
    ----------
    inside
        Whether one gets in, and what is wrong is there.
    """

    async def ask() -> str:
        host: Host = build_hosts({"far": settings(far, **traits)}, None)["far"]
        try:
            said = ""
            while not said or "not answered yet" in said:
                said = await host.available()
            with pytest.raises(SpawnerError) as caught:
                await host.home()
            assert caught.value.message == said
            # A host of which nothing is known; but what is known there is a refusal.
            assert isinstance(caught.value, Unreachable) != inside
            return said
        finally:
            await host.close()

    began = time.monotonic()
    said = apart(ask)
    assert time.monotonic() - began < 60
    return said
