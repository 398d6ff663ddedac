"""Sessions on the nodes of a real Slurm: each way to them, and a hub's own spawner class."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions.hosts.local import LocalHost
from jupyter_sessions.options import OptionSchema
from jupyter_sessions.spawners.base import Launch, Spawner
from jupyter_sessions.spawners.jupyterhub import JupyterHubSpawner
from jupyter_sessions.testing import SpawnerContract
from jupyter_sessions.way_check import Found, WayCheck

from ..managers import running
from ..processes import marked
from .batch import answer, begin, until_ended, until_running
from .server import wait
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


@contextmanager
def sshd(slurm: Slurm, node: str) -> Iterator[list[str]]:
    """An SSH server on a node; the options of a client that may log in there."""
    folder = slurm.base / "ssh"
    folder.mkdir(mode=0o700)
    Path("/run/sshd").mkdir(exist_ok=True)
    for name in ("host", "user"):
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(keygen, check=True)
    shutil.copy(folder / "user.pub", folder / "authorized_keys")
    settings = {
        "ListenAddress": slurm.nodes[node],
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "authorized_keys",
        "PidFile": folder / "pid",
        "StrictModes": "no",
        "UsePAM": "no",
    }
    (folder / "sshd_config").write_text("".join(f"{k} {v}\n" for k, v in settings.items()))
    command = slurm.command(node, "/usr/sbin/sshd", "-D", "-f", str(folder / "sshd_config"))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    scan = ["ssh-keyscan", "-T", "2", slurm.nodes[node]]
    try:
        wait(lambda: subprocess.run(scan, capture_output=True).stdout, 20, "sshd")
        yield [
            f"IdentityFile={folder}/user",
            "IdentitiesOnly=yes",
            f"UserKnownHostsFile={folder}/known_hosts",
            "StrictHostKeyChecking=accept-new",
        ]
    finally:
        slurm.on(node, "kill", (folder / "pid").read_text().strip())
        process.wait(20)
        shutil.rmtree(folder)


async def checked(
    slurm: Slurm, root: Path, traits: dict[str, Any], seconds: float, **asked: Any
) -> Found:
    """What a check finds; fails if it leaves anything behind."""
    async with running(root, spawners={"hpc": {**QUICK, **traits}}) as manager:
        spawner = manager.offers.spawner("hpc")
        await spawner.available()  # asks what there is
        schema = OptionSchema(spawner.options_schema())
        resources = schema.check({**SMALL, **asked}, "resources", {"cwd": "/"})
        check = WayCheck(spawner, root / "checks", resources, seconds)
        found = await check.run()
        assert found.left == ""
        assert not (root / "checks").exists()
        # The job has ended once its runner has said so: its last breath may come after that.
        wait(lambda: marked(check._id) == [], 20, "the runner to be gone")
        wait(lambda: check._id not in slurm.run("squeue", "-h", "-t", "PD,R", "-o", "%j"), 20, "")
    return found


async def test_a_check_says_which_ways_lead_to_a_node(slurm: Slurm, root: Path) -> None:
    with sshd(slurm, "n1") as options:
        traits: dict[str, Any] = {
            "reach": "direct",
            "dial_addresses": [f"{slurm.net}.1"],
            "node_addresses": {"n1": slurm.nodes["n1"]},
            "node_ssh": {"options": options},
        }
        found = await checked(slurm, root, traits, 60, partition="gpu")
    assert (found.node, found.problem) == ("n1", "")
    # The nodes here see the files of this machine, its sockets too.
    assert [(w.name, w.works) for w in found.ways] == [
        ("host", True), ("ssh", True), ("direct", True), ("dial", True),
    ], found  # fmt: skip
    assert found.works
    # Nobody listens for SSH there, and there is no such network on the node.
    wrong = {**traits, "node_interface": "10.99.0.0/16", "node_ssh": {"options": ["Port=1"]}}
    found = await checked(slurm, root, wrong, 60, partition="gpu")
    told = {way.name: way for way in found.ways}
    assert [name for name, way in told.items() if way.works] == ["host", "dial"]
    assert "no SSH server listens there" in told["ssh"].message
    assert "10.99.0.0/16" in told["direct"].message
    assert not found.works


async def test_a_check_whose_job_waits_is_cancelled(slurm: Slurm, root: Path) -> None:
    found = await checked(slurm, root, {"reach": "direct", "extra": ["--hold"]}, 3)
    assert "did not start it within 3 s: Slurm job" in found.problem, found
    assert found.ways == ()


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
