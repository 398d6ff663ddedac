"""What must not be passed on as if nothing were wrong, in requests and in answers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from jupyter_sessions.routes import Address, Route
from tests.gateway.conftest import Put
from tests.gateway.harness import (
    Fields,
    Server,
    Wire,
    echo,
    request,
    says,
    seen,
)

MB = 1024 * 1024


@pytest.mark.parametrize(
    "fields",
    [
        [("Transfer-Encoding", "chunked"), ("Content-Length", "3")],
        [("Content-Length", "3"), ("Content-Length", "4")],
        [("Content-Length", "3"), ("Content-Length", "3")],
        [("Content-Length", "3, 3")],
        [("Content-Length", "-1")],
        [("Transfer-Encoding", "gzip, chunked")],
        [("Transfer-Encoding", "identity")],
        [("X", "a"), (" folded", "b")],
        [("X", "a\x01b")],
        [("X", "a\rb")],
        [("X Y", "a")],
        [("X", "a"), ("Host", "evil.org")],
    ],
)
async def test_ambiguous_requests_reach_nobody(server: Server, put: Put, fields: Fields) -> None:
    app = await put("app", echo)
    async with await server.connect() as wire:
        await wire.send(request(server.url("app"), "POST", fields) + b"0\r\n\r\nGET /x HTTP/1.1")
        assert (await wire.head()).status == 400
        assert b"HTTP/" not in await wire.closed()  # one answer, and the connection is over
    assert not app.connections


async def test_a_large_head_reaches_nobody(server: Server, put: Put) -> None:
    app = await put("app", echo)
    async with await server.connect() as wire:
        wire.writer.write(request(server.url("app"), fields=[("X", "a" * 70_000)]))
        assert b" 200 " not in await wire.closed()
    assert not app.connections


async def test_a_bad_chunk_does_not_look_like_the_end(server: Server, put: Put) -> None:
    got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def read(wire: Wire) -> None:
        await wire.head()
        got.set_result(await wire.closed())

    await put("app", read)
    async with await server.connect() as wire:
        fields = [("Transfer-Encoding", "chunked")]
        await wire.send(request(server.url("app"), "POST", fields) + b"2\r\nab\r\n2\r\nabXX0\r\n")
        assert b" 200 " not in await wire.closed()
    assert b"0\r\n\r\n" not in await got


async def test_pipelined_requests_are_answered_in_order(server: Server, put: Put) -> None:
    await put("app", echo)
    async with await server.connect() as wire:
        urls = [server.url("app", f"/{n}") for n in range(3)]
        await wire.send(b"".join(request(url) for url in urls))
        for n in range(3):
            assert seen(await wire.reply()).first == f"GET /{n} HTTP/1.1"


async def test_sessions_and_jupyter_share_a_connection(server: Server, put: Put) -> None:
    await put("app", echo)
    async with await server.connect() as wire:
        for target in (server.url("app"), f"{server.base}api", server.url("app")):
            await wire.send(request(target))
            assert (await wire.reply()).status == 200


@pytest.mark.parametrize(
    "surplus",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n\r\nevil",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nevil",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        b"HTTP/1.1 204 None\r\nContent-Length: 4\r\n\r\nevil",
        b"HTTP/1.1 304 None\r\nContent-Length: 4\r\n\r\nevil",
    ],
)
async def test_surplus_bytes_poison_nothing(server: Server, put: Put, surplus: bytes) -> None:
    app = await put("app", says(surplus))
    async with await server.connect() as wire:
        for _ in range(3):
            await wire.send(request(server.url("app")))
            assert (await wire.reply()).body in (b"hi", b"")
    assert app.connections == 3


async def test_bytes_that_come_too_late_poison_nothing(server: Server, put: Put) -> None:
    app = await put("app", says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))
    await server.fetch(server.url("app"))
    await app.wires[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    assert (await server.fetch(server.url("app"))).body == b"hi"


# Answers


TRUNCATED = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nzz\r\n\r\n",
]


@pytest.mark.parametrize("answer", TRUNCATED)
async def test_a_truncated_answer_does_not_look_complete(
    server: Server, put: Put, answer: bytes
) -> None:
    await put("app", says(answer, close=True))
    async with await server.connect() as wire:
        await wire.send(request(server.url("app")))
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await wire.reply()
    # Nor to a client to whom the close is the end.
    async with await server.connect() as wire:
        await wire.send(request(server.url("app")).replace(b"HTTP/1.1", b"HTTP/1.0"))
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await wire.reply()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 100 Go\r\n\r\n" * 20,
    ],
)
async def test_no_proper_answer_is_a_503(server: Server, put: Put, answer: bytes) -> None:
    await put("app", says(answer, close=True))
    for method in ("GET", "POST"):
        reply = await server.fetch(server.url("app"), method)
        assert reply.status == 503
        assert reply.get("retry-after") == "1"
        assert reply.json()["reason"] == "unreachable"
    metrics = await server.call(server.gateway.metrics)
    assert metrics["app"].failures == 2


async def test_nobody_listens(server: Server, tmp_path: Path) -> None:
    addresses = [Address.unix(str(tmp_path / "none")), Address.tcp("127.0.0.1", 1)]
    for address in addresses:
        server.table.found["gone"] = Route("gone", server.url("gone", ""), address)
        reply = await server.fetch(server.url("gone"), "POST", body=b"x")
        assert reply.status == 503
        assert reply.json() == {
            "message": "The app does not accept connections.",
            "reason": "unreachable",
        }
        page = await server.fetch(server.url("gone"), fields=[("Accept", "text/html")])
        assert page.status == 503
        assert b"tries again by itself" in page.body
    del server.table.found["gone"]


async def test_a_locate_that_fails_is_a_503_and_one_line_in_the_log(
    server: Server, put: Put
) -> None:
    server.table.found["app"] = RuntimeError("no such file")
    reply = await server.fetch(server.url("app", "/?secret=geheim"))
    assert reply.status == 503
    assert b"no such file" not in reply.body
    failures = [line for line in server.log if "app failed" in line]
    assert len(failures) == 1
    assert "geheim" not in failures[0]
    del server.table.found["app"]


@pytest.mark.parametrize("side", ["request_headers", "response_headers"])
async def test_a_bad_route_is_a_503_and_splits_nothing(server: Server, put: Put, side: str) -> None:
    await put("app", echo, **{side: {"X": "a\r\nY: b"}})
    for method in ("GET", "POST"):
        reply = await server.fetch(server.url("app"), method)
        assert reply.status == 503
        assert reply.get("y") is None
    await server.until(lambda: server.gateway.metrics()["app"].open_requests == 0)


async def test_requests_are_not_logged(server: Server, put: Put) -> None:
    await put("app", echo)
    server.log.clear()
    await server.fetch(server.url("app"))
    await server.fetch(server.url("nosuch"))
    assert not [line for line in server.log if "sessions/" in line]
