"""Managers with a store of their own, for tests of the loop with real processes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jupyter_sessions.manager import SessionManager
from jupyter_sessions.session import Session, State

ENDED = (State.STOPPED, State.FAILED)


@asynccontextmanager
async def running(root: Path, **traits: Any) -> AsyncIterator[SessionManager]:
    manager = SessionManager(data_dir=str(root), root_dir="/", scan_interval=0.1, **traits)
    await manager.start()
    try:
        yield manager
    finally:
        await manager.close()


async def start(manager: SessionManager, **request: Any) -> Session:
    session = await manager.create({"app": "echo", **request})
    return await manager.wait_for(session.id, lambda s: s.state in (State.RUNNING, *ENDED))


async def stop(manager: SessionManager, session: Session) -> Session:
    await manager.stop(session.id)
    return await manager.wait_for(session.id, lambda s: s.ended)


def starts(root: Path, session: Session) -> list[int]:
    """The pids of all runs that the session's app ever had."""
    path = root / "sessions" / session.id / "state" / "starts"
    return [int(line) for line in path.read_text().split()] if path.exists() else []
