"""The helper process: joins pairs of sockets that the gateway hands it, out of Jupyter's way.

A notebook that is saved holds up Jupyter's loop for as long as it takes; a desktop or a terminal
whose bytes pass here does not notice. Standard library only, and nothing of this package: it runs
as a file of its own (``relay.py <control socket>``) and stays small. Linux only: `select.epoll`.

The control socket is a Unix socket of type SEQPACKET. Every packet begins with its kind and a
number (`HEAD`):

``OPEN`` (to the helper, with two descriptors: the client's socket and the app's)
    Join them as this number. After the head: whether it is a websocket, how many bytes for the
    client follow, then these bytes, then bytes for the app.
``CLOSE`` (to the helper)
    Close the pair of this number.
``COUNTS`` (from the helper: at its start, once a second, and when a pair ends)
    So many entries follow: number, bytes from the client and from the app since the last time,
    whether anything but a keepalive was among them, and whether the pair has ended.

When the control socket ends, so does the helper.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import sys
import time

HEAD = struct.Struct("!BQ")
OPENING = struct.Struct("!?I")
COUNT = struct.Struct("!QQQ??")
OPEN, CLOSE, COUNTS = range(1, 4)

PACKET = 96 * 1024
"""The largest packet, in bytes."""
HALF_OPEN_SECONDS = 120.0
"""How long one side may go on alone after the other has finished."""

_CHUNK = 256 * 1024
_REPORT_SECONDS = 1.0
_ENTRIES = 1000

# A websocket's ping and pong frames: at most 2 + 4 + 125 bytes.
_KEEPALIVE = (0x89, 0x8A)
_KEEPALIVE_SIZE = 131


def is_keepalive(data: bytes | memoryview[int]) -> bool:
    """True if this is nothing but a ping or pong, as far as its beginning and size can tell."""
    return len(data) <= _KEEPALIVE_SIZE and data[0] in _KEEPALIVE


class End:
    """One of two joined sockets."""

    __slots__ = ("fd", "finished", "mask", "pair", "peer", "pending")

    def __init__(self, fd: int, pair: Pair) -> None:
        self.fd = fd
        self.pair = pair
        self.peer = self
        self.pending = b""
        self.mask: int | None = None
        self.finished = False


class Pair:
    """A client and an app."""

    __slots__ = ("active", "app", "client", "ended", "number", "received", "sent", "websocket")

    def __init__(self, number: int, client: int, app: int, *, websocket: bool) -> None:
        self.number = number
        self.websocket = websocket
        self.client = End(client, self)
        self.app = End(app, self)
        self.client.peer, self.app.peer = self.app, self.client
        self.received = 0
        self.sent = 0
        self.active = False
        self.ended = False


class Relay:
    """All pairs, and the loop that serves them."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._epoll = select.epoll()
        self._epoll.register(control.fileno(), select.EPOLLIN)
        self._ends: dict[int, End] = {}
        self._pairs: dict[int, Pair] = {}
        self._changed: set[Pair] = set()
        self._half_open: dict[Pair, float] = {}
        self._space = bytearray(_CHUNK)
        self._view = memoryview(self._space)
        self._reported = 0.0

    def run(self) -> None:
        """Serve until the control socket ends."""
        control = self._control.fileno()
        self._control.send(HEAD.pack(COUNTS, 0))  # we are there
        while True:
            waiting = self._changed or self._half_open
            for fd, event in self._epoll.poll(_REPORT_SECONDS if waiting else -1):
                if fd == control:
                    if not self._obey():
                        return
                    continue
                end = self._ends.get(fd)  # its pair may have been closed a moment ago
                if end is None:
                    continue
                if not end.mask:
                    self._idle(end, event)
                    continue
                try:
                    if end.pending and event & ~select.EPOLLIN:
                        self._flush(end)
                    if end.mask and end.mask & select.EPOLLIN and event & ~select.EPOLLOUT:
                        self._pass(end)
                except OSError:
                    self._close(end.pair)
            if waiting:
                self._look()

    def _obey(self) -> bool:
        """Do what the gateway says; False if it has gone."""
        try:
            packet, fds, _, _ = socket.recv_fds(self._control, PACKET, 2)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        if not packet:
            return False
        kind, number = HEAD.unpack_from(packet)
        if kind == OPEN:
            self._open(number, packet[HEAD.size :], fds)
        elif number in self._pairs:
            self._close(self._pairs[number])
        return True

    def _open(self, number: int, packet: bytes, fds: list[int]) -> None:
        if len(fds) != 2:  # no more descriptors to be had
            for fd in fds:
                os.close(fd)
            lost = Pair(number, -1, -1, websocket=False)
            lost.ended = True
            self._report([lost])
            return
        websocket, size = OPENING.unpack_from(packet)
        start = OPENING.size + size
        pair = Pair(number, *fds, websocket=websocket)
        self._pairs[number] = pair
        for end in (pair.client, pair.app):
            os.set_blocking(end.fd, False)
            self._ends[end.fd] = end
            self._want(end, select.EPOLLIN)
        try:
            self._write(pair.app, packet[OPENING.size : start])
            self._write(pair.client, packet[start:])
        except OSError:
            self._close(pair)

    def _want(self, end: End, mask: int | None) -> None:
        if mask == end.mask:
            return
        if mask is None:
            self._epoll.unregister(end.fd)
        elif end.mask is None:
            self._epoll.register(end.fd, mask)
        else:
            self._epoll.modify(end.fd, mask)
        end.mask = mask

    def _idle(self, end: End, event: int) -> None:
        """Something happened to a socket that is neither read nor written now."""
        if event & select.EPOLLERR:  # it was reset: nothing will ever be written to it
            self._close(end.pair)
        else:  # it was hung up, and epoll would tell that again and again
            self._want(end, None)

    def _pass(self, end: End) -> None:
        """Read once, and write that to the other side."""
        try:
            size = os.readv(end.fd, [self._space])
        except BlockingIOError:  # the event was of another socket that had this number
            return
        if not size:
            self._finish(end)
            return
        data = self._view[:size]
        self._write(end, data)  # first of all: somebody waits for it
        pair = end.pair
        if end is pair.client:
            pair.received += size
        else:
            pair.sent += size
        if not (pair.websocket and is_keepalive(data)):
            pair.active = True
        self._changed.add(pair)

    def _write(self, end: End, data: bytes | memoryview[int]) -> None:
        """Write what came from `end`; it has to wait if that is too much."""
        if not data:
            return
        peer = end.peer
        try:
            written = os.write(peer.fd, data)
        except BlockingIOError:
            written = 0
        if written < len(data):
            peer.pending = bytes(data[written:])
            self._want(peer, (peer.mask or 0) | select.EPOLLOUT)
            self._want(end, (end.mask or 0) & ~select.EPOLLIN)

    def _flush(self, end: End) -> None:
        try:
            written = os.write(end.fd, end.pending)
        except BlockingIOError:
            return
        end.pending = end.pending[written:]
        if end.pending:
            return
        self._want(end, (end.mask or 0) & ~select.EPOLLOUT)
        if end.peer.finished:
            self._shut(end)
        else:
            self._want(end.peer, (end.peer.mask or 0) | select.EPOLLIN)

    def _finish(self, end: End) -> None:
        """`end` has said all it will."""
        end.finished = True
        self._want(end, (end.mask or 0) & ~select.EPOLLIN)
        self._half_open.setdefault(end.pair, time.monotonic() + HALF_OPEN_SECONDS)
        if not end.peer.pending:
            self._shut(end.peer)

    def _shut(self, end: End) -> None:
        """All was written to `end` that will ever be."""
        if end.finished:
            self._close(end.pair)
            return
        with socket.socket(fileno=os.dup(end.fd)) as same:
            same.shutdown(socket.SHUT_WR)

    def _close(self, pair: Pair) -> None:
        for end in (pair.client, pair.app):
            if end.mask is not None:
                self._want(end, None)
            end.pending = b""
            del self._ends[end.fd]
            os.close(end.fd)
        del self._pairs[pair.number]
        self._half_open.pop(pair, None)
        pair.ended = True
        self._report([pair])

    def _look(self) -> None:
        """Report, and close what was half open for too long. Once a second."""
        now = time.monotonic()
        if now - self._reported < _REPORT_SECONDS:
            return
        self._reported = now
        for pair, end in list(self._half_open.items()):
            if end <= now:
                self._close(pair)
        self._report(list(self._changed))

    def _report(self, pairs: list[Pair]) -> None:
        for start in range(0, len(pairs), _ENTRIES):
            part = pairs[start : start + _ENTRIES]
            entries = b"".join(
                COUNT.pack(p.number, p.received, p.sent, p.active, p.ended) for p in part
            )
            try:
                self._control.send(HEAD.pack(COUNTS, len(part)) + entries)
            except BlockingIOError:  # Jupyter is busy; later, then
                self._changed.update(part)
                continue
            except ConnectionError:  # it has gone; the loop finds that too
                return
            for pair in part:
                pair.received = pair.sent = 0
                pair.active = False
                self._changed.discard(pair)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for Jupyter, which may ask first
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    control = socket.socket(fileno=int(sys.argv[1]))
    control.setblocking(False)
    Relay(control).run()


if __name__ == "__main__":
    main()
