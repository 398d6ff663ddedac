"""How long connections live: kept, repeated, dropped, and counted."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from jupyter_sessions.routes import Route
from tests.gateway.conftest import Put
from tests.gateway.harness import (
    App,
    Server,
    Wire,
    echo,
    request,
    says,
)

MB = 1024 * 1024


async def test_a_kept_connection_that_died_is_replaced_once(server: Server, put: Put) -> None:
    """The app hangs up when the next request comes, as one does whose keep-alive ran out."""
    requests = []

    async def one_each(wire: Wire) -> None:
        requests.append((await wire.head()).first[:4])
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        requests.append((await wire.head()).first[:4])

    app = await put("app", one_each)
    for n in (1, 2, 3):
        assert (await server.fetch(server.url("app"))).body == b"hi"
        assert app.connections == n
    # What may not be repeated does not get a kept connection in the first place.
    assert (await server.fetch(server.url("app"), "POST")).body == b"hi"
    assert app.connections == 4
    assert requests.count("POST") == 1


async def test_a_request_is_not_repeated_once_an_answer_began(server: Server, put: Put) -> None:
    requests = 0

    async def stutter(wire: Wire) -> None:
        nonlocal requests
        await wire.head()
        requests += 1
        if requests == 1:
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
            await wire.head()
            requests += 1
            await wire.send(b"HTTP/1.1 2")

    await put("app", stutter)
    assert (await server.fetch(server.url("app"))).status == 200
    assert (await server.fetch(server.url("app"))).status == 503
    assert requests == 2


async def test_a_client_that_hangs_up_frees_the_app(server: Server, put: Put) -> None:
    arrived, freed = asyncio.Event(), asyncio.Event()

    async def listen(wire: Wire) -> None:
        head = await wire.head()
        arrived.set()
        if head.first.startswith("GET"):
            await wire.send(b"HTTP/1.1 200 OK\r\n\r\nhi")
        await wire.closed()
        freed.set()

    await put("app", listen)
    for waits_for, head in (
        (b"hi", request(server.url("app"))),
        (b"", request(server.url("app"), "PUT", [("Content-Length", "5")])),
        (b"", request(server.url("app"), "DELETE")),
    ):
        arrived.clear()
        freed.clear()
        async with await server.connect() as wire:
            await wire.send(head)
            await arrived.wait()
            if waits_for:
                await wire.reader.readuntil(waits_for)
        await freed.wait()
    await server.until(lambda: server.gateway.metrics()["app"].open_requests == 0)


@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 413 Large\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 413 Large\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
])  # fmt: skip
async def test_an_early_answer_closes_the_connection(
    server: Server, put: Put, answer: bytes
) -> None:
    async def refuse(wire: Wire) -> None:
        await wire.head()
        await wire.send(answer)

    await put("app", refuse)
    async with await server.connect() as wire:
        fields = [("Content-Length", str(4 * MB))]
        await wire.send(request(server.url("app"), "PUT", fields))
        reply = await wire.reply()
        assert (reply.status, reply.body) == (413, b"no")
        assert reply.get("connection") == "close"
        # The rest of the upload is not mistaken for a request.
        wire.writer.write(bytes(4 * MB) + request(server.url("app")))
        assert await wire.closed() == b""


async def test_an_app_that_dies_during_an_upload(server: Server, put: Put) -> None:
    async def die(wire: Wire) -> None:
        await wire.head()
        await wire.reader.readexactly(10)

    await put("app", die)
    reply = await server.fetch(server.url("app"), "PUT", body=bytes(4 * MB))
    assert reply.status == 503


async def test_closing_a_session_drops_its_requests(server: Server, put: Put) -> None:
    ended: asyncio.Queue[None] = asyncio.Queue()

    async def hang(wire: Wire) -> None:
        head = await wire.head()
        if head.first == "GET /body HTTP/1.1":
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi")
        await wire.closed()
        ended.put_nowait(None)

    await put("app", hang)
    await put("other", echo)
    async with await server.connect() as one, await server.connect() as two:
        await one.send(request(server.url("app", "/body")))
        await one.reader.readuntil(b"hi")
        await two.send(request(server.url("app", "/head")))
        await server.until(lambda: server.gateway.metrics()["app"].open_requests == 2)
        await server.call(lambda: server.gateway.close_session("other"))
        await server.call(lambda: server.gateway.close_session("app"))
        await one.closed()
        assert await two.closed() == b""
        for _ in range(2):
            await ended.get()
    await server.until(lambda: server.gateway.metrics()["app"].open_requests == 0)


async def test_closing_a_session_drops_what_is_kept(server: Server, put: Put) -> None:
    app = await put("app", echo)
    await server.fetch(server.url("app"))
    await server.call(lambda: server.gateway.close_session("app"))
    await server.fetch(server.url("app"))
    assert app.connections == 2


async def test_a_kept_connection_does_not_outlive_a_new_address(server: Server, put: Put) -> None:
    await put("app", says(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold"))
    assert (await server.fetch(server.url("app"))).body == b"old"
    new = App(says(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew"))
    address = await new.start_tcp()
    server.table.found["app"] = Route("app", server.url("app", ""), address)
    assert (await server.fetch(server.url("app"))).body == b"new"
    await new.stop()


async def test_an_app_behind_tls(server: Server, put: Put, server_tls: ssl.SSLContext) -> None:
    app = await put("app", echo, tls=server_tls)
    for _ in range(2):
        assert (await server.fetch(server.url("app"))).status == 200
    assert app.connections == 1


async def test_metrics(server: Server, put: Put) -> None:
    await put("app", echo)
    assert await server.call(lambda: server.gateway.last_activity("app")) is None
    reply = await server.fetch(server.url("app"), "POST", body=b"12345")
    await server.until(lambda: server.gateway.metrics()["app"].open_requests == 0)
    metrics = (await server.call(server.gateway.metrics))["app"]
    assert metrics.requests == 1
    assert metrics.failures == 0
    assert metrics.bytes_in == 5
    assert metrics.bytes_out == len(reply.body)
    assert metrics.wait_seconds > 0
    assert await server.call(lambda: server.gateway.last_activity("app")) == metrics.last_activity


async def test_closing_the_gateway_drops_everything(server: Server, put: Put) -> None:
    ended: asyncio.Queue[None] = asyncio.Queue()

    async def hang(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\n\r\nhi")
        await wire.closed()
        ended.put_nowait(None)

    await put("app", hang)
    async with await server.connect() as wire:
        await wire.send(request(server.url("app")))
        await wire.reader.readuntil(b"hi")
        await asyncio.wrap_future(
            asyncio.run_coroutine_threadsafe(server.gateway.close(), server.loop)
        )
        await ended.get()
        await wire.closed()
