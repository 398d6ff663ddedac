"""`Poller`: one status query per spawner at a time, for all of its sessions at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from .errors import SpawnerError
from .ledger import Ledger
from .session import ENDED, Handle, Report, Session, State
from .spawners.base import Spawner

OVERDUE = 20.0
"""Seconds that a status query may take before its sessions are shown as unreachable."""


@dataclass(frozen=True, slots=True)
class Polled:
    """What a spawner said about one session; None if it could not tell."""

    attempt: int
    report: Report | None


class Poller:
    """Asks the spawners, each in a task of its own: a slow one holds up nobody else.

    Parameters
    ----------
    wake
        Called when an answer has come that says something new.
    """

    def __init__(
        self, spawners: Mapping[str, Spawner], ledger: Ledger, wake: Callable[[], None]
    ) -> None:
        self._spawners = spawners
        self._ledger = ledger
        self._wake = wake
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._asked: dict[str, float] = {}
        self._answers: dict[str, Polled] = {}
        self._last: dict[str, dict[str, Polled]] = {}

    def ask(self, sessions: Iterable[Session]) -> None:
        """Set off the queries that are due about `sessions`."""
        wanted: dict[str, dict[str, Session]] = {}
        for session in sessions:
            attempt = session.attempt
            if attempt.state not in ENDED and attempt.handle is not None and attempt.submitted:
                wanted.setdefault(session.spawner, {})[session.id] = session
        for name, asked in wanted.items():
            spawner = self._spawners.get(name)
            due = spawner and time.monotonic() - self._asked.get(name, 0) >= spawner.poll_interval
            if spawner is not None and due and name not in self._tasks:
                self._tasks[name] = asyncio.create_task(
                    self._poll(name, spawner, asked), name=f"sessions-poll-{name}"
                )

    def soon(self, name: str) -> None:
        """Ask the spawner `name` at the next tick: something of its has just changed."""
        self._asked.pop(name, None)

    def answers(self) -> dict[str, Polled]:
        """The answers that have come since the last call, by session id."""
        answers, self._answers = self._answers, {}
        return answers

    async def settled(self, seconds: float) -> None:
        """Wait until the queries under way are answered, `seconds` at the most."""
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=seconds)

    async def close(self) -> None:
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _late(self, name: str, nothing: Mapping[str, Polled]) -> None:
        """A query takes too long: until it is answered, nothing is known of its sessions."""
        self._ledger.complain(f"spawner {name}", f"no answer for {OVERDUE:g} s")
        self._answers.update(nothing)
        self._wake()

    async def _poll(self, name: str, spawner: Spawner, asked: Mapping[str, Session]) -> None:
        self._asked[name] = time.monotonic()
        handles: dict[str, Handle] = {sid: s.attempt.handle or {} for sid, s in asked.items()}
        reports: Mapping[str, Report] = {}
        nothing = {sid: Polled(s.attempt.number, None) for sid, s in asked.items()}
        late = asyncio.get_running_loop().call_later(OVERDUE, self._late, name, nothing)
        try:
            reports = await spawner.poll(handles)
            self._ledger.settle(f"spawner {name}")
        except SpawnerError as error:
            self._ledger.complain(f"spawner {name}", error.message)
        except Exception as error:
            self._ledger.complain(f"spawner {name}", f"unexpected error: {error!r}")
        finally:
            late.cancel()
            del self._tasks[name]
        answers = {sid: Polled(s.attempt.number, reports.get(sid)) for sid, s in asked.items()}
        self._answers.update(answers)
        before, self._last[name] = self._last.get(name), answers
        # One that stops waits for its end, which may have been seen before it was told to stop.
        if answers != before or any(s.state is State.STOPPING for s in asked.values()):
            self._wake()
