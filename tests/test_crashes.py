"""Servers that die, that leave, and that run side by side: no orphan, no duplicate."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from jupyter_sessions.locating import Locator
from jupyter_sessions.routes import Route
from jupyter_sessions.session import State

from .forked import Forked
from .managers import ENDED, running, start, starts, stop
from .processes import marked

DRIVER = Path(__file__).parent / "drivers" / "manager_that_dies.py"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("write", range(6))
async def test_a_server_killed_at_a_write_leaves_no_orphan_and_no_duplicate(
    root: Path, write: int, when: str
) -> None:
    with Forked(DRIVER, [str(root), str(write), when]) as dying:
        session_id = dying.stdout.readline().strip()
        assert await asyncio.to_thread(dying.wait, 60) == -signal.SIGKILL
    async with running(root) as manager:
        sessions, _ = await manager.sessions()
        if (write, when) == (0, "before"):
            assert sessions == []
            assert marked(session_id) == []
            return
        session = await manager.wait_for(session_id, lambda s: s.state in (State.RUNNING, *ENDED))
        assert session.state is State.RUNNING
        assert session.attempt.number == 1
        assert len(starts(root, session)) == 1
        session = await stop(manager, session)
        assert session.state is State.STOPPED
    assert marked(session_id) == []


@pytest.mark.parametrize("write", range(1, 4))
async def test_a_session_stopped_while_no_server_runs_leaves_nothing(
    root: Path, write: int
) -> None:
    with Forked(DRIVER, [str(root), str(write), "before"]) as dying:
        assert await asyncio.to_thread(dying.wait, 60) == -signal.SIGKILL
    async with running(root) as manager:
        (session,), _ = await manager.sessions()
        session = await stop(manager, session)
        assert session.state is State.STOPPED
    assert marked(session.id) == []


async def test_sessions_outlive_their_server_and_keep_their_url(root: Path) -> None:
    async with running(root) as first:
        session = await start(first)
        other = await start(first, options={"delay": 0.1})
        url = first.describe(session)["url"]
    os.kill(starts(root, other)[0], signal.SIGKILL)
    async with running(root) as second:
        again = await second.session(session.id)
        assert again.state is State.RUNNING
        assert second.describe(again)["url"] == url
        assert isinstance(await Locator(second, second.connections).locate(session.id), Route)
        killed = await second.wait_for(other.id, lambda s: s.ended)
        assert killed.state is State.FAILED
        assert (
            "signal 9" in killed.attempt.message.lower() or "kill" in killed.attempt.message.lower()
        )
        assert len(starts(root, session)) == 1
        await stop(second, session)


async def test_two_servers_see_and_stop_each_others_sessions(root: Path) -> None:
    async with running(root) as one, running(root) as two:
        session = await start(one)
        seen = await two.wait_for(session.id, lambda s: s.state is State.RUNNING)
        assert seen.owner == session.owner
        assert isinstance(await Locator(two, two.connections).locate(session.id), Route)
        await two.stop(session.id)
        ended = await two.wait_for(session.id, lambda s: s.ended)
        assert ended.state is State.STOPPED
        assert ended.owner == session.owner
        assert len(starts(root, session)) == 1


async def test_a_server_that_leaves_hands_its_sessions_to_the_one_that_stays(root: Path) -> None:
    async with running(root) as stays:
        async with running(root) as leaves:
            session = await start(leaves)
            owner = session.owner
        adopted = await stays.wait_for(
            session.id, lambda s: s.owner is not None and s.owner != owner
        )
        assert adopted.state is State.RUNNING
        await stop(stays, session)
