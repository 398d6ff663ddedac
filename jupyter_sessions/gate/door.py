"""What listens on a network, and takes in those who prove who they are."""

import asyncio
import contextlib
import socket
import ssl
from collections import OrderedDict
from typing import Any

from .links import BACKLOG, OPEN_SECONDS

KNOCKING = 128  # handshakes at a time
KNOCK_SECONDS = 1.0  # after which one makes room for another


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises OSError."""
    listener = socket.socket(socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


class Door:
    """Takes connections at a port, and lets none in that has not proved who it is.

    Whoever only knocks costs little: so many handshakes go on at a time, and those that take long
    make room for others. What the kernel queues meanwhile is taken in turn.

    Parameters
    ----------
    listener
        A socket that listens.
    make
        Makes the protocol of a connection.
    """

    def __init__(self, loop: Any, listener: Any, context: ssl.SSLContext, make: Any) -> None:
        self._loop = loop
        self._listener = listener
        self._context = context
        self._make = make
        self._knocking: OrderedDict[Any, float] = OrderedDict()
        listener.setblocking(False)
        self.task = loop.create_task(self._open())

    async def _open(self) -> None:
        while True:
            while len(self._knocking) >= KNOCKING:
                task, since = next(iter(self._knocking.items()))
                patience = since + KNOCK_SECONDS - self._loop.time()
                if patience <= 0:
                    task.cancel()
                await asyncio.wait(
                    list(self._knocking),
                    timeout=max(0.0, patience) or None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
            try:
                connection, _ = await self._loop.sock_accept(self._listener)
            except OSError:  # no more files, or the other has gone again
                await asyncio.sleep(0.05)
                continue
            task = self._loop.create_task(self._greet(connection))
            self._knocking[task] = self._loop.time()
            task.add_done_callback(self._knocking.pop)

    async def _greet(self, connection: Any) -> None:
        """The handshake."""
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            try:
                greeting = self._loop.connect_accepted_socket(
                    self._make, connection, ssl=self._context
                )
                await asyncio.wait_for(greeting, OPEN_SECONDS)
            except BaseException:
                # Its transport sees the end and closes it: doing that ourselves confuses loops.
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                raise
