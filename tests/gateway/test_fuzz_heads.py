"""Heads that nobody thought of: whatever comes, one strict request reaches the app, or none."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jupyter_sessions.gateway.framing import BadMessage, check_request
from jupyter_sessions.gateway.urls import SessionUrls
from tests.gateway.conftest import BASE, Put
from tests.gateway.harness import TOKEN, Server
from tests.gateway.torture import (
    HOST,
    LOGIN,
    MARKER,
    Client,
    Recorder,
    arrive,
    get,
    settle,
    start_afresh,
)

# What heads are made of, whole and broken.
PIECES = [
    b"\r\n", b"\n", b"\r", b"\r\n ", b" ", b"\t", b":", b": ", b",", b";", b"\0", b"\x0b", b"\xa0",
    b"\xff", b"%", b"%00", b"#", b"?", b"/", b"0", b"3", b"-1", b"+", b"chunked", b"identity",
    b"Transfer-Encoding", b"Transfer-Encoding: chunked\r\n", b"Content-Length", b"close",
    b"Content-Length: 3\r\n", b"Content-Length: 0\r\n", b"Host: x\r\n", b"Connection: close\r\n",
    b"Connection: Upgrade\r\nUpgrade: x\r\n", b"Expect: 100-continue\r\n", b"Connection: ", b"X: ",
    b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"GET ", b"0\r\n\r\n", b"3\r\nabc\r\n", b"abc",
    f"token={TOKEN}".encode(), LOGIN + b"\r\n",
]  # fmt: skip
START = f"{BASE}sessions/app/case"
HEADS = [
    b"\r\n".join([f"{line} HTTP/1.1".encode(), HOST, LOGIN, *fields, b"", b""]) + body
    for line, fields, body in [
        (f"GET {START}", [], b""),
        (f"GET {START}?token={TOKEN}", [b"Cookie: a=1; _xsrf=2"], b""),
        (f"POST {START}", [b"Content-Length: 3"], b"abc"),
        (f"POST {START}", [b"Transfer-Encoding: chunked"], b"3\r\nabc\r\n0\r\n\r\n"),
        (f"GET {START}", [b"Connection: Upgrade", b"Upgrade: websocket"], b""),
        (f"GET {BASE}api", [], b""),
    ]
]


@dataclass(frozen=True)
class Edit:
    """`data` in the place of `count` bytes at a share of the whole."""

    share: float
    count: int
    data: bytes

    def __call__(self, data: bytes) -> bytes:
        at = int(self.share * len(data))
        return data[:at] + self.data + data[at + self.count :]


EDITS = st.lists(
    st.builds(
        Edit,
        st.floats(0, 1),
        st.integers(0, 12),
        st.one_of(st.sampled_from(PIECES), st.binary(max_size=3)),
    ),
    max_size=4,
)
SPLITS = st.lists(st.floats(0, 1), max_size=6)


@st.composite
def payloads(draw: st.DrawFn) -> tuple[bytes, list[int]]:
    """A head with some edits, and where to cut it in pieces."""
    data = draw(st.sampled_from(HEADS))
    for edit in draw(EDITS):
        data = edit(data)
    return data, sorted(int(share * len(data)) for share in draw(SPLITS))


async def _answers(client: Client, method: str) -> list[int]:
    """The status codes that come until the connection ends, or has nothing more to say."""
    statuses: list[int] = []
    while True:
        # Not cancelled: it may have read a part of the answer by then.
        reading = asyncio.create_task(client.answer(method))
        await asyncio.wait({reading}, timeout=0.1)
        if not reading.done():
            client.finish()  # the rest was taken for part of an endless body
        answer = await reading
        if answer is None:
            return statuses
        statuses.append(answer.status)
        if not answer.complete or answer.body == b"GET /last":
            return statuses
        method = "GET"


async def _try(server: Server, app: Recorder, place: str, data: bytes, cuts: list[int]) -> None:
    """Whatever is sent: only strict answers and requests, and never a fault of ours."""
    await start_afresh(server)
    app.requests.clear()
    app.raw.clear()
    async with await Client.to(server.port) as client:
        await arrive(client, place, data + MARKER + get("/last", b"Connection: close"), cuts)
        statuses = await _answers(client, data.split(b" ", 1)[0].decode("latin-1"))
    await settle(server)
    assert all(status < 500 for status in statuses), statuses
    # None is there twice, and what was hidden in another is not there by itself.
    asked = [said.split(" ")[1] for said in app.saw("/warm-up", "/settle")]
    assert len(asked) <= 3
    assert sum("/marker" in path for path in asked) <= 1
    assert statuses.count(200) <= 3


@pytest.mark.parametrize("place", ["first", "second", "pipelined"])
def test_any_head(
    server: Server, put: Put, place: str, jp_asyncio_loop: asyncio.AbstractEventLoop
) -> None:
    recorder = Recorder()
    loop = jp_asyncio_loop
    loop.run_until_complete(put("app", recorder))

    @settings(
        max_examples=150, deadline=None, database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip
    @given(payloads())
    def check(payload: tuple[bytes, list[int]]) -> None:
        loop.run_until_complete(_try(server, recorder, place, *payload))

    check()


LATIN = st.text(st.characters(max_codepoint=255), max_size=30)


@given(LATIN, LATIN, LATIN, st.lists(st.tuples(LATIN, LATIN), max_size=5))
def test_what_passes_the_check_has_one_reading(
    method: str, rest: str, version: str, fields: list[tuple[str, str]]
) -> None:
    target = f"{BASE}sessions/app/{rest}"
    SessionUrls(BASE).match(target)
    try:
        body = check_request(method, target, version, fields)
    except BadMessage:
        return
    line = f"{method} {target} {version}"
    assert line.split(" ") == [method, target, version]
    assert line.isprintable() or not any(c < " " or c == "\x7f" for c in line)
    named = [name.lower() for name, _ in fields]
    assert named.count("content-length") + named.count("transfer-encoding") <= 1
    assert body == 0 or named.count("content-length") + named.count("transfer-encoding") == 1
