"""What the gateway itself answers: JSON for programs, pages for people. Never a bare 5xx."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from tornado import template

from jupyter_sessions.gateway.framing import Headers, values
from jupyter_sessions.routes import Waiting

RETRY_SECONDS = "1"

_TEMPLATES = Path(__file__).parent / "templates"

MARK = "X-Jupyter-Sessions"
"""On each of our own answers inside a session's prefix: tells them from the app's."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer of the gateway's own."""

    status: int
    headers: Headers
    body: bytes = b""

    def with_cookies(self, cookies: Sequence[str]) -> Answer:
        return replace(self, headers=self.headers + [("Set-Cookie", c) for c in cookies])


def wants_page(method: str, headers: Headers, *, upgrade: bool = False) -> bool:
    """True if a person looks at the answer: a browser navigates, in a tab or an iframe."""
    if upgrade or method not in ("GET", "HEAD"):
        return False
    if not any("text/html" in value.lower() for value in values(headers, "accept")):
        return False
    mode = values(headers, "sec-fetch-mode")
    if mode and mode != ["navigate"]:
        return False
    destination = values(headers, "sec-fetch-dest")
    return not destination or destination[0] in ("document", "iframe", "frame", "empty")


def redirect(location: str) -> Answer:
    return Answer(307, [("Location", location), ("Cache-Control", "no-store")])


def login(location: str) -> Answer:
    return Answer(302, [("Location", location), ("Cache-Control", "no-store")])


def refusal(status: int, message: str, reason: str) -> Answer:
    """A refusal in JSON."""
    return _json(status, {"message": message, "reason": reason})


@dataclass(frozen=True, slots=True)
class Pages:
    """Answers for one server: `base_url` is where its own pages are, `api_url` its REST API."""

    base_url: str
    api_url: str

    def failure(
        self, status: int, title: str, message: str, reason: str, *, page: bool, retry: bool = False
    ) -> Answer:
        """An error: a page that tries again by itself if `retry`, or JSON."""
        extra: Headers = [("Retry-After", RETRY_SECONDS)] if retry else []
        if not page:
            return _json(status, {"message": message, "reason": reason}, extra)
        settings = {"retry": retry}
        return _page(
            status, "failure.html", extra, settings,
            title=title, message=message, base_url=self.base_url, retry=retry,
        )  # fmt: skip

    def not_found(self, session_id: str, *, page: bool) -> Answer:
        message = f"There is no session {session_id}. It may have been removed."
        return self.failure(404, "No such session", message, "session_not_found", page=page)

    def unreachable(self, *, page: bool, message: str = "The app does not answer.") -> Answer:
        title = "The app does not answer"
        return self.failure(503, title, message, "unreachable", page=page, retry=True)

    def waiting(self, waiting: Waiting, *, page: bool) -> Answer:
        """Why the session cannot be used now, and, as a page, what to do about it."""
        session = dict(waiting.session)
        extra: Headers = [] if waiting.ended else [("Retry-After", RETRY_SECONDS)]
        if not page:
            fields = {key: session.get(key) for key in ("id", "state", "message", "reason")}
            fields["message"] = fields["message"] or "The session is not running."
            fields["reason"] = fields["reason"] or "not_running"
            return _json(503, fields, extra)
        settings = {"session": session, "ended": waiting.ended, "api": self.api_url}
        return _page(
            503, "waiting.html", extra, settings,
            session=session, ended=waiting.ended, log_tail=waiting.log_tail,
            base_url=self.base_url, retry=not waiting.ended,
            title=session.get("name") or session.get("id"),
            heading=str(session.get("state") or "").capitalize(),
        )  # fmt: skip


_OWN_HEADERS: Headers = [
    (MARK, "gateway"),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
]


def _json(status: int, fields: Mapping[str, Any], extra: Sequence[tuple[str, str]] = ()) -> Answer:
    headers = [
        ("Content-Type", "application/json"),
        *_OWN_HEADERS,
        *extra,
    ]
    return Answer(status, headers, json.dumps(fields).encode())


def _page(
    status: int, name: str, extra: Headers, settings: Mapping[str, Any], **names: Any
) -> Answer:
    nonce = secrets.token_urlsafe(16)
    settings = {**settings, "mark": MARK, "now": time.time() * 1000}
    body = _templates().load(name).generate(
        nonce=nonce,
        css=_text("page.css"),
        script=_text("common.js") + _text(name.replace(".html", ".js")),
        # In a script element only "<" could end the data too early.
        settings=json.dumps(settings, default=str).replace("<", "\\u003c"),
        **names,
    )  # fmt: skip
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'self'"
    )
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Security-Policy", policy),
        *_OWN_HEADERS,
        *extra,
    ]
    return Answer(status, headers, body)


@cache
def _text(name: str) -> str:
    return (_TEMPLATES / name).read_text()


@cache
def _templates() -> template.Loader:
    return template.Loader(str(_TEMPLATES))
