"""Where messages end, and heads that nobody may read in two ways, as tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_sessions.gateway.framing import (
    BadMessage,
    Headers,
    check_request,
    parse_head,
    response_body,
)
from jupyter_sessions.gateway.headers import (
    serialize,
)

AMBIGUOUS: list[tuple[str, Headers]] = [
    ("both framings", [("Transfer-Encoding", "chunked"), ("Content-Length", "3")]),
    ("two lengths", [("Content-Length", "3"), ("Content-Length", "4")]),
    ("the same length twice", [("Content-Length", "3"), ("Content-Length", "3")]),
    ("a list of lengths", [("Content-Length", "3,3")]),
    ("a signed length", [("Content-Length", "+3")]),
    ("a negative length", [("Content-Length", "-3")]),
    ("a hexadecimal length", [("Content-Length", "0x3")]),
    ("an empty length", [("Content-Length", "")]),
    ("a length in other digits", [("Content-Length", "\xb2")]),
    ("another coding", [("Transfer-Encoding", "gzip, chunked")]),
    ("a coding twice", [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")]),
    ("an unknown coding", [("Transfer-Encoding", "xchunked")]),
    ("a coding in disguise", [("Transfer-Encoding", "\x0bchunked")]),
    ("a bare CR", [("X", "a\rb")]),
    ("a bare LF", [("X", "a\nb")]),
    ("a NUL", [("X", "a\0b")]),
    ("a bad name", [("X Y", "a")]),
]


@pytest.mark.parametrize("headers", [h for _, h in AMBIGUOUS], ids=[n for n, _ in AMBIGUOUS])
def test_ambiguous_framing_is_refused_both_ways(headers: Headers) -> None:
    with pytest.raises(BadMessage):
        check_request("POST", "/", "HTTP/1.1", headers)
    lines = [b"HTTP/1.1 200 OK", *(f"{n}: {v}".encode("latin-1") for n, v in headers)]
    with pytest.raises(BadMessage):
        response_body("GET", parse_head(b"\r\n".join(lines)))


@pytest.mark.parametrize(
    ("method", "target", "version", "headers"),
    [
        ("GET", "/", "HTTP/1.0", [("Transfer-Encoding", "chunked")]),
        ("GET", "/", "HTTP/2.0", []),
        ("G T", "/", "HTTP/1.1", []),
        ("GET", "/a b", "HTTP/1.1", []),
        ("GET", "/a#b", "HTTP/1.1", []),
        ("GET", "/a\x01", "HTTP/1.1", []),
        ("GET", "http://x/", "HTTP/1.1", []),
        ("GET", "/", "HTTP/1.1", [("Host", "a"), ("Host", "a")]),
    ],
)
def test_bad_requests(method: str, target: str, version: str, headers: Headers) -> None:
    with pytest.raises(BadMessage):
        check_request(method, target, version, headers)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([], 0),
        ([("Content-Length", "0")], 0),
        ([("Content-Length", "12")], 12),
        ([("Transfer-Encoding", "Chunked")], "chunked"),
        ([("X", "\xe9")], 0),
    ],
)
def test_request_bodies(headers: Headers, body: int | str) -> None:
    assert check_request("PROPFIND", "/caf\xe9/%ff", "HTTP/1.1", headers) == body


@pytest.mark.parametrize(
    ("method", "head", "body"),
    [
        ("GET", b"HTTP/1.1 200 OK", "close"),
        ("GET", b"HTTP/1.1 200", "close"),
        ("GET", b"HTTP/1.0 200 OK\r\nContent-Length: 3", 3),
        ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", "chunked"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 3", 0),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", 0),
        ("GET", b"HTTP/1.1 204 No\r\nContent-Length: 3", 0),
        ("GET", b"HTTP/1.1 304 Same\r\nContent-Length: 3", 0),
        ("GET", b"HTTP/1.1 101 Go", 0),
    ],
)
def test_response_bodies(method: str, head: bytes, body: int | str) -> None:
    assert response_body(method, parse_head(head)) == body


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"HTTP/2.0 200 OK",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1 99 OK",
        b"HTTP/1.1 600 OK",
        b"HTTP/1.1 200 O\x00K",
        b"HTTP/1.1 200 OK\r\nno colon",
        b"HTTP/1.1 200 OK\r\nA: b\r\n folded",
        b"HTTP/1.1 200 OK\r\nA : b",
        b"HTTP/1.1 200 OK\r\n: b",
        b"SSH-2.0-OpenSSH_9.2",
    ],
)
def test_bad_heads(head: bytes) -> None:
    with pytest.raises(BadMessage):
        parse_head(head)


@given(st.binary(max_size=200))
def test_a_head_is_read_or_refused(data: bytes) -> None:
    try:
        head = parse_head(b"HTTP/1.1 200 OK\r\n" + data)
        response_body("GET", head)
    except BadMessage:
        return
    wire = serialize("X", head.headers)
    assert wire.count(b"\r\n") == len(head.headers) + 2


@pytest.mark.parametrize(
    ("head", "keep"),
    [
        (b"HTTP/1.1 200 OK", True),
        (b"HTTP/1.1 200 OK\r\nConnection: x, Close", False),
        (b"HTTP/1.0 200 OK", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive", True),
    ],
)
def test_keep_alive(head: bytes, keep: bool) -> None:
    assert parse_head(head).keep_alive is keep


LATIN = st.text(st.characters(max_codepoint=255), max_size=20)


@given(st.sampled_from(["GET", "M-SEARCH", "P T", ""]), LATIN, st.lists(st.tuples(LATIN, LATIN)))
def test_a_request_is_read_or_refused(method: str, target: str, headers: Headers) -> None:
    try:
        check_request(method, f"/{target}", "HTTP/1.1", headers)
    except BadMessage:
        return
    wire = serialize(f"{method} /{target} HTTP/1.1", headers)
    assert wire.count(b"\n") == len(headers) + 2
