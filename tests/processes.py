"""What tests ask about processes."""

from __future__ import annotations

import os
from pathlib import Path


def marked(session_id: str) -> list[int]:
    """The living processes whose environment carries the session's marker, runners included."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if f"={session_id}.".encode() in environment and state not in "ZX":
            found.append(int(entry.name))
    return found


def living(pid: int) -> bool:
    """Whether `pid` lives; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
