"""Changes of sessions on Jupyter's event bus."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from jupyter_events import EventLogger
from jupyter_server.serverapp import ServerApp

from jupyter_sessions.events import SCHEMA_ID, change
from jupyter_sessions.session import State

from .conftest import PATIENCE, Api
from .core import NOW, a_session
from .test_api import is_a


class Listener:
    """Keeps what it hears."""

    def __init__(self, bus: EventLogger) -> None:
        self.heard: list[dict[str, Any]] = []
        self._new = asyncio.Event()
        bus.add_listener(schema_id=SCHEMA_ID, listener=self._hear)

    async def _hear(self, logger: EventLogger, schema_id: str, data: dict[str, Any]) -> None:
        self.heard.append(data)
        self._new.set()

    def changes(self, session_id: str) -> list[str]:
        return [e["change"] for e in self.heard if e["id"] == session_id]

    async def until(self, is_there: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not is_there():
                self._new.clear()
                await self._new.wait()


@pytest.fixture
def bus(jp_serverapp: ServerApp) -> EventLogger:
    assert jp_serverapp.event_logger is not None
    return jp_serverapp.event_logger


async def test_each_change_is_told_once_in_order_and_validly(
    api: Api, bus: EventLogger, caplog: pytest.LogCaptureFixture
) -> None:
    listener = Listener(bus)
    session = await api.start("echo", timeout=600)
    await api("PATCH", f"sessions/{session.id}", {"name": "Other"})
    await api("POST", f"sessions/{session.id}/extend", {"seconds": 5})
    await api("POST", f"sessions/{session.id}/restart")
    await api.until(session.id, lambda s: s.attempt.number == 2 and s.state == "running")
    await api("DELETE", f"sessions/{session.id}")
    await listener.until(lambda: "deleted" in listener.changes(session.id))
    states = [c for c in listener.changes(session.id) if c != "updated"]
    once = ["queued", "starting", "running", "stopping"]
    assert states == ["created", *once, "restarted", *once, "deleted"]
    assert listener.changes(session.id).count("updated") >= 2
    for event in listener.heard:
        if event["change"] != "deleted":
            is_a("Session", event["session"])
    assert {e["session"]["name"] for e in listener.heard if "session" in e} == {"Echo", "Other"}
    assert "an observer failed" not in caplog.text


async def test_a_failure_is_told_with_its_exit_code(api: Api, bus: EventLogger) -> None:
    listener = Listener(bus)
    session = await api.start("echo", options={"exit": 7})
    await listener.until(lambda: "failed" in listener.changes(session.id))
    assert listener.heard[-1]["session"]["exit_code"] == 7


async def test_a_session_whose_time_is_nearly_up_warns_once(api: Api, bus: EventLogger) -> None:
    listener = Listener(bus)
    session = await api.start("echo", timeout=600)
    change = {"timeout": 3}
    await api("PATCH", f"sessions/{session.id}", change)
    await listener.until(lambda: "stopped" in listener.changes(session.id))
    assert listener.changes(session.id).count("expiring") == 1


async def test_a_listener_that_fails_holds_up_nothing(
    api: Api, bus: EventLogger, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(logger: EventLogger, schema_id: str, data: dict[str, Any]) -> None:
        raise RuntimeError("listener")

    bus.add_listener(schema_id=SCHEMA_ID, listener=fail)
    session = await api.start()
    assert session.state == "running"


def test_an_end_counts_for_more_than_the_warning_before_it() -> None:
    # Another server's changes may be seen two at a time.
    before, after = a_session(State.RUNNING), a_session(State.STOPPED, warned=NOW)
    assert change(before, after) == "stopped"
    assert change(before, before.now(warned=NOW)) == "expiring"
