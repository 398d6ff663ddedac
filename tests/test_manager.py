"""What people may do with sessions, with real processes: ends, limits, many, wrong input."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions.errors import (
    AppUnavailable,
    Conflict,
    InvalidRequest,
    StoreError,
)
from jupyter_sessions.locating import Locator
from jupyter_sessions.routes import Route, Waiting
from jupyter_sessions.session import State, Target

from .managers import ENDED, running, start, starts, stop
from .processes import marked

# Ends -------------------------------------------------------------------------------------------


async def test_an_app_that_exits_at_once_has_failed_before_its_time_is_up(root: Path) -> None:
    async with running(root) as manager:
        began = time.monotonic()
        session = await start(manager, options={"exit": 1})
        assert time.monotonic() - began < 60  # of 120 that it has
        assert session.state is State.FAILED
        assert session.attempt.exit_code == 1
        assert "code 1" in session.attempt.message
        waiting = await Locator(manager, manager.connections).locate(session.id)
        assert isinstance(waiting, Waiting)
        assert waiting.ended
        assert "echo goes away" in waiting.log_tail


async def test_stop_takes_down_all_that_the_app_started(root: Path) -> None:
    async with running(root) as manager:
        session = await start(manager, options={"children": True})
        state = root / "sessions" / session.id / "state"
        assert len(marked(session.id)) == 4  # the runner, the app and its two children
        session = await stop(manager, session)
        assert session.state is State.STOPPED
        assert marked(session.id) == []
        assert (state / "hook-ran").exists()
        again = await manager.stop(session.id)
        assert again == session


async def test_restart_is_the_next_attempt_of_the_same_session(root: Path) -> None:
    async with running(root) as manager:
        session = await start(manager)
        await manager.restart(session.id)
        again = await manager.wait_for(
            session.id, lambda s: s.attempt.number == 2 and s.state is State.RUNNING
        )
        assert [a.state for a in again.past] == [State.STOPPED]
        assert len(starts(root, session)) == 2
        await stop(manager, session)
        await manager.restart(session.id)
        third = await manager.wait_for(
            session.id, lambda s: s.attempt.number == 3 and s.state is State.RUNNING
        )
        await manager.delete(third.id)
        assert not (root / "sessions" / session.id).exists()
    assert marked(session.id) == []


async def test_a_deleted_session_is_gone_with_its_processes(root: Path) -> None:
    async with running(root) as manager:
        session = await start(manager, options={"children": True})
        await manager.delete(session.id)
        assert marked(session.id) == []
        assert await Locator(manager, manager.connections).locate(session.id) is None


async def test_an_unreadable_session_can_be_deleted_with_what_runs_of_it(root: Path) -> None:
    async with running(root) as manager:
        session, other = await start(manager), await start(manager)
        (root / "sessions" / session.id / "session.json").write_text("{")
        _, unreadable = await manager.sessions()
        assert [u.id for u in unreadable] == [session.id]
        assert marked(session.id) != []
        await manager.delete(session.id)
        assert marked(session.id) == []
        assert (await manager.session(other.id)).state is State.RUNNING
        await stop(manager, other)


# Time limits ------------------------------------------------------------------------------------


async def test_a_session_ends_on_time_and_warns_before(root: Path) -> None:
    async with running(root, timeout_warning=4) as manager:
        session = await start(manager, timeout=6)
        assert session.attempt.expires is not None
        warned = await manager.wait_for(session.id, lambda s: s.attempt.warned is not None)
        assert warned.state is State.RUNNING
        ended = await manager.wait_for(session.id, lambda s: s.ended)
        assert ended.state is State.STOPPED
        assert ended.attempt.reason == "timeout"
        assert ended.attempt.ended is not None
        late = (ended.attempt.ended - session.attempt.expires).total_seconds()
        assert 0 <= late < 20


async def test_a_session_ends_on_its_extended_time_though_no_server_runs(root: Path) -> None:
    async with running(root, max_timeout=10) as manager:
        session = await start(manager, timeout=5)
        session = await manager.extend(session.id, 1)
        assert session.timeout == 6
        with pytest.raises(InvalidRequest, match="at most 4 s"):
            await manager.extend(session.id, 8)
        expires = session.attempt.expires
        assert expires is not None
    directory = root / "sessions" / session.id / "1"
    while marked(session.id):  # noqa: ASYNC110 - nobody is left to tell us
        await asyncio.sleep(0.05)
    assert 0 <= (directory / "exit.json").stat().st_mtime - expires.timestamp() < 20
    async with running(root, max_timeout=10) as manager:
        ended = await manager.wait_for(session.id, lambda s: s.ended)
        assert (ended.state, ended.attempt.reason) == (State.STOPPED, "timeout")
        with pytest.raises(Conflict):
            await manager.extend(session.id, 1)


async def test_no_limit_is_refused_where_there_is_a_maximum(root: Path) -> None:
    async with running(root, max_timeout=10) as manager:
        for timeout in (None, 11, 0, -1, float("nan")):
            with pytest.raises(InvalidRequest, match="timeout"):
                await manager.create({"app": "echo", "timeout": timeout})
        assert await manager.sessions() == ([], [])


# Many, and slow ---------------------------------------------------------------------------------


async def test_fifty_sessions_started_at_once_all_run(root: Path) -> None:
    async with running(root) as manager:
        sessions = await asyncio.gather(*(manager.create({"app": "echo"}) for _ in range(50)))
        routes = set()
        for session in sessions:
            await manager.wait_for(session.id, lambda s: s.state in (State.RUNNING, *ENDED))
            route = await Locator(manager, manager.connections).locate(session.id)
            assert isinstance(route, Route)
            routes.add(route.address)
        assert len(routes) == 50
        await asyncio.gather(*(manager.stop(s.id) for s in sessions))
        for session in sessions:
            await manager.wait_for(session.id, lambda s: s.ended)
            assert marked(session.id) == []


async def test_a_slow_app_shows_its_phases(root: Path) -> None:
    async with running(root) as manager:
        states: list[State] = []
        manager.observers.append(lambda _, s: states.append(s.state) if s else None)
        session = await start(manager, options={"delay": 1.5})
        assert session.state is State.RUNNING
        order = list(dict.fromkeys(states))
        assert order == [State.CREATED, State.QUEUED, State.STARTING, State.RUNNING]
        await stop(manager, session)


async def test_a_stop_during_the_start_leaves_nothing(root: Path) -> None:
    async with running(root) as manager:
        for _ in range(5):
            session = await manager.create({"app": "echo"})
            session = await stop(manager, session)
            assert session.state is State.STOPPED
            assert session.target is Target.STOPPED
            assert marked(session.id) == []


# A store that does not work -----------------------------------------------------------------------


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small file system")
async def test_a_full_or_read_only_disk_stops_new_sessions_and_no_others(root: Path) -> None:
    root.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "none", root], check=True)
    try:
        async with running(root) as manager:
            session = await start(manager)
            filler = root / "filler"
            with pytest.raises(OSError, match="No space left"):
                filler.write_bytes(b"x" * 2_000_000)
            with pytest.raises(StoreError, match="free some space"):
                await manager.create({"app": "echo"})
            assert isinstance(await Locator(manager, manager.connections).locate(session.id), Route)
            filler.unlink()

            subprocess.run(["mount", "--bind", root, root], check=True)
            subprocess.run(["mount", "-o", "remount,bind,ro", root], check=True)
            with pytest.raises(StoreError, match="read-only"):
                await manager.create({"app": "echo"})
            assert isinstance(await Locator(manager, manager.connections).locate(session.id), Route)
            subprocess.run(["umount", root], check=True)

            again = await start(manager)
            assert again.state is State.RUNNING
            found, unreadable = await manager.sessions()
            assert [s.id for s in found] == [session.id, again.id]
            assert unreadable == []
            for each in (session, again):
                assert (await stop(manager, each)).state is State.STOPPED
    finally:
        subprocess.run(["umount", "--lazy", root], check=True)


# What may not be started ------------------------------------------------------------------------


async def test_values_reach_the_app_as_data(root: Path) -> None:
    words = ["$(touch x)", "a\nb", "'\"", "{socket}", "{{x}}", "ünï", "; rm -rf /", "--exit"]
    async with running(root) as manager:
        session = await start(manager, options={"words": ["--", *words]})
        assert session.state is State.RUNNING
        log = b"".join([chunk async for chunk in manager.logs(session.id)]).decode()
        assert " ".join(["echo is here", *words]) in log
        await stop(manager, session)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({}, "app"),
        ({"app": "echo", "cwd": "/nowhere"}, "cwd"),
        ({"app": "echo", "cwd": "a\0b"}, "cwd"),
        ({"app": "echo", "cwd": "~nobody-here"}, "cwd"),
        ({"app": "echo", "name": ""}, "name"),
        ({"app": "echo", "name": "a\nb"}, "name"),
        ({"app": "echo", "name": "x" * 101}, "name"),
        ({"app": "echo", "options": {"delay": "soon"}}, "options.delay"),
        ({"app": "echo", "options": {"colour": 1}}, "options.colour"),
        ({"app": "echo", "timeout": "1h"}, "timeout"),
        ({"app": "echo", "timeout": True}, "timeout"),
        ({"app": "echo", "port": 80}, "port"),
    ],
)
async def test_a_wrong_field_is_named_and_nothing_is_kept(
    root: Path, request_: dict[str, Any], field: str
) -> None:
    async with running(root) as manager:
        with pytest.raises(InvalidRequest) as caught:
            await manager.create(request_)
        assert [e.field for e in caught.value.errors] == [field]
        assert await manager.sessions() == ([], [])


async def test_open_ports_can_be_denied(root: Path) -> None:
    async with running(root, open_ports="deny") as manager:
        with pytest.raises(AppUnavailable, match="open_ports"):
            await manager.create({"app": "port"})
