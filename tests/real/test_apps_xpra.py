"""One program in Xpra behind a session's URL, below a prefix as behind a hub."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from ..processes import marked
from .server import Home, JupyterServer, wait


@pytest.fixture(scope="module")
def server(home: Home) -> Iterator[JupyterServer]:
    made = JupyterServer(home, base_url="/user/x/")
    yield made
    made.stop()


def bright(page: Page) -> bool:
    """Whether a large part of the page is the window of a white terminal."""
    shot = Image.open(io.BytesIO(page.screenshot())).convert("L")
    counts = shot.crop((100, 100, 500, 300)).histogram()
    return sum(counts[230:]) > sum(counts) / 2


def dark(page: Page) -> bool:
    shot = Image.open(io.BytesIO(page.screenshot())).convert("L")
    counts = shot.crop((100, 100, 500, 300)).histogram()
    return sum(counts[:60]) > sum(counts) / 2


def test_a_window_opens_changes_when_it_is_typed_into_and_nothing_is_left(
    server: JupyterServer,
    log_in: Callable[[JupyterServer], Page],
    results: Path,
    tmp_path: Path,
) -> None:
    trap, proof = tmp_path / "trap", tmp_path / "proof"
    program = f"xterm -fa Monospace -bg white -fg black -geometry 90x30+40+40 -T '$(touch {trap})'"
    session = server.start("xpra", options={"program": program})
    home = {path.name for path in server.home.path.iterdir()}
    page = log_in(server)
    page.goto(server.origin + session["url"])
    expect(page.locator(".window canvas").first).to_be_visible(timeout=60_000)
    wait(lambda: bright(page), 30, "the white window")
    page.mouse.click(300, 250)
    # The colours of the whole terminal change: pixels, and not only a line of text.
    text = r"printf '\033]11;black\007\033]10;white\007'; touch " + str(proof)
    page.keyboard.type(text, delay=30)
    page.keyboard.press("Enter")
    wait(proof.exists, 30, "the typed command to be run")
    wait(lambda: dark(page), 30, "the window to turn black")
    page.screenshot(path=results / "xpra.png")

    log = server.home.cli("logs", session["id"])
    match = re.search(r"on display :(\d+)", log)
    assert match is not None
    traces = [Path(f"/tmp/.X11-unix/X{match[1]}"), Path(f"/tmp/.X{match[1]}-lock")]
    assert traces[0].is_socket()
    server.post(f"jupyter-sessions/v1/sessions/{session['id']}/stop")
    wait(lambda: server.session(session["id"])["state"] == "stopped", 30, "the end")
    assert marked(session["id"]) == []
    assert [path for path in traces if path.exists()] == []
    assert {path.name for path in server.home.path.iterdir()} - {".bash_history"} <= home
    assert not trap.exists()


def test_the_session_ends_with_its_program(server: JupyterServer) -> None:
    request = {"app": "xpra", "options": {"program": "xterm -e sleep 1"}}
    session = server.post("jupyter-sessions/v1/sessions", request)
    wait(lambda: server.session(session["id"])["state"] in ("stopped", "failed"), 60, "the end")
    assert marked(session["id"]) == []


def test_a_program_that_is_not_there_is_named(server: JupyterServer) -> None:
    request = {"app": "xpra", "options": {"program": "no-such-program -x"}}
    made = server.post("jupyter-sessions/v1/sessions", request)
    wait(lambda: server.session(made["id"])["state"] == "failed", 30, "the failure")
    assert "There is no program 'no-such-program'" in server.home.cli("logs", made["id"])
