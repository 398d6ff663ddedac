"""What the gateway adds: header fields, cookies, a query for a secret, a page of Jupyter's own."""

from __future__ import annotations

import pytest

from tests.gateway.conftest import Put
from tests.gateway.harness import LOGIN, Server, echo, request, seen

PAGE = [("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")]
QUERY = {"token": "s3cret%3D"}
OPENED = "token=s3cret%3D"


async def test_cookies_are_added_and_the_clients_own_of_that_name_dropped(
    server: Server, put: Put
) -> None:
    await put("app", echo, cookies={"key": "s3cret", "k2": "b"})
    for cookies in ("", "key=mine", "key=mine; other=1", "keys=1;  key=mine;other=1"):
        fields = [("Cookie", f"{LOGIN}; {cookies}")]
        kept = "; ".join(c.strip() for c in cookies.split(";") if c and "=mine" not in c)
        wanted = "; ".join(filter(None, [kept, "key=s3cret; k2=b"]))
        for _ in range(3):  # the second and third by what is remembered
            reply = seen(await server.fetch(server.url("app", "/x"), fields=fields))
            assert (reply.get("cookie") or "").replace(";other", "; other") == wanted


async def test_a_request_without_cookies_gets_them_too(server: Server, put: Put) -> None:
    await put("app", echo, cookies={"key": "s3cret"})
    fields = [("Authorization", "token the-token-of-this-server")]
    reply = await server.fetch(server.url("app", "/x"), fields=fields, login=False)
    assert seen(reply).get("cookie") == "key=s3cret"


async def test_an_upgrade_gets_header_fields_and_cookies(server: Server, put: Put) -> None:
    await put(
        "app", echo, cookies={"key": "s3cret"}, request_headers={"Authorization": "token s3cret"}
    )
    fields = [("Connection", "Upgrade"), ("Upgrade", "thing/2"), ("Cookie", f"{LOGIN}; key=mine")]
    reply = seen(await server.fetch(server.url("app"), fields=fields))
    assert (reply.get("cookie"), reply.get("authorization")) == ("key=s3cret", "token s3cret")


@pytest.mark.parametrize(
    ("rest", "arrives"),
    [
        ("/", f"/?{OPENED}"),
        ("/?a=1&b", f"/?a=1&b&{OPENED}"),
        ("/?token=mine&a=1", f"/?a=1&{OPENED}"),
        ("/?", f"/?{OPENED}"),
        ("/x", "/x"),
        ("/x?a", "/x?a"),
        ("//", "//"),
    ],
)
async def test_the_query_is_added_where_the_app_is_opened(
    server: Server, put: Put, rest: str, arrives: str
) -> None:
    await put("app", echo, query=QUERY)
    for _ in range(3):
        reply = await server.fetch(server.url("app", rest), fields=PAGE)
        assert seen(reply).first == f"GET {arrives} HTTP/1.1"
        assert len(reply.all("set-cookie")) == (OPENED in arrives)


async def test_on_one_connection_too(server: Server, put: Put) -> None:
    await put("app", echo, query=QUERY, opens="/a b")
    async with await server.connect() as wire:
        for _ in range(2):
            for rest, arrives in [("/x", "/x"), ("/a%20b", f"/a%20b?{OPENED}"), ("/", "/")]:
                await wire.send(request(server.url("app", rest), fields=PAGE))
                reply = await wire.reply()
                assert seen(reply).first == f"GET {arrives} HTTP/1.1"
                assert len(reply.all("set-cookie")) == (OPENED in arrives)


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("GET", [("Accept", "*/*")]),
        ("GET", [("Accept", "text/html"), ("Sec-Fetch-Mode", "cors")]),
        ("POST", PAGE),
    ],
)
async def test_only_navigation_opens(
    server: Server, put: Put, method: str, fields: list[tuple[str, str]]
) -> None:
    await put("app", echo, query=QUERY)
    fields = [*fields, ("Origin", "http://localhost:8888")]
    reply = await server.fetch(server.url("app"), method, fields)
    assert seen(reply).first == f"{method} / HTTP/1.1"
    assert reply.all("set-cookie") == []


async def test_an_app_that_leads_back_to_itself_is_not_led_round_and_round(
    server: Server, put: Put
) -> None:
    await put("app", echo, query=QUERY)
    reply = await server.fetch(server.url("app"), fields=PAGE)
    (cookie,) = reply.all("set-cookie")
    mark, *attributes = cookie.split("; ")
    assert {"Path=/a%40b/sessions/app/", "Max-Age=5", "HttpOnly"} <= set(attributes)
    for cookies, arrives in [
        (f"{mark}; inside=1", "/"),  # the app's cookie, and ours: it came from there
        (mark, f"/?{OPENED}"),  # an app that sets none wants it again
        ("inside=1", f"/?{OPENED}"),  # later: its cookie may be worth nothing any more
    ]:
        fields = [*PAGE, ("Cookie", f"{LOGIN}; {cookies}")]
        reply = seen(await server.fetch(server.url("app"), fields=fields))
        assert reply.first == f"GET {arrives} HTTP/1.1"
        assert "jupyter-sessions-opened" not in (reply.get("cookie") or "")


async def test_what_is_added_is_not_in_the_servers_log(server: Server, put: Put) -> None:
    await put("app", echo, query=QUERY, cookies={"key": "s3cret"})
    await server.fetch(server.url("app"), fields=PAGE)
    assert not any("s3cret" in line for line in server.log)
    assert "s3cret" not in repr(server.table.found)


async def test_a_page_of_jupyters_own_is_below_the_session_too(server: Server, put: Put) -> None:
    """Here that of the path ``/api``, which says the version of Jupyter."""
    await put("app", echo, page="/api")
    async with await server.connect() as wire:
        for rest, arrives in [
            ("/x", "/x"),
            ("/api", ""),
            ("/api/", "/api/"),
            ("/api?a=1", ""),
            ("/%61pi", ""),
            ("/x", "/x"),
            ("//api", "//api"),
        ]:
            await wire.send(request(server.url("app", rest), fields=PAGE))
            reply = await wire.reply()
            if arrives:
                assert seen(reply).first == f"GET {arrives} HTTP/1.1"
            else:
                assert reply.status == 200
                assert reply.json().keys() == {"version"}


async def test_only_the_page_itself_is_jupyters(server: Server, put: Put) -> None:
    await put("app", echo, page="/api")
    reply = await server.fetch(server.url("app", "/api"), "POST", body=b"x")
    assert seen(reply).first == "POST /api HTTP/1.1"
    fields = [("Connection", "Upgrade"), ("Upgrade", "thing/2")]
    reply = await server.fetch(server.url("app", "/api"), fields=fields)
    assert seen(reply).first == "GET /api HTTP/1.1"
    reply = await server.fetch(server.url("app", "/api"), login=False)
    assert reply.status == 403


async def test_a_page_that_jupyter_does_not_have_is_said_to_be_missing(
    server: Server, put: Put
) -> None:
    await put("app", echo, page="/no/such page")
    reply = await server.fetch(server.url("app", "/no/such%20page"), fields=PAGE)
    assert reply.status == 404
