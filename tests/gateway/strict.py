"""HTTP/1.1 by the letter: what is not exactly right is `Malformed`, as no gateway may send it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) (/[^\x00-\x20\x7f#]*) HTTP/1\.1")
STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) [\t\x20-\x7e]*")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?([^\x00-\x08\x0a-\x1f\x7f]*)")
_CHUNK = re.compile(rb"[0-9a-fA-F]{1,16}")


class Malformed(Exception):
    """Bytes that no gateway may send."""


@dataclass
class Message:
    """A request or an answer, strictly read. `complete` is False if it broke off."""

    first: bytes
    fields: list[tuple[str, str]]
    body: bytes = b""
    complete: bool = True

    def all(self, name: str) -> list[str]:
        return [v for n, v in self.fields if n.lower() == name]

    def get(self, name: str) -> str | None:
        found = self.all(name)
        if len(found) > 1:
            raise Malformed(f"{name} comes {len(found)} times")
        return found[0] if found else None

    @property
    def status(self) -> int:
        return int(self.first.split()[1])

    @property
    def said(self) -> str:
        """What a request asks for, in short."""
        line = self.first.decode("latin-1").removesuffix(" HTTP/1.1")
        return f"{line} {self.body!r}" if self.body else line


def read_head(data: bytes, first: re.Pattern[bytes]) -> Message:
    """The head in `data`, which ends before the empty line."""
    line, *lines = data.split(b"\r\n")
    if not first.fullmatch(line):
        raise Malformed(f"the first line is {line!r}")
    fields = []
    for text in lines:
        match = _FIELD.fullmatch(text)
        if not match:
            raise Malformed(f"a field is {text[:200]!r}")
        fields.append((match[1].decode(), match[2].decode("latin-1").strip(" \t")))
    return Message(line, fields)


def framing(message: Message) -> int | Literal["chunked"] | None:
    """How the body ends, by the letter."""
    length, coding = message.get("content-length"), message.get("transfer-encoding")
    if coding is not None:
        if length is not None or coding != "chunked":
            raise Malformed(f"the framing is {coding!r} and {length!r}")
        return "chunked"
    if length is None:
        return None
    if not re.fullmatch("[0-9]+", length):
        raise Malformed(f"the length is {length!r}")
    return int(length)


def take_chunks(data: bytes) -> tuple[bytes, int] | None:
    """A chunked body at the start of `data`, and where it ends; None if it has not all come."""
    body, at = b"", 0
    while (end := data.find(b"\r\n", at)) >= 0:
        if not _CHUNK.fullmatch(data[at:end]):
            raise Malformed(f"a chunk's size is {data[at:end]!r}")
        size = int(data[at:end], 16)
        at = end + 2 + size
        if len(data) < at + 2:
            return None
        if data[at : at + 2] != b"\r\n":
            raise Malformed("a chunk does not end where it says")
        body += data[end + 2 : at]
        at += 2
        if not size:
            return body, at
    return None


def take_request(buffer: bytearray) -> Message | None:
    """Take a complete request from the start of `buffer`, if one is there."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    message = read_head(bytes(buffer[:end]), REQUEST_LINE)
    if message.get("host") is None:
        raise Malformed("there is no Host")
    size = framing(message) or 0
    if size == "chunked":
        found = take_chunks(bytes(buffer[end + 4 :]))
        if found is None:
            return None
        message.body, size = found
    elif len(buffer) < end + 4 + size:
        return None
    else:
        message.body = bytes(buffer[end + 4 : end + 4 + size])
    del buffer[: end + 4 + size]
    return message
