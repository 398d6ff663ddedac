"""Fixtures for the real thing. All of these tests are marked `real`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from .server import TOKEN, Home, JupyterServer
from .slurm_sessions import configured, counted, login, slurm

# Between a click and what it shows, processes start, on a machine that is busy.
expect.set_options(timeout=30_000)

__all__ = ["configured", "counted", "login", "slurm"]  # fixtures of another module
CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
RESULTS = Path(__file__).parents[2] / "test-results"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.real)


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    made = Home()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def server(home: Home) -> Iterator[JupyterServer]:
    made = JupyterServer(home)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        yield chromium
        chromium.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1280, "height": 800})
    made.set_default_timeout(30_000)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A page of a browser that has not logged in."""
    return context.new_page()


@pytest.fixture
def log_in(page: Page) -> Callable[[JupyterServer], Page]:
    """Gives the page, logged in to a server as after opening the URL that Jupyter prints."""

    def go(server: JupyterServer) -> Page:
        page.goto(f"{server.origin}{server.base_url}?token={TOKEN}", wait_until="commit")
        return page

    return go


@pytest.fixture(scope="session")
def results() -> Path:
    """Where screenshots are kept, for people to look at."""
    RESULTS.mkdir(exist_ok=True)
    return RESULTS


@pytest.fixture(autouse=True)
def jp_asyncio_loop() -> None:
    """None: pytest-jupyter makes one for every test, and Playwright runs its own meanwhile."""


@pytest.fixture(autouse=True)
def jp_server_cleanup() -> None:
    """Nothing: it is for Jupyter servers within the test's own process."""


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Keep a picture of each page of a test that failed."""
    outcome = yield
    if outcome.get_result().failed and "context" in getattr(item, "funcargs", {}):  # type: ignore[attr-defined]
        RESULTS.mkdir(exist_ok=True)
        for number, page in enumerate(item.funcargs["context"].pages):  # type: ignore[attr-defined]
            page.screenshot(path=RESULTS / f"failed-{item.name}-{number}.png")
