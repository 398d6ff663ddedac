"""After a 101: both sockets joined, and the bytes pass untouched.

Subprotocols, extensions, compression, masks and pings are the browser's and the app's own. Each
side is read only as fast as the other takes it.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import cast

from tornado.iostream import IOStream, SSLIOStream, StreamClosedError

from jupyter_sessions.gateway.client import is_broken, take_over
from jupyter_sessions.gateway.credentials import Credentials
from jupyter_sessions.gateway.helper import Helper, duplicate
from jupyter_sessions.gateway.relay import HALF_OPEN_SECONDS, is_keepalive
from jupyter_sessions.gateway.traffic import Traffic
from jupyter_sessions.gateway.upstream import HIGH_WATER, Upstream


async def splice(
    stream: IOStream,
    upstream: Upstream,
    answer: bytes,
    traffic: Traffic,
    *,
    credentials: Credentials,
    websocket: bool,
    helper: Helper | None,
) -> None:
    """Send `answer` to the client, then join it with the app until one of them ends.

    The `helper` gets the pair, if there is one and both are plain sockets.
    """
    pair = Splice(traffic, credentials, websocket=websocket)
    # Before the client's side: on uvloop that receives before it can be waited for.
    pair.app.connection_made(upstream.transport)
    if isinstance(stream, SSLIOStream):
        pair.client.connection_made(StreamTransport(stream, pair.client))
    else:
        ready = helper is not None and await helper.ready()
        early, taken = take_over(stream)
        if (
            ready
            and helper is not None
            and _hand_over(
                helper, taken, early, upstream, answer, traffic, credentials, websocket=websocket
            )
        ):
            return
        upstream.write(early)
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: pair.client, taken)
    pair.begin()
    pair.client.transport.write(answer)
    upstream.hand_over(pair.app)


def _hand_over(
    helper: Helper,
    client: socket.socket,
    early: bytes,
    upstream: Upstream,
    answer: bytes,
    traffic: Traffic,
    credentials: Credentials,
    *,
    websocket: bool,
) -> bool:
    """Give both sockets to the helper; False if that cannot be done."""
    transport = upstream.transport
    if (
        upstream.address.scheme == "tls"
        or transport.is_closing()  # the app has hung up already, and has no socket any more
        or transport.get_write_buffer_size()
    ):
        return False
    said = upstream.take()
    transport.pause_reading()
    app = duplicate(transport)
    try:
        done = helper.adopt(
            client.fileno(),
            app,
            to_client=answer + said,
            to_app=early,
            traffic=traffic,
            credentials=credentials,
            websocket=websocket,
        )
    finally:
        os.close(app)
    if done:
        traffic.metrics.bytes_in += len(early)
        traffic.metrics.bytes_out += len(said)
        client.close()
        upstream.abort()
    else:
        upstream.put_back(said)
        transport.resume_reading()
    return done


class Splice:
    """Two joined connections."""

    def __init__(self, traffic: Traffic, credentials: Credentials, *, websocket: bool) -> None:
        self._traffic = traffic
        self._credentials = credentials
        self._websocket = websocket
        self._timer: asyncio.TimerHandle | None = None
        self._open = 2
        self.client = _End(self)
        self.app = _End(self)
        self.client.peer = self.app
        self.app.peer = self.client

    def begin(self) -> None:
        """Both ends are connected."""
        self._traffic.active.add(self)
        self._traffic.metrics.open_upgrades += 1
        self._traffic.metrics.touch()

    def passed(self, end: _End, data: bytes) -> None:
        metrics = self._traffic.metrics
        if end is self.client:
            metrics.bytes_in += len(data)
        else:
            metrics.bytes_out += len(data)
        if self._websocket and is_keepalive(data):
            return
        metrics.touch()

    def half_closed(self) -> None:
        """One side has finished; the other one may, for a while."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(HALF_OPEN_SECONDS, self.abort)

    def lost(self) -> None:
        self._open -= 1
        if self._open:
            self.half_closed()
            return
        if self._timer is not None:
            self._timer.cancel()
        self._traffic.active.discard(self)
        self._traffic.metrics.open_upgrades -= 1

    @property
    def broken(self) -> bool:
        connection = self.client.transport.get_extra_info("socket")
        return connection is not None and is_broken(connection)

    def credentials(self, *, young: bool = False) -> Credentials:
        return self._credentials

    def abort(self) -> None:
        self.client.transport.abort()
        self.app.transport.abort()


class _End(asyncio.Protocol):
    """One side: what it receives goes to its peer, and it waits when its peer is behind."""

    peer: _End
    transport: asyncio.Transport

    def __init__(self, pair: Splice) -> None:
        self._pair = pair
        self._finished = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if not self.peer.transport.is_closing():
            self.peer.transport.write(data)
        self._pair.passed(self, data)

    def eof_received(self) -> bool:
        self._finished = True
        peer = self.peer.transport
        if self.peer._finished or not peer.can_write_eof():
            peer.close()
            return False  # closes this side
        if not peer.is_closing():
            peer.write_eof()
        self._pair.half_closed()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self.peer.transport.close()
        else:
            self.peer.transport.abort()
        self._pair.lost()

    def pause_writing(self) -> None:
        self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        self.peer.transport.resume_reading()


class StreamTransport(asyncio.Transport):
    """A tornado stream as an asyncio transport: TLS connections cannot be taken over."""

    def __init__(self, stream: IOStream, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._stream = stream
        self._protocol = protocol
        self._pending = 0
        self._full = False
        self._closing = False
        self._reading = asyncio.Event()
        self._reading.set()
        stream.set_nodelay(True)
        stream.set_close_callback(self._reading.set)
        self._task = asyncio.get_running_loop().create_task(self._read(), name="sessions-tls")

    async def _read(self) -> None:
        try:
            while True:
                await self._reading.wait()
                self._protocol.data_received(await self._stream.read_bytes(65536, partial=True))
        except StreamClosedError:
            self._closing = True
            self._protocol.connection_lost(None)

    def write(self, data: bytes | bytearray | memoryview[int]) -> None:
        if self._stream.closed():
            return
        size = len(data)
        self._pending += size
        written = asyncio.ensure_future(self._stream.write(bytes(data)))
        written.add_done_callback(lambda _: self._written(size))
        if self._pending > HIGH_WATER and not self._full:
            self._full = True
            self._protocol.pause_writing()

    def _written(self, size: int) -> None:
        self._pending -= size
        if self._full and self._pending <= HIGH_WATER // 4:
            self._full = False
            self._protocol.resume_writing()
        if self._closing and not self._pending:
            self._stream.close()

    def pause_reading(self) -> None:
        self._reading.clear()

    def resume_reading(self) -> None:
        self._reading.set()

    def can_write_eof(self) -> bool:
        return False

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True
        if not self._pending:
            self._stream.close()

    def abort(self) -> None:
        self._closing = True
        self._stream.close()
