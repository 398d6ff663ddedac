"""code-server behind a session's URL, from the command line to the keystroke."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from . import vscode
from .server import Home, JupyterServer, wait


def test_the_printed_url_opens_a_workbench_that_edits_and_has_a_terminal(
    home: Home, server: JupyterServer, log_in: Callable[[JupyterServer], Page], results: Path
) -> None:
    vscode.configure(home.path)
    file = home.work / "poem.txt"
    file.write_text("first line\n")
    url = home.cli("start", "code-server", "--wait").strip()
    assert url.startswith(f"http://127.0.0.1:{server.port}/sessions/")
    page = log_in(server)
    page.goto(url)
    vscode.wait_for_workbench(page)

    vscode.open_file(page, page, "poem.txt")
    page.keyboard.press("Control+Home")
    page.keyboard.type("typed in the browser ")
    page.keyboard.press("Control+s")
    wait(lambda: "typed in the browser first line" in file.read_text(), 20, "the file to be saved")

    vscode.open_terminal(page, page)
    page.keyboard.type("echo answer-$((40+2))")
    wait(lambda: "echo answer-$((40+2))" in vscode.terminal_text(page), 20, "the echo")
    page.keyboard.press("Enter")
    expect(page.locator(".terminal-wrapper.active .xterm-rows")).to_contain_text("answer-42")
    page.screenshot(path=results / "code-server.png")

    session_id = url.split("/sessions/")[1].partition("/")[0]
    log = home.cli("logs", session_id).splitlines()
    assert f"{server.origin}/sessions/{session_id}/?folder={home.work}" in log
