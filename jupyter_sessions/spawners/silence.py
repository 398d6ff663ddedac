"""`Silence`: a scheduler that does not answer is asked again later, and by one at a time."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ..errors import SpawnerError, Unreachable

T = TypeVar("T")
FIRST, LONGEST = 1.0, 20.0
"""Seconds until a scheduler is asked again that did not answer: they double each time."""


class Silence:
    """Keeps all that a spawner asks from a scheduler that has just not answered.

    Without it, each session that waits to be submitted or stopped would send commands of its own
    to a dead scheduler, again and again, each of which takes many seconds to fail.

    Parameters
    ----------
    clock
        Gives the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed = self._until = float("-inf")
        self._pause = 0.0
        self._sentence = ""

    async def ask(self, question: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """The answer to `question`, if it is asked now.

        Raises
        ------
        Unreachable
            If it is not answered; or if one before was not, and it is not yet time to ask again.
        """
        began = self._clock()
        if began < self._until:
            raise Unreachable(self._sentence)
        if self._pause:
            # This one finds out for all: what the others asked meanwhile would be in vain.
            self._until = float("inf")
        try:
            answer = await question(*arguments)
        except Unreachable as error:
            if began > self._failed:  # those that were under way together are one failure
                self._pause = min(max(FIRST, 2 * self._pause), LONGEST)
            self._failed, self._sentence = self._clock(), error.message
            raise
        except SpawnerError:  # a refusal is an answer
            self._pause = 0.0
            raise
        else:
            self._pause = 0.0
            return answer
        finally:
            self._until = self._clock() + self._pause
