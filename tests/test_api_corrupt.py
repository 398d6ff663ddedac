"""A session whose record cannot be read: it says so, and the others go on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from jupyter_sessions.session import Session, State

from .conftest import Api
from .processes import marked
from .test_api import is_a


def truncated(record: dict[str, Any]) -> str:
    return json.dumps(record)[:100]


def empty(record: dict[str, Any]) -> str:
    return ""


def newer(record: dict[str, Any]) -> str:
    return json.dumps(record | {"version": 99})


def of_another_type(record: dict[str, Any]) -> str:
    return json.dumps(record | {"attempt": "first"})


def without_a_field(record: dict[str, Any]) -> str:
    return json.dumps({k: v for k, v in record.items() if k != "spawner"})


def of_another_session(record: dict[str, Any]) -> str:
    return json.dumps(record | {"id": "abcdefghijkl"})


DAMAGES = [truncated, empty, newer, of_another_type, without_a_field, of_another_session]


def damage(api: Api, session: Session, how: Callable[[dict[str, Any]], str]) -> None:
    path = api.manager.store.directory(session.id) / "session.json"
    fresh = path.with_name("new")
    fresh.write_text(how(json.loads(path.read_text())))
    fresh.replace(path)


@pytest.mark.parametrize("how", DAMAGES, ids=lambda how: how.__name__)
async def test_a_corrupt_record_is_409_and_listed_and_harms_nobody_else(
    api: Api, how: Callable[[dict[str, Any]], str]
) -> None:
    corrupt, other = await api.start(), await api.start()
    damage(api, corrupt, how)
    url = f"sessions/{corrupt.id}"
    for method, path in [("GET", url), ("POST", f"{url}/stop"), ("GET", f"{url}/log")]:
        answer = await api(method, path)
        assert (answer.status, answer.json["reason"]) == (409, "corrupt_record"), path
        is_a("Error", answer.json)
    listed = (await api("GET", "sessions")).json
    assert [s["id"] for s in listed["sessions"]] == [other.id]
    assert [u["id"] for u in listed["unreadable"]] == [corrupt.id]
    assert "jupyter sessions rm" in listed["unreadable"][0]["message"]
    assert (await api("POST", f"sessions/{other.id}/stop")).status == 202
    assert (await api.until_ended(other.id)).state is State.STOPPED
    assert marked(corrupt.id) != []
    assert (await api("DELETE", url)).status == 204
    await api.until_nothing_runs(corrupt.id)
    assert not api.manager.store.directory(corrupt.id).exists()


async def test_deleting_a_corrupt_session_ends_what_is_hard_to_end(api: Api) -> None:
    session = await api.start("echo", options={"children": True})
    damage(api, session, truncated)
    assert len(marked(session.id)) >= 4
    assert (await api("DELETE", f"sessions/{session.id}")).status == 204
    await api.until_nothing_runs(session.id)


async def test_an_app_definition_that_no_longer_fits_harms_nobody_else(api: Api) -> None:
    def misfit(record: dict[str, Any]) -> str:
        return json.dumps(record | {"app_definition": {"name": "echo"}})

    session, other = await api.start(), await api.start()
    damage(api, session, misfit)
    assert (await api("GET", f"sessions/{session.id}")).status in (200, 409)
    listed = await api("GET", "sessions")
    assert other.id in [s["id"] for s in listed.json["sessions"]]
    await api("POST", f"sessions/{other.id}/stop")
    assert (await api.until_ended(other.id)).state is State.STOPPED
    assert (await api("DELETE", f"sessions/{session.id}")).status == 204
    await api.until_nothing_runs(session.id)
