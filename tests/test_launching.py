"""`launching.py`: from a session's record to what a spawner is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions.apps.app import HELPERS
from jupyter_sessions.hosts.local import LocalHost
from jupyter_sessions.launching import launch_of, session_app
from jupyter_sessions.spawners.base import runner_payload
from jupyter_sessions.spawners.process import ProcessSpawner
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
        "helper_dir": str(HELPERS),
        "state_dir": str(store.directory(session.id) / "state"),
    }
    assert (launch.argv, launch.env) == (("demo", "{socket}"), {"A": "{folder}"})
    assert (launch.timeout, launch.stop_grace, launch.log_bytes) == (60, 9, 5)
    assert launch.directory == str(store.directory(session.id) / "1")
    assert not Path(launch.directory).exists()


def test_sessions_of_one_definition_share_one_app() -> None:
    assert session_app(a_session()) is session_app(a_session())


class Elsewhere(LocalHost):
    """A fake: a host that sees none of our files."""

    async def send(self, folder: Path) -> str:
        return f"/there{folder}"

    async def state_directory(self, local: Path, session_id: str) -> str:
        return f"/there/{session_id}/state"


async def test_what_a_host_is_told_are_places_of_its_own(tmp_path: Path) -> None:
    command = ["{python}", "{app_dir}/serve.py", "{state_dir}"]
    session = a_session(app_definition={**APP, "command": command}, app_directory="/apps/demo")
    store = SessionStore(tmp_path)
    store.create(session)
    launch = launch_of(session, session_app(session), store, 5)
    spawner = ProcessSpawner()
    spawner.host = Elsewhere()
    placed = await spawner.placed(launch)
    payload = runner_payload(placed, "/there/1")
    there = f"/there/{session.id}/state"
    assert payload["fields"]["app_dir"] == "/there/apps/demo"
    assert payload["fields"]["state_dir"] == there
    assert (payload["make"], payload["directory"]) == ([there], "/there/1")
    bare = replace(launch, argv=("true",))
    assert (await spawner.placed(bare)).fields["app_dir"] == "/apps/demo"  # nobody asks for it
    assert runner_payload(bare, "/1")["make"] == []


@pytest.mark.parametrize("definition", [{}, {"name": 5}, {**APP, "from": "a later release"}])
def test_a_definition_that_cannot_be_read_is_an_app_without_a_command(
    definition: dict[str, Any],
) -> None:
    app = session_app(a_session(app_definition=definition))
    assert (app.name, app.command) == ("demo", ())
