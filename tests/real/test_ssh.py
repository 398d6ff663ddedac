"""Sessions on another machine, reached by SSH: as used in a browser, and when things break."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from . import desktop, vscode
from .far import FarMachine
from .server import Home, JupyterServer, wait

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make another machine")

KEPT = "/home/ada/.local/share/jupyter-sessions"


@pytest.fixture(scope="module")
def far() -> Iterator[FarMachine]:
    machine = FarMachine()
    user = "/home/ada/.local/share/code-server/User/settings.json"
    machine.write(user, json.dumps(vscode.SETTINGS))
    yield machine
    machine.stop()


@pytest.fixture(scope="module")
def home(far: FarMachine) -> Iterator[Home]:
    made = Home()
    configure(made, far)
    yield made
    made.remove()


def configure(home: Home, far: FarMachine, **traits: Any) -> None:
    """Let the Jupyter of `home` know `far`."""
    spec = settings(far, **traits)
    (home.path / ".jupyter").mkdir(exist_ok=True)
    (home.path / ".jupyter" / "jupyter_server_config.py").write_text(
        f"c.SessionManager.hosts = {{'far': {spec!r}}}\n"
        "c.SessionManager.spawners = {'far': {'class': 'process', 'host': 'far', 'title': 'Far'}}\n"
    )
    runtime = home.path / "run"
    runtime.mkdir(mode=0o700, exist_ok=True)
    home.env["XDG_RUNTIME_DIR"] = str(runtime)


def settings(far: FarMachine, **traits: Any) -> dict[str, Any]:
    return {
        "class": "ssh",
        "address": "far",
        "config_file": str(far.config),
        "python": "/opt/venv/bin/python",
        **traits,
    }


def masters(home: Home) -> list[int]:
    """The processes that hold this user's connections."""
    runtime = f"ControlPath={home.path}/run/"
    done = subprocess.run(["pgrep", "-f", runtime], capture_output=True, text=True, check=False)
    return [int(pid) for pid in done.stdout.split()]


def sockets(home: Home) -> list[str]:
    directory = home.path / "run" / "jupyter-sessions"
    return sorted(p.name for p in directory.iterdir() if p.is_socket())


def answers(server: JupyterServer, session: dict[str, Any]) -> bool:
    return server.request("GET", session["url"])[0] == 200


def test_vs_code_edits_files_of_the_other_machine(
    server: JupyterServer,
    far: FarMachine,
    log_in: Callable[[JupyterServer], Page],
    results: Path,
) -> None:
    session = server.start("code-server", spawner="far", cwd="work")
    assert session["host"] == far.name
    assert session["cwd"] == "/home/ada/work"
    page = log_in(server)
    page.goto(server.origin + session["url"])
    vscode.wait_for_workbench(page)
    vscode.open_terminal(page, page)
    page.keyboard.type("echo on-$(hostname)-as-$(id -un) | tee proof")
    page.keyboard.press("Enter")
    where = f"on-{far.name}-as-ada"
    expect(page.locator(".terminal-wrapper.active .xterm-rows")).to_contain_text(where)
    page.screenshot(path=results / "code-server-over-ssh.png")
    assert far.run("cat", "/home/ada/work/proof").strip() == where

    # The connection dies, and the websocket with it: VS Code makes another through the next.
    for pid in masters(server.home):
        os.kill(pid, signal.SIGKILL)
    wait(lambda: masters(server.home), 20, "another connection")
    page.keyboard.type("echo again-$((40+2))")
    page.keyboard.press("Enter")
    rows = page.locator(".terminal-wrapper.active .xterm-rows")
    expect(rows).to_contain_text("again-42", timeout=60_000)
    now = server.session(session["id"])
    assert (now["state"], now["attempt"]) == ("running", 1)
    stop_and_remove(server, far, session)


def test_a_desktop_of_the_other_machine(
    server: JupyterServer,
    far: FarMachine,
    log_in: Callable[[JupyterServer], Page],
    results: Path,
) -> None:
    session = server.start("desktop", spawner="far", options={"window_manager": "openbox"})
    page = log_in(server)
    page.goto(server.origin + session["url"])
    desktop.wait_for_desktop(page)
    wait(lambda: desktop.window_is_drawn(page), 30, "a window with a prompt")
    page.mouse.click(*desktop.centre(page))
    page.keyboard.type("hostname > typed", delay=20)
    page.keyboard.press("Enter")
    wait(lambda: far.files("/home/ada/typed"), 20, "the typed command")
    page.screenshot(path=results / "desktop-over-ssh.png")
    assert far.run("cat", "/home/ada/typed").strip() == far.name
    stop_and_remove(server, far, session)


def stop_and_remove(server: JupyterServer, far: FarMachine, session: dict[str, Any]) -> None:
    """End and forget a session; see that nothing of it is left there."""
    assert far.processes(f"={session['id']}.")
    assert far.files(f"{KEPT}/sessions/{session['id']}")
    server.home.cli("rm", session["id"])
    wait(lambda: not far.processes(f"={session['id']}."), 20, "its processes to end")
    wait(lambda: session["id"] not in far.files(f"{KEPT}/sessions"), 20, "its files to go")
    wait(lambda: not (server.home.store / "sessions" / session["id"]).exists(), 20, "its record")
