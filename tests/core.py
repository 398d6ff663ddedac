"""Sessions and apps for the unit tests of the core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from jupyter_sessions.session import Attempt, Session, State, new_id

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
APP: Mapping[str, Any] = {"name": "demo", "title": "Demo", "command": ["demo", "{socket}"]}


def a_session(state: State = State.CREATED, **changes: Any) -> Session:
    """A session in `state`; `changes` go to its attempt or to itself, whoever has the field."""
    session = Session(
        id=new_id(),
        name="Demo",
        app="demo",
        app_definition=APP,
        spawner="local",
        cwd="/tmp",
        created=NOW,
        attempt=Attempt(state=state, created=NOW),
    )
    of_attempt = {k: v for k, v in changes.items() if k in Attempt.__dataclass_fields__}
    of_session = {k: v for k, v in changes.items() if k in Session.__dataclass_fields__}
    return replace(session.now(**of_attempt), **of_session)


def write_app(folder: Path, name: str = "demo", **fields: Any) -> Path:
    """An ``app.yaml`` below `folder`."""
    path = folder / name / "app.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({**APP, "name": name, **fields}, allow_unicode=True))
    return path
