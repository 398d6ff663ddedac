"""Which server's loop looks after a session: several Jupyter servers of one user share a store.

Each server (and each CLI call that starts something) is an *owner* while it lives. It writes its
name into the sessions that it looks after; whoever finds a session whose owner is dead adopts it.

Whether an owner is alive is known exactly on the same machine (pid, start time, boot). On another
machine that shares the home it is known by a heartbeat: the mtime of the owner's file, compared
with our own file's, so that the clock of the file server is the only one that matters.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import runner
from .store import private_directory, store_errors, write_atomically

LEASE = 60.0
"""Seconds without a heartbeat after which an owner on another machine counts as dead."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The identity of one process: a bare pid is none."""

    id: str
    hostname: str
    boot_id: str
    pid_ns: str
    pid: int
    started: int

    @classmethod
    def current(cls) -> Owner:
        """This process, under a fresh id."""
        return cls(
            id=uuid.uuid4().hex,
            hostname=socket.gethostname(),
            boot_id=runner.boot_id(),
            pid_ns=runner.pid_namespace(),
            pid=os.getpid(),
            started=runner.start_time(os.getpid()) or 0,
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Ownership:
    """This server among the owners. `beat` is called by the manager's loop."""

    def __init__(self, root: Path) -> None:
        self.me = Owner.current()
        self._root = root
        self._path = root / "owners" / f"{self.me.id}.json"

    def beat(self) -> None:
        """Say that this server is alive. Blocks for a system call or two."""
        with store_errors("write", self._path):
            if self._path.exists():
                os.utime(self._path)
                return
            private_directory(self._root)
            private_directory(self._path.parent)
            write_atomically(self._path, json.dumps(self.me.to_json()))

    def leave(self) -> None:
        """Say that this server is gone, and sweep the files of dead ones."""
        with contextlib.suppress(OSError):
            # Ours goes last: it is the clock by which those of other machines are judged.
            for path in self._path.parent.glob("*.json"):
                with contextlib.suppress(ValueError, TypeError, AttributeError):
                    if not self.alive(json.loads(path.read_text())):
                        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def mine(self, owner: Mapping[str, Any] | None) -> bool:
        """Whether `owner` is this server."""
        return owner is not None and owner.get("id") == self.me.id

    def alive(self, owner: Mapping[str, Any] | None) -> bool:
        """Whether `owner` still looks after its sessions."""
        if owner is None:
            return False
        if self.mine(owner):
            return True
        same_machine = (owner.get("hostname"), owner.get("boot_id"), owner.get("pid_ns")) == (
            self.me.hostname,
            self.me.boot_id,
            self.me.pid_ns,
        )
        path = self._path.parent / f"{owner.get('id')}.json"
        if same_machine:
            left = not os.path.exists(path)  # noqa: PTH110 - any name
            pid = owner.get("pid")
            return (
                not left and isinstance(pid, int) and runner.start_time(pid) == owner.get("started")
            )
        try:
            beaten = path.stat().st_mtime
        except (OSError, ValueError):
            return False
        try:
            return self._path.stat().st_mtime - beaten < LEASE
        except OSError:
            return True  # without a clock nothing is known, and unknown is not dead
