"""What a person sees of a session that is slow, that fails, and that is started again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Response, expect

from .server import TOKEN, Home, JupyterServer, wait


@pytest.fixture(scope="module", autouse=True)
def apps(home: Home) -> None:
    """The tests' own apps, in the home's catalogue."""
    folder = home.path / ".jupyter/jupyter_sessions"
    folder.mkdir(parents=True)
    (folder / "apps").symlink_to(Path(__file__).parents[1] / "apps")


def test_a_slow_app_shows_its_phases_and_log_and_then_opens(
    server: JupyterServer, log_in: Callable[[JupyterServer], Page], results: Path
) -> None:
    page = log_in(server)
    statuses: list[int] = []
    page.on("response", lambda answer: statuses.append(answer.status))
    options = {"delay": 6, "words": ["one <b>line</b>"]}
    session = server.post("jupyter-sessions/v1/sessions", {"app": "echo", "options": options})
    page.goto(server.origin + session["url"])
    expect(page.get_by_role("heading", name="Echo")).to_be_visible()
    expect(page.locator("[data-state=starting][aria-current]")).to_be_visible()
    expect(page.locator("#log")).to_contain_text("echo is here one <b>line</b>")
    page.screenshot(path=results / "waiting.png")
    expect(page.locator("body")).to_contain_text('"method": "GET"', timeout=20_000)
    assert {status for status in statuses if status >= 500} == {503}
    server.post(f"jupyter-sessions/v1/sessions/{session['id']}/stop")


def test_a_failed_app_says_why_and_can_be_started_again(
    server: JupyterServer, log_in: Callable[[JupyterServer], Page], results: Path
) -> None:
    page = log_in(server)
    name = "<script>document.title = 'broken'</script>"
    request = {"app": "echo", "name": name, "options": {"exit": 1}}
    session = server.post("jupyter-sessions/v1/sessions", request)
    wait(lambda: server.session(session["id"])["state"] == "failed", 40, "the failure")
    page.goto(server.origin + session["url"])
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    expect(page.locator("body")).to_contain_text("code 1")
    expect(page.locator("#log")).to_contain_text("echo goes away")
    page.screenshot(path=results / "failed.png")
    page.get_by_role("button", name="Start again").click()
    wait(lambda: server.session(session["id"])["attempt"] == 2, 40, "the second attempt")
    expect(page.locator("#log")).to_contain_text("echo goes away")
    expect(page.get_by_role("button", name="Start again")).to_be_visible()


def test_a_client_that_asks_for_no_page_gets_json(server: JupyterServer) -> None:
    options = {"delay": 30}
    session = server.post("jupyter-sessions/v1/sessions", {"app": "echo", "options": options})
    status, content = server.request("GET", session["url"])
    assert status == 503
    assert json.loads(content)["state"] in ("created", "queued", "starting")
    server.post(f"jupyter-sessions/v1/sessions/{session['id']}/stop")


def test_somebody_who_is_not_logged_in_is_sent_to_log_in_and_back(
    server: JupyterServer, page: Page
) -> None:
    session = server.start("files")
    answer = page.goto(server.origin + session["url"])
    assert isinstance(answer, Response)
    assert "/login?next=" in page.url
    page.get_by_label("Password or token").fill(TOKEN)
    page.get_by_role("button", name="Log in").first.click()
    page.wait_for_url(server.origin + session["url"])
    expect(page).to_have_title(re.compile("work"))
    server.post(f"jupyter-sessions/v1/sessions/{session['id']}/stop")
