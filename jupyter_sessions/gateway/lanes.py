"""Connections between tornado's hands and ours: taken over, served as a `Lane`, and given back."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from tornado import httputil
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream, SSLIOStream

from jupyter_sessions.gateway.admission import Admissions
from jupyter_sessions.gateway.client import Client, take_over
from jupyter_sessions.gateway.credentials import Bystander
from jupyter_sessions.gateway.framing import BadMessage, tokens, values
from jupyter_sessions.gateway.grants import Grant
from jupyter_sessions.gateway.headers import request_headers, serialize
from jupyter_sessions.gateway.lane import Lane
from jupyter_sessions.gateway.lines import Head, Line, answer_reader, request_reader
from jupyter_sessions.gateway.pages import Answer
from jupyter_sessions.gateway.router import Chooser, Inquiry, Passage, inquire
from jupyter_sessions.gateway.traffic import Traffic
from jupyter_sessions.gateway.urls import SessionUrls

_GRANTS = 1024
_READY = 1024

Key = tuple[bytes, bytes, tuple[Line, ...], str]
"""What a decision depends on: method, prefix, special lines, and the client's address."""
Ready = tuple[Grant, str, bytes, int]
"""What was decided, the method, the head for the app, and the length of the body."""
_SWEEP_SECONDS = 60.0


class Lanes:
    """The connections of one HTTP server that we have taken over.

    Parameters
    ----------
    server
        tornado's, to which they are given back.
    base_url
        Jupyter's.
    chooser, traffic, spawn, failure
        As of `http.Door`.
    admissions
        Those of the `chooser`.
    patience
        How long, in seconds, a request may go on before it is asked about again.
    trusted
        True if `server` believes X-Forwarded fields.
    """

    def __init__(
        self,
        server: HTTPServer,
        *,
        base_url: str,
        chooser: Chooser,
        admissions: Admissions,
        traffic: Callable[[str], Traffic],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        failure: Callable[..., Answer],
        patience: float,
        trusted: bool,
    ) -> None:
        self.prefix = f"{base_url}sessions/".encode()
        self.chooser = chooser
        self.admissions = admissions
        self.traffic = traffic
        self.spawn = spawn
        self.failure = failure
        self.patience = patience
        self.open: set[Lane] = set()
        self.requests = request_reader()
        self.answers = answer_reader()
        self.grants: dict[Key, Grant] = {}
        self.ready: dict[Head, Ready] = {}
        self._server = server
        self._urls = SessionUrls(base_url)
        self._trusted = trusted
        self._timer: asyncio.TimerHandle | None = None

    def suits(self, inquiry: Inquiry) -> bool:
        """True if the connection of this request can be taken over, now."""
        headers = inquiry.headers
        connection = inquiry.request.connection
        return (
            isinstance(inquiry.body, int)
            and not inquiry.upgrade
            and inquiry.request.version == "HTTP/1.1"
            and not values(headers, "expect")
            and tokens(headers, "connection") <= {"keep-alive"}
            and getattr(connection, "params", None) is self._server.conn_params
            and not isinstance(getattr(connection, "stream", None), SSLIOStream)
        )

    async def take(
        self, client: Client, inquiry: Inquiry, passage: Passage, traffic: Traffic
    ) -> None:
        """Take a connection whose first request is `inquiry`. Only from `headers_received`."""
        context: Any = getattr(inquiry.request.connection, "context", None)
        # Before the connection is taken: a head that cannot be written is tornado's to answer.
        fields = request_headers(
            inquiry.headers, passage.caller, passage.route, body=inquiry.body, upgrade=False
        )
        wire = serialize(f"{inquiry.method} {passage.path} HTTP/1.1", fields)
        closed = traffic.closed
        if self._trusted:  # tornado would have done so at the request's end
            context._unapply_xheaders()
        early, connection = take_over(client.detach())
        lane = Lane(self, context)
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: lane, connection)
        if self._timer is None:
            self._timer = loop.call_later(_SWEEP_SECONDS, self._sweep)
        lane.feed(early)
        lane.begin(inquiry, passage, traffic, wire)
        if closed != traffic.closed:  # the session ended meanwhile
            lane.abort()

    def give_back(self, connection: socket.socket, early: bytes, context: Any) -> None:
        """Let tornado serve this connection, from which `early` was read already."""
        stream = _Returned(
            connection,
            early,
            max_buffer_size=self._server.max_buffer_size or 104857600,
            read_chunk_size=self._server.read_chunk_size or 65536,
        )
        self._server.handle_stream(stream, context.address)

    def inquire(self, head: bytes, context: Any) -> Inquiry | None:
        """The request with this head, as tornado reads it; None if it is not for a session."""
        first, _, rest = head.decode("latin-1").partition("\r\n")
        try:
            line = httputil.parse_request_start_line(first)
            headers = httputil.HTTPHeaders.parse(rest)
        except httputil.HTTPInputError:
            return None
        if self._trusted:
            # What tornado's own server does around each request, there in private too.
            context._apply_xheaders(headers)
        try:
            request = httputil.HTTPServerRequest(
                connection=Bystander(context), start_line=line, headers=headers
            )
            target = self._urls.match(line.path)
            return None if target is None else inquire(request, target)
        except (BadMessage, httputil.HTTPInputError):
            return None
        finally:
            if self._trusted:
                context._unapply_xheaders()

    def remember(self, key: Key | None, grant: Grant) -> None:
        """Let `grant` stand for requests with the same method, prefix and special lines."""
        # Other lines must not count, and the prefix be no other way to write it.
        prefix = grant.passage.caller.prefix.encode()
        if key is None or key[1] != prefix or not grant.admission.general:
            return
        special = key[2]
        if not all(line.kept for line in special):
            return
        if len(self.grants) >= _GRANTS:
            self.grants = {k: g for k, g in self.grants.items() if g.current}
        if len(self.grants) >= _GRANTS:
            self.grants.clear()
        self.grants[key] = grant

    def make_ready(self, head: Head, ready: Ready) -> None:
        """Keep what the app gets for `head`, for when the very same comes again."""
        if not head.kept:
            return
        if len(self.ready) >= _READY:
            self.ready.clear()
        self.ready[head] = ready

    def close(self) -> None:
        """End all connections."""
        if self._timer is not None:
            self._timer.cancel()
        for lane in list(self.open):
            lane.abort()

    def _sweep(self) -> None:
        """End connections that were idle for longer than tornado would let them be."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_SWEEP_SECONDS, self._sweep)
        limit = self._server.conn_params.header_timeout
        for lane in list(self.open):
            if limit and lane.idle > limit:
                lane.abort()


class _Returned(IOStream):
    """A stream of which the first bytes have been read before."""

    def __init__(
        self, connection: socket.socket, early: bytes, *, read_chunk_size: int, max_buffer_size: int
    ) -> None:
        self._early = early
        self._usual = read_chunk_size
        connection.setblocking(False)
        # All of it at the first read: what were left over would wait for the client to send more.
        chunk = max(read_chunk_size, len(early))
        super().__init__(connection, read_chunk_size=chunk, max_buffer_size=max_buffer_size)

    def read_from_fd(self, buf: bytearray | memoryview[int]) -> int | None:
        early, self._early = self._early, b""
        if not early:
            return super().read_from_fd(buf)
        self.read_chunk_size = self._usual
        buf[: len(early)] = early
        return len(early)
