"""`Connections`: the ways from this server to the sessions that run."""

from __future__ import annotations

import asyncio
from collections.abc import Container
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from .errors import Unreachable
from .routes import Address
from .session import Session
from .spawners.base import Spawner


@dataclass(slots=True)
class _Way:
    there: Address
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    here: Address | None = None
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def close(self) -> None:
        async with self.lock:  # not while somebody opens it: that would never be closed
            await self.stack.aclose()


class Connections:
    """One open way per session, made when it is first needed and kept while its address lasts.

    Each server has its own, for sessions of which another server is the owner too.
    """

    def __init__(self) -> None:
        self._ways: dict[str, _Way] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def reach(self, session: Session, spawner: Spawner) -> Address:
        """Where this server finds the app of `session`.

        Raises
        ------
        Unreachable
            If the way there cannot be opened now.
        """
        there = session.attempt.address
        assert there is not None  # noqa: S101 - callers ask for sessions that listen
        way = self._ways.get(session.id)
        if way is not None and way.there == there and way.here is not None:
            return way.here
        if way is None or way.there != there:
            # Replaced at once, closed after: whoever comes meanwhile shares the new one.
            old, way = way, _Way(there)
            self._ways[session.id] = way
            if old is not None:
                self._close(old)
        async with way.lock:
            if self._ways.get(session.id) is not way:
                raise Unreachable("The session ended, or moved, while the way to it was opened.")
            if way.here is None:
                way.here = await way.stack.enter_async_context(spawner.connect(there))
        return way.here

    def drop(self, session_id: str) -> None:
        """Close the way to a session that ended. Harmless if there is none."""
        if (way := self._ways.pop(session_id, None)) is not None:
            self._close(way)

    def keep(self, session_ids: Container[str]) -> None:
        """Close all ways but those to `session_ids`: the others no longer run, or are gone.

        Called by the loop, which does not wait: to close a tunnel may take its time.
        """
        for session_id in list(self._ways):
            if session_id not in session_ids:
                self.drop(session_id)

    async def close(self) -> None:
        """Close all ways, and wait for it."""
        self.keep(())
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _close(self, way: _Way) -> None:
        task = asyncio.create_task(way.close(), name="close-a-way")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
