"""Tiny real apps, and clients that say exactly what a test wants said."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

from jupyter_server.serverapp import ServerApp
from tornado import web

from jupyter_sessions.gateway import Gateway
from jupyter_sessions.routes import Address, Route, Waiting
from tests.live import PATIENCE

TOKEN = "the-token-of-this-server"
HOST = "localhost:8888"
SECRET = b"a secret that signs cookies"
_USER = {"username": "ada", "name": "Ada", "display_name": "Ada", "initials": "A"}
LOGIN = "username-localhost-8888=" + web.create_signed_value(
    SECRET, "username-localhost-8888", json.dumps({**_USER, "color": None, "avatar_url": None})
).decode("ascii")
"""The cookie of somebody who has logged in to `HOST`. Answers to it can be remembered; to a token
alone Jupyter answers with a new login."""

T = TypeVar("T")
Fields = Sequence[tuple[str, str]]


class Table:
    """Where sessions are, as the tests say. What is an exception is raised."""

    def __init__(self) -> None:
        self.found: dict[str, Route | Waiting | Exception] = {}
        self.asked: list[str] = []

    async def locate(self, session_id: str) -> Route | Waiting | None:
        self.asked.append(session_id)
        found = self.found.get(session_id)
        if isinstance(found, Exception):
            raise found
        return found


@dataclass
class Server:
    """The Jupyter server under test, which runs in another thread."""

    app: ServerApp
    gateway: Gateway
    table: Table
    loop: asyncio.AbstractEventLoop
    port: int
    tls_port: int
    trusted_port: int
    tls: ssl.SSLContext
    log: list[str]
    base: str = "/a%40b/"

    def url(self, session_id: str, rest: str = "/") -> str:
        return f"{self.base}sessions/{session_id}{rest}"

    async def call(self, function: Callable[[], T]) -> T:
        """Run `function` in the server's thread."""
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(function())
            except BaseException as error:
                done.set_exception(error)

        self.loop.call_soon_threadsafe(run)
        return await asyncio.wrap_future(done)

    def forget(self) -> None:
        """Let nothing that was allowed before count."""
        done = asyncio.run_coroutine_threadsafe(self._forget(), self.loop)
        done.result(5)

    async def _forget(self) -> None:
        for session_id in self.table.found:
            self.gateway.close_session(session_id)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what only the server's thread can tell."""
        async with asyncio.timeout(PATIENCE):
            while not await self.call(condition):  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    async def connect(self, *, tls: bool = False, port: int = 0) -> Wire:
        if tls:
            streams = await asyncio.open_connection(
                "127.0.0.1", self.tls_port, ssl=self.tls, server_hostname="localhost"
            )
        else:
            streams = await asyncio.open_connection("127.0.0.1", port or self.port)
        return Wire(*streams)

    async def fetch(
        self,
        target: str,
        method: str = "GET",
        fields: Fields = (),
        body: bytes = b"",
        *,
        login: bool = True,
        tls: bool = False,
        port: int = 0,
    ) -> Reply:
        """One request on a connection of its own."""
        async with await self.connect(tls=tls, port=port) as wire:
            if body or method in ("POST", "PUT", "PATCH"):
                fields = [*fields, ("Content-Length", str(len(body)))]
            await wire.send(request(target, method, fields, login=login) + body)
            return await wire.reply(method)


TOKEN_ONLY = [("Authorization", f"token {TOKEN}")]
"""As a program does that was given the token."""


def request(
    target: str, method: str = "GET", fields: Fields = (), *, login: bool = True, host: str = ""
) -> bytes:
    """The head of a request of somebody who has logged in, unless `login` is False."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host or HOST}"]
    if login:
        lines.append(f"Authorization: token {TOKEN}")
        if not any(name.lower() == "cookie" for name, _ in fields):
            lines.append(f"Cookie: {LOGIN}")
    lines += [f"{name}: {value}" for name, value in fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@dataclass
class Reply:
    """An answer, or a request as an app saw it: `first` is its first line."""

    first: str
    fields: list[tuple[str, str]]
    body: bytes = b""

    @property
    def status(self) -> int:
        return int(self.first.split(" ")[1])

    def all(self, name: str) -> list[str]:
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        found = self.all(name)
        assert len(found) <= 1, f"{name} comes {len(found)} times"
        return found[0] if found else None

    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> Reply:
        data = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = data.decode("latin-1").split("\r\n")[:-2]
        fields = [(n, v.strip()) for n, _, v in (line.partition(":") for line in lines)]
        return Reply(first, fields)

    async def body(self, head: Reply) -> bytes:
        if head.get("transfer-encoding") == "chunked":
            pieces = []
            while piece := await self.chunk():
                pieces.append(piece)
            return b"".join(pieces)
        if (length := head.get("content-length")) is not None:
            return await self.reader.readexactly(int(length))
        return await self.reader.read() if head.first.startswith("HTTP/") else b""

    async def chunk(self) -> bytes:
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        data = await self.reader.readexactly(size + 2)
        assert data.endswith(b"\r\n")
        return data[:-2]

    async def reply(self, method: str = "GET") -> Reply:
        head = await self.head()
        if method != "HEAD" and head.status not in (204, 304):
            head.body = await self.body(head)
        return head

    async def closed(self) -> bytes:
        """Wait for the other side to hang up; what it still said."""
        try:
            return await self.reader.read()
        except ConnectionError:
            return b""


Handler = Callable[[Wire], Awaitable[None]]


@dataclass
class App:
    """A server that does on each connection what `handler` says."""

    handler: Handler
    connections: int = 0
    wires: list[Wire] = field(default_factory=list)
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)

    async def start(self, path: Path, tls: ssl.SSLContext | None = None) -> Address:
        if tls:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
            port = self._server.sockets[0].getsockname()[1]
            return Address("tls", host="localhost", port=port)
        self._server = await asyncio.start_unix_server(self._serve, path)
        return Address.unix(str(path))

    async def start_tcp(self) -> Address:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return Address.tcp("127.0.0.1", self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if task := asyncio.current_task():
            self.tasks.append(task)
        wire = Wire(reader, writer)
        self.wires.append(wire)
        try:
            await self.handler(wire)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except Exception as error:
            self.errors.append(error)
        finally:
            writer.close()

    async def stop(self) -> None:
        self._server.close()
        for wire in self.wires:
            wire.writer.transport.abort()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        assert not self.errors, self.errors


async def echo(wire: Wire) -> None:
    """Answers each request with what it was, in JSON."""
    while True:
        seen = await wire.head()
        body = await wire.body(seen)
        answer = json.dumps(
            {"line": seen.first, "fields": seen.fields, "body": body.decode("latin-1")}
        ).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}"
        await wire.send(head.encode() + b"\r\n\r\n" + answer)


def says(answer: bytes, *, close: bool = False) -> Handler:
    """A handler that answers each request with these bytes."""

    async def handler(wire: Wire) -> None:
        while True:
            seen = await wire.head()
            await wire.body(seen)
            await wire.send(answer)
            if close:
                return

    return handler


def seen(reply: Reply) -> Reply:
    """The request that `echo` saw."""
    content = reply.json()
    fields = [(n, v) for n, v in content["fields"]]
    return Reply(content["line"], fields, content["body"].encode("latin-1"))
