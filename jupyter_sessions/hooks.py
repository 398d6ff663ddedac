"""The before hook of an app: run where Jupyter runs, once for each attempt, before it is started.

It is an app of its own for ``runner``, in a directory below the attempt's: so it goes on if the
server dies, runs once whoever asks for it, ends in time, and what it printed and how it ended is
there for the server that looks next.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping
from typing import Any

from . import runner
from .apps.app import FIELD, TARGET_FIELDS, App
from .errors import SpawnerError
from .launching import before_directory, fields, variables
from .secrets import keep
from .session import Session
from .store import SessionStore, private_directory

INTERVAL = 0.1
"""Seconds between looks at whether it has ended."""
UNSEEN = frozenset({"runner_lost", "host_restarted"})
"""Ends that nobody saw: it may have done half of its work, and has to do it again."""


async def run_before(
    session: Session, app: App, store: SessionStore, is_wanted: Callable[[], bool]
) -> bool:
    """Run the before hook to its end, or see how it ended. Says whether the app may be started.

    Called by the step that starts an attempt, again after a crash.

    Parameters
    ----------
    is_wanted
        Whether the attempt still is. False is returned if it is not; the hook is `stop_before`'s.

    Raises
    ------
    SpawnerError
        If it failed; the message is the last line of its stderr.
    """
    directory = str(before_directory(store, session))
    try:
        while True:
            await asyncio.to_thread(_start, session, app, store)
            while (status := await asyncio.to_thread(_status, directory))["status"] != "ended":
                if not is_wanted():
                    return False
                await asyncio.sleep(INTERVAL)
            if status["exit"]["reason"] not in UNSEEN:
                _check(status["exit"], app)
                return True
            await asyncio.to_thread(_forget, directory)
    except (runner.RunnerError, OSError) as error:
        why = f"The before hook cannot be run: {error}"
        raise SpawnerError(why, reason="before_failed") from error


async def stop_before(session: Session, store: SessionStore) -> bool:
    """End the before hook of the present attempt, if it runs. Says whether it has ended."""
    directory = before_directory(store, session)
    if not await asyncio.to_thread(directory.exists):
        return True
    payload = {"directory": str(directory), "wait": 5.0}
    try:
        status = await asyncio.to_thread(runner.stop, payload)
    except (runner.RunnerError, OSError) as error:
        raise SpawnerError(f"The before hook cannot be stopped: {error}") from error
    return bool(status["status"] == "ended")


def _start(session: Session, app: App, store: SessionStore) -> None:
    """Begin it; nothing happens if it has begun."""
    number = session.attempt.number
    attempt = private_directory(store.attempt_directory(session.id, number))
    unknown = TARGET_FIELDS - {"python"}
    runner.start(
        {
            "version": 1,
            # Not the attempt's own name: nobody may take it for the app.
            "session": f"{session.id}-before",
            "attempt": number,
            "directory": str(before_directory(store, session)),
            "argv": list(app.before or ()),
            "fields": fields(session, app, str(store.state_directory(session.id))),
            "env": {k: v for k, v in app.env.items() if not unknown & {*FIELD.findall(v)}},
            "variables": {**variables(session), "SESSION_DIR": str(attempt)},
            "secrets": dict(keep(store, session, app.secrets)),
            "cwd": str(attempt),
            "timeout": app.hook_timeout,
            "log": {"max_bytes": 1_000_000},
            "stop": {"argv": None, "grace": 2},
            "tells_error": True,
        }
    )


def _status(directory: str) -> dict[str, Any]:
    status: dict[str, Any] = runner.poll({"directories": [directory]})["statuses"][directory]
    return status


def _forget(directory: str) -> None:
    """End what is left of a run that nobody saw end, and make way for another one."""
    runner.stop({"directory": directory, "wait": 5.0})
    shutil.rmtree(directory, ignore_errors=True)


def _check(end: Mapping[str, Any], app: App) -> None:
    """Raise SpawnerError if it has not ended well."""
    if end["reason"] == "exited" and end["exit_code"] == 0:
        return
    if end["reason"] == "timeout":
        message = f"The before hook took longer than {app.hook_timeout:g} s."
    elif end["reason"] == "exited":
        code = end["exit_code"]
        how = "was killed" if code is None else f"failed with code {code}"
        message = str(end.get("error") or "")[:1000] or f"The before hook {how}; see the log."
    else:
        message = f"The before hook: {end['message']}"
    raise SpawnerError(message, reason="before_failed")
