"""The front end in Chromium: how soon it shows a change, and what many sessions cost the page.

    python -m benchmarks.lab [--output FILE]

Prints what it finds as Markdown. It needs the development environment (``make venv tools lab``),
whose JupyterLab has the production build of the front end. Times are of this machine and its load.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from jupyter_sessions.session import State, new_id
from jupyter_sessions.store import SessionStore
from tests.core import a_session
from tests.real import lab
from tests.real.conftest import CHROMIUM
from tests.real.lab import Lab
from tests.real.server import Home, JupyterServer

CHANGES = 25
"""Restarts of a session, each of which goes through several states."""
IDLE = 60
"""Seconds without any change."""
MANY = 200
LINES = 100_000

WATCH = """
(() => {
  const seen = (window.seen = { shown: [], long: [] });
  new PerformanceObserver(list => {
    for (const entry of list.getEntries()) seen.long.push(entry.duration);
  }).observe({ type: 'longtask', buffered: true });
  window.watchRow = name => {
    const panel = document.querySelector('#jp-sessions-panel');
    new MutationObserver(() => {
      const card = panel.querySelector(`[aria-label^="${name}: "]`);
      const state = card?.getAttribute('aria-label').split(': ')[1];
      if (state && state !== seen.shown.at(-1)?.[1]) seen.shown.push([Date.now(), state]);
    }).observe(panel, { subtree: true, attributes: true, childList: true, characterData: true });
  };
})();
"""
"""Notes when a row showed a change, and every long task of the page."""

EVENTS = """\
import logging
c.EventLogger.handlers = [logging.FileHandler({path!r})]
"""
"""Jupyter's configuration: each event goes into a file, with its time."""

TALKER = {
    "title": "Talker",
    "command": [
        "{python}",
        "-c",
        f"for n in range({LINES}): "
        "print('\\x1b[3%dmline %d\\x1b[0m of a long log' % (n % 8, n))\n"
        "import http.server, socketserver, sys\n"
        "class H(http.server.BaseHTTPRequestHandler):\n"
        "    def address_string(self): return ''\n"
        "    def do_GET(self): self.send_response(204); self.end_headers()\n"
        "socketserver.UnixStreamServer(sys.argv[1], H).serve_forever()",
        "{socket}",
    ],
}
"""An app with a long log in colour."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, help="also write it to this file")
    args = parser.parse_args()
    home = Home()
    lab.prepare(home, talker=TALKER)
    events = home.path / "events"
    config = home.path / ".jupyter/jupyter_server_config.py"
    config.write_text(EVENTS.format(path=str(events)))
    server = JupyterServer(home)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
            with lab.window(browser, server) as window:
                window.page.add_init_script(WATCH)
                window.open().show_panel()
                rows = [
                    *changes(window, events),
                    *idle(window),
                    *long_log(window),
                    *many(window, home),
                ]
            browser.close()
    finally:
        home.remove()
    text = report([*rows, *bundle()])
    print(text)
    if args.output:
        args.output.write_text(text)


def changes(window: Lab, events: Path) -> Iterator[tuple[str, str]]:
    """From the event on the server to the row in the panel."""
    server = window.server
    session = server.start("files", name="Changing")
    window.expect_card("Changing", "Running")
    window.page.evaluate("watchRow('Changing')")
    window.page.evaluate("seen.shown.length = 0")
    for attempt in range(2, CHANGES + 2):
        server.post(f"jupyter-sessions/v1/sessions/{session['id']}/restart")
        until(lambda n=attempt: server.session(session["id"])["attempt"] == n)  # type: ignore[misc]
        server.wait_until_running(session["id"])
    window.expect_card("Changing", "Running")
    names = {"created": "Submitting"}
    told = []
    for line in events.read_text().splitlines():
        event: dict[str, Any] = json.loads(line)
        if event.get("id") == session["id"] and "session" in event:
            state = event["session"]["state"]
            written = str(event["__timestamp__"]).removesuffix("Z")  # after the offset, that is
            when = datetime.fromisoformat(written).timestamp() * 1e3
            told.append((when, names.get(state, state.capitalize())))
    # A state that lasted less than a frame is told and never shown; what is shown was told.
    latencies = [
        at - max(when for when, state in told if state == label and when <= at)
        for at, label in window.page.evaluate("seen.shown")
    ]
    latencies.sort()
    yield (
        f"from the server's event to the row, {len(latencies)} changes of state",
        f"median {statistics.median(latencies):.0f} ms,"
        f" 95 % {latencies[int(len(latencies) * 0.95)]:.0f} ms, most {latencies[-1]:.0f} ms",
    )


def idle(window: Lab) -> Iterator[tuple[str, str]]:
    asked: list[str] = []
    window.page.on(
        "request",
        lambda request: asked.append(request.url.partition("/jupyter-sessions/v1/")[2]),
    )
    window.page.wait_for_timeout(IDLE * 1e3)  # which lets it tell of requests
    lists = [url for url in asked if url.partition("?")[0] == "sessions"]
    usage = [url for url in asked if url.startswith("usage")]
    yield f"requests of the list in {IDLE} s without a change", str(len(lists))
    yield "requests of processor and memory use meanwhile, with the panel open", str(len(usage))


def long_log(window: Lab) -> Iterator[tuple[str, str]]:
    session = window.server.start("talker", name="Talker")
    card = window.expect_card("Talker", "Running")
    with long_tasks(window) as found:
        began = time.monotonic()
        window.choose(card, "Logs")
        # The manager's note of the URL, which comes last.
        window.page.locator(".cm-line", has_text=session["id"]).wait_for(timeout=60_000)
        took = time.monotonic() - began
    yield f"a log of {LINES:,} lines in colour, until its end is shown", f"{took:.1f} s"
    yield "longest task meanwhile", longest(found)


def many(window: Lab, home: Home) -> Iterator[tuple[str, str]]:
    lab.forget_all(window.server)
    store = SessionStore(home.store)
    now = datetime.now(UTC)
    for number in range(MANY):
        session = a_session(
            State.FAILED if number % 3 else State.STOPPED,
            id=new_id(),
            name=f"Session {number}",
            ended=now,
            message="The app ended with code 3 before it was ready.",
            host=f"node{number % 7}",
        )
        store.create(replace(session, created=now - timedelta(minutes=number)))
    window.reload()
    window.show_panel()
    page = window.page
    cards = window.panel.get_by_role("group")
    with long_tasks(window) as found:
        window.unfold()
        until(lambda: cards.count() == MANY)
    yield f"{MANY} sessions, longest task while they unfold", longest(found)
    scroller = window.panel.locator(".jp-sessions-scroller")
    scroller.hover()
    with long_tasks(window) as found:
        for _ in range(60):
            page.mouse.wheel(0, 400)
            page.wait_for_timeout(16)
    yield "while they are scrolled through", longest(found)
    box = window.panel.get_by_role("searchbox")
    with long_tasks(window) as found:
        box.press_sequentially("node3 17", delay=50)
        until(lambda: cards.count() < MANY / 4)
        for _ in range(8):
            box.press("Backspace")
        until(lambda: cards.count() == MANY)
    yield "while they are filtered", longest(found)


def bundle() -> Iterator[tuple[str, str]]:
    static = Path(__file__).parents[1] / "jupyter_sessions/labextension/static"
    scripts = list(static.glob("*.js"))
    size = sum(path.stat().st_size for path in scripts)
    yield "the bundle, all of its parts", f"{size / 1024:.0f} KB in {len(scripts)} files"


@contextmanager
def long_tasks(window: Lab) -> Iterator[list[float]]:
    """Milliseconds of each task over 50 ms in the meantime; known at the end."""
    page = window.page
    page.wait_for_timeout(500)
    page.evaluate("seen.long.length = 0")
    found: list[float] = []
    yield found
    page.wait_for_timeout(500)
    found.extend(page.evaluate("seen.long"))


def longest(found: list[float]) -> str:
    return f"{max(found):.0f} ms" if found else "none over 50 ms"


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        if time.monotonic() > deadline:
            sys.exit("what is measured did not happen within a minute")
        time.sleep(0.02)


def report(rows: list[tuple[str, str]]) -> str:
    lines = ["| what | |", "| --- | --- |", *(f"| {what} | {value} |" for what, value in rows)]
    when = f"{datetime.now(UTC):%Y-%m-%d}"
    return f"# The front end, {when}\n\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
