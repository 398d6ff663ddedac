"""What still runs of a session whose record cannot be read, ended by the session's id alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection

from .errors import Conflict, SpawnerError
from .session import Status
from .spawners.base import Launch, Spawner
from .store import SessionStore

WAIT = 15.0
"""Seconds that each spawner may take to end an attempt."""


async def end_unrecorded(
    session_id: str, store: SessionStore, spawners: Collection[Spawner]
) -> None:
    """End what any of `spawners` runs of the session. Called before its files are removed.

    Raises
    ------
    Conflict
        If one cannot say that nothing is left: the files have to stay then.
    """
    directory = store.directory(session_id)
    for number in await asyncio.to_thread(store.attempts, session_id):
        launch = Launch(
            session_id=session_id,
            attempt=number,
            name=session_id,
            directory=str(directory / str(number)),
            argv=(),
            fields={},
            cwd="",
        )
        for spawner in spawners:
            try:
                async with asyncio.timeout(WAIT):
                    await _end(spawner, launch)
            except (SpawnerError, TimeoutError) as error:
                why = error.message if isinstance(error, SpawnerError) else "it does not end"
                message = f"Session {session_id} may still run: {why}."
                raise Conflict(message, reason="not_stopped") from error
    for spawner in spawners:
        # What cannot be removed now stays there: no process, only files.
        with contextlib.suppress(SpawnerError, TimeoutError):
            async with asyncio.timeout(WAIT):
                await spawner.forget(session_id)


async def _end(spawner: Spawner, launch: Launch) -> None:
    """Stop an attempt that is known by its id alone, and wait until nothing of it is left."""
    if (handle := await spawner.find(launch)) is None:
        return
    while True:
        await spawner.stop(handle)
        report = (await spawner.poll({launch.session_id: handle})).get(launch.session_id)
        if report is not None and report.status is Status.ENDED:
            return
        await asyncio.sleep(spawner.poll_interval)
