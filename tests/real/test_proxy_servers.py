"""A package for jupyter-server-proxy that brings a big program: code-server, in Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from ..proxied.packages import GROUP, ICON, install
from . import vscode
from .server import Home, JupyterServer, wait

CODE = '''
"""As jupyter-vscode-proxy defines it: a function that looks for the program when it starts."""
import os, shutil

def setup():
    def command(port, unix_socket):
        if not shutil.which("code-server"):
            raise FileNotFoundError("Can not find code-server in PATH")
        where = ["--socket", "{unix_socket}"] if unix_socket else ["--port={port}"]
        return ["code-server", "--auth", "none", "--disable-telemetry", *where, "."]

    return {
        "command": command,
        "timeout": 300,
        "new_browser_tab": True,
        "launcher_entry": {
            "title": "VS Code of a package",
            "icon_path": os.path.join(os.path.dirname(__file__), "icon.svg"),
        },
    }
'''


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    made = Home()
    site = install(
        made.path / "site", "vscode_package", GROUP, {"vscode": "vscode_package:setup"}, CODE
    )
    (site / "icon.svg").write_text(ICON)
    made.env["PYTHONPATH"] = str(site)
    yield made
    made.remove()


@pytest.fixture(scope="module")
def server(home: Home) -> Iterator[JupyterServer]:
    prefix = "/user/ada/"
    made = JupyterServer(home, "--SessionsExtension.server_proxy_urls=True", base_url=prefix)
    yield made
    made.stop()


def test_its_old_url_opens_a_workbench_that_is_stopped_and_started_again(
    home: Home, server: JupyterServer, log_in: Callable[[JupyterServer], Page], results: Path
) -> None:
    vscode.configure(home.path)
    (home.work / "poem.txt").write_text("first line\n")
    page = log_in(server)
    page.goto(f"{server.origin}{server.base_url}vscode/?folder={home.work}")
    vscode.wait_for_workbench(page)  # after the waiting page
    (session,) = server.get("jupyter-sessions/v1/sessions")["sessions"]
    assert f"/user/ada/sessions/{session['id']}/" in page.url
    assert (session["app"], session["title"]) == ("vscode", "VS Code of a package")

    vscode.open_terminal(page, page)  # over its websocket
    page.keyboard.type("echo answer-$((40+2))")
    wait(lambda: "echo answer-$((40+2))" in vscode.terminal_text(page), 20, "the echo")
    page.keyboard.press("Enter")
    expect(page.locator(".terminal-wrapper.active .xterm-rows")).to_contain_text("answer-42")
    page.screenshot(path=results / "server-proxy-vscode.png")

    assert "HTTP server listening" in home.cli("logs", session["id"])
    home.cli("stop", session["id"])
    assert server.session(session["id"])["state"] == "stopped"
    home.cli("restart", session["id"], "--wait")
    page.goto(f"{server.origin}{session['url']}?folder={home.work}")
    vscode.wait_for_workbench(page)
    second = home.cli("start", "vscode", "--wait")  # a second one beside it
    assert session["id"] not in second
    assert len(server.get("jupyter-sessions/v1/sessions")["sessions"]) == 2
