"""Who gets in: before anything is located, connected or read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from jupyter_server.auth import Authorizer, IdentityProvider, User
from tornado import web

from jupyter_sessions.routes import Waiting
from tests.gateway.conftest import Put
from tests.gateway.harness import TOKEN, TOKEN_ONLY, Fields, Server, echo, request, seen

PAGE = [("Accept", "text/html,*/*")]
METHODS = (
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "PATCH",
    "OPTIONS",
    "TRACE",
    "PROPFIND",
    "PREPARE",
)
UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "websocket")]


@contextmanager
def setting(server: Server, **values: Any) -> Iterator[None]:
    settings = server.app.web_app.settings
    kept = {name: settings.get(name) for name in values}
    settings.update(values)
    server.forget()
    try:
        yield
    finally:
        settings.update(kept)
        server.forget()


@pytest.mark.parametrize("allow", [True, False])
@pytest.mark.parametrize(
    ("method", "fields"),
    [
        *((m, []) for m in METHODS),
        ("GET", UPGRADE),
        ("GET", [("Authorization", "token wrong")]),
        ("GET", [("Cookie", 'username-localhost-8888="2|1:0|forged"')]),
        ("POST", PAGE),
    ],
)
async def test_nobody_gets_in_without_login(
    server: Server, put: Put, method: str, fields: Fields, allow: bool
) -> None:
    app = await put("app", echo)
    with setting(server, allow_unauthenticated_access=allow):
        reply = await server.fetch(server.url("app"), method, fields, login=False)
    assert reply.status == 403
    assert reply.get("content-type") == "application/json"
    if method != "HEAD":
        assert reply.json()["reason"] == "forbidden"
    assert not server.table.asked
    assert not app.connections


async def test_a_body_is_not_asked_for_without_login(server: Server, put: Put) -> None:
    app = await put("app", echo)
    fields = [("Content-Length", "5"), ("Expect", "100-continue")]
    async with await server.connect() as wire:
        await wire.send(request(server.url("app"), "POST", fields, login=False))
        assert (await wire.reply()).status == 403  # and not 100 first
        assert await wire.closed() == b""
    assert not app.connections


@pytest.mark.parametrize("session_id", ["app", "nosuch"])
async def test_a_browser_is_sent_to_the_login_page(
    server: Server, put: Put, session_id: str
) -> None:
    await put("app", echo)
    url = server.url(session_id, "/x?y=1")
    reply = await server.fetch(url, "GET", PAGE, login=False)
    assert reply.status == 302
    assert reply.get("location") == "/a%40b/login?next=%2Fa%2540b%2Fsessions%2F" + (
        f"{session_id}%2Fx%3Fy%3D1"
    )
    assert not server.table.asked


async def test_a_script_of_a_page_is_not_redirected(server: Server) -> None:
    fields = [*PAGE, ("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Dest", "empty")]
    assert (await server.fetch(server.url("app"), fields=fields, login=False)).status == 403


async def test_unknown_sessions_are_not_found_after_login(server: Server) -> None:
    reply = await server.fetch(server.url("nosuch"))
    assert reply.status == 404
    assert reply.json()["reason"] == "session_not_found"
    page = await server.fetch(server.url("nosuch"), fields=PAGE)
    assert page.status == 404
    assert b"<h1>No such session</h1>" in page.body


async def test_a_token_in_the_url_logs_the_browser_in(server: Server, put: Put) -> None:
    await put("app", echo)
    url = server.url("app", f"/x?a=%5E&token={TOKEN}&b")
    reply = await server.fetch(url, login=False)
    assert reply.status == 200
    assert seen(reply).first == "GET /x?a=%5E&b HTTP/1.1"
    cookie = reply.get("set-cookie")
    assert cookie is not None
    assert cookie.startswith("username-localhost-8888=")
    assert "Path=/a%40b/" in cookie

    # From now on the cookie is enough, and neither it nor a token reaches the app.
    cookies = [("Cookie", f"mine=1; {cookie.partition(';')[0]}; _xsrf=2")]
    reply = await server.fetch(server.url("app", "/x?token=theirs"), "POST", cookies, login=False)
    assert reply.status == 200
    assert seen(reply).first == "POST /x?token=theirs HTTP/1.1"
    assert seen(reply).get("cookie") == "mine=1"
    assert reply.get("set-cookie") is None


async def test_the_token_does_not_reach_the_app(server: Server, put: Put) -> None:
    await put("app", echo)
    fields = [("Referer", f"http://localhost:8888/a%40b/lab?token={TOKEN}")]
    reply = await server.fetch(server.url("app"), fields=fields)
    assert seen(reply).get("authorization") is None
    assert seen(reply).get("referer") == "http://localhost:8888/a%40b/lab"
    assert TOKEN.encode() not in reply.body


async def test_xsrf_is_the_apps_business_but_origins_are_ours(server: Server, put: Put) -> None:
    app = await put("app", echo)
    logged_in = await server.fetch(server.url("app"), fields=TOKEN_ONLY, login=False)
    cookie = ("Cookie", str(logged_in.get("set-cookie")).partition(";")[0])
    fields = [cookie, ("Origin", "http://localhost:8888")]
    assert (await server.fetch(server.url("app"), "POST", fields, login=False)).status == 200
    before = app.connections
    for method, extra in (("POST", []), ("PROPFIND", []), ("GET", UPGRADE)):
        fields = [cookie, ("Origin", "http://evil.org"), *extra]
        reply = await server.fetch(server.url("app"), method, fields, login=False)
        assert reply.status == 403
        assert reply.json()["reason"] == "foreign_origin"
    assert app.connections == before
    with setting(server, allow_origin="http://evil.org"):
        reply = await server.fetch(server.url("app"), "POST", fields[:2], login=False)
        assert reply.status == 200


class _Nobody(Authorizer):
    asked: list[tuple[str, str, str]] = []

    async def is_authorized(self, handler: Any, user: User, action: str, resource: str) -> bool:
        self.asked.append((handler.request.method, action, resource))
        return False


@pytest.mark.parametrize(
    ("method", "fields", "action"),
    [
        ("GET", [], "read"),
        ("HEAD", [], "read"),
        ("OPTIONS", [], "read"),
        ("POST", [], "write"),
        ("DELETE", [], "write"),
        ("PROPFIND", [], "write"),
        ("TRACE", [], "write"),
        ("GET", UPGRADE, "execute"),
    ],
)
async def test_the_authorizer_is_asked(
    server: Server, put: Put, method: str, fields: Fields, action: str
) -> None:
    app = await put("app", echo)
    authorizer = _Nobody(identity_provider=server.app.identity_provider)
    authorizer.asked.clear()
    with setting(server, authorizer=authorizer):
        reply = await server.fetch(server.url("app"), method, fields)
    assert reply.status == 403
    assert [asked[1:] for asked in authorizer.asked] == [(action, "jupyter_sessions")]
    assert not server.table.asked
    assert not app.connections


class _Hub(IdentityProvider):
    """As JupyterHub's: async, checks XSRF with a cookie, and refuses some whom it knows."""

    async def get_user(self, handler: Any) -> User | None:
        handler.check_xsrf_cookie()
        match handler.request.headers.get("Cookie"):
            case "jupyterhub-user-ada=1" | "custom=1; jupyterhub-user-ada=1":
                return User("ada")
            case "jupyterhub-user-eve=1":

                def redirect(*_: object) -> None:
                    raise web.HTTPError(403, "user eve is not allowed.")

                handler.redirect = redirect
            case "broken":
                raise web.HTTPError(502, "Failed to check authorization: secret")

        def login() -> str:
            handler.set_cookie("jupyterhub-user-ada-oauth-state-1", "state", path="/a%40b/")
            return "/hub/api/oauth2/authorize?state=1"

        handler.get_login_url = login
        return None


async def test_an_identity_provider_like_the_hubs(server: Server, put: Put) -> None:
    await put("app", echo)
    with setting(server, identity_provider=_Hub(cookie_name="custom")):
        url = server.url("app")

        async def ask(cookie: str, fields: Fields = (), method: str = "GET") -> Any:
            return await server.fetch(url, method, [("Cookie", cookie), *fields], login=False)

        for cookie in ("jupyterhub-user-ada=1", "custom=1; jupyterhub-user-ada=1"):
            reply = await ask(cookie, method="POST")
            assert reply.status == 200
            assert seen(reply).get("cookie") is None

        reply = await ask("none=1", PAGE)
        assert reply.status == 302
        assert reply.get("location") == "/hub/api/oauth2/authorize?state=1"
        assert str(reply.get("set-cookie")).startswith("jupyterhub-user-ada-oauth-state-1=")
        reply = await ask("none=1")
        assert reply.status == 403
        assert reply.get("set-cookie") is None

        reply = await ask("jupyterhub-user-eve=1", PAGE)
        assert reply.status == 403
        assert b"<h1>Not allowed</h1>" in reply.body

        reply = await ask("broken")
        assert reply.status == 503
        assert reply.get("retry-after") == "1"
        assert b"secret" not in reply.body


async def test_a_foreign_host_is_refused_as_jupyter_does(server: Server, put: Put) -> None:
    app = await put("app", echo)
    async with await server.connect() as wire:
        await wire.send(request(server.url("app"), host="evil.org"))
        assert (await wire.reply()).status == 403
    assert not app.connections


async def test_the_bare_session_url_redirects(server: Server, put: Put) -> None:
    await put("app", echo)
    server.table.found["waits"] = Waiting({"id": "waits", "state": "queued"}, ended=False)
    for session_id in ("app", "waits"):
        url = server.url(session_id, "")
        reply = await server.fetch(f"{url}?x=%5E")
        assert reply.status == 307
        assert reply.get("location") == f"{url}/?x=%5E"
    reply = await server.fetch(server.url("app", "").replace("%40", "@"), "HEAD")
    assert reply.get("location") == "/a@b/sessions/app/"
    assert seen(await server.fetch(server.url("app", ""), "POST")).first == "POST / HTTP/1.1"
    assert (await server.fetch(server.url("nosuch", ""))).status == 404


async def test_what_is_no_session_is_left_to_jupyter(server: Server) -> None:
    reply = await server.fetch(f"{server.base}api")
    assert reply.json()["version"]
    assert (await server.fetch(f"{server.base}sessions/UPPER/x")).status == 404
    assert not server.table.asked
