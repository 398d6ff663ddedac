"""Writes to a store for ``test_store.py``: ``store_writer.py ROOT ID count N | die WHERE``."""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from jupyter_sessions.session import Session
from jupyter_sessions.store import SessionStore


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def more(session: Session) -> Session:
    return replace(session, wanted_attempt=session.wanted_attempt + 1)


def half_written(descriptor: int, *args: Any, **kwargs: Any) -> Any:
    os.write(descriptor, b'{"version": 1, "id": "')
    die()


store, session_id, (what, how) = SessionStore(Path(sys.argv[1])), sys.argv[2], sys.argv[3:]
if what == "count":
    for _ in range(int(how)):
        store.update(session_id, more)
else:
    if how == "in the middle of the text":
        os.fdopen = half_written  # type: ignore[assignment]
    elif how == "before the rename":
        Path.replace = die  # type: ignore[assignment, method-assign]
    else:
        os.fsync = die  # type: ignore[assignment]
    store.update(session_id, more)
