"""Real apps in a real browser: how long until they can be used, through us and without us.

One and the same session is opened in both ways. Apps listen on Unix sockets, which a browser
cannot reach, so that "without us" is through socat.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import Error as BrowserError

from benchmarks.client import Endpoint, Unable
from benchmarks.figures import Figure, Measure, Run
from benchmarks.jupyter import Jupyter
from benchmarks.processes import running, wait_until
from benchmarks.products import Product
from benchmarks.workspace import free_port, tool

VISITS = 5
"""Of each in a round, in turn, after one that warms up."""
PATIENCE = 60_000
"""Milliseconds."""
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def desktop_is_there(page: Page) -> None:
    """The screen of the desktop is connected and shown."""
    page.locator("#screen canvas").wait_for(timeout=PATIENCE)
    page.locator("#status").wait_for(state="hidden", timeout=PATIENCE)


def workbench_is_there(page: Page) -> None:
    """VS Code shows the files of the folder, which it has from its server."""
    page.locator(".monaco-workbench").wait_for(timeout=PATIENCE)
    page.locator(".explorer-folders-view").wait_for(timeout=PATIENCE)


def visit(browser: Browser, url: str, cookies: str, is_there: Callable[[Page], None]) -> float:
    """Milliseconds until a browser that has nothing of it yet shows the page."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    try:
        pairs = [cookie.split("=", 1) for cookie in cookies.split("; ") if cookie]
        context.add_cookies([{"name": name, "value": value, "url": url} for name, value in pairs])
        page = context.new_page()
        began = time.monotonic()
        page.goto(url, wait_until="commit")
        is_there(page)
        return (time.monotonic() - began) * 1e3
    except BrowserError as error:
        raise Unable(error.message.splitlines()[0]) from None
    finally:
        context.close()


@contextmanager
def session(run: Run, server: Jupyter, app: str) -> Iterator[tuple[Endpoint, str]]:
    """A session of `app`: how to reach it directly, and the URL path at which it is served."""
    session_id = server.start_session(app)
    try:
        server.wait_for_sessions([session_id])
        path = server.session(session_id)["url"]
        unix = _socket(server.home, session_id)
        front = Endpoint("127.0.0.1", free_port())
        argv = [
            tool("socat"),
            "-b262144",
            f"TCP-LISTEN:{front.port},bind={front.host},reuseaddr,nodelay,fork",
            f"UNIX-CONNECT:{unix}",
        ]
        with running(argv, log=run.space.log(f"socat-{session_id}")) as process:
            wait_until(front.answers, "socat", process)
            yield front, path
    finally:
        server.delete_session(session_id)


def _socket(home: Path, session_id: str) -> str:
    (connection,) = home.glob(f"**/{session_id}/*/connection.json")
    return str(json.loads(connection.read_text())["address"]["path"])


def load(app: str, is_there: Callable[[Page], None], run: Run) -> Mapping[str, float]:
    product, server = run.product, run.product.jupyter
    assert server is not None
    through: list[float] = []
    without: list[float] = []
    with (
        session(run, server, app) as (front, path),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=tool("chromium"), args=ARGUMENTS)
        ours = f"{server.endpoint.origin}{path}"
        theirs = f"{front.origin}/{path.partition('?')[1]}{path.partition('?')[2]}"
        for _ in range(1 + VISITS):
            without.append(visit(browser, theirs, "", is_there))
            through.append(visit(browser, ours, product.cookies, is_there))
        browser.close()
    key = app.replace("-", "_")
    times = median(through[1:]), median(without[1:])
    return {f"{key}_load": times[0], f"{key}_direct": times[1], f"{key}_cost": times[0] - times[1]}


def _figures(key: str, title: str) -> tuple[Figure, ...]:
    return (
        Figure(f"{key}_load", f"{title}: until it can be used", "ms", "lower"),
        Figure(f"{key}_direct", f"{title}: the same without us", "ms", "lower"),
        Figure(f"{key}_cost", f"{title}: the difference", "ms", "lower"),
    )


def is_ours(product: Product) -> bool:
    return product.name == "sessions"


MEASURES = [
    Measure(
        _figures("desktop", "desktop in Chromium"),
        partial(load, "desktop", desktop_is_there),
        is_ours,
    ),
    Measure(
        _figures("code_server", "VS Code in Chromium"),
        partial(load, "code-server", workbench_is_there),
        is_ours,
    ),
]
