"""One connection to the control socket of an OpenSSH client that shares its connection.

The protocol is OpenSSH's own (``PROTOCOL.mux`` in its sources; version 4 since 2010): what
``ssh -S`` speaks. Spoken here, a command costs no process of its own, a refusal is told from a lost
connection, and nothing ever falls back to a connection beside the shared one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ..routes import Address

VERSION = 4
HELLO = 0x00000001
NEW_SESSION, ALIVE_CHECK = 0x10000002, 0x10000004
OPEN_FORWARD, CLOSE_FORWARD = 0x10000006, 0x10000007
OK, DENIED, FAILURE = 0x80000001, 0x80000002, 0x80000003
EXIT, ALIVE, SESSION_OPENED = 0x80000004, 0x80000005, 0x80000006
REMOTE_PORT = 0x80000007
LOCAL_FORWARD, REMOTE_FORWARD = 1, 2
EVERYWHERE = "*"
"""As an address to listen at there: all, as far as ``GatewayPorts`` of the server lets us."""
UNIX_PORT = 0xFFFFFFFE
"""In place of a port: the host beside it is the path of a Unix socket."""
NO_ESCAPES = 0xFFFFFFFF
LARGEST = 256 * 1024
"""Bytes of a message; longer ones are none of OpenSSH's."""


class MuxLost(Exception):
    """The other side is gone, or does not speak the protocol: nothing is known."""


class MuxRefused(Exception):
    """The request was understood and refused. The message is OpenSSH's."""


@dataclass(slots=True)
class Channel:
    """A command that runs there.

    Parameters
    ----------
    stdin
        What the command reads; it is over when this is closed.
    """

    stdin: asyncio.StreamWriter
    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader


class Mux:
    """A connection to a control socket, for one thing at a time. Use `open_mux`.

    While it is open the process behind it does not end for want of use.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._loop = asyncio.get_running_loop()
        self._requests = 0

    async def greet(self) -> None:
        """Exchange what both sides begin with."""
        await self._send(HELLO, VERSION)
        kind, rest = _integer(await self._receive())
        version, _ = _integer(rest)
        if (kind, version) != (HELLO, VERSION):
            raise MuxLost(f"version {version} of the protocol of control sockets")

    async def pid(self) -> int:
        """The process behind the socket, which lives and answers."""
        pid, _ = _integer(await self._ask(ALIVE_CHECK, ALIVE))
        return pid

    async def forward(self, here: str, there: Address) -> None:
        """Listen at the Unix socket `here` for connections to `there`, as seen from there."""
        await self._ask(OPEN_FORWARD, OK, *_forwarding(here, there))

    async def cancel(self, here: str, there: Address) -> None:
        """Listen there no more. Connections that are open go on."""
        await self._ask(CLOSE_FORWARD, OK, *_forwarding(here, there))

    async def listen(self, there: Address, here: str) -> int:
        """Have the server listen at `there`, for connections to the Unix socket `here`.

        Parameters
        ----------
        there
            Where; a port of 0 is for the server to choose, an empty host stands for `EVERYWHERE`.

        Returns
        -------
        int
            The port.
        """
        request = _listening(there, here)
        kind, rest = await self._answered(OPEN_FORWARD, (OK, REMOTE_PORT), *request)
        return _integer(rest)[0] if kind == REMOTE_PORT else there.port

    async def unlisten(self, there: Address, here: str) -> None:
        """Have it listen there no more: both as they were given to `listen`."""
        await self._ask(CLOSE_FORWARD, OK, *_listening(there, here))

    @asynccontextmanager
    async def session(self, command: str) -> AsyncIterator[Channel]:
        """Run `command` there, for as long as the context is entered; the user's shell reads it."""
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            ends = []
            for _ in range(3):
                reader, writer = os.pipe()
                ends.append((reader, writer))
                sent, kept = (reader, writer) if len(ends) == 1 else (writer, reader)
                theirs.callback(os.close, sent)
                ours.callback(os.close, kept)
            self._requests += 1
            head = (NEW_SESSION, self._requests, "", 0, 0, 0, 0, NO_ESCAPES, "", command)
            await self._send(*head)
            for fd in (ends[0][0], ends[1][1], ends[2][1]):
                await self._pass(fd)
            theirs.close()
            await self._reply(SESSION_OPENED)
            # From here on the files are the streams' to close.
            ours.pop_all()
            stdin = await self._writer(ends[0][1])
            stdout, out = await self._reader(ends[1][0])
            stderr, err = await self._reader(ends[2][0])
            try:
                yield Channel(stdin, stdout, stderr)
            finally:
                if not stdin.is_closing():
                    stdin.transport.abort()
                out.close()
                err.close()

    async def exit_code(self) -> int | None:
        """The exit code of the session's command; None after a signal, or if the link is lost."""
        while True:
            try:
                kind, rest = _integer(await self._receive())
            except MuxLost:
                return None
            if kind == EXIT:
                return _integer(_integer(rest)[1])[0]

    async def lost(self) -> None:
        """Wait until the process behind the socket is gone."""
        with contextlib.suppress(MuxLost):
            while True:
                await self._receive()

    def close(self) -> None:
        """Close it. Whoever waits for an answer has to be cancelled: none comes any more."""
        if self._socket.fileno() >= 0:
            # Or the next file of this number is taken for this one, and is never heard of again.
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()

    # Messages -------------------------------------------------------------------------------

    async def _ask(self, request: int, expected: int, *fields: int | str) -> bytes:
        return (await self._answered(request, (expected,), *fields))[1]

    async def _answered(
        self, request: int, expected: tuple[int, ...], *fields: int | str
    ) -> tuple[int, bytes]:
        self._requests += 1
        await self._send(request, self._requests, *fields)
        return await self._reply(*expected)

    async def _reply(self, *expected: int) -> tuple[int, bytes]:
        kind, rest = _integer(await self._receive())
        _, rest = _integer(rest)  # the request's number: there is one at a time
        if kind in expected:
            return kind, rest
        if kind in (DENIED, FAILURE):
            raise MuxRefused(_text(rest))
        raise MuxLost(f"unexpected message {kind:#x}")

    async def _send(self, *fields: int | str) -> None:
        message = b"".join(map(_packed, fields))
        with _lost():
            await self._loop.sock_sendall(self._socket, struct.pack(">I", len(message)) + message)

    async def _pass(self, fd: int) -> None:
        """Give the process behind the socket an open file."""
        while True:
            with _lost():
                try:
                    socket.send_fds(self._socket, [b"\0"], [fd])
                    return
                except BlockingIOError:
                    await asyncio.sleep(0.005)  # its queue is full: it is busy

    async def _receive(self) -> bytes:
        (length,) = struct.unpack(">I", await self._exactly(4))
        if length > LARGEST:
            raise MuxLost("not the protocol of control sockets")
        return await self._exactly(length)

    async def _exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            with _lost():
                chunk = await self._loop.sock_recv(self._socket, length - len(data))
            if not chunk:
                raise MuxLost("the connection was closed")
            data += chunk
        return data

    # Streams --------------------------------------------------------------------------------

    async def _writer(self, fd: int) -> asyncio.StreamWriter:
        transport, protocol = await self._loop.connect_write_pipe(
            lambda: asyncio.streams.FlowControlMixin(loop=self._loop), os.fdopen(fd, "wb", 0)
        )
        return asyncio.StreamWriter(transport, protocol, None, self._loop)

    async def _reader(self, fd: int) -> tuple[asyncio.StreamReader, asyncio.ReadTransport]:
        reader = asyncio.StreamReader()
        transport, _ = await self._loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "rb", 0)
        )
        return reader, transport


@asynccontextmanager
async def open_mux(path: str, patience: float) -> AsyncIterator[Mux]:
    """A connection to the control socket `path`.

    Parameters
    ----------
    patience
        Seconds that the process behind it may take to say its name.

    Raises
    ------
    FileNotFoundError, ConnectionRefusedError
        If there is nobody.
    TimeoutError
        If there is somebody who hangs.
    MuxLost
        If it is somebody else, or was just going.
    """
    mux = await connected(path, patience)
    try:
        yield mux
    finally:
        mux.close()


async def connected(path: str, patience: float) -> Mux:
    """As `open_mux`, to be closed by the caller."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)
    mux = Mux(connection)
    try:
        async with asyncio.timeout(patience):
            await asyncio.get_running_loop().sock_connect(connection, path)
            await mux.greet()
    except BlockingIOError:  # its queue is full: it does not accept any more
        mux.close()
        raise TimeoutError from None
    except BaseException:
        mux.close()
        raise
    return mux


def _forwarding(here: str, there: Address) -> tuple[int | str, ...]:
    target = (there.path, UNIX_PORT) if there.path else (there.host, there.port)
    return (LOCAL_FORWARD, here, UNIX_PORT, *target)


def _listening(there: Address, here: str) -> tuple[int | str, ...]:
    # No host at all would be the loopback.
    return (REMOTE_FORWARD, there.host or EVERYWHERE, there.port, here, UNIX_PORT)


@contextlib.contextmanager
def _lost() -> Iterator[None]:
    try:
        yield
    except BlockingIOError:
        raise
    except OSError as error:
        raise MuxLost(error.strerror or "the connection broke") from error


def _packed(value: int | str) -> bytes:
    if isinstance(value, int):
        return struct.pack(">I", value)
    data = value.encode("utf-8", "surrogateescape")
    return struct.pack(">I", len(data)) + data


def _integer(message: bytes) -> tuple[int, bytes]:
    if len(message) < 4:
        raise MuxLost("a message that is too short")
    return int(struct.unpack_from(">I", message)[0]), message[4:]


def _text(message: bytes) -> str:
    length, rest = _integer(message)
    return rest[:length].decode("utf-8", "replace")
