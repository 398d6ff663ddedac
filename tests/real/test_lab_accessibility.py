"""axe's verdict on what is ours, light and dark; pictures of each for people to look at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from . import lab
from .lab import Lab
from .server import Home, JupyterServer

AXE = Path(__file__).parents[2] / "node_modules/axe-core/axe.min.js"

LABS_OWN = ("jp-button", "jp-search", "jp-toolbar")
"""Widgets of JupyterLab's own toolkit, whose markup is not ours to change."""

NARROWER = """
document.addEventListener('DOMContentLoaded', () => {
  const style = document.createElement('style');
  style.textContent = ':root { --jp-sidebar-min-width: 200px !important }';
  document.head.append(style);
});
"""

THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    made = Home()
    lab.prepare(made)
    yield made
    made.remove()


@pytest.fixture(params=THEMES)
def colours(request: pytest.FixtureRequest, home: Home) -> str:
    """``light`` or ``dark``, which Lab's next window is."""
    lab.theme(home, THEMES[request.param])
    return str(request.param)


@pytest.fixture
def window(browser: Browser, server: JupyterServer, colours: str) -> Iterator[Lab]:
    with lab.window(browser, server) as made:
        made.page.add_init_script(NARROWER)
        yield made.open()
    lab.forget_all(server)


def violations(window: Lab, selector: str) -> list[str]:
    """What axe finds wrong within `selector`, a line each."""
    page = window.page
    if not page.evaluate("typeof window.axe === 'object'"):
        page.evaluate(AXE.read_text())
    found: list[dict[str, Any]] = page.evaluate(
        "async ours => (await axe.run(ours)).violations",
        {"include": [[selector]], "exclude": [[theirs] for theirs in LABS_OWN]},
    )
    return [
        f"{rule['id']}: {rule['help']}: {node['html']}" for rule in found for node in rule["nodes"]
    ]


def test_panel(window: Lab, home: Home, server: JupyterServer, colours: str, results: Path) -> None:
    lab.close_gate(home)
    server.start("files", name="Papers", timeout=600)
    server.start("desktop", name="A desktop with quite a long name")
    for app, name in (("slow", "Slow one"), ("broken", "Broken one")):
        server.post("jupyter-sessions/v1/sessions", {"app": app, "name": name})
    window.show_panel()
    window.expect_card("Slow one", "Starting")
    expect(window.panel.get_by_role("button", name="Ended")).to_contain_text("1")
    window.unfold()
    window.expect_card("Broken one", "Failed")
    expect(window.panel.get_by_role("img", name="Processor use").first).to_be_visible()
    assert violations(window, "#jp-sessions-panel") == []
    window.page.screenshot(path=results / f"panel-{colours}.png")
    narrow(window)
    window.page.screenshot(path=results / f"panel-narrow-{colours}.png")
    assert overflowing(window) == []


def test_launch_dialog(window: Lab, colours: str, results: Path) -> None:
    window.tile("Linux desktop").click()
    dialog = window.dialog
    expect(dialog).to_contain_text("Start Linux desktop")
    dialog.get_by_role("button", name="Advanced").click()
    assert violations(window, ".jp-Dialog") == []
    dialog.get_by_label("Size at the start").fill("huge")
    dialog.get_by_label("Working directory").fill("/no/such/folder")
    dialog.get_by_role("button", name="Start", exact=True).click()
    expect(dialog.get_by_label("Size at the start")).to_have_attribute("aria-invalid", "true")
    expect(dialog.get_by_label("Size at the start")).to_be_focused()
    assert violations(window, ".jp-Dialog") == []
    window.page.screenshot(path=results / f"dialog-{colours}.png")
    window.page.set_viewport_size({"width": 400, "height": 700})
    window.page.screenshot(path=results / f"dialog-narrow-{colours}.png")


def test_session_tab(
    window: Lab, home: Home, server: JupyterServer, colours: str, results: Path
) -> None:
    lab.close_gate(home)

    def check(name: str) -> None:
        assert violations(window, ".jp-sessions-tab:not(.lm-mod-hidden)") == [], name
        window.page.screenshot(path=results / f"tab-{name}-{colours}.png")

    window.tile("Slow app").click()
    expect(window.tab.get_by_role("list", name="Progress")).to_be_visible()
    expect(window.tab).to_contain_text("warming up")
    check("starting")
    lab.open_gate(home)
    expect(window.frame().get_by_text("It has taken its time")).to_be_visible()
    check("running")
    window.tab.get_by_role("button", name="Stop").click()
    window.dialog.get_by_role("button", name="Stop").click()
    expect(window.tab.get_by_role("status").filter(has_text="Stopped")).to_be_visible()
    check("stopped")
    gone = sessions(server)[0]["id"]
    server.request("DELETE", f"{server.base_url}jupyter-sessions/v1/sessions/{gone}")
    expect(window.tab).to_contain_text("Close")
    check("forgotten")
    window.tab.get_by_role("button", name="Close").click()
    server.post("jupyter-sessions/v1/sessions", {"app": "broken", "name": "Broken one"})
    window.show_panel()
    window.unfold()
    window.expect_card("Broken one", "Failed").press("Enter")
    expect(window.tab.get_by_role("status").filter(has_text="Failed")).to_be_visible()
    check("failed")


def test_logs(window: Lab, server: JupyterServer, colours: str, results: Path) -> None:
    server.start("files", name="Papers")
    window.show_panel()
    window.choose(window.expect_card("Papers", "Running"), "Logs")
    log = window.page.locator(".jp-sessions-logTab")
    expect(log).to_contain_text("Started")
    log.locator(".cm-content").click()
    window.page.keyboard.press("Control+f")
    expect(log.get_by_role("textbox", name="Find")).to_be_focused()
    assert violations(window, ".jp-sessions-logTab") == []
    window.page.screenshot(path=results / f"log-{colours}.png")


def sessions(server: JupyterServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.get("jupyter-sessions/v1/sessions")["sessions"]
    return found


def narrow(window: Lab) -> None:
    """Make the sidebar 240 px wide, a little less than Lab usually allows, by its splitter."""
    box = window.panel.bounding_box()
    assert box is not None
    page = window.page
    edge = box["x"] + box["width"]
    page.mouse.move(edge + 2, 300)
    page.mouse.down()
    page.mouse.move(box["x"] + 240 + 2, 300, steps=5)
    page.mouse.up()
    expect(window.panel).to_have_js_property("offsetWidth", 240)


def overflowing(window: Lab) -> list[str]:
    """What sticks out of the panel at the side."""
    found: list[str] = window.panel.evaluate(
        """panel => [...panel.querySelectorAll('*')]
            .filter(e => e.getBoundingClientRect().right > panel.getBoundingClientRect().right + 1)
            .map(e => e.outerHTML.slice(0, 100))"""
    )
    return found
