"""`launching.py`: from a session's record to what a spawner is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions.launching import launch_of, session_app
from jupyter_sessions.store import SessionStore

from .core import APP, a_session


def test_a_launch_has_the_options_and_the_sessions_own_fields(tmp_path: Path) -> None:
    options = {"properties": {"folder": {"type": "string"}, "quiet": {"type": "boolean"}}}
    definition = {**APP, "options": options, "env": {"A": "{folder}"}, "stop": {"grace": 9}}
    session = a_session(
        app_definition=definition,
        app_directory="/apps/demo",
        options={"folder": "$(touch x) {socket}"},
        base_url="/user/ada/",
        timeout=60.0,
    )
    store = SessionStore(tmp_path)
    store.create(session)
    launch = launch_of(session, session_app(session), store, 5)
    assert launch.fields == {
        "folder": "$(touch x) {socket}",
        "quiet": None,
        "base_url": f"/user/ada/sessions/{session.id}/",
        "cwd": "/tmp",
        "app_dir": "/apps/demo",
        "state_dir": str(store.directory(session.id) / "state"),
    }
    assert (launch.argv, launch.env) == (("demo", "{socket}"), {"A": "{folder}"})
    assert (launch.timeout, launch.stop_grace, launch.log_bytes) == (60, 9, 5)
    assert launch.directory == str(store.directory(session.id) / "1")
    assert not Path(launch.directory).exists()


def test_sessions_of_one_definition_share_one_app() -> None:
    assert session_app(a_session()) is session_app(a_session())


@pytest.mark.parametrize("definition", [{}, {"name": 5}, {**APP, "from": "a later release"}])
def test_a_definition_that_cannot_be_read_is_an_app_without_a_command(
    definition: dict[str, Any],
) -> None:
    app = session_app(a_session(app_definition=definition))
    assert (app.name, app.command) == ("demo", ())
