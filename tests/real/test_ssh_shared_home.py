"""Hosts over SSH that see this machine's files, and one that is only said to."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest

from .far import FarMachine
from .overssh import configure
from .server import Home, JupyterServer, wait

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make another machine")

KEPT = "/root/.local/share/jupyter-sessions/sessions"


@pytest.fixture(scope="module")
def far() -> Iterator[FarMachine]:
    machine = FarMachine(sshd={"PermitRootLogin": "prohibit-password"})
    yield machine
    machine.stop()


@pytest.fixture
def home(far: FarMachine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """The far machine has a /tmp of its own, and shares the rest with this one."""
    folder = tempfile.mkdtemp(prefix="js", dir="/var/tmp")
    monkeypatch.setattr(tempfile, "tempdir", folder)
    made = Home()
    configure(made, far, user="root", shared_home=True)
    yield made
    made.remove()
    shutil.rmtree(folder)


def test_a_session_keeps_its_files_in_the_home_that_both_share(far: FarMachine, home: Home) -> None:
    before = far.files(KEPT)
    server = JupyterServer(home)
    session = server.start("files", spawner="far", cwd=str(home.work))
    assert (session["host"], session["cwd"]) == (far.name, str(home.work))
    folder = home.store / "sessions" / session["id"]
    assert far.processes(f"={session['id']}.")
    assert (folder / "1" / "connection.json").is_file()
    (home.work / "poem.txt").write_text("shared\n")
    assert server.request("GET", f"{session['url']}poem.txt") == (200, b"shared\n")
    assert "Started" in home.cli("logs", session["id"])
    # Another attempt, and the end of all.
    home.cli("stop", session["id"])
    home.cli("restart", session["id"], "--wait")
    assert server.session(session["id"])["attempt"] == 2
    home.cli("rm", session["id"])
    wait(lambda: not far.processes(f"={session['id']}."), 20, "its processes to end")
    wait(lambda: not folder.exists(), 20, "its files to go")
    assert far.files(KEPT) == before
    server.stop()


def test_a_home_that_is_not_shared_is_said_to_be_none(far: FarMachine) -> None:
    alone = Home()  # below /tmp
    configure(alone, far, user="root", shared_home=True)
    try:
        answer = alone.cli(
            "start", "files", "-C", "/usr", "--spawner", "far", "--wait", "--json", check=False
        )
        session = json.loads(answer)
        assert session["state"] == "failed"
        assert "far does not see the files of this machine: there is no /tmp/" in session["message"]
        assert "shared_home" in session["message"]
        assert not far.files(str(alone.path))
        # Nothing is lost: the setting was wrong, and the session starts once that is right.
        configure(alone, far, user="root")
        alone.cli("restart", session["id"], "--wait")
        alone.cli("rm", session["id"])
    finally:
        alone.remove()
