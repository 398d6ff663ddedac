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
