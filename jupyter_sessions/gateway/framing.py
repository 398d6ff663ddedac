"""Where an HTTP/1.1 message ends: strict checks, both ways, before a byte is passed on.

What two parsers could read differently is refused, never repaired.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Headers = list[tuple[str, str]]
"""Header fields in order, as they travel; text is latin-1."""

MAX_HEAD = 64 * 1024

Body = int | Literal["chunked", "close"]
"""How a body ends: after so many bytes, by its last chunk, or with the connection."""

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_TARGET = re.compile(r"/[^\x00-\x20\x7f#]*")
_LENGTH = re.compile(r"[0-9]{1,18}")
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?")


class BadMessage(Exception):
    """A message that is not HTTP/1.1, or that could be read in two ways."""


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """The status line and header fields of an app's answer."""

    minor: int
    status: int
    reason: str
    headers: Headers

    @property
    def keep_alive(self) -> bool:
        options = tokens(self.headers, "connection")
        return "close" not in options and (self.minor == 1 or "keep-alive" in options)


def values(headers: Iterable[tuple[str, str]], name: str) -> list[str]:
    """All values of the field `name` (in lower case)."""
    return [v for n, v in headers if n.lower() == name]


def tokens(headers: Iterable[tuple[str, str]], name: str) -> set[str]:
    """The comma-separated members of the field `name`, in lower case."""
    return {
        t.strip().lower() for value in values(headers, name) for t in value.split(",") if t.strip()
    }


def check_fields(headers: Headers) -> None:
    """Raise BadMessage if a name is no token or a value has control bytes."""
    for name, value in headers:
        if not _TOKEN.fullmatch(name):
            raise BadMessage("a header field's name is not valid")
        if _CONTROL.search(value):
            raise BadMessage(f"the header field {name} contains control bytes")


def body_length(version: str, headers: Headers) -> int | Literal["chunked"] | None:
    """The framing that `headers` declare, None if they declare none."""
    lengths = values(headers, "content-length")
    codings = values(headers, "transfer-encoding")
    if codings:
        if lengths:
            raise BadMessage("both Transfer-Encoding and Content-Length are given")
        if version != "HTTP/1.1":
            raise BadMessage("Transfer-Encoding is given in HTTP/1.0")
        if len(codings) > 1 or codings[0].strip().lower() != "chunked":
            raise BadMessage("the Transfer-Encoding is not exactly 'chunked'")
        return "chunked"
    if len(lengths) > 1:
        raise BadMessage("Content-Length is given more than once")
    if not lengths:
        return None
    if not _LENGTH.fullmatch(lengths[0]):
        raise BadMessage("the Content-Length is not a number")
    return int(lengths[0])


def check_request(method: str, target: str, version: str, headers: Headers) -> Body:
    """How the body of a request ends; raises BadMessage if the request must not be passed on."""
    if version not in ("HTTP/1.0", "HTTP/1.1"):
        raise BadMessage("only HTTP/1.0 and HTTP/1.1 are served")
    if not _TOKEN.fullmatch(method):
        raise BadMessage("the method is not valid")
    if method == "CONNECT":  # is for hosts, and its answer would have no end
        raise BadMessage("CONNECT is not for a path")
    if not _TARGET.fullmatch(target):
        raise BadMessage("the request target is not a path")
    check_fields(headers)
    if len(values(headers, "host")) > 1:
        raise BadMessage("Host is given more than once")
    return body_length(version, headers) or 0


def parse_head(data: bytes) -> ResponseHead:
    """The head of an app's answer, `data` being all before the empty line."""
    first, *lines = data.split(b"\r\n")
    match = _STATUS.fullmatch(first)
    if not match:
        raise BadMessage("the status line is not valid")
    headers = []
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon:
            raise BadMessage("a header field has no colon")
        headers.append((name, value.strip(" \t")))
    check_fields(headers)
    reason = (match[3] or b"").decode("latin-1")
    return ResponseHead(int(match[1]), int(match[2]), reason, headers)


def response_body(method: str, head: ResponseHead) -> Body:
    """How the body of the answer `head` to a `method` request ends."""
    declared = body_length(f"HTTP/1.{head.minor}", head.headers)
    if method == "HEAD" or head.status in (204, 304) or head.status < 200:
        return 0
    return "close" if declared is None else declared
