"""`Relay`: the process of `relay`, from this side. It lives as long as a way is open."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import runner
from ..errors import Unreachable
from ..routes import Address

PACKAGES = str(Path(runner.__file__).parents[2])
WAIT = 3.0
"""Seconds that a gate may take to be there when a way is opened: one that died is back in two."""
AT_SOCKET = ("", 0, 0)
"""In place of a host and ports: a Unix socket in the relay's private directory."""
AGAIN = 1.0
"""Seconds before a relay that died is started again, and between attempts to open its ways."""


@dataclass(frozen=True, slots=True)
class _Way:
    name: str
    socket: str
    identity: str
    to: Mapping[str, Any] | None


class Relay:
    """Jupyter's end of the gates of one spawner's sessions.

    The process is started with the first way and ended with the last. One that dies is started
    again, and serves the same sockets: whoever knows them goes on.

    Parameters
    ----------
    listen
        Host and ports (the first and the last) where gates that dial find it; `AT_SOCKET` if their
        connections come through something that finds a Unix socket; None if none do.
    """

    def __init__(self, listen: tuple[str, int, int] | None = None) -> None:
        self._listen = listen
        self._lock = asyncio.Lock()
        self._process: Process | None = None
        self._folder = ""
        self._ways: dict[str, _Way] = {}
        self._users = 0
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._port = 0
        self._died = False

    @property
    def pid(self) -> int | None:
        """The process, if it runs."""
        return None if self._process is None else self._process.pid

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Address | None]:
        """Keep the process while the context is entered. Gives where it listens, if it does.

        Raises
        ------
        Unreachable
            If it cannot be started, or cannot listen.
        """
        self._users += 1
        try:
            async with self._lock:
                if self._process is None:
                    await self._start()
            yield self._listens()
        finally:
            self._users -= 1
            async with self._lock:
                if self._users == 0:
                    await self._end()

    @asynccontextmanager
    async def way(
        self, name: str, identity: str, to: Address | None, wait: float = WAIT
    ) -> AsyncIterator[Address]:
        """A Unix socket that leads to the app behind a gate, while the context is entered.

        Parameters
        ----------
        name
            What the gate calls itself.
        identity
            The folder with the keys: see `identity.identities`.
        to
            Where the gate listens, as seen from here; None if it dials.
        wait
            Seconds that it may take.

        Raises
        ------
        Unreachable
            If the gate cannot be reached.
        """
        async with self.running():
            path = f"{self._folder}/{next(self._numbers)}"
            way = _Way(name, path, identity, None if to is None else to.to_json())
            await self._open(way, wait)
            self._ways[path] = way
            try:
                yield Address.unix(path)
            finally:
                del self._ways[path]
                with contextlib.suppress(Unreachable):
                    await self._ask("close", way=name)
                with contextlib.suppress(OSError):
                    os.unlink(path)  # noqa: PTH108

    def _listens(self) -> Address | None:
        if self._listen is None:
            return None
        if self._listen == AT_SOCKET:
            return Address.unix(f"{self._folder}/dialled")
        return Address.tcp(self._listen[0], self._port)

    async def _open(self, way: _Way, wait: float) -> None:
        await self._ask(
            "open",
            way=way.name,
            socket=way.socket,
            identity=way.identity,
            to=way.to,
            wait=wait,
        )

    async def _start(self) -> None:
        if not self._folder:
            self._folder = tempfile.mkdtemp(prefix=runner.TEMPORARY)
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-S", "-m", "jupyter_sessions.reaching.relay"),
            stdin=PIPE,
            stdout=PIPE,
            stderr=None,
            cwd="/",
            env={**runner.clean_environment(), b"PYTHONPATH": os.fsencode(PACKAGES)},
            start_new_session=True,
        )
        self._died = False
        self._reader = asyncio.create_task(self._read(self._process), name="sessions-relay")
        if (listens := self._listens()) is not None:
            assert self._listen is not None  # noqa: S101 - then there would be nowhere
            _, low, high = self._listen
            ports = [self._port, self._port] if self._port else [low, high]
            try:
                self._port = (await self._ask("listen", at=listens.to_json(), ports=ports))["port"]
            except Unreachable:
                await self._end()
                raise

    async def _end(self) -> None:
        process, self._process = self._process, None
        self._port = 0
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()  # it keeps nothing
            await process.wait()
        self._fail("The relay was ended.")
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = ""

    def _fail(self, why: str) -> None:
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(Unreachable(why))

    async def _ask(self, do: str, **further: Any) -> dict[str, Any]:
        """The relay's answer to one command. Raises Unreachable if it could not do it."""
        process, number = self._process, next(self._numbers)
        if process is None or process.stdin is None or self._died:
            raise Unreachable("The relay to the nodes does not run.")
        answered: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked[number] = answered
        try:
            process.stdin.write(json.dumps({"id": number, "do": do, **further}).encode() + b"\n")
            answer = await answered
        finally:
            del self._asked[number]
        if why := answer.get("error"):
            raise Unreachable(f"The way to the node cannot be opened: {why}.")
        return answer

    async def _read(self, process: Process) -> None:
        """Take in answers; when the process dies while it is wanted, see to another one."""
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        while line := await process.stdout.readline():
            answer = json.loads(line)
            asked = self._asked.get(answer["id"])
            if asked is not None and not asked.done():
                asked.set_result(answer)
        self._died = True  # whoever asks before there is another would wait for ever
        self._fail("The relay to the nodes has died.")
        await process.wait()
        await asyncio.sleep(AGAIN)
        async with self._lock:
            if self._process is not process or not self._users:
                return
            self._reader = None
            await self._start()
        for way in list(self._ways.values()):
            await self._again(way)

    async def _again(self, way: _Way) -> None:
        """Open a way in another process, for as long as it takes."""
        while way.socket in self._ways and self._process is not None:
            with contextlib.suppress(Unreachable):
                await self._open(way, WAIT)
                return
            await asyncio.sleep(AGAIN)
