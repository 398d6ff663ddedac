"""`Shared`: one answer for all who ask at about the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """Puts a question once for everybody who waits for its answer.

    Whoever asks gets the answer to a question that was put afterwards: the answer to one that is
    under way may be older than what they have just done. So two at the most are under way or
    wait to be, however many ask.

    Parameters
    ----------
    question
        What is asked; its answer, or what it raises, goes to all.
    """

    def __init__(self, question: Callable[[], Awaitable[T]]) -> None:
        self._question = question
        self._now: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None
        self._waiting: dict[asyncio.Task[T], int] = {}

    async def ask(self) -> T:
        """The answer. One that nobody waits for any more is given up."""
        if self._next is None:
            self._next = asyncio.create_task(self._put(self._now), name="sessions-shared")
        task = self._next
        self._waiting[task] = self._waiting.get(task, 0) + 1
        try:
            return await asyncio.shield(task)
        finally:
            self._waiting[task] -= 1
            if not self._waiting[task]:
                del self._waiting[task]
                self._give_up(task)

    async def _put(self, before: asyncio.Task[T] | None) -> T:
        if before is not None:
            await asyncio.wait([before])
        self._now, self._next = self._next, None
        return await self._question()

    def _give_up(self, task: asyncio.Task[T]) -> None:
        if self._next is task:
            self._next = None
        task.cancel()  # does nothing to one that has ended
