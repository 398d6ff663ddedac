"""A Jupyter server that is killed while it submits to a real Slurm, or cancels there."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..managers import running, starts
from ..processes import marked
from .batch import until_ended, until_running
from .server import Home, JupyterServer, wait
from .slurm import Slurm, login_node
from .slurm_sessions import OPEN, QUICK, SMALL, gone, jobs

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("configured")]
DRIVER = Path(__file__).parents[1] / "drivers" / "manager_that_dies.py"
APPS = Path(__file__).parents[1] / "apps"
SLOW = """\
#!/bin/sh
touch {folder}/is-before
while [ -d {folder} ] && [ ! -e {folder}/before ]; do sleep 0.05; done
said=$({real} "$@")
code=$?
echo $code >>{folder}/codes
touch {folder}/is-after
while [ -d {folder} ] && [ ! -e {folder}/after ]; do sleep 0.05; done
echo "$said"
exit $code
"""
SETTINGS = """
c.SessionManager.hosts = {{"login": {login!r}}}
c.SessionManager.spawners = {{
    "here": {quick!r},
    "held": {{**{quick!r}, "extra": ["--hold"]}},
    "login": {{**{quick!r}, "host": "login", "check_requirements": False}},
}}
"""


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


class Slow:
    """A command that waits before it does what it does, and after that: for files.

    Parameters
    ----------
    folder
        Has to come first on the PATH.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        real = shutil.which(name)
        assert real, name
        path = folder / name
        path.write_text(SLOW.format(folder=folder, real=real))
        path.chmod(0o755)

    def reached(self, moment: str) -> bool:
        """Whether it is ``before`` or ``after`` what it does."""
        return (self._folder / f"is-{moment}").exists()

    def calls(self) -> int:
        """How often it has done it, and not failed: a killed server may have said nothing yet."""
        return (self._folder / "codes").read_text().split().count("0")

    def go_on(self, *moments: str) -> None:
        for moment in moments:
            (self._folder / moment).touch()


@pytest.fixture
def home(slurm: Slurm, short_path: Path) -> Iterator[Home]:
    """A home whose Jupyter knows the cluster, by itself and by a login node; and `bin` on PATH."""
    made = Home()
    (made.path / "bin").mkdir()
    path = f"{made.path}/bin:{os.environ['PATH']}"
    made.env |= {**slurm.env, "PATH": path, "XDG_RUNTIME_DIR": str(short_path)}
    config = made.path / ".jupyter"
    shutil.copytree(APPS, config / "jupyter_sessions" / "apps")
    with login_node(slurm, short_path / "login", PATH=path) as login:
        text = SETTINGS.format(login=login, quick=QUICK)
        (config / "jupyter_server_config.py").write_text(text)
        yield made
        for moment in ("before", "after"):  # a test that failed leaves nobody waiting
            (made.path / "bin" / moment).touch()
        made.remove()


def killed(home: Home, login: Path) -> JupyterServer:
    """The next server, after the one that runs and its connections were killed."""
    first = home.servers[-1]
    first.kill()
    listener = (login / "login.pid").read_text().strip()
    children = subprocess.run(["pgrep", "-P", listener], capture_output=True, check=False)
    for pid in map(int, children.stdout.split()):
        os.kill(pid, signal.SIGKILL)
    return JupyterServer(home, port=first.port)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("where", ["here", "login"])
def test_a_server_killed_while_its_submission_runs_goes_on_with_that_job(
    slurm: Slurm, home: Home, short_path: Path, where: str, moment: str
) -> None:
    sbatch = Slow(home.path / "bin", "sbatch")
    first = JupyterServer(home)
    asked = {"app": "echo", "spawner": where, "resources": SMALL}
    made = first.post("jupyter-sessions/v1/sessions", asked)
    if moment == "after":
        sbatch.go_on("before")
    wait(lambda: sbatch.reached(moment), 60, "the submission")
    second = killed(home, short_path / "login")
    if moment == "before":
        says = "that another server began is still under way"
        wait(lambda: says in second.session(made["id"])["message"], 60, "what it waits for")
        assert jobs(slurm, made["id"]) == []
        sbatch.go_on("before", "after")
    session = second.wait_until_running(made["id"])
    sbatch.go_on("after")
    assert (session["attempt"], session["url"]) == (1, made["url"])
    assert second.request("GET", session["url"])[0] == 200
    assert len(jobs(slurm, made["id"])) == sbatch.calls() == 1
    second.post(f"jupyter-sessions/v1/sessions/{made['id']}/stop")
    wait(lambda: second.session(made["id"])["state"] == "stopped", 60, "its end")
    wait(lambda: not jobs(slurm, made["id"], OPEN), 20, "an empty queue")
    assert marked(made["id"]) == []


def stands(session: dict[str, Any]) -> tuple[str, bool]:
    """Its state, and whether something about it is not known."""
    return session["state"], bool(session["unreachable_since"])


def test_what_is_stopped_after_such_a_crash_leaves_no_job(
    slurm: Slurm, home: Home, short_path: Path
) -> None:
    sbatch = Slow(home.path / "bin", "sbatch")
    first = JupyterServer(home)
    asked = {"app": "echo", "spawner": "held", "resources": SMALL}
    made = first.post("jupyter-sessions/v1/sessions", asked)
    wait(lambda: sbatch.reached("before"), 60, "the submission")
    second = killed(home, short_path / "login")
    second.post(f"jupyter-sessions/v1/sessions/{made['id']}/stop")
    # Its end is not believed before that of the submission is known.
    waits = ("stopping", True)
    wait(lambda: stands(second.session(made["id"])) == waits, 60, "it to wait")
    sbatch.go_on("before", "after")
    wait(lambda: second.session(made["id"])["state"] == "stopped", 60, "its end")
    assert jobs(slurm, made["id"], OPEN) == []


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_server_killed_while_it_cancels_is_followed_by_one_that_does(
    slurm: Slurm, home: Home, short_path: Path, moment: str
) -> None:
    scancel = Slow(home.path / "bin", "scancel")
    first = JupyterServer(home)
    asked = {"app": "echo", "spawner": "held", "resources": SMALL}
    made = first.post("jupyter-sessions/v1/sessions", asked)
    wait(lambda: "JobHeld" in first.session(made["id"])["message"], 60, "the queue")
    if moment == "after":
        scancel.go_on("before")
    first.post(f"jupyter-sessions/v1/sessions/{made['id']}/stop")
    wait(lambda: scancel.reached(moment), 60, "the cancelling")
    second = killed(home, short_path / "login")
    scancel.go_on("before", "after")
    wait(lambda: second.session(made["id"])["state"] == "stopped", 60, "its end")
    assert jobs(slurm, made["id"], OPEN) == []
    assert len(jobs(slurm, made["id"])) == 1
