"""Secrets by which an app knows that a request came through the gateway, and not from others.

Each attempt of a session has values of its own. They are kept beside the session's record, for
whichever server its requests come to, and are in nothing that is told: no answer, event or log.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from .apps.app import App, fill
from .errors import StoreError
from .session import Session
from .store import SessionStore, store_errors, write_atomically

BYTES = 32
"""How much chance is in a value."""


@dataclass(frozen=True, slots=True)
class Injection:
    """What the gateway adds to requests for an app, secrets filled in. Never to be shown.

    Parameters
    ----------
    headers
        Set on each request; None removes one.
    cookies
        Added to each request.
    query
        Parameters added where the app is opened; names and values are percent-encoded.
    """

    headers: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    cookies: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)

    def request(self, path: str) -> tuple[str, dict[str, str]]:
        """The path and the header fields of a request of our own for `path`."""
        headers = {name: value for name, value in self.headers.items() if value is not None}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{n}={v}" for n, v in self.cookies.items())
        query = "&".join(f"{name}={value}" for name, value in self.query.items())
        mark = "&" if "?" in path else "?"
        return f"{path}{mark}{query}" if query else path, headers


def keep(store: SessionStore, session: Session, names: Sequence[str]) -> Mapping[str, str]:
    """The secrets `names` of the present attempt of `session`, made if there are none yet.

    Called before the attempt is started, perhaps for the second time: after a crash, the app may
    have been started with the first ones. Blocks.

    Raises
    ------
    SessionNotFound, StoreError
        If they cannot be written.
    """
    try:
        return read(store, session, names)
    except StoreError:
        values = {name: secrets.token_urlsafe(BYTES) for name in names}
    store.read(session.id)  # what was deleted must not come back
    path = _path(store, session)
    with store_errors("write", path):
        write_atomically(path, json.dumps({"attempt": session.attempt.number, "values": values}))
    return values


def read(store: SessionStore, session: Session, names: Sequence[str]) -> Mapping[str, str]:
    """The secrets `names` that the present attempt of `session` was started with. Blocks.

    Raises
    ------
    StoreError
        If they are not there, or cannot be read: the app cannot be reached without them.
    """
    if not names:
        return {}
    path = _path(store, session)
    try:
        kept = json.loads(path.read_bytes())
        values: Mapping[str, str] = kept["values"]
        if kept["attempt"] == session.attempt.number:
            return {name: str(values[name]) for name in names}
    except (OSError, ValueError, LookupError, TypeError):
        pass  # what went wrong might say what is in the file
    raise StoreError(
        f"The secrets of session {session.id} cannot be read from {path}: restart it, and it gets"
        " others.",
        reason="secrets_lost",
    )


def injection(app: App, values: Mapping[str, str]) -> Injection:
    """What is added to requests for `app`, whose secrets have these `values`."""
    if not app.secrets:
        return Injection(app.request_headers)
    headers = {n: None if v is None else fill(v, values) for n, v in app.request_headers.items()}
    query = {quote(n, safe=""): quote(fill(v, values), safe="") for n, v in app.auth_query.items()}
    return Injection(headers, {n: fill(v, values) for n, v in app.auth_cookies.items()}, query)


def _path(store: SessionStore, session: Session) -> Path:
    return store.directory(session.id) / "secrets.json"
