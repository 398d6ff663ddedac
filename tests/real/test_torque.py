"""Torque's commands over a real Slurm: those that Slurm has for people who come from Torque.

They differ from Torque's: the script has to be a file, there is no ``qselect`` and no
``qstat -x``, ended jobs have no exit status, lines begin with a tab. What Torque itself prints, a
fake does: `test_pbs.py`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions.hosts.local import LocalHost
from jupyter_sessions.session import Session, State
from jupyter_sessions.spawners.base import Launch, Spawner
from jupyter_sessions.spawners.jupyterhub import JupyterHubSpawner
from jupyter_sessions.spawners.pbs import PbsSpawner
from jupyter_sessions.testing import SpawnerContract

from ..managers import running
from ..processes import marked
from .batch import (
    BatchContract,
    Counted,
    answer,
    begin,
    forms_of,
    until,
    until_ended,
    until_running,
)
from .slurm import Slurm, cluster

WRAPPERS = Path(sys.prefix) / "share" / "slurm-wlm-torque" / "usr" / "bin"
"""See ``scripts/setup-torque.sh``."""
QUICK = {
    "class": "pbs",
    "dialect": "torque",
    "extra": ["/dev/stdin"],
    "query_interval": 1,
    "poll_interval": 0.3,
}
SMALL = {"memory": 0.1, "hours": 1}
OPEN = "PD,R,CG,CF,S"
QSELECT = f'#!/bin/sh\nexec squeue -h -t {OPEN} -n "$2" -o %i\n'


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    with cluster() as made:
        yield made


@pytest.fixture(autouse=True)
def configured(slurm: Slurm, short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = short_path / "torque"
    folder.mkdir()
    for name in ("qsub", "qstat", "qdel"):
        (folder / name).symlink_to(WRAPPERS / name)
    for name in ("sbatch", "salloc", "srun"):  # where qsub looks for them: beside itself
        (folder / name).symlink_to(str(shutil.which(name)))
    (folder / "qselect").write_text(QSELECT)
    (folder / "qselect").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    for name, value in slurm.env.items():
        monkeypatch.setenv(name, value)


def jobs(slurm: Slurm, session_id: str) -> list[str]:
    """The ids of the jobs that carry a session's name and have not ended."""
    lines = slurm.run("squeue", "-h", "-t", OPEN, "-o", "%i %j").splitlines()
    return [line.split()[0] for line in lines if session_id in line]


async def gone(slurm: Slurm, session: Session) -> bool:
    async with asyncio.timeout(20):
        while jobs(slurm, session.id):  # noqa: ASYNC110 - Slurm tells nobody
            await asyncio.sleep(0.2)
    return True


async def test_a_session_runs_on_a_node_and_leaves_nothing_behind(slurm: Slurm, root: Path) -> None:
    async with running(root, spawners={"pbs": QUICK}) as manager:
        forms = await forms_of(manager)
        queue = forms["pbs"]["options"]["properties"]["queue"]
        assert set(queue["enum"]) == {"debug", "urgent", "gpu"}
        asked = {**SMALL, "cpus": 2, "queue": "gpu"}
        session = await until_running(manager, await begin(manager, "pbs", resources=asked))
        (job,) = jobs(slurm, session.id)
        assert session.attempt.host == "n1"
        assert (await answer(manager, session))["environment"]["SLURM_JOB_ID"] == job
        told = slurm.run("scontrol", "show", "job", job)
        for fact in ("Partition=gpu", "NumTasks=2", "MinMemoryNode=102M", "TimeLimit=01:00:00"):
            assert fact in told, told
        await manager.stop(session.id)
        assert (await until_ended(manager, session)).state is State.STOPPED
        assert await gone(slurm, session)
    assert marked(session.id) == []


async def test_what_waits_is_told_runs_or_is_cancelled(
    slurm: Slurm, root: Path, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(short_path / "counted", "qstat", "qdel")
    monkeypatch.setenv("PATH", f"{counted.folder}:{os.environ['PATH']}")
    full = {**SMALL, "cpus": 8, "queue": "gpu"}
    async with running(root, spawners={"pbs": QUICK}) as manager:
        first = await until_running(manager, await begin(manager, "pbs", resources=full))
        waits, given_up = [await begin(manager, "pbs", resources=full) for _ in range(2)]
        for session in (waits, given_up):
            queued = await until(manager, session, lambda s: s.attempt.reason == "queued")
            assert "waits" in queued.attempt.message
        ids = [jobs(slurm, session.id)[0] for session in (first, waits, given_up)]
        assert any(set(ids) <= set(call.split()) for call in counted.calls("qstat")), "one for all"
        await manager.stop(given_up.id)
        assert (await until_ended(manager, given_up)).state is State.STOPPED
        assert counted.calls("qdel") == [f"qdel {ids[2]}"]
        await manager.stop(first.id)
        await until_running(manager, waits)
        slurm.run("scancel", ids[1])
        ended = await until_ended(manager, waits)
        assert ended.attempt.reason != "job_lost", ended.attempt


async def test_a_controller_that_does_not_answer_changes_nothing(slurm: Slurm, root: Path) -> None:
    async with running(root, spawners={"pbs": QUICK}) as manager:
        session = await until_running(manager, await begin(manager, "pbs", resources=SMALL))
        slurm.stop_controller()
        try:
            away = await until(manager, session, lambda s: bool(s.attempt.unreachable_since))
            assert away.state is State.RUNNING
            assert (await answer(manager, session))["pid"]
        finally:
            slurm.start_controller()
        await until(manager, session, lambda s: s.attempt.unreachable_since is None)
        await manager.stop(session.id)
        await until_ended(manager, session)
        assert await gone(slurm, session)


class TestContract(BatchContract):
    """What all spawners hold."""

    spawner_class = PbsSpawner
    resources = SMALL

    @pytest.fixture(autouse=True)
    def _cluster(self, slurm: Slurm) -> None:
        self.slurm = slurm

    @asynccontextmanager
    async def spawner(self) -> AsyncIterator[Spawner]:
        async with super().spawner() as spawner:
            assert isinstance(spawner, PbsSpawner)
            spawner.dialect, spawner.extra = "torque", ["/dev/stdin"]
            yield spawner

    def remains(self, launch: Launch) -> list[Any]:
        return [*marked(launch.session_id), *jobs(self.slurm, launch.session_id)]


BATCH_SCRIPT = """\
#!/bin/sh
#PBS -l walltime={runtime}
#PBS -v {keepvars}
{cmd}
"""


class TestBatchspawner(SpawnerContract):
    """`batchspawner.TorqueSpawner` holds the contract, by way of the adapter.

    Configured as a site has to that has these commands: they know neither a script on stdin nor
    ``qstat -x``, and Slurm no queue with the name of a server.
    """

    patience = 90.0

    @pytest.fixture(autouse=True)
    def _cluster(self, slurm: Slurm) -> None:
        self.slurm = slurm

    @asynccontextmanager
    async def spawner(self) -> AsyncIterator[Spawner]:
        submit = f"qsub -V -l mem=300mb -o {self.store}/job.log -j oe /dev/stdin"
        yield JupyterHubSpawner(
            name="hub",
            host=LocalHost(),
            spawner_class="batchspawner.TorqueSpawner",
            spawner_config={
                "batch_script": BATCH_SCRIPT,
                "batch_submit_cmd": submit,
                "batch_query_cmd": "qstat -f {job_id}",
                "state_pending_re": "job_state = Q",
                "state_running_re": "job_state = R",
                "state_exechost_re": r"exec_host = ([\w.-]+)/",
                "req_runtime": "10:00",
                "env_keep": ["PATH", "SLURM_CONF"],
            },
            python="/usr/bin/python3",
            poll_interval=0.3,
            query_interval=1,
            patience=0.5,
        )

    def remains(self, launch: Launch) -> list[Any]:
        return list(marked(launch.session_id))
