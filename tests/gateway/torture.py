"""Sockets that say anything, an app that takes nothing but strict HTTP/1.1, and what came of it.

A case of the conformance suite is some bytes, and the `Outcome` that they must have. It is tried at
every place of a connection where another piece of code may be the one that reads it (`PLACES`).
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, Self

import pytest
from _pytest.mark import ParameterSet

from jupyter_sessions.routes import Route
from tests.gateway.conftest import BASE
from tests.gateway.harness import TOKEN, App, Handler, Server, Wire
from tests.gateway.strict import (
    STATUS_LINE,
    Malformed,
    Message,
    framing,
    read_head,
    take_chunks,
    take_request,
)

PATIENCE = 10.0

TARGET = f"{BASE}sessions/app"
HOST = b"Host: localhost:8888"
LOGIN = f"Authorization: token {TOKEN}".encode()
# What an attacker hides in a message; on its own it is a fine request.
MARKER = b"\r\n".join([f"GET {TARGET}/marker HTTP/1.1".encode(), HOST, LOGIN, b"", b""])

# The first request on a connection is read by tornado, later ones perhaps not. `returned` comes
# after a request for Jupyter itself, for which a connection has to go back to tornado.
PLACES = ("first", "second", "pipelined", "returned")

_RESET = struct.pack("ii", 1, 0)


def head(*lines: bytes, first: str = "POST {}/case HTTP/1.1", host: bytes = HOST) -> bytes:
    """A request's head for the session, with our token in it."""
    start = first.format(TARGET).encode("latin-1")
    return b"\r\n".join([start, *([host] if host else []), LOGIN, *lines, b"", b""])


def get(path: str, *lines: bytes) -> bytes:
    """A request without a body for `path` in the session."""
    return head(*lines, first="GET {}" + path + " HTTP/1.1")


@asynccontextmanager
async def tcp_app(server: Server, handler: Handler) -> AsyncIterator[App]:
    """An app that can reset its connections, which a Unix socket cannot."""
    app = App(handler)
    address = await app.start_tcp()
    server.table.found["app"] = Route("app", server.url("app", ""), address)
    try:
        yield app
    finally:
        await server.call(lambda: server.gateway.forget_session("app"))
        del server.table.found["app"]
        await app.stop()


def hang_up(wire: Wire, *, reset: bool) -> None:
    if reset:
        sock: socket.socket = wire.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    wire.writer.close()


async def requests(wire: Wire) -> AsyncIterator[Message]:
    """The requests on a connection of an app."""
    buffer = bytearray()
    while data := await wire.reader.read(65536):
        buffer += data
        while request := take_request(buffer):
            yield request


@dataclass
class Recorder:
    """An app that keeps every byte it receives, and answers each request with what it was."""

    requests: list[Message] = field(default_factory=list)
    raw: list[bytearray] = field(default_factory=list)
    broken: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a connection has ended within a request."""

    async def __call__(self, wire: Wire) -> None:
        raw, buffer = bytearray(), bytearray()
        self.raw.append(raw)
        try:
            while data := await wire.reader.read(65536):
                raw += data
                buffer += data
                while request := take_request(buffer):
                    self.requests.append(request)
                    await wire.send(self.answer(request))
        finally:
            if buffer:
                self.broken.set()

    def answer(self, request: Message) -> bytes:
        said = request.said.encode("latin-1")
        start = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(said)
        return start if request.first.startswith(b"HEAD ") else start + said

    def saw(self, *hidden: str) -> tuple[str, ...]:
        """What it was asked, but for the paths in `hidden`."""
        return tuple(r.said for r in self.requests if r.said.split(" ")[1] not in hidden)


class Client:
    """A bare socket to the server. What came before a reset is not lost."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self.buffer = bytearray()
        self.ended: Literal["", "fin", "reset"] = ""

    @classmethod
    async def to(cls, port: int) -> Self:
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        return cls(sock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._sock.close()

    async def send(self, data: bytes) -> None:
        """Send; that the other side has hung up shows when reading."""
        try:
            await self._loop.sock_sendall(self._sock, data)
        except ConnectionError:
            return

    def finish(self) -> None:
        """Say that nothing more will come, and go on listening."""
        with suppress(OSError):  # the connection has been reset meanwhile
            self._sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Hang up as a process that dies, or a network that breaks, does."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._sock.close()

    async def more(self) -> bool:
        """Receive something; False once the connection has ended."""
        if self.ended:
            return False
        try:
            async with asyncio.timeout(PATIENCE):
                data = await self._loop.sock_recv(self._sock, 1 << 18)
        except ConnectionError:
            self.ended = "reset"
            return False
        self.ended = "" if data else "fin"
        self.buffer += data
        return bool(data)

    async def rest(self) -> bytes:
        """Wait for the end of the connection; what still came."""
        while await self.more():
            pass
        return bytes(self.buffer)

    async def answer(self, method: str = "GET") -> Message | None:
        """The next answer, strictly read; None if the connection ends instead."""
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            if not await self.more():
                if self.buffer:
                    raise Malformed(f"the connection ended in a head: {bytes(self.buffer)!r}")
                return None
        message = read_head(bytes(self.buffer[:end]), STATUS_LINE)
        del self.buffer[: end + 4]
        size = framing(message)
        if method == "HEAD" or message.status < 200 or message.status in (204, 304):
            return message
        if size is None:
            message.body = await self.rest()
            message.complete = self.ended == "fin"
            self.buffer.clear()
        elif size == "chunked":
            while (found := take_chunks(bytes(self.buffer))) is None and await self.more():
                pass
            message.complete = found is not None
            message.body = found[0] if found else bytes(self.buffer)
            del self.buffer[: found[1] if found else None]
        else:
            while len(self.buffer) < size and await self.more():
                pass
            message.complete = len(self.buffer) >= size
            message.body = bytes(self.buffer[:size])
            del self.buffer[:size]
        return message

    async def ask(self, data: bytes) -> Message:
        """Send a request that has to be answered."""
        await self.send(data)
        message = await self.answer()
        assert message is not None
        return message


def prelude(place: str) -> list[bytes]:
    """The normal requests that come before a case at `place`."""
    warm = get("/warm-up")
    api = b"\r\n".join([f"GET {BASE}api HTTP/1.1".encode(), HOST, LOGIN, b"", b""])
    before = {"first": [], "second": [warm], "pipelined": [warm], "returned": [warm, api, warm]}
    return before[place]


async def arrive(client: Client, place: str, payload: bytes, pieces: Sequence[int] = ()) -> None:
    """Send `payload` at `place`; what comes before it must succeed. Split at `pieces`."""
    before = prelude(place)
    if place == "second":
        assert (await client.ask(before.pop())).status == 200
    data = b"".join(before) + payload
    cuts = [0, *pieces, len(data)]
    for start, end in pairwise(cuts):
        await client.send(data[start:end])
    for _ in before:
        answer = await client.answer()
        assert answer is not None
        assert answer.status == 200


@dataclass(frozen=True)
class Outcome:
    """What can be seen of a case from outside.

    Parameters
    ----------
    answers
        The status codes on the client's connection.
    stays
        True if the connection can be used again.
    saw
        The complete requests that the app got.
    """

    answers: tuple[int, ...]
    stays: bool
    saw: tuple[str, ...]


REFUSED = Outcome((400,), stays=False, saw=())
"""One answer, then the end of the connection; the app hears of nothing."""

CUT = Outcome((), stays=False, saw=())
"""The end of the connection, without a word."""


Case = tuple[bytes, Outcome]


def params(tables: Mapping[str, Mapping[str, Case]]) -> list[ParameterSet]:
    """The cases of all `tables` for parametrize."""
    return [
        pytest.param(*case, id=f"{table} - {name}")
        for table, cases in tables.items()
        for name, case in cases.items()
    ]


def passes(*saw: str, stays: bool = True) -> Outcome:
    """The app gets these requests, and its answers come back."""
    return Outcome((200,) * len(saw), stays, saw)


async def observe(
    server: Server, recorder: Recorder, place: str, payload: bytes, expected: Outcome
) -> Outcome:
    """Send `payload` at `place`; `expected` only says how many answers to wait for."""
    method = payload.lstrip(b"\r\n").split(b" ", 1)[0].decode("latin-1")
    statuses: list[int] = []
    async with await Client.to(server.port) as client:
        await arrive(client, place, payload)
        while len(statuses) < len(expected.answers):
            answer = await client.answer(method)
            if answer is None:
                break
            assert answer.complete
            statuses.append(answer.status)
        await client.send(get("/sentinel"))
        while (answer := await client.answer()) and answer.body != b"GET /sentinel":
            statuses.append(answer.status)
    await settle(server)
    hidden = ("/warm-up", "/sentinel", "/settle")
    check_recorded(recorder)
    return Outcome(tuple(statuses), answer is not None, recorder.saw(*hidden))


async def everywhere(
    server: Server, recorder: Recorder, payload: bytes, expected: Outcome
) -> dict[str, Outcome]:
    """What comes of `payload` at each of `PLACES`."""
    found = {}
    for place in PLACES:
        await start_afresh(server)
        recorder.requests.clear()
        try:
            found[place] = await observe(server, recorder, place, payload, expected)
        except BaseException as error:
            error.add_note(f"place: {place}")
            raise
    return found


async def start_afresh(server: Server) -> None:
    """Close the kept connections to the app."""
    await server.call(lambda: server.gateway.forget_session("app"))


async def settle(server: Server) -> None:
    """Wait until nothing is under way for the session, and the app has read all there is."""

    def idle() -> bool:
        metrics = server.gateway.metrics()
        return "app" not in metrics or metrics["app"].open_requests == 0

    async with asyncio.timeout(PATIENCE):
        done = False
        while not done:
            done = await server.call(idle)
            # What the gateway sent before that has been read once this is answered.
            async with await Client.to(server.port) as client:
                assert (await client.ask(get("/settle"))).status == 200


def check_recorded(recorder: Recorder, secrets: Iterable[bytes] = (TOKEN.encode(),)) -> None:
    """No byte of ours reached the app that may not."""
    for raw in recorder.raw:
        for secret in secrets:
            assert secret not in raw
