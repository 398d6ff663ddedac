"""What an app may answer, as a table: what passes, what is cut, and what poisons nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from tests.gateway.conftest import Put
from tests.gateway.harness import Server, Wire
from tests.gateway.torture import (
    PLACES,
    Client,
    Recorder,
    arrive,
    get,
    head,
    requests,
    settle,
    start_afresh,
)

OK = b"HTTP/1.1 200 OK\r\n"
HI = b"Content-Length: 2\r\n\r\nhi"
TE = b"Transfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"2\r\nhi\r\n0\r\n\r\n"
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


class Script(Recorder):
    """A `Recorder` that answers ``/case`` with given bytes, and may hang up then."""

    def __init__(self, case: bytes, *, close: bool) -> None:
        super().__init__()
        self.case = case
        self.close = close

    async def __call__(self, wire: Wire) -> None:
        async for request in requests(wire):
            self.requests.append(request)
            path = request.said.split(" ")[1]
            if path == "/case":
                await wire.send(self.case)
                if self.close:
                    return
            else:
                await wire.send(self.answer(request))


@dataclass(frozen=True)
class Got:
    """What a client gets.

    Parameters
    ----------
    whole
        False if the answer broke off; then the connection ended too.
    stays
        True if the client's connection can be used again.
    kept
        True if the app's connection was used again.
    """

    status: int
    body: bytes
    whole: bool = True
    stays: bool = True
    kept: bool = True


HELLO = Got(200, b"hi")
EMPTY = Got(200, b"")
POISONED = replace(HELLO, kept=False)
CUT = Got(200, b"", whole=False, stays=False, kept=False)
NO_ANSWER = Got(503, b"", kept=False)

Case = tuple[str, bytes, Got]

GOOD: dict[str, Case] = {
    "length": ("GET", OK + HI, HELLO),
    "length in other case": ("GET", OK + b"cONTENT-lENGTH:2\r\n\r\nhi", HELLO),
    "chunks": ("GET", OK + TE + CHUNKS, HELLO),
    "chunks in other case": ("GET", OK + b"transfer-encoding:CHUNKED\r\n\r\n" + CHUNKS, HELLO),
    "capital size": ("GET", OK + TE + b"A\r\n0123456789\r\n0\r\n\r\n", Got(200, b"0123456789")),
    "leading zeros": ("GET", OK + TE + b"0002\r\nhi\r\n000\r\n\r\n", HELLO),
    "extension": ("GET", OK + TE + b"2;a=b\r\nhi\r\n0;c\r\n\r\n", HELLO),
    "quoted extension": ("GET", OK + TE + b'2;a="b;c"\r\nhi\r\n0\r\n\r\n', HELLO),
    "trailer": ("GET", OK + TE + b"2\r\nhi\r\n0\r\nX: y\r\nZ: 1\r\n\r\n", HELLO),
    "no reason": ("GET", b"HTTP/1.1 200 \r\n" + HI, HELLO),
    "no space either": ("GET", b"HTTP/1.1 200\r\n" + HI, HELLO),
    "8-bit reason": ("GET", b"HTTP/1.1 200 \xe9\r\n" + HI, HELLO),
    "unknown status": ("GET", b"HTTP/1.1 299 Odd\r\n" + HI, Got(299, b"hi")),
    "304 with a length": ("GET", b"HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\n", Got(304, b"")),
    "304 with chunks": ("GET", b"HTTP/1.1 304 Same\r\n" + TE, Got(304, b"")),
    "204": ("GET", b"HTTP/1.1 204 None\r\n\r\n", Got(204, b"")),
    "204 with length zero": (
        "GET", b"HTTP/1.1 204 None\r\nContent-Length: 0\r\n\r\n", Got(204, b"")
    ),
    "205": ("GET", b"HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n", Got(205, b"")),
    "HEAD with a length": ("HEAD", OK + b"Content-Length: 5\r\n\r\n", EMPTY),
    "HEAD with chunks": ("HEAD", OK + TE, EMPTY),
    "HEAD with nothing": ("HEAD", OK + b"\r\n", EMPTY),
    "100": ("GET", b"HTTP/1.1 100 Go\r\n\r\n" + OK + HI, HELLO),
    "102, 103, 103, 199": (
        "GET",
        b"HTTP/1.1 102 Busy\r\n\r\n" + b"HTTP/1.1 103 Hint\r\nLink: </x>\r\n\r\n" * 2
        + b"HTTP/1.1 199 Odd\r\n\r\n" + OK + HI,
        HELLO,
    ),
    "1xx with a length": (
        "GET", b"HTTP/1.1 100 Go\r\nContent-Length: 5\r\n\r\n" + OK + HI, HELLO
    ),
    "a head of 60 KB": ("GET", OK + b"X: " + b"y" * 60_000 + b"\r\n" + HI, HELLO),
    "POST": ("POST", OK + HI, HELLO),
    "HTTP/1.0 and keep-alive": (
        "GET", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + HI, HELLO
    ),
    # The end of the connection is the end of the body, or simply announced.
    "close": ("GET", OK + b"Connection: close\r\n" + HI, POISONED),
    "close among others": ("GET", OK + b"Connection: x, close\r\n" + HI, POISONED),
    "no length": ("GET", OK + b"\r\nhi", POISONED),
    "no length, keep-alive": ("GET", OK + b"Connection: keep-alive\r\n\r\nhi", POISONED),
    "HTTP/1.0": ("GET", b"HTTP/1.0 200 OK\r\n\r\nhi", POISONED),
    "HTTP/1.0 with a length": ("GET", b"HTTP/1.0 200 OK\r\n" + HI, POISONED),
}  # fmt: skip

SURPLUS: dict[str, Case] = {
    "after a length": ("GET", OK + HI + EVIL, POISONED),
    "a line break after a length": ("GET", OK + HI + b"\r\n", POISONED),
    "after chunks": ("GET", OK + TE + CHUNKS + EVIL, POISONED),
    "a NUL after chunks": ("GET", OK + TE + CHUNKS + b"\0", POISONED),
    "after 204": ("GET", b"HTTP/1.1 204 None\r\n\r\n" + EVIL, Got(204, b"", kept=False)),
    "chunks after 204": ("GET", b"HTTP/1.1 204 None\r\n" + TE + CHUNKS, Got(204, b"", kept=False)),
    "after 304": ("GET", b"HTTP/1.1 304 Same\r\n" + HI, Got(304, b"", kept=False)),
    "a body after HEAD": ("HEAD", OK + HI, Got(200, b"", kept=False)),
    "chunks after HEAD": ("HEAD", OK + TE + CHUNKS, Got(200, b"", kept=False)),
    "after length zero": (
        "GET", OK + b"Content-Length: 0\r\n\r\n" + EVIL, Got(200, b"", kept=False)
    ),
    "after 503": (
        "GET", b"HTTP/1.1 503 No\r\n" + HI + EVIL, Got(503, b"hi", kept=False)
    ),
}  # fmt: skip

# The app closes. A body that was begun may get through, but never with an end.
BROKEN: dict[str, Case] = {
    name: ("GET", OK + data, CUT)
    for name, data in {
        "short length": b"Content-Length: 5\r\n\r\nhi",
        "no byte of the length": b"Content-Length: 5\r\n\r\n",
        "no chunk": TE,
        "half a chunk": TE + b"5\r\nhi",
        "no end of the chunk": TE + b"2\r\nhi",
        "no last chunk": TE + b"2\r\nhi\r\n",
        "half the last chunk": TE + b"2\r\nhi\r\n0",
        "no end of the last chunk": TE + b"2\r\nhi\r\n0\r\n",
        "half a trailer": TE + b"2\r\nhi\r\n0\r\nX: y\r\n",
        "0x": TE + b"0x2\r\nhi\r\n0\r\n\r\n",
        "minus": TE + b"-2\r\nhi\r\n0\r\n\r\n",
        "plus": TE + b"+2\r\nhi\r\n0\r\n\r\n",
        "space before": TE + b" 2\r\nhi\r\n0\r\n\r\n",
        "letter": TE + b"2z\r\nhi\r\n0\r\n\r\n",
        "no size": TE + b"\r\nhi\r\n0\r\n\r\n",
        "17 digits": TE + b"10000000000000002\r\nhi\r\n0\r\n\r\n",
        "LF after the size": TE + b"2\nhi\r\n0\r\n\r\n",
        "LF after the data": TE + b"2\r\nhi\n0\r\n\r\n",
        "nothing after the data": TE + b"2\r\nhi0\r\n\r\n",
        "too short a size": TE + b"1\r\nhi\r\n0\r\n\r\n",
        "LF at the end": TE + b"2\r\nhi\r\n0\r\n\n",
        "trailer with a length": TE + b"2\r\nhi\r\n0\r\nContent-Length: 9\r\n\r\n",
        "extension with LF": TE + b"2;a\nb\r\nhi\r\n0\r\n\r\n",
        "extension without an end": TE + b"2;" + b"a" * 100_000,
        "trailer without an end": TE + b"2\r\nhi\r\n0\r\nX: " + b"a" * 100_000,
        "many trailers": TE + b"2\r\nhi\r\n0\r\n" + b"X: y\r\n" * 200_000 + b"\r\n",
    }.items()
}

# The app closes. Its answer is not HTTP/1.1, or can be read in two ways.
INVALID: dict[str, Case] = {
    name: ("GET", data, NO_ANSWER)
    for name, data in {
        "nothing": b"",
        "half a line": b"HTTP/1.1 2",
        "half a head": OK + b"Content-Len",
        "no end of the head": OK + b"Content-Length: 2\r\n",
        "only 100": b"HTTP/1.1 100 Go\r\n\r\n",
        "17 informational ones": b"HTTP/1.1 103 Hint\r\n\r\n" * 17 + OK + HI,
        "101 without being asked": b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
        "SSH": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "TLS": b"\x15\x03\x01\0\x02\x02\x16\r\n\r\n",
        "text": b"hello\r\n\r\n",
        "HTTP/0.9": b"<html>hello</html>\r\n\r\n",
        "HTTP/2": b"HTTP/2 200\r\n" + HI,
        "HTTP/2.0": b"HTTP/2.0 200 OK\r\n" + HI,
        "HTTP/1.2": b"HTTP/1.2 200 OK\r\n" + HI,
        "ICY": b"ICY 200 OK\r\n" + HI,
        "small letters": b"http/1.1 200 OK\r\n" + HI,
        "two spaces": b"HTTP/1.1  200 OK\r\n" + HI,
        "a tab": b"HTTP/1.1\t200 OK\r\n" + HI,
        "a space before": b" HTTP/1.1 200 OK\r\n" + HI,
        "a line break before": b"\r\nHTTP/1.1 200 OK\r\n" + HI,
        "no status": b"HTTP/1.1 OK\r\n" + HI,
        "status of two digits": b"HTTP/1.1 20 OK\r\n" + HI,
        "status of four digits": b"HTTP/1.1 2000 OK\r\n" + HI,
        "status 000": b"HTTP/1.1 000 OK\r\n" + HI,
        "status 099": b"HTTP/1.1 099 OK\r\n" + HI,
        "status 600": b"HTTP/1.1 600 OK\r\n" + HI,
        "status with a sign": b"HTTP/1.1 +20 OK\r\n" + HI,
        "NUL in the reason": b"HTTP/1.1 200 O\0K\r\n" + HI,
        "CR in the reason": b"HTTP/1.1 200 O\rK\r\n" + HI,
        "LF after the line": b"HTTP/1.1 200 OK\n" + HI,
        "LF after each line": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
        "LF in a field": OK + b"X: a\nY: b\r\n" + HI,
        "CR in a field": OK + b"X: a\rb\r\n" + HI,
        "NUL in a field": OK + b"X: a\0b\r\n" + HI,
        "folded": OK + b"X: a\r\n b\r\n" + HI,
        "no colon": OK + b"X\r\n" + HI,
        "empty name": OK + b": x\r\n" + HI,
        "space before the colon": OK + b"Content-Length : 2\r\n\r\nhi",
        "space in the name": OK + b"X Y: z\r\n" + HI,
        "8-bit name": OK + b"\xe9: x\r\n" + HI,
        "both framings": OK + b"Content-Length: 2\r\n" + TE + CHUNKS,
        "both framings, other order": OK + b"Transfer-Encoding: chunked\r\n" + HI,
        "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!",
        "a length twice": OK + b"Content-Length: 2\r\n" + HI,
        "a list of lengths": OK + b"Content-Length: 2, 2\r\n\r\nhi",
        "a signed length": OK + b"Content-Length: +2\r\n\r\nhi",
        "a negative length": OK + b"Content-Length: -2\r\n\r\nhi",
        "a hexadecimal length": OK + b"Content-Length: 0x2\r\n\r\nhi",
        "an empty length": OK + b"Content-Length:\r\n\r\nhi",
        "a huge length": OK + b"Content-Length: 18446744073709551618\r\n\r\nhi",
        "gzip, chunked": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKS,
        "identity": OK + b"Transfer-Encoding: identity\r\n\r\nhi",
        "chunked twice": OK + b"Transfer-Encoding: chunked\r\n" + TE + CHUNKS,
        "xchunked": OK + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKS,
        "chunks in HTTP/1.0": b"HTTP/1.0 200 OK\r\n" + TE + CHUNKS,
        "a head of 70 KB": OK + b"X: " + b"y" * 70_000 + b"\r\n" + HI,
        "a head without an end": OK + b"y" * 200_000,
        "informational heads of 70 KB": b"HTTP/1.1 103 H\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    }.items()
}


def _params() -> list[object]:
    tables = {"good": GOOD, "surplus": SURPLUS, "broken": BROKEN, "invalid": INVALID}
    return [
        pytest.param(*case, id=f"{table} - {name}")
        for table, cases in tables.items()
        for name, case in cases.items()
    ]


async def _next(client: Client) -> bool:
    """True if the connection serves one more request, with that request's own answer."""
    await client.send(get("/next"))
    answer = await client.answer()
    if answer is None:
        return False
    assert (answer.status, answer.body) == (200, b"GET /next")
    return True


@pytest.mark.parametrize(("method", "answer", "expected"), _params())
async def test_answers(server: Server, put: Put, method: str, answer: bytes, expected: Got) -> None:
    # Where the answer says how long it is, it is for us to hang up.
    unbounded = b"length" not in answer.lower() and answer.endswith(b"\r\n\r\nhi")
    script = Script(answer, close=unbounded or expected in (CUT, NO_ANSWER))
    app = await put("app", script)
    for place in PLACES:
        await start_afresh(server)
        script.requests.clear()
        before = app.connections
        async with await Client.to(server.port) as client:
            await arrive(client, place, head(first=method + " {}/case HTTP/1.1"))
            got = await client.answer(method)
            assert got is not None, place
            stays = await _next(client)
            # Whatever came, others are not affected.
            async with await Client.to(server.port) as other:
                assert await _next(other), place
            if stays:
                assert await _next(client), place
        await settle(server)
        body = b"" if expected in (CUT, NO_ANSWER) else got.body
        used = 2 if method == "POST" and place != "first" else 1
        kept = app.connections == before + used
        assert Got(got.status, body, got.complete, stays, kept) == expected, place
        # A kept connection that ends without a byte has ended before the request came.
        repeated = not answer and place != "first"
        assert [r.said.split(" ")[1] for r in script.requests].count("/case") == 1 + repeated
