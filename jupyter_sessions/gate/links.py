"""Connections in frames, and how two are joined."""

import asyncio
import contextlib
import resource
import socket
import struct
from typing import Any, Callable, Dict, List, Optional

Json = Dict[str, Any]

OPEN, OPENED, REFUSED, DATA, END = range(1, 6)
HIGH_WATER = 256 * 1024  # bytes that may wait for a slow reader
OPEN_SECONDS = 10.0  # to reach an app, or the other end
BACKLOG = 4096


def hold(transport: Any) -> None:
    """Read nothing more for now. Harmless twice, which it is not in itself in Python 3.6."""
    with contextlib.suppress(RuntimeError, AttributeError):  # the latter of one that is closed
        transport.pause_reading()


def release(transport: Any) -> None:
    with contextlib.suppress(RuntimeError, AttributeError):
        transport.resume_reading()


def steady(transport: Any) -> None:
    """Small packets at once; a peer that went without a word is noticed within a minute."""
    connection = transport.get_extra_info("socket")
    if connection is None or connection.family == socket.AF_UNIX:
        return
    options = [(socket.IPPROTO_TCP, "TCP_NODELAY", 1), (socket.SOL_SOCKET, "SO_KEEPALIVE", 1)]
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        options.append((socket.IPPROTO_TCP, name, value))
    for level, name, value in options:
        with contextlib.suppress(OSError, AttributeError):
            connection.setsockopt(level, getattr(socket, name), value)


class Plain(asyncio.Protocol):
    """The end that speaks to a client (of the relay) or to the app (of the gate)."""

    def __init__(self, made: Optional[Callable[["Plain"], None]] = None) -> None:
        self.link: Optional[Link] = None
        self._made = made
        self._early: List[bytes] = []
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.set_write_buffer_limits(HIGH_WATER)
        steady(transport)
        hold(transport)  # until somebody is there to take what comes
        if self._made is not None:
            self._made(self)

    def join(self, link: "Link") -> None:
        """Pass on what comes to `link`, beginning with what Python 3.6 did not hold."""
        self.link = link
        early, self._early = self._early, []
        for data in early:
            self.data_received(data) if data else self.eof_received()
        if not link.full:  # with what the connection before this one has left
            release(self.transport)

    def leave(self) -> None:
        """Nothing more comes from the link; what did is still delivered."""
        self.link = None
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        if self.link is None:
            self._early.append(data)
        else:
            self.link.send(DATA, data)

    def eof_received(self) -> bool:
        if self.link is None:
            self._early.append(b"")
        else:
            self.link.end()
        return True  # the other direction may go on

    def connection_lost(self, exc: Optional[Exception]) -> None:
        if self.link is not None:
            self.link.close()

    def pause_writing(self) -> None:
        if self.link is not None:
            hold(self.link.transport)

    def resume_writing(self) -> None:
        if self.link is not None:
            release(self.link.transport)


class Link(asyncio.Protocol):
    """A TLS connection between gate and relay, for one connection to the app at a time.

    Parameters
    ----------
    expected
        Gives the certificate that the other end must show, or None if nothing is expected.
    owner
        Has ``link_made``, ``link_lost``, ``link_told`` (an idle link, the kind of a frame) and
        ``link_free`` (it has become idle).
    dialled
        What for, if the owner wants to remember.
    """

    def __init__(
        self, expected: Callable[[Any], Optional[bytes]], owner: Any, dialled: str = ""
    ) -> None:
        self.dialled = dialled
        self._expected = expected
        self.owner = owner
        self.transport: Any = None
        self.plain: Optional[Plain] = None
        self._head = b""
        self._left = 0
        self._early = b""  # what came before it was joined: an app may speak first
        self._opened = False
        self._sent_end = self._got_end = self.closed = False
        self.made = self.lost = self.full = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        tls = transport.get_extra_info("ssl_object")
        expected = self._expected(tls)
        if expected is None or tls.getpeercert(True) != expected:
            self.abort()
            return
        transport.set_write_buffer_limits(HIGH_WATER)
        steady(transport)
        self.made = True
        self.owner.link_made(self)

    def join(self, plain: Plain) -> None:
        """From now on, what one end sends is for the other."""
        self.plain = plain
        plain.join(self)
        early, self._early = self._early, b""
        release(self.transport)
        self.data_received(early)

    def send(self, kind: int, data: bytes = b"") -> None:
        if self.closed:
            return
        for start in range(0, len(data) or 1, 0xFFFFFF):
            piece = data[start : start + 0xFFFFFF]
            self.transport.write(struct.pack("!I", kind << 24 | len(piece)) + piece)

    def end(self) -> None:
        """The plain end will send no more."""
        if not self._sent_end and not self.closed:
            self._sent_end = True
            self.send(END)
        self._finish()

    def close(self) -> None:
        """Both ends; what was sent is still delivered to the other side."""
        if not self.closed:
            self.closed = True
            self.transport.close()

    def abort(self) -> None:
        """At once."""
        if not self.lost:
            self.closed = True
            with contextlib.suppress(AttributeError):  # Python 3.11's, closed a moment ago
                self.transport.abort()

    def data_received(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if self._opened and self.plain is None:
                self._early += bytes(view)
                return
            if self._left:
                piece, view = view[: self._left], view[self._left :]
                self._left -= len(piece)
                if self.plain is not None:
                    self.plain.transport.write(piece)
                continue
            missing = 4 - len(self._head)
            self._head, view = self._head + bytes(view[:missing]), view[missing:]
            if len(self._head) == 4:
                (head,), self._head = struct.unpack("!I", self._head), b""
                self._frame(head >> 24, head & 0xFFFFFF)

    def _frame(self, kind: int, length: int) -> None:
        if kind == DATA and self.plain is not None:
            self._left = length
        elif kind == END and self.plain is not None and not length:
            self._got_end = True
            with contextlib.suppress(OSError):
                self.plain.transport.write_eof()
            self._finish()
        elif kind in (OPEN, OPENED, REFUSED) and self.plain is None and not length:
            if kind == OPENED:
                self._opened = True
                hold(self.transport)  # until it is joined
            self.owner.link_told(self, kind)
        else:
            self.abort()

    def _finish(self) -> None:
        if not (self._sent_end and self._got_end):
            return
        self._sent_end = self._got_end = self._opened = False
        plain, self.plain = self.plain, None
        if plain is not None:
            plain.leave()
        if not self.closed:
            release(self.transport)  # that one may have been slow
            self.owner.link_free(self)

    def connection_lost(self, exc: Optional[Exception]) -> None:
        self.lost = self.closed = True
        if self.plain is not None:
            # Without its END the other side broke off: so does this one, as far as it has got.
            if self._got_end:
                self.plain.transport.close()
            else:
                self.plain.transport.abort()
        if self.made:
            self.owner.link_lost(self)

    def pause_writing(self) -> None:
        self.full = True
        if self.plain is not None:
            hold(self.plain.transport)

    def resume_writing(self) -> None:
        self.full = False
        if self.plain is not None:
            release(self.plain.transport)


def quiet(loop: Any, context: Json) -> None:
    """Whoever knocks and may not come in is not worth a traceback in the app's log."""
    error = context.get("exception")
    if not isinstance(error, (OSError, asyncio.TimeoutError)):
        loop.default_exception_handler(context)


def many_files() -> None:
    """Let this process have as many connections open as it may."""
    with contextlib.suppress(OSError, ValueError):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
