"""Stands between a session's socket and a server that listens elsewhere, or speaks no HTTP.

``python -m jupyter_sessions.apps.relay SOCKET --to PORT|PATH [--raw] [-- COMMAND …]``

It starts the command, if there is one, waits until the server listens, and then does so itself at
SOCKET. Bytes pass as they are; with ``--raw`` each websocket is a connection to the server, and
its messages are the connection's bytes. It ends with the command, and with its exit code. What it
did not start goes on when it ends. Sessions of servers for jupyter-server-proxy run it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tornado import web, websocket
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_unix_socket

from jupyter_sessions.runner import tcp_sockets

PAUSE = 0.05
"""Seconds between looks at whether the server listens."""
CHUNK = 65536

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Server:
    """Where the server listens: a port of this machine, or the path of a Unix socket.

    Parameters
    ----------
    ours
        Whether it was started here; then nobody else's may stand in for it.
    """

    address: str
    ours: bool

    async def connect(self) -> Stream:
        """A connection to it; OSError if there is none."""
        if not self.address.isdecimal():
            if self.ours and not _own(Path(self.address)):
                raise PermissionError(f"{self.address} is somebody else's")
            return await asyncio.open_unix_connection(self.address)
        port = int(self.address)
        if self.ours and not any(s.listens and s.uid == os.geteuid() for s in tcp_sockets(port)):
            raise ConnectionRefusedError(f"nothing of this user listens on port {port}")
        return await asyncio.open_connection("localhost", port)

    async def until_there(self) -> None:
        """Return when it accepts connections."""
        told = False
        while True:
            try:
                _reader, writer = await self.connect()
            except OSError as error:
                if not told:
                    told = True
                    print(f"Waiting for {self.address}: {error}", flush=True)  # noqa: T201
                await asyncio.sleep(PAUSE)
            else:
                await _close(writer)
                return


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


async def pass_on(server: Server, client: Stream) -> None:
    """One connection, both ways, until both sides have said all."""
    try:
        upstream = await server.connect()
    except OSError:
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
        writer.write_eof()
    except OSError:
        writer.close()  # so that the other way ends too


def _own(path: Path) -> bool:
    return path.stat().st_uid == os.geteuid()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def serve(path: str, server: Server, *, raw: bool) -> None:
    """Listen at `path` once the server does. Never returns."""
    await server.until_there()
    listener = bind_unix_socket(path, mode=0o600)
    if raw:
        routes = [(r".*", RawSocket, {"server": server})]
        HTTPServer(web.Application(routes)).add_socket(listener)
    else:
        await asyncio.start_unix_server(
            lambda reader, writer: pass_on(server, (reader, writer)), sock=listener
        )
    await asyncio.Event().wait()


async def run(path: str, address: str, command: Sequence[str], *, raw: bool) -> int:
    """Serve until the command ends; its exit code."""
    server = Server(address, ours=bool(command))
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
    parser.add_argument("--raw", action="store_true")
    args = parser.parse_args(argv[:cut])
    return asyncio.run(run(args.socket, args.to, argv[cut + 1 :], raw=args.raw))


if __name__ == "__main__":
    sys.exit(main())
