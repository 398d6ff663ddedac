"""Sessions as jobs of a real Slurm: two nodes, each with its own network, processes and name."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions.errors import Conflict, InvalidRequest
from jupyter_sessions.hosts.local import LocalHost
from jupyter_sessions.manager import SessionManager
from jupyter_sessions.session import Handle, Report, Session, State, Status, new_id
from jupyter_sessions.spawners.base import Launch, Spawner
from jupyter_sessions.spawners.slurm import SlurmSpawner

from ..managers import running, starts
from ..processes import marked
from .batch import BatchContract, Counted, answer, begin, until, until_ended, until_running
from .slurm import Slurm, cluster, login_node

DRIVER = Path(__file__).parents[1] / "drivers" / "manager_that_dies.py"
QUICK = {"class": "slurm", "query_interval": 1, "poll_interval": 0.3}
PROGRAMS = ("sbatch", "squeue", "scancel", "sacct", "scontrol", "sinfo")
SMALL = {"memory": 0.05, "hours": 1}
EATER = """
import time
eaten = []
while True:
    eaten.append(bytearray(20 << 20))
    time.sleep(0.1)
"""


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    with cluster() as made:
        yield made


@pytest.fixture(autouse=True)
def configured(slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in slurm.env.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def counted(root: Path, monkeypatch: pytest.MonkeyPatch) -> Counted:
    """Slurm's commands, counted from now on."""
    made = Counted(root.parent / "bin", *PROGRAMS)
    monkeypatch.setenv("PATH", f"{made.folder}:{os.environ['PATH']}")
    return made


def jobs(slurm: Slurm, session_id: str, states: str = "all") -> list[str]:
    """The ids of the jobs that carry a session's name."""
    lines = slurm.run("squeue", "-h", "-t", states, "-o", "%i %j").splitlines()
    return [line.split()[0] for line in lines if session_id in line]


OPEN = "PD,R,CG,CF,S"


async def gone(slurm: Slurm, session: Session) -> bool:
    """Whether nothing of it is left in the queue, a moment after its supervisor has gone."""
    async with asyncio.timeout(20):
        while jobs(slurm, session.id, OPEN):  # noqa: ASYNC110 - Slurm tells nobody
            await asyncio.sleep(0.2)
    return True


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
        for session in made:
            await manager.stop(session.id)
        for session in made:
            assert (await until_ended(manager, session)).state is State.STOPPED
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


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("write", [1, 2, 3, 4])
async def test_a_server_killed_at_a_write_leaves_no_second_job(
    slurm: Slurm, root: Path, write: int, when: str
) -> None:
    request = {"app": "echo", "spawner": "there"}
    traits = json.dumps([{"spawners": {"there": QUICK}}, request])
    argv = [sys.executable, str(DRIVER), str(root), str(write), when, traits]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as dying:
        assert dying.stdout is not None
        session_id = dying.stdout.readline().strip()
        assert await asyncio.to_thread(dying.wait, 60) == -signal.SIGKILL
    async with running(root, spawners={"there": QUICK}) as manager:
        (session,), _ = await manager.sessions()
        session = await until_running(manager, session)
        assert session.attempt.number == 1
        assert len(starts(root, session)) == 1
        assert len(jobs(slurm, session_id)) == 1
        await manager.stop(session_id)
        await until_ended(manager, session)
    assert await gone(slurm, session)
    assert marked(session_id) == []


async def test_a_scheduler_that_does_not_answer_changes_nothing(slurm: Slurm, root: Path) -> None:
    held = {**QUICK, "extra": ["--hold"]}
    async with running(root, spawners={"hpc": QUICK, "held": held}) as manager:
        session = await until_running(manager, await begin(manager, "hpc", resources=SMALL))
        spare = await until_running(manager, await begin(manager, "hpc", resources=SMALL))
        queued = await begin(manager, "held")
        queued = await until(manager, queued, lambda s: "JobHeld" in s.attempt.message)
        slurm.stop_controller()
        try:
            late = await begin(manager, "hpc", resources=SMALL)
            lost = await until(manager, session, lambda s: s.attempt.unreachable_since is not None)
            assert lost.state is State.RUNNING
            assert (await answer(manager, lost))["pid"]
            waiting = await until(manager, queued, lambda s: bool(s.attempt.unreachable_since))
            assert waiting.state is State.QUEUED
            late = await until(manager, late, lambda s: "does not answer" in s.attempt.message)
            assert late.state in (State.CREATED, State.QUEUED)
            form = {f["name"]: f for f in await manager.offers.spawners()}["hpc"]
            assert "pattern" in form["options"]["properties"]["partition"], "free text till then"
            await manager.stop(spare.id)
            assert (await until_ended(manager, spare)).state is State.STOPPED
            assert marked(spare.id) == []
            unknown = manager.offers.spawner("hpc")
            async with asyncio.timeout(60):
                while "does not answer" not in await unknown.available():  # noqa: ASYNC110
                    await asyncio.sleep(0.5)
        finally:
            slurm.start_controller()
        found = await until(manager, session, lambda s: s.attempt.unreachable_since is None)
        assert found.state is State.RUNNING
        assert found.attempt.number == 1
        await until(manager, queued, lambda s: s.attempt.unreachable_since is None)
        assert jobs(slurm, queued.id, OPEN) != []
        late = await until_running(manager, late)
        assert len(jobs(slurm, late.id)) == 1
        for each in (session, queued, late):
            await manager.stop(each.id)
        for each in (session, queued, late):
            await until_ended(manager, each)
            assert await gone(slurm, each)


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


async def test_what_slurm_refuses_is_said_in_its_words(slurm: Slurm, root: Path) -> None:
    wrong = {
        "nowhere": {**QUICK, "extra": ["--partition=none"]},
        "no python": {**QUICK, "python": "/no/python"},
        "set aside": {**QUICK, "fixed": {"reservation": "nobodys"}},
    }
    async with running(root, spawners=wrong) as manager:
        made = {name: await begin(manager, name, resources={}) for name in wrong}
        ended = {name: await until_ended(manager, session) for name, session in made.items()}
        for session in ended.values():
            assert session.state is State.FAILED
        told = {name: session.attempt.message for name, session in ended.items()}
        assert "invalid partition specified" in told["nowhere"]
        assert "reservation" in told["set aside"].lower()
        assert "failed before it could start the app" in told["no python"]
        log = b"".join([chunk async for chunk in manager.logs(made["no python"].id)])
        assert b"/no/python" in log


async def test_no_option_is_more_than_its_value(slurm: Slurm, root: Path, counted: Counted) -> None:
    """Neither a shell, nor a script, nor Slurm reads anything in what people type."""
    bad = [
        "$(touch x)",
        "a\n#SBATCH --wrap=id",
        "-A x",
        "a b;id",
        "`id`",
        "--wrap=id",
        "a\r",
        "debug\n",
    ]
    traits = {
        **QUICK,
        "directives": {
            "comment": {"type": "string", "argument": "--comment={}"},
            "feature": {"type": "string"} | {"argument": []},
        },
        "script_template": "#!/bin/sh\n# {feature} {partition}\n{prologue}\nexec {command}\n",
    }
    async with running(root, spawners={"hpc": traits}) as manager:
        fields = ["partition", "account", "qos", "constraint", "reservation", "gpu_type", "feature"]
        for field in fields:
            for value in bad:
                with pytest.raises(InvalidRequest) as refused:
                    await begin(manager, "hpc", resources={field: value})
                assert [e.field for e in refused.value.errors] == [f"resources.{field}"]
        for value in ("--wrap=id", "a\n#SBATCH", "a\rb", "a\n"):
            with pytest.raises(InvalidRequest):
                await begin(manager, "hpc", resources={"comment": value})
        odd = {"comment": "$(touch x) `id` #SBATCH -A none ;'\"", "partition": "debug"}
        words = ["$(touch x)", "two\nlines", "#SBATCH --wrap=id"]
        session = await begin(
            manager, "hpc", resources={**SMALL, **odd}, options={"words": words}, name="one"
        )
        session = await until_running(manager, session)
        (job,) = jobs(slurm, session.id)
        told = slurm.run("scontrol", "show", "job", job)
        assert f"Comment={odd['comment']}" in told
        assert list(root.parent.rglob("x")) == []
        pid = (await answer(manager, session))["pid"]
        argv = slurm.on(session.attempt.host, "cat", f"/proc/{pid}/cmdline").split("\0")
        assert argv[-4:-1] == words
        await manager.stop(session.id)
        await until_ended(manager, session)


async def test_the_form_offers_what_slurm_has(slurm: Slurm, root: Path) -> None:
    traits = {
        "all": QUICK,
        "few": {**QUICK, "partitions": ["gpu"], "fixed": {"account": "x"}, "directives": {
            "gpus": {"maximum": 1, "default": 1}, "reservation": False}},
    }  # fmt: skip
    async with running(root, spawners=traits) as manager:
        forms = {form["name"]: form for form in await manager.offers.spawners()}
        assert forms["all"]["available"], forms["all"]["unavailable_reason"]
        everything = forms["all"]["options"]["properties"]
        assert everything["partition"]["enum"] == ["debug", "urgent", "gpu"]
        assert everything["partition"]["default"] == "debug"
        assert everything["partition"]["x-choices-age"] >= 0
        assert everything["gpu_type"]["enum"] == ["a100"]
        assert (everything["cpus"]["maximum"], everything["gpus"]["maximum"]) == (8, 2)
        few = forms["few"]["options"]["properties"]
        assert few["partition"]["enum"] == ["gpu"]
        assert few["gpus"]["maximum"] == few["gpus"]["default"] == 1
        assert not {"account", "reservation"} & few.keys()
        with pytest.raises(InvalidRequest, match="hours") as refused:
            await begin(manager, "all", resources={"partition": "urgent", "hours": 3})
        assert refused.value.errors[0].field == "resources.hours"


@pytest.fixture
def login(slurm: Slurm, short_path: Path) -> Iterator[dict[str, Any]]:
    with login_node(slurm, short_path) as settings:
        yield settings


async def test_the_same_through_a_login_node(
    slurm: Slurm, root: Path, login: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLURM_CONF")
    there = {"login": login}
    async with running(root, hosts=there, spawners={"hpc": {**QUICK, "host": "login"}}) as manager:
        spawner = manager.offers.spawner("hpc")
        async with asyncio.timeout(60):
            while "enum" not in spawner.options_schema()["properties"]["partition"]:
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
