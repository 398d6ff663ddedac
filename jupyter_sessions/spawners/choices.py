"""What a scheduler offers, asked rarely and in the background: the choices of the form."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import SpawnerError

PATIENCE = 3.0
"""Seconds that a form waits for the first answer; after that it begins with free text."""
FAILED_AGAIN = 6.0
"""Seconds after which one that did not answer is asked again, if somebody looks."""
FRESHER = 1.0
"""Seconds that a form waits for an answer that is not old; after that it shows the old one."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What can be chosen now.

    Parameters
    ----------
    schemas
        By option: what goes over its built-in schema (`enum`, `default`, `maximum`); or None to
        take the option away, as there is nothing to choose.
    rules
        Conditions between them: ``if`` one queue ``then`` its limits.
    """

    schemas: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    rules: Sequence[Mapping[str, Any]] = ()


class Offered:
    """The `Choices` of one spawner, as fresh as `interval` says. Owns the task that asks.

    Parameters
    ----------
    ask
        Asks the scheduler. What it raises is kept as the reason why nothing can be offered.
    interval
        Gives the seconds after which an answer is old.
    """

    def __init__(
        self, ask: Callable[[], Awaitable[Choices]], interval: Callable[[], float], log: Any
    ) -> None:
        self._ask = ask
        self._interval = interval
        self._log: logging.Logger = log
        self._task: asyncio.Task[None] | None = None
        self._asked = float("-inf")
        self._answered: float | None = None
        self.choices = Choices()
        self.problem = ""
        """Why the scheduler cannot be used now, as a sentence; empty if it answered."""

    @property
    def age(self) -> float | None:
        """Seconds since the last answer; None if there was none."""
        return None if self._answered is None else time.monotonic() - self._answered

    async def look(self) -> None:
        """Ask if the answer is old, and wait for the next one, but not for long."""
        old = time.monotonic() - self._asked >= self._interval()
        failed = self.problem and time.monotonic() - self._asked >= FAILED_AGAIN
        if self._task is None and (old or failed):
            self._asked = time.monotonic()
            self._task = asyncio.create_task(self._refresh(), name="sessions-choices")
        if self._task is not None:
            patience = PATIENCE if self._answered is None else FRESHER
            await asyncio.wait([self._task], timeout=patience)

    async def _refresh(self) -> None:
        try:
            self.choices = await self._ask()
            self._answered, self.problem = time.monotonic(), ""
        except SpawnerError as error:
            self.problem = error.message
        except Exception as error:
            self._log.exception("What a scheduler offers cannot be read")
            self.problem = f"What it offers cannot be read: {error!r}."
        finally:
            self._task = None


def said(age: float) -> str:
    """How old an answer is, for people; nothing if it is new."""
    if age < 60:
        return ""
    minutes = round(age / 60)
    return f"As of {minutes} min ago." if minutes < 120 else f"As of {round(minutes / 60)} h ago."
