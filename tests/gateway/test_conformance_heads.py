"""Request lines and header fields, as tables: what is served, what is refused, and how.

The same answer wherever on a connection it comes, whoever has to read it.
"""

from __future__ import annotations

import pytest

from tests.gateway.conftest import BASE, Put
from tests.gateway.harness import Server
from tests.gateway.torture import (
    CUT,
    HOST,
    LOGIN,
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

PATH = f"{BASE}sessions/app/case"
GET = f"GET {PATH} HTTP/1.1".encode()
REST = b"\r\n".join([b"", HOST, LOGIN, b"", b""])
SEEN = passes("GET /case", "GET /marker")

# Jupyter answers what is for no session; for a session nobody asked.
NOT_A_SESSION = Outcome((404, 200), stays=True, saw=("GET /marker",))

LINES: dict[str, Case] = {
    name: (line.encode("latin-1") + REST + MARKER, passes(saw, "GET /marker"))
    for name, line, saw in [
        ("plain", f"GET {PATH} HTTP/1.1", "GET /case"),
        ("unknown method", f"BREW {PATH} HTTP/1.1", "BREW /case"),
        # Methods are case-sensitive (RFC 9110, 9.1): this is another one.
        ("method in small letters", f"get {PATH} HTTP/1.1", "get /case"),
        ("method of signs", f"!#$%&'*+-.^_`|~ {PATH} HTTP/1.1", "!#$%&'*+-.^_`|~ /case"),
        ("long method", f"{'A' * 1000} {PATH} HTTP/1.1", f"{'A' * 1000} /case"),
        ("8-bit path", f"GET {PATH}/\xe9\xff HTTP/1.1", "GET /case/\xe9\xff"),
        ("signs in the path", f"GET {PATH}/\"<>[]\\^`{{|}} HTTP/1.1", "GET /case/\"<>[]\\^`{|}"),
        ("broken escapes", f"GET {PATH}/%/%f/%zz HTTP/1.1", "GET /case/%/%f/%zz"),
        ("escaped line break", f"GET {PATH}/%0d%0aX:%20y HTTP/1.1", "GET /case/%0d%0aX:%20y"),
        ("path of 8 KB", f"GET {PATH}/{'x' * 8000} HTTP/1.1", f"GET /case/{'x' * 8000}"),
        ("a line break before", f"\r\nGET {PATH} HTTP/1.1", "GET /case"),
        ("a URL in the path", f"GET {PATH}/http://x/ HTTP/1.1", "GET /case/http://x/"),
    ]
} | {
    name: (line.encode("latin-1") + REST + MARKER, REFUSED)
    for name, line in {
        "no version": f"GET {PATH}",
        "empty version": f"GET {PATH} ",
        "no target": "GET HTTP/1.1",
        "empty target": "GET  HTTP/1.1",
        "no method": f" {PATH} HTTP/1.1",
        "only a method": "GET",
        "HTTP/0.9": f"GET {PATH} HTTP/0.9",
        "HTTP/1.2": f"GET {PATH} HTTP/1.2",
        "HTTP/1.9": f"GET {PATH} HTTP/1.9",
        "HTTP/1.10": f"GET {PATH} HTTP/1.10",
        "HTTP/01.1": f"GET {PATH} HTTP/01.1",
        "HTTP/1": f"GET {PATH} HTTP/1",
        "HTTP/1.": f"GET {PATH} HTTP/1.",
        "HTTP/1,1": f"GET {PATH} HTTP/1,1",
        "HTTP/2": f"GET {PATH} HTTP/2",
        "HTTP/2.0": f"GET {PATH} HTTP/2.0",
        "HTTP/3.0": f"GET {PATH} HTTP/3.0",
        "small version": f"GET {PATH} http/1.1",
        "another protocol": f"GET {PATH} ICE/1.0",
        "another name": f"GET {PATH} HTTPS/1.1",
        "space in the version": f"GET {PATH} HTTP/ 1.1",
        "superscript version": f"GET {PATH} HTTP/1.\xb9",
        "text after the version": f"GET {PATH} HTTP/1.1 x",
        "space after the version": f"GET {PATH} HTTP/1.1 ",
        "tab after the version": f"GET {PATH} HTTP/1.1\t",
        "two versions": f"GET {PATH} HTTP/1.1 HTTP/1.1",
        "two spaces": f"GET  {PATH} HTTP/1.1",
        "two spaces before the version": f"GET {PATH}  HTTP/1.1",
        "tabs": f"GET\t{PATH}\tHTTP/1.1",
        "tab after the method": f"GET\t{PATH} HTTP/1.1",
        "tab before the version": f"GET {PATH}\tHTTP/1.1",
        "vertical tab": f"GET {PATH}\x0bHTTP/1.1",
        "no-break space": f"GET {PATH}\xa0HTTP/1.1",
        "bare CR": f"GET {PATH}\rHTTP/1.1",
        "space before": f" GET {PATH} HTTP/1.1",
        "NUL before": f"\0GET {PATH} HTTP/1.1",
        "mark of byte order": f"\xef\xbb\xbfGET {PATH} HTTP/1.1",
        "space in the target": f"GET {PATH}/a b HTTP/1.1",
        "tab in the target": f"GET {PATH}/a\tb HTTP/1.1",
        "NUL in the target": f"GET {PATH}/\0 HTTP/1.1",
        "control in the target": f"GET {PATH}/\x01 HTTP/1.1",
        "DEL in the target": f"GET {PATH}/\x7f HTTP/1.1",
        "CR in the target": f"GET {PATH}/a\rb HTTP/1.1",
        "LF in the target": f"GET {PATH}/a\nb HTTP/1.1",
        "fragment": f"GET {PATH}#x HTTP/1.1",
        "fragment in the query": f"GET {PATH}?a#x HTTP/1.1",
        "NUL in the method": f"G\0ET {PATH} HTTP/1.1",
        "8-bit method": f"G\xc9T {PATH} HTTP/1.1",
        "colon in the method": f"GET: {PATH} HTTP/1.1",
        "slash in the method": f"G/T {PATH} HTTP/1.1",
        "two line breaks before": f"\r\n\r\nGET {PATH} HTTP/1.1",
        # What follows a 2xx answer to it would be a tunnel (RFC 9110, 9.3.6).
        "a tunnel to a path": f"CONNECT {PATH} HTTP/1.1",
        "TLS": "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        "HTTP/2 preface": "PRI * HTTP/2.0\r\n\r\nSM",
    }.items()
} | {
    name: (line.encode("latin-1") + REST + MARKER, NOT_A_SESSION)
    for name, line in {
        "no leading slash": f"GET {PATH[1:]} HTTP/1.1",
        # An origin server has to take the absolute form (RFC 9112, 3.2.2); Jupyter does not.
        "absolute form": f"GET http://localhost:8888{PATH} HTTP/1.1",
        "absolute form, other host": f"GET http://evil.org{PATH} HTTP/1.1",
        "asterisk": "GET * HTTP/1.1",
        "OPTIONS of the asterisk": "OPTIONS * HTTP/1.1",
        "authority": "GET localhost:8888 HTTP/1.1",
        "dots into the session": f"GET {BASE}x/../sessions/app/case HTTP/1.1",
        "two slashes before": f"GET /{PATH} HTTP/1.1",
    }.items()
}  # fmt: skip

FIELDS: dict[str, Case] = {
    name: (head(*lines.split(b"\r\n"), first=f"GET {PATH} HTTP/1.1") + MARKER, SEEN)
    for name, lines in {
        "empty value": b"X:",
        "only spaces": b"X: \t \t",
        "tab in a value": b"X: a\tb",
        "8-bit value": b"X: \x80\xe9\xff",
        "colons": b"X: a:b: c",
        "name of signs": b"!#$%&'*+-.^_`|~: x",
        "digit name": b"1: x",
        "1000 fields": b"\r\n".join(b"X-%d: y" % n for n in range(1000)),
        "the same 1000 times": b"\r\n".join([b"X: y"] * 1000),
        "value of 32 KB": b"X: " + b"y" * 32768,
        "name of 8 KB": b"X" * 8192 + b": y",
        "looks like a request": b"GET: /marker HTTP/1.1",
    }.items()
} | {
    name: (head(*lines.split(b"\r\n"), first=f"GET {PATH} HTTP/1.1") + MARKER, REFUSED)
    for name, lines in {
        "no colon": b"X",
        "no colon but spaces": b"X y",
        "a request": b"GET /x HTTP/1.1",
        "empty name": b": x",
        "only a colon": b":",
        "space before the colon": b"X : y",
        "tab before the colon": b"X\t: y",
        "space in the name": b"X Y: z",
        "space before the name": b" X: y",
        "tab before the name": b"\tX: y",
        "folded": b"X: y\r\n z",
        "folded with a tab": b"X: y\r\n\tz",
        "folded into nothing": b"X: y\r\n ",
        "NUL in the name": b"X\0: y",
        "control in the name": b"X\x01: y",
        "8-bit name": b"X\xe9: y",
        "slash in the name": b"X/Y: z",
        "brackets in the name": b"X(Y): z",
        "quotes in the name": b'"X": z',
        "at sign in the name": b"X@Y: z",
        "NUL in the value": b"X: a\0b",
        "NUL after the value": b"X: a\0",
        "control in the value": b"X: a\x01b",
        "vertical tab in the value": b"X: a\x0bb",
        "escape in the value": b"X: \x1b[2J",
        "DEL in the value": b"X: a\x7fb",
        "bare CR in the value": b"X: a\rb",
        "bare CR after the value": b"X: a\r",
        "CR before a field": b"\rX: y",
        "bare CR that hides a field": b"X: a\rContent-Length: 9",
    }.items()
}  # fmt: skip

HOSTS: dict[str, Case] = {
    name: (get("/case").replace(HOST, host) + MARKER, SEEN)
    for name, host in {
        "no port": b"Host: localhost",
        "other case": b"hOST: localhost:8888",
        "address": b"Host: 127.0.0.1:8888",
        "IPv6": b"Host: [::1]:8888",
        "spaces around": b"Host: \t localhost \t",
    }.items()
} | {
    name: (get("/case").replace(HOST, host) + MARKER, REFUSED)
    for name, host in {
        "two": HOST + b"\r\nHost: evil.org",
        "two the same": HOST + b"\r\n" + HOST,
        "two in other case": HOST + b"\r\nhost: evil.org",
        "an empty second": HOST + b"\r\nHost:",
        "folded": b"Host:\r\n localhost",
        "space before the colon": b"Host : localhost",
        "comma": b"Host: localhost, evil.org",
        "space": b"Host: localhost evil.org",
        "path": b"Host: localhost/x",
        "user": b"Host: x@localhost",
        "8-bit": b"Host: \xe9",
        "quotes": b'Host: "localhost"',
        # Each HTTP/1.1 request needs one (RFC 9112, 3.2).
        "none": b"X: y",
    }.items()
} | {
    # Valid, but no name of this server: Jupyter refuses it (DNS rebinding).
    name: (
        get("/case").replace(HOST, host) + MARKER, Outcome((403, 200), True, ("GET /marker",))
    )
    for name, host in {
        "another": b"Host: evil.org",
        "empty": b"Host:",
        "letters for a port": b"Host: localhost:x",
    }.items()
}  # fmt: skip

ENDS: dict[str, Case] = {
    # RFC 9112 (2.2) lets a lone LF end a line, and tornado does. The app gets it framed anew.
    "LF after each line": (get("/case").replace(b"\r\n", b"\n") + MARKER, SEEN),
    "LF after the first line": (get("/case").replace(b"\r\n", b"\n", 1) + MARKER, SEEN),
    "LF in a field": (get("/case", b"X: a\nY: b") + MARKER, SEEN),
    "LF and CR LF": (get("/case")[:-4] + b"\n\r\n" + MARKER, SEEN),
    "CR LF and LF": (get("/case")[:-4] + b"\r\n\n" + MARKER, SEEN),
    "a line break after": (get("/case") + b"\r\n" + MARKER, SEEN),
    "a LF after": (get("/case") + b"\n" + MARKER, SEEN),
    "CR after each line": (get("/case").replace(b"\r\n", b"\r") + b"\r\n\r\n" + MARKER, REFUSED),
    "CR CR LF after a field": (get("/case", b"X: y\r") + MARKER, REFUSED),
    # tornado takes any number of CR at the end of the first line.
    "CR CR LF after the first line": (
        get("/case").replace(b"\r\n", b"\r\r\n", 1) + MARKER, SEEN
    ),
    "LF CR after each line": (
        get("/case").replace(b"\r\n", b"\n\r") + b"\r\n\r\n" + MARKER, REFUSED
    ),
    "NUL after the head": (
        get("/case") + b"\0" + MARKER, Outcome((200, 400), False, ("GET /case",))
    ),
}  # fmt: skip

KB = 1024
SIZES: dict[str, Case] = {
    "a head of 60 KB": (get("/case", b"X: " + b"y" * 60 * KB) + MARKER, SEEN),
    # tornado hangs up without a word.
    "a head of 65 KB": (get("/case", b"X: " + b"y" * 65 * KB) + MARKER, CUT),
    "a head of 200 KB": (get("/case", b"X: " + b"y" * 200 * KB) + MARKER, CUT),
    "many small fields": (get("/case", *[b"X: y"] * 20_000) + MARKER, CUT),
    "a target of 70 KB": (get("/" + "x" * 70 * KB) + MARKER, CUT),
    "a head without an end": (get("/case")[:-4] + b"y" * 200 * KB, CUT),
    "a line without an end": (b"GET " + b"y" * 200 * KB, CUT),
}

TABLES = {"line": LINES, "field": FIELDS, "host": HOSTS, "end": ENDS, "size": SIZES}


@pytest.mark.parametrize(("payload", "expected"), params(TABLES))
async def test_what_a_head_is(server: Server, put: Put, payload: bytes, expected: Outcome) -> None:
    recorder = Recorder()
    await put("app", recorder)
    found = await everywhere(server, recorder, payload, expected)
    assert found == dict.fromkeys(PLACES, expected)
