"""`record.py`: what is written can be read, and what people see is what ``openapi.yaml`` says."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import jupyter_sessions
from jupyter_sessions.record import VERSION, describe, dump, load
from jupyter_sessions.routes import Address
from jupyter_sessions.session import Session, State, begin_attempt

from .core import NOW, a_session

DOCUMENT = yaml.safe_load(Path(jupyter_sessions.__file__).with_name("openapi.yaml").read_text())
SCHEMA = DOCUMENT["components"]["schemas"]["Session"]
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)

FULL: dict[str, Any] = {
    "handle": {"directory": "/d", "pid": 7},
    "submitted": True,
    "address": Address.tcp("127.0.0.1", 8080),
    "host": "n1",
    "started": NOW,
    "ready": NOW,
    "expires": NOW + timedelta(seconds=9),
    "warned": NOW,
    "exit_code": 3,
    "outcome": State.FAILED,
    "limit": 9.0,
    "unreachable_since": NOW,
    "options": {"a": [1, {"b": None}], "c": True},
    "resources": {"priority": "low"},
    "revision": 7,
    "timeout": 9.5,
    "last_activity": NOW,
    "owner": {"id": "x"},
    "forget": True,
}


def again(session: Session) -> Session:
    return load(json.loads(json.dumps(dump(session))))


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("changes", [{}, FULL], ids=["bare", "full"])
def test_what_is_written_is_read_again(state: State, changes: dict[str, Any]) -> None:
    session = a_session(state, **changes)
    assert again(session) == session


@pytest.mark.parametrize(
    "address",
    [
        Address.unix("/s"),
        Address.tcp("::1", 1),
        Address("tls", host="h", port=2),
        Address("unix", path="/s", node="n1"),
        Address("gate", path="/keys", host="10.0.0.1", port=3, node="n1"),
        Address("gate", path="/keys"),
    ],
)
def test_every_address_and_the_past_are_read_again(address: Address) -> None:
    session = begin_attempt(a_session(State.FAILED, address=address), NOW)
    assert again(session) == session
    assert again(session).past[0].address == address


TEXT = st.text(st.characters())  # lone surrogates too: file names have them
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(TEXT, TEXT, st.dictionaries(TEXT, JSON, max_size=3), st.datetimes(timezones=st.just(UTC)))
def test_any_text_and_any_time_are_read_again(
    name: str, message: str, options: dict[str, Any], moment: datetime
) -> None:
    session = a_session(name=name, message=message, options=options, created=moment)
    assert again(session) == session


def test_times_are_utc() -> None:
    tokyo = timezone(timedelta(hours=9))
    session = replace(a_session(), created=NOW.astimezone(tokyo))
    assert dump(session)["created"] == "2026-01-02T03:04:05Z"
    assert again(session).created.tzinfo is UTC


def test_unknown_fields_of_the_same_version_are_left_out() -> None:
    session = a_session()
    assert load({**dump(session), "later": 1}) == session


WRONG: list[tuple[str, Any, str]] = [
    ("version", 2, "version"),
    ("version", None, "version"),
    ("id", 1, "id"),
    ("name", None, "name"),
    ("options", [], "options"),
    ("timeout", "1", "timeout"),
    ("timeout", True, "timeout"),
    ("timeout", float("nan"), "timeout"),
    ("timeout", float("inf"), "timeout"),
    ("timeout", 1e300, "timeout"),
    ("created", "yesterday", "created"),
    ("created", 5, "created"),
    ("target", "flying", "target"),
    ("target", [], "target"),
    ("wanted_attempt", 1.5, "wanted_attempt"),
    ("wanted_attempt", True, "wanted_attempt"),
    ("past", {}, "past"),
    ("past", [1], "past[0]"),
    ("owner", "me", "owner"),
    ("forget", 0, "forget"),
    ("attempt", None, "attempt"),
    ("attempt", {}, "attempt"),
    ("attempt", {"created": "2026-01-02T03:04:05Z", "state": "x"}, "attempt.state"),
    ("attempt", {"created": "2026-01-02T03:04:05Z", "address": []}, "attempt.address"),
]


@pytest.mark.parametrize(("field", "value", "named"), WRONG)
def test_a_wrong_field_is_named(field: str, value: Any, named: str) -> None:
    with pytest.raises(ValueError) as caught:
        load({**dump(a_session()), field: value})
    assert str(caught.value).startswith(named)


@pytest.mark.parametrize("field", ["id", "name", "app", "spawner", "cwd", "created", "attempt"])
def test_a_missing_field_is_named(field: str) -> None:
    record = dump(a_session())
    del record[field]
    with pytest.raises(ValueError, match=f"'{field}'"):
        load(record)


@pytest.mark.parametrize("data", [None, [], "x", 1, {}, {"version": VERSION}])
def test_what_is_no_record_is_a_value_error(data: Any) -> None:
    with pytest.raises(ValueError):
        load(data)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("changes", [{}, FULL], ids=["bare", "full"])
def test_what_people_see_is_what_the_document_says(state: State, changes: dict[str, Any]) -> None:
    described = json.loads(json.dumps(describe(a_session(state, **changes))))
    VALIDATOR.validate(described)
    assert set(described) == set(SCHEMA["required"]) == set(SCHEMA["properties"])


def test_the_document_has_the_states_of_the_code() -> None:
    assert SCHEMA["properties"]["state"]["enum"] == [s.value for s in State]


@pytest.mark.parametrize(
    ("own", "open_path", "base_url", "url"),
    [
        ("/", "", None, "/sessions/k/"),
        ("/user/ada/", "lab?x=1", None, "/user/ada/sessions/k/lab?x=1"),
        ("/user/ada/", "lab", "/", "/sessions/k/lab"),
    ],
)
def test_the_url_is_below_the_server_that_answers(
    own: str, open_path: str, base_url: str | None, url: str
) -> None:
    session = a_session(id="k", base_url=own)
    assert describe(session, open_path, base_url)["url"] == url


def test_a_spawner_is_called_by_its_name_if_it_has_no_title() -> None:
    session = a_session(spawner="hpc")
    assert describe(session)["spawner_title"] == "hpc"
    assert describe(session, spawner_title="Cluster")["spawner_title"] == "Cluster"


def test_an_ended_session_expires_no_more() -> None:
    assert describe(a_session(State.STOPPED, **FULL))["expires"] is None
