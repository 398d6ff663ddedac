"""`Forgetting`: sessions that are over go, what their hosts keep of them first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import timedelta

from .errors import SessionError, SpawnerError
from .ledger import Ledger, utc_now
from .session import Session
from .spawners.base import Spawner

ASK_AGAIN = 30.0
"""Seconds after which a host that was away is asked again to remove a session's files."""
GIVE_UP = timedelta(days=7)
"""How long after its end a session waits for a host that is away; then its record goes alone."""


class Forgetting:
    """Removes sessions, each in a task of its own: a host that is away holds up nobody."""

    def __init__(self, ledger: Ledger, spawners: Mapping[str, Spawner]) -> None:
        self._ledger = ledger
        self._spawners = spawners
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._not_before: dict[str, float] = {}

    def set_off(self, session: Session, only_if: Callable[[Session], bool]) -> None:
        """Forget `session`, unless that is under way or has to wait.

        Parameters
        ----------
        only_if
            Asked about the record as it is on disk then, in a thread.
        """
        waits = time.monotonic() < self._not_before.get(session.id, 0)
        if session.id not in self._tasks and not waits:
            self._tasks[session.id] = asyncio.create_task(
                self._forget(session, only_if), name=f"session-{session.id}-forget"
            )

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _forget(self, session: Session, only_if: Callable[[Session], bool]) -> None:
        ledger = self._ledger
        try:
            if not only_if(await asyncio.to_thread(ledger.store.read, session.id)):
                return
            await self._remove_there(session)
            await asyncio.to_thread(ledger.store.delete, session.id, only_if)
            await ledger.look_again(session.id)
            self._not_before.pop(session.id, None)
        except SessionError as error:
            self._not_before[session.id] = time.monotonic() + ASK_AGAIN
            ledger.complain(session.id, f"it is not forgotten yet: {error.message}")
        except Exception as error:
            self._not_before[session.id] = time.monotonic() + ASK_AGAIN
            ledger.complain(session.id, f"unexpected error: {error!r}")
        finally:
            del self._tasks[session.id]

    async def _remove_there(self, session: Session) -> None:
        spawner = self._spawners.get(session.spawner)
        attempts = (*session.past, session.attempt)
        if spawner is None or all(attempt.handle is None for attempt in attempts):
            return  # nobody knows where it was, or it was nowhere
        try:
            await spawner.forget(session.id)
        except SpawnerError as error:
            ended = session.attempt.ended
            if ended is None or utc_now() - ended < GIVE_UP:
                raise
            message = f"its files on {spawner.host.name} may still be there: {error.message}"
            self._ledger.complain(session.id, message)
