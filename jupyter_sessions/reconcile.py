"""The loop that brings every session of this server to where it is wanted.

One `tick` looks at the store (other servers and the CLI write there too), adopts sessions whose
owner died, asks each spawner once about all of its sessions, lets `advance` decide, and sets off
the steps that follow. Whatever can be slow (queries, steps) is a task of its own, so that one
spawner or session holds up nobody else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from .connections import Connections
from .errors import SessionError, SessionNotFound, StoreError
from .forgetting import Forgetting
from .ledger import Ledger, utc_now
from .polling import Polled, Poller
from .session import Seen, Session, State
from .spawners.base import Spawner
from .steps import Steps

HEARTBEAT = 10.0
"""Seconds between heartbeats; well below `ownership.LEASE`."""

FIRST_LOOK = 3.0
"""Seconds to wait at the start for what the spawners say."""


class Reconciler:
    """The loop of one server.

    Parameters
    ----------
    wake
        Set by whoever wants the loop to look at once.
    scan_interval, keep_ended
        Seconds; see the manager's traits.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        steps: Steps,
        poller: Poller,
        connections: Connections,
        spawners: Mapping[str, Spawner],
        wake: asyncio.Event,
        scan_interval: float,
        keep_ended: float,
    ) -> None:
        self._ledger = ledger
        self._steps = steps
        self._poller = poller
        self._connections = connections
        self._spawners = spawners
        self._forgetting = Forgetting(ledger, spawners)
        self._wake = wake
        self._scan_interval = scan_interval
        self._keep_ended = timedelta(seconds=keep_ended)
        self._beaten = 0.0

    async def first(self) -> None:
        """The first looks: at the store, and at what the spawners say of what is in it."""
        for _ in range(2):
            try:
                await self.tick()
            except StoreError as error:
                self._ledger.complain("store", error.message)
            await self._poller.settled(FIRST_LOOK)

    async def run(self) -> None:
        """Tick until cancelled. Nothing that goes wrong with one tick ends the loop."""
        while True:
            self._wake.clear()
            try:
                await self.tick()
                self._ledger.settle("store")
            except StoreError as error:
                self._ledger.complain("store", error.message)
            except Exception:
                self._ledger.log.exception("The loop of jupyter_sessions met an unexpected error")
            try:
                async with asyncio.timeout(self._delay()):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def close(self) -> None:
        """End all tasks; give the sessions free for other servers. They run on."""
        await self._poller.close()
        await self._steps.close()
        await self._forgetting.close()
        for session in self._ledger.mine():
            try:
                await self._ledger.change(session.id, lambda s: replace(s, owner=None))
            except SessionError as error:
                self._ledger.log.warning("Session %s is not released: %s", session.id, error)
        await asyncio.to_thread(self._ledger.ownership.leave)

    async def tick(self) -> None:
        """Look at everything once and set off what is to be done."""
        if time.monotonic() - self._beaten >= HEARTBEAT:
            await asyncio.to_thread(self._ledger.ownership.beat)
            self._beaten = time.monotonic()
        # What another server has configured and this one has not is not for this one.
        await self._ledger.scan(lambda session: session.spawner in self._spawners)
        answers = self._poller.answers()
        for session in self._ledger.mine():
            await self._look_after(session, answers.get(session.id))
        self._poller.ask(self._ledger.mine())
        self._sweep()

    async def _look_after(self, session: Session, polled: Polled | None) -> None:
        """One session; whatever is wrong with it does not touch the others."""
        seen = Seen()
        if polled is not None and polled.attempt == session.attempt.number:
            seen = Seen(asked=True, report=polled.report)
        try:
            session = await self._ledger.advance(session, seen)
            if self._ledger.ownership.mine(session.owner) and not session.ended:
                self._steps.set_off(session)
        except SessionNotFound:
            await self._ledger.look_again(session.id)
        except SessionError as error:
            self._ledger.complain(session.id, error.message)
        except Exception as error:
            self._ledger.complain(session.id, f"unexpected error: {error!r}")

    def _sweep(self) -> None:
        """Close the ways to what no longer runs; forget what is to be forgotten."""
        limit, ownership = utc_now() - self._keep_ended, self._ledger.ownership

        def over(session: Session) -> bool:
            ended = session.attempt.ended
            old = session.forget or (ended is not None and ended < limit)
            return session.ended and old

        def over_for_us(session: Session) -> bool:
            # Asked of what is on disk now, in a thread: somebody may just have restarted it.
            others = ownership.alive(session.owner) and not ownership.mine(session.owner)
            return over(session) and not others

        sessions = list(self._ledger.sessions.values())
        reachable = (State.STARTING, State.RUNNING)
        self._connections.keep({s.id for s in sessions if s.state in reachable})
        for session in filter(over, sessions):
            self._forgetting.set_off(session, over_for_us)
        self._steps.forget(self._ledger.sessions)

    def _delay(self) -> float:
        """Seconds until there is something to look at."""
        names = {session.spawner for session in self._ledger.mine()} & self._spawners.keys()
        polls = (self._spawners[name].poll_interval for name in names)
        return min([self._scan_interval, HEARTBEAT, *polls])
