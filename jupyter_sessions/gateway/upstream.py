"""Connections to an app: one exchange at a time, kept and reused only when clean."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from typing import Protocol, cast

import httptools

from jupyter_sessions.gateway.framing import (
    MAX_HEAD,
    BadMessage,
    Body,
    ResponseHead,
    parse_head,
)
from jupyter_sessions.routes import Address

CONNECT_TIMEOUT = 10.0
HIGH_WATER = 256 * 1024
IDLE_LIMIT = 128
# Shorter than the keep-alive of the usual app servers (5 s), so that we are the first to hang up.
IDLE_SECONDS = 4.0
MAX_INFORMATIONAL = 16


class NoAnswer(Exception):
    """The app could not be reached, hung up, or does not speak HTTP."""


class Truncated(NoAnswer):
    """The app's answer broke off before its end."""


class Receiver(Protocol):
    """Who is told at once what an app sends, instead of asking for it."""

    def app_data(self, data: bytes) -> None: ...

    def app_ended(self, error: Exception | None) -> None:
        """The app will send no more; `error` says how the connection broke, if it did."""

    def app_full(self) -> None:
        """The app is behind: stop writing."""

    def app_ready(self) -> None:
        """The app has caught up."""


class Upstream(asyncio.Protocol):
    """One connection to an app. What comes is kept for `receive`, or given to `receiver`."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.transport = cast(asyncio.Transport, None)
        self.receiver: Receiver | None = None
        self.answered = False
        """True once a byte of the present exchange's answer has come."""
        self._chunks: list[bytes] = []
        self._size = 0
        self._reading = True
        self._eof = False
        self._lost = False
        self._error: Exception | None = None
        self._arrived: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(HIGH_WATER)

    def data_received(self, data: bytes) -> None:
        self.answered = True
        if self.receiver is not None:
            self.receiver.app_data(data)
            return
        self._chunks.append(data)
        self._size += len(data)
        if self._size >= HIGH_WATER and self._reading:
            self._reading = False
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self._eof = True
        self._wake()
        if self.receiver is not None:
            self.receiver.app_ended(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._eof = self._lost = True
        self._error = exc
        self._writable.set()
        self._wake()
        if self.receiver is not None:
            self.receiver.app_ended(exc)

    def pause_writing(self) -> None:
        self._writable.clear()
        if self.receiver is not None:
            self.receiver.app_full()

    def resume_writing(self) -> None:
        self._writable.set()
        if self.receiver is not None:
            self.receiver.app_ready()

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    # What the gateway calls

    def hand_over(self, protocol: asyncio.Protocol) -> None:
        """Let `protocol` receive from now on, beginning with what has come already."""
        data = self.take()
        self.transport.set_protocol(protocol)
        if data:
            protocol.data_received(data)
        if self._lost:
            protocol.connection_lost(self._error)

    def attach(self, receiver: Receiver) -> None:
        """Tell `receiver` of all that comes, and of what has come already."""
        self.receiver = receiver
        if not self._writable.is_set():
            receiver.app_full()
        if self._chunks:
            receiver.app_data(self.take())
        if self._eof and self.receiver is receiver:
            receiver.app_ended(self._error)

    @property
    def idle(self) -> bool:
        """True if nothing has come since the last message, and the app has not hung up."""
        return not (self._chunks or self._eof or self.transport.is_closing())

    def abort(self) -> None:
        self.transport.abort()

    def write(self, data: bytes) -> None:
        """Send `data` without waiting."""
        if not self.transport.is_closing():
            self.transport.write(data)

    async def send(self, data: bytes) -> None:
        """Send `data`, and wait while the app is behind."""
        self.write(data)
        if not self._writable.is_set():
            await self._writable.wait()
        if self._lost:
            raise NoAnswer("The app closed the connection.")

    def take(self) -> bytes:
        """The bytes that have come and were not taken yet."""
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        if not self._reading:
            self._reading = True
            self.transport.resume_reading()
        return data

    def put_back(self, data: bytes) -> None:
        """Undo `take`."""
        if data:
            self._chunks.insert(0, data)
            self._size += len(data)

    async def receive(self) -> bytes:
        """The next bytes, b"" when the app has sent all it will."""
        while not self._chunks:
            if self._error is not None:
                raise NoAnswer("The connection to the app broke.") from self._error
            if self._eof:
                return b""
            self._arrived = asyncio.get_running_loop().create_future()
            try:
                await self._arrived
            finally:
                self._arrived = None
        return self.take()

    async def head(self) -> ResponseHead:
        """The head of the answer; informational ones before it are skipped, but not a 101."""
        data = bytearray()
        for _ in range(MAX_INFORMATIONAL):
            while (end := data.find(b"\r\n\r\n")) < 0:
                if len(data) > MAX_HEAD:
                    raise BadMessage("the head is larger than 64 KB")
                more = await self.receive()
                if not more:
                    raise NoAnswer("The app closed the connection without an answer.")
                data += more
            if end > MAX_HEAD:
                raise BadMessage("the head is larger than 64 KB")
            head = parse_head(bytes(data[:end]))
            del data[: end + 4]
            if head.status >= 200 or head.status == 101:
                self.put_back(bytes(data))
                return head
        raise BadMessage("there are too many informational answers")

    async def body(self, length: Body) -> AsyncGenerator[bytes, None]:
        """The pieces of a body that ends as `length` says. Raises Truncated if it does not."""
        if length == "chunked":
            chunks = Chunks()
            while not chunks.complete:
                if data := chunks.feed(await self._more()):
                    yield data
            if chunks.surplus:
                self._chunks.insert(0, b"\0")  # no longer idle, hence not reused
        elif length == "close":
            while data := await self.receive():
                yield data
        else:
            while length > 0:
                data = await self._more()
                if len(data) > length:
                    self._chunks.insert(0, data[length:])
                    data = data[:length]
                length -= len(data)
                yield data

    async def _more(self) -> bytes:
        data = await self.receive()
        if not data:
            raise Truncated("The app's answer broke off.")
        return data


class Chunks:
    """Decodes a chunked body. The trailer is dropped."""

    def __init__(self) -> None:
        self.complete = False
        self.surplus = False
        self._pieces: list[bytes] = []
        self._overhead = 0
        self._parser = httptools.HttpResponseParser(self)
        self._parser.feed_data(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")

    def feed(self, data: bytes) -> bytes:
        """What `data` contains of the body."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.complete:
                raise Truncated("The app's answer has a malformed chunk.") from error
            self.surplus = True
        body = b"".join(self._pieces)
        self._pieces.clear()
        # Endless chunk extensions or trailers.
        self._overhead = 0 if body else self._overhead + len(data)
        if self._overhead > MAX_HEAD:
            raise Truncated("The app's answer has too long a chunk header or trailer.")
        return body

    def on_message_begin(self) -> None:
        self.surplus = self.complete

    def on_body(self, data: bytes) -> None:
        if not self.complete:
            self._pieces.append(data)

    def on_message_complete(self) -> None:
        self.complete = True


class Pool:
    """The connections to one session's app that wait for their next request."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._idle: list[tuple[Upstream, float]] = []
        self._timer: asyncio.TimerHandle | None = None

    async def connect(self, address: Address) -> Upstream:
        """A new connection. Raises NoAnswer if there is none within ten seconds."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                if address.scheme == "unix":
                    _, upstream = await loop.create_unix_connection(
                        lambda: Upstream(address), address.path
                    )
                else:
                    tls = self._tls if address.scheme == "tls" else None
                    _, upstream = await loop.create_connection(
                        lambda: Upstream(address), address.host, address.port, ssl=tls
                    )
        except OSError as error:  # TimeoutError and ssl.SSLError are OSErrors
            raise NoAnswer("The app does not accept connections.") from error
        return upstream

    def take(self, address: Address) -> Upstream | None:
        """A connection to `address` that was kept, if there is a live one."""
        while self._idle:
            upstream, _ = self._idle.pop()
            if upstream.idle and upstream.address == address:
                upstream.answered = False
                return upstream
            upstream.abort()
        return None

    def give(self, upstream: Upstream) -> None:
        """Keep `upstream` for the next request if it can be, else close it."""
        if not upstream.idle or len(self._idle) >= IDLE_LIMIT:
            upstream.abort()
            return
        loop = asyncio.get_running_loop()
        self._idle.append((upstream, loop.time()))
        if self._timer is None:
            self._timer = loop.call_later(IDLE_SECONDS, self._expire)

    def _expire(self) -> None:
        # The oldest come first: connections are taken from the end and put back there.
        loop = asyncio.get_running_loop()
        oldest = loop.time() - IDLE_SECONDS
        while self._idle and self._idle[0][1] <= oldest:
            self._idle.pop(0)[0].abort()
        self._timer = None
        if self._idle:
            self._timer = loop.call_at(self._idle[0][1] + IDLE_SECONDS, self._expire)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._idle:
            self._idle.pop()[0].abort()
