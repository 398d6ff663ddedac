"""JupyterLab in a browser, as people see it: by roles and names, not by the page's structure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import yaml
from playwright.sync_api import Browser, Frame, Locator, Page, expect

from .server import TOKEN, Home, JupyterServer, wait

SLOW = """\
import sys, time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer

class Page(BaseHTTPRequestHandler):
    def address_string(self):
        return "browser"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<h1>It has taken its time</h1>")

print("\\x1b[32mwarming up\\x1b[0m", flush=True)
gate = Path(sys.argv[2])
while not gate.exists():
    time.sleep(0.05)
print("the gate is open", flush=True)
with UnixStreamServer(sys.argv[1], Page) as server:
    server.serve_forever()
"""

APPS: dict[str, dict[str, Any]] = {
    "broken": {
        "title": "Broken app",
        "command": ["sh", "-c", "echo about to fail; echo no such licence >&2; exit 3", "{socket}"],
    },
    "slow": {
        "title": "Slow app",
        "command": ["{python}", "{app_dir}/slow.py", "{socket}", "{state_dir}/../../../gate"],
    },
    "missing": {
        "title": "Missing app",
        "command": ["no-such-program-anywhere", "{socket}"],
        "requires": [{"program": "no-such-program-anywhere", "install": "Install it from there."}],
    },
}
"""Beside the built-in ones. ``slow`` answers once the file `gate_of` exists."""


def prepare(home: Home, **apps: dict[str, Any]) -> None:
    """Put the tests' apps into `home`, and silence what Lab would tell of its own accord."""
    settings = home.path / ".jupyter/lab/user-settings/@jupyterlab/apputils-extension"
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    for name, fields in (APPS | apps).items():
        folder = home.path / ".jupyter/jupyter_sessions/apps" / name
        folder.mkdir(parents=True, exist_ok=True)
        fields = {"name": name, "category": "Tests", **fields}
        fields["command"] = [
            part.replace("{state_dir}/../../../gate", str(home.path / "gate"))
            for part in fields["command"]
        ]
        (folder / "app.yaml").write_text(yaml.safe_dump(fields))
        (folder / "slow.py").write_text(SLOW)


def configure(home: Home, **settings: Any) -> None:
    """The user's settings of the front end."""
    folder = home.path / ".jupyter/lab/user-settings/jupyter-sessions"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plugin.jupyterlab-settings").write_text(json.dumps(settings))


def theme(home: Home, name: str) -> None:
    """``JupyterLab Light`` or ``JupyterLab Dark``."""
    folder = home.path / ".jupyter/lab/user-settings/@jupyterlab/apputils-extension"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "themes.jupyterlab-settings").write_text(json.dumps({"theme": name}))


COUNT_TOASTS = """() => {
  const toast = '.Toastify__toast';
  window.toastsCounted = 0;
  const isOne = node => node.nodeType === 1 && (node.matches(toast) || node.querySelector(toast));
  new MutationObserver(records => {
    for (const { addedNodes } of records) {
      window.toastsCounted += Array.from(addedNodes).filter(isOne).length;
    }
  }).observe(document.body, { childList: true, subtree: true });
}"""


class Lab:
    """One window."""

    def __init__(self, page: Page, server: JupyterServer) -> None:
        self.page = page
        self.server = server
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self, path: str = "lab", *, reset: bool = True) -> Lab:
        """Open JupyterLab with nothing but a launcher (`reset`), or as it was left."""
        query = f"token={TOKEN}{'&reset' if reset else ''}"
        self.page.goto(f"{self.server.origin}{self.server.base_url}{path}?{query}")
        expect(self.page.get_by_role("menubar").first).to_be_visible(timeout=60_000)
        expect(self.page.locator("#jupyterlab-splash")).to_have_count(0)
        return self

    def reload(self) -> None:
        self.page.reload()
        expect(self.page.get_by_role("menubar").first).to_be_visible(timeout=60_000)
        expect(self.page.locator("#jupyterlab-splash")).to_have_count(0)

    # What there is ------------------------------------------------------------------------------

    @property
    def panel(self) -> Locator:
        return self.page.get_by_role("region", name="Sessions", exact=True)

    def show_panel(self) -> Locator:
        if not self.panel.is_visible():
            self.page.get_by_role("tab", name="Sessions").first.click()
        expect(self.panel).to_be_visible()
        return self.panel

    def tile(self, title: str) -> Locator:
        return self.page.locator(".jp-Launcher").get_by_role("button", name=title, exact=True)

    def card(self, name: str) -> Locator:
        """The card of the session called `name`, whatever its state."""
        return self.panel.get_by_role("group", name=re.compile(f"^{re.escape(name)}: "))

    def expect_card(self, name: str, state: str, **options: Any) -> Locator:
        found = self.panel.get_by_role("group", name=f"{name}: {state}", exact=True)
        expect(found).to_be_visible(**options)
        return found

    def unfold(self) -> None:
        """Show the ended sessions."""
        button = self.panel.get_by_role("button", name=re.compile("^Ended"))
        if button.get_attribute("aria-expanded") == "false":
            button.click()

    def choose(self, card: Locator, item: str) -> None:
        """An item of a card's menu."""
        card.get_by_role("button", name=re.compile("^More about")).click()
        self.page.get_by_role("menuitem", name=item, exact=True).click()

    def menu(self, bar: str, *items: str) -> None:
        """Choose from the main menu: its name, then items down to the one that does something."""
        self.page.locator(".lm-MenuBar-itemLabel").get_by_text(bar, exact=True).click()
        for item in items:
            found = self.page.locator(".lm-Menu-item").filter(
                has=self.page.locator(".lm-Menu-itemLabel").get_by_text(item, exact=True)
            )
            found.hover()
        found.click()

    @property
    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog")

    @property
    def tab(self) -> Locator:
        """The session's tab that is in front."""
        return self.page.locator(".jp-sessions-tab:visible")

    def frame(self) -> Frame:
        """The app in that tab, once it is shown."""
        element = self.tab.locator("iframe")
        expect(element).to_be_visible()
        handle = element.element_handle()
        assert handle is not None
        frame = handle.content_frame()
        assert frame is not None
        return frame

    @property
    def toasts(self) -> Locator:
        return self.page.locator(".Toastify__toast")

    def count_toasts(self) -> None:
        """Count from now on: a toast goes by itself, before a slow test looks at it."""
        self.page.evaluate(COUNT_TOASTS)

    @property
    def toasts_counted(self) -> int:
        return int(self.page.evaluate("window.toastsCounted"))


@contextmanager
def window(browser: Browser, server: JupyterServer, **options: Any) -> Iterator[Lab]:
    """A browser of its own with JupyterLab in it."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, **options)
    context.set_default_timeout(30_000)
    try:
        yield Lab(context.new_page(), server)
    finally:
        context.close()


def open_gate(home: Home) -> None:
    """Let ``slow`` become ready."""
    (home.path / "gate").touch()


def close_gate(home: Home) -> None:
    (home.path / "gate").unlink(missing_ok=True)


def drawn_late(window: Lab) -> Callable[[], None]:
    """As in a browser that is busy, Lab hears that a dialog is there when this is called."""
    window.page.evaluate(
        "window.late = []; window.idle = window.requestIdleCallback;"
        "window.requestIdleCallback = f => late.push(f); 0"
    )

    def drawn() -> None:
        window.page.evaluate("window.requestIdleCallback = idle; late.forEach(f => f())")

    return drawn


def forget_all(server: JupyterServer) -> None:
    """End all sessions and forget them."""
    for session in server.get("jupyter-sessions/v1/sessions")["sessions"]:
        server.request("DELETE", f"{server.base_url}jupyter-sessions/v1/sessions/{session['id']}")
    wait(lambda: not server.get("jupyter-sessions/v1/sessions")["sessions"], 30, "all to be gone")
