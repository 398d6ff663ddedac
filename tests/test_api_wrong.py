"""The REST API, used badly: the answer says what is wrong, and nothing is changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import Api
from .helpers import DOCUMENT, write_app
from .test_api import is_a

DEEP = b"[" * 5_000 + b"]" * 5_000
NESTED = b'{"app": "files", "options": {"folder": ' + b"[" * 200 + b"]" * 200 + b"}}"

WRONG_STARTS = [
    ({}, "app"),
    ({"app": None}, "app"),
    ({"app": 1}, "app"),
    ({"app": ["echo"]}, "app"),
    ({"app": "echo", "name": ""}, "name"),
    ({"app": "echo", "name": "  "}, "name"),
    ({"app": "echo", "name": "x" * 101}, "name"),
    ({"app": "echo", "name": "a\nb"}, "name"),
    ({"app": "echo", "name": "a\x1b[31m"}, "name"),
    ({"app": "echo", "name": "a\u202eb"}, "name"),
    ({"app": "echo", "name": "\ud800"}, "name"),
    ({"app": "echo", "name": 5}, "name"),
    ({"app": "echo", "spawner": 5}, "spawner"),
    ({"app": "echo", "options": []}, "options"),
    ({"app": "echo", "options": {"nope": 1}}, "options.nope"),
    ({"app": "echo", "options": {"delay": "soon"}}, "options.delay"),
    ({"app": "echo", "options": {"delay": -1}}, "options.delay"),
    ({"app": "echo", "options": {"words": ["a", 5]}}, "options.words.1"),
    ({"app": "echo", "options": {"words": ["a\0b"]}}, "options.words"),
    ({"app": "echo", "options": {"words": ["\ud800"]}}, "options.words"),
    ({"app": "files", "options": {"folder": "x" * 200_000}}, "options.folder"),
    ({"app": "echo", "cwd": "/no/such/folder"}, "cwd"),
    ({"app": "echo", "cwd": "~nobody-of-that-name"}, "cwd"),
    ({"app": "echo", "cwd": "a\0b"}, "cwd"),
    ({"app": "echo", "cwd": "\ud800"}, "cwd"),
    ({"app": "echo", "cwd": "x" * 10_000}, "cwd"),
    ({"app": "echo", "cwd": {}}, "cwd"),
    ({"app": "echo", "file": "x"}, "file"),
    ({"app": "files", "file": "no/such"}, "file"),
    ({"app": "files", "file": "."}, "file"),
    ({"app": "files", "file": "a\0b"}, "file"),
    ({"app": "files", "file": "\ud800"}, "file"),
    ({"app": "files", "file": 5}, "file"),
    ({"app": "echo", "resources": []}, "resources"),
    ({"app": "echo", "resources": {"priority": "high"}}, "resources.priority"),
    ({"app": "echo", "resources": {"priority": 1}}, "resources.priority"),
    ({"app": "echo", "resources": {"queue": "x"}}, "resources.queue"),
    ({"app": "echo", "timeout": 0}, "timeout"),
    ({"app": "echo", "timeout": -1}, "timeout"),
    ({"app": "echo", "timeout": 1e300}, "timeout"),
    ({"app": "echo", "timeout": 10**400}, "timeout"),
    ({"app": "echo", "timeout": "1h"}, "timeout"),
    ({"app": "echo", "timeout": True}, "timeout"),
    ({"app": "echo", "surprise": 1}, "surprise"),
    ({"app": "echo", "id": "mine"}, "id"),
]
NOT_OBJECTS = [
    b"",
    b"  ",
    b"{",
    b"nonsense",
    b"[]",
    b"null",
    b'"text"',
    b"5",
    b"\xff\xfe",
    b'{"app": "echo", "timeout": NaN}',
    b'{"app": "echo", "timeout": 1e999}',
    b'{"app": "echo", "timeout": ' + b"9" * 5_000 + b"}",
    b'{"app": "' + b"x" * 1_500_000 + b'"}',
    DEEP,
    NESTED,
]
STRANGE_IDS = [
    "%2e%2e",
    ".",
    "..%2f..%2fetc",
    "%2Fetc",
    "%00",
    "x" * 300,
    "a%0ab",
    "%F0%9F%A7%AA",
    "nosuch",
]


async def test_start_names_the_field_that_is_wrong(api: Api) -> None:
    for request, field in WRONG_STARTS:
        answer = await api("POST", "sessions", request)
        assert (answer.status, answer.fields) == (400, [field]), request
        is_a("Error", answer.json)
    assert await api.manager.sessions() == ([], [])


async def test_start_names_all_wrong_fields_at_once(api: Api) -> None:
    answer = await api("POST", "sessions", {"app": 1, "name": 2, "cwd": 3, "x": 4})
    assert answer.fields == ["app", "name", "cwd", "x"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "sessions"), ("PATCH", "sessions/nosuch"), ("POST", "sessions/nosuch/extend")],
)
async def test_a_body_that_is_no_json_object_is_refused(api: Api, method: str, path: str) -> None:
    for body in NOT_OBJECTS:
        answer = await api(method, path, body)
        assert answer.status == 400, body[:80]
        is_a("Error", answer.json)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [({"app": "nope"}, "app_not_found"), ({"app": "echo", "spawner": "x"}, "spawner_not_found")],
)
async def test_an_unknown_app_or_spawner_is_404(api: Api, request_: Any, reason: str) -> None:
    answer = await api("POST", "sessions", request_)
    assert (answer.status, answer.json["reason"]) == (404, reason)


async def test_an_unavailable_app_is_409_and_says_what_to_install(
    api: Api, jp_config_dir: Path
) -> None:
    needs = [{"program": "no-such-program", "install": "Install it with care."}]
    write_app(jp_config_dir, "absent", command=["x"], requires=needs)
    answer = await api("POST", "sessions", {"app": "absent"})
    assert (answer.status, answer.json["reason"]) == (409, "app_unavailable")
    assert "Install it with care." in answer.json["message"]


async def test_a_broken_app_says_what_is_wrong_with_it(api: Api, jp_config_dir: Path) -> None:
    path = write_app(jp_config_dir, "broken", command=[])
    answer = await api("POST", "sessions", {"app": "broken"})
    assert answer.status == 404
    assert str(path) in answer.json["message"]
    path.write_text("name: [")
    assert (await api("GET", "apps/broken")).status == 404


async def test_a_maximum_makes_a_limit_compulsory(api: Api) -> None:
    api.manager.max_timeout = 100
    for timeout in (None, 101):
        answer = await api("POST", "sessions", {"app": "echo", "timeout": timeout})
        assert (answer.status, answer.fields) == (400, ["timeout"])
    session = await api.start("echo", wait=False)
    assert session.timeout == 100
    answer = await api("PATCH", f"sessions/{session.id}", {"timeout": None})
    assert (answer.status, answer.fields) == (400, ["timeout"])


@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH", "log", "stop", "restart", "extend"])
async def test_an_unknown_id_is_404_and_touches_no_file(
    api: Api, short_path: Path, method: str
) -> None:
    before = sorted(short_path.rglob("*"))
    verb = method if method.isupper() else "GET" if method == "log" else "POST"
    tail = "" if method.isupper() else f"/{method}"
    body = {"PATCH": {}, "extend": {"seconds": 1}}.get(method)
    for session_id in STRANGE_IDS:
        answer = await api(verb, f"sessions/{session_id}{tail}", body)
        assert answer.status == 404, session_id
        is_a("Error", answer.json)
    assert sorted(short_path.rglob("*")) == before


async def test_an_unknown_url_is_404_as_json(api: Api) -> None:
    for path in ("", "nope", "sessions/", "sessions/a/b/c", "sessions/a/explode"):
        answer = await api("GET", path)
        assert answer.status == 404, path
        is_a("Error", answer.json)


async def test_a_wrong_method_is_405_and_says_which_are_right(api: Api) -> None:
    for path, described in DOCUMENT["paths"].items():
        known = {m.upper() for m in described if m != "parameters"}
        url = path[1:].replace("{id}", "nosuch").replace("{name}", "files").replace("{preset}", "x")
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"} - known:
            answer = await api(method, url)
            assert answer.status == 405, (method, path)
            assert known | {"OPTIONS"} == set(answer.headers["Allow"].split(", "))


WRONG_CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"name": None}, "name"),
    ({"name": ""}, "name"),
    ({"name": 1}, "name"),
    ({"timeout": "x"}, "timeout"),
    ({"timeout": 0}, "timeout"),
    ({"state": "running"}, "state"),
    ({"owner": {}}, "owner"),
]
WRONG_EXTENSIONS: list[tuple[dict[str, Any], str]] = [
    ({}, "seconds"),
    ({"seconds": None}, "seconds"),
    ({"seconds": "60"}, "seconds"),
    ({"seconds": True}, "seconds"),
    ({"seconds": 0}, "seconds"),
    ({"seconds": -5}, "seconds"),
    ({"seconds": 10**30}, "seconds"),
    ({"seconds": 3e8}, "seconds"),
    ({"seconds": 60, "minutes": 1}, "minutes"),
]
WRONG_QUERIES = [
    ("lines=-1", "lines"),
    ("lines=x", "lines"),
    ("lines=", "lines"),
    ("lines=1.5", "lines"),
    ("lines=99999999", "lines"),
    ("lines=%D9%A1", "lines"),
    ("follow=maybe", "follow"),
]


async def test_changes_name_the_field_that_is_wrong(api: Api) -> None:
    session = await api.start("echo", wait=False, timeout=3e8)
    url = f"sessions/{session.id}"
    for change, field in WRONG_CHANGES:
        answer = await api("PATCH", url, {"name": "other"} | change)
        assert (answer.status, answer.fields) == (400, [field]), change
    for change, field in WRONG_EXTENSIONS:
        answer = await api("POST", f"{url}/extend", change)
        assert (answer.status, answer.fields) == (400, [field]), change
    for query, field in WRONG_QUERIES:
        answer = await api("GET", f"{url}/log?{query}")
        assert (answer.status, answer.fields) == (400, [field]), query
    now = await api.manager.session(session.id)
    assert (now.name, now.timeout) == ("Echo", 3e8)


async def test_a_store_that_cannot_be_written_is_507_with_a_remedy(api: Api) -> None:
    sessions = api.manager.store.root / "sessions"
    sessions.write_text("in the way")
    answer = await api("POST", "sessions", {"app": "echo"})
    assert answer.status == 507
    assert str(sessions) in answer.json["message"]
    sessions.unlink()
    assert json.loads((await api("GET", "sessions")).body)["sessions"] == []
