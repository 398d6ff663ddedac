"""A request that was let through, as the pattern for all that differ only in what passes anyway."""

from __future__ import annotations

from dataclasses import dataclass

from jupyter_sessions.gateway.framing import Body, ResponseHead, parse_head, response_body
from jupyter_sessions.gateway.headers import (
    overridden,
    request_headers,
    response_headers,
    serialize,
)
from jupyter_sessions.gateway.lines import Head, Line, Reader
from jupyter_sessions.gateway.router import Passage
from jupyter_sessions.gateway.traffic import Traffic

_ANSWERS = 256


@dataclass(frozen=True, slots=True)
class AnswerHead:
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
    special
        The special lines of the request; together with its method and prefix they are what the
        decision depended on.
    """

    def __init__(self, passage: Passage, traffic: Traffic, special: Head | None = None) -> None:
        self.passage = passage
        self.traffic = traffic
        self.admission = passage.admission
        self.address = passage.route.address
        self.before = b"" if passage.route.strip else passage.route.prefix.encode()
        self.generation = traffic.generation
        self._dropped_up = overridden(passage.route.request_headers)
        self._dropped_down = overridden(passage.route.response_headers)
        self._fields = b""
        if special is not None:
            fields = request_headers(
                special.fields(), passage.caller, passage.route, body=0, upgrade=False
            )
            self._fields = serialize("", fields)[2:-2]
        self._answers: dict[tuple[object, ...], tuple[bytes, Body | None, bool]] = {}

    def request(self, head: Head, path: bytes) -> bytes:
        """The head for the app of a request that is like this one."""
        fields = _wire(head.plain, self._dropped_up)
        length = b"" if head.length is None else b"Content-Length: %d\r\n" % head.length
        start = (head.first[0], path, self._fields, fields, length)
        return b"%b %b HTTP/1.1\r\n%b%b%b\r\n" % start

    def answer(self, reader: Reader, data: bytes, method: str) -> AnswerHead:
        """The head `data` of the app's answer, translated; raises BadMessage."""
        head = reader.read(data)
        if head is None:
            return self._rare(parse_head(data), method)
        key = (head.first, head.special, head.length is None, method == "HEAD")
        known = self._answers.get(key)
        if known is None:
            known = self._translate(head, method)
            if len(self._answers) >= _ANSWERS:
                self._answers.clear()
            self._answers[key] = known
        start, body, keep_alive = known
        wire = start + _wire(head.plain, self._dropped_down)
        if head.length is not None and head.first[0] != b"204":
            wire += b"Content-Length: %d\r\n" % head.length
        if body is None:
            body = head.length or 0
        return AnswerHead(int(head.first[0]), wire, body, keep_alive)

    def _translate(self, head: Head, method: str) -> tuple[bytes, Body | None, bool]:
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
