"""`Ledger`: what this server knows of the sessions, and the one way in which it changes them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from .errors import SessionError, SessionNotFound
from .launching import session_app
from .ownership import Ownership
from .session import Seen, Session, advance
from .store import SessionStore, Unreadable


class Ledger:
    """The sessions as last seen in the store, and changes to them.

    Parameters
    ----------
    noticed
        Called with (before, after) for each session that is not as it was last seen; before is
        None for a new one, after is None for one that is gone. Not called for those that were
        there before the first look: nothing has happened to them.
    """

    def __init__(
        self,
        store: SessionStore,
        ownership: Ownership,
        log: logging.Logger,
        noticed: Callable[[Session | None, Session | None], None],
    ) -> None:
        self.sessions: dict[str, Session] = {}
        self.unreadable: list[Unreadable] = []
        self.store = store
        self.ownership = ownership
        self.log = log
        self._noticed = noticed
        self._scanned = False
        self._complaints: dict[str, str] = {}

    def mine(self) -> list[Session]:
        """The sessions that this server looks after and that have not ended."""
        sessions = self.sessions.values()
        return [s for s in sessions if self.ownership.mine(s.owner) and not s.ended]

    async def scan(self, adoptable: Callable[[Session], bool]) -> None:
        """Read the store; adopt what nobody looks after and is `adoptable`."""

        def adopt(session: Session) -> Session:
            if session.ended or self.ownership.alive(session.owner) or not adoptable(session):
                return session
            return replace(session, owner=self.ownership.me.to_json())

        def look() -> tuple[list[Session], list[Unreadable], list[str]]:
            sessions, unreadable = self.store.list()
            return sessions, unreadable, [s.id for s in sessions if adopt(s) is not s]

        unreadable = {item.id for item in self.unreadable}
        sessions, self.unreadable, orphans = await asyncio.to_thread(look)
        for session_id in unreadable - {item.id for item in self.unreadable}:
            self.settle(session_id)
        for session in sessions:
            self.note(session)
        for session_id in self.sessions.keys() - {s.id for s in sessions}:
            await self.look_again(session_id)
        self._scanned = True
        for item in self.unreadable:
            self.complain(item.id, item.message)
        for session_id in orphans:
            try:
                await self.change(session_id, adopt)
            except SessionNotFound:
                await self.look_again(session_id)
            except SessionError as error:
                self.complain(session_id, error.message)

    async def look_again(self, session_id: str) -> None:
        """Read one session that was missed; if it is really gone, say so."""
        try:
            self.note(await asyncio.to_thread(self.store.read, session_id))
        except SessionNotFound:
            if (before := self.sessions.pop(session_id, None)) is not None:
                self._noticed(before, None)
            self.settle(session_id)
        except SessionError as error:
            self.complain(session_id, error.message)

    def note(self, session: Session) -> None:
        """Remember `session` as it was read or written, unless something newer is known."""
        before = self.sessions.get(session.id)
        if before is not None and session.revision < before.revision:
            return
        self.sessions[session.id] = session
        if before != session and (before is not None or self._scanned):
            self._noticed(before, session)

    async def change(self, session_id: str, change: Callable[[Session], Session]) -> Session:
        """Write a change of one session; all changes that this process makes are made here."""
        session = await asyncio.to_thread(self.store.update, session_id, change)
        self.note(session)
        return session

    async def change_mine(self, session: Session, change: Callable[[Session], Session]) -> Session:
        """A change to the attempt that was looked at, unless it is no longer ours to change."""

        def guarded(now: Session) -> Session:
            same = now.attempt.number == session.attempt.number
            return change(now) if same and self.ownership.mine(now.owner) else now

        return await self.change(session.id, guarded)

    async def advance(self, session: Session, seen: Seen) -> Session:
        """Let `session.advance` move the session as far as it goes after what was `seen`."""
        ready_timeout = session_app(session).ready_timeout

        def far(now: Session) -> Session:
            while (after := advance(now, seen, utc_now(), ready_timeout)) != now:
                if after.attempt.number != now.attempt.number:
                    return after  # what was seen is about the attempt before
                now = after
            return now

        return await self.change_mine(session, far) if far(session) != session else session

    def complain(self, about: str, message: str) -> bool:
        """Log a trouble once, until it changes. Says whether it was news."""
        if self._complaints.get(about) == message:
            return False
        self._complaints[about] = message
        self.log.warning("%s: %s", about, message)
        return True

    def settle(self, about: str) -> None:
        """Forget a trouble that is over, so that it is logged if it comes again."""
        self._complaints.pop(about, None)


def utc_now() -> datetime:
    """The time, as the records keep it."""
    return datetime.now(UTC)
