"""Stands between a session's socket and a server that listens elsewhere, or speaks no HTTP.

``python -m jupyter_sessions.apps.relay SOCKET --to ADDRESS [--ca FILE] [--no-verify] [--raw]
[-- COMMAND …]``

It starts the command, if there is one, waits until the server listens, and then does so itself at
SOCKET. Bytes pass as they are; with ``--raw`` each websocket is a connection to the server, and
its messages are the connection's bytes. It ends with the command, and with its exit code.

ADDRESS is a port of this machine, the path of a Unix socket, ``unix:PATH``, ``http://HOST:PORT``
or ``https://HOST:PORT``. What it did not start goes on when it ends, and may be away: whether it
answers is looked at all the time, and said in the log and in the session's status file.

Sessions of servers for jupyter-server-proxy run it, and those of ``SessionManager.services``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import os
import ssl
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tornado import web, websocket
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_unix_socket

from jupyter_sessions.runner import tcp_sockets, write_json

PAUSE = 0.05
"""Seconds between looks at whether a server that is being started listens."""
AWAY, THERE = 1.0, 10.0
"""Seconds between looks at somebody else's server: while it does not answer, while it does."""
PATIENCE = 10.0
"""Seconds that a connection may take."""
CHUNK = 65536

_ERRORS = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENOENT})
"""Those of which asyncio makes a sentence of its own, with an address in it."""

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Server:
    """Where the server listens: see ADDRESS above.

    Parameters
    ----------
    ours
        Whether it was started here; then nobody else's may stand in for it.
    tls
        How to check its certificate, if it is ``https://…``.
    """

    address: str
    ours: bool
    tls: ssl.SSLContext | None = None

    async def connect(self) -> Stream:
        """A connection to it; OSError if there is none within `PATIENCE`."""
        async with asyncio.timeout(PATIENCE):  # a TimeoutError is an OSError
            return await self._connect()

    async def _connect(self) -> Stream:
        if self.address.startswith(("http://", "https://")):
            parts = urlsplit(self.address)
            tls = self.tls if parts.scheme == "https" else None
            port = parts.port or (443 if tls else 80)
            return await asyncio.open_connection(parts.hostname, port, ssl=tls)
        if not self.address.isdecimal():
            path = self.address.removeprefix("unix:")
            if self.ours and not _own(Path(path)):
                raise PermissionError(f"{path} is somebody else's")
            return await asyncio.open_unix_connection(path)
        port = int(self.address)
        if self.ours and not any(s.listens and s.uid == os.geteuid() for s in tcp_sockets(port)):
            raise ConnectionRefusedError(f"nothing of this user listens on port {port}")
        return await asyncio.open_connection("localhost", port)

    async def problem(self) -> str:
        """Why it accepts no connection; empty if it does."""
        try:
            _reader, writer = await self.connect()
        except OSError as error:
            return _reason(error)
        await _close(writer)
        return ""

    async def until_there(self) -> None:
        """Return when it accepts connections. For one that is being started here."""
        told = False
        while problem := await self.problem():
            if not told:
                told = True
                print(f"Waiting for {self.address}: {problem}", flush=True)  # noqa: T201
            await asyncio.sleep(PAUSE)


class Watch:
    """Whether a server that was not started here answers, told to people when that changes."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._problem: str | None = None
        self._been_there = False
        self._doubt = asyncio.Event()

    async def until_there(self) -> None:
        """Return when it accepts connections."""
        while True:
            if await self._look():
                return
            await asyncio.sleep(AWAY)

    async def go_on(self) -> None:
        """Look again and again; never returns."""
        while True:
            self._doubt.clear()
            there = await self._look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(THERE if there else AWAY):
                    await self._doubt.wait()

    def failed(self) -> None:
        """Look soon: somebody could not connect."""
        if not self._problem:
            self._doubt.set()

    async def _look(self) -> bool:
        problem = await self._server.problem()
        if problem != self._problem:
            self._problem = problem
            self._been_there = self._been_there or not problem
            self._tell()
        return not problem

    def _tell(self) -> None:
        where = self._server.address
        message = f"{where} does not answer: {self._problem}." if self._problem else ""
        print(message or f"{where} answers.", flush=True)  # noqa: T201
        if path := os.environ.get("SESSION_STATUS_FILE"):
            status = {"message": message, "ready": self._been_there}
            with contextlib.suppress(OSError):  # the log has it
                write_json(path, status, keep=False)


class RawSocket(websocket.WebSocketHandler):
    """A websocket whose messages are the bytes of a connection to the server."""

    def initialize(self, server: Server) -> None:
        self._server = server
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    def check_origin(self, origin: str) -> bool:
        """Yes: only the gateway can connect here, and it has looked at that."""
        return True

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        return subprotocols[0] if subprotocols else None

    async def get(self, *args: str, **kwargs: str) -> None:
        if self.request.headers.get("Upgrade", "").lower() != "websocket":
            raise web.HTTPError(405, "Only websockets are served here.")
        await super().get(*args, **kwargs)

    async def open(self, *_args: str, **_kwargs: str) -> None:
        try:
            reader, self._writer = await self._server.connect()
        except OSError as error:
            self.close(1011, str(error)[:100])
            return
        self._reading = asyncio.create_task(self._copy(reader), name="relay-raw")

    async def on_message(self, message: str | bytes) -> None:
        if self._writer is not None:
            self._writer.write(message.encode() if isinstance(message, str) else message)
            with contextlib.suppress(OSError):
                await self._writer.drain()

    def on_close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        if self._writer is not None:
            self._writer.close()

    async def _copy(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError, websocket.WebSocketClosedError):
            while data := await reader.read(CHUNK):
                await self.write_message(data, binary=True)
        self.close()


async def pass_on(server: Server, client: Stream, watch: Watch | None) -> None:
    """One connection, both ways, until both sides have said all."""
    try:
        upstream = await server.connect()
    except OSError:
        if watch is not None:
            watch.failed()
        await _close(client[1])
        return
    try:
        await asyncio.gather(_pump(client[0], upstream[1]), _pump(upstream[0], client[1]))
    finally:
        await _close(upstream[1])
        await _close(client[1])


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()  # TLS cannot say that one side has said all
    except OSError:
        writer.close()  # so that the other way ends too


def _own(path: Path) -> bool:
    return path.stat().st_uid == os.geteuid()


def _reason(error: OSError) -> str:
    """`error` for people: what happened, without numbers and addresses."""
    match error:
        case TimeoutError():
            return f"no answer within {PATIENCE:g} s"
        case ssl.SSLCertVerificationError():
            return f"its certificate is refused: {error.verify_message}"
        case ssl.SSLError():
            return f"it does not speak TLS as expected: {error.reason or error}"
    return os.strerror(error.errno) if error.errno in _ERRORS else str(error.strerror or error)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def serve(path: str, server: Server, *, raw: bool) -> None:
    """Listen at `path` once the server does. Never returns."""
    watch = None if server.ours else Watch(server)
    await (watch or server).until_there()
    listener = bind_unix_socket(path, mode=0o600)
    if raw:
        routes = [(r".*", RawSocket, {"server": server})]
        HTTPServer(web.Application(routes)).add_socket(listener)
    else:
        await asyncio.start_unix_server(
            lambda reader, writer: pass_on(server, (reader, writer), watch), sock=listener
        )
    if watch is not None and not raw:  # what speaks no HTTP may take a look for a client
        await watch.go_on()
    await asyncio.Event().wait()


async def run(path: str, server: Server, command: Sequence[str], *, raw: bool) -> int:
    """Serve until the command ends; its exit code."""
    serving = asyncio.create_task(serve(path, server, raw=raw), name="relay-serve")
    if not command:
        await serving
    process = await asyncio.create_subprocess_exec(*command)
    ended = asyncio.create_task(process.wait(), name="relay-wait")
    await asyncio.wait([serving, ended], return_when=asyncio.FIRST_COMPLETED)
    if not ended.done():
        serving.result()  # it only ends with an error
    code = ended.result()
    return code if code >= 0 else 128 - code


def main() -> int:
    argv = sys.argv[1:]
    cut = argv.index("--") if "--" in argv else len(argv)
    parser = argparse.ArgumentParser(prog="relay")
    parser.add_argument("socket")
    parser.add_argument("--to", required=True)
    parser.add_argument("--ca")
    parser.add_argument("--no-verify", action="store_true")
    parser.add_argument("--raw", action="store_true")
    args = parser.parse_args(argv[:cut])
    command = argv[cut + 1 :]
    tls = None
    if args.to.startswith("https://"):
        tls = ssl.create_default_context(cafile=args.ca)
        if args.no_verify:
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    server = Server(args.to, bool(command), tls)
    return asyncio.run(run(args.socket, server, command, raw=args.raw))


if __name__ == "__main__":
    sys.exit(main())
