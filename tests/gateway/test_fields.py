"""Cookies, header fields and origins, as tables."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado.httputil import parse_cookie

from jupyter_sessions.gateway.framing import (
    Headers,
    ResponseHead,
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
from jupyter_sessions.routes import Address, Route

PREFIX = "/u/ada/sessions/s1"
CALLER = Caller("hub.org", "10.0.0.9", "https", PREFIX, frozenset({"my-login"}), "tok")
ROUTE = Route("s1", PREFIX, Address.tcp("127.0.0.1", 9000))


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
