"""Jupyter's end of all gates of one server: a process of the standard library alone.

``python -m jupyter_sessions.reaching.relay`` takes commands as lines of JSON on stdin and answers
each with a line on stdout; it ends when stdin does. `relaying.Relay` is who speaks to it.

=========== ==================================================================== ================
``do``      further                                                              answer
=========== ==================================================================== ================
``open``    ``way`` (a name), ``socket`` (the path to serve), ``identity`` (the  ``{}``, once a
            folder with ``reach.pem`` and ``gate.crt``), ``to`` (the gate's      link to the gate
            address, or null if it dials), ``wait`` (seconds)                    is there
``close``   ``way``                                                              ``{}``
``listen``  ``at`` (an address), ``ports`` (the first and the last, for TCP)     ``port``
=========== ==================================================================== ================

Each command has an ``id``, which its answer repeats; one that failed is answered with ``error``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
import sys
from collections import deque
from typing import Any

from jupyter_sessions.gate import (
    BACKLOG,
    NO_CHECK_TIME,
    OPEN,
    OPEN_SECONDS,
    OPENED,
    SPARE,
    Door,
    Json,
    Link,
    Plain,
    certificate,
    listening,
    many_files,
    quiet,
    small_buffers,
    tls_context,
)

KEPT = 4 * SPARE
"""Idle links that are kept of those that were used."""
RETRY = 0.3
"""Seconds between attempts to reach a gate, while somebody waits for it."""
CLIENT_SECONDS = 60.0
"""Seconds that a client may wait for its link: many may come at once."""


class NotOpen(Exception):
    """No link to the gate can be had. The message says why.

    Parameters
    ----------
    final
        Whether it makes no sense to try again.
    """

    def __init__(self, why: str, final: bool = False) -> None:
        super().__init__(why)
        self.final = final


class Way:
    """The way to one app: serves a Unix socket, and joins each connection to a link.

    Parameters
    ----------
    name
        The name that a gate asks for when it dials.
    identity
        The folder with our key and the gate's certificate.
    to
        Where the gate listens; None if it dials.
    """

    def __init__(self, name: str, identity: str, to: Json | None) -> None:
        self.name = name
        self.context = tls_context(identity, "reach", "gate", server=to is None)
        self.expected = certificate(identity, "gate")
        self._to = to
        self._idle: list[Link] = []
        self._wanted: deque[asyncio.Future[Link]] = deque()
        self._told: dict[Link, asyncio.Future[int]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._filling: asyncio.Task[None] | None = None
        self._links: set[Link] = set()
        self._server: asyncio.Server | None = None
        self._why = "its gate has not called yet"

    async def serve(self, path: str) -> None:
        """Serve the Unix socket `path`."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108 - of a relay that died
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(
            lambda: Plain(made=self._client), path, backlog=BACKLOG
        )
        os.chmod(path, 0o600)  # noqa: PTH101

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        for link in list(self._links):
            link.abort()

    def _begin(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Links

    def link_made(self, link: Link) -> None:
        self._links.add(link)
        self._give(link)

    def _give(self, link: Link) -> None:
        """To whoever waits for one, else for whoever comes."""
        while self._wanted:
            waiter = self._wanted.popleft()
            if not waiter.done():
                waiter.set_result(link)
                return
        self._idle.append(link)

    def link_free(self, link: Link) -> None:
        if len(self._idle) < KEPT:
            self._give(link)
        else:
            link.close()

    def link_lost(self, link: Link) -> None:
        self._links.discard(link)
        if link in self._idle:
            self._idle.remove(link)
        if (waiter := self._told.pop(link, None)) is not None and not waiter.done():
            waiter.set_result(0)

    def link_told(self, link: Link, kind: int) -> None:
        if (waiter := self._told.pop(link, None)) is not None and not waiter.done():
            waiter.set_result(kind)
        else:
            link.abort()

    async def reachable(self, seconds: float) -> None:
        """Wait until there is a link. Raises NotOpen if there is none within `seconds`."""
        link = await self._take(seconds)
        self._idle.append(link)

    async def _take(self, seconds: float) -> Link:
        """A link that nobody uses."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while True:
            if self._idle:
                link = self._idle.pop()
                if not link.closed:
                    return link
                continue
            if self._to is None:
                waiter: asyncio.Future[Link] = loop.create_future()
                self._wanted.append(waiter)
                try:
                    return await asyncio.wait_for(waiter, max(0.0, end - loop.time()))
                except TimeoutError:
                    raise NotOpen(self._why) from None
            try:
                await self._dial()
            except NotOpen as error:
                if error.final or loop.time() + RETRY >= end:
                    raise
                await asyncio.sleep(RETRY)

    async def _dial(self) -> None:
        """Make another link; it becomes an idle one."""
        loop, to = asyncio.get_running_loop(), self._to or {}
        make = lambda: Link(lambda _: self.expected, self)  # noqa: E731
        tls: dict[str, Any] = {"ssl": self.context, "server_hostname": self.name}
        where = to.get("path") or "{host}:{port}".format(**to)
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                if to["scheme"] == "unix":
                    _, link = await loop.create_unix_connection(make, to["path"], **tls)
                else:
                    _, link = await loop.create_connection(make, to["host"], to["port"], **tls)
        except TimeoutError:
            raise NotOpen(f"{where} did not answer within {OPEN_SECONDS:g} s") from None
        except ssl.SSLError as error:
            raise NotOpen(f"{where}: {error.strerror or error}", final=True) from None
        except OSError as error:
            raise NotOpen(f"{where}: {error.strerror or error}") from None
        if not link.made:
            raise NotOpen(f"what listens at {where} is not this session's gate", final=True)

    async def _fill(self) -> None:
        with contextlib.suppress(NotOpen):
            while len(self._idle) < SPARE:
                await self._dial()

    # Clients

    def _client(self, plain: Plain) -> None:
        self._begin(self._join(plain))

    async def _join(self, plain: Plain) -> None:
        """Join a client's connection to a link."""
        try:
            async with asyncio.timeout(CLIENT_SECONDS):
                # A link may have died without a word, or with its gate: the next one may not.
                for _ in range(SPARE + 1):
                    link = await self._take(CLIENT_SECONDS if self._to is None else OPEN_SECONDS)
                    if self._to is not None and (self._filling is None or self._filling.done()):
                        self._filling = self._begin(self._fill())
                    told = await self._ask(link)
                    if told == OPENED and not link.lost and not plain.transport.is_closing():
                        link.join(plain)
                        return
                    link.abort()
                    if told != 0:  # the gate has said no
                        break
        except (NotOpen, TimeoutError) as error:
            self._why = str(error)
        plain.transport.abort()

    async def _ask(self, link: Link) -> int:
        """What the gate says to `OPEN`; 0 if the link is lost."""
        told: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._told[link] = told
        link.send(OPEN)
        try:
            return await told
        finally:
            self._told.pop(link, None)


class Relay:
    """All ways of one server."""

    def __init__(self) -> None:
        self._ways: dict[str, Way] = {}
        self._listener: socket.socket | None = None

    async def do(self, command: Json) -> Json:
        """Carry out one command; the answer. Raises NotOpen, OSError."""
        if command["do"] == "open":
            way = Way(command["way"], command["identity"], command["to"])
            self._end(command["way"])
            self._ways[command["way"]] = way
            try:
                await way.reachable(command["wait"])
                await way.serve(command["socket"])
            except BaseException:
                if self._ways.get(command["way"]) is way:
                    self._end(command["way"])
                raise
            return {}
        if command["do"] == "close":
            self._end(command["way"])
            return {}
        return {"port": self._listen(command["at"], *command["ports"])}

    def _end(self, name: str) -> None:
        if (way := self._ways.pop(name, None)) is not None:
            way.close()

    def _listen(self, at: Json, low: int, high: int) -> int:
        """Listen for gates that dial, once for all ways; the port, or 0 for a Unix socket."""
        if self._listener is None:
            # Which certificate to show depends on who asks: one of an unknown name gets none.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.verify_mode = ssl.CERT_REQUIRED
            context.sni_callback = self._choose
            # The way's own context brings its certificates, but not its flags.
            context.verify_flags |= NO_CHECK_TIME
            context.num_tickets = 0
            self._listener = _listener(at, low, high)
            loop = asyncio.get_running_loop()
            self._door = Door(loop, self._listener, context, lambda: Link(self._expected, self))
        return 0 if at["scheme"] == "unix" else int(self._listener.getsockname()[1])

    def _choose(self, tls: Any, name: str | None, _: ssl.SSLContext) -> int | None:
        if (way := self._ways.get(name or "")) is None:
            return int(ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME)
        tls.context = way.context
        return None

    def _way(self, tls: Any) -> Way | None:
        return next((way for way in self._ways.values() if way.context is tls.context), None)

    def _expected(self, tls: Any) -> bytes | None:
        way = self._way(tls)
        return None if way is None else way.expected

    # A link that came in is its way's from then on

    def link_made(self, link: Link) -> None:
        way = self._way(link.transport.get_extra_info("ssl_object"))
        assert way is not None  # noqa: S101 - it was asked for what to expect
        link.owner = way
        way.link_made(link)


def _listener(at: Json, low: int, high: int) -> socket.socket:
    """A socket that listens at `at`, a Unix socket or a host with one of the ports."""
    if at["scheme"] != "unix":
        for port in range(low, high + 1):
            with contextlib.suppress(OSError):
                return listening(at["host"], port)
        raise OSError(f"no port of {low} to {high} is free on {at['host']}")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(at["path"])  # noqa: PTH108 - of a relay that died
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(at["path"])
    os.chmod(at["path"], 0o600)  # noqa: PTH101
    listener.listen(BACKLOG)
    return listener


async def main() -> None:
    """Take commands until stdin ends."""
    many_files()
    small_buffers()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(quiet)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    relay, tasks = Relay(), set[asyncio.Task[None]]()

    async def answer(command: Json) -> None:
        try:
            told = await relay.do(command)
        except (NotOpen, OSError) as error:
            told = {"error": str(error)}
        except Exception as error:  # whoever asked waits for an answer
            told = {"error": repr(error)}
        sys.stdout.write(json.dumps({**told, "id": command["id"]}) + "\n")
        sys.stdout.flush()

    while line := await reader.readline():
        task = loop.create_task(answer(json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


if __name__ == "__main__":
    asyncio.run(main())
