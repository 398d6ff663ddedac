"""The pure parts: URLs, framing and header fields, as tables."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado.httputil import parse_cookie

from jupyter_sessions.gateway.framing import (
    BadMessage,
    Headers,
    ResponseHead,
    check_request,
    parse_head,
    response_body,
)
from jupyter_sessions.gateway.headers import (
    Caller,
    app_cookies,
    is_foreign,
    is_reserved,
    request_headers,
    response_headers,
    scoped_cookie,
    serialize,
    wants_upgrade,
)
from jupyter_sessions.gateway.urls import (
    SessionUrls,
    public_location,
    referer_without_token,
    scoped_path,
    within,
    without_token,
)
from jupyter_sessions.routes import Address, Route

PREFIX = "/u/ada/sessions/s1"
CALLER = Caller("hub.org", "10.0.0.9", "https", PREFIX, frozenset({"my-login"}), "tok")
ROUTE = Route("s1", PREFIX, Address.tcp("127.0.0.1", 9000))
KEEP = Route("s1", PREFIX, Address.unix("/x"), strip=False)

# urls


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("/a%40b/sessions/s1/x?y", ("s1", "/a%40b/sessions/s1", "/x", "y")),
        ("/a@b/sessions/s1/x", ("s1", "/a@b/sessions/s1", "/x", None)),
        ("/a%40b/%73essions/s1/", ("s1", "/a%40b/%73essions/s1", "/", None)),
        ("/a%40b/sessions/s1", ("s1", "/a%40b/sessions/s1", "", None)),
        ("/a%40b/sessions/s1?", ("s1", "/a%40b/sessions/s1", "", "")),
        ("/a%40b/sessions/s1//evil.org/", ("s1", "/a%40b/sessions/s1", "//evil.org/", None)),
        ("/a%40b/sessions/s1/..%2f../x", ("s1", "/a%40b/sessions/s1", "/..%2f../x", None)),
        ("/a%40b/sessions/s1/../../api", ("s1", "/a%40b/sessions/s1", "/../../api", None)),
        ("/a%40b/sessions/s1/?a?b=/sessions/", ("s1", "/a%40b/sessions/s1", "/", "a?b=/sessions/")),
        ("/a%40b/sessions/S1/", None),
        ("/a%40b/sessions/x/", None),
        ("/a%40b/sessions/s%31/", None),
        ("/a%40b/sessions/", None),
        ("/a%40b/sessions", None),
        ("/a%40b//sessions/s1/", None),
        ("//a%40b/sessions/s1/", None),
        ("/a%40b%2fsessions/s1/", None),
        ("/a%40b/api/sessions/s1/", None),
        ("/a%40b/api/../sessions/s1/", None),
        ("http://evil.org/a%40b/sessions/s1/", None),
        ("*", None),
        ("", None),
    ],
)
def test_which_urls_are_sessions(uri: str, expected: tuple[str, ...] | None) -> None:
    target = SessionUrls("/a%40b/").match(uri)
    found = target and (target.session_id, target.prefix, target.rest, target.query)
    assert found == expected


def test_base_url_may_be_the_root() -> None:
    target = SessionUrls("/").match("/sessions/s1/x")
    assert target is not None
    assert target.prefix == "/sessions/s1"


@given(st.text(alphabet="/%2eE.fF@abs?&=x1", max_size=40))
def test_what_follows_the_prefix_is_kept_as_it_is(rest: str) -> None:
    target = SessionUrls("/a%40b/").match(f"/a%40b/sessions/s1/{rest}")
    assert target is not None
    assert target.upstream_path("") == f"/{rest}"
    assert target.upstream_path("/keep") == f"/keep/{rest}"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("token=tok", None),
        ("a=1&token=tok&b=%5E", "a=1&b=%5E"),
        ("token=tok&token=theirs", "token=theirs"),
        ("%74oken=t%6fk&x", "x"),
        ("token=+tok+&", None),
        ("token=other&&a", "token=other&&a"),
        ("mytoken=tok", "mytoken=tok"),
        ("", ""),
    ],
)
def test_only_our_token_leaves_the_query(query: str, expected: str | None) -> None:
    assert without_token(query, "tok") == expected


def test_our_token_leaves_the_referer() -> None:
    assert referer_without_token("https://h/lab?token=tok&a=1", "tok") == "https://h/lab?a=1"
    assert referer_without_token("https://h/lab?token=tok", "tok") == "https://h/lab"
    assert referer_without_token("https://h/lab?a", "") == "https://h/lab?a"


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/login?next=/", PREFIX + "/login?next=/"),
        (PREFIX + "/login", PREFIX + "/login"),
        (PREFIX, PREFIX),
        (PREFIX + "0/x", PREFIX + PREFIX + "0/x"),
        ("https://hub.org/x", PREFIX + "/x"),
        ("HTTP://HUB.org/x", PREFIX + "/x"),
        ("https://hub.org", PREFIX + "/"),
        ("https://hub.org?a", PREFIX + "/?a"),
        ("//hub.org/x", PREFIX + "/x"),
        ("http://127.0.0.1:9000/x", PREFIX + "/x"),
        ("http://localhost:9000" + PREFIX + "/x", PREFIX + "/x"),
        ("http://localhost:9001/x", "http://localhost:9001/x"),
        ("https://hub.org@evil.org/x", "https://hub.org@evil.org/x"),
        ("https://evil.org/x", "https://evil.org/x"),
        ("//evil.org/x", "//evil.org/x"),
        ("relative", "relative"),
        ("../up", "../up"),
        ("?q", "?q"),
        ("", ""),
        ("mailto:a@b", "mailto:a@b"),
    ],
)
def test_locations(location: str, expected: str) -> None:
    head = ResponseHead(1, 302, "Found", [("Location", location)])
    assert response_headers(head, CALLER, ROUTE) == [("Location", expected)]
    assert response_headers(head, CALLER, KEEP) == [("Location", location)]


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/grafana/login?x", PREFIX + "/login?x"),
        ("/grafana", PREFIX + "/"),
        ("/grafana?x", PREFIX + "/?x"),
        ("/grafana/", PREFIX + "/"),
        ("/grafanas/x", PREFIX + "/grafanas/x"),
        ("/elsewhere", PREFIX + "/elsewhere"),
        (PREFIX + "/x", PREFIX + "/x"),
        ("http://g.example.org:3000/grafana/x", PREFIX + "/x"),
        ("http://G.example.org/grafana/x", PREFIX + "/x"),
        ("http://g.example.org:81/grafana/x", "http://g.example.org:81/grafana/x"),
    ],
)
def test_locations_below_a_base(location: str, expected: str) -> None:
    head = ResponseHead(1, 302, "Found", [("Location", location)])
    route = replace(
        ROUTE,
        base="/grafana",
        own_hosts=frozenset({"g.example.org:3000"}),
        request_headers={"host": "g.example.org"},
    )
    assert response_headers(head, CALLER, route) == [("Location", expected)]


def test_cookies_below_a_base() -> None:
    head = ResponseHead(1, 200, "OK", [("Set-Cookie", "a=1; Path=/grafana/x; HttpOnly")])
    expected = [("Set-Cookie", f"a=1; HttpOnly; Path={PREFIX}/x")]
    assert response_headers(head, CALLER, replace(ROUTE, base="/grafana")) == expected


@given(st.text(alphabet="/\\:.huborgevil@?#x", max_size=30))
def test_a_rewritten_location_stays_in_the_session(location: str) -> None:
    rewritten = public_location(location, PREFIX, {"hub.org"})
    assert rewritten == location or within(rewritten, PREFIX)
    if location.startswith("/") and not location.startswith("//"):
        assert within(rewritten, PREFIX)


@pytest.mark.parametrize(
    ("path", "strip", "expected"),
    [
        ("/", True, PREFIX + "/"),
        ("/x", True, PREFIX + "/x"),
        (PREFIX, True, PREFIX + "/"),
        (PREFIX + "/x", True, PREFIX + "/x"),
        ("", True, PREFIX + "/"),
        ("x", True, PREFIX + "/"),
        ("/", False, PREFIX + "/"),
        ("/x", False, PREFIX + "/"),
        (PREFIX + "/x", False, PREFIX + "/x"),
        (PREFIX + "x", False, PREFIX + "/"),
    ],
)
def test_paths_are_confined_to_the_prefix(path: str, strip: bool, expected: str) -> None:
    assert scoped_path(path, PREFIX, strip=strip) == expected


# framing

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


# cookies


@pytest.mark.parametrize(
    ("name", "reserved"),
    [
        ("_xsrf", True),
        ("username-localhost-8888", True),
        ("jupyterhub-user-ada", True),
        ("jupyterhub-session-id", True),
        ("jupyter-hub-token", True),
        ("__Host-jupyterhub-user-ada", True),
        ("__Secure-_xsrf", True),
        ("my-login", True),
        ("My-Login", True),
        ("my-login-oauth-state-xyz", True),
        ("vscode-tkn", False),
        ("session", False),
        ("username", False),
        ("my-login2", False),
    ],
)
def test_reserved_cookies(name: str, reserved: bool) -> None:
    assert is_reserved(name, CALLER.reserved) is reserved
    filtered = app_cookies(f"a=1; {name}=secret; b=2", CALLER.reserved)
    assert filtered == ("a=1; b=2" if reserved else f"a=1; {name}=secret; b=2")
    kept = scoped_cookie(f"{name}=v", CALLER, strip=True)
    assert (kept is None) is reserved


@given(st.text(alphabet='_xsrfujpytehbam-=; \t"\xa0,', max_size=60))
def test_no_cookie_of_ours_passes_however_it_is_written(value: str) -> None:
    names = parse_cookie(app_cookies(f"{value}; _xsrf=1", CALLER.reserved))
    assert not any(is_reserved(name) for name in names)


@pytest.mark.parametrize(
    ("cookie", "strip", "expected"),
    [
        ("a=1", True, f"a=1; Path={PREFIX}/"),
        ("a=1; Path=/; HttpOnly", True, f"a=1; HttpOnly; Path={PREFIX}/"),
        ("a=1;path=/x;Domain=hub.org;Secure", True, f"a=1;Secure; Path={PREFIX}/x"),
        ("a=1; Path=/; Path=/y", True, f"a=1; Path={PREFIX}/y"),
        ("a=1; Path=/; Expires=Thu, 01 Jan 1970", False,
         f"a=1; Expires=Thu, 01 Jan 1970; Path={PREFIX}/"),
        (f"a=1; Path={PREFIX}/x", False, f"a=1; Path={PREFIX}/x"),
        ("a=b=c; DOMAIN = .org", True, f"a=b=c; Path={PREFIX}/"),
    ],
)  # fmt: skip
def test_cookies_of_apps_are_scoped(cookie: str, strip: bool, expected: str) -> None:
    assert scoped_cookie(cookie, CALLER, strip=strip) == expected


# request and response fields


def _request(headers: Headers, **options: object) -> Headers:
    caller = options.pop("caller", CALLER)
    route = options.pop("route", ROUTE)
    return request_headers(headers, caller, route, **{"body": 0, "upgrade": False, **options})  # type: ignore[arg-type]


FORWARDED = [
    ("X-Forwarded-For", "10.0.0.9"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "hub.org"),
    ("X-Forwarded-Prefix", PREFIX),
]


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        ([("Accept-Encoding", "gzip, br")], True),
        ([("Origin", "https://hub.org")], True),
        ([("X-CSRFToken", "the app's")], True),
        ([("Referer", "https://hub.org/x")], True),
        ([("X-Latin", "\xe9\xff")], True),
        ([("Cookie", "a=1;b=2")], True),
        ([("Authorization", "token tok")], False),
        ([("Authorization", "Basic abc")], False),
        ([("X-XSRFToken", "x")], False),
        ([("X_XSRFToken", "x")], False),
        ([("Cookie", "_xsrf=1")], False),
        ([("Expect", "100-continue")], False),
        ([("TE", "trailers")], False),
        ([("Upgrade", "h2c"), ("HTTP2-Settings", "x")], False),
        ([("Connection", "X-A, close"), ("X-A", "1")], False),
        ([("Keep-Alive", "5")], False),
        ([("Proxy-Authorization", "x")], False),
        ([("Proxy-Connection", "x")], False),
        ([("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Host", "evil"),
          ("X_Forwarded_Proto", "ftp"), ("Forwarded", "for=6.6.6.6"), ("X-Real-IP", "6"),
          ("X-Scheme", "x"), ("X-Forwarded-Port", "1"), ("X-Forwarded-Prefix", "/x")], False),
    ],
)  # fmt: skip
def test_request_fields(headers: Headers, kept: bool) -> None:
    passed = _request(headers)
    assert passed == [("Host", "hub.org"), *(headers if kept else []), *FORWARDED]


def test_framing_cannot_be_talked_away() -> None:
    headers = [("Connection", "content-length, host"), ("Host", "x"), ("Content-Length", "3")]
    passed = _request(headers, body=3)
    assert ("Content-Length", "3") in passed
    assert ("Host", "hub.org") in passed
    assert ("Transfer-Encoding", "chunked") in _request([], body="chunked")


def test_a_trusted_proxy_is_believed() -> None:
    caller = Caller("inner", "10.0.0.9", "https", PREFIX, trusted=True)
    headers = [("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Host", "outer.org")]
    passed = dict(_request(headers, caller=caller))
    assert passed["X-Forwarded-For"] == "1.2.3.4, 10.0.0.9"
    assert passed["X-Forwarded-Host"] == "outer.org"
    assert passed["X-Forwarded-Prefix"] == PREFIX


def test_upgrade_fields() -> None:
    headers = [("Connection", "keep-alive, Upgrade"), ("Upgrade", "websocket"),
               ("Sec-WebSocket-Key", "k")]  # fmt: skip
    assert wants_upgrade("HTTP/1.1", headers, 0)
    assert not wants_upgrade("HTTP/1.0", headers, 0)
    assert not wants_upgrade("HTTP/1.1", headers, 3)
    assert not wants_upgrade("HTTP/1.1", headers[1:], 0)
    passed = _request(headers, upgrade=True)
    assert [v for n, v in passed if n in ("Connection", "Upgrade")] == ["Upgrade", "websocket"]


def test_a_route_has_the_last_word() -> None:
    route = Route(
        "s1", PREFIX, Address.unix("/x"),
        request_headers={"authorization": "Bearer app", "cookie": None, "content-length": "9"},
        response_headers={"X-Frame-Options": None, "X-New": "1", "Content-Length": None},
    )  # fmt: skip
    passed = _request([("Authorization", "token tok"), ("Cookie", "a=1")], route=route)
    assert passed == [("Host", "hub.org"), *FORWARDED, ("authorization", "Bearer app")]
    head = ResponseHead(1, 200, "", [("x-frame-options", "DENY"), ("Content-Length", "1")])
    assert response_headers(head, CALLER, route) == [("Content-Length", "1"), ("X-New", "1")]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")],
         [("Set-Cookie", f"a=1; Path={PREFIX}/"), ("Set-Cookie", f"b=2; Path={PREFIX}/")]),
        ([("Set-Cookie", "_xsrf=evil"), ("Set-Cookie", "username-hub-org=evil")], []),
        ([("Connection", "X-A"), ("X-A", "1"), ("Trailer", "x"), ("Upgrade", "h2")], []),
        ([("Connection", "content-length"), ("Content-Length", "3")], [("Content-Length", "3")]),
        ([("Transfer-Encoding", "chunked")], []),
        ([("Alt-Svc", "h3"), ("Clear-Site-Data", "*"), ("Strict-Transport-Security", "x")], []),
        ([("Service-Worker-Allowed", "/")], [("Service-Worker-Allowed", PREFIX + "/")]),
        ([("Content-Location", "/x")], [("Content-Location", PREFIX + "/x")]),
        ([("Content-Security-Policy", "default-src 'self'"), ("X-Frame-Options", "DENY"),
          ("Content-Encoding", "br")],
         [("Content-Security-Policy", "default-src 'self'"), ("X-Frame-Options", "DENY"),
          ("Content-Encoding", "br")]),
    ],
)  # fmt: skip
def test_response_fields(headers: Headers, expected: Headers) -> None:
    assert response_headers(ResponseHead(1, 200, "OK", headers), CALLER, ROUTE) == expected


def test_a_line_break_never_gets_out() -> None:
    for bad in ("a\r\nX: y", "a\nb", "a\0b"):
        with pytest.raises(ValueError, match="line break"):
            serialize("GET / HTTP/1.1", [("X", bad)])


# origins

HTTPS = {"host": "hub.org", "protocol": "https", "upgrade": False}
NAVIGATION = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"),
              ("Sec-Fetch-Dest", "document")]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "headers", "options", "foreign"),
    [
        ("POST", [], {}, False),
        ("POST", [("Origin", "https://hub.org")], {}, False),
        ("POST", [("Origin", "https://HUB.org")], {"host": "hub.org:443"}, False),
        ("POST", [("Origin", "http://hub.org")], {"protocol": "http"}, False),
        ("POST", [("Origin", "https://hub.org")], {"protocol": "http"}, False),
        ("POST", [("Origin", "http://hub.org")], {}, True),
        ("POST", [("Origin", "https://hub.org:444")], {}, True),
        ("POST", [("Origin", "https://evil.org")], {}, True),
        ("POST", [("Origin", "https://hub.org.evil.org")], {}, True),
        ("POST", [("Origin", "https://hub.org"), ("Origin", "https://evil.org")], {}, True),
        ("POST", [("Origin", "null")], {}, True),
        ("POST", [("Origin", "")], {}, True),
        ("POST", [("Origin", "https://[")], {}, True),
        ("POST", [("Origin", "https://x")], {"host": ""}, True),
        ("PROPFIND", [("Origin", "https://evil.org")], {}, True),
        ("GET", [("Origin", "https://evil.org")], {}, False),
        ("GET", [("Origin", "https://evil.org")], {"upgrade": True}, True),
        ("GET", [("Sec-WebSocket-Origin", "https://evil.org")], {"upgrade": True}, True),
        ("GET", [("Origin", "https://hub.org")], {"upgrade": True}, False),
        ("POST", [("Origin", "https://x.org")], {"allow_origin": "https://x.org"}, False),
        ("POST", [("Origin", "https://y.org")], {"allow_origin": "https://x.org"}, True),
        ("POST", [("Origin", "https://y.org")], {"allow_origin": "*"}, False),
        ("POST", [("Origin", "https://a.x.org")], {"allow_origin_pat": r"https://.*\.x\.org"},
         False),
        ("POST", [("Origin", "https://a.y.org")],
         {"allow_origin_pat": re.compile(r"https://.*\.x\.org$")}, True),
        (
            "POST",
            [("Origin", "https://x.org.evil.org")],
            {"allow_origin_pat": r"https://x\.org"},
            True,
        ),
        ("GET", [("Sec-Fetch-Site", "cross-site")], {}, True),
        ("GET", [("Sec-Fetch-Site", "same-origin")], {}, False),
        ("GET", [("Sec-Fetch-Site", "none")], {}, False),
        ("GET", [("Sec-Fetch-Site", "same-site")], {}, False),
        ("POST", [("Sec-Fetch-Site", "same-site")], {}, True),
        ("POST", [("Sec-Fetch-Site", "same-site"), ("Origin", "https://hub.org")], {}, False),
        ("GET", [("Sec-Fetch-Site", "same-site")], {"upgrade": True}, True),
        ("GET", NAVIGATION, {}, False),
        ("HEAD", NAVIGATION, {}, False),
        ("POST", NAVIGATION, {}, True),
        ("GET", NAVIGATION, {"upgrade": True}, True),
        ("GET", [*NAVIGATION[:2], ("Sec-Fetch-Dest", "iframe")], {}, True),
        ("GET", [NAVIGATION[0], ("Sec-Fetch-Mode", "no-cors"), NAVIGATION[2]], {}, True),
    ],
)  # fmt: skip
def test_foreign_origins(
    method: str, headers: Headers, options: dict[str, object], foreign: bool
) -> None:
    assert is_foreign(method, headers, **{**HTTPS, **options}) is foreign  # type: ignore[arg-type]
