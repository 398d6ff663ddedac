"""Behind a real JupyterHub with configurable-http-proxy: two users, each in their own browser."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from . import desktop, vscode
from .server import BIN, free_port, wait

API = "jupyter-sessions/v1"


class Hub:
    """A hub in a directory of its own."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="jsb-"))
        ports = [str(free_port()) for _ in range(3)]
        self.origin = f"http://127.0.0.1:{ports[0]}"
        for name in ("ada", "bob"):
            config = self.path / name / ".jupyter/jupyter_sessions"
            config.mkdir(parents=True)
            (config / "apps").symlink_to(Path(__file__).parents[1] / "apps")
        self.log = self.path / "hub.log"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER_CONFIG", "XDG_"))}
        env = kept | {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(self.path),
            "HUB_HOME": str(self.path),
            "HUB_PORT": ports[0],
            "HUB_API_PORT": ports[1],
            "HUB_PROXY_PORT": ports[2],
        }
        config = Path(__file__).with_name("hub_config.py")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "-f", str(config)],
                env=env,
                cwd=self.path,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait(self._answers, 60, f"the hub: see {self.log}")

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            with urllib.request.urlopen(f"{self.origin}/hub/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
        for name in ("ada", "bob"):
            env = {**os.environ, "HOME": str(self.path / name), "PATH": f"{BIN}:/usr/bin:/bin"}
            env = {k: v for k, v in env.items() if not k.startswith("JUPYTER")}
            command = ["jupyter", "sessions", "stop", "--all"]
            subprocess.run(command, env=env, check=True, timeout=90, capture_output=True)
        shutil.rmtree(self.path, ignore_errors=True)


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    made = Hub()
    yield made
    made.close()


class Person:
    """Somebody who has logged in and whose server runs."""

    def __init__(self, hub: Hub, context: BrowserContext, name: str) -> None:
        self.base = f"{hub.origin}/user/{name}/"
        self.work = hub.path / name
        self.page = context.new_page()
        self.page.goto(f"{hub.origin}/hub/login")
        self.page.get_by_label("Username").fill(name)
        self.page.get_by_label("Password").fill("the-hubs-password")
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(f"{self.base}**", timeout=120_000)
        self.page.locator(".jp-Launcher").first.wait_for(timeout=60_000)

    def fetch(self, method: str, path: str, body: Any = None) -> Any:
        """What the REST API answers to a script of the person's own page."""
        return self.page.evaluate(
            """async ([method, url, body]) => {
                const xsrf = document.cookie.match(/_xsrf=([^;]+)/)[1];
                const answer = await fetch(url, {
                    method, body: body === null ? undefined : JSON.stringify(body),
                    headers: {"X-XSRFToken": xsrf},
                });
                return answer.status < 300 ? answer.json() : {status: answer.status};
            }""",
            [method, self.base + path, body],
        )

    def start(self, app: str) -> Any:
        made = self.fetch("POST", f"{API}/sessions", {"app": app})
        assert "id" in made, made

        def settled() -> Any:
            session = self.fetch("GET", f"{API}/sessions/{made['id']}")
            assert session["state"] != "failed", session["message"]
            return session if session["state"] == "running" else None

        return wait(settled, 90, f"{app} to run")


@pytest.fixture
def people(hub: Hub, browser: Browser) -> Iterator[tuple[Person, Person]]:
    contexts = [browser.new_context(viewport={"width": 1280, "height": 800}) for _ in range(2)]
    for context in contexts:
        context.set_default_timeout(30_000)
    yield Person(hub, contexts[0], "ada"), Person(hub, contexts[1], "bob")
    for context in contexts:
        context.close()


def frame_in_lab(page: Page, url: str) -> Any:
    """The session in a frame of JupyterLab's own page, as a Lab tab shows it."""
    page.evaluate(
        """url => {
            const frame = document.createElement("iframe");
            frame.src = url;
            frame.title = "session";
            frame.style = "position: fixed; inset: 0; width: 100%; height: 100%; z-index: 99999";
            document.body.append(frame);
        }""",
        url,
    )
    frame = page.locator("iframe[title=session]").element_handle().content_frame()
    assert frame is not None
    return frame


def test_two_people_behind_a_hub(hub: Hub, people: tuple[Person, Person], results: Path) -> None:
    ada, bob = people
    vscode.configure(ada.work)
    (ada.work / "poem.txt").write_text("first line\n")
    editor, screen = ada.start("code-server"), ada.start("desktop")
    assert editor["url"].startswith(f"/user/ada/sessions/{editor['id']}/")

    # In a window of its own.
    window = ada.page.context.new_page()
    window.goto(hub.origin + editor["url"])
    vscode.wait_for_workbench(window)
    vscode.open_file(window, window, "poem.txt")
    window.keyboard.press("Control+Home")
    window.keyboard.type("typed behind the hub ")
    window.keyboard.press("Control+s")
    file = ada.work / "poem.txt"
    wait(lambda: "typed behind the hub first" in file.read_text(), 20, "the file to be saved")
    window.close()

    # In a frame of Lab.
    frame = frame_in_lab(ada.page, screen["url"])
    desktop.wait_for_desktop(frame)
    proof = ada.work / "typed"
    desktop.type_in_terminal(ada.page, frame, f"touch {proof}", proof)
    ada.page.screenshot(path=results / "hub-desktop-in-lab.png")
    ada.page.reload()
    ada.page.locator(".jp-Launcher").first.wait_for()
    frame = frame_in_lab(ada.page, editor["url"])
    vscode.wait_for_workbench(frame)
    ada.page.screenshot(path=results / "hub-code-server-in-lab.png")

    # An app sees who asks for it, but nothing with which it could act as her.
    echo = ada.start("echo")
    seen = ada.page.evaluate("url => fetch(url).then(answer => answer.json())", echo["url"])
    names = {name.lower() for name, _ in seen["headers"]}
    assert names.isdisjoint({"cookie", "authorization", "x-xsrftoken"})
    assert [n for n in seen["environment"] if n.startswith(("JUPYTERHUB_", "JPY_"))] == []
    cookies = [c["value"] for c in ada.page.context.cookies()]
    assert cookies != []
    assert [c for c in cookies if c in str(seen)] == []

    # The other one gets nothing: not the app, not its page, not the API.
    for path in (editor["url"], screen["url"], f"/user/ada/{API}/sessions"):
        answer = bob.page.goto(hub.origin + path)
        assert answer is not None
        assert answer.status == 403
        assert editor["name"] not in bob.page.content()
    assert bob.page.context.request.post(hub.origin + editor["url"]).status == 403
    bob.page.goto(f"{bob.base}lab")
    assert bob.fetch("GET", f"{API}/sessions")["sessions"] == []

    ada.page.goto(f"{ada.base}lab")
    for session in (editor, screen, echo):
        assert ada.fetch("POST", f"{API}/sessions/{session['id']}/stop")["target"] == "stopped"


def test_the_front_end_starts_shows_and_stops_a_session(people: tuple[Person, Person]) -> None:
    ada, _ = people
    page = ada.page
    (ada.work / "hers.txt").write_text("hers alone\n")
    page.locator(".jp-Launcher").get_by_role("button", name="Files", exact=True).click()
    expect(page.frame_locator(".jp-sessions-tab iframe").get_by_text("hers.txt")).to_be_visible()
    page.get_by_role("tab", name="Sessions").first.click()
    card = page.get_by_role("group", name="Files: Running", exact=True)
    expect(card).to_be_visible()
    card.get_by_role("button", name="Stop Files").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    expect(page.locator(".jp-sessions-tab").get_by_role("status")).to_contain_text(["Stopped"])
