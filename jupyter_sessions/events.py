"""Changes of sessions as Jupyter events, so that front ends listen instead of polling."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_events import EventLogger

from .session import Session, State

SCHEMA_ID = "https://schema.jupyter.org/jupyter_sessions/session/v1"
SCHEMA_FILE = Path(__file__).with_name("event.schema.yaml")


def change(before: Session | None, after: Session | None) -> str:
    """What happened, as one word of the event's schema; empty if people need not know."""
    if after is None:
        return "" if before is not None and _is_gone(before) else "deleted"
    if _is_gone(after):
        return "deleted"
    if before is None:
        return "created"
    if after.state != before.state or after.attempt.number != before.attempt.number:
        return after.state.value if after.state is not State.CREATED else "restarted"
    if after.attempt.warned not in (None, before.attempt.warned):
        return "expiring"
    visible = ("message", "reason", "expires", "host", "unreachable_since", "exit_code", "told")
    same = all(getattr(after.attempt, f) == getattr(before.attempt, f) for f in visible)
    same = same and (after.name, after.target) == (before.name, before.target)
    return "" if same else "updated"


def _is_gone(session: Session) -> bool:
    """Whether it is as good as deleted: nobody is shown it any more."""
    return session.forget and session.ended


class EventEmitter:
    """An observer of the manager that tells Jupyter's event bus.

    Parameters
    ----------
    describe
        Gives a session as the REST API answers it.
    """

    def __init__(
        self, event_logger: EventLogger, describe: Callable[[Session], dict[str, Any]]
    ) -> None:
        self._event_logger = event_logger
        self._describe = describe
        if SCHEMA_ID not in event_logger.schemas:
            event_logger.register_event_schema(SCHEMA_FILE)

    def __call__(self, before: Session | None, after: Session | None) -> None:
        what = change(before, after)
        session = after or before
        if what and session is not None:
            data: dict[str, Any] = {"id": session.id, "change": what}
            if what != "deleted":
                data["session"] = self._describe(session)
            self._event_logger.emit(schema_id=SCHEMA_ID, data=data)
