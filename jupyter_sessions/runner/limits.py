"""The time that an app has."""

import contextlib
import os
import time
from typing import Optional, Tuple

from .errors import StartError
from .files import Json, read_json


class Limit:
    """When the app of an attempt has to end, and whether that was changed."""

    def __init__(self, directory: str, launch: Json) -> None:
        self._path = os.path.join(directory, "limit.json")
        self._timeout: Optional[float] = launch.get("timeout")
        self._seen: Optional[Tuple[int, int]] = None
        self.started = time.time()
        """When the runner began."""

    def check(self) -> None:
        """Raises StartError if the launch's limit is none."""
        if self._timeout is not None and not isinstance(self._timeout, (int, float)):
            raise StartError("The time limit is not a number of seconds.")

    def look(self) -> None:
        """Read what the verb `limit` wrote, if that is new."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found = os.stat(self._path)
            seen = (found.st_mtime_ns, found.st_ino)
            if seen != self._seen:
                timeout = read_json(self._path)["timeout"]
                self._timeout = None if timeout is None else float(timeout)
                self._seen = seen

    @property
    def deadline(self) -> Optional[float]:
        """In seconds since the epoch; None if there is no limit."""
        return None if self._timeout is None else self.started + self._timeout

    @property
    def left(self) -> float:
        """Seconds until then."""
        return float("inf") if self.deadline is None else self.deadline - time.time()
