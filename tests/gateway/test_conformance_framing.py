"""Where a request ends: request smuggling and desynchronization, as tables.

Nothing may be read in two ways. A message is passed on as one request, framed anew, or refused
with one 400 and the end of the connection; what was hidden in a refused one is never a request,
neither to us nor to the app.
"""

from __future__ import annotations

import pytest

from tests.gateway.conftest import Put
from tests.gateway.harness import Server
from tests.gateway.torture import (
    CUT,
    MARKER,
    PLACES,
    REFUSED,
    Case,
    Outcome,
    Recorder,
    everywhere,
    get,
    head,
    params,
    passes,
)

TE = b"Transfer-Encoding: chunked"
END = b"0\r\n\r\n"
INNER = b"GET /inner HTTP/1.1\r\nHost: x\r\n\r\n"

CHUNKED_ABC = passes("POST /case b'abc'", "GET /marker")

# What hides the end of the body from one of two parsers. In each a request follows, which is the
# first thing after the body to the one and part of the body to the other.
CODINGS: dict[str, Case] = {
    name: (head(line) + b"3\r\nabc\r\n" + END + MARKER, CHUNKED_ABC)
    for name, line in {
        "plain": b"Transfer-Encoding: chunked",
        "other case": b"tRANSFER-eNCODING: cHUNKED",
        "no space": b"Transfer-Encoding:chunked",
        "tab before": b"Transfer-Encoding:\tchunked",
        "spaces around": b"Transfer-Encoding:   chunked  ",
        "tab after": b"Transfer-Encoding: chunked\t",
    }.items()
} | {
    name: (head(*lines.split(b"\r\n")) + b"3\r\nabc\r\n" + END + MARKER, REFUSED)
    for name, lines in {
        "unknown": b"Transfer-Encoding: xchunked",
        "shorter": b"Transfer-Encoding: chunke",
        "longer": b"Transfer-Encoding: chunkedx",
        "empty": b"Transfer-Encoding:",
        "identity": b"Transfer-Encoding: identity",
        "then identity": b"Transfer-Encoding: chunked, identity",
        "after identity": b"Transfer-Encoding: identity, chunked",
        "after gzip": b"Transfer-Encoding: gzip, chunked",
        "twice": b"Transfer-Encoding: chunked, chunked",
        "empty member before": b"Transfer-Encoding: , chunked",
        "empty member after": b"Transfer-Encoding: chunked,",
        "parameter": b"Transfer-Encoding: chunked;q=1",
        "empty parameter": b"Transfer-Encoding: chunked;",
        "double quotes": b'Transfer-Encoding: "chunked"',
        "single quotes": b"Transfer-Encoding: 'chunked'",
        "vertical tab": b"Transfer-Encoding: \x0bchunked",
        "form feed": b"Transfer-Encoding: chunked\x0c",
        "no-break space": b"Transfer-Encoding: \xa0chunked",
        "NUL": b"Transfer-Encoding: chunked\0",
        "bare CR": b"Transfer-Encoding: chunked\rx",
        "bare CR before": b"Transfer-Encoding:\rchunked",
        "inner space": b"Transfer-Encoding: chu nked",
        "space before the colon": b"Transfer-Encoding : chunked",
        "tab before the colon": b"Transfer-Encoding\t: chunked",
        "NUL in the name": b"Transfer-Encoding\0: chunked",
        "8-bit name": b"Transfer-Encoding\xa0: chunked",
        "folded value": b"Transfer-Encoding:\r\n chunked",
        "folded line": b"X: y\r\n Transfer-Encoding: chunked",
        "first line folded": b" Transfer-Encoding: chunked",
        "two lines": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "identity line after": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "identity line before": b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "unknown line after": b"Transfer-Encoding: chunked\r\nTransfer-encoding: x",
        "empty line value": b"Transfer-Encoding: chunked\r\nTransfer-Encoding:",
        "length after": b"Transfer-Encoding: chunked\r\nContent-Length: 3",
        "length before": b"Content-Length: 3\r\nTransfer-Encoding: chunked",
        "length zero": b"Content-Length: 0\r\nTransfer-Encoding: chunked",
        "length and identity": b"Content-Length: 3\r\nTransfer-Encoding: identity",
        "length and disguise": b"Content-Length: 3\r\nTransfer-Encoding: \x0bchunked",
    }.items()
}  # fmt: skip

LENGTHS: dict[str, Case] = {
    name: (head(line) + b"abc" + MARKER, passes("POST /case b'abc'", "GET /marker"))
    for name, line in {
        "plain": b"Content-Length: 3",
        "no space": b"Content-Length:3",
        "spaces around": b"Content-Length: \t 3 \t",
        "leading zeros": b"Content-Length: 0003",
    }.items()
} | {
    name: (head(*lines.split(b"\r\n")) + b"abc" + MARKER, REFUSED)
    for name, lines in {
        "twice the same": b"Content-Length: 3\r\nContent-Length: 3",
        "twice": b"Content-Length: 3\r\nContent-Length: 99",
        "twice, zero first": b"Content-Length: 0\r\nContent-Length: 3",
        "twice, other case": b"Content-Length: 3\r\ncontent-length: 99",
        "list of the same": b"Content-Length: 3, 3",
        "list": b"Content-Length: 3, 99",
        "list without space": b"Content-Length: 3,3",
        "empty member": b"Content-Length: 3,",
        "plus": b"Content-Length: +3",
        "minus": b"Content-Length: -3",
        "minus zero": b"Content-Length: -0",
        "hexadecimal": b"Content-Length: 0x3",
        "binary": b"Content-Length: 0b11",
        "underscore": b"Content-Length: 0_3",
        "two numbers": b"Content-Length: 3 3",
        "fraction": b"Content-Length: 3.0",
        "exponent": b"Content-Length: 3e0",
        "superscript digit": b"Content-Length: \xb3",
        "letter": b"Content-Length: 3x",
        "semicolon": b"Content-Length: 3;x",
        "quotes": b'Content-Length: "3"',
        "vertical tab": b"Content-Length: \x0b3",
        "no-break space": b"Content-Length: \xa03",
        "NUL": b"Content-Length: 3\0",
        "bare CR": b"Content-Length: 3\r3",
        "empty": b"Content-Length:",
        "2 to the 64th and 3": b"Content-Length: 18446744073709551619",
        "2 to the 63rd": b"Content-Length: 9223372036854775808",
        "500 digits": b"Content-Length: " + b"0" * 499 + b"3",
        "space before the colon": b"Content-Length : 3",
        "NUL in the name": b"Content-Length\0: 3",
        "folded": b"Content-Length:\r\n 3",
        "folded digits": b"Content-Length: 0\r\n 3",
    }.items()
}  # fmt: skip

HIDDEN: dict[str, Case] = {
    # CL.0, 0.CL: methods that seldom have a body have the one that they declare.
    "GET with a length": (
        get("/case", b"Content-Length: %d" % len(INNER)) + INNER + MARKER,
        passes(f"GET /case {INNER!r}", "GET /marker"),
    ),
    "HEAD with a length": (
        head(b"Content-Length: 3", first="HEAD {}/case HTTP/1.1") + b"abc",
        passes("HEAD /case b'abc'"),
    ),
    "OPTIONS with a length": (
        head(b"Content-Length: 3", first="OPTIONS {}/case HTTP/1.1") + b"abc" + MARKER,
        passes("OPTIONS /case b'abc'", "GET /marker"),
    ),
    "GET with chunks": (get("/case", TE) + END + MARKER, passes("GET /case", "GET /marker")),
    "POST with nothing": (head() + MARKER, passes("POST /case", "GET /marker")),
    "POST with length zero": (
        head(b"Content-Length: 0") + MARKER, passes("POST /case", "GET /marker")
    ),
    # Names that others take for the real ones are other names: there is no body.
    "underscore in the coding's name": (
        head(b"Transfer_Encoding: chunked") + MARKER, passes("POST /case", "GET /marker")
    ),
    "underscore in the length's name": (
        head(b"Content_Length: 3") + MARKER, passes("POST /case", "GET /marker")
    ),
    "the length called hop-by-hop": (
        head(b"Connection: content-length", b"Content-Length: 3") + b"abc" + MARKER,
        passes("POST /case b'abc'", "GET /marker"),
    ),
    "the coding called hop-by-hop": (
        head(b"Connection: transfer-encoding", TE) + END + MARKER,
        passes("POST /case", "GET /marker"),
    ),
    # An old parser does not know the coding, and its connection ends with the answer.
    "chunks in HTTP/1.0": (head(TE, first="POST {}/case HTTP/1.0") + END + MARKER, REFUSED),
    "an upgrade with a body": (
        head(b"Connection: Upgrade", b"Upgrade: x", b"Content-Length: 3") + b"abc" + MARKER,
        passes("POST /case b'abc'", "GET /marker"),
    ),
    "an upgrade that the app ignores": (
        get("/case", b"Connection: Upgrade", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk") + MARKER,
        passes("GET /case", "GET /marker"),
    ),
}  # fmt: skip

CHUNKS: dict[str, Case] = {
    name: (head(TE) + data + MARKER, passes(*saw, "GET /marker"))
    for name, data, *saw in [
        ("none", END, "POST /case"),
        ("one", b"3\r\nabc\r\n" + END, "POST /case b'abc'"),
        ("two", b"1\r\na\r\n2\r\nbc\r\n" + END, "POST /case b'abc'"),
        ("capital digit", b"A\r\n0123456789\r\n" + END, "POST /case b'0123456789'"),
        ("small digit", b"a\r\n0123456789\r\n" + END, "POST /case b'0123456789'"),
        ("leading zeros", b"0003\r\nabc\r\n" + END, "POST /case b'abc'"),
        ("many zeros at the end", b"3\r\nabc\r\n0000\r\n\r\n", "POST /case b'abc'"),
        ("line breaks as data", b"4\r\n\r\n\r\n\r\n" + END, "POST /case b'\\r\\n\\r\\n'"),
    ]
} | {
    # The app may have got the head and what was good, but never an end.
    name: (head(TE) + data + MARKER, REFUSED)
    for name, data in {
        "0x": b"0x3\r\nabc\r\n" + END,
        "minus": b"-3\r\nabc\r\n" + END,
        "plus": b"+3\r\nabc\r\n" + END,
        "underscore": b"0_3\r\nabc\r\n" + END,
        "space before": b" 3\r\nabc\r\n" + END,
        "space after": b"3 \r\nabc\r\n" + END,
        "tab after": b"3\t\r\nabc\r\n" + END,
        "no-break space": b"3\xa0\r\nabc\r\n" + END,
        "NUL": b"3\0\r\nabc\r\n" + END,
        "no size": b"\r\nabc\r\n" + END,
        "no digit": b"g\r\nabc\r\n" + END,
        "superscript digit": b"\xb3\r\nabc\r\n" + END,
        "17 digits": b"10000000000000003\r\nabc\r\n" + END,
        "LF after the size": b"3\nabc\r\n" + END,
        "CR after the size": b"3\rabc\r\n" + END,
        "CR CR LF after the size": b"3\r\r\nabc\r\n" + END,
        "LF after the data": b"3\r\nabc\n" + END,
        "nothing after the data": b"3\r\nabc" + END,
        "other bytes after the data": b"3\r\nabcXX" + END,
        "too short a size": b"2\r\nabc\r\n" + END,
        "LF at the end": b"3\r\nabc\r\n0\n\n",
        "LF in the last line": b"3\r\nabc\r\n0\r\n\n",
        "other bytes at the end": b"3\r\nabc\r\n0\r\nXX",
        "bad second chunk": b"3\r\nabc\r\nzz\r\n" + END,
        "extension with LF": b"3;a\nb\r\nabc\r\n" + END,
        "extension with CR": b"3;a\rb\r\nabc\r\n" + END,
        "trailer with a bad name": b"3\r\nabc\r\n0\r\nX Y: z\r\n\r\n",
        "trailer without a colon": b"3\r\nabc\r\n0\r\nX\r\n\r\n",
        # tornado takes no extensions and no trailers, which RFC 9112 (7.1) would have it skip.
        "extension": b"3;a=b\r\nabc\r\n" + END,
        "quoted extension": b'3;a="b"\r\nabc\r\n' + END,
        "extension at the end": b"3\r\nabc\r\n0;a=b\r\n\r\n",
        "trailer": b"3\r\nabc\r\n0\r\nX: y\r\n\r\n",
        "trailer with a length": b"3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n",
        "trailer with a coding": b"3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    }.items()
} | {"1000 digits": (head(TE) + b"f" * 1000 + b"\r\nabc\r\n" + END + MARKER, CUT)}  # fmt: skip


TABLES = {"coding": CODINGS, "length": LENGTHS, "body": HIDDEN, "chunks": CHUNKS}


@pytest.mark.parametrize(("payload", "expected"), params(TABLES))
async def test_where_a_request_ends(
    server: Server, put: Put, payload: bytes, expected: Outcome
) -> None:
    recorder = Recorder()
    await put("app", recorder)
    found = await everywhere(server, recorder, payload, expected)
    assert found == dict.fromkeys(PLACES, expected)
