"""Much at once, and slow peers: others are served, memory is bounded, nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import psutil
import pytest

from tests.gateway.conftest import BASE, Put
from tests.gateway.harness import Server, Wire
from tests.gateway.strict import Message
from tests.gateway.torture import HOST, LOGIN, PLACES, Client, Recorder, arrive, get, head, requests

MB = 1024 * 1024
BOUND = 20.0
TWO_PLACES = ("first", "second")
API = b"\r\n".join([f"GET {BASE}api HTTP/1.1".encode(), HOST, LOGIN, b"", b""])


def _memory() -> int:
    return int(psutil.Process().memory_info().rss)


async def _others(server: Server, path: str = "/other") -> None:
    """Somebody else's requests, each of which has to be answered soon."""
    async with await Client.to(server.port) as client:
        for _ in range(20):
            async with asyncio.timeout(BOUND):
                assert (await client.ask(get(path))).status == 200


async def _stalls(server: Server, done: Callable[[], int]) -> int:
    """Wait until `done` no longer grows while others are served."""
    counts = [-1]
    async with asyncio.timeout(BOUND):
        while len(counts) < 4 or len(set(counts[-3:])) > 1:
            await _others(server)
            counts.append(done())
    return counts[-1]


@asynccontextmanager
async def _sending(client: Client, block: bytes, size: int) -> AsyncIterator[Callable[[], int]]:
    """Send up to `size` bytes meanwhile; gives what tells how many went."""
    sent = 0

    async def send() -> None:
        nonlocal sent
        while sent < size:
            await client.send(block)
            sent += len(block)

    task = asyncio.create_task(send())
    yield lambda: sent
    task.cancel()
    await asyncio.wait([task])


async def _until_idle(server: Server) -> None:
    await server.until(lambda: server.gateway.metrics()["app"].open_requests == 0)


# Pipelining


@pytest.mark.parametrize("place", PLACES)
async def test_a_hundred_at_once_are_answered_in_order(
    server: Server, put: Put, place: str
) -> None:
    recorder = Recorder()
    await put("app", recorder)
    async with await Client.to(server.port) as client:
        await arrive(client, place, b"".join(get(f"/{n}") for n in range(100)))
        for n in range(100):
            answer = await client.answer()
            assert answer is not None
            assert answer.body == f"GET /{n}".encode()
    assert recorder.saw("/warm-up") == tuple(f"GET /{n}" for n in range(100))


@pytest.mark.parametrize("place", PLACES)
async def test_a_mixed_hundred_is_answered_in_order(server: Server, put: Put, place: str) -> None:
    """With bodies, chunks, Jupyter's own in between, and cut where nobody would."""
    await put("app", Recorder())
    kinds: list[tuple[Callable[[int], bytes], Callable[[int], bytes]]] = [
        (lambda n: get(f"/{n}"), lambda n: b"GET /%d" % n),
        (lambda n: API, lambda n: b'{"version'),
        (
            lambda n: head(b"Content-Length: 3", first=f"PUT {{}}/{n} HTTP/1.1") + b"abc",
            lambda n: b"PUT /%d b'abc'" % n,
        ),
        (
            lambda n: (
                head(b"Transfer-Encoding: chunked", first=f"POST {{}}/{n} HTTP/1.1")
                + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
            ),
            lambda n: b"POST /%d b'abc'" % n,
        ),
    ]
    data = b"".join(kinds[n * n % 4 if n % 3 else 2][0](n) for n in range(100))
    async with await Client.to(server.port) as client:
        await arrive(client, place, data, pieces=range(1, len(data), 777))
        for n in range(100):
            answer = await client.answer()
            assert answer is not None
            assert answer.status == 200
            assert answer.body.startswith(kinds[n * n % 4 if n % 3 else 2][1](n))


@pytest.mark.parametrize("place", TWO_PLACES)
async def test_who_only_asks_and_never_listens_is_held_up(
    server: Server, put: Put, place: str
) -> None:
    asked = 0
    block = bytes(100_000)

    async def talk(wire: Wire) -> None:
        nonlocal asked
        async for request in requests(wire):
            asked += request.said == "GET /case"
            body = block if request.said == "GET /case" else b""
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    await put("app", talk)
    before = _memory()
    async with await Client.to(server.port) as client:
        await arrive(client, place, get("/case"))
        async with _sending(client, get("/case") * 2000, 100 * MB) as sent:
            assert await _stalls(server, lambda: asked) * len(block) < 20 * MB
            assert sent() < 20 * MB
            assert _memory() - before < 20 * MB
    await _until_idle(server)


@pytest.mark.parametrize("place", TWO_PLACES)
async def test_who_asks_faster_than_it_is_answered_is_held_up(
    server: Server, put: Put, place: str
) -> None:
    """Each answer makes room for one more request, not for all that the client may say."""
    await put("app", Recorder())
    await _others(server)
    before = _memory()
    async with await Client.to(server.port) as client:
        await arrive(client, place, get("/case"))
        async with _sending(client, get("/case") * 2000, 100 * MB) as sent:
            for _ in range(400):
                answer = await client.answer()
                assert answer is not None
                assert answer.body == b"GET /case"
            assert sent() < 20 * MB
            assert _memory() - before < 15 * MB
    await _until_idle(server)


# Slow peers


@asynccontextmanager
async def _many(server: Server, count: int) -> AsyncIterator[list[Client]]:
    async with AsyncExitStack() as stack:
        clients = [await Client.to(server.port) for _ in range(count)]
        for client in clients:
            await stack.enter_async_context(client)
        yield clients


@pytest.mark.parametrize("place", TWO_PLACES)
@pytest.mark.parametrize("part", ["head", "body"])
async def test_slowloris(server: Server, put: Put, place: str, part: str) -> None:
    """Hundreds of clients, each of which says a byte now and then."""
    recorder = Recorder()
    app = await put("app", recorder)
    await _others(server)
    files = psutil.Process().num_fds()
    before = _memory()
    start = head(b"Content-Length: 1000") if part == "body" else head()[:-2] + b"X: "
    async with _many(server, 200) as clients:
        for client in clients:
            await arrive(client, place, start)
        for _ in range(5):
            for client in clients:
                await client.send(b"y")
            await _others(server)
        assert _memory() - before < 25 * MB
        assert not any(client.buffer or client.ended for client in clients)
    await _until_idle(server)
    await server.call(lambda: server.gateway.forget_session("app"))
    async with asyncio.timeout(BOUND):
        await asyncio.gather(*app.tasks)
        while psutil.Process().num_fds() > files:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.005)
    assert not any("/case" in said for said in recorder.saw())


@pytest.mark.parametrize("place", TWO_PLACES)
@pytest.mark.parametrize("coding", ["length", "chunked", "close"])
async def test_a_client_that_never_reads(server: Server, put: Put, place: str, coding: str) -> None:
    size = 100 * MB
    sent = 0
    over = asyncio.Event()

    async def send(wire: Wire, request: Message) -> None:
        nonlocal sent
        field = {
            "length": b"Content-Length: %d\r\n" % size,
            "chunked": b"Transfer-Encoding: chunked\r\n",
            "close": b"",
        }[coding]
        await wire.send(b"HTTP/1.1 200 OK\r\n" + field + b"\r\n")
        block = bytes(MB // 4)
        framed = b"%x\r\n%b\r\n" % (len(block), block) if coding == "chunked" else block
        while sent < size:
            await wire.send(framed)
            sent += len(block)

    async def app(wire: Wire) -> None:
        async for request in requests(wire):
            if request.said != "GET /case":
                await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                continue
            try:
                await send(wire, request)
            finally:
                over.set()

    await put("app", app)
    await _others(server)
    before = _memory()
    async with await Client.to(server.port) as client:
        await arrive(client, place, get("/case"))
        assert await _stalls(server, lambda: sent) < 20 * MB
        assert _memory() - before < 15 * MB
    # Once it has gone, so has all that was for it.
    async with asyncio.timeout(BOUND):
        await over.wait()
    await _until_idle(server)


def _stuck() -> Callable[[Wire], Awaitable[None]]:
    """An app that reads nothing of what goes to /case."""

    async def app(wire: Wire) -> None:
        while True:
            request = await wire.head()
            if "/case" in request.first:
                wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
                await asyncio.Event().wait()
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    return app


BLOCK = bytes(MB // 4)
UPLOAD = {
    "length": (head(b"Content-Length: %d" % (100 * MB)), BLOCK),
    "chunked": (head(b"Transfer-Encoding: chunked"), b"%x\r\n%b\r\n" % (len(BLOCK), BLOCK)),
}


@pytest.mark.parametrize("place", TWO_PLACES)
@pytest.mark.parametrize("coding", UPLOAD)
async def test_an_app_that_never_reads(server: Server, put: Put, place: str, coding: str) -> None:
    app = await put("app", _stuck())
    start, block = UPLOAD[coding]
    await _others(server)
    before = _memory()
    async with await Client.to(server.port) as client:
        await arrive(client, place, start)
        async with _sending(client, block, 100 * MB) as sent:
            assert await _stalls(server, sent) < 20 * MB
            assert _memory() - before < 15 * MB
            for wire in app.wires:
                wire.writer.transport.abort()
        await _until_idle(server)


async def test_a_client_that_dies_while_its_upload_is_held_up(server: Server, put: Put) -> None:
    await put("app", _stuck())
    start, block = UPLOAD["length"]
    async with await Client.to(server.port) as client:
        await arrive(client, "second", start)
        async with _sending(client, block, 100 * MB) as sent:
            await _stalls(server, sent)
        client.reset()
    await _until_idle(server)
