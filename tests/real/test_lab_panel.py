"""The panel in JupyterLab's sidebar, with the real server behind it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from . import lab
from .lab import Lab
from .server import Home, JupyterServer, wait


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    made = Home()
    lab.prepare(made)
    yield made
    made.remove()


@pytest.fixture
def window(page: Page, server: JupyterServer) -> Iterator[Lab]:
    made = Lab(page, server)
    yield made
    assert made.errors == []


@pytest.fixture(autouse=True)
def afterwards(home: Home, server: JupyterServer) -> Iterator[None]:
    lab.close_gate(home)
    yield
    lab.forget_all(server)


def test_a_slow_app_shows_its_progress_until_it_runs(
    window: Lab, home: Home, server: JupyterServer
) -> None:
    window.open().show_panel()
    made = server.post("jupyter-sessions/v1/sessions", {"app": "slow", "name": "Later"})
    card = window.expect_card("Later", "Starting")
    expect(card.get_by_role("progressbar")).to_be_visible()
    expect(card).to_contain_text("Waiting for the app to answer")
    lab.open_gate(home)
    card = window.expect_card("Later", "Running")
    expect(card.get_by_role("progressbar")).to_have_count(0)
    expect(window.toasts).to_have_text(re.compile("Later is ready"))
    assert server.session(made["id"])["state"] == "running"


def test_a_failing_app_says_why_and_can_be_started_again(
    window: Lab, server: JupyterServer
) -> None:
    window.open().show_panel()
    made = server.post("jupyter-sessions/v1/sessions", {"app": "broken", "name": "Doomed"})
    expect(window.toasts).to_contain_text("Doomed has failed: The app ended with code 3")
    window.unfold()
    card = window.expect_card("Doomed", "Failed")
    expect(card).to_contain_text("The app ended with code 3")
    card.get_by_role("button", name="Start Doomed again").click()
    wait(lambda: server.session(made["id"])["attempt"] == 2, 20, "a second attempt")
    window.unfold()
    window.expect_card("Doomed", "Failed")


def test_stop_asks_first_and_the_ended_ones_are_forgotten_together(
    window: Lab, server: JupyterServer
) -> None:
    window.open().show_panel()
    session = server.start("files", name="Papers")
    window.expect_card("Papers", "Running").get_by_role("button", name="Stop Papers").click()
    expect(window.dialog).to_contain_text("Stop Papers?")
    window.dialog.get_by_role("button", name="Cancel").click()
    window.expect_card("Papers", "Running").get_by_role("button", name="Stop Papers").click()
    window.dialog.get_by_role("button", name="Stop").click()
    wait(lambda: server.session(session["id"])["state"] == "stopped", 20, "the end")
    window.unfold()
    window.expect_card("Papers", "Stopped")
    window.panel.get_by_role("button", name="Forget all").click()
    window.dialog.get_by_role("button", name="Forget").click()
    expect(window.card("Papers")).to_have_count(0)
    assert server.get("jupyter-sessions/v1/sessions")["sessions"] == []


def test_the_menu_renames_copies_the_url_and_extends(window: Lab, server: JupyterServer) -> None:
    window.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    window.open().show_panel()
    session = server.start("files", name="Old", timeout=3600)
    card = window.expect_card("Old", "Running")
    expect(card).to_contain_text("59 min left")

    window.choose(card, "Rename…")
    window.dialog.get_by_role("textbox").fill("New")
    window.page.keyboard.press("Enter")
    card = window.expect_card("New", "Running")

    window.choose(card, "Extend…")
    window.dialog.get_by_role("button", name="Extend").click()
    expect(card).to_contain_text("1 h 59 min left")
    assert server.session(session["id"])["timeout"] == 7200

    window.choose(card, "Copy URL")
    copied = window.page.evaluate("navigator.clipboard.readText()")
    assert copied == server.origin + session["url"]


def test_a_refusal_by_the_server_is_shown_and_nothing_is_lost(
    window: Lab, server: JupyterServer
) -> None:
    window.open().show_panel()
    server.start("files", name="Kept")
    window.choose(window.expect_card("Kept", "Running"), "Rename…")
    window.dialog.get_by_role("textbox").fill("x" * 101)
    window.page.keyboard.press("Enter")
    expect(window.dialog).to_contain_text("Kept could not be renamed")
    expect(window.dialog).to_contain_text("give 1 to 100 printable characters")
    window.dialog.get_by_role("button", name="Close").click()
    window.expect_card("Kept", "Running")


def test_the_filter_finds_sessions_by_any_word(window: Lab, server: JupyterServer) -> None:
    window.open().show_panel()
    for name in ("Alpha", "Beta", "Gamma", "Delta"):
        server.start("files", name=name)
    window.expect_card("Delta", "Running")
    box = window.panel.get_by_role("searchbox")
    box.fill("files gam")
    expect(window.card("Alpha")).to_have_count(0)
    window.expect_card("Gamma", "Running")
    box.fill("nothing of the kind")
    expect(window.panel).to_contain_text("No running session matches")
    box.fill("")
    window.expect_card("Alpha", "Running")


def test_two_windows_stay_in_step_and_one_of_them_tells(
    window: Lab, browser: Browser, server: JupyterServer, home: Home
) -> None:
    window.open().show_panel()
    # Of the same browser, which is what shares the storage.
    other = Lab(window.page.context.new_page(), server).open()
    other.show_panel()
    server.post("jupyter-sessions/v1/sessions", {"app": "slow", "name": "Both"})
    window.expect_card("Both", "Starting")
    other.expect_card("Both", "Starting")
    window.count_toasts()
    other.count_toasts()
    lab.open_gate(home)
    card = window.expect_card("Both", "Running")
    other.expect_card("Both", "Running")
    wait(lambda: window.toasts_counted + other.toasts_counted > 0, 40, "one of them to tell")
    window.choose(card, "Rename…")
    window.dialog.get_by_role("textbox").fill("Renamed here")
    window.page.keyboard.press("Enter")
    other.expect_card("Renamed here", "Running")
    assert window.toasts_counted + other.toasts_counted == 1


def test_the_list_is_not_asked_for_while_nothing_happens(
    window: Lab, server: JupyterServer
) -> None:
    server.start("files", name="Quiet")
    asked: list[str] = []

    def note(request: Request) -> None:
        if request.url.partition("?")[0].endswith("/jupyter-sessions/v1/sessions"):
            asked.append(request.url)

    window.open().show_panel()
    card = window.expect_card("Quiet", "Running")
    window.page.on("request", note)
    # As long as the fallback would need to ask at least twice.
    expect(card).to_contain_text(re.compile(r"Running(1[2-9]|[2-5]\d) s"), timeout=30_000)
    assert asked == []


def test_a_restart_of_the_server_is_said_and_caught_up_with(page: Page, home: Home) -> None:
    first = JupyterServer(home)
    window = Lab(page, first).open()
    # Lab says it too, sooner or later, over everything.
    page.add_locator_handler(
        page.get_by_role("dialog").filter(has_text="Server Connection Error"),
        lambda dialog: dialog.get_by_role("button", name="Close").click(),
    )
    window.show_panel()
    kept, stopped = (first.start("files", name=name) for name in ("Kept", "Stopped"))
    window.expect_card("Kept", "Running")
    first.kill()
    expect(window.panel).to_contain_text("The Jupyter server does not answer", timeout=30_000)
    window.expect_card("Kept", "Running")  # what is known stays
    home.cli("stop", stopped["id"])
    second = JupyterServer(home, port=first.port)
    try:
        expect(window.panel).not_to_contain_text("does not answer", timeout=90_000)
        window.expect_card("Kept", "Running")
        window.unfold()
        window.expect_card("Stopped", "Stopped")
        # And it is told of changes again.
        second.post(f"jupyter-sessions/v1/sessions/{kept['id']}/stop")
        window.expect_card("Kept", "Stopped", timeout=60_000)  # it tries less and less often
    finally:
        second.stop()


def test_what_an_app_tells_of_itself_shows_on_its_card_and_tab(
    window: Lab, home: Home, server: JupyterServer, results: Path
) -> None:
    window.open()
    panel = window.show_panel()
    session = server.post("jupyter-sessions/v1/sessions", {"app": "slow", "name": "Analysis"})
    kept = home.store / "sessions" / session["id"] / "1"
    wait(lambda: (kept / "started.json").exists(), 20, "the start")
    (kept / "status.json").write_text('{"ready": false, "message": "Loading data, 40 %"}')
    card = window.expect_card("Analysis", "Starting")
    expect(card).to_contain_text("Loading data, 40 %")
    lab.open_gate(home)
    expect(card).to_contain_text("Loading data, 40 %")
    links = [{"title": "Dashboard", "path": "dash/"}, {"title": "Jobs and queues", "path": "jobs"}]
    (kept / "status.json").write_text(json.dumps({"message": "2 jobs run", "links": links}))
    card = window.expect_card("Analysis", "Running")
    expect(card).to_contain_text("2 jobs run")
    dashboard = card.get_by_role("link", name="Dashboard")
    expect(dashboard).to_have_attribute("href", f"{session['url']}dash/")
    window.choose(card, "Open")
    expect(window.tab.get_by_role("link", name="Jobs and queues")).to_be_visible()
    expect(window.tab).to_contain_text("2 jobs run")
    window.page.screenshot(path=results / "told.png")
    with window.page.expect_popup() as popup:
        window.choose(card, "Dashboard")
    expect(popup.value.get_by_role("heading")).to_have_text("It has taken its time")
    assert popup.value.url.endswith(f"{session['url']}dash/")
    (kept / "status.json").write_text("{}")
    expect(panel.get_by_role("link")).to_have_count(0)
