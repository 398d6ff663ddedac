"""Requests and answers, as they pass."""

from __future__ import annotations

import pytest

from tests.gateway.conftest import Put
from tests.gateway.harness import (
    Server,
    echo,
    request,
    says,
    seen,
)

MB = 1024 * 1024


@pytest.mark.parametrize("tls", [False, True])
async def test_requests_and_answers(server: Server, put: Put, tls: bool) -> None:
    await put("app", echo)
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "REPORT"]:
        reply = await server.fetch(server.url("app", "/x?y=1"), method, tls=tls)
        assert reply.status == 200
        assert seen(reply).first == f"{method} /x?y=1 HTTP/1.1"
    reply = await server.fetch(server.url("app"), "POST", body=b"\0\xff hello", tls=tls)
    assert seen(reply).body == b"\0\xff hello"


@pytest.mark.parametrize(
    "rest",
    [
        "/", "/?", "/a%5Eb", "/a%2Fb", "/a@b", "//", "//evil.org/x", "/..%2f..%2fetc", "/../../x",
        "/%ff%00", "/caf\xe9", "/a;b=c", "/?a=b&&c?d=/../", "/?q=%5E+%20", "/\\evil", "/a|b",
    ],
)  # fmt: skip
async def test_paths_arrive_as_they_came(server: Server, put: Put, rest: str) -> None:
    await put("app", echo)
    assert seen(await server.fetch(server.url("app", rest))).first == f"GET {rest} HTTP/1.1"
    unescaped = server.url("app", rest).replace("%40", "@", 1)
    assert seen(await server.fetch(unescaped)).first == f"GET {rest} HTTP/1.1"


async def test_an_app_that_keeps_its_prefix_gets_it(server: Server, put: Put) -> None:
    await put("app", echo, strip=False)
    reply = await server.fetch(server.url("app", "/x").replace("%40", "@", 1))
    assert seen(reply).first == f"GET {server.url('app', '/x')} HTTP/1.1"


async def test_fields_for_the_app(server: Server, put: Put) -> None:
    await put("app", echo, request_headers={"Authorization": "Bearer app"})
    fields = [
        ("Accept-Encoding", "gzip, br"),
        ("X-Latin", "caf\xe9"),
        ("X-Forwarded-For", "6.6.6.6"),
        ("Connection", "X-Drop"),
        ("X-Drop", "1"),
    ]
    passed = seen(await server.fetch(server.url("app"), fields=fields))
    assert passed.fields == [
        ("Host", "localhost:8888"),
        ("Accept-Encoding", "gzip, br"),
        ("X-Latin", "caf\xe9"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "localhost:8888"),
        ("X-Forwarded-Prefix", server.url("app", "")),
        ("Authorization", "Bearer app"),
    ]
    passed = seen(await server.fetch(server.url("app"), tls=True))
    assert passed.get("x-forwarded-proto") == "https"
    fields = [("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Proto", "https")]
    passed = seen(await server.fetch(server.url("app"), fields=fields, port=server.trusted_port))
    assert passed.get("x-forwarded-for") == "1.2.3.4, 127.0.0.1"
    assert passed.get("x-forwarded-proto") == "https"


async def test_fields_for_the_browser(server: Server, put: Put) -> None:
    answer = (
        b"HTTP/1.1 302 Moved \xe9\r\nContent-Length: 2\r\nLocation: /login\r\nX-Latin: caf\xe9\r\n"
        b"Set-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nSet-Cookie: _xsrf=evil; Path=/\r\n"
        b"Connection: X-Drop\r\nX-Drop: 1\r\nKeep-Alive: timeout=5\r\nContent-Encoding: br\r\n\r\n"
        b"hi"
    )
    await put("app", says(answer))
    reply = await server.fetch(server.url("app"), fields=[("Cookie", "x=1")])
    prefix = server.url("app", "")
    assert reply.first == "HTTP/1.1 302 Moved ?"
    assert reply.get("location") == prefix + "/login"
    assert reply.get("x-latin") == "caf\xe9"
    assert reply.get("content-encoding") == "br"
    assert reply.all("set-cookie")[:2] == [f"a=1; Path={prefix}/", f"b=2; Path={prefix}/"]
    # A token request is answered with Jupyter's own login cookie too.
    assert reply.all("set-cookie")[2].startswith("username-localhost-8888=")
    names = {name.lower() for name, _ in reply.fields}
    assert not names & {"x-drop", "keep-alive", "content-security-policy", "server"}
    assert reply.body == b"hi"


@pytest.mark.parametrize(
    ("method", "answer", "status", "body"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, b""),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, b""),
        ("GET", b"HTTP/1.1 204 None\r\n\r\n", 204, b""),
        ("GET", b"HTTP/1.1 304 Same\r\nETag: x\r\nContent-Length: 5\r\n\r\n", 304, b""),
        ("GET", b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 103 Hint\r\nLink: x\r\n\r\n"
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi"),
        ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"1;x=y\r\nh\r\n1\r\ni\r\n0\r\nTrailer: x\r\n\r\n", 200, b"hi"),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, b""),
        ("GET", b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nhi", 500, b"hi"),
    ],
)  # fmt: skip
async def test_answers_that_keep_the_connection(
    server: Server, put: Put, method: str, answer: bytes, status: int, body: bytes
) -> None:
    app = await put("app", says(answer))
    async with await server.connect() as wire:
        for _ in range(3):
            await wire.send(request(server.url("app"), method))
            reply = await wire.reply(method)
            assert (reply.status, reply.body) == (status, body)
            assert reply.get("connection") is None
    assert app.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\n\r\nhi",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
    ],
)
async def test_answers_that_close_the_apps_connection(
    server: Server, put: Put, answer: bytes
) -> None:
    # Where the length ends the body, it is for us to hang up.
    app = await put("app", says(answer, close=b"Length" not in answer))
    async with await server.connect() as wire:
        for _ in range(2):
            await wire.send(request(server.url("app")))
            assert (await wire.reply()).body == b"hi"
    assert app.connections == 2


@pytest.mark.parametrize("keep", [b"", b"Connection: keep-alive\r\n"])
async def test_an_old_client_gets_a_body_that_the_close_ends(
    server: Server, put: Put, keep: bytes
) -> None:
    await put("app", says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                          b"2\r\nhi\r\n0\r\n\r\n"))  # fmt: skip
    async with await server.connect() as wire:
        head = request(server.url("app")).replace(b"HTTP/1.1", b"HTTP/1.0")
        await wire.send(head.replace(b"\r\n\r\n", b"\r\n" + keep + b"\r\n"))
        reply = await wire.head()
        assert reply.get("transfer-encoding") is None
        assert await wire.closed() == b"hi"
