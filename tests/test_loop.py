"""The loop: whatever goes wrong with one session, its app or its host, touches no other."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions import polling, steps
from jupyter_sessions import session as session_module
from jupyter_sessions.errors import (
    SessionNotFound,
    SpawnerError,
    StoreError,
    Unreachable,
)
from jupyter_sessions.ledger import Ledger
from jupyter_sessions.manager import SessionManager
from jupyter_sessions.ownership import LEASE
from jupyter_sessions.session import Handle, Report, Session, State
from jupyter_sessions.spawners.base import Launch
from jupyter_sessions.spawners.process import ProcessSpawner
from jupyter_sessions.store import SessionStore

from .core import NOW, a_session
from .managers import running, start, starts, stop


def kept(root: Path, session: Session) -> SessionStore:
    store = SessionStore(root)
    store.create(session)
    return store


async def test_one_that_cannot_be_forgotten_does_not_keep_the_others(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = [a_session(State.STOPPED, ended=NOW) for _ in range(3)]
    for session in sessions:
        store = kept(root, session)
    discard = store._discard

    def stubborn(_: SessionStore, session_id: str) -> None:
        if session_id == sessions[0].id:
            raise StoreError("It is busy.")
        discard(session_id)

    monkeypatch.setattr(SessionStore, "_discard", stubborn)
    async with running(root), asyncio.timeout(20):
        while os.listdir(root / "sessions") != [sessions[0].id]:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)


async def test_one_that_was_just_restarted_elsewhere_is_not_forgotten(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = a_session(State.STOPPED, ended=NOW, spawner="elsewhere")
    store, scan = kept(root, session), Ledger.scan

    async def scan_then_restart(self: Ledger, adoptable: Callable[[Session], bool]) -> None:
        await scan(self, adoptable)
        store.update(session.id, lambda s: replace(s, wanted_attempt=2))

    monkeypatch.setattr(Ledger, "scan", scan_then_restart)
    async with running(root):
        assert store.read(session.id).wanted_attempt == 2


async def test_of_two_extensions_at_once_the_runner_hears_the_last(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = ProcessSpawner.limit

    async def slow(self: ProcessSpawner, handle: Handle, timeout: float | None) -> None:
        await asyncio.sleep(0.5 if timeout == 101 else 0)
        await limit(self, handle, timeout)

    async with running(root) as manager:
        session = await start(manager, timeout=100)
        monkeypatch.setattr(ProcessSpawner, "limit", slow)
        first = asyncio.create_task(manager.extend(session.id, 1))
        await manager.wait_for(session.id, lambda s: s.timeout == 101)
        await manager.extend(session.id, 1000)
        await first
        heard = json.loads((root / "sessions" / session.id / "1" / "limit.json").read_text())
        assert heard == {"timeout": 1101}
        await stop(manager, session)


async def test_a_log_that_cannot_be_written_does_not_keep_from_warning(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: Any) -> None:
        raise SpawnerError("No space left on device")

    monkeypatch.setattr(ProcessSpawner, "note", full)
    monkeypatch.setattr(steps, "ASK_AGAIN", 0.2)
    async with running(root) as manager:
        manager.public_url = "http://localhost/"
        session = await start(manager, timeout=4)
        async with asyncio.timeout(20):
            await manager.wait_for(session.id, lambda s: s.attempt.warned is not None)
        await stop(manager, session)


async def test_a_host_that_is_away_is_complained_of_once(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked, thrice = [], asyncio.Event()

    async def away(_: ProcessSpawner, launch: Launch) -> AsyncIterator[Handle]:
        asked.append(launch)
        if len(asked) == 3:
            thrice.set()
        if asked:
            raise Unreachable("The host does not answer.")
        yield {}

    monkeypatch.setattr(ProcessSpawner, "start", away)
    monkeypatch.setattr(steps, "ASK_AGAIN", 0.1)
    async with running(root) as manager:
        session = await manager.create({"app": "echo"})
        async with asyncio.timeout(20):
            await thrice.wait()
        assert caplog.text.count("does not answer") == 1
        await stop(manager, session)


async def test_a_stop_does_not_wait_for_an_app_that_does_not_answer(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def never(*_: Any) -> str:
        asked.set()
        await asyncio.sleep(3600)
        return ""

    monkeypatch.setattr(steps, "problem", never)
    async with running(root) as manager:
        session = await manager.create({"app": "echo"})
        async with asyncio.timeout(20):
            await asked.wait()
            assert (await stop(manager, session)).state is State.STOPPED


async def test_people_are_told_why_nothing_stops_or_starts(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def broken(_: ProcessSpawner, handle: Handle) -> None:
        asked.append(handle["directory"])
        raise RuntimeError("a bug")

    monkeypatch.setattr(steps, "ASK_AGAIN", 0.1)
    end = ProcessSpawner.stop
    async with running(root) as manager:
        session, other = await start(manager), await start(manager, options={"delay": 0.1})
        monkeypatch.setattr(ProcessSpawner, "stop", broken)
        await manager.stop(session.id)
        os.kill(starts(root, other)[0], signal.SIGKILL)
        await manager.wait_for(session.id, lambda s: "a bug" in s.attempt.message)
        await manager.wait_for(other.id, lambda s: s.state is State.STOPPING)
        # Twice: what the first refusal said has been written down by then.
        directory = str(manager.store.attempt_directory(other.id, 1))
        while asked.count(directory) < 2:  # noqa: ASYNC110 - a fault injected here tells nobody
            await asyncio.sleep(0.02)
        monkeypatch.setattr(ProcessSpawner, "stop", end)
        stopped = await manager.wait_for(session.id, lambda s: s.ended)
        assert stopped.attempt.message == "Stopped."
        failed = await manager.wait_for(other.id, lambda s: s.ended)
        assert "a bug" not in failed.attempt.message


async def test_a_state_directory_that_cannot_be_used_is_told_of(root: Path) -> None:
    async with running(root) as manager:
        create = manager.store.create

        def spoilt(session: Session, _: object = None) -> Session:
            create(session)
            (root / "sessions" / session.id / "state").touch()
            return session

        manager.store.create = spoilt  # type: ignore[method-assign,assignment]
        session = await manager.create({"app": "echo"})
        async with asyncio.timeout(20):
            await manager.wait_for(session.id, lambda s: "move it away" in s.attempt.message)
        assert (await stop(manager, session)).attempt.message == "Stopped."


async def test_the_heart_beats_however_rarely_there_is_something_to_look_at(root: Path) -> None:
    async with running(root) as manager:
        manager._reconciler._scan_interval = 3600
        assert manager._reconciler._delay() < LEASE / 2


async def test_a_session_that_never_began_leaves_nothing_in_memory(root: Path) -> None:
    async with running(root) as manager:
        create = manager.store.create

        def full(session: Session, _: object = None) -> Session:
            raise StoreError("The disk is full.")

        manager.store.create = full  # type: ignore[method-assign,assignment]
        with pytest.raises(StoreError):
            await manager.create({"app": "echo"})
        manager.store.create = create  # type: ignore[method-assign]
        session = await manager.create({"app": "echo"})
        await stop(manager, session)
        async with asyncio.timeout(20):
            while manager._steps._fresh or manager._steps._not_before:  # noqa: ASYNC110 - a tick
                await asyncio.sleep(0.05)


async def test_a_deleted_session_is_not_brought_back_by_its_start(root: Path) -> None:
    store = SessionStore(root)
    store.create(a_session(State.CREATED, id="gone"))
    store.delete("gone")
    with pytest.raises(SessionNotFound):
        store.state_directory("gone")
    assert not store.directory("gone").exists()


async def test_only_the_last_attempts_are_kept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "PAST_KEPT", 1)
    monkeypatch.setattr(steps, "PAST_KEPT", 1)
    async with running(root) as manager:
        session = await start(manager)
        for number in (2, 3):
            await manager.restart(session.id)
            session = await manager.wait_for(
                session.id,
                lambda s, n=number: s.attempt.number == n and s.state is State.RUNNING,  # type: ignore[misc]
            )
        assert [attempt.number for attempt in session.past] == [2]
        assert manager.store.attempts(session.id) == [2, 3]
        await stop(manager, session)


async def test_a_query_that_is_never_answered_is_shown_and_changes_no_state(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poll, answering = ProcessSpawner.poll, asyncio.Event()

    async def stuck(self: ProcessSpawner, handles: Mapping[str, Handle]) -> Mapping[str, Report]:
        await answering.wait()
        return await poll(self, handles)

    monkeypatch.setattr(polling, "OVERDUE", 0.2)
    async with running(root) as manager:
        session = await start(manager)
        monkeypatch.setattr(ProcessSpawner, "poll", stuck)
        away = await manager.wait_for(session.id, lambda s: s.attempt.unreachable_since is not None)
        assert away.state is State.RUNNING
        answering.set()
        back = await manager.wait_for(session.id, lambda s: s.attempt.unreachable_since is None)
        assert back.state is State.RUNNING
        await stop(manager, session)


async def test_an_idle_session_is_not_described_again_and_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(root) as manager:
        manager.public_url = "http://localhost/"
        session = await start(manager)
        async with asyncio.timeout(20):
            await manager.wait_for(session.id, lambda s: s.attempt.noted_url != "")
        described: list[int] = []
        describe = SessionManager.describe

        def counted(self: SessionManager, session: Session) -> dict[str, Any]:
            described.append(session.revision)
            return describe(self, session)

        monkeypatch.setattr(SessionManager, "describe", counted)
        for _ in range(5):
            await manager._reconciler.tick()
        assert len(described) == len(set(described)) <= 1
        await stop(manager, session)
