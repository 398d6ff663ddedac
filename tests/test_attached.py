"""Services that run already, as apps: what an administrator may say of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions.apps.app import App
from jupyter_sessions.apps.attached import UNCHECKED, from_services
from jupyter_sessions.apps.folders import Broken, Definition
from jupyter_sessions.errors import InvalidRequest


def only(given: Any) -> Definition:
    (found,) = from_services({"thing": given})
    return found


def app(given: Any) -> App:
    found = only(given)
    assert isinstance(found, App), found
    return found


def to(found: App) -> list[str]:
    """What follows the address in its command, that included."""
    return list(found.command[found.command.index("--to") + 1 :])


@pytest.mark.parametrize(
    ("url", "address", "path"),
    [
        ("http://10.0.0.5:3000/grafana/", "http://10.0.0.5:3000", "/grafana"),
        ("http://10.0.0.5", "http://10.0.0.5:80", ""),
        ("https://Host.example.org/", "https://host.example.org:443", ""),
        ("http://[::1]:80/a/b%20c", "http://[::1]:80", "/a/b%20c"),
        ("unix:/run/x {y}.sock", "unix:/run/x {{y}}.sock", ""),
    ],
)
def test_an_address_is_read(url: str, address: str, path: str) -> None:
    found = app({"url": url})
    assert (to(found), found.base_path) == ([address], path)
    assert (found.category, found.title, found.prefix) == ("Services", "thing", "strip")
    assert not found.has_open_port


def test_hosts_in_redirects_are_those_of_the_url() -> None:
    assert app({"url": "http://h:3000/"}).own_hosts == ("h:3000",)
    assert app({"url": "http://h/"}).own_hosts == ("h:80", "h")
    assert app({"url": "https://h:443"}).own_hosts == ("h:443", "h")


def test_the_keys_of_an_app_mean_what_they_mean_there(tmp_path: Path) -> None:
    icon = tmp_path / "g.png"
    icon.write_bytes(b"\x89PNG")
    found = app(
        {
            "url": "http://h/",
            "title": "Grafana",
            "description": "Plots",
            "category": "Plots",
            "icon": str(icon),
            "open_path": "d/1",
            "open_in": "browser",
            "request_headers": {"Host": "g.example.org"},
            "launcher": False,
        }
    )
    assert (found.title, found.description, found.category) == ("Grafana", "Plots", "Plots")
    assert (found.icon, found.open_path, found.open_in) == (icon, "d/1", "browser")
    assert (found.request_headers, found.launcher) == ({"Host": "g.example.org"}, False)


def test_certificates_are_checked_unless_somebody_says_otherwise(tmp_path: Path) -> None:
    assert to(app({"url": "https://h"})) == ["https://h:443"]
    own = app({"url": "https://h", "ca": str(tmp_path / "ca.pem")})
    assert to(own)[1:] == ["--ca", str(tmp_path / "ca.pem")]
    trusting = app({"url": "https://h", "verify": False})
    assert to(trusting)[1:] == ["--no-verify"]
    assert trusting.notice == UNCHECKED
    assert app({"url": "https://h", "verify": True}).notice == ""


def test_dcv_is_a_kind_of_its_own() -> None:
    found = app({"kind": "dcv", "url": "https://h:8443/dcv", "session": "ada-1"})
    assert found.url_path({}) == "#ada-1"
    assert (found.open_in, found.base_path, found.title) == ("browser", "/dcv", "DCV desktop")
    assert app({"kind": "dcv", "url": "https://h:8443"}).url_path({}) == "#console"
    assert app({"kind": "dcv", "url": "https://h:8443", "title": "T"}).title == "T"


def test_people_choose_nothing() -> None:
    with pytest.raises(InvalidRequest, match=r"options\.url"):
        app({"url": "http://h/"}).check_options({"url": "http://other/"}, "/")


WRONG: list[tuple[Any, str]] = [
    ("http://h", "is not a dictionary"),
    ({}, "url: say where it is"),
    ({"url": 5}, "url: say where"),
    ({"url": "h:3000"}, "url: 'h:3000': it has to begin with"),
    ({"url": "ftp://h/"}, "url: "),
    ({"url": "http:///x"}, "url: 'http:///x': it names no host"),
    ({"url": "http://h:99999/"}, "url: "),
    ({"url": "http://[::1/"}, "url: "),
    ({"url": "http://ada:secret@h/"}, "url: no name and password here"),
    ({"url": "http://h/?a=b"}, "url: "),
    ({"url": "http://h/#a"}, "url: "),
    ({"url": "http://a b/"}, "url: "),
    ({"url": "http://h/a b"}, "base_path: "),
    ({"url": "unix:run.sock"}, "url: "),
    ({"url": "unix://h/run.sock"}, "url: "),
    ({"url": "http://h/x", "prefix": "keep"}, "url: a service that keeps"),
    ({"url": "http://h/", "prefix": "off"}, "prefix: "),
    ({"url": "http://h/", "verify": False}, "verify: this is for https"),
    ({"url": "http://h/", "ca": "/x"}, "ca: this is for https"),
    ({"url": "https://h/", "verify": "no"}, "verify: 'no' is neither"),
    ({"url": "https://h/", "ca": "x.pem"}, "ca: 'x.pem' is not the absolute"),
    ({"url": "https://h/", "ca": "/x", "verify": False}, "ca: nothing is checked"),
    ({"url": "http://h/", "icon": "x.svg"}, "icon: 'x.svg' is not the absolute"),
    ({"url": "http://h/", "icon": "/x.txt"}, "icon: '/x.txt' does not end"),
    ({"url": "http://h/", "ulr": "x"}, "ulr: there is no such key; did you mean 'url'?"),
    ({"url": "http://h/", "session": "x"}, "session: there is no such key"),
    ({"url": "http://h/", "command": ["x"]}, "command: there is no such key"),
    ({"url": "http://h/", "kind": "vnc"}, "kind: 'vnc' is none; there are web, dcv"),
    ({"url": "http://h/", "title": ""}, "title: "),
    ({"kind": "dcv", "url": "http://h/"}, "url: a DCV server"),
    ({"kind": "dcv", "url": "https://h/", "session": "a b"}, "session: 'a b' is not"),
]


@pytest.mark.parametrize(("given", "says"), WRONG)
def test_a_wrong_key_is_named_and_the_others_go_on(given: Any, says: str) -> None:
    wrong, right = from_services({"wrong": given, "right": {"url": "http://h/"}})
    assert isinstance(right, App)
    assert isinstance(wrong, Broken)
    assert wrong.message.startswith(says)
    assert wrong.origin == "SessionManager.services['wrong']"


def test_a_name_that_cannot_be_one_is_refused() -> None:
    (found,) = from_services({"My Service": {"url": "http://h/"}})
    assert isinstance(found, Broken)
    assert found.message.startswith("name: ")
