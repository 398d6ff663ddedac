"""Sessions as jobs of a real Grid Engine, by its own spawner and by a hub's class."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions.errors import InvalidRequest
from jupyter_sessions.hosts.local import LocalHost
from jupyter_sessions.session import Session, State, Status
from jupyter_sessions.spawners.base import Launch, Spawner
from jupyter_sessions.spawners.gridengine import GridEngineSpawner
from jupyter_sessions.spawners.jupyterhub import JupyterHubSpawner
from jupyter_sessions.testing import SpawnerContract

from ..managers import running
from ..processes import marked
from .batch import BatchContract, Counted, answer, begin, until, until_ended, until_running
from .gridengine import GridEngine, cell

QUICK = {"class": "gridengine", "query_interval": 1, "poll_interval": 0.3}


@pytest.fixture(scope="module")
def engine() -> Iterator[GridEngine]:
    with cell() as made:
        yield made


@pytest.fixture(autouse=True)
def configured(engine: GridEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in engine.env.items():
        monkeypatch.setenv(name, value)


def jobs(engine: GridEngine, session_id: str) -> list[str]:
    """The ids of the jobs in the queue that carry a session's name."""
    xml = engine.run("qstat", "-xml", "-u", "*")
    found = re.findall(r"<JB_job_number>(\d+)</.*?<JB_name>(.*?)</", xml, re.DOTALL)
    return [job for job, name in found if session_id in name]


async def gone(engine: GridEngine, session: Session) -> bool:
    """Whether nothing of it is left in the queue, a moment after its supervisor has gone."""
    async with asyncio.timeout(30):
        while jobs(engine, session.id):  # noqa: ASYNC110 - Grid Engine tells nobody
            await asyncio.sleep(0.2)
    return True


async def test_a_session_runs_as_a_job_and_leaves_nothing_behind(
    engine: GridEngine, root: Path
) -> None:
    async with running(root, spawners={"ge": QUICK}) as manager:
        forms = {form["name"]: form for form in await manager.offers.spawners()}
        assert forms["ge"]["options"]["properties"]["queue"]["enum"] == ["all.q"]
        asked = {"cpus": 2, "hours": 1, "queue": "all.q"}
        session = await until_running(manager, await begin(manager, "ge", resources=asked))
        session = await until(manager, session, lambda s: s.attempt.ends is not None)
        environment = (await answer(manager, session))["environment"]
        assert environment["JOB_ID"] == session.attempt.handle["job"]  # type: ignore[index]
        assert environment["NSLOTS"] == "2"
        await manager.restart(session.id)
        await until_running(manager, session, attempt=2)
        await manager.stop(session.id)
        assert (await until_ended(manager, session)).state is State.STOPPED
        assert (root / "sessions" / session.id / "state" / "hook-ran").exists()
        assert await gone(engine, session)
        assert marked(session.id) == []


async def test_ends_are_told_as_what_they_were(
    engine: GridEngine, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(root.parent / "bin", "qdel", "qstat")
    monkeypatch.setenv("PATH", f"{counted.folder}:{os.environ['PATH']}")
    held = {**QUICK, "extra": ["-h"]}
    nowhere = {**QUICK, "extra": ["-wd", "/no/such/place"]}
    refused = {**QUICK, "extra": ["-l", "no_such_resource=1"]}
    hurried = {**QUICK, "walltime_margin": 0}
    spawners = {
        "ge": QUICK, "held": held, "nowhere": nowhere, "refused": refused, "hurried": hurried,
    }  # fmt: skip
    async with running(root, spawners=spawners) as manager:
        waits = await begin(manager, "held")
        waits = await until(manager, waits, lambda s: "is held" in s.attempt.message)
        await manager.stop(waits.id)
        assert (await until_ended(manager, waits)).state is State.STOPPED
        assert len(counted.calls("qdel")) == 1
        assert await gone(engine, waits)

        stuck = await until_ended(manager, await begin(manager, "nowhere"))
        assert (stuck.attempt.reason, stuck.state) == ("stuck", State.FAILED)
        assert "/no/such/place" in stuck.attempt.message
        assert await gone(engine, stuck)

        wrong = await until_ended(manager, await begin(manager, "refused"))
        assert "no_such_resource" in wrong.attempt.message

        ours = await until_running(manager, await begin(manager, "ge"))
        engine.run("qdel", *jobs(engine, ours.id))
        ended = await until_ended(manager, ours)
        assert (ended.attempt.reason, ended.state) == ("cancelled", State.STOPPED)

        with pytest.raises(InvalidRequest):
            await begin(manager, "ge", resources={"queue": "$(touch x)"})
        with pytest.raises(InvalidRequest):
            await begin(manager, "ge", resources={"account": "a,h_rt=99:99:99"})


async def test_a_master_that_does_not_answer_changes_nothing(
    engine: GridEngine, root: Path
) -> None:
    async with running(root, spawners={"ge": QUICK}) as manager:
        session = await until_running(manager, await begin(manager, "ge"))
        engine.stop_master()
        try:
            lost = await until(manager, session, lambda s: bool(s.attempt.unreachable_since))
            assert lost.state is State.RUNNING
            assert (await answer(manager, lost))["pid"]
            late = await begin(manager, "ge")
            late = await until(manager, late, lambda s: "does not answer" in s.attempt.message)
        finally:
            engine.start_master()
        found = await until(manager, session, lambda s: s.attempt.unreachable_since is None)
        assert (found.state, found.attempt.number) == (State.RUNNING, 1)
        late = await until_running(manager, late)
        assert len(jobs(engine, late.id)) == 1
        for each in (session, late):
            await manager.stop(each.id)
        for each in (session, late):
            await until_ended(manager, each)


class TestContract(BatchContract):
    """What all spawners hold."""

    spawner_class = GridEngineSpawner

    @pytest.fixture(autouse=True)
    def _cell(self, engine: GridEngine) -> None:
        self.engine = engine

    def remains(self, launch: Launch) -> list[Any]:
        return [*marked(launch.session_id), *jobs(self.engine, launch.session_id)]

    def test_time_that_is_up_is_told(self) -> None:
        """Its supervisor cannot end it in good order, so Grid Engine does."""

        async def test(spawner: Spawner) -> None:
            launch = self.launch(resources={"hours": 5 / 3600})
            handle = await self.start(spawner, launch)
            await self.report(spawner, handle, Status.ALIVE)
            for pid in marked(launch.session_id):
                os.kill(pid, signal.SIGSTOP)
            report = await self.report(spawner, handle, Status.ENDED)
            assert report.reason == "walltime", report
            await self.end(spawner, handle, launch)

        self.run(test)


class TestBatchspawner(SpawnerContract):
    """`batchspawner.GridengineSpawner` holds the contract, by way of the adapter."""

    patience = 90.0

    @pytest.fixture(autouse=True)
    def _cell(self, engine: GridEngine) -> None:
        self.engine = engine

    @asynccontextmanager
    async def spawner(self) -> AsyncIterator[Spawner]:
        yield JupyterHubSpawner(
            name="hub",
            host=LocalHost(),
            spawner_class="batchspawner.GridengineSpawner",
            spawner_config={"req_homedir": str(self.engine.base), "env_keep": ["PATH"]},
            python="/usr/bin/python3",
            poll_interval=0.3,
            query_interval=1,
            patience=0.5,
        )

    def remains(self, launch: Launch) -> list[Any]:
        # Its jobs all have the same name: nobody else's may be there at the time.
        return [*marked(launch.session_id), *jobs(self.engine, "")]

    # These end up in a file that no class reads: tried with Slurm.
    test_what_people_type_reaches_the_app_as_data = None  # type: ignore[assignment]
