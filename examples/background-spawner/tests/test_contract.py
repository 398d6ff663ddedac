"""The spawner holds the contract, and does what it is for."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from background_spawner import BackgroundSpawner

from jupyter_sessions.hosts.local import LocalHost
from jupyter_sessions.spawners.base import Spawner
from jupyter_sessions.testing import SpawnerContract, ask


class TestBackground(SpawnerContract):
    @asynccontextmanager
    async def spawner(self) -> AsyncIterator[Spawner]:
        yield BackgroundSpawner(name="background", host=LocalHost())

    def test_the_app_gets_idle_time_only(self) -> None:
        async def test(spawner: Spawner) -> None:
            async with self.running(spawner, self.launch()) as (_, address):
                pid = (await ask(address))["pid"]
                assert os.sched_getscheduler(pid) == os.SCHED_IDLE

        self.run(test)
