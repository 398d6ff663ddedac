"""Sessions as jobs of PBS. No PBS can be had here: a fake of its commands runs the jobs."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions.errors import InvalidRequest
from jupyter_sessions.session import State, Status
from jupyter_sessions.spawners.base import Launch, Spawner
from jupyter_sessions.spawners.pbs import PbsSpawner

from ..managers import running
from ..processes import marked
from .batch import BatchContract, Counted, answer, begin, until, until_ended, until_running

FAKE = Path(__file__).parent / "fakes" / "pbs" / "fake_pbs.py"
QUICK = {"class": "pbs", "query_interval": 1, "poll_interval": 0.3}


class FakePbs:
    """The fake's folder, and its commands."""

    def __init__(self, folder: Path, slots: int = 4) -> None:
        self.folder = folder / "pbs"
        self.folder.mkdir()
        self.bin = folder / "pbs-bin"
        self.bin.mkdir()
        for name in ("qsub", "qstat", "qselect", "qdel"):
            (self.bin / name).symlink_to(FAKE)
        (self.folder / "slots").write_text(str(slots))

    def open(self, name: str) -> list[str]:
        """The ids of the jobs of that name that have not ended."""
        argv = [str(self.bin / "qselect"), "-N", name]
        env = {**os.environ, "FAKE_PBS": str(self.folder)}
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)
        return done.stdout.split()


@pytest.fixture
def pbs(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePbs]:
    made = FakePbs(short_path)
    monkeypatch.setenv("FAKE_PBS", str(made.folder))
    monkeypatch.setenv("PATH", f"{made.bin}:{os.environ['PATH']}")
    yield made
    for job in made.folder.glob("*.job"):
        subprocess.run([made.bin / "qdel", job.stem], capture_output=True, check=False)


async def test_a_session_runs_as_a_job_and_leaves_nothing_behind(pbs: FakePbs, root: Path) -> None:
    async with running(root, spawners={"pbs": QUICK}) as manager:
        forms = {form["name"]: form for form in await manager.offers.spawners()}
        assert forms["pbs"]["options"]["properties"]["queue"]["enum"] == ["workq"]
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
    wrong = {**QUICK, "extra": ["-q", "none"]}
    lost = {**QUICK, "python": "/no/python"}
    async with running(root, spawners={"pbs": QUICK, "wrong": wrong, "lost": lost}) as manager:
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
        assert refused.attempt.message == "PBS refused the job: Unknown queue."

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
        for value in ("$(touch x)", "a\n#PBS -A x", "-A", "a,walltime=99:00:00", "workq\n"):
            with pytest.raises(InvalidRequest):
                await begin(manager, "pbs", resources={"account": value})


async def test_files_can_be_kept_where_the_nodes_see_them(
    pbs: FakePbs, root: Path, short_path: Path
) -> None:
    place = short_path / "scratch"
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    traits = {**QUICK, "directory": f"{place}/{{user}}/sessions"}
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


class TestContract(BatchContract):
    """What all spawners hold."""

    spawner_class = PbsSpawner

    @pytest.fixture(autouse=True)
    def _server(self, pbs: FakePbs) -> None:
        self.pbs = pbs

    def remains(self, launch: Launch) -> list[Any]:
        return [*marked(launch.session_id), *self.pbs.open(f"{launch.session_id}-1")]

    def test_time_that_is_up_is_told(self) -> None:
        """Its supervisor cannot end it in good order, so PBS does."""

        async def test(spawner: Spawner) -> None:
            launch = self.launch(resources={"hours": 4 / 3600})
            handle = await self.start(spawner, launch)
            await self.report(spawner, handle, Status.ALIVE)
            for pid in marked(launch.session_id):
                os.kill(pid, signal.SIGSTOP)
            report = await self.report(spawner, handle, Status.ENDED)
            assert report.reason == "walltime", report
            await self.end(spawner, handle, launch)

        self.run(test)
