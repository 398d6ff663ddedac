"""Who may hang up when: retries, early answers, half-closed connections, resets."""

from __future__ import annotations

import asyncio

import pytest

from jupyter_sessions.routes import Route
from tests.gateway.conftest import Put
from tests.gateway.harness import App, Server, Wire
from tests.gateway.strict import take_request
from tests.gateway.torture import (
    MARKER,
    PLACES,
    Client,
    Recorder,
    arrive,
    get,
    hang_up,
    head,
    requests,
    settle,
    tcp_app,
)

MB = 1024 * 1024
HI = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


# Retries

REPEATABLE = {"GET": 2, "HEAD": 2}
ASKED = [
    ("GET", b""), ("HEAD", b""), ("OPTIONS", b""), ("DELETE", b""), ("POST", b""), ("PUT", b"abc"),
    ("GET", b"abc"), ("PATCH", b"abc"), ("PROPFIND", b""),
]  # fmt: skip


def _ask(method: str, body: bytes) -> bytes:
    fields = [b"Content-Length: %d" % len(body)] if body else []
    return head(*fields, first=method + " {}/case HTTP/1.1") + body


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("method", "body"), ASKED)
@pytest.mark.parametrize("reset", [False, True], ids=["fin", "reset"])
async def test_a_dead_connection_is_tried_once_more_for_what_may_be_repeated(
    server: Server, place: str, method: str, body: bytes, reset: bool
) -> None:
    """The app hangs up on every request for /case, whatever the connection."""
    asked = 0

    async def die(wire: Wire) -> None:
        nonlocal asked
        async for request in requests(wire):
            if request.said.split(" ")[1] == "/case":
                asked += 1
                hang_up(wire, reset=reset)
                return
            await wire.send(HI)

    async with tcp_app(server, die), await Client.to(server.port) as client:
        assert (await client.ask(get("/warm-up"))).status == 200
        await arrive(client, place, _ask(method, body))
        answer = await client.answer(method)
        assert answer is not None
        assert answer.status == 503
        # The client's connection is as good as before.
        assert (await client.ask(get("/next"))).body == b"hi"
        await settle(server)
    # The first attempt was on the connection that was kept since the warm-up.
    assert asked == (2 if method in REPEATABLE and not body else 1)


@pytest.mark.parametrize("place", PLACES)
async def test_nothing_is_tried_again_on_a_new_connection(server: Server, place: str) -> None:
    asked = 0

    async def die(wire: Wire) -> None:
        nonlocal asked
        async for request in requests(wire):
            if request.said == "GET /case":
                asked += 1
                return
            await wire.send(HI.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

    async with tcp_app(server, die), await Client.to(server.port) as client:
        await arrive(client, place, get("/case"))
        answer = await client.answer()
        assert answer is not None
        assert answer.status == 503
    assert asked == 1


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_app_that_has_moved_is_found(server: Server, method: str, kept: bool) -> None:
    """Where it was nobody listens any more; nothing was sent there, so nothing is lost."""
    new = Recorder()
    moved = App(new)
    address = await moved.start_tcp()
    try:
        async with tcp_app(server, Recorder()) as app, await Client.to(server.port) as client:
            for _ in range(3):
                assert (await client.ask(get("/warm-up"))).status == 200
            await app.stop()
            server.table.found["app"] = Route("app", server.url("app", ""), address)
            async with await Client.to(server.port) as other:
                asking = client if kept else other
                assert (await asking.ask(_ask(method, b""))).status == 200
            assert new.saw() == (f"{method} /case",)
    finally:
        await moved.stop()


# Answers that come before the request's end


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("coding", ["length", "chunked"])
@pytest.mark.parametrize("end", ["stays", "fin", "reset"])
async def test_an_early_answer_gets_through(
    server: Server, place: str, coding: str, end: str
) -> None:
    """And what of the request is still to come is never taken for a request."""
    marked = False

    async def refuse(wire: Wire) -> None:
        nonlocal marked
        buffer = bytearray()
        while data := await wire.reader.read(65536):
            buffer += data
            if b"POST /case" in buffer:
                await wire.send(HI.replace(b"200 OK", b"413 No"))
                if end != "stays":
                    hang_up(wire, reset=end == "reset")
                    return
            while request := take_request(buffer):
                marked = marked or request.said == "GET /marker"
                await wire.send(HI)

    size = 4 * MB
    field = b"Content-Length: %d" % size if coding == "length" else b"Transfer-Encoding: chunked"
    async with tcp_app(server, refuse), await Client.to(server.port) as client:
        await arrive(client, place, head(field))
        answer = await client.answer()
        assert answer is not None
        # After a reset the answer may be lost on the way to us.
        assert answer.status == 413 or (end == "reset" and answer.status == 503)
        assert answer.complete
        assert answer.get("connection") == "close"
        body = bytes(size) if coding == "length" else b"400000\r\n" + bytes(size) + b"\r\n0\r\n\r\n"
        await client.send(body + MARKER)
        assert await client.rest() == b""
        await settle(server)
    assert not marked


@pytest.mark.parametrize("place", PLACES)
async def test_what_was_said_about_the_connection_holds(
    server: Server, put: Put, place: str
) -> None:
    """An answer that begins before the request's end, and ends after it, closes as it says."""

    async def converse(wire: Wire) -> None:
        said = b""
        while data := await wire.reader.read(65536):
            said += data
            if b"POST /case" not in said:
                await wire.send(HI)
                continue
            if not said.endswith(b"end"):
                await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n1")
            else:
                await wire.send(b"23")

    await put("app", converse)
    async with await Client.to(server.port) as client:
        await arrive(client, place, head(b"Content-Length: 3"))
        while b"\r\n\r\n1" not in client.buffer:
            assert await client.more()
        await client.send(b"end" + MARKER)
        answer = await client.answer()
        assert answer is not None
        assert answer.body == b"123"
        assert answer.get("connection") == "close"
        assert await client.rest() == b""


@pytest.mark.parametrize("place", PLACES)
async def test_a_marker_in_an_upload_that_nobody_wants(server: Server, place: str) -> None:
    """The session is gone: the body of what is refused holds no requests."""
    recorder = Recorder()
    async with tcp_app(server, recorder), await Client.to(server.port) as client:
        lost = head(b"Content-Length: 1000", first="POST {}x/case HTTP/1.1")
        await arrive(client, place, lost + MARKER * 3)
        answer = await client.answer()
        assert answer is not None
        assert answer.status == 404
        assert answer.get("connection") == "close"
        assert await client.rest() == b""
        await settle(server)
    assert recorder.saw("/warm-up", "/settle") == ()


# Half-closed connections


@pytest.mark.parametrize("place", PLACES)
async def test_a_half_closed_client_gets_whole_answers_or_none(
    server: Server, put: Put, place: str
) -> None:
    """It counts as gone, as for nginx: from one that is, it cannot be told."""
    recorder = Recorder()
    await put("app", recorder)
    async with await Client.to(server.port) as client:
        await arrive(client, place, b"".join(get(f"/{n}") for n in range(5)))
        client.finish()
        said = [f"GET /{n}" for n in range(5)]
        while answer := await client.answer():
            assert answer.complete
            assert answer.body.decode() == said.pop(0)
        assert client.ended
    await settle(server)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("end", ["fin", "reset"])
@pytest.mark.parametrize(
    "half",
    [head(b"Content-Length: 5") + b"abc", head(b"Transfer-Encoding: chunked") + b"3\r\nabc\r\n"],
    ids=["length", "chunked"],
)
async def test_an_upload_that_breaks_off_never_looks_complete(
    server: Server, put: Put, place: str, half: bytes, end: str
) -> None:
    recorder = Recorder()
    await put("app", recorder)

    def arrived() -> bool:
        metrics = server.gateway.metrics().get("app")
        return metrics is not None and metrics.open_requests == 1 and metrics.bytes_in == 3

    async with await Client.to(server.port) as client:
        await arrive(client, place, half)
        await server.until(arrived)
        if end == "reset":
            client.reset()
        else:
            client.finish()
            assert b" 200 " not in await client.rest()
        async with asyncio.timeout(20):
            await recorder.broken.wait()
    await settle(server)
    assert recorder.saw("/warm-up", "/settle") == ()
