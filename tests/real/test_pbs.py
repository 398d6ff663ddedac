"""Sessions as jobs of PBS. No PBS can be had here: a fake of its commands runs the jobs.

What qstat tells is tested as text in `tests/test_pbs.py`; Slurm's commands for people who come from
Torque in `test_torque.py`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions.hosts.local import LocalHost
from jupyter_sessions.session import Session, State, Status
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

FAKE = Path(__file__).parent / "fakes" / "pbs" / "fake_pbs.py"
IN_THE_QUEUE = {"profile": "queue"}
QUICK = {"class": "pbs", "query_interval": 1, "poll_interval": 0.3}


class FakePbs:
    """The fake's folder, and its commands."""

    def __init__(self, folder: Path, dialect: str, slots: int = 4) -> None:
        self.traits = {**QUICK, "dialect": dialect}
        self.folder = folder / "pbs"
        self.folder.mkdir()
        self.bin = folder / "pbs-bin"
        self.bin.mkdir()
        for name in ("qsub", "qstat", "qselect", "qdel"):
            (self.bin / name).symlink_to(FAKE)
        (self.folder / "dialect").write_text(dialect)
        (self.folder / "history").touch()
        (self.folder / "keep").write_text("300")
        (self.folder / "slots").write_text(str(slots))

    def open(self, name: str) -> list[str]:
        """The ids of the jobs of that name that have not ended."""
        jobs = [json.loads(path.read_text()) for path in self.folder.glob("*.job")]
        return [job["id"] for job in jobs if job["name"] == name and job["state"] not in "FC"]

    def change(self, session: Session, **facts: Any) -> None:
        """What an administrator, or the server, makes of a session's job."""
        number = self._number(session)
        path = self.folder / f"{number}.job"
        path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))

    def end(self, session: Session, status: int, said: str = "") -> None:
        """Let the job end with an exit status of PBS's, and a line in its output."""
        path = self.folder / f"{self._number(session)}.end"
        path.with_suffix(".new").write_text(f"{status} {said}")
        path.with_suffix(".new").rename(path)

    def hook(self, session: Session, said: str) -> None:
        """What the site's hook is to write into the output once the job has ended."""
        (self.folder / f"{self._number(session)}.epilogue").write_text(said)

    def _number(self, session: Session) -> str:
        assert session.attempt.handle is not None
        return str(session.attempt.handle["job"]).partition(".")[0]


def pbs_of(folder: Path, dialect: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePbs]:
    made = FakePbs(folder, dialect)
    monkeypatch.setenv("FAKE_PBS", str(made.folder))
    monkeypatch.setenv("PATH", f"{made.bin}:{os.environ['PATH']}")
    yield made
    for job in made.folder.glob("*.job"):
        subprocess.run([made.bin / "qdel", job.stem], capture_output=True, check=False)


@pytest.fixture
def openpbs(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePbs]:
    yield from pbs_of(short_path, "openpbs", monkeypatch)


@pytest.fixture
def torque(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePbs]:
    yield from pbs_of(short_path, "torque", monkeypatch)


@pytest.fixture(params=["openpbs", "torque"])
def pbs(
    request: pytest.FixtureRequest, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FakePbs]:
    yield from pbs_of(short_path, request.param, monkeypatch)


async def test_a_session_runs_as_a_job_and_leaves_nothing_behind(pbs: FakePbs, root: Path) -> None:
    async with running(root, spawners={"pbs": pbs.traits}) as manager:
        forms = await forms_of(manager)
        assert forms["pbs"]["options"]["properties"]["queue"]["enum"] in (["workq"], ["batch"])
        asked = {"cpus": 2, "memory": 0.5, "hours": 1}
        session = await until_running(manager, await begin(manager, "pbs", resources=asked))
        session = await until(manager, session, lambda s: s.attempt.ends is not None)
        environment = (await answer(manager, session))["environment"]
        assert session.attempt.handle is not None
        assert environment["PBS_JOBID"] == session.attempt.handle["job"] == "1.fakepbs"
        log = b"".join([chunk async for chunk in manager.logs(session.id)])
        assert b"echo is here" in log
        await manager.stop(session.id)
        assert (await until_ended(manager, session)).state is State.STOPPED
        assert marked(session.id) == []
        async with asyncio.timeout(20):
            while pbs.open(f"{session.id}-1"):  # noqa: ASYNC110
                await asyncio.sleep(0.1)


async def test_a_full_queue_opens_by_itself_and_ends_are_told(
    pbs: FakePbs, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(root.parent / "bin", "qdel", "qstat")
    monkeypatch.setenv("PATH", f"{counted.folder}:{os.environ['PATH']}")
    wrong = {**pbs.traits, "extra": ["-q", "none"]}
    lost = {**pbs.traits, "python": "/no/python"}
    async with running(root, spawners={"pbs": pbs.traits, "wrong": wrong, "lost": lost}) as manager:
        first = await until_running(manager, await begin(manager, "pbs", resources={"cpus": 4}))
        waits = await begin(manager, "pbs", resources={"cpus": 4})
        waits = await until(manager, waits, lambda s: "Insufficient" in s.attempt.message)
        given_up = await begin(manager, "pbs", resources={"cpus": 4})
        await until(manager, given_up, lambda s: s.attempt.submitted)
        await manager.stop(given_up.id)
        assert (await until_ended(manager, given_up)).state is State.STOPPED
        assert len(counted.calls("qdel")) == 1
        subprocess.run(["qdel", first.attempt.handle["job"]], check=True)  # type: ignore[index]
        ended = await until_ended(manager, first)
        assert (ended.attempt.reason, ended.state) == ("cancelled", State.STOPPED)
        await until_running(manager, waits)

        refused = await until_ended(manager, await begin(manager, "wrong"))
        assert refused.attempt.message.startswith("PBS refused the job: ")
        assert "Unknown queue" in refused.attempt.message

        (pbs.folder / "down").touch()
        away = await until(manager, waits, lambda s: bool(s.attempt.unreachable_since))
        assert away.state is State.RUNNING
        (pbs.folder / "down").unlink()
        await until(manager, waits, lambda s: s.attempt.unreachable_since is None)
        await manager.stop(waits.id)
        await until_ended(manager, waits)

        broken = await until_ended(manager, await begin(manager, "lost"))
        assert "failed with exit status 127 before it could start" in broken.attempt.message
        log = b"".join([chunk async for chunk in manager.logs(broken.id)])
        assert b"/no/python" in log


async def test_files_can_be_kept_where_the_nodes_see_them(
    pbs: FakePbs, root: Path, short_path: Path
) -> None:
    place = short_path / "scratch"
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    traits = {**pbs.traits, "directory": f"{place}/{{user}}/sessions"}
    async with running(root, spawners={"pbs": traits}) as manager:
        session = await until_running(manager, await begin(manager, "pbs"))
        files = place / user / "sessions" / session.id
        assert (files / "1" / "connection.json").exists()
        assert (files / "state" / "starts").exists()
        assert (files / "1").stat().st_mode & 0o777 == 0o700
        pid = (await answer(manager, session))["pid"]
        argv = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        assert argv[1] == str(files / "1" / "app_dir" / "echo.py"), "the app's own files, too"
        await manager.restart(session.id)
        session = await until_running(manager, session, attempt=2)
        await manager.stop(session.id)
        await until_ended(manager, session)
        await manager.delete(session.id)
        assert not files.exists()


ODD = {
    "HEX": "0x10",
    "ZEROS": "007",
    "NOT": "nan",
    "QUOTED": 'it "is", \\ so\tto say',
    "BASH_FUNC_module%%": "() {  eval `x`;\n    job_state = F\n}",
}
"""Variables that OpenPBS up to 22 writes into its JSON so that nobody can read it."""


async def test_whatever_is_in_the_environment_jobs_can_be_asked_about(
    pbs: FakePbs, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ODD.items():
        monkeypatch.setenv(name, value)
    async with running(root, spawners={"pbs": pbs.traits}) as manager:
        session = await until_running(manager, await begin(manager, "pbs"))
        session = await until(manager, session, lambda s: s.attempt.ends is not None)
        await manager.stop(session.id)
        assert (await until_ended(manager, session)).state is State.STOPPED


ENDS = {
    "openpbs": {
        "memory": (-27, "=>> PBS: job killed: mem 99kb exceeded limit 9kb", "out_of_memory"),
        "processors": (-25, "", "over_limit"),
        "deleted": (271, "", "cancelled"),
    },
    "torque": {
        "memory": (-10, "", "out_of_memory"),
        "walltime": (-11, "", "walltime"),
        "deleted": (271, "", "cancelled"),
    },
}


async def test_each_end_is_told_as_what_it_was(pbs: FakePbs, root: Path) -> None:
    ends = ENDS[str(pbs.traits["dialect"])]
    (pbs.folder / "slots").write_text("10")
    async with running(root, spawners={"pbs": pbs.traits}) as manager:
        made = {name: await begin(manager, "pbs") for name in [*ends, "node", "cgroup"]}
        sessions = {name: await until_running(manager, one) for name, one in made.items()}
        for name, (status, said, _) in ends.items():
            pbs.end(sessions[name], status, said)
        pbs.end(sessions["node"], -4)
        pbs.hook(sessions["cgroup"], "1.fakepbs Killed\nCgroup mem limit exceeded: anon 12kb\n")
        os.kill((await answer(manager, sessions["cgroup"]))["pid"], signal.SIGKILL)
        ended = await until_ended(manager, sessions["cgroup"])
        assert ended.attempt.reason == "out_of_memory", ended.attempt
        for name, (_, _, reason) in ends.items():
            ended = await until_ended(manager, sessions[name])
            assert ended.attempt.reason == reason, (name, ended.attempt)
        again = await until_running(manager, sessions["node"], attempt=2)
        assert again.past[0].reason == "node_failed"
        await manager.stop(again.id)
        await until_ended(manager, again)


async def test_held_jobs_wait_and_those_that_cannot_run_end(openpbs: FakePbs, root: Path) -> None:
    (openpbs.folder / "slots").write_text("1")
    async with running(root, spawners={"pbs": openpbs.traits}) as manager:
        first = await until_running(manager, await begin(manager, "pbs"))
        held = await begin(manager, "pbs")
        held = await until(manager, held, lambda s: s.attempt.reason == "queued")
        openpbs.change(held, state="H", comment="Job held by ada on Sat Nov 21 at 16:50")
        held = await until(manager, held, lambda s: s.attempt.reason == "held")
        assert "is held: Job held by ada" in held.attempt.message
        openpbs.change(held, state="H", comment="job held, too many failed attempts to run")
        ended = await until_ended(manager, held)
        assert (ended.attempt.reason, ended.state) == ("stuck", State.FAILED)
        assert openpbs.open(f"{held.id}-1") == [], "nothing waits that will never run"
        await manager.stop(first.id)
        await until_ended(manager, first)


async def test_without_history_nothing_runs_twice(openpbs: FakePbs, root: Path) -> None:
    """A server that is killed before it has noted the job's id looks for the job by its name."""
    (openpbs.folder / "history").unlink()
    spawner = PbsSpawner(name="pbs", host=LocalHost(), query_interval=0.2, poll_interval=0.1)
    launch = SpawnerContract()
    launch.store = root
    one = launch.launch()
    handle = await launch.start(spawner, one)
    found = await spawner.find(one)
    assert found is not None
    assert found["job"] == handle["job"]
    await launch.report(spawner, handle, Status.ALIVE)
    await spawner.stop(handle)
    ended = await launch.report(spawner, handle, Status.ENDED)
    assert ended.reason == "stopped", "the supervisor's word, as the server keeps none"


async def test_what_torque_leaves_out_for_people_is_told(
    torque: FakePbs, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PBS_QSTAT_NO_COMPLETE", "1")
    async with running(root, spawners={"pbs": torque.traits}) as manager:
        session = await until_running(manager, await begin(manager, "pbs"))
        torque.end(session, -11)
        assert (await until_ended(manager, session)).attempt.reason == "walltime"


async def test_torque_forgets_what_has_ended(torque: FakePbs, root: Path) -> None:
    (torque.folder / "keep").write_text("0")
    async with running(root, spawners={"pbs": torque.traits}) as manager:
        session = await until_running(manager, await begin(manager, "pbs"))
        for pid in marked(session.id):  # nobody is left who could write down how it ended
            os.kill(pid, signal.SIGKILL)
        ended = await until_ended(manager, session)
        assert ended.attempt.reason == "job_lost", ended.attempt
        assert "no longer known to the scheduler" in ended.attempt.message


class TestContract(BatchContract):
    """What all spawners hold."""

    spawner_class = PbsSpawner

    @pytest.fixture(autouse=True)
    def _server(self, openpbs: FakePbs) -> None:
        self.pbs = openpbs

    def remains(self, launch: Launch) -> list[Any]:
        return [*marked(launch.session_id), *self.pbs.open(f"{launch.session_id}-1")]

    def test_time_that_is_up_is_told(self) -> None:
        """Its supervisor cannot end it in good order, so PBS does."""

        async def test(spawner: Spawner) -> None:
            launch = self.launch(resources={"hours": 20 / 3600})
            handle = await self.start(spawner, launch)
            await self.report(spawner, handle, Status.ALIVE)
            for pid in marked(launch.session_id):
                os.kill(pid, signal.SIGSTOP)
            report = await self.report(spawner, handle, Status.ENDED)
            assert report.reason == "walltime", report
            await self.end(spawner, handle, launch)

        self.run(test)


class TestTorque(TestContract):
    """The same in Torque's dialect."""

    @pytest.fixture(autouse=True)
    def _server(self, torque: FakePbs) -> None:
        self.pbs = torque

    @asynccontextmanager
    async def spawner(self) -> AsyncIterator[Spawner]:
        async with super().spawner() as spawner:
            assert isinstance(spawner, PbsSpawner)
            spawner.dialect = "torque"
            yield spawner


class TestBatchspawnersTorque(SpawnerContract):
    """`batchspawner.TorqueSpawner` as it comes holds the contract, by way of the adapter."""

    patience = 60.0
    spawner_class = "batchspawner.TorqueSpawner"
    queue = "batch"

    @pytest.fixture(autouse=True)
    def _server(self, torque: FakePbs) -> None:
        self.pbs = torque

    @asynccontextmanager
    async def spawner(self) -> AsyncIterator[Spawner]:
        yield JupyterHubSpawner(
            name="hub",
            host=LocalHost(),
            spawner_class=self.spawner_class,
            spawner_config={
                "req_queue": self.queue,
                "req_host": "fakepbs",
                "req_runtime": "1:00:00",
                "req_nprocs": "1",
                "req_memory": "1gb",
                "req_homedir": str(self.store),
                "env_keep": ["PATH", "FAKE_PBS"],
            },
            python="/usr/bin/python3",
            poll_interval=0.3,
            query_interval=1,
            patience=0.5,
        )

    def remains(self, launch: Launch) -> list[Any]:
        # Its jobs all have the same name: nobody else's may be there at the time.
        return [*marked(launch.session_id), *self.pbs.open("jupyterhub-singleuser")]


class TestBatchspawnersPbs(TestBatchspawnersTorque):
    """So does `batchspawner.PBSSpawner`."""

    spawner_class = "batchspawner.PBSSpawner"
    queue = "workq"

    @pytest.fixture(autouse=True)
    def _server(self, openpbs: FakePbs) -> None:
        self.pbs = openpbs


@pytest.mark.filterwarnings("ignore:Passing unrecognized arguments:DeprecationWarning")
class TestProfiles(TestBatchspawnersTorque):
    """A class within another, that starts jobs: `wrapspawner.ProfilesSpawner`."""

    resources = IN_THE_QUEUE

    @asynccontextmanager
    async def spawner(self) -> AsyncIterator[Spawner]:
        async with super().spawner() as spawner:
            assert isinstance(spawner, JupyterHubSpawner)
            profiles = [("Queue", "queue", spawner.spawner_class, spawner.spawner_config)]
            spawner.spawner_class = "wrapspawner.ProfilesSpawner"
            spawner.spawner_config = {"profiles": profiles}
            spawner.options = {"properties": {"profile": {"enum": ["queue"]}}}
            yield spawner
