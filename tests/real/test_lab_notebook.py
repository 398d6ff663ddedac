"""Jupyter Notebook 7: the same front end, where there are no tabs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from . import lab
from .lab import Lab
from .server import Home, JupyterServer, wait


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    made = Home()
    lab.prepare(made)
    (made.work / "hello.txt").write_text("hello from the folder\n")
    yield made
    made.remove()


def test_start_open_and_stop_from_the_tree(page: Page, server: JupyterServer) -> None:
    refused: list[str] = []
    page.on("console", lambda m: refused.append(m.text) if "jupyter-sessions" in m.text else None)
    window = Lab(page, server).open("tree")
    with page.context.expect_page() as opened:
        window.menu("File", "New", "Files")
    # There are no tabs within the page, so it opens in one of the browser's.
    expect(opened.value.get_by_text("hello.txt")).to_be_visible()

    page.get_by_role("tab", name="Running").click()
    item = page.locator(".jp-RunningSessions-item").filter(has=page.get_by_text("Files"))
    expect(item).to_be_visible()

    window.menu("View", "Left Sidebar", "Show Sessions")
    card = window.expect_card("Files", "Running")
    window.choose(card, "Logs")
    expect(page.locator(".jp-sessions-logTab")).to_contain_text("Started")
    card.get_by_role("button", name="Stop Files").click()
    window.dialog.get_by_role("button", name="Stop").click()
    wait(
        lambda: (
            [s["state"] for s in server.get("jupyter-sessions/v1/sessions")["sessions"]]
            == ["stopped"]
        ),
        20,
        "the end",
    )
    window.unfold()
    window.expect_card("Files", "Stopped")
    assert refused == []
