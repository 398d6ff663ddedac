"""Sessions as jobs of a real Grid Engine, by its own spawner and by a hub's class."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions.errors import InvalidRequest
from jupyter_sessions.hosts.local import LocalHost
from jupyter_sessions.session import Session, State, Status
from jupyter_sessions.spawners import gridengine
from jupyter_sessions.spawners.base import Launch, Spawner
from jupyter_sessions.spawners.gridengine import GridEngineSpawner
from jupyter_sessions.spawners.jupyterhub import JupyterHubSpawner
from jupyter_sessions.testing import SpawnerContract

from ..managers import running, starts
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
from .gridengine import GridEngine, cell
from .server import wait

DRIVER = Path(__file__).parents[1] / "drivers" / "manager_that_dies.py"
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
    engine: GridEngine, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", "/bin/bash")
    async with running(root, spawners={"ge": QUICK}) as manager:
        forms = await forms_of(manager)
        assert forms["ge"]["options"]["properties"]["queue"]["enum"] == ["all.q", "short.q"]
        asked = {"cpus": 2, "hours": 1, "queue": "all.q"}
        session = await until_running(manager, await begin(manager, "ge", resources=asked))
        session = await until(manager, session, lambda s: s.attempt.ends is not None)
        environment = (await answer(manager, session))["environment"]
        assert environment["JOB_ID"] == session.attempt.handle["job"]  # type: ignore[index]
        assert environment["NSLOTS"] == "2"
        assert environment["SHELL"] == "/bin/bash"  # not the script's
        await manager.restart(session.id)
        await until_running(manager, session, attempt=2)
        await manager.stop(session.id)
        assert (await until_ended(manager, session)).state is State.STOPPED
        assert (root / "sessions" / session.id / "state" / "hook-ran").exists()
        assert await gone(engine, session)
        assert marked(session.id) == []


async def test_what_never_runs_is_told_and_deleted(
    engine: GridEngine, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(root.parent / "bin", "qdel", "qstat")
    monkeypatch.setenv("PATH", f"{counted.folder}:{os.environ['PATH']}")
    held = {**QUICK, "extra": ["-h"]}
    nowhere = {**QUICK, "extra": ["-wd", "/no/such/place"]}
    refused = {**QUICK, "extra": ["-l", "no_such_resource=1"]}
    spawners = {"held": held, "nowhere": nowhere, "refused": refused}
    async with running(root, spawners=spawners) as manager:
        waits = await begin(manager, "held")
        stuck = await begin(manager, "nowhere")
        wrong = await begin(manager, "refused")
        waits = await until(manager, waits, lambda s: "is held" in s.attempt.message)
        await manager.stop(waits.id)
        assert (await until_ended(manager, waits)).state is State.STOPPED
        stuck = await until_ended(manager, stuck)
        assert (stuck.attempt.reason, stuck.state) == ("stuck", State.FAILED)
        assert "/no/such/place" in stuck.attempt.message
        assert "no_such_resource" in (await until_ended(manager, wrong)).attempt.message
        for session in (waits, stuck):
            assert await gone(engine, session)
            (job,) = [str((session.attempt.handle or {})["job"])]
            assert [call.split()[1:] for call in counted.calls("qdel")].count([job]) == 1


EATER = """
import time
eaten = []
while True:
    eaten.append(bytearray(20 << 20))
    time.sleep(0.2)
"""
EATERS = f"""
import subprocess, sys
each = [subprocess.Popen([sys.executable, "-c", {EATER!r}]) for _ in range(3)]
each[0].wait()
"""


async def test_each_end_is_told_as_what_it_was(engine: GridEngine, root: Path) -> None:
    """All at a time; the host that fails at the end."""
    eaters = {"title": "Eaters", "command": ["{python}", "-c", EATERS, "{socket}"]}
    traits: dict[str, Any] = {
        "spawners": {"ge": QUICK, "g1": {**QUICK, "extra": ["-l", "h=g1"]}},
        "apps": {"eaters": eaters},
    }
    async with running(root, **traits) as manager:

        async def by_somebody() -> None:
            session = await until_running(manager, await begin(manager, "ge"))
            engine.run("qdel", *jobs(engine, session.id))
            ended = await until_ended(manager, session)
            assert (ended.attempt.reason, ended.state) == ("cancelled", State.STOPPED)

        async def in_good_order() -> None:
            session = await begin(manager, "ge", resources={"hours": 0.02})
            session = await until_running(manager, session)
            ended = await until_ended(manager, session)
            assert (ended.attempt.reason, ended.state) == ("timeout", State.STOPPED)
            assert (root / "sessions" / session.id / "state" / "hook-ran").exists()

        async def by_memory() -> None:
            request = {"app": "eaters", "spawner": "ge", "resources": {"memory": 0.2, "hours": 1}}
            ended = await until_ended(manager, await manager.create(request))
            assert (ended.attempt.reason, ended.state) == ("out_of_memory", State.FAILED)
            assert "used more memory than it had asked for" in ended.attempt.message

        async def put_back() -> None:
            session = await until_running(manager, await begin(manager, "ge"))
            url = manager.describe(session)["url"]
            engine.run("qmod", "-rj", *jobs(engine, session.id))
            again = await until_running(manager, session, attempt=2)
            assert again.past[0].reason == "requeued", again.past[0]
            assert manager.describe(again)["url"] == url
            assert (await answer(manager, again))["pid"]
            assert len(jobs(engine, session.id)) == 1
            await manager.stop(session.id)
            await until_ended(manager, session)
            assert await gone(engine, session)

        ends = (by_somebody, in_good_order, by_memory, put_back)
        async with asyncio.TaskGroup() as group:
            for end in ends:
                group.create_task(end())


async def test_a_host_that_fails_is_told_and_left(engine: GridEngine, root: Path) -> None:
    """First nothing is known, which changes nothing; then Grid Engine gives it up."""
    preferred = {**QUICK, "extra": ["-soft", "-l", "h=g1"]}
    async with running(root, spawners={"ge": preferred}) as manager:
        session = await until_running(manager, await begin(manager, "ge"))
        assert session.attempt.host == "g1"
        url = manager.describe(session)["url"]
        engine.nodes.kill("g1")
        with engine.nodes.cut("g1"):
            silent = await until(manager, session, lambda s: "not answer" in s.attempt.message)
            assert silent.state is State.RUNNING
            assert silent.attempt.number == 1
            again = await until_running(manager, session, attempt=2)
            assert again.past[0].reason == "requeued", again.past[0]
            assert again.attempt.host == "g2"
            assert manager.describe(again)["url"] == url
            assert (await answer(manager, again))["pid"]
        engine.start_node("g1")
        await manager.stop(session.id)
        await until_ended(manager, session)
        assert await gone(engine, session)
        engine.wait_until_up()


async def test_a_host_that_comes_back_without_its_jobs(engine: GridEngine, root: Path) -> None:
    once = {**QUICK, "extra": ["-r", "n", "-l", "h=g1"]}
    async with running(root, spawners={"ge": once}) as manager:
        session = await until_running(manager, await begin(manager, "ge"))
        engine.nodes.kill("g1")
        engine.start_node("g1")
        again = await until_running(manager, session, attempt=2)
        assert again.past[0].reason == "node_failed", again.past[0]
        await manager.stop(session.id)
        await until_ended(manager, session)
    engine.wait_until_up()


async def test_a_full_queue_is_told_and_opens_by_itself(
    engine: GridEngine,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """Fifty at once: one query for all; who gives up is deleted once."""
    monkeypatch.setattr(gridengine, "WHY", 2)
    counted = Counted(root.parent / "bin", "qdel", "qstat", "qacct")
    monkeypatch.setenv("PATH", f"{counted.folder}:{os.environ['PATH']}")
    busy = ("qsub", "-terse", "-N", "busy", "-o", "/dev/null", "-j", "y", "-b", "y")
    blockers = [
        engine.run(*busy, "-q", f"all.q@{host}", "-pe", "smp", "8", "sleep", "300")
        for host in engine.nodes.addresses
    ]
    request.addfinalizer(lambda: engine.run("qdel", *blockers, check=False))
    wait(lambda: engine.run("qstat", "-s", "r").count("busy") == len(blockers), 20, "a full queue")
    often = {**QUICK, "query_interval": 3}
    everywhere = {**often, "extra": ["-l", "mem_total=999G"]}
    async with running(root, spawners={"ge": often, "big": everywhere}) as manager:
        queue = {"queue": "all.q", "hours": 1}
        made = [await begin(manager, "ge", resources=queue) for _ in range(50)]
        big = await begin(manager, "big", resources={"hours": 1})
        for session in made:
            told = await until(manager, session, lambda s: "for a free slot" in s.attempt.message)
            assert told.state is State.QUEUED
        told = await until(manager, big, lambda s: "mem_total" in s.attempt.message)
        assert "cannot run at host" in told.attempt.message
        await manager.stop(big.id)
        assert (await until_ended(manager, big)).state is State.STOPPED
        before, began = len(counted.calls("qstat -xml")), time.monotonic()
        accounted = counted.calls("qacct")
        await asyncio.sleep(7)  # the subject: what is asked meanwhile
        asked = len(counted.calls("qstat -xml")) - before
        assert 1 <= asked <= (time.monotonic() - began) / 3 + 1
        assert counted.calls("qacct") == accounted
        first, *others = made
        for session in others:
            await manager.stop(session.id)
        for session in others:
            assert (await until_ended(manager, session)).state is State.STOPPED
        deleted = [word for call in counted.calls("qdel") for word in call.split()[1:]]
        assert len(deleted) == len(set(deleted)) == 50, "each was deleted once"
        engine.run("qdel", *blockers)
        await until_running(manager, first)
        await manager.stop(first.id)
        await until_ended(manager, first)
        assert await gone(engine, first)
        assert jobs(engine, "jupyter-sessions") == []


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_server_killed_while_qsub_runs_leaves_no_second_job(
    engine: GridEngine, root: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Qsub waits, before it does anything or before it says what it did."""
    folder, release = root.parent / "slow", root.parent / "release"
    folder.mkdir()
    began, real = root.parent / "began", shutil.which("qsub")
    stall = f"touch {began}; while [ ! -e {release} ]; do sleep 0.1; done"
    steps = {"before": f'{stall}\nexec {real} "$@"', "after": f'{real} "$@"\n{stall}'}
    (folder / "qsub").write_text(f"#!/bin/sh\n{steps[when]}\n")
    (folder / "qsub").chmod(0o755)
    traits = json.dumps([{"spawners": {"there": QUICK}}, {"app": "echo", "spawner": "there"}])
    argv = [sys.executable, str(DRIVER), str(root), "99", "before", traits]
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=env) as dying:
        assert dying.stdout is not None
        session_id = dying.stdout.readline().strip()
        async with asyncio.timeout(60):
            while not began.exists():  # noqa: ASYNC110 - a file
                await asyncio.sleep(0.1)
        dying.kill()
    async with running(root, spawners={"there": QUICK}) as manager:
        (session,), _ = await manager.sessions()
        assert session.id == session_id
        if when == "before":  # it may yet submit, so nobody else does
            await until(manager, session, lambda s: "still under way" in s.attempt.message)
            release.touch()
        session = await until_running(manager, session)
        release.touch()
        assert (await manager.session(session_id)).state is State.RUNNING
        assert session.attempt.number == 1
        assert len(starts(root, session)) == 1
        assert len(jobs(engine, session_id)) == 1
        await manager.stop(session_id)
        await until_ended(manager, session)
    assert await gone(engine, session)
    assert marked(session_id) == []
    async with asyncio.timeout(30):
        while not (known := records(engine, session_id)):  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.2)
    assert len(known) == 1


def records(engine: GridEngine, session_id: str) -> list[str]:
    """The jobs of a session in the accounting."""
    told = engine.run("qacct", "-j", f"*{session_id}*", check=False)
    return re.findall(r"^jobnumber +(\d+)", told, re.MULTILINE)


async def test_no_option_is_more_than_its_value(engine: GridEngine, root: Path) -> None:
    """Neither a shell, nor the script, nor qsub reads anything in what people type."""
    bad = ["$(touch x)", "a\n#$ -N other", "-A x", "a b;id", "`id`", "a,h_rt=99:99", "a\r", "q\n"]
    traits = {
        **QUICK,
        "directives": {
            "context": {"type": "string", "argument": ["-ac", "told={}"]},
            "feature": {"type": "string", "argument": []},
        },
        "script_template": "#!/bin/sh\n# {feature} {queue}\n{prologue}\nexec {command}\n",
    }
    async with running(root, spawners={"ge": traits}) as manager:
        for field in ("queue", "project", "account", "parallel_environment", "feature"):
            for value in bad:
                if (field, value) == ("feature", "a,h_rt=99:99"):
                    continue  # harmless there
                with pytest.raises(InvalidRequest) as refused:
                    await begin(manager, "ge", resources={field: value})
                assert [e.field for e in refused.value.errors] == [f"resources.{field}"]
        for value in ("-N x", "a\n#$ -N x", "a\rb", "a\n"):
            with pytest.raises(InvalidRequest):
                await begin(manager, "ge", resources={"context": value})
        words = ["$(touch x)", "two\nlines", "#$ -N other", "a,b"]
        context = "$(touch x) `id` #$ -N other ;'\""
        odd = {"context": context, "queue": "all.q", "hours": 1}
        session = await begin(manager, "ge", resources=odd, options={"words": words}, name="-h,\n")
        session = await until_running(manager, session)
        (job,) = jobs(engine, session.id)
        assert context in engine.run("qstat", "-j", job)
        assert list(root.parent.rglob("x")) == []
        pid = (await answer(manager, session))["pid"]
        argv = engine.nodes.on(session.attempt.host, "cat", f"/proc/{pid}/cmdline").split("\0")
        assert argv[-len(words) - 1 : -1] == words
        await manager.stop(session.id)
        await until_ended(manager, session)


async def test_defaults_and_names_of_the_user_mislead_nobody(
    engine: GridEngine, root: Path, monkeypatch: pytest.MonkeyPatch, short_path: Path
) -> None:
    for name, value in {
        "SGE_DEBUG_LEVEL": "2 0 0 0 0 0 0 0",
        "TZ": "Asia/Tokyo",
        "JOB_ID": "1",
        "SGE_TASK_ID": "7",
        "BASH_FUNC_f%%": "() { echo\n}",
        "ODD": "a\n#$ -N other,b=c",
    }.items():
        monkeypatch.setenv(name, value)
    odd = ["-N", 'a&b<c>"]]>', "-o", "/dev/null", "-j", "y", "-b", "y", "-h", "true"]
    other = engine.run("qsub", "-terse", *odd)
    defaults = "-sync y -now y -b y -soft -j n -N other -o /no/such -cwd -S /bin/false -r n -terse"
    store = short_path / "a,b: #$ -h" / "js"
    with engine.defaults(defaults):
        async with running(store, spawners={"ge": QUICK}) as manager:
            session = await until_running(manager, await begin(manager, "ge"))
            session = await until(manager, session, lambda s: s.attempt.ends is not None)
            assert session.attempt.ends is not None
            left = (session.attempt.ends - datetime.now(UTC)).total_seconds()
            assert 3.9 * 3600 < left < 4 * 3600
            told = (await answer(manager, session))["environment"]
            assert told["JOB_ID"] == str((session.attempt.handle or {})["job"])
            log = b"".join([chunk async for chunk in manager.logs(session.id)])
            assert b"echo is here" in log
            await manager.stop(session.id)
            await until_ended(manager, session)
            assert await gone(engine, session)
    with engine.defaults("-t 1-3"):
        async with running(root, spawners={"ge": QUICK}) as manager:
            ended = await until_ended(manager, await begin(manager, "ge"))
            assert "-t in a sge_request file" in ended.attempt.message
            assert await gone(engine, ended)
    engine.run("qdel", other)
    async with running(short_path / "$HOME" / "js", spawners={"ge": QUICK}) as manager:
        ended = await until_ended(manager, await begin(manager, "ge"))
        assert "would replace $HOME" in ended.attempt.message


async def test_the_form_offers_what_grid_engine_has(engine: GridEngine, root: Path) -> None:
    traits = {
        "all": QUICK,
        "few": {**QUICK, "queues": ["short.q"], "directives": {"hours": {"default": 0.25}}},
    }
    async with running(root, spawners=traits) as manager:
        forms = await forms_of(manager)
        assert forms["all"]["available"], forms["all"]["unavailable_reason"]
        everything = forms["all"]["options"]["properties"]
        assert everything["queue"]["enum"] == ["all.q", "short.q"]
        assert everything["parallel_environment"]["enum"] == ["smp"]
        assert everything["cpus"]["maximum"] == 8
        assert not {"gpus", "project"} & everything.keys()
        few = forms["few"]["options"]["properties"]
        assert few["queue"]["enum"] == ["short.q"]
        assert (few["cpus"]["maximum"], few["hours"]["maximum"]) == (1, 1)
        assert few["memory"]["maximum"] == 4
        assert "parallel_environment" not in few
        for asked, field in (({"hours": 2}, "hours"), ({"cpus": 2, "hours": 1}, "cpus")):
            with pytest.raises(InvalidRequest) as refused:
                await begin(manager, "all", resources={"queue": "short.q", **asked})
            assert refused.value.errors[0].field == f"resources.{field}"


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
            launch = self.launch(resources={"hours": 20 / 3600})
            handle = await self.start(spawner, launch)
            await self.report(spawner, handle, Status.ALIVE)
            for pid in marked(launch.session_id):
                os.kill(pid, signal.SIGSTOP)
            report = await self.report(spawner, handle, Status.ENDED)
            assert report.reason == "walltime", report
            # What has left its process group is spared by Grid Engine if it is root's.
            for pid in marked(launch.session_id):
                os.kill(pid, signal.SIGKILL)
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
