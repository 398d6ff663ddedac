"""Header lines that came before: what each of them means is worked out once.

A browser sends the same dozen lines with every request. Read again each time, they would cost more
than all the rest of what passing a request on costs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from tornado import httputil

from jupyter_sessions.gateway.framing import BadMessage, Headers, check_fields
from jupyter_sessions.gateway.headers import Kind, answer_kind, request_kind

# What is longer is not kept, and nothing is kept under it: it would never be found again.
_LINES, _LONGEST_LINE = 2048, 8192
_HEADS, _LONGEST_HEAD = 1024, 4096

_REQUEST_LINE = re.compile(rb"([A-Z]+) (/[^\x00-\x20\x7f#]*) HTTP/1\.1")
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9])(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?")


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A header line: `wire` is how it goes on."""

    kind: Kind
    name: str
    value: str
    wire: bytes
    kept: bool


_RARE = Line(Kind.RARE, "", "", b"", kept=False)


class Lines(dict[bytes, Line]):
    """The lines seen lately, by what came over the wire without the line's end."""

    def __init__(self, kind: Callable[[str, str], Kind]) -> None:
        super().__init__()
        self._kind = kind

    def __missing__(self, raw: bytes) -> Line:
        line = self._parse(raw)
        if line.kept:
            if len(self) >= _LINES:
                self.clear()
            self[raw] = line
        return line

    def _parse(self, raw: bytes) -> Line:
        fields = httputil.HTTPHeaders()
        # The parser would take a lone LF for the end of the line.
        if b"\n" in raw or b"\r" in raw:
            return _RARE
        try:
            fields.parse_line(raw.decode("latin-1"))
            ((name, value),) = parsed = list(fields.get_all())
            check_fields(parsed)
        except (httputil.HTTPInputError, BadMessage, ValueError):
            return _RARE
        wire = f"{name}: {value}\r\n".encode("latin-1")
        return Line(self._kind(name, value), name, value, wire, len(raw) <= _LONGEST_LINE)


@dataclass(slots=True, eq=False)
class Head:
    """A head of the usual kind, taken apart.

    Parameters
    ----------
    first
        Method and target of a request, or status code and reason of an answer.
    plain
        Lines that pass as they are.
    special
        All others that matter. Equal ones are the same objects most of the time, and so are cheap
        to compare.
    length
        The Content-Length, None if there is none.
    kept
        True if the same bytes give the same object again.
    """

    first: tuple[bytes, bytes]
    plain: list[Line]
    special: tuple[Line, ...]
    length: int | None
    kept: bool

    def fields(self) -> Headers:
        """The special fields."""
        return [(line.name, line.value) for line in self.special]


class Reader:
    """Takes the heads of one kind of messages apart."""

    def __init__(self, first: re.Pattern[bytes], kind: Callable[[str, str], Kind]) -> None:
        self._first = first
        self._lines = Lines(kind)
        self._heads: dict[bytes, Head] = {}

    def read(self, head: bytes) -> Head | None:
        """`head` without the empty line at its end; None if it is not of the usual kind.

        For the same bytes it is the same object, most of the time.
        """
        known = self._heads.get(head)
        if known is None:
            known = self._parse(head)
            if known is not None and known.kept:
                if len(self._heads) >= _HEADS:
                    self._heads.clear()
                self._heads[head] = known
        return known

    def _parse(self, head: bytes) -> Head | None:
        rows = head.split(b"\r\n")
        match = self._first.fullmatch(rows[0])
        if match is None:
            return None
        del rows[0]
        lines = self._lines
        plain: list[Line] = []
        special: list[Line] = []
        length = None
        for row in rows:
            line = lines[row]
            kind = line.kind
            if kind is Kind.PLAIN:
                plain.append(line)
            elif kind is Kind.SPECIAL:
                special.append(line)
            elif kind is Kind.LENGTH:
                if length is not None or not line.value.isdecimal() or len(line.value) > 18:
                    return None
                length = int(line.value)
            elif kind is Kind.RARE:
                return None
        first, second = match.groups(b"")
        return Head((first, second), plain, tuple(special), length, len(head) <= _LONGEST_HEAD)


def request_reader() -> Reader:
    return Reader(_REQUEST_LINE, request_kind)


def answer_reader() -> Reader:
    return Reader(_STATUS_LINE, answer_kind)
