"""From a session and its app to what a spawner is told: `Launch`."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from .apps.app import HELPERS, App, AppError, as_fields
from .plain import as_text
from .secrets import keep
from .session import Session
from .spawners.base import Launch
from .store import SessionStore


def session_app(session: Session) -> App:
    """The app as it was when the present attempt of `session` began.

    One that this release cannot read any more has no command, and everything else as usual: the
    session can still be seen and stopped.
    """
    definition = json.dumps(session.app_definition)
    return _parse(definition, session.app_directory) or App(
        name=session.app, title=session.app, command=()
    )


@lru_cache(256)  # many sessions have the same app
def _parse(definition: str, folder: str) -> App | None:
    try:
        return App.from_definition(
            json.loads(definition), directory=Path(folder) if folder else None
        )
    except (AppError, RecursionError):
        return None


def fields(session: Session, app: App, state_dir: str = "") -> dict[str, str | list[str] | None]:
    """What the ``{fields}`` of the app's templates stand for in this session."""
    return {
        **dict.fromkeys(app.choices.properties),
        **as_fields(session.options),
        "base_url": session.prefix,
        "cwd": session.cwd,
        "app_dir": "" if app.directory is None else str(app.directory),
        "helper_dir": str(HELPERS),
        "state_dir": state_dir,
    }


def variables(session: Session) -> dict[str, str]:
    """What an app and its hooks find about their session in the environment."""
    options = {
        f"SESSION_{name.upper()}": json.dumps(value) if isinstance(value, list) else as_text(value)
        for name, value in session.options.items()
        if value is not None
    }
    return {
        **options,
        "SESSION_ID": session.id,
        "SESSION_NAME": session.name,
        "SESSION_ATTEMPT": str(session.attempt.number),
        "SESSION_APP": session.app,
        "SESSION_URL": session.prefix,
        "SESSION_CWD": session.cwd,
    }


def before_directory(store: SessionStore, session: Session) -> Path:
    """Where the runner of the before hook of the present attempt keeps its files."""
    return store.attempt_directory(session.id, session.attempt.number) / "before"


def before_output(store: SessionStore, session: Session, most: int = 65536) -> str:
    """What the before hook of the present attempt has printed, its last `most` bytes."""
    try:
        content = (before_directory(store, session) / "log").read_bytes()
    except OSError:
        return ""
    return content[-most:].decode("utf-8", "replace")


def launch_of(session: Session, app: App, store: SessionStore, log_bytes: int) -> Launch:
    """What a spawner needs to start the present attempt of `session`. Blocks: it writes secrets."""
    state_dir = str(store.state_directory(session.id))
    return Launch(
        session_id=session.id,
        attempt=session.attempt.number,
        name=session.name,
        directory=str(store.attempt_directory(session.id, session.attempt.number)),
        argv=app.command,
        fields=fields(session, app, state_dir),
        env=app.env,
        cwd=session.cwd,
        stop_argv=app.stop_command,
        stop_grace=app.stop_grace,
        timeout=session.timeout,
        resources=session.resources,
        log_bytes=log_bytes,
        port=app.port,
        socket=app.socket,
        reports_port=app.reports_port,
        variables=variables(session),
        after_argv=app.after,
        clean_argv=app.clean,
        hook_timeout=app.hook_timeout,
        log_head=before_output(store, session) if app.before else "",
        secrets=keep(store, session, app.secrets),
    )
