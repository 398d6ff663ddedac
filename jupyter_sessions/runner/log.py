"""The app's log, and the pipes that lead there."""

import contextlib
import os
from typing import Optional

from .files import Json
from .masks import Mask

MAX_BYTES = 10 * 1024 * 1024  # if its launch does not say


class Log:
    """The app's log, capped: ``log`` and the older ``log.1`` take so many bytes at most.

    A disk that is full or gone must not stop the app: what cannot be written is dropped.
    """

    def __init__(self, directory: str, launch: Json, mask: Mask) -> None:
        max_bytes = int((launch.get("log") or {}).get("max_bytes") or MAX_BYTES)
        self._mask = mask
        self._path = os.path.join(directory, "log")
        self._half = max(1, max_bytes // 2)
        self._fd: Optional[int] = None

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        with contextlib.suppress(OSError):
            while view:
                if self._fd is None:
                    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
                    self._fd = os.open(self._path, flags, 0o600)
                room = self._half - os.fstat(self._fd).st_size  # `note` writes there too
                if room > 0:
                    view = view[os.write(self._fd, view[:room]) :]
                else:
                    os.close(self._fd)
                    self._fd = None
                    os.rename(self._path, self._path + ".1")

    def say(self, text: str) -> None:
        self.write(own_line(self._mask.text(text)))


class Output:
    """A pipe that an app or a hook prints into, on its way to the log."""

    def __init__(self, log: Log, mask: Mask) -> None:
        self.source, self.sink = os.pipe()
        os.set_blocking(self.source, False)
        self._log, self._mask = log, mask
        self._tail = b""

    def drain(self) -> None:
        """Take what is there, or a good part of it."""
        with contextlib.suppress(BlockingIOError):
            for _ in range(64):  # then look at the rest of the world
                self._pass_on(self._mask.feed(os.read(self.source, 65536)))

    def end(self) -> None:
        """Write what was held back, as nothing more comes."""
        self.drain()
        self._pass_on(self._mask.flush())

    def close(self) -> None:
        os.close(self.source)
        os.close(self.sink)

    def last_line(self) -> str:
        """The last line in it that is not empty."""
        lines = self._tail.decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def _pass_on(self, data: bytes) -> None:
        self._log.write(data)
        self._tail = (self._tail + data)[-4096:]


def own_line(text: str) -> bytes:
    return f"[jupyter-sessions] {text}\n".encode("utf-8", "replace")
