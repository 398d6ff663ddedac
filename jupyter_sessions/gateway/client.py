"""The client's side of one request: tornado's connection, and how it ends."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
from asyncio.trsock import TransportSocket
from collections.abc import Callable
from http.client import responses
from typing import cast

from tornado import httputil
from tornado.http1connection import HTTP1Connection
from tornado.iostream import IOStream, SSLIOStream, StreamClosedError

from jupyter_sessions.gateway.framing import Body, Headers, tokens
from jupyter_sessions.gateway.headers import serialize
from jupyter_sessions.gateway.pages import Answer
from jupyter_sessions.gateway.upstream import HIGH_WATER

# How long, and for how much, we listen on after an answer that came before the request's end:
# closing with unread bytes resets the connection, and the client may lose the answer.
LINGER_SECONDS = 2.0
LINGER_BYTES = 8 * 1024 * 1024

RESET = struct.pack("ii", 1, 0)
_TCP_CLOSE = 7  # Linux, include/net/tcp_states.h


def _complete_head(answer: Answer) -> Headers:
    return [*answer.headers, ("Content-Length", str(len(answer.body)))]


def take_over(stream: IOStream) -> tuple[bytes, socket.socket]:
    """The socket of `stream`, and what tornado has read from it already."""
    early = b""
    while True:
        read = asyncio.ensure_future(stream.read_bytes(HIGH_WATER, partial=True))
        # Now, or when the stream is closed below.
        read.add_done_callback(lambda future: future.exception())
        if not read.done():
            break
        early += read.result()
        # Less than we asked for: that was all it had.
        if len(read.result()) < HIGH_WATER:
            break
    taken = stream.socket.dup()
    stream.close()
    return early, taken


def is_broken(connection: socket.socket | TransportSocket) -> bool:
    """True if the other end has reset the connection, of which who does not read hears nothing."""
    if not hasattr(socket, "TCP_INFO"):
        return False
    try:
        with socket.socket(fileno=os.dup(connection.fileno())) as same:
            return same.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSE
    except OSError:  # closed, or a Unix socket
        return False


class Client:
    """Writes the answer to one `request`."""

    def __init__(self, request: httputil.HTTPServerRequest) -> None:
        self._request = request
        self._connection = cast(HTTP1Connection, request.connection)
        self._stream: IOStream = self._connection.stream
        self._stream.set_nodelay(True)
        self._connection.set_max_body_size(sys.maxsize)
        self._uploading = False
        self._received = False
        self._answered = False
        # tornado looks for a field that is exactly "close".
        options = tokens(request.headers.get_all(), "connection")
        self._close_after = "close" in options
        self._last_chunk = b""
        self._lingering: asyncio.TimerHandle | None = None
        self._discarded = 0
        self._detached = False
        self.started = False
        """True once the answer's head was written."""

    def watch(self, gone: Callable[[], None]) -> None:
        """Have `gone` called if the client hangs up before the answer is complete."""
        # tornado watches by itself only once it has read the request.
        self._stream.set_close_callback(gone)
        self._connection.set_close_callback(gone)

    @property
    def broken(self) -> bool:
        """True if the client has reset the connection, which shows only to who reads."""
        return not self._detached and not self._stream.closed() and is_broken(self._stream.socket)

    # The request

    @property
    def gone(self) -> bool:
        """True if the connection is closed."""
        return self._stream.closed()

    @property
    def received(self) -> bool:
        """True once the request has been read to its end."""
        return self._received

    def expect_body(self) -> None:
        """The request has a body that will be read."""
        self._uploading = True

    def request_received(self) -> None:
        """The request has been read to its end."""
        self._received = True
        if self._lingering is not None:
            self._close()
        elif self._answered:
            self._finish()

    def discard(self, size: int) -> None:
        """Count bytes of a request that nobody wants any more."""
        self._discarded += size
        if self._lingering is not None and self._discarded > LINGER_BYTES:
            self._close()

    # The answer

    async def head(self, status: int, reason: str, headers: Headers, body: Body) -> None:
        """Write the head of an answer whose body ends as `body` says."""
        fields = httputil.HTTPHeaders()
        for name, value in headers:
            fields.add(name, value)
        if not self._received:
            self._close_after = True
        if self._close_after:
            fields["Connection"] = "close"
        if not isinstance(body, int):
            if self._request.version == "HTTP/1.1":
                self._last_chunk = b"0\r\n\r\n"
            else:
                self._close_after = True
        self.started = True
        # tornado would write it in UTF-8.
        reason = reason.encode("ascii", "replace").decode()
        line = httputil.ResponseStartLine("HTTP/1.1", status, reason)
        await self._connection.write_headers(line, fields)

    async def write(self, piece: bytes) -> None:
        """Write a piece of the body; returns when the client has taken it."""
        await self._connection.write(piece)

    def reply(self, answer: Answer) -> None:
        """Write a complete answer."""
        fields = httputil.HTTPHeaders()
        for name, value in _complete_head(answer):
            fields.add(name, value)
        if self._close_after:
            fields["Connection"] = "close"
        if self._request.method == "HEAD":
            answer = Answer(answer.status, answer.headers)
        self.started = True
        line = httputil.ResponseStartLine("HTTP/1.1", answer.status, responses[answer.status])
        self._connection.write_headers(line, fields, answer.body)
        self.complete()

    def complete(self) -> None:
        """The answer is complete: end it, and the connection too if it cannot be used again."""
        self._answered = True
        if self._received:
            self._finish()
        elif self._uploading:
            if not self._stream.closed():
                self._stream.write(self._last_chunk)
            loop = asyncio.get_running_loop()
            self._lingering = loop.call_later(LINGER_SECONDS, self._close)

    async def refuse(self, answer: Answer, body: Body | None) -> None:
        """Answer without reading the request's body, and close. Only from `headers_received`.

        `body` is None if nobody can tell where the body ends.
        """
        headers = [*_complete_head(answer), ("Connection", "close")]
        data = serialize(f"HTTP/1.1 {answer.status} {responses[answer.status]}", headers)
        if self._request.method != "HEAD":
            data += answer.body
        stream = self.detach()
        left = min(body, LINGER_BYTES) if isinstance(body, int) else LINGER_BYTES
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                await stream.write(data)
                if not isinstance(stream, SSLIOStream):
                    stream.socket.shutdown(socket.SHUT_WR)
                while left > 0:
                    left -= len(await stream.read_bytes(min(left, 65536), partial=True))
        except (StreamClosedError, TimeoutError, OSError):
            pass
        finally:
            stream.close()

    def detach(self) -> IOStream:
        """Take the connection away from tornado. Only from `headers_received`."""
        self._detached = True
        return self._connection.detach()

    def abort(self) -> None:
        """End the connection so that an unfinished answer cannot pass for a whole one."""
        if self._detached or self._stream.closed():
            return
        if self.started and not self._answered:
            self._stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._close()

    def _finish(self) -> None:
        if not self._close_after:
            self._connection.finish()
        elif not self._stream.closed():
            written = asyncio.ensure_future(self._stream.write(self._last_chunk))
            written.add_done_callback(lambda _: self._close())

    def _close(self) -> None:
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        self._connection.close()
