"""The Connection field: what stays on one hop, and whether the connection goes on."""

from __future__ import annotations

import pytest

from tests.gateway.conftest import BASE, Put
from tests.gateway.harness import Server
from tests.gateway.torture import (
    HOST,
    LOGIN,
    MARKER,
    PLACES,
    Case,
    Client,
    Outcome,
    Recorder,
    arrive,
    everywhere,
    get,
    head,
    params,
    passes,
)

LAST = Outcome((200,), stays=False, saw=("GET /case",))
ON = passes("GET /case", "GET /marker")
OLD = b"\r\n".join([f"GET {BASE}sessions/app/case HTTP/1.0".encode(), HOST, LOGIN, b"", b""])

PERSISTENCE: dict[str, Case] = {
    "close": (get("/case", b"Connection: close"), LAST),
    "close in capitals": (get("/case", b"Connection: CLOSE"), LAST),
    "close among others": (get("/case", b"Connection: x, close, y"), LAST),
    "close on a second line": (get("/case", b"Connection: x", b"Connection: close"), LAST),
    "close and keep-alive": (get("/case", b"Connection: keep-alive, close"), LAST),
    "close in the name of another": (get("/case", b"Connection: closed"), ON),
    "close as a parameter": (get("/case", b'Connection: x="close"'), ON),
    "keep-alive": (get("/case", b"Connection: keep-alive"), ON),
    "nothing": (get("/case", b"Connection:"), ON),
    "only commas": (get("/case", b"Connection: , ,"), ON),
    "upgrade to nothing": (get("/case", b"Connection: Upgrade"), ON),
    "Proxy-Connection": (get("/case", b"Proxy-Connection: close"), ON),
    "close after a body": (
        head(b"Connection: close", b"Content-Length: 3") + b"abc",
        Outcome((200,), stays=False, saw=("POST /case b'abc'",)),
    ),
    "HTTP/1.0": (OLD, LAST),
    "HTTP/1.0 and keep-alive": (OLD[:-2] + b"Connection: keep-alive\r\n\r\n", ON),
    "HTTP/1.0 and close": (OLD[:-2] + b"Connection: close\r\n\r\n", LAST),
    "HTTP/1.0 and an upgrade": (
        OLD[:-2] + b"Connection: keep-alive\r\nUpgrade: x\r\n\r\n", ON
    ),
}  # fmt: skip


@pytest.mark.parametrize(("payload", "expected"), params({"connection": PERSISTENCE}))
async def test_whether_the_connection_goes_on(
    server: Server, put: Put, payload: bytes, expected: Outcome
) -> None:
    """What comes after the last request is never served (RFC 9112, 9.6)."""
    recorder = Recorder()
    await put("app", recorder)
    found = await everywhere(server, recorder, payload + MARKER, expected)
    assert found == dict.fromkeys(PLACES, expected)


OURS = {
    "host": ["localhost:8888"],
    "content-length": ["3"],
    "x-forwarded-for": ["127.0.0.1"],
    "x-forwarded-proto": ["http"],
    "x-forwarded-host": ["localhost:8888"],
    "x-forwarded-prefix": [f"{BASE}sessions/app"],
}
NAMED = [
    "Host", "Content-Length", "X-Forwarded-For", "X-Forwarded-Prefix", "Authorization", "Cookie",
    "Transfer-Encoding", "Connection", "X-Mine", "x-mine, cookie", "Host,,Content-Length",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("named", NAMED)
async def test_what_a_client_may_call_hop_by_hop(
    server: Server, put: Put, place: str, named: str
) -> None:
    """It can take its own fields from the app, but none that the app relies on."""
    recorder = Recorder()
    await put("app", recorder)
    fields = [
        f"Connection: {named}".encode(),
        b"Content-Length: 3",
        b"X-Forwarded-For: 6.6.6.6",
        b"X-Forwarded-Prefix: /evil",
        b"Cookie: mine=1",
        b"X-Mine: 1",
        b"X-Other: 1",
    ]
    async with await Client.to(server.port) as client:
        await arrive(client, place, head(*fields) + b"abc")
        answer = await client.answer()
        assert answer is not None
        assert answer.body == b"POST /case b'abc'"
    passed = recorder.requests[-1]
    assert {name: passed.all(name) for name in OURS} == OURS
    dropped = {name.strip().lower() for name in named.split(",")}
    assert passed.all("x-mine") == ([] if "x-mine" in dropped else ["1"])
    assert passed.all("cookie") == ([] if "cookie" in dropped else ["mine=1"])
    assert passed.all("x-other") == ["1"]
    assert not passed.all("connection")
    assert not passed.all("authorization")
