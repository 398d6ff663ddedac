"""The Linux desktop behind a session's URL."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page

from ..processes import marked
from . import desktop
from .server import JupyterServer

# Whatever else this machine has: a bare desktop, which begins with a terminal.
BARE = {"app": "desktop", "options": {"window_manager": "openbox"}}


def listening() -> set[int]:
    """The processes that listen on a TCP port: other tests start and end some meanwhile."""
    lines = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
    return {int(pid) for pid in re.findall(r"pid=(\d+)", lines)}


def test_a_window_opens_takes_what_is_typed_and_no_port_is_opened(
    server: JupyterServer, log_in: Callable[[JupyterServer], Page], results: Path
) -> None:
    page = log_in(server)
    session = server.start("desktop", options={"window_manager": "openbox"})
    page.goto(server.origin + session["url"])
    desktop.wait_for_desktop(page)
    proof = server.home.work / "typed"
    desktop.type_in_terminal(page, page, f"echo Hello from the desktop; touch {proof}", proof)
    page.screenshot(path=results / "desktop.png")
    listeners = listening()
    assert server.process.pid in listeners  # so the look can see something
    assert listeners.isdisjoint(marked(session["id"]))
    server.post(f"jupyter-sessions/v1/sessions/{session['id']}/stop")


def test_desktops_started_at_once_have_displays_of_their_own(server: JupyterServer) -> None:
    made = [server.post("jupyter-sessions/v1/sessions", BARE) for _ in range(4)]
    ids = [server.wait_until_running(session["id"])["id"] for session in made]
    displays = {
        line
        for i in ids
        for line in server.home.cli("logs", i).splitlines()
        if "on display" in line
    }
    assert len(displays) == 4
    for session_id in ids:
        server.post(f"jupyter-sessions/v1/sessions/{session_id}/stop")
