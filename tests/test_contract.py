"""`process` holds the contract that all spawners have: `jupyter_sessions/testing.py`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from unittest import mock

from jupyter_sessions.errors import Unreachable
from jupyter_sessions.hosts.local import LocalHost
from jupyter_sessions.spawners.base import Spawner
from jupyter_sessions.spawners.process import ProcessSpawner
from jupyter_sessions.testing import SpawnerContract


class TestProcess(SpawnerContract):
    @asynccontextmanager
    async def spawner(self) -> AsyncIterator[Spawner]:
        yield ProcessSpawner(name="local", host=LocalHost())

    @asynccontextmanager
    async def unreachable(self, spawner: Spawner) -> AsyncIterator[None]:
        async def silent(*_: object) -> None:
            raise Unreachable("The host does not answer.")

        with mock.patch.object(LocalHost, "runner", silent):
            yield


def test_without_pytest_the_suite_says_what_to_install() -> None:
    program = "import sys; sys.modules['pytest'] = None; import jupyter_sessions.testing"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[-1] == (
        "ImportError: jupyter_sessions.testing needs pytest: python -m pip install pytest"
    )
