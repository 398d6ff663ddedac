"""From a tile to an app in use, and back, in JupyterLab."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from . import lab, vscode
from .lab import Lab
from .server import Home, JupyterServer, wait

RULES: dict[str, Any] = {
    "title": "Ruled app",
    "command": ["{python}", "-c", "import time; time.sleep(1000)", "{socket}", "{kind}", "{cards}"],
    "options": {
        "properties": {
            "kind": {"type": "string", "title": "Kind", "enum": ["cpu", "gpu"], "default": "cpu"}
        },
        "if": {"properties": {"kind": {"const": "gpu"}}},
        "then": {
            "properties": {
                "cards": {"type": "integer", "title": "Cards", "minimum": 1, "maximum": 4}
            },
            "required": ["cards"],
        },
    },
}


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    made = Home()
    lab.prepare(made, ruled=RULES)
    vscode.configure(made.path)
    (made.work / "data").mkdir()
    (made.work / "data/table.txt").write_text("one, two, three\n")
    yield made
    made.remove()


@pytest.fixture
def window(page: Page, server: JupyterServer, home: Home) -> Iterator[Lab]:
    lab.configure(home)
    made = Lab(page, server)
    yield made
    lab.forget_all(server)
    assert made.errors == []


def sessions(server: JupyterServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.get("jupyter-sessions/v1/sessions")["sessions"]
    return found


def test_tile_form_progress_vs_code_and_stop(
    window: Lab, home: Home, server: JupyterServer, results: Path
) -> None:
    lab.configure(home, askBeforeStart="always")
    file = home.work / "poem.txt"
    file.write_text("first line\n")
    window.open().tile("VS Code").click()
    expect(window.dialog).to_contain_text("Start VS Code")
    window.page.screenshot(path=results / "lab-form.png")
    window.dialog.get_by_role("button", name="Start", exact=True).click()
    progress = window.tab.get_by_role("list", name="Progress")
    expect(progress.or_(window.tab.locator("iframe")).first).to_be_visible()

    frame = window.frame()
    vscode.wait_for_workbench(frame)
    vscode.open_file(window.page, frame, "poem.txt")
    window.page.keyboard.press("Control+Home")
    window.page.keyboard.type("typed in Lab ")
    window.page.keyboard.press("Control+s")
    wait(lambda: "typed in Lab first line" in file.read_text(), 20, "the file to be saved")
    window.show_panel()
    window.page.screenshot(path=results / "lab-vscode.png")

    window.tab.get_by_role("button", name="Stop").click()
    window.dialog.get_by_role("button", name="Stop").click()
    expect(window.tab.get_by_role("status").filter(has_text="Stopped")).to_be_visible()
    expect(window.tab.locator("iframe")).to_have_count(0)
    window.tab.get_by_role("button", name="Start Again").first.click()
    vscode.wait_for_workbench(window.frame())
    assert [s["attempt"] for s in sessions(server)] == [2]


def test_one_click_starts_what_needs_no_question(window: Lab, server: JupyterServer) -> None:
    window.open().tile("Files").click()
    expect(
        window.frame().get_by_text("poem.txt").or_(window.frame().get_by_text("data"))
    ).not_to_have_count(0)
    expect(window.dialog).to_have_count(0)
    assert [s["app"] for s in sessions(server)] == ["files"]


def test_a_failing_app_says_why_in_its_tab(window: Lab, results: Path) -> None:
    window.open().tile("Broken app").click()
    expect(window.tab.get_by_role("status").filter(has_text="Failed")).to_contain_text(
        "The app ended with code 3"
    )
    expect(window.tab).to_contain_text("no such licence")
    window.page.screenshot(path=results / "lab-failed.png")


def test_an_app_that_is_missing_says_what_to_install(window: Lab, server: JupyterServer) -> None:
    window.open().tile("Missing app").click()
    expect(window.dialog).to_contain_text("Install it from there.")
    window.dialog.get_by_role("button", name="Close").click()
    assert sessions(server) == []


def test_a_refusal_of_the_server_lands_on_its_field_and_nothing_is_lost(
    window: Lab, server: JupyterServer
) -> None:
    window.open().tile("Linux desktop").click()
    size = window.dialog.get_by_label("Size at the start")
    size.fill("1024x768")
    window.dialog.get_by_role("button", name="Advanced").click()
    folder = window.dialog.get_by_label("Working directory")
    folder.fill("/no/such/folder")
    window.dialog.get_by_label("Name").fill("My desk")
    window.dialog.get_by_role("button", name="Start", exact=True).click()
    expect(folder).to_have_attribute("aria-invalid", "true")
    expect(window.dialog).to_contain_text("is not a directory that you may enter")
    expect(size).to_have_value("1024x768")
    assert sessions(server) == []
    folder.fill("data")
    window.dialog.get_by_role("button", name="Start", exact=True).click()
    expect(window.dialog).to_have_count(0)
    made = sessions(server)[0]
    assert (made["name"], made["options"]["geometry"]) == ("My desk", "1024x768")
    assert made["cwd"].endswith("/data")


def test_rules_show_and_require_a_field_and_what_was_chosen_is_remembered(
    window: Lab, server: JupyterServer
) -> None:
    window.open().tile("Ruled app").click()
    expect(window.dialog.get_by_label("Cards")).to_have_count(0)
    window.dialog.get_by_label("Kind").select_option(label="gpu")
    start = window.dialog.get_by_role("button", name="Start", exact=True)
    start.click()
    cards = window.dialog.get_by_label("Cards")
    expect(cards).to_have_attribute("aria-invalid", "true")
    cards.fill("9")
    start.click()
    expect(cards).to_have_attribute("aria-invalid", "true")
    cards.fill("2")
    start.click()
    expect(window.dialog).to_have_count(0)
    assert sessions(server)[0]["options"] == {"kind": "gpu", "cards": 2}

    window.open().tile("Ruled app").click()
    expect(window.dialog.get_by_label("Cards")).to_have_value("2")


def test_presets_are_saved_chosen_and_deleted(window: Lab, server: JupyterServer) -> None:
    window.open().tile("Linux desktop").click()
    window.dialog.get_by_label("Size at the start").fill("640x480")
    window.dialog.get_by_role("button", name="Save as preset…").click()
    window.dialog.get_by_label("Name of the preset").fill("Small")
    window.page.keyboard.press("Enter")
    preset = window.dialog.get_by_label("Preset", exact=True)
    expect(preset.locator("option")).to_contain_text(["Small"])
    window.page.keyboard.press("Escape")
    if window.dialog.count():
        window.dialog.get_by_role("button", name="Cancel").click()

    window.open().tile("Linux desktop").click()
    size = window.dialog.get_by_label("Size at the start")
    size.fill("800x600")
    window.dialog.get_by_label("Preset", exact=True).select_option(label="Small")
    expect(size).to_have_value("640x480")
    window.dialog.get_by_role("button", name="Delete").click()
    expect(window.dialog).to_contain_text("Delete the preset \u201cSmall\u201d?")
    window.dialog.get_by_role("button", name="Delete").click()
    wait(
        lambda: server.get("jupyter-sessions/v1/apps/desktop/form")["presets"] == {},
        20,
        "the preset to be deleted",
    )


def test_a_duplicate_begins_with_the_same_choices(window: Lab, server: JupyterServer) -> None:
    chosen = {"options": {"geometry": "700x500"}, "resources": {"priority": "low"}, "cwd": "data"}
    server.start("desktop", name="First", timeout=7200, **chosen)
    window.open().show_panel()
    window.choose(window.expect_card("First", "Running"), "Duplicate…")
    expect(window.dialog.get_by_label("Size at the start")).to_have_value("700x500")
    window.dialog.get_by_role("button", name="Start", exact=True).click()
    expect(window.dialog).to_have_count(0)
    first, second = sessions(server)
    for field in ("options", "resources", "timeout", "cwd", "spawner"):
        assert first[field] == second[field], field


def test_a_notification_opens_what_is_ready(window: Lab, server: JupyterServer) -> None:
    window.open()
    server.start("files", name="Papers")
    window.toasts.get_by_role("button", name="Open").click()
    expect(window.frame().get_by_text("data")).to_be_visible()


def test_the_running_panel_lists_and_stops(window: Lab, server: JupyterServer) -> None:
    server.start("files", name="Papers")
    window.open().page.get_by_role("tab", name="Running Terminals and Kernels").click()
    item = window.page.locator(".jp-RunningSessions-item").filter(has_text="Papers")
    item.hover()
    item.locator(".jp-RunningSessions-itemShutdown").click()
    wait(lambda: sessions(server)[0]["state"] == "stopped", 20, "the end")
    expect(item).to_have_count(0)


def test_a_reload_restores_tabs_logs_and_panel(window: Lab, server: JupyterServer) -> None:
    window.open().show_panel()
    window.tile("Files").click()
    expect(window.frame().get_by_text("data")).to_be_visible()
    window.choose(window.expect_card("Files", "Running"), "Logs")
    expect(window.page.locator(".jp-sessions-logTab")).to_contain_text("Started")
    # Lab writes its layout a moment after it has changed.
    wait(lambda: "jupyter-sessions-logs" in str(layout(server)), 20, "the layout to be saved")
    window.open(reset=False)
    window.expect_card("Files", "Running")
    window.page.get_by_role("tab", name="Files", exact=True).last.click()
    expect(window.frame().get_by_text("data")).to_be_visible()
    expect(window.page.locator(".jp-sessions-logTab")).to_contain_text("Started")


def test_tabs_and_logs_of_what_is_forgotten_go_and_do_not_come_back(
    window: Lab, server: JupyterServer
) -> None:
    tabs, logs = window.page.locator(".jp-sessions-tab"), window.page.locator(".jp-sessions-logTab")
    window.open().show_panel()
    for name in ("Mine", "Theirs"):
        session = server.start("files", name=name)
        window.expect_card(name, "Running").press("Enter")
        window.choose(window.expect_card(name, "Running"), "Logs")
    expect(tabs).to_have_count(2)
    expect(logs).to_have_count(2)
    window.choose(window.expect_card("Mine", "Running"), "Stop and Forget")
    window.dialog.get_by_role("button", name="Stop and Forget").click()
    expect(tabs).to_have_count(1)
    expect(logs).to_have_count(1)
    # Another window forgets the other one: that is told here, and only as long as the page lives.
    wait(lambda: session["id"] in str(layout(server)), 20, "the layout to be saved")
    server.request("DELETE", f"{server.base_url}jupyter-sessions/v1/sessions/{session['id']}")
    expect(window.page.get_by_text("This session has been forgotten")).to_have_count(1)
    window.open(reset=False).show_panel()
    expect(window.panel).to_contain_text("Nothing runs")
    expect(tabs).to_have_count(0)
    expect(logs).to_have_count(0)


def layout(server: JupyterServer) -> Any:
    return server.get("lab/api/workspaces")


def test_a_folder_is_opened_from_the_file_browser(window: Lab, server: JupyterServer) -> None:
    window.open()
    item = window.page.get_by_role("listitem", name=re.compile("^Name: data"))
    item.click(button="right")
    entry = window.page.locator(".lm-Menu-itemLabel")
    entry.get_by_text("Open in Session", exact=True).hover()
    entry.get_by_text("Files", exact=True).click()
    expect(window.frame().get_by_text("table.txt")).to_be_visible()
    assert sessions(server)[0]["cwd"].endswith("/data")


def test_a_file_is_opened_from_the_file_browser(window: Lab, server: JupyterServer) -> None:
    window.open()
    page = window.page
    page.get_by_role("listitem", name=re.compile("^Name: data")).dblclick()
    page.get_by_role("listitem", name=re.compile("^Name: table.txt")).click(button="right")
    entry = page.locator(".lm-Menu-itemLabel")
    entry.get_by_text("Open in Session", exact=True).hover()
    entry.get_by_text("Files", exact=True).click()
    expect(window.frame().get_by_text("one, two, three")).to_be_visible()


def test_the_whole_way_by_keyboard_alone(window: Lab, server: JupyterServer) -> None:
    server.request("DELETE", f"{server.base_url}jupyter-sessions/v1/apps/desktop/remembered")
    page = window.open().page
    keys = page.keyboard
    expect(window.tile("Linux desktop")).to_be_visible()
    # The palette finds the app, the form starts it.
    keys.press("Control+Shift+C")
    expect(page.get_by_role("dialog").or_(page.locator(".jp-ModalCommandPalette"))).to_be_visible()
    expect(page.locator(".jp-ModalCommandPalette input")).to_be_focused()
    keys.type("Linux desktop with options")
    chosen = page.locator(".lm-CommandPalette-item.lm-mod-active")
    expect(chosen).to_contain_text("Start Linux desktop with Options")
    keys.press("Enter")
    expect(window.dialog).to_contain_text("Start Linux desktop")
    first = window.dialog.get_by_label("Desktop environment")
    expect(first).to_be_focused()
    # As the palette does when it has closed, a moment later on a slow machine.
    page.evaluate("document.querySelector('.jp-LauncherCard').focus()")
    expect(first).to_be_focused()
    keys.press("Tab")
    expect(window.dialog.get_by_label("Size at the start")).to_be_focused()
    keys.press("Enter")
    expect(window.tab).to_be_visible()
    wait(lambda: [s["state"] for s in sessions(server)] == ["running"], 40, "the desktop")
    expect(window.tab.locator("iframe")).to_be_visible()

    # Out of the app's frame by the mouse-free way that there is, and the desktop that only now
    # has connected leaves the keys to whoever has them.
    page.evaluate("document.activeElement.blur(); window.focus()")
    keys.press("Control+Shift+Y")
    expect(window.frame().locator("canvas")).to_be_visible()
    card = window.expect_card("Linux desktop", "Running")
    expect(card).to_be_focused()
    keys.press("F2")
    expect(window.dialog.get_by_role("textbox")).to_be_focused()
    keys.press("Control+a")
    keys.type("Mine")
    keys.press("Enter")
    card = window.expect_card("Mine", "Running")
    keys.press("Control+Shift+Y")
    expect(card).to_be_focused()
    keys.press("Delete")
    expect(window.dialog).to_contain_text("Stop Mine?")
    keys.press("Enter")
    wait(lambda: [s["state"] for s in sessions(server)] == ["stopped"], 40, "the end")
    # Its card has gone: one goes on where it is folded away.
    expect(window.panel.get_by_role("button", name=re.compile("^Ended"))).to_be_focused()
    keys.press("Enter")
    window.expect_card("Mine", "Stopped")
    keys.press("Tab")
    keys.press("Tab")
    expect(window.card("Mine")).to_be_focused()
    keys.press("Shift+F10")
    expect(page.get_by_role("menuitem", name="Start Again")).to_be_visible()
    keys.press("Escape")
    expect(window.card("Mine")).to_be_focused()
    keys.press("Delete")
    expect(window.card("Mine")).to_have_count(0)
    keys.press("Control+Shift+Y")
    expect(window.panel.get_by_role("button", name="New session")).to_be_focused()
