"""URLs of sessions, redirects and paths of cookies, as tables."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_sessions.gateway.framing import (
    ResponseHead,
)
from jupyter_sessions.gateway.headers import (
    Caller,
    response_headers,
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
