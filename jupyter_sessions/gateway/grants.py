"""A request that was let through, as the pattern for all that differ only in what passes anyway."""

from __future__ import annotations

import copy
from typing import NamedTuple

from tornado.escape import parse_qs_bytes

from jupyter_sessions.gateway.admission import Admissions
from jupyter_sessions.gateway.framing import Body, ResponseHead, parse_head, response_body
from jupyter_sessions.gateway.headers import (
    overridden,
    request_headers,
    response_headers,
    serialize,
)
from jupyter_sessions.gateway.lines import Head, Line, Reader
from jupyter_sessions.gateway.opening import is_page, may_open
from jupyter_sessions.gateway.router import Inquiry, Passage
from jupyter_sessions.gateway.traffic import Traffic
from jupyter_sessions.gateway.urls import Target

_ANSWERS = 256


class AnswerHead(NamedTuple):
    """The head of an answer, as it goes to the client.

    Parameters
    ----------
    status
        The status code.
    wire
        The head without the empty line at its end.
    body
        How the app's body ends.
    keep_alive
        True if the app's connection can be used again.
    """

    status: int
    wire: bytes
    body: Body
    keep_alive: bool


class Grant:
    """What was decided about one request, and holds for those that are like it.

    Parameters
    ----------
    passage
        The decision.
    traffic
        The session's.
    head, inquiry
        The request, if there may be others like it: those with the same method, prefix and special
        lines, as the decision depended on nothing else.
    """

    def __init__(
        self,
        passage: Passage,
        traffic: Traffic,
        head: Head | None = None,
        inquiry: Inquiry | None = None,
    ) -> None:
        self.passage = passage
        self.traffic = traffic
        self.admission = passage.admission
        self.address = passage.route.address
        self._cut = len(passage.caller.prefix)
        route = passage.route
        self._before = (route.base if route.strip else route.prefix).encode()
        self._paths = passage.route.paths
        self._generation = traffic.generation
        self._inquiry = inquiry
        self._dropped_up = overridden(passage.route.request_headers)
        self._dropped_down = overridden(passage.route.response_headers)
        self._fields = b""
        if head is not None:
            fields = request_headers(
                head.fields(), passage.caller, passage.route, body=0, upgrade=False
            )
            self._fields = serialize("", fields)[2:-2]
        self._answers: dict[Head, AnswerHead] = {}
        self._starts: dict[tuple[object, ...], tuple[bytes, Body | None, bool]] = {}

    def holds(self, peer: str, now: float) -> bool:
        """True if a request like it, from this address, may pass without another question."""
        return (
            self.admission.expires > now
            and self._generation == self.traffic.generation
            and self.passage.caller.address == peer
        )

    @property
    def current(self) -> bool:
        """False if the session has gone another way since."""
        return self._generation == self.traffic.generation

    async def renew(self, admissions: Admissions, target: bytes) -> bool:
        """Whether it holds for a request for `target` too, now that it has expired."""
        if not self.current or self._inquiry is None:
            return False
        request = copy.copy(self._inquiry.request)
        request.uri = target.decode("latin-1")
        request.path, _, request.query = request.uri.partition("?")
        request.query_arguments = parse_qs_bytes(request.query, keep_blank_values=True)
        request.arguments = copy.deepcopy(request.query_arguments)
        before = self.admission
        session_id = self.passage.route.session_id
        self.admission = await admissions.admit(request, session_id, upgrade=False)
        same = self.admission.reserved == before.reserved and self.admission.token == before.token
        return same and self.current

    def path(self, target: bytes) -> bytes:
        """The path for the app of a request for `target`, in which there is no token."""
        if not self._paths:
            return self._before + target[self._cut :]
        path, mark, query = target[self._cut :].decode("latin-1").partition("?")
        below = Target("", "", path, query if mark else None)
        return below.upstream_path(self._before.decode(), paths=self._paths).encode("latin-1")

    def opens(self, target: bytes) -> bool:
        """True if `target` may be where the app is opened: each such request is to be looked at."""
        route = self.passage.route
        if not (route.query or route.page):
            return False
        rest = target[self._cut :].partition(b"?")[0].decode("latin-1")
        return may_open(route, rest) or is_page(route, rest)

    def request(self, head: Head, path: bytes) -> bytes:
        """The head for the app of a request that is like this one."""
        fields = _wire(head.plain, self._dropped_up)
        length = b"" if head.length is None else b"Content-Length: %d\r\n" % head.length
        start = (head.first[0], path, self._fields, fields, length)
        return b"%b %b HTTP/1.1\r\n%b%b%b\r\n" % start

    def answer(self, reader: Reader, data: bytes, method: str) -> AnswerHead:
        """The head `data` of the app's answer, translated; raises BadMessage.

        A grant is for one method, so that the same head always means the same.
        """
        head = reader.read(data)
        if head is None:
            return self._rare(parse_head(data), method)
        known = self._answers.get(head)
        if known is None:
            known = self._translate(head, method)
            if len(self._answers) >= _ANSWERS:
                self._answers.clear()
            if head.kept:
                self._answers[head] = known
        return known

    def _translate(self, head: Head, method: str) -> AnswerHead:
        key = (head.first, head.special, head.length is None)
        known = self._starts.get(key)
        if known is None:
            known = self._start(head, method)
            if len(self._starts) >= _ANSWERS:
                self._starts.clear()
            if all(line.kept for line in head.special):
                self._starts[key] = known
        start, body, keep_alive = known
        wire = start + _wire(head.plain, self._dropped_down)
        if head.length is not None and head.first[0] != b"204":
            wire += b"Content-Length: %d\r\n" % head.length
        if body is None:
            body = head.length or 0
        return AnswerHead(int(head.first[0]), wire, body, keep_alive)

    def _start(self, head: Head, method: str) -> tuple[bytes, Body | None, bool]:
        """What goes before the plain lines, the body (None: the length), and `keep_alive`."""
        fields = head.fields()
        if head.length is not None:
            fields.append(("Content-Length", "1"))
        reason = head.first[1].decode("latin-1")
        full = ResponseHead(1, int(head.first[0]), reason, fields)
        answer = self._rare(full, method)
        start = answer.wire.replace(b"\r\nContent-Length: 1\r\n", b"\r\n", 1)
        return start, None if answer.body == 1 else answer.body, answer.keep_alive

    def _rare(self, head: ResponseHead, method: str) -> AnswerHead:
        body = response_body(method, head)
        fields = response_headers(head, self.passage.caller, self.passage.route)
        if not isinstance(body, int):
            fields.append(("Transfer-Encoding", "chunked"))
        reason = head.reason.encode("ascii", "replace").decode()
        wire = serialize(f"HTTP/1.1 {head.status} {reason}", fields)[:-2]
        return AnswerHead(head.status, wire, body, head.keep_alive and body != "close")


def _wire(lines: list[Line], dropped: frozenset[str]) -> bytes:
    if dropped:
        return b"".join([line.wire for line in lines if line.name.lower() not in dropped])
    return b"".join([line.wire for line in lines])
