"""What the gateway says itself, and its waiting page in a real browser."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from tornado import web

from jupyter_sessions.gateway.pages import wants_page
from jupyter_sessions.routes import Route, Waiting
from tests.gateway.conftest import API, Put
from tests.gateway.harness import TOKEN, TOKEN_ONLY, Fields, Server, says

PAGE = [("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")]
SESSION = {
    "id": "waits",
    "name": "My session",
    "app": "code-server",
    "state": "queued",
    "message": "Slurm job 7 waits: Priority.",
    "reason": "priority",
    "exit_code": None,
    "created": "2026-11-20T12:00:00Z",
    "attempt": 1,
    "actions": ["stop"],
}
FAILED = {**SESSION, "state": "failed", "message": "It ended at once.", "exit_code": 3,
          "actions": ["restart"]}  # fmt: skip


@pytest.mark.parametrize(
    ("method", "fields", "page"),
    [
        ("GET", PAGE, True),
        ("HEAD", PAGE, True),
        ("POST", PAGE, False),
        ("GET", [], False),
        ("GET", [("Accept", "*/*")], False),
        ("GET", [*PAGE, ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")], True),
        ("GET", [*PAGE, ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")], True),
        ("GET", [*PAGE, ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "empty")], True),
        ("GET", [*PAGE, ("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Dest", "empty")], False),
        ("GET", [*PAGE, ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "script")], False),
    ],
)
def test_who_gets_a_page(method: str, fields: list[tuple[str, str]], page: bool) -> None:
    assert wants_page(method, fields) is page
    assert not wants_page(method, fields, upgrade=True)


@pytest.mark.parametrize(
    ("method", "fields"),
    [("GET", []), ("POST", PAGE), ("GET", [("Connection", "Upgrade"), ("Upgrade", "x"), *PAGE])],
)
@pytest.mark.parametrize("ended", [False, True])
async def test_programs_are_told_in_json(
    server: Server, put: Put, method: str, fields: Fields, ended: bool
) -> None:
    server.table.found["waits"] = Waiting(SESSION, ended=ended)
    reply = await server.fetch(server.url("waits"), method, fields)
    assert reply.status == 503
    assert reply.get("retry-after") == (None if ended else "1")
    assert reply.get("cache-control") == "no-store"
    assert reply.json() == {k: SESSION[k] for k in ("id", "state", "message", "reason")}


async def test_people_get_a_page(server: Server, put: Put) -> None:
    server.table.found["waits"] = Waiting(SESSION, ended=False, log_tail="line 1\nline 2")
    reply = await server.fetch(
        server.url("waits", "/deep/link?x"), fields=[*PAGE, *TOKEN_ONLY], login=False
    )
    assert reply.status == 503
    assert reply.get("retry-after") == "1"
    assert reply.get("cache-control") == "no-store"
    assert reply.get("x-content-type-options") == "nosniff"
    policy = str(reply.get("content-security-policy"))
    assert "frame-ancestors 'self'" in policy
    assert "unsafe" not in policy
    page = reply.body.decode()
    for text in ("My session", "code-server", "Slurm job 7 waits", "line 1\nline 2", "/a%40b/"):
        assert text in page
    assert not re.search(r"(?:src|href)=\"?(?:https?:)?//", page)
    assert [c.partition("=")[0] for c in reply.all("set-cookie")] == [
        "username-localhost-8888",
        "_xsrf",
    ]
    assert (await server.fetch(server.url("waits"), "HEAD", PAGE)).status == 503


EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&"


@pytest.mark.parametrize("key", ["id", "name", "app", "message", "state", "reason", "log"])
async def test_nothing_from_users_becomes_markup(server: Server, put: Put, key: str) -> None:
    log = EVIL if key == "log" else ""
    server.table.found["waits"] = Waiting({**SESSION, key: EVIL}, ended=False, log_tail=log)
    page = (await server.fetch(server.url("waits"), fields=PAGE)).body.decode()
    assert "<script>alert" not in page
    assert "<img" not in page
    found = re.search(r'id="settings">(.*?)</script>', page)
    assert found is not None
    if key != "log":
        assert json.loads(found[1])["session"][key] == EVIL


# In a browser. Each of these starts Chromium.


class _Api(web.RequestHandler):
    """The REST API's part that the page uses."""

    def initialize(self, state: dict[str, Any]) -> None:
        self.state = state

    def check_xsrf_cookie(self) -> None:
        if self.request.method == "POST":
            super().check_xsrf_cookie()

    def get(self, what: str) -> None:
        if what == "/log":
            self.set_header("Content-Type", "text/plain")
            self.write(self.state["log"])
        else:
            self.write(self.state["session"])

    def post(self, what: str) -> None:
        self.state["asked"].append(what)
        self.state["session"] = {**self.state["session"], "state": "starting", "actions": []}
        self.set_status(202)
        self.write(self.state["session"])


@pytest.fixture
def api(server: Server, jp_asyncio_loop: asyncio.AbstractEventLoop) -> dict[str, Any]:
    state: dict[str, Any] = {"session": SESSION, "log": "", "asked": []}
    application = server.app.web_app

    def add() -> None:
        rule = (f"{API}sessions/waits(|/log|/restart)", _Api, {"state": state})
        application.add_handlers(".*$", [rule])  # type: ignore[no-untyped-call]
        # The newest first, as each test adds its own.
        rules = application.default_router.rules
        rules.insert(0, rules.pop(-2))

    jp_asyncio_loop.run_until_complete(server.call(add))
    return state


@pytest.mark.real
async def test_the_page_follows_the_session_and_becomes_the_app(
    server: Server, put: Put, api: dict[str, Any]
) -> None:
    body = b"<!doctype html><title>App</title><p id=app>The app"
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(body)
    await put("waits", says(answer + body))
    route = server.table.found["waits"]
    assert isinstance(route, Route)
    server.table.found["waits"] = Waiting(FAILED, ended=True, log_tail="first line")
    api["session"] = FAILED

    from playwright.async_api import async_playwright, expect

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                  "--disable-background-networking", "--disable-component-update",
                  "--disable-sync"],
        )  # fmt: skip
        page = await browser.new_page(viewport={"width": 240, "height": 600})
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console",
            lambda m: problems.append(m.text) if "Security Policy" in m.text else None,
        )
        url = f"http://localhost:{server.port}{server.url('waits', '/x?y#z')}"
        await page.goto(url.replace("?y", f"?y&token={TOKEN}"))
        await expect(page.locator("h1")).to_have_text("My session")
        await expect(page.locator("#state")).to_have_text("Failed")
        await expect(page.locator("#facts")).to_contain_text("Exit code3")
        await expect(page.locator("#phases")).to_be_hidden()
        fits = "document.documentElement.scrollWidth <= innerWidth"
        assert await page.evaluate(fits)

        server.table.found["waits"] = Waiting(SESSION, ended=False)
        api["log"] = "second line"
        await page.get_by_role("button", name="Start again").click()
        await expect(page.locator("[aria-current=step]")).to_have_text("Starting")
        assert api["asked"] == ["/restart"]
        await expect(page.locator("#log")).to_have_text("second line")
        await expect(page.get_by_role("button", name="Start again")).to_be_hidden()

        # Running is not enough: the page stays until the app itself is behind the URL.
        api["session"] = {**SESSION, "state": "running"}
        await expect(page.locator("#state")).to_have_text("Almost there")
        server.table.found["waits"] = route
        await expect(page.locator("#app")).to_have_text("The app")
        assert page.url.endswith("#z")
        assert not problems
        await browser.close()
