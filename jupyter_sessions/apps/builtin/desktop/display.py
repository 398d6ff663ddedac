"""What an X server is given at its start, and what it leaves behind. Standard library only."""

from __future__ import annotations

import os
import secrets
import socket
import struct
from contextlib import suppress
from pathlib import Path

COOKIE = b"MIT-MAGIC-COOKIE-1"


def make_cookie(path: Path) -> bytes:
    """Write an X authority file with a fresh cookie, for any display: ours is not known yet."""
    any_family, cookie = 0xFFFF, secrets.token_bytes(16)
    fields = (b"", b"", COOKIE, cookie)
    entry = struct.pack(">H", any_family) + b"".join(
        struct.pack(">H", len(value)) + value for value in fields
    )
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(entry)
    return cookie


def remove_traces(display: str) -> None:
    """Remove the socket and the lock of an X server that has ended, as one that was killed cannot.

    Not those of another one that took the number meanwhile: its socket accepts connections, and
    the process that its lock names lives.
    """
    number = display.lstrip(":")
    place = Path(f"/tmp/.X11-unix/X{number}")  # noqa: S108
    with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(place))
        except ConnectionRefusedError:
            place.unlink()
    lock = Path(f"/tmp/.X{number}-lock")  # noqa: S108
    with suppress(OSError, ValueError):
        pid = int(lock.read_text())
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            lock.unlink()
