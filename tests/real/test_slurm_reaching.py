"""Sessions on the nodes of a real Slurm: each way to them, and a hub's own spawner class."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions.hosts.local import LocalHost
from jupyter_sessions.spawners.base import Launch, Spawner
from jupyter_sessions.spawners.jupyterhub import JupyterHubSpawner
from jupyter_sessions.testing import SpawnerContract

from ..managers import running
from ..processes import marked
from .batch import answer, begin, until_ended, until_running
from .slurm import Slurm, cluster

pytestmark = pytest.mark.root
QUICK = {"class": "slurm", "query_interval": 1, "poll_interval": 0.3}
SMALL = {"memory": 0.3, "hours": 1}
HUB = {
    "spawner_class": "batchspawner.SlurmSpawner",
    "spawner_config": {
        "req_srun": "",
        "req_memory": "300",
        "req_homedir": "/var/tmp",
        "env_keep": ["PATH", "SLURM_CONF"],
    },
    "python": "/usr/bin/python3",
    "query_interval": 1,
}


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    with cluster() as made:
        yield made


@pytest.fixture(autouse=True)
def configured(slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in slurm.env.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("reach", ["direct", "dial"])
async def test_a_session_on_a_node_answers(slurm: Slurm, root: Path, reach: str) -> None:
    traits: dict[str, Any] = {**QUICK, "reach": reach}
    if reach == "dial":
        traits["dial_addresses"] = [f"{slurm.net}.1"]
    async with running(root, spawners={"hpc": traits}) as manager:
        session = await until_running(manager, await begin(manager, "hpc", resources=SMALL))
        address = session.attempt.address
        assert address is not None
        assert address.node in slurm.nodes
        if reach == "direct":
            assert address.host == slurm.nodes[address.node]
        assert await answer(manager, session)
        await manager.stop(session.id)
        await until_ended(manager, session)
        async with asyncio.timeout(30):
            while marked(session.id):  # noqa: ASYNC110 - the runner is the last to go
                await asyncio.sleep(0.1)
    # A server that comes later finds another session of the same kind as well.
    async with running(root, spawners={"hpc": traits}) as manager:
        session = await until_running(manager, await begin(manager, "hpc", resources=SMALL))
    async with running(root, spawners={"hpc": traits}) as manager:
        assert await answer(manager, await manager.session(session.id))
        await manager.stop(session.id)
        await until_ended(manager, session)


class TestBatchspawner(SpawnerContract):
    """`batchspawner.SlurmSpawner` holds the contract, by way of the adapter."""

    @pytest.fixture(autouse=True)
    def _cluster(self, slurm: Slurm) -> None:
        self.slurm = slurm

    @asynccontextmanager
    async def spawner(self) -> AsyncIterator[Spawner]:
        yield JupyterHubSpawner(
            name="hub", host=LocalHost(), reach="direct", poll_interval=0.3, patience=0.5, **HUB
        )

    def remains(self, launch: Launch) -> list[Any]:
        return list(marked(launch.session_id))
