"""What people may do with a session, as it stands now."""

from __future__ import annotations

from .session import Session, State, Target


def actions(session: Session) -> list[str]:
    """What people may do with `session` now, in the order in which a menu shows it."""
    if session.ended:
        return ["restart", "logs", "rename", "delete"]
    possible = ["logs", "stop", "rename", "delete"]
    if session.state is not State.STOPPING and session.target is Target.RUNNING:
        possible.insert(1, "restart")
        expires, ends = session.attempt.expires, session.attempt.ends
        if session.timeout is not None and (ends is None or expires != ends):
            possible.insert(1, "extend")
    if session.state is State.RUNNING:
        possible.insert(0, "open")
    return possible
