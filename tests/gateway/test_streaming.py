"""Bodies of any length, in both directions, with as much memory as a piece of them."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path

from tests.gateway.conftest import Put
from tests.gateway.harness import (
    Server,
    Wire,
    echo,
    request,
    seen,
)

MB = 1024 * 1024


async def test_the_first_bytes_come_at_once(server: Server, put: Put) -> None:
    more = asyncio.Event()

    async def drip(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for _ in range(3):
            await wire.send(b"data: 1\n\n")
            await more.wait()
            more.clear()

    await put("app", drip)
    async with await server.connect() as wire:
        await wire.send(request(server.url("app"), fields=[("Accept-Encoding", "gzip")]))
        head = await wire.head()
        assert head.get("content-encoding") is None
        for _ in range(3):
            assert await wire.chunk() == b"data: 1\n\n"
            more.set()
        assert await wire.chunk() == b""


async def test_a_chunked_upload_is_framed_anew(server: Server, put: Put) -> None:
    await put("app", echo)
    async with await server.connect() as wire:
        fields = [("Transfer-Encoding", "chunked")]
        await wire.send(request(server.url("app"), "POST", fields))
        await wire.send(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        passed = seen(await wire.reply())
        assert passed.get("transfer-encoding") == "chunked"
        assert passed.get("content-length") is None
        assert passed.body == b"abcde"
        await wire.send(request(server.url("app")))
        assert (await wire.reply()).status == 200


async def test_both_directions_stream_at_the_same_time(server: Server, put: Put) -> None:
    async def shout(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while piece := await wire.chunk():
            await wire.send(b"%x\r\n%b\r\n" % (len(piece), piece.upper()))
        await wire.send(b"0\r\n\r\n")

    await put("app", shout)
    async with await server.connect() as wire:
        await wire.send(request(server.url("app"), "POST", [("Transfer-Encoding", "chunked")]))
        assert (await wire.head()).get("connection") == "close"
        for piece in (b"one", b"two"):
            await wire.send(b"3\r\n%b\r\n" % piece)
            assert await wire.chunk() == piece.upper()
        await wire.send(b"0\r\n\r\n")
        assert await wire.chunk() == b""
        assert await wire.closed() == b""  # as the head, sent before the upload's end, promised


async def test_100_continue_is_ours_to_say(server: Server, put: Put) -> None:
    await put("app", echo)
    async with await server.connect() as wire:
        fields = [("Content-Length", "2"), ("Expect", "100-continue")]
        await wire.send(request(server.url("app"), "POST", fields))
        assert (await wire.head()).status == 100
        await wire.send(b"hi")
        passed = seen(await wire.reply())
        assert passed.body == b"hi"
        assert passed.get("expect") is None


def _memory() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


async def test_a_large_download_holds_no_memory(server: Server, put: Put) -> None:
    size = 300 * MB

    async def send(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        block = bytes(MB)
        for _ in range(size // MB):
            await wire.send(block)

    await put("app", send)
    async with await server.connect() as wire:
        await wire.send(request(server.url("app")))
        await wire.head()
        gc.collect()
        before = peak = _memory()
        left = size
        while left:
            left -= len(await wire.reader.read(MB))
            peak = max(peak, _memory())
    assert peak - before < 40 * MB


async def test_a_large_upload_holds_no_memory(server: Server, put: Put) -> None:
    size = 300 * MB
    peak = 0

    async def receive(wire: Wire) -> None:
        nonlocal peak
        await wire.head()
        left = size
        while left:
            left -= len(await wire.reader.read(MB))
            peak = max(peak, _memory())
        await wire.send(b"HTTP/1.1 204 Done\r\n\r\n")

    await put("app", receive)
    async with await server.connect() as wire:
        gc.collect()
        before = _memory()
        await wire.send(request(server.url("app"), "PUT", [("Content-Length", str(size))]))
        block = bytes(MB)
        for _ in range(size // MB):
            await wire.send(block)
        assert (await wire.reply()).status == 204
    assert peak - before < 40 * MB


async def _stalls(wire: Wire, limit: int) -> int:
    """Send until nothing moves any more; how much went."""
    sent = 0
    try:
        while sent < limit:
            wire.writer.write(bytes(MB))
            async with asyncio.timeout(0.5):
                await wire.writer.drain()
            sent += MB
    except TimeoutError:
        pass
    return sent


async def test_a_slow_client_holds_up_the_app(server: Server, put: Put) -> None:
    sent: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def flood(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\n\r\n")
        sent.set_result(await _stalls(wire, 100 * MB))

    await put("app", flood)
    async with await server.connect() as wire:
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await wire.send(request(server.url("app")))
        assert await sent < 20 * MB


async def test_a_slow_app_holds_up_the_client(server: Server, put: Put) -> None:
    async def sleep(wire: Wire) -> None:
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    await put("app", sleep)
    async with await server.connect() as wire:
        fields = [("Content-Length", str(100 * MB))]
        await wire.send(request(server.url("app"), "PUT", fields))
        assert await _stalls(wire, 100 * MB) < 20 * MB
