"""Sessions as jobs of a real Slurm: two nodes, each with its own network, processes and name."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions.errors import Conflict
from jupyter_sessions.manager import SessionManager
from jupyter_sessions.session import Session, State
from jupyter_sessions.spawners.base import Launch
from jupyter_sessions.spawners.slurm import SlurmSpawner

from ..managers import running
from ..processes import marked
from .batch import BatchContract, Counted, answer, begin, until, until_ended, until_running
from .slurm import Slurm
from .slurm_sessions import OPEN, QUICK, SMALL, gone, jobs

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("configured")]


async def test_a_session_runs_on_a_node_and_leaves_nothing_behind(slurm: Slurm, root: Path) -> None:
    async with running(root, spawners={"hpc": QUICK}) as manager:
        session = await begin(manager, "hpc", resources=SMALL)
        session = await until_running(manager, session)
        assert session.attempt.host in slurm.nodes
        assert (await answer(manager, session))["environment"]["SLURM_JOB_ID"]
        session = await until(manager, session, lambda s: s.attempt.ends is not None)
        assert session.attempt.ends is not None
        left = (session.attempt.ends - datetime.now(UTC)).total_seconds()
        assert 3300 < left < 3560, "the hour of the job, less the margin"
        assert session.attempt.expires == session.attempt.ends
        with pytest.raises(Conflict, match="cannot run longer"):
            await manager.edit(session.id, {"timeout": 7200})
        log = b"".join([chunk async for chunk in manager.logs(session.id)])
        assert b"echo is here" in log
        usage = (await until_used(manager, session))[session.id]
        assert usage["processes"] >= 1
        assert session.attempt.handle is not None
        first = session.attempt.handle["job"]
        await manager.restart(session.id)
        again = await until_running(manager, session, attempt=2)
        assert again.attempt.handle is not None
        assert again.attempt.handle["job"] != first
        await manager.stop(session.id)
        ended = await until_ended(manager, session)
        assert ended.state is State.STOPPED
        assert (root / "sessions" / session.id / "state" / "hook-ran").exists()
        assert await gone(slurm, session)
        assert marked(session.id) == []
        assert not (root / "sessions" / session.id / "2" / "socket").exists()


async def until_used(manager: SessionManager, session: Session) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while session.id not in (used := await manager.usage()):  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.2)
    return dict(used)


async def test_fifty_sessions_are_one_query(slurm: Slurm, root: Path, counted: Counted) -> None:
    traits = {**QUICK, "query_interval": 3}
    async with running(root, spawners={"hpc": traits}) as manager:
        made = [await begin(manager, "hpc", resources=SMALL) for _ in range(50)]

        def settled(session: Session) -> bool:
            waits = session.state is State.QUEUED and session.attempt.reason in WAITING
            return waits or session.state in (State.RUNNING, State.FAILED)

        for session in made:
            await until(manager, session, settled)
        states = [(await manager.session(s.id)).state for s in made]
        assert states.count(State.RUNNING) >= 10
        assert states.count(State.QUEUED) >= 10, "16 processors do not take 50 sessions"
        before, began = len(counted.calls("squeue")), time.monotonic()
        await asyncio.sleep(10)  # the subject: what is asked meanwhile
        asked = len(counted.calls("squeue")) - before
        assert asked <= (time.monotonic() - began) / 3 + 1
        assert asked >= 2
        assert counted.calls("scontrol") == counted.calls("sacct") == []
        before, began = len(counted.calls("squeue")), time.monotonic()
        for session in made:
            await manager.stop(session.id)
        for session in made:
            assert (await until_ended(manager, session)).state is State.STOPPED
        asked, took = len(counted.calls("squeue")) - before, time.monotonic() - began
        print(f"{asked} queries and {len(counted.calls('scancel'))} scancel in {took:.0f} s")
        assert asked <= 50, "stopping so many is fewer queries than sessions"
        cancelled = [word for call in counted.calls("scancel") for word in call.split()[1:]]
        assert len(cancelled) == len(set(cancelled)), "each was cancelled once"
        for session in made:
            assert await gone(slurm, session)


WAITING = ("resources", "priority", "req_node_not_avail", "queued")


async def test_a_full_queue_is_told_and_opens_by_itself(
    slurm: Slurm, root: Path, counted: Counted
) -> None:
    blockers = [
        slurm.run("sbatch", "--parsable", "-o", "/dev/null", "--exclusive", "-t", "5", "-w", node,
                  "--wrap", "sleep 300")
        for node in slurm.nodes
    ]  # fmt: skip
    async with running(root, spawners={"hpc": QUICK}) as manager:
        waits = await begin(manager, "hpc", resources=SMALL)
        given_up = await begin(manager, "hpc", resources=SMALL)
        waits = await until(manager, waits, lambda s: "expected start" in s.attempt.message)
        assert waits.state is State.QUEUED
        assert waits.attempt.message.startswith(f"Slurm job {waits.attempt.handle['job']} waits: ")  # type: ignore[index]
        assert waits.attempt.reason in WAITING
        await until(manager, given_up, lambda s: s.attempt.submitted)
        await manager.stop(given_up.id)
        assert (await until_ended(manager, given_up)).state is State.STOPPED
        assert len(counted.calls("scancel")) == 1
        assert await gone(slurm, given_up)
        slurm.run("scancel", *blockers)
        await until_running(manager, waits)
        await manager.stop(waits.id)
        await until_ended(manager, waits)


async def test_it_waits_no_longer_than_it_may(slurm: Slurm, root: Path) -> None:
    held = {**QUICK, "extra": ["--hold"], "queue_timeout": 2}
    async with running(root, spawners={"hpc": held}) as manager:
        session = await begin(manager, "hpc")
        ended = await until_ended(manager, session)
        assert ended.state is State.FAILED
        assert ended.attempt.reason == "queue_timeout"
        assert await gone(slurm, session)


async def test_the_same_through_a_login_node(
    slurm: Slurm, root: Path, login: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLURM_CONF")
    there = {"login": login}
    async with running(root, hosts=there, spawners={"hpc": {**QUICK, "host": "login"}}) as manager:
        spawner = manager.offers.spawner("hpc")
        async with asyncio.timeout(60):
            while "enum" not in spawner.options_schema()["properties"]["partition"]:
                await spawner.host.home()  # as long as the login takes
                assert await spawner.available() == ""
                await asyncio.sleep(0.1)
        session = await begin(manager, "hpc", resources=SMALL, cwd="/")
        session = await until_running(manager, session)
        assert session.attempt.host in slurm.nodes
        assert (await answer(manager, session))["environment"]["SLURM_JOB_ID"]
        log = b"".join([chunk async for chunk in manager.logs(session.id)])
        assert b"echo is here" in log
        await manager.stop(session.id)
        assert (await until_ended(manager, session)).state is State.STOPPED
        monkeypatch.setenv("SLURM_CONF", str(slurm.conf))
        assert await gone(slurm, session)
    assert marked(session.id) == []


class TestContract(BatchContract):
    """What all spawners hold."""

    spawner_class = SlurmSpawner
    resources = SMALL

    @pytest.fixture(autouse=True)
    def _cluster(self, slurm: Slurm) -> None:
        self.slurm = slurm

    def remains(self, launch: Launch) -> list[Any]:
        return [*marked(launch.session_id), *jobs(self.slurm, launch.session_id, OPEN)]
