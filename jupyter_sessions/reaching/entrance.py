"""`Entrance`: where nodes dial the login node, and end up at a socket of this machine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from ..errors import SpawnerError
from ..hosts.base import LeadsBack
from . import front

BEAT = 15.0
"""Seconds between words to the program on the host: see `front.SILENCE`."""
FIRST_PAUSE, LAST_PAUSE = 0.2, 15.0
"""Seconds between attempts to make it again: they begin close together and thin out."""

Where = Sequence[tuple[str, int]]
"""Names or addresses, each with a port, the likeliest first."""


class Entrance:
    """Has a host over SSH listen for nodes. What the connection loses with it is made again.

    Nothing of it is in a file there: all that there is ends with the connection.

    Parameters
    ----------
    back
        The host.
    listen
        The address of the host to listen at; empty for all.
    ports
        The first and the last port; (0, 0) for any.
    names
        What nodes call the host; what it calls itself if empty.
    moved
        Called each time that `where` has changed, but for the first.

    Attributes
    ----------
    where
        Where nodes dial.
    relayed
        Whether a program of ours listens there, as the SSH server does so at the loopback only.
    """

    def __init__(
        self,
        back: LeadsBack,
        listen: str,
        ports: tuple[int, int],
        names: Sequence[str],
        moved: Callable[[], Awaitable[None]],
        log: logging.Logger,
    ) -> None:
        self._back = back
        self._listen = listen
        self._ports = list(range(ports[0], ports[1] + 1))
        self._names = names
        self._moved = moved
        self._log = log
        self._users = 0
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self.where: Where = ()
        self.relayed = False

    @asynccontextmanager
    async def opened(self, path: str) -> AsyncIterator[None]:
        """Lead who dials the host to the Unix socket `path`, while the context is entered.

        All who have entered share one entrance, and one `path`.

        Raises
        ------
        SpawnerError, Unreachable
            If that is not possible now.
        """
        self._users += 1
        try:
            async with self._lock:
                if self._task is None:
                    await self._begin(path)
            yield
        finally:
            self._users -= 1
            async with self._lock:
                if self._users == 0:
                    await self._end()

    async def _begin(self, path: str) -> None:
        self.where, self.relayed = (), False
        first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._keep(path, first), name="sessions-entrance")
        try:
            await asyncio.wait([first, self._task], return_when=asyncio.FIRST_COMPLETED)
            if not first.done():
                self._task.result()  # raises why
            first.result()
        except BaseException:
            await self._end()
            raise

    async def _end(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _keep(self, path: str, first: asyncio.Future[None]) -> None:
        """Make it, and again after each loss."""
        pause = FIRST_PAUSE
        while True:
            try:
                async with self._made(path) as (where, ends):
                    pause = FIRST_PAUSE
                    before, self.where = self.where, where
                    if not first.done():
                        first.set_result(None)
                    elif before != where:
                        await self._moved()
                    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                    self._log.info("Where nodes dial %s was lost.", self._back.name)
            except SpawnerError as error:
                if not first.done():
                    first.set_exception(error)
                    return
                self._log.warning("Nodes cannot dial %s now: %s", self._back.name, error.message)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_PAUSE)

    @asynccontextmanager
    async def _made(self, path: str) -> AsyncIterator[tuple[Where, Sequence[asyncio.Task[Any]]]]:
        """Where it is, and what ends when it is lost."""
        async with AsyncExitStack() as stack:
            known = [port for _, port in self.where[:1]]  # by nodes, from the last time
            ports = [*known, *self._ports]
            # At any port first: a relay, should there have to be one, needs those of `ports`.
            wanted = ports if known and not self.relayed else [0]
            told, ends = await self._there(stack, path, wanted, ports)
            if not told["relayed"] and 0 not in ports and told["port"] not in ports:
                await stack.aclose()
                told, ends = await self._there(stack, path, ports, ports)
            self.relayed = bool(told["relayed"])
            names = self._names or told["names"]
            yield [(str(name), int(told["port"])) for name in names], ends

    async def _there(
        self, stack: AsyncExitStack, path: str, wanted: Sequence[int], ports: Sequence[int]
    ) -> tuple[dict[str, Any], Sequence[asyncio.Task[Any]]]:
        """Have the host listen at one of `wanted`, and a relay at one of `ports` if need be."""
        listening = self._back.listening(self._listen, wanted, path)
        port, lost = await stack.enter_async_context(listening)
        loss = asyncio.create_task(lost.wait(), name="sessions-loss")
        stack.callback(loss.cancel)
        source = await asyncio.to_thread(front.program)
        asked = {"port": port, "host": self._listen, "ports": ports}
        program = self._back.program(source, asked, BEAT)
        told, runs = await stack.enter_async_context(program)
        return told, [loss, runs] if told["relayed"] else [loss]
