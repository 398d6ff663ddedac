"""What a running app tells of itself: its status file, by the runner, the record and the API."""

from __future__ import annotations

import json
import os
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions.events import change
from jupyter_sessions.record import describe, dump, load
from jupyter_sessions.routes import Address
from jupyter_sessions.runner import below, read_told
from jupyter_sessions.session import (
    Report,
    Seen,
    State,
    Status,
    Step,
    advance,
    needed,
)
from jupyter_sessions.spawners.base import told_of
from jupyter_sessions.told import Link, Told

from .attempts import SLEEP, Attempt, hello, python, serve, wait_for
from .core import NOW, a_session
from .managers import ENDED, running, start

WRITE = "import os, sys; open(os.environ['SESSION_STATUS_FILE'], 'w').write(sys.argv[1]); "
SERVE = """
import socket, sys, time
listener = socket.create_server(("127.0.0.1", 0))
open(sys.argv[1], "w").write('{"port": %d}' % listener.getsockname()[1])
while True:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(b"hello")
"""


def tell(attempt: Attempt, content: Any) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    # Whole at once: the runner may look at any moment.
    draft = attempt.directory.parent / "status.draft"
    draft.write_text(text)
    draft.replace(attempt.directory / "status.json")


def told(attempt: Attempt) -> Any:
    return attempt.status()["told"]


# -- What is in order ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("", ""),
        ("dash/", "dash/"),
        ("/dash/", "dash/"),
        ("?view=1", "?view=1"),
        ("#part", "#part"),
        ("a/b?next=//x/..", "a/b?next=//x/.."),
        ("früh stück", "fr%C3%BCh%20st%C3%BCck"),
        ("a%20b", "a%20b"),
        ("lab/tree/x:y", "lab/tree/x:y"),
    ],
)
def test_a_path_below_the_url_is_taken(path: str, wanted: str) -> None:
    assert below(path) == wanted


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example/",
        "javascript:alert(1)",
        "/javascript:alert(1)",
        "//evil.example/",
        "///evil.example/",
        "a//b",
        "..",
        "../other",
        "a/../../b",
        "%2e%2e/b",
        "a/..%2fb",
        "./a",
        "..\\b",
        "a\nb",
        "a\x85b",
        "x" * 3000,
    ],
)
def test_a_path_that_leads_elsewhere_is_not(path: str) -> None:
    with pytest.raises(ValueError, match=r"^(has|is) "):
        below(path)


@pytest.mark.parametrize(
    ("content", "wanted", "problem"),
    [
        ({"message": "Loading\n40 %"}, {"message": "Loading 40 %"}, None),
        ({"message": "x" * 1200}, {"message": "x" * 999 + "…"}, None),
        ({"message": "\x1b[31mred"}, {"message": "[31mred"}, None),
        ({"message": 5}, {}, "message is not text"),
        ({"ready": "no"}, {}, "ready is not true or false"),
        ({"ready": None, "message": "a"}, {"message": "a"}, None),
        ({"port": True}, {}, "port is not a port from 1 to 65535"),
        ({"port": 65536}, {}, "port is not a port from 1 to 65535"),
        ({"open_path": "//x"}, {}, "open_path has two slashes in a row"),
        ({"open_path": ""}, {"open_path": ""}, None),
        ({"links": {}}, {}, "links is not a list"),
        ({"links": [{"title": "T"}]}, {}, "links has a link that is not an object with"),
        ({"links": [{"path": "a"}] * 21}, {}, "links has more than 20 links"),
        ({"links": [{"path": "/a"}]}, {"links": [{"title": "a", "path": "a"}]}, None),
        ({"messsage": "a", "ready": True}, {"ready": True}, "unknown key 'messsage'"),
    ],
)
def test_what_is_wrong_is_left_out_and_named(
    content: dict[str, Any], wanted: dict[str, Any], problem: str | None
) -> None:
    told, problems = read_told(content)
    assert told == wanted
    assert len(problems) == (problem is not None)
    assert all(problem in text for text in problems if problem)


def test_what_another_machine_answers_is_read_again() -> None:
    answer = {"message": 1, "open_path": "//evil", "links": [{"title": "a", "path": "..\\"}]}
    assert told_of(answer) == Told()


# -- The runner ----------------------------------------------------------------------------------


def test_what_the_app_tells_is_passed_on_and_changes(attempt: Attempt) -> None:
    attempt.start([*python(WRITE + "import time; time.sleep(600)"), '{"message": "One"}'])
    wait_for(lambda: attempt.status()["status"] == "alive" and told(attempt))
    assert told(attempt) == {"message": "One"}
    tell(attempt, {"message": "Two", "links": [{"title": "D", "path": "d/"}]})
    wait_for(lambda: told(attempt).get("message") == "Two")
    assert told(attempt)["links"] == [{"title": "D", "path": "d/"}]
    (attempt.directory / "status.json").unlink()
    wait_for(lambda: told(attempt) == {})


def test_half_written_json_leaves_what_was_told(attempt: Attempt) -> None:
    attempt.start(SLEEP)
    attempt.wait("alive")
    tell(attempt, {"message": "One"})
    wait_for(lambda: told(attempt) == {"message": "One"})
    tell(attempt, '{"message": "Tw')
    wait_for(lambda: "it is not a JSON object" in attempt.log)
    assert told(attempt) == {"message": "One"}
    tell(attempt, '{"message": ')
    tell(attempt, {"message": "Two", "ready": 1, "nonsense": 1})
    wait_for(lambda: told(attempt) == {"message": "Two"})
    tell(attempt, {"message": "Three", "ready": 2, "nonsense": 2})
    wait_for(lambda: told(attempt) == {"message": "Three"})
    assert attempt.log.count("not a JSON object") == 1
    assert attempt.log.count("ready is not true or false") == 1
    assert attempt.log.count("unknown key 'nonsense'") == 1


def test_only_a_regular_file_of_some_size_is_read(attempt: Attempt, tmp_path: Path) -> None:
    attempt.start(SLEEP)
    attempt.wait("alive")
    path = attempt.directory / "status.json"
    (tmp_path / "elsewhere").write_text('{"message": "From elsewhere"}')
    path.symlink_to(tmp_path / "elsewhere")
    wait_for(lambda: "The status file is ignored in part: it cannot be read" in attempt.log)
    path.unlink()
    os.mkfifo(path)
    wait_for(lambda: "not a regular file of yours" in attempt.log)
    path.unlink()
    tell(attempt, {"message": "x", "more": "y" * 70_000})
    wait_for(lambda: "larger than 65536 bytes" in attempt.log)
    assert told(attempt) == {}


def test_one_that_says_it_is_not_ready_is_not(attempt: Attempt) -> None:
    program = (
        WRITE
        + """
import socket
listener = socket.create_server(("127.0.0.1", int(sys.argv[2])))
listener.accept()[0].sendall(b"somebody asked")
while True: listener.accept()[0].sendall(b"hello")
"""
    )
    attempt.start([*python(program), '{"ready": false, "message": "40 %"}', "{port}"])
    wait_for(lambda: told(attempt) == {"ready": False, "message": "40 %"})
    tell(attempt, {"ready": False, "message": "50 %"})  # and a look later it still starts
    wait_for(lambda: told(attempt)["message"] == "50 %")
    assert attempt.status()["status"] == "starting"
    assert attempt.status()["address"] is None
    tell(attempt, {})
    status = attempt.wait("alive")
    assert hello(status["address"]) == b"somebody asked"


def test_a_file_that_says_not_ready_does_not_hide_a_dead_app(attempt: Attempt) -> None:
    attempt.start([*python(WRITE + "sys.exit(3)"), '{"ready": false}'])
    end = attempt.end()
    assert (end["reason"], end["exit_code"]) == ("exited", 3)


def test_nor_does_it_outlive_its_time_limit(attempt: Attempt) -> None:
    program = WRITE + "import time; time.sleep(600)"
    attempt.start([*python(program), '{"ready": false}'], timeout=2)
    assert attempt.end()["reason"] == "timeout"


@pytest.mark.parametrize("goes", ["sys.exit(0)", "import time; time.sleep(600)"])
def test_an_app_that_says_it_failed_is_ended(attempt: Attempt, goes: str) -> None:
    attempt.start([*python(WRITE + goes), '{"failed": "There is no licence."}'])
    end = attempt.end()
    assert (end["reason"], end["message"]) == ("app_failed", "There is no licence.")


def test_a_port_that_is_reported_is_routed_to(attempt: Attempt) -> None:
    attempt.start([*python(SERVE), "{status_file}"], reports_port=True)
    status = attempt.wait("alive")
    assert hello(status["address"]) == b"hello"


def test_a_port_that_somebody_else_has_is_not(attempt: Attempt) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        program = WRITE + "import time; time.sleep(600)"
        attempt.start([*python(program), json.dumps({"port": port})], reports_port=True)
        end = attempt.end(60)
        assert end["reason"] == "start_failed"
        assert f"Another process took port {port}." in attempt.log


def test_a_port_counts_only_for_an_app_that_reports_it(attempt: Attempt) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        attempt.start(serve("socket"))
        attempt.wait("alive")
        tell(attempt, {"port": other.getsockname()[1]})
        wait_for(lambda: told(attempt))
        assert attempt.status()["address"]["scheme"] == "unix"


# -- The session ---------------------------------------------------------------------------------


def starting(**changes: Any) -> Any:
    usual = {"handle": {"job": 1}, "submitted": True, "started": NOW}
    return a_session(State.STARTING, **(usual | changes))


def seen(status: Status, **facts: Any) -> Seen:
    told = Told(**facts)
    return Seen(asked=True, report=Report(status, message=told.message, told=told))


def test_the_ready_timeout_does_not_run_while_the_app_says_it_is_not_ready() -> None:
    later = NOW + timedelta(hours=3)
    held = advance(starting(), seen(Status.STARTING, ready=False, message="40 %"), NOW)
    assert (
        advance(held, seen(Status.STARTING, ready=False, message="41 %"), later).state == "starting"
    )
    free = advance(held, seen(Status.STARTING), later)
    assert free.attempt.message == "Waiting for the app to answer."
    assert advance(free, seen(Status.STARTING), later + timedelta(seconds=59)).state == "starting"
    late = advance(free, seen(Status.STARTING), later + timedelta(seconds=60))
    assert (late.state, late.attempt.reason) == ("stopping", "not_ready")
    assert "within 60 s of saying that it was ready" in late.attempt.message


def test_its_time_limit_runs_all_the_while() -> None:
    held = starting(told=Told(ready=False), expires=NOW + timedelta(seconds=10), timeout=10)
    over = advance(held, seen(Status.STARTING, ready=False), NOW + timedelta(seconds=10))
    assert over.attempt.reason == "timeout"


def test_it_is_not_probed_while_it_says_it_is_not_ready() -> None:
    session = starting(address=Address.unix("/run/app.sock"))
    assert needed(session) is Step.PROBE
    assert needed(session.now(told=Told(ready=False))) is Step.POLL


def test_what_it_says_is_the_message_and_goes_when_it_says_no_more() -> None:
    session = advance(starting(), seen(Status.STARTING, message="Loading"), NOW)
    session = advance(session, Seen(ready=True), NOW)
    assert (session.state, session.attempt.message) == ("running", "Loading")
    session = advance(session, seen(Status.ALIVE, message="Working"), NOW)
    assert session.attempt.message == "Working"
    assert advance(session, seen(Status.ALIVE), NOW).attempt.message == ""


def test_links_and_messages_are_kept_told_and_an_event() -> None:
    links = (Link("Dashboard", "dash/"),)
    session = a_session(State.RUNNING, told=Told(message="Busy", open_path="?v=1", links=links))
    assert load(json.loads(json.dumps(dump(session)))) == session
    assert describe(session)["links"] == [
        {"title": "Dashboard", "url": f"/sessions/{session.id}/dash/"}
    ]
    assert change(session, session.now(told=Told())) == "updated"
    assert describe(a_session(State.STOPPED, told=session.attempt.told))["links"] == []


async def test_a_session_shows_what_its_app_tells(root: Path) -> None:
    first = {"message": "Here", "open_path": "?view=1", "links": [{"title": "D", "path": "d/"}]}
    async with running(root) as manager:
        session = await start(manager, app="tells", options={"first": json.dumps(first)})
        described = manager.describe(session)
        assert (described["state"], described["message"]) == ("running", "Here")
        assert described["url"] == f"/sessions/{session.id}/?view=1"
        assert described["links"] == [{"title": "D", "url": f"/sessions/{session.id}/d/"}]
        status = root / "sessions" / session.id / "1" / "status.json"
        status.write_text("{}")
        session = await manager.wait_for(session.id, lambda s: not s.attempt.message)
        assert manager.describe(session)["url"].endswith("/?app=its-own")
        status.write_text('{"failed": "The licence server went away."}')
        session = await manager.wait_for(session.id, lambda s: s.ended)
        assert (session.state, session.attempt.reason) == ("failed", "app_failed")
        assert session.attempt.message == "The licence server went away."


async def test_a_restarted_app_begins_with_nothing_told(root: Path) -> None:
    async with running(root) as manager:
        session = await start(manager, app="tells", options={"first": '{"ready": true}'})
        status = root / "sessions" / session.id / "1" / "status.json"
        status.write_text('{"message": "One"}')
        await manager.wait_for(session.id, lambda s: s.attempt.message == "One")
        await manager.restart(session.id)
        session = await manager.wait_for(
            session.id, lambda s: s.attempt.number == 2 and s.state in (State.RUNNING, *ENDED)
        )
        assert (session.state, session.attempt.message) == (State.RUNNING, "")
        assert session.attempt.told == Told(ready=True)
