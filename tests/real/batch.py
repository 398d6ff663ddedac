"""What the tests of batch systems share: commands that are counted, answers of sessions."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

from jupyter_sessions.errors import Unreachable
from jupyter_sessions.hosts.local import LocalHost
from jupyter_sessions.manager import SessionManager
from jupyter_sessions.session import ENDED, Session, State
from jupyter_sessions.spawners import choices
from jupyter_sessions.spawners.base import Spawner
from jupyter_sessions.spawners.batch import BatchSpawner
from jupyter_sessions.testing import SpawnerContract

PATIENCE = 120.0


class Counted:
    """Commands of a scheduler that write down each of their calls, and then do what they do.

    Parameters
    ----------
    folder
        Has to come first on the PATH.
    """

    def __init__(self, folder: Path, *programs: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self._calls = folder / "calls"
        for name in programs:
            real = shutil.which(name)
            assert real, name
            path = folder / name
            path.write_text(f'#!/bin/sh\necho "{name} $*" >>"{self._calls}"\nexec {real} "$@"\n')
            path.chmod(0o755)

    def calls(self, name: str) -> list[str]:
        """The calls of one program, or of one with these first arguments."""
        return [line for line in self.all() if f"{line} ".startswith(f"{name} ")]

    def all(self) -> list[str]:
        """The calls of all of them."""
        return self._calls.read_text().splitlines() if self._calls.exists() else []


async def begin(manager: SessionManager, spawner: str, **request: Any) -> Session:
    """A session that was asked for."""
    return await manager.create({"app": "echo", "spawner": spawner, **request})


async def until(
    manager: SessionManager,
    session: Session,
    is_there: Callable[[Session], bool],
    seconds: float = PATIENCE,
) -> Session:
    """The session once `is_there`; fails with what it looks like if it never is."""
    try:
        async with asyncio.timeout(seconds):
            return await manager.wait_for(session.id, is_there)
    except TimeoutError:
        now = (await manager.session(session.id)).attempt
        raise AssertionError(f"not within {seconds:g} s: {now}") from None


async def until_running(manager: SessionManager, session: Session, attempt: int = 1) -> Session:
    def there(session: Session) -> bool:
        same = session.attempt.number >= attempt
        return same and session.state in (State.RUNNING, *ENDED)

    session = await until(manager, session, there)
    assert session.state is State.RUNNING, session.attempt.message
    return session


async def until_ended(manager: SessionManager, session: Session, seconds: float = 120) -> Session:
    return await until(manager, session, lambda s: s.ended, seconds)


async def forms_of(manager: SessionManager) -> dict[str, dict[str, Any]]:
    """The forms by spawner, once the schedulers have answered: people wait no longer than 3 s."""
    with mock.patch.object(choices, "PATIENCE", 60.0):
        return {form["name"]: form for form in await manager.offers.spawners()}


async def answer(manager: SessionManager, session: Session) -> dict[str, Any]:
    """What the echo app says, reached as the gateway reaches it."""
    spawner = manager.offers.spawner(session.spawner)
    address = await manager.connections.reach(session, spawner)
    if address.scheme == "unix":
        reader, writer = await asyncio.open_unix_connection(address.path)
    else:
        reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        content = await reader.read()
    finally:
        writer.close()
    head, _, body = content.partition(b"\r\n\r\n")
    assert b" 200 " in head.partition(b"\r\n")[0], head
    told: dict[str, Any] = json.loads(body)
    return told


class BatchContract(SpawnerContract):
    """What all spawners hold, for a batch system of this machine."""

    patience = 60.0
    spawner_class: ClassVar[type[BatchSpawner]]

    @asynccontextmanager
    async def spawner(self) -> AsyncIterator[Spawner]:
        spawner = self.spawner_class(name="queue", host=LocalHost())
        spawner.query_interval, spawner.poll_interval = 1, 0.3
        yield spawner

    @asynccontextmanager
    async def unreachable(self, spawner: Spawner) -> AsyncIterator[None]:
        async def silent(*_: object, **__: object) -> None:
            raise Unreachable("The host does not answer.")

        with mock.patch.multiple(LocalHost, runner=silent, run=silent):
            yield
