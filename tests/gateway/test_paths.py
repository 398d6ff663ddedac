"""Paths that an app knows by another name: `Route.paths`, on both ways through the gateway."""

from __future__ import annotations

import pytest

from jupyter_sessions.gateway.urls import SessionUrls, renamed
from tests.gateway.conftest import Put
from tests.gateway.harness import Server, echo, request, seen

PATHS = {"/": "/start.html", "/a b": "/c d%?x=1", "/é": "/x"}


@pytest.mark.parametrize(
    ("rest", "arrives"),
    [
        ("/", "/start.html"),
        ("/?q=%5E", "/start.html?q=%5E"),
        ("/a%20b", "/c%20d%25?x=1"),
        ("/a%20b?q", "/c%20d%25?x=1&q"),
        ("/%C3%A9", "/x"),
        ("/a%20b/", "/a%20b/"),
        ("//", "//"),
        ("/%2f", "/%2f"),
        ("/other?/=1", "/other?/=1"),
    ],
)
@pytest.mark.parametrize("strip", [True, False])
async def test_a_path_arrives_by_its_other_name(
    server: Server, put: Put, rest: str, arrives: str, strip: bool
) -> None:
    await put("app", echo, paths=PATHS, strip=strip)
    before = "" if strip else server.url("app", "")
    for _ in range(3):  # the second and third by what is remembered
        reply = await server.fetch(server.url("app", rest))
        assert seen(reply).first == f"GET {before}{arrives} HTTP/1.1"


async def test_on_one_connection_each_request_is_looked_at(server: Server, put: Put) -> None:
    await put("app", echo, paths=PATHS)
    async with await server.connect() as wire:
        for rest, arrives in [
            ("/x", "/x"),
            ("/", "/start.html"),
            ("/y", "/y"),
            ("/", "/start.html"),
        ]:
            await wire.send(request(server.url("app", rest)))
            assert seen(await wire.reply()).first == f"GET {arrives} HTTP/1.1"


async def test_a_websocket_keeps_its_path(server: Server, put: Put) -> None:
    await put("app", echo, paths=PATHS)
    fields = [("Connection", "Upgrade"), ("Upgrade", "thing/2")]
    reply = await server.fetch(server.url("app"), fields=fields)
    assert seen(reply).first == "GET / HTTP/1.1"


def test_nothing_changes_without_names() -> None:
    assert renamed("/%2F", {}) == "/%2F"
    target = SessionUrls("/").match("/sessions/s1/?a")
    assert target is not None
    assert target.upstream_path("/p", paths={"/": "/i"}) == "/p/i?a"


@pytest.mark.parametrize("rest", ["/", "/x?q=%5E", "//", "/%2f", "/grafana/y"])
async def test_the_base_takes_the_prefixs_place(server: Server, put: Put, rest: str) -> None:
    await put("app", echo, base="/grafana")
    for _ in range(3):  # the second and third by what is remembered
        reply = await server.fetch(server.url("app", rest))
        assert seen(reply).first == f"GET /grafana{rest} HTTP/1.1"


async def test_websockets_are_below_the_base_too(server: Server, put: Put) -> None:
    await put("app", echo, base="/grafana")
    fields = [("Connection", "Upgrade"), ("Upgrade", "thing/2")]
    reply = await server.fetch(server.url("app", "/live"), fields=fields)
    assert seen(reply).first == "GET /grafana/live HTTP/1.1"


async def test_names_of_paths_are_below_the_base(server: Server, put: Put) -> None:
    await put("app", echo, paths=PATHS, base="/grafana")
    for _ in range(3):
        reply = await server.fetch(server.url("app", "/"))
        assert seen(reply).first == "GET /grafana/start.html HTTP/1.1"
