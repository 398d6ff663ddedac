"""A real Slurm that does not answer for a while, and a login node that does not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets import Subprotocol
from websockets.sync.client import ClientConnection, connect

from jupyter_sessions.session import State

from ..managers import running
from ..processes import marked
from .batch import Counted, answer, begin, until, until_ended, until_running
from .server import TOKEN, Home, JupyterServer, wait
from .slurm import Slurm, login_node
from .slurm_sessions import OPEN, QUICK, SMALL, gone, jobs

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("configured")]
WEBSOCKETS = Path(__file__).parents[1] / "proxied" / "service.py"
SETTINGS = """
c.SessionManager.hosts = {{"login": {login!r}}}
c.SessionManager.spawners = {{
    "hpc": {quick!r},
    "held": {{**{quick!r}, "extra": ["--hold"]}},
    "far": {{**{quick!r}, "host": "login", "check_requirements": False}},
}}
c.SessionManager.apps = {{"chat": {{
    "title": "Chat", "command": [{python!r}, {service!r}, "--socket", "{{socket}}"],
}}}}
"""
OUTAGE, CUT = 300.0, 60.0
"""Seconds without slurmctld, and, in the middle of these, without the login node's SSH server."""


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
            await asyncio.to_thread(wait, lambda: not marked(spare.id), 20, "its supervisor")
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


@pytest.mark.timeout(600)
def test_long_outages_change_nothing_and_heal_by_themselves(
    slurm: Slurm, short_path: Path, counted: Counted
) -> None:
    home = Home()
    home.env |= {**slurm.env, "PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(short_path)}
    path = os.environ["PATH"]  # its commands are counted as well
    try:
        with (
            login_node(slurm, short_path / "login", PATH=path) as login,
            contextlib.ExitStack() as stack,
        ):
            (home.path / ".jupyter").mkdir()
            (home.path / ".jupyter" / "jupyter_server_config.py").write_text(
                SETTINGS.format(
                    login=login, quick=QUICK, python=sys.executable, service=str(WEBSOCKETS)
                )
            )
            outages(slurm, JupyterServer(home), short_path / "login", counted, stack)
    finally:
        home.remove()


def outages(
    slurm: Slurm,
    server: JupyterServer,
    login: Path,
    counted: Counted,
    stack: contextlib.ExitStack,
) -> None:
    here, far = (server.start("chat", spawner=name, resources=SMALL) for name in ("hpc", "far"))
    asked = {"app": "chat", "spawner": "held", "resources": SMALL}
    held = server.post("jupyter-sessions/v1/sessions", asked)
    wait(lambda: "JobHeld" in server.session(held["id"])["message"], 60, "the queue")
    known = {s["id"]: jobs(slurm, s["id"]) for s in (here, far, held)}
    with talk(server, here) as near, talk(server, far) as lost:
        says(near)
        says(lost)
        slurm.stop_controller()
        began, before = time.monotonic(), len(counted.all())
        late = [
            server.post("jupyter-sessions/v1/sessions", {**asked, "spawner": "hpc"})
            for _ in range(5)
        ]
        slowest = 0.0

        def look(what: Callable[[], Any], seconds: float, why: str) -> None:
            """Wait for something, and see that the server answers everybody meanwhile."""
            nonlocal slowest
            end = time.monotonic() + seconds
            while not what():
                assert time.monotonic() < end, why
                asked = time.monotonic()
                states = {s["id"]: s["state"] for s in sessions(server)}
                slowest = max(slowest, time.monotonic() - asked)
                assert [states[s["id"]] for s in (here, far, held)] == AS_BEFORE
                time.sleep(0.5)

        def away(*made: dict[str, Any]) -> bool:
            return all(server.session(s["id"])["unreachable_since"] for s in made)

        look(lambda: away(here, far, held), 90, "they are not shown as unreachable")
        look(lambda: "does not answer" in server.session(late[0]["id"])["message"], 60, "it waits")
        says(near)
        with without_server(login, stack):
            until = time.monotonic() + CUT
            look(lambda: time.monotonic() > until, CUT + 30, "")
            says(near)
        look(lambda: answers(server, far), 60, "the way through the login node")
        with talk(server, far) as again:  # as a page does by itself
            says(again)
        look(lambda: time.monotonic() - began > OUTAGE, OUTAGE, "")
        sent = len(counted.all()) - before
        slurm.start_controller()
        wait(lambda: not any(s["unreachable_since"] for s in sessions(server)), 90, "it to heal")
        healed = time.monotonic() - began - OUTAGE
        says(near)
        print(f"{sent} commands in {OUTAGE:g} s; slowest answer {slowest:.2f} s; {healed:.0f} s")
        assert sent <= 60, "of three spawners, and with five sessions that wait to be submitted"
        assert slowest < 15
        for session in late:
            server.wait_until_running(session["id"])
        for session in sessions(server):
            assert session["attempt"] == 1
            assert len(jobs(slurm, session["id"])) == 1
        assert {sid: jobs(slurm, sid) for sid in known} == known
        assert counted.calls("scancel") == []
    server.home.cli("stop", "--all")


AS_BEFORE = ["running", "running", "queued"]


def sessions(server: JupyterServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.get("jupyter-sessions/v1/sessions")["sessions"]
    return found


@contextmanager
def talk(server: JupyterServer, session: dict[str, Any]) -> Iterator[ClientConnection]:
    """A websocket through the gateway, as a page of the app has it."""
    url = f"ws{server.origin.removeprefix('http')}{session['url']}live"
    token = {"Authorization": f"token {TOKEN}"}
    # It wants one, as DCV does.
    names = [Subprotocol("dcv")]
    options: dict[str, Any] = {"subprotocols": names, "ping_interval": None}
    with connect(url, additional_headers=token, **options) as client:
        yield client


def says(client: ClientConnection) -> None:
    client.send("hello")
    assert "'hello'" in str(client.recv(30))


def answers(server: JupyterServer, session: dict[str, Any]) -> bool:
    return server.request("GET", session["url"])[0] == 200


@contextmanager
def without_server(login: Path, stack: contextlib.ExitStack) -> Iterator[None]:
    """A login node's SSH server is gone meanwhile, and all of its connections; the next one ends
    with `stack`.
    """
    listener = (login / "login.pid").read_text().strip()
    children = subprocess.run(["pgrep", "-P", listener], capture_output=True, check=False)
    for pid in map(int, [listener, *children.stdout.decode().split()]):
        os.kill(pid, signal.SIGKILL)
    try:
        yield
    finally:
        argv = ["/usr/sbin/sshd", "-D", "-e", "-f", str(login / "login.conf")]
        with (login / "login.log").open("ab") as log:
            again = stack.enter_context(subprocess.Popen(argv, stderr=log))
        stack.callback(again.terminate)
