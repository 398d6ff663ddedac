"""What users of jupyter-server-proxy rely on, as its documentation and its tests have it.

Where it does otherwise itself, a comment says so.
"""

from __future__ import annotations

import asyncio
import gzip

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from jupyter_sessions.routes import Address, Route
from tests.gateway.conftest import Put
from tests.gateway.harness import TOKEN, Server, Wire
from tests.gateway.strict import Message
from tests.gateway.torture import (
    PLACES,
    Client,
    Recorder,
    arrive,
    get,
    head,
    requests,
    tcp_app,
)

OK = b"HTTP/1.1 200 OK\r\n"
ZIPPED = gzip.compress(b"hello " * 1000)


async def _site(wire: Wire) -> None:
    """A page of each kind."""
    async for request in requests(wire):
        path = request.said.split(" ")[1].partition("?")[0]
        fields, body = {
            "/gzip": (b"Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n", ZIPPED),
            "/redirect": (b"Location: /other?a=%2F\r\n", b""),
            "/relative": (b"Location: ../up\r\n", b""),
            "/elsewhere": (b"Location: https://example.org/x\r\n", b""),
            "/large": (b"", b"x" * 3_000_000),
        }.get(path, (b"", request.said.encode("latin-1")))
        status = b"HTTP/1.1 302 Found\r\n" if b"Location" in fields else OK
        await wire.send(status + fields + b"Content-Length: %d\r\n\r\n" % len(body) + body)


async def _ask(server: Server, place: str, payload: bytes) -> Message:
    async with await Client.to(server.port) as client:
        await arrive(client, place, payload)
        answer = await client.answer()
        assert answer is not None
        assert answer.complete
        return answer


@pytest.mark.parametrize("place", PLACES)
async def test_what_is_compressed_stays_so(server: Server, put: Put, place: str) -> None:
    await put("app", _site)
    answer = await _ask(server, place, get("/gzip", b"Accept-Encoding: gzip"))
    assert answer.body == ZIPPED
    assert answer.get("content-encoding") == "gzip"
    assert answer.get("vary") == "Accept-Encoding"


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("path", "location"),
    [
        # jupyter-server-proxy puts its prefix before absolute paths too.
        ("/redirect", "/a%40b/sessions/app/other?a=%2F"),
        ("/relative", "../up"),
        ("/elsewhere", "https://example.org/x"),
    ],
)
async def test_redirects(server: Server, put: Put, place: str, path: str, location: str) -> None:
    await put("app", _site)
    assert (await _ask(server, place, get(path))).get("location") == location


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "path", ["/a%20b", "/%7E~", "/a+b", "/%E2%82%AC", "/\xe2\x82\xac", "/x%2Fy", "/a/../b", "/?"]
)
async def test_paths_are_not_decoded(server: Server, put: Put, place: str, path: str) -> None:
    # jupyter-server-proxy decodes them and encodes them anew.
    await put("app", _site)
    assert (await _ask(server, place, get(path))).body == f"GET {path}".encode("latin-1")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
async def test_methods(server: Server, put: Put, place: str, method: str) -> None:
    recorder = Recorder()
    await put("app", recorder)
    payload = head(b"Content-Length: 3", first=method + " {}/case HTTP/1.1") + b"\0\xff!"
    answer = await _ask(server, place, payload)
    assert answer.status == 200
    assert recorder.requests[-1].body == b"\0\xff!"


@pytest.mark.parametrize("place", PLACES)
async def test_large_answers(server: Server, put: Put, place: str) -> None:
    await put("app", _site)
    assert (await _ask(server, place, get("/large"))).body == b"x" * 3_000_000


@pytest.mark.parametrize("place", PLACES)
async def test_events_come_one_by_one(server: Server, place: str) -> None:
    """Each is on its way before the next is made."""
    shown = asyncio.Semaphore(0)

    async def events(wire: Wire) -> None:
        async for request in requests(wire):
            if request.said != "GET /case":
                await wire.send(OK + b"Content-Length: 0\r\n\r\n")
                continue
            await wire.send(OK + b"Content-Type: text/event-stream\r\n\r\n")
            for n in range(3):
                await wire.send(b"data: %d\n\n" % n)
                await shown.acquire()
            return

    async with tcp_app(server, events), await Client.to(server.port) as client:
        await arrive(client, place, get("/case", b"Accept: text/event-stream"))
        for n in range(3):
            while b"data: %d\n\n" % n not in client.buffer:
                assert await client.more()
            shown.release()
        while not client.buffer.endswith(b"0\r\n\r\n"):
            assert await client.more()


@pytest.mark.parametrize(
    ("offered", "supported", "chosen"),
    [
        ([], [], None),
        (["a"], ["a"], "a"),
        (["a", "b"], ["b", "a"], "a"),
        (["a"], [], None),
        ([], ["a"], None),
    ],
)
async def test_the_app_chooses_the_subprotocol(
    server: Server, offered: list[str], supported: list[str], chosen: str | None
) -> None:
    # jupyter-server-proxy 4.6 tells the client that it is the first, whatever the app says.
    def choose(connection: ServerConnection, names: object) -> Subprotocol | None:
        return next((Subprotocol(name) for name in offered if name in supported), None)

    async def repeat(socket: ServerConnection) -> None:
        async for message in socket:
            await socket.send(message)

    async with serve(repeat, "127.0.0.1", 0, select_subprotocol=choose) as app:
        port = next(iter(app.sockets)).getsockname()[1]
        address = Address.tcp("127.0.0.1", port)
        server.table.found["app"] = Route("app", server.url("app", ""), address)
        async with connect(
            f"ws://127.0.0.1:{server.port}{server.url('app', '/ws')}?token={TOKEN}",
            subprotocols=[Subprotocol(name) for name in offered] or None,
        ) as socket:
            assert socket.subprotocol == chosen
            for message in ("text", b"bytes", "\N{EURO SIGN}", "x" * 100_000):
                await socket.send(message)
                assert await socket.recv() == message
    del server.table.found["app"]
