"""Requests and answers, as they pass."""

from __future__ import annotations

import asyncio
import gc
import os
import ssl
from pathlib import Path

import pytest

from jupyter_sessions.routes import Address, Route
from tests.gateway.conftest import Put
from tests.gateway.harness import (
    App,
    Fields,
    Server,
    Wire,
    echo,
    request,
    says,
    seen,
)

MB = 1024 * 1024


# What passes


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


# Streaming


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


# Framing


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


# Failures


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


# Connections


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
