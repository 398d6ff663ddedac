"""Each way in which a job of a real Slurm ends, as people are told of it."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions.hosts.local import LocalHost
from jupyter_sessions.session import Handle, Report, State, Status, new_id
from jupyter_sessions.spawners.base import Launch, Spawner
from jupyter_sessions.spawners.slurm import SlurmSpawner

from ..managers import running
from ..processes import marked
from .batch import answer, begin, until, until_ended, until_running
from .slurm import Slurm
from .slurm_sessions import QUICK, SMALL, gone, jobs

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("configured")]
EATER = """
import time
eaten = []
while True:
    eaten.append(bytearray(20 << 20))
    time.sleep(0.1)
"""


async def reported(spawner: Spawner, handle: Handle, status: Status) -> Report:
    async with asyncio.timeout(200):
        while True:
            report = (await spawner.poll({"it": handle})).get("it")
            if report is not None and report.status is status:
                return report
            await asyncio.sleep(0.5)


async def test_each_end_is_told_as_what_it_was(slurm: Slurm, root: Path) -> None:
    """All at a time: Slurm looks at time limits every half minute only."""
    app = {"title": "Eater", "command": ["{python}", "-c", EATER, "{socket}"], "stop": {"grace": 1}}
    own = {**QUICK, "resubmit": False}
    traits: dict[str, Any] = {
        "spawners": {
            "hpc": QUICK,
            "n2": {**QUICK, "extra": ["--nodelist=n2"]},
            "n1": {**QUICK, "extra": ["--nodelist=n1"]},
            "own": {**own, "extra": ["--nodelist=n2"]},
            "requeues": {**QUICK, "requeue": True, "extra": ["--nodelist=n1"]},
        },
        "apps": {"eater": app},
    }
    async with running(root, **traits) as manager:

        async def by_time() -> None:
            # No manager looks after this one, which would have ended it on time.
            spawner = SlurmSpawner(name="alone", host=LocalHost())
            spawner.query_interval = 1
            launch = Launch(
                session_id=new_id(),
                attempt=1,
                name="alone",
                directory=str(root / "alone" / "1"),
                argv=("sleep", "600"),  # listens nowhere
                fields={},
                cwd="/",
                resources={"memory": 0.05, "hours": 0.01},
            )
            async for yielded in spawner.start(launch):
                handle = yielded
            report = await reported(spawner, handle, Status.STARTING)
            # Its supervisor cannot end it in good order: Slurm does, on time or a little later.
            for pid in marked(launch.session_id):
                os.kill(pid, signal.SIGSTOP)
            report = await reported(spawner, handle, Status.ENDED)
            assert report.reason == "walltime"
            assert "its time was up" in report.message

        async def in_good_order() -> None:
            session = await begin(manager, "n1", resources={"memory": 0.05, "hours": 0.005})
            session = await until_running(manager, session)
            ended = await until_ended(manager, session)
            assert (ended.attempt.reason, ended.state) == ("timeout", State.STOPPED)
            assert (root / "sessions" / session.id / "state" / "hook-ran").exists()

        async def by_memory() -> None:
            session = await manager.create(
                {"app": "eater", "spawner": "n1", "resources": {"memory": 0.06, "hours": 1}}
            )
            ended = await until_ended(manager, session)
            assert (ended.attempt.reason, ended.state) == ("out_of_memory", State.FAILED)
            assert "more memory" in ended.attempt.message

        async def by_somebody() -> None:
            session = await until_running(manager, await begin(manager, "n1", resources=SMALL))
            slurm.run("scancel", *jobs(slurm, session.id))
            ended = await until_ended(manager, session)
            assert (ended.attempt.reason, ended.state) == ("cancelled", State.STOPPED)
            assert "was cancelled" in ended.attempt.message

        async def put_back() -> None:
            session = await begin(manager, "requeues", resources=SMALL)
            session = await until_running(manager, session)
            url = manager.describe(session)["url"]
            slurm.run("scontrol", "requeue", *jobs(slurm, session.id))
            again = await until_running(manager, session, attempt=2)
            assert again.past[0].reason in ("requeued", "cancelled", "stopped"), again.past[0]
            assert again.past[0].reason == "requeued"
            assert manager.describe(again)["url"] == url
            assert (await answer(manager, again))["pid"]
            await manager.stop(session.id)
            await until_ended(manager, session)
            assert await gone(slurm, session)

        async def by_others_and_a_dead_node() -> None:
            names = ("n2", "own")
            ours, once = [
                await until_running(manager, await begin(manager, name, resources=SMALL))
                for name in names
            ]
            urgent = ["sbatch", "--parsable", "-p", "urgent", "-w", "n2", "--exclusive"]
            slurm.run(*urgent, "-o", "/dev/null", "--wrap", "sleep 1")
            ended = await until_ended(manager, once)
            assert (ended.attempt.reason, ended.state) == ("preempted", State.FAILED)
            again = await until_running(manager, ours, attempt=2)
            assert again.past[0].reason == "preempted"
            slurm.kill_node("n2")
            lost = await until(manager, ours, lambda s: s.attempt.number == 3)
            assert lost.past[1].reason == "node_failed"
            assert lost.past[1].message.endswith("its node failed.")
            slurm.start_node("n2")
            await until_running(manager, ours, attempt=3)
            await manager.stop(ours.id)
            await until_ended(manager, ours)

        ends = (by_time, in_good_order, by_memory, by_somebody, put_back)
        async with asyncio.TaskGroup() as group:
            for end in (*ends, by_others_and_a_dead_node):
                group.create_task(end())
