"""Python's and R's web frameworks behind sessions' URLs, below a prefix.

In each, one thing is done that the server has to answer, and nothing of it is left once its session
has been stopped. The frameworks live in an environment of their own (``scripts/setup-apps.sh``).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import BrowserContext, Page, expect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from ..processes import marked
from .lab import Lab, prepare
from .server import BIN, TOKEN, Home, JupyterServer, wait

SESSIONS = "jupyter-sessions/v1/sessions"
EXAMPLES = Path(__file__).parent / "examples"
APPS = Path(sys.prefix) / "share/tested-apps"
PYTHON = str(APPS / "bin/python")
PRESSED = [
    ("dash", "dash_app.py"),
    ("gradio", "gradio_demo.py"),
    ("marimo", "marimo_notebook.py"),
    ("panel", "panel_app.py"),
    ("shiny", "shiny_app.py"),
    ("shiny", "shiny_core_app.py"),
    ("shiny-r", "shiny.R"),
    ("streamlit", "streamlit_app.py"),
    ("voila", "voila_page.ipynb"),
]
"""Apps with a button, and a text that says how often the server has heard of it."""
OPTIONS = {"marimo": {"mode": "run"}}
FROM_ELSEWHERE = {
    "tensorboard": "/font-roboto/",  # by whole paths, which are Jupyter's and not there
    "voila": "https://cdn.jsdelivr.net/npm/@fortawesome/",
}
"""What a page asks for outside of its session, and does without: the beginning of the URLs."""
WITH_PORTS = {"marimo", "voila"}
"""Those that listen on TCP: Voilà's kernels do, as all kernels, and marimo has a password."""


@pytest.fixture(scope="module")
def server(home: Home) -> Iterator[JupyterServer]:
    assert APPS.exists(), "the web frameworks are not installed: run scripts/setup-apps.sh"
    home.env["PATH"] = f"{BIN}:{APPS / 'bin'}:{os.environ['PATH']}"
    for example in EXAMPLES.iterdir():
        if example.is_file():
            shutil.copy(example, home.work)
    made = JupyterServer(home, base_url="/user/x/")
    yield made
    made.stop()


@pytest.fixture
def page(server: JupyterServer, context: BrowserContext) -> Page:
    """A page of somebody who has logged in, with no JupyterLab to load first."""
    done = context.request.get(f"{server.origin}{server.base_url}api/status?token={TOKEN}")
    assert done.ok
    return context.new_page()


@contextmanager
def running(server: JupyterServer, app: str, **request: Any) -> Iterator[dict[str, Any]]:
    """A session that runs, and ends without a trace."""
    session = server.start(app, **request)
    assert app in WITH_PORTS or ports(session) == []
    yield session
    server.post(f"{SESSIONS}/{session['id']}/stop")
    wait(lambda: server.session(session["id"])["state"] == "stopped", 30, f"the end of {app}")
    assert marked(session["id"]) == []


def ports(session: dict[str, Any]) -> list[int]:
    """The TCP ports that the session's processes listen on."""
    found = []
    for pid in marked(session["id"]):
        with contextlib.suppress(psutil.NoSuchProcess):  # what helped it to start has ended
            connections = psutil.Process(pid).net_connections("tcp")
            found += [c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN]
    return found


@contextmanager
def keeping_to_itself(page: Page, server: JupyterServer, session: dict[str, Any]) -> Iterator[None]:
    """Open the session; whatever its page asks for is the session's."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url.replace("ws", "http", 1)))
    prefix = f"{server.origin}{server.base_url}sessions/{session['id']}/"
    page.goto(server.origin + session["url"])
    yield
    known = FROM_ELSEWHERE.get(session["app"], prefix)
    outside = [url for url in asked if not url.startswith((prefix, "data:", "blob:", "about:"))]
    assert [url for url in outside if not url.removeprefix(server.origin).startswith(known)] == []
    assert asked


@pytest.mark.parametrize(("app", "file"), PRESSED, ids=[file for _, file in PRESSED])
def test_a_button_is_answered_by_the_server(
    server: JupyterServer, page: Page, results: Path, app: str, file: str
) -> None:
    with running(server, app, file=file, options=OPTIONS.get(app, {})) as session:
        with keeping_to_itself(page, server, session):
            expect(page.get_by_text("counts 0")).to_be_visible(timeout=120_000)
            page.get_by_role("button", name="Press").click()
            expect(page.get_by_text("counts 1")).to_be_visible()
        page.screenshot(path=results / f"app-{file}.png")
        page.goto("about:blank")


def test_a_file_opens_from_the_file_browser(
    server: JupyterServer, page: Page, results: Path
) -> None:
    prepare(server.home)
    lab = Lab(page, server).open()
    file = page.locator(".jp-DirListing-item").filter(has_text="streamlit_app.py")
    file.click(button="right")
    page.locator(".lm-Menu-item").filter(has_text="Open in Session").hover()
    apps = page.locator(".lm-Menu").last.locator(".lm-Menu-item:visible")
    expect(apps.filter(has_text="Gradio")).to_be_visible()
    expect(apps.filter(has_text="Voilà")).to_have_count(0)  # it is not for scripts
    apps.filter(has_text="Streamlit").click()  # and there is nothing to ask
    app = page.frame_locator("iframe").last
    expect(app.get_by_text("counts 0")).to_be_visible(timeout=60_000)
    app.get_by_role("button", name="Press").click()
    expect(app.get_by_text("counts 1")).to_be_visible()
    page.screenshot(path=results / "app-in-lab.png")
    assert lab.errors == []
    (session,) = [s for s in server.get(SESSIONS)["sessions"] if s["state"] == "running"]
    server.post(f"{SESSIONS}/{session['id']}/stop")
    wait(lambda: marked(session["id"]) == [], 30, "the end")


def test_marimo_is_edited_by_its_user_and_nobody_else(
    server: JupyterServer, page: Page, results: Path
) -> None:
    with running(server, "marimo", file="marimo_notebook.py") as session:
        with keeping_to_itself(page, server, session):
            expect(page.get_by_text("import marimo as mo")).to_be_visible(timeout=60_000)
            page.get_by_test_id("run-button").last.click()
            expect(page.get_by_text("counts 0")).to_be_visible()
        page.screenshot(path=results / "app-marimo.png")
        (port,) = ports(session)
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status")
        with pytest.raises(InvalidStatus):
            connect(f"ws://127.0.0.1:{port}/ws?session_id=s_abcdef")
        page.goto("about:blank")


def test_tensorboard_shows_what_is_logged_after_its_start(
    server: JupyterServer, page: Page, results: Path
) -> None:
    logs = server.home.work / "logs"
    logs.mkdir()
    options = {"reload_interval": 1}
    with running(server, "tensorboard", cwd=str(logs), options=options) as session:
        with keeping_to_itself(page, server, session):
            none = page.get_by_text("No dashboards are active for the current data set.")
            expect(none).to_be_visible(timeout=60_000)
            run = [PYTHON, str(EXAMPLES / "scalar.py"), str(logs / "first"), "1", "0.25"]
            subprocess.run(run, check=True, capture_output=True)

            def is_shown() -> bool:
                page.reload()
                tags = page.get_by_text("loss", exact=True)
                return tags.first.is_visible() or _appears(page, "loss")

            wait(is_shown, 60, "TensorBoard to show the loss")
        page.screenshot(path=results / "app-tensorboard.png")


def _appears(page: Page, text: str) -> bool:
    """Whether `text` comes within a few seconds; the page has just been loaded."""
    try:
        expect(page.get_by_text(text, exact=True).first).to_be_visible(timeout=5000)
    except AssertionError:
        return False
    return True


def test_mlflow_is_logged_to_through_jupyter(
    server: JupyterServer, page: Page, results: Path
) -> None:
    folder = server.home.work / "experiments"
    folder.mkdir()
    with running(server, "mlflow", cwd=str(folder)) as session:
        tracking = {
            "MLFLOW_TRACKING_URI": (server.origin + session["url"]).rstrip("/"),
            "MLFLOW_TRACKING_TOKEN": TOKEN,  # Jupyter's
        }
        run = [PYTHON, str(EXAMPLES / "mlflow_run.py")]
        env = server.home.env | tracking
        subprocess.run(run, env=env, cwd=server.home.work, check=True, capture_output=True)
        assert (folder / "mlflow.db").exists()
        with keeping_to_itself(page, server, session):
            expect(page.get_by_role("link", name="Tides").first).to_be_visible(timeout=60_000)
        page.screenshot(path=results / "app-mlflow.png")
        page.goto("about:blank")


@pytest.mark.parametrize(
    ("app", "sentence"),
    [
        ("dash", "there is no Dash app in it"),
        ("gradio", "there is no demo in it"),
    ],
)
def test_a_script_without_an_app_fails_with_a_sentence(
    server: JupyterServer, app: str, sentence: str
) -> None:
    (server.home.work / "empty.py").write_text("answer = 42\n")
    made = server.post(SESSIONS, {"app": app, "file": "empty.py"})
    wait(lambda: server.session(made["id"])["state"] == "failed", 90, "the failure")
    assert sentence in server.home.cli("logs", made["id"])
