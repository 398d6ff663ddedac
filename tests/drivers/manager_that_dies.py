"""A manager that starts a session and is killed at a given write to the store.

Arguments: data directory, number of the write (0 is the session's creation), ``before`` or
``after`` it, and perhaps the manager's traits and the request as JSON. Prints the session's id as
soon as it is known.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from jupyter_sessions.manager import SessionManager
from jupyter_sessions.session import Session
from jupyter_sessions.store import SessionStore

ROOT, FATAL, WHEN = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
TRAITS, REQUEST = json.loads(sys.argv[4]) if len(sys.argv) > 4 else ({}, {"app": "echo"})


class MortalStore(SessionStore):
    """Counts writes; the fatal one is the process's last, or its last but one."""

    writes = 0

    def _fatal(self, when: str) -> None:
        if when == WHEN and self.writes == FATAL:
            os.kill(os.getpid(), signal.SIGKILL)

    def create(self, session: Session, write_app: Callable[[Path], None] | None = None) -> Session:
        print(session.id, flush=True)
        self._fatal("before")
        session = super().create(session, write_app)
        self._fatal("after")
        return session

    def update(self, session_id: str, change: Callable[[Session], Session]) -> Session:
        if change(self.read(session_id)) == self.read(session_id):
            return super().update(session_id, change)
        self.writes += 1
        self._fatal("before")
        session = super().update(session_id, change)
        self._fatal("after")
        return session


async def main() -> None:
    manager = SessionManager(data_dir=str(ROOT), root_dir="/", **TRAITS)
    manager.store.__class__ = MortalStore
    await manager.start()
    await manager.create(REQUEST)
    await asyncio.Event().wait()


asyncio.run(main())
