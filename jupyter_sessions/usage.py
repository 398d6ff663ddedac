"""What sessions use, asked of their spawners: for plots, and for nothing that decides."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from .errors import SpawnerError
from .session import Handle, Session, State
from .spawners.base import ReportsUsage, Spawner, Usage

PATIENCE = 5.0
"""Seconds that a spawner may take; who shows a plot asks again soon."""
KEPT = 60
"""Samples that are told at the most."""


async def usage_of(
    sessions: Iterable[Session],
    spawners: Mapping[str, Spawner],
    log: logging.Logger,
    samples: int = KEPT,
) -> dict[str, Any]:
    """What `sessions` use, by id, as the REST API answers it.

    One that has not begun or has ended, and one whose spawner cannot tell or does not answer, is
    left out: that nothing is known of it is no error.

    Parameters
    ----------
    samples
        How many of the last samples to tell.
    """
    asked: dict[str, dict[str, Handle]] = {}
    for session in sessions:
        handle = session.attempt.handle
        if session.state in (State.STARTING, State.RUNNING) and handle is not None:
            asked.setdefault(session.spawner, {})[session.id] = handle
    questions = []
    for name, handles in asked.items():
        spawner: object = spawners.get(name)
        if isinstance(spawner, ReportsUsage):
            questions.append(_ask(name, spawner, handles, log))
    answers = await asyncio.gather(*questions)
    return {
        session_id: _described(usage, samples)
        for answer in answers
        for session_id, usage in answer.items()
    }


async def _ask(
    name: str, spawner: ReportsUsage, handles: Mapping[str, Handle], log: logging.Logger
) -> Mapping[str, Usage]:
    try:
        async with asyncio.timeout(PATIENCE):
            return await spawner.usage(handles)
    except (SpawnerError, TimeoutError) as error:
        log.debug("The spawner %s does not tell what its sessions use: %s", name, error)
    except Exception:
        log.exception("The spawner %s cannot tell what its sessions use", name)
    return {}


def _described(usage: Usage, samples: int) -> dict[str, Any]:
    return {
        "cpu": usage.cpu,
        "memory": usage.memory,
        "processes": usage.processes,
        "samples": [list(sample) for sample in usage.samples[-samples:]] if samples else [],
    }
