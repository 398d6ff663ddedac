"""What a request shows of who sent it, kept for asking again later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tornado import httputil

# Differs between any two websockets of one page, and tells nothing about who opened them.
_RANDOM = frozenset({"Sec-Websocket-Key"})


class Bystander(httputil.HTTPConnection):
    """In the place of a request's connection, for who only asks where it came from."""

    def __init__(self, context: Any) -> None:
        self.context = context

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        """Nothing: a handler that never answers need not know when the client has gone."""


class Credentials:
    """A request's head, without its connection.

    Two that are equal get the same answer from Jupyter's authentication, so that a thousand open
    websockets of one browser are one question.
    """

    __slots__ = ("__weakref__", "_context", "_key", "session_id", "upgrade")

    def __init__(
        self, request: httputil.HTTPServerRequest, session_id: str, *, upgrade: bool
    ) -> None:
        self.session_id = session_id
        self.upgrade = upgrade
        self._context = getattr(request.connection, "context", None)
        line = (request.method or "", request.uri or "", request.version)
        fields = tuple(f for f in request.headers.get_all() if f[0] not in _RANDOM)
        self._key = (*line, request.remote_ip, request.protocol, fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Credentials) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def cookie(self) -> str:
        """The Cookie field; empty if there was none."""
        return next((value for name, value in self._key[-1] if name == "Cookie"), "")

    def request(self) -> httputil.HTTPServerRequest:
        """The request once more, for an identity provider to look at."""
        *line, remote_ip, protocol, fields = self._key
        headers = httputil.HTTPHeaders()
        for name, value in fields:
            headers.add(name, value)
        connection = Bystander(self._context)
        request = httputil.HTTPServerRequest(
            start_line=httputil.RequestStartLine(*line), headers=headers, connection=connection
        )
        request.remote_ip, request.protocol = remote_ip, protocol
        return request
