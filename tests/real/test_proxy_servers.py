"""Packages for jupyter-server-proxy as they come from PyPI, unchanged, in Chromium.

jupyter-server-proxy itself is there, too, and enabled, as it is for whoever installs one of them.
rserver is a fake (see fakes/); code-server, TigerVNC and marimo are the real ones.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from ..processes import marked
from . import vscode
from .server import BIN, TOKEN, Home, JupyterServer, wait

APPS = Path(sys.prefix) / "share/tested-apps"
# Jupyter finds no file of an extension whose folder is a link.
PACKAGES = (APPS / "server-proxy").resolve()
RSERVER_FAKE = Path(__file__).parent / "fakes/rserver"
EXAMPLES = Path(__file__).parent / "examples"
SESSIONS = "jupyter-sessions/v1/sessions"
XSTARTUP = """#!/bin/sh
openbox &
exec xterm -geometry 80x24+0+0
"""
RSERVER = """#!/bin/sh
# As root, it would go to the background.
[ "$1" = --help ] || set -- "$@" --server-daemonize=0
exec '{fake}' "$@"
"""


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    assert PACKAGES.exists(), "the packages are not installed: run scripts/setup-apps.sh"
    made = Home()
    programs = made.path / "programs"
    programs.mkdir()
    for name, text in {"xstartup": XSTARTUP, "rserver": RSERVER.format(fake=RSERVER_FAKE)}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    config = made.path / ".jupyter"
    config.mkdir()
    (config / "jupyter_server_config.py").write_text("c.MarimoProxyConfig.sandbox = None\n")
    made.env |= {
        "PYTHONPATH": str(PACKAGES),
        "JUPYTER_CONFIG_PATH": str(PACKAGES / "etc/jupyter"),
        "JUPYTER_PATH": str(PACKAGES / "share/jupyter"),
        "PATH": f"{BIN}:{programs}:{APPS / 'bin'}:{os.environ['PATH']}",
        "JUPYTER_REMOTE_DESKTOP_PROXY_XSTARTUP": str(programs / "xstartup"),
        "USER": "ada",
        "JUPYTERHUB_SERVICE_PREFIX": "/user/ada/",  # where marimo's takes its base URL from
    }
    shutil.copy(EXAMPLES / "marimo_notebook.py", made.work)
    vscode.configure(made.path)
    yield made
    made.remove()


@pytest.fixture(scope="module")
def server(home: Home) -> Iterator[JupyterServer]:
    made = JupyterServer(home, base_url="/user/ada/")
    yield made
    made.stop()


@pytest.fixture
def page(server: JupyterServer, context: BrowserContext) -> Page:
    """A page of somebody who has logged in, with no JupyterLab to load first."""
    done = context.request.get(f"{server.origin}{server.base_url}api/status?token={TOKEN}")
    assert done.ok
    return context.new_page()


def ended(server: JupyterServer, session: dict[str, Any]) -> None:
    """Stop the session by the command line; nothing of it is left."""
    server.home.cli("stop", session["id"])
    assert server.session(session["id"])["state"] == "stopped"
    wait(lambda: marked(session["id"]) == [], 30, "the session's processes to be gone")


def test_each_package_is_an_app(server: JupyterServer) -> None:
    apps = {app["name"]: app for app in server.get("jupyter-sessions/v1/apps")}
    # Those that are called as one of ours is, beside it.
    titles = {
        "rstudio-proxy": "RStudio",
        "desktop-websockify": "Desktop",
        "vscode": "VS Code",
        "panel-proxy": "Panel Launcher",
        "tensorboard-proxy": "Tensorboard",
        "marimo-proxy": "marimo",
    }
    assert {name: apps[name]["title"] for name in titles} == titles
    assert {name: apps[name]["available"] for name in titles} == dict.fromkeys(titles, True)
    # Each that brings a picture has it on the tile.
    for name in titles.keys() - {"desktop-websockify"}:
        status, icon = server.request("GET", f"/user/ada/jupyter-sessions/v1/apps/{name}/icon")
        assert (name, status, b"<svg" in icon) == (name, 200, True)


def test_a_desktop_whose_page_is_jupyters_own(
    home: Home, server: JupyterServer, page: Page, results: Path
) -> None:
    session = server.start("desktop-websockify")
    assert session["url"] == f"/user/ada/sessions/{session['id']}/desktop/"
    page.goto(server.origin + session["url"])
    expect(page.locator("#status")).to_have_text("Connected", timeout=30_000)
    canvas = page.locator("#screen canvas")
    expect(canvas).to_be_visible()
    proof = home.path / "typed in a desktop"

    def typed() -> bool:
        canvas.click(position={"x": 40, "y": 60})
        page.keyboard.type(f"> '{proof}'", delay=20)
        page.keyboard.press("Enter")
        return proof.exists()

    wait(typed, 30, "the terminal to be there and to run what is typed")
    page.screenshot(path=results / "server-proxy-desktop.png")
    # Another one, at the same time, with a screen of its own.
    second = server.start("desktop-websockify")
    page.goto(server.origin + second["url"])
    expect(page.locator("#status")).to_have_text("Connected", timeout=30_000)
    ended(server, second)
    ended(server, session)
    home.cli("restart", session["id"], "--wait")
    page.goto(server.origin + session["url"])
    expect(page.locator("#status")).to_have_text("Connected", timeout=30_000)
    ended(server, session)


def test_rstudio_of_its_package(server: JupyterServer, page: Page) -> None:
    session = server.start("rstudio-proxy")
    page.goto(server.origin + session["url"])
    assert page.url == f"{server.origin}/user/ada/sessions/{session['id']}/"
    page.get_by_label("Console").fill("6*7")
    page.get_by_label("Console").press("Enter")
    expect(page.locator("#output")).to_contain_text("> 6*7 in ~")
    ended(server, session)


def test_marimo_of_its_package(server: JupyterServer, page: Page) -> None:
    session = server.start("marimo-proxy")
    page.goto(f"{server.origin}{session['url']}?file=marimo_notebook.py")
    expect(page.get_by_text("import marimo as mo")).to_be_visible(timeout=60_000)
    page.get_by_test_id("run-button").last.click()
    expect(page.get_by_text("counts 0")).to_be_visible()
    page.goto("about:blank")
    ended(server, session)


def test_vscode_of_its_package_is_listed_stopped_and_started_again(
    home: Home, server: JupyterServer, page: Page, results: Path
) -> None:
    (home.work / "poem.txt").write_text("first line\n")
    session = server.start("vscode")
    page.goto(f"{server.origin}{session['url']}?folder={home.work}")
    vscode.wait_for_workbench(page)
    vscode.open_terminal(page, page)  # over its websocket
    page.keyboard.type("echo answer-$((40+2))")
    wait(lambda: "echo answer-$((40+2))" in vscode.terminal_text(page), 20, "the echo")
    page.keyboard.press("Enter")
    expect(page.locator(".terminal-wrapper.active .xterm-rows")).to_contain_text("answer-42")
    page.screenshot(path=results / "server-proxy-vscode.png")

    assert "HTTP server listening" in home.cli("logs", session["id"])
    ended(server, session)
    home.cli("restart", session["id"], "--wait")
    page.goto(f"{server.origin}{session['url']}?folder={home.work}")
    vscode.wait_for_workbench(page)
    second = home.cli("start", "vscode", "--wait")  # a second one beside it
    assert session["id"] not in second
    listed = home.cli("list")
    assert session["id"] in listed
    assert len(server.get(SESSIONS)["sessions"]) >= 2


def test_an_old_url_leads_to_the_session(
    home: Home, log_in: Callable[[JupyterServer], Page]
) -> None:
    """With jupyter-server-proxy installed but not enabled."""
    own = Home()
    own.env |= {k: v for k, v in home.env.items() if k not in own.env} | {"PATH": home.env["PATH"]}
    own.env["JUPYTER_CONFIG_PATH"] = str(own.path)
    vscode.configure(own.path)
    server = JupyterServer(own, "--SessionsExtension.server_proxy_urls=True", base_url="/user/ada/")
    try:
        page = log_in(server)
        page.goto(f"{server.origin}{server.base_url}vscode/?folder={own.work}")
        vscode.wait_for_workbench(page)  # after the waiting page
        (session,) = server.get(SESSIONS)["sessions"]
        assert f"/user/ada/sessions/{session['id']}/" in page.url
        assert (session["app"], session["title"]) == ("vscode", "VS Code")
    finally:
        own.remove()
