"""Every error that jupyter_sessions raises on purpose.

::

    SessionError
    ├── InvalidRequest        400  a field of the request is wrong; `errors` names it
    ├── NotFound              404
    │   ├── SessionNotFound
    │   ├── AppNotFound
    │   └── SpawnerNotFound
    ├── Conflict              409  not possible in the session's present state
    │   ├── AppUnavailable         the app's program is missing; the message says what to install
    │   ├── Untrusted              the app comes from a project, and nobody has trusted it yet
    │   └── CorruptRecord          the session's record cannot be read
    ├── IllegalMove           409  a state change that `advance` forbids (a bug if it gets out)
    ├── StoreError            507  the session store cannot be written or is not safe to use
    └── SpawnerError          502  a spawner refused; becomes the reason why a session failed
        └── Unreachable       503  the spawner's backend did not answer: nothing is known

`status` is the HTTP status that the REST API answers with; nothing outside ``api.py`` reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field of a request: its path (``options.folder``) and what to do about it."""

    field: str
    message: str


class SessionError(Exception):
    """The root. `message` is a sentence for people, `reason` a word for programs.

    Parameters
    ----------
    message
        What is wrong and what to do about it, as one or two sentences.
    reason
        A machine-readable word in snake_case; the class's own when not given.
    errors
        The fields at fault, if the error is about fields.
    """

    status: ClassVar[int] = 500
    default_reason: ClassVar[str] = "error"

    def __init__(
        self, message: str, *, reason: str | None = None, errors: Sequence[FieldError] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.errors = tuple(errors)

    def describe(self) -> dict[str, Any]:
        """The error as the REST API and ``--json`` answer it."""
        return {
            "message": self.message,
            "reason": self.reason,
            "errors": [{"field": e.field, "message": e.message} for e in self.errors],
        }


class InvalidRequest(SessionError):
    """A request with a wrong value. Nothing was changed."""

    status = 400
    default_reason = "invalid_request"

    @classmethod
    def field(cls, name: str, message: str) -> InvalidRequest:
        """An error about the one field `name`."""
        return cls(f"{name}: {message}", errors=[FieldError(name, message)])


class NotFound(SessionError):
    """What the request names does not exist."""

    status = 404
    default_reason = "not_found"


class SessionNotFound(NotFound):
    default_reason = "session_not_found"

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"There is no session {session_id!r}. `jupyter sessions list --all` shows all."
        )


class AppNotFound(NotFound):
    default_reason = "app_not_found"


class SpawnerNotFound(NotFound):
    default_reason = "spawner_not_found"


class Conflict(SessionError):
    """The session, as it is now, does not allow this."""

    status = 409
    default_reason = "conflict"


class AppUnavailable(Conflict):
    default_reason = "app_unavailable"


class Untrusted(Conflict):
    default_reason = "untrusted"


class CorruptRecord(Conflict):
    default_reason = "corrupt_record"


class IllegalMove(Conflict):
    default_reason = "illegal_move"


class StoreError(SessionError):
    """The store could not be read or written. The record on disk is as it was before."""

    status = 507
    default_reason = "store_error"


class SpawnerError(SessionError):
    """A spawner could not do what was asked, for a reason it knows."""

    status = 502
    default_reason = "spawner_error"


class Unreachable(SpawnerError):
    """Nobody answered, so nothing is known: no state may change because of this."""

    status = 503
    default_reason = "unreachable"
