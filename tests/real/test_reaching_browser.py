"""A session behind a login node that its node dials, in Chromium."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from ..processes import marked
from .login import LoginNode, login_machine
from .server import BIN, Home, JupyterServer, wait
from .slurm import Slurm, cluster

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    with cluster() as made:
        yield made


@pytest.fixture(scope="module")
def login(slurm: Slurm) -> Iterator[LoginNode]:
    folder = Path(tempfile.mkdtemp(prefix="jsl-", dir="/var/tmp"))
    with login_machine(slurm, folder, HOME=str(folder)) as made:
        made.start()
        yield made


@pytest.fixture(scope="module")
def home(login: LoginNode) -> Iterator[Home]:
    made = Home()
    (made.path / ".jupyter").mkdir()
    python = str(BIN / "python")
    spawner = {
        "class": "slurm",
        "host": "login",
        "reach": "dial",
        "python": python,
        "query_interval": 1,
        "poll_interval": 0.3,
    }
    (made.path / ".jupyter/jupyter_server_config.py").write_text(
        f"c.SessionManager.hosts = {{'login': { ({**login.host, 'python': python})!r}}}\n"
        f"c.SessionManager.spawners = {{'hpc': {spawner!r}}}\n"
    )
    yield made
    made.remove()


def show(page: Page, server: JupyterServer, url: str, word: str, expected: str) -> None:
    """Open the terminal's page, and see what comes of `word` by its websocket."""
    page.goto(server.origin + url)
    shown = page.locator(".xterm-rows")
    expect(shown).to_contain_text(re.compile(r"[#$] "), timeout=30_000)
    page.keyboard.type(f"echo {word}\n")
    expect(shown).to_contain_text(expected, timeout=30_000)


def test_a_terminal_on_a_node_that_dials_the_login_node(
    home: Home,
    login: LoginNode,
    server: JupyterServer,
    log_in: Callable[[JupyterServer], Page],
    results: Path,
) -> None:
    session = server.start("terminal", spawner="hpc", resources={"memory": 1, "hours": 1})
    assert session["host"] in login.slurm.nodes
    page = log_in(server)
    show(page, server, session["url"], "this-is-$(hostname)", f"this-is-{session['host']}")
    page.screenshot(path=results / "dial-login-node.png")
    assert len(login.relays()) == 1
    # The connection is cut under it: the terminal is back once the page is.
    login.kill_connections()
    wait(lambda: server.request("GET", session["url"])[0] == 200, 60, "the way to be made again")
    show(page, server, session["url"], "again-$((6*7))", "again-42")
    # A server that dies takes along what it had on the login node, and leaves the session.
    server.kill()
    wait(lambda: not login.programs() and not login.listeners(), 60, "the login node to be clean")
    assert marked(session["id"])
    second = JupyterServer(home)
    second.wait_until_running(session["id"])
    page = log_in(second)
    show(page, second, session["url"], "later-$((6*8))", "later-48")
    home.cli("rm", session["id"])
    wait(lambda: not marked(session["id"]), 30, "its processes to end")
    wait(lambda: not login.programs() and not login.listeners(), 30, "the login node to be clean")
