"""Upgrades: negotiated by the app, then spliced."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, unix_serve

from jupyter_sessions.routes import Address, Route
from tests.gateway.conftest import Put
from tests.gateway.harness import TOKEN, Reply, Server, Wire, echo, request, says, seen

MB = 1024 * 1024
UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "thing/2")]
AGREED = b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: thing/2\r\n\r\n"


async def shout(wire: Wire) -> None:
    """Agrees, says a word with the same bytes, and shouts back what it hears."""
    await wire.head()
    await wire.send(AGREED + b"hello ")
    while data := await wire.reader.read(1000):
        await wire.send(data.upper())
    await wire.send(b" bye")


@asynccontextmanager
async def upgraded(server: Server, *, tls: bool = False, early: bytes = b"") -> AsyncIterator[Wire]:
    async with await server.connect(tls=tls) as wire:
        await wire.send(request(server.url("app"), fields=UPGRADE) + early)
        assert (await wire.head()).status == 101
        yield wire


@pytest.mark.parametrize("tls", [False, True])
async def test_bytes_pass_untouched(server: Server, put: Put, tls: bool) -> None:
    await put("app", shout)
    async with upgraded(server, tls=tls, early=b"early ") as wire:
        assert await wire.reader.readexactly(12) == b"hello EARLY "
        for word in (b"late", b"\0\xffx", b"x" * 500):
            await wire.send(word)
            assert await wire.reader.readexactly(len(word)) == word.upper()


async def test_one_side_may_finish_first(server: Server, put: Put) -> None:
    await put("app", shout)
    async with upgraded(server) as wire:
        await wire.send(b"x")
        wire.writer.write_eof()
        assert await wire.closed() == b"hello X bye"
    await server.until(lambda: server.gateway.metrics()["app"].open_upgrades == 0)


async def test_the_app_negotiates(server: Server, put: Put) -> None:
    got: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

    async def negotiate(wire: Wire) -> None:
        got.set_result(await wire.head())
        await wire.send(
            b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: b\r\nContent-Length: 0\r\n"
            b"Sec-WebSocket-Extensions: permessage-deflate\r\nSet-Cookie: a=1; Path=/\r\n\r\n"
        )

    await put("app", negotiate)
    fields = [
        ("Connection", "keep-alive, Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Key", "k"),
        ("Sec-WebSocket-Protocol", "a, b"),
        ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
        ("Origin", "http://localhost:8888"),
        ("Cookie", "mine=1; _xsrf=2; username-localhost-8888=3"),
    ]
    async with await server.connect() as wire:
        await wire.send(request(server.url("app", "/ws?x=%5E"), fields=fields))
        reply = await wire.head()
    passed = await got
    assert passed.first == "GET /ws?x=%5E HTTP/1.1"
    assert passed.get("connection") == "Upgrade"
    assert passed.get("upgrade") == "websocket"
    assert passed.get("origin") == "http://localhost:8888"
    assert passed.get("cookie") == "mine=1"
    assert passed.get("authorization") is None
    assert passed.get("sec-websocket-protocol") == "a, b"
    assert passed.get("sec-websocket-extensions") == fields[4][1]
    assert reply.first == "HTTP/1.1 101 Switching"
    assert reply.get("sec-websocket-protocol") == "b"
    assert reply.get("sec-websocket-extensions") == "permessage-deflate"
    assert reply.get("upgrade") == "websocket"
    assert reply.get("content-length") is None
    assert reply.all("set-cookie")[0] == f"a=1; Path={server.url('app', '')}/"


@pytest.mark.parametrize("tls", [False, True])
async def test_a_refusal_of_the_app_is_passed_on(server: Server, put: Put, tls: bool) -> None:
    await put("app", says(b"HTTP/1.1 426 No\r\nContent-Length: 2\r\n\r\nno"))
    async with await server.connect(tls=tls) as wire:
        for fields in (UPGRADE, []):
            await wire.send(request(server.url("app"), fields=fields))
            reply = await wire.reply()
            assert (reply.status, reply.body) == (426, b"no")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 101 Go\r\nA", b"nonsense\r\n\r\n"])
async def test_no_proper_answer_is_a_503(server: Server, put: Put, answer: bytes) -> None:
    await put("app", says(answer, close=True))
    fields = [*UPGRADE, ("Accept", "text/html")]
    reply = await server.fetch(server.url("app"), fields=fields)
    assert reply.status == 503
    assert reply.json()["reason"] == "unreachable"


async def test_an_upgrade_with_a_body_is_an_ordinary_request(server: Server, put: Put) -> None:
    await put("app", echo)
    reply = await server.fetch(server.url("app"), "POST", UPGRADE, b"hi")
    assert seen(reply).get("upgrade") is None
    assert seen(reply).body == b"hi"


@pytest.mark.parametrize("tls", [False, True])
async def test_a_client_that_hangs_up_frees_the_app(server: Server, put: Put, tls: bool) -> None:
    ended = asyncio.Event()

    async def listen(wire: Wire) -> None:
        head = await wire.head()
        if head.first.startswith("GET /agree"):
            await wire.send(AGREED)
        asked.set()
        await wire.closed()
        ended.set()

    await put("app", listen)
    for path in ("/agree", "/think"):
        asked = asyncio.Event()
        ended.clear()
        async with await server.connect(tls=tls) as wire:
            await wire.send(request(server.url("app", path), fields=UPGRADE))
            await asked.wait()
            if path == "/agree":
                await wire.head()
        await ended.wait()
    await server.until(lambda: server.gateway.metrics()["app"].open_upgrades == 0)
    await server.until(lambda: server.gateway.metrics()["app"].open_requests == 0)


@pytest.mark.parametrize("tls", [False, True])
async def test_an_app_that_dies_frees_the_client(server: Server, put: Put, tls: bool) -> None:
    app = await put("app", shout)
    async with upgraded(server, tls=tls) as wire:
        await wire.reader.readexactly(6)
        app.wires[0].writer.transport.abort()
        assert await wire.closed() == b""
        # The client has nothing more to say to a dead app either.
        wire.writer.close()
    await server.until(lambda: server.gateway.metrics()["app"].open_upgrades == 0)


@pytest.mark.parametrize("tls", [False, True])
async def test_closing_a_session_drops_its_upgrades(server: Server, put: Put, tls: bool) -> None:
    ended = asyncio.Event()

    async def listen(wire: Wire) -> None:
        await wire.head()
        await wire.send(AGREED)
        await wire.closed()
        ended.set()

    await put("app", listen)
    async with upgraded(server, tls=tls) as wire:
        await server.call(lambda: server.gateway.close_session("app"))
        await wire.closed()
        await ended.wait()
    await server.until(lambda: server.gateway.metrics()["app"].open_upgrades == 0)


async def _stalls(wire: Wire) -> int:
    """Send until nothing moves any more; how much went."""
    sent = 0
    try:
        while sent < 100 * MB:
            wire.writer.write(bytes(MB))
            async with asyncio.timeout(0.3):
                await wire.writer.drain()
            sent += MB
    except TimeoutError:
        pass
    return sent


@pytest.mark.parametrize("tls", [False, True])
async def test_each_side_holds_up_the_other(server: Server, put: Put, tls: bool) -> None:
    stalled: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def flood(wire: Wire) -> None:
        await wire.head()
        await wire.send(AGREED)
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        stalled.set_result(await _stalls(wire))
        await asyncio.Event().wait()

    await put("app", flood)
    async with upgraded(server, tls=tls) as wire:
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        assert await _stalls(wire) < 20 * MB
        assert await stalled < 20 * MB
    # Nor does a side that is held up keep the rest alive.
    await server.call(lambda: server.gateway.close_session("app"))
    await server.until(lambda: server.gateway.metrics()["app"].open_upgrades == 0)


@pytest.mark.parametrize("tls", [False, True])
async def test_much_passes_and_nothing_is_lost(server: Server, put: Put, tls: bool) -> None:
    async def digest(wire: Wire) -> None:
        await wire.head()
        await wire.send(AGREED)
        for _ in range(20):
            await wire.send(await wire.reader.readexactly(MB))

    await put("app", digest)
    blocks = [bytes([n]) * MB for n in range(20)]
    async with upgraded(server, tls=tls) as wire:

        async def send() -> None:
            for block in blocks:
                await wire.send(block)

        sending = asyncio.create_task(send())
        received = await wire.reader.readexactly(20 * MB)
        await sending
    assert hashlib.sha256(received).digest() == hashlib.sha256(b"".join(blocks)).digest()


async def test_activity_is_what_is_no_keepalive(server: Server, put: Put) -> None:
    async def answer(wire: Wire) -> None:
        await wire.head()
        await wire.send(AGREED.replace(b"thing/2", b"websocket"))
        while data := await wire.reader.read(1000):
            await wire.send(b"\x8a\x00" if data[0] == 0x89 else data)

    await put("app", answer)
    async with upgraded(server) as wire:
        before = await server.call(lambda: server.gateway.last_activity("app"))
        await wire.send(b"\x89\x80mask")
        assert await wire.reader.readexactly(2) == b"\x8a\x00"
        await server.until(lambda: server.gateway.metrics()["app"].bytes_in == 6)
        assert await server.call(lambda: server.gateway.last_activity("app")) == before
        await wire.send(b"\x82\x80mask")
        await wire.reader.readexactly(6)
        # The helper tells once a second.
        await server.until(lambda: server.gateway.last_activity("app") != before)
        metrics = (await server.call(server.gateway.metrics))["app"]
        assert (metrics.bytes_in, metrics.bytes_out) == (12, 8)
        assert metrics.open_upgrades == 1
        assert metrics.open_requests == 0


@pytest.mark.parametrize("tls", [False, True])
async def test_a_real_websocket(server: Server, tmp_path: Path, tls: bool) -> None:
    async def repeat(socket: ServerConnection) -> None:
        assert socket.subprotocol == "b"
        async for message in socket:
            await socket.send(message)

    path = str(tmp_path / "ws.sock")
    async with unix_serve(repeat, path, subprotocols=[websockets.Subprotocol("b")], max_size=None):
        server.table.found["app"] = Route("app", server.url("app", ""), Address.unix(path))
        where = f"wss://localhost:{server.tls_port}" if tls else f"ws://localhost:{server.port}"
        async with connect(
            f"{where}{server.url('app')}",
            additional_headers={"Authorization": f"token {TOKEN}"},
            subprotocols=[websockets.Subprotocol("a"), websockets.Subprotocol("b")],
            ssl=server.tls if tls else None,
            host="127.0.0.1",
            max_size=None,
        ) as socket:
            assert socket.subprotocol == "b"
            for message in ("hi", b"\0\xff", "x" * 300_000, b"y" * 2 * MB):
                await socket.send(message)
                assert await socket.recv() == message
            await (await socket.ping())
    del server.table.found["app"]
