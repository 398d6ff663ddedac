"""Servers that are defined for jupyter-server-proxy, as apps: every key that it documents."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from traitlets import Dict, HasTraits, Unicode
from traitlets.config import Config

from jupyter_sessions.apps.app import App, AppError, Start
from jupyter_sessions.apps.catalogue import Catalogue, definition_for
from jupyter_sessions.apps.folders import Broken, Definition
from jupyter_sessions.apps.server_proxy import (
    app_name,
    configured_servers,
    server_names,
    server_proxy_apps,
)
from jupyter_sessions.apps.sources import all_sources
from jupyter_sessions.errors import AppUnavailable
from jupyter_sessions.manager import SessionManager

from .proxied.packages import GROUP, install, install_example

START = Start("/user/ada/", "/user/ada/sessions/abc/")


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example package, installed."""
    folder = install_example(tmp_path / "site")
    monkeypatch.syspath_prepend(folder)
    return folder


def by_name(servers: Any = None) -> dict[str, Definition]:
    return {found.name: found for found in server_proxy_apps(servers or {})}


def an_app(value: Any, name: str = "thing") -> App:
    found = by_name({name: value})[app_name(name)]
    assert isinstance(found, App), found
    return found


def started(value: Any, name: str = "thing", start: Start = START) -> dict[str, Any]:
    """The definition that a session of the server gets."""
    app = an_app(value, name)
    assert app.prepare is not None
    return dict(app.prepare(start))


def command(*elements: str) -> dict[str, Any]:
    return {"command": list(elements)}


# What they are listed as ------------------------------------------------------------------------


def test_a_package_is_listed_with_all_that_its_entry_says(example: Path) -> None:
    app = by_name()["plain"]
    assert isinstance(app, App)
    assert (app.title, app.category, app.open_in) == ("Plain Example", "Examples", "lab")
    assert (app.launcher, app.notice, app.prefix) == (True, "", "strip")
    assert app.icon == example / "icon.svg"
    assert app.url_path({}) == "start?x={y}"
    assert app.paths == {"/": "/index.html", "/a b": "/c d?e=f"}
    assert (app.ready_timeout, 404 in app.ready_codes, 500 in app.ready_codes) == (30, True, True)
    assert app.has_open_port
    assert app.origin == f"example_of_servers 1.0: {GROUP}: plain = example_of_servers:setup_plain"


def test_what_has_no_effect_is_said(example: Path) -> None:
    notices = {n: a.notice for n, a in by_name().items() if isinstance(a, App)}
    assert "rewrite_response is ignored" in notices["asking"]
    assert "mappath is ignored" in notices["asking"]
    assert notices["raw"] == ""
    assert notices["socket"] == ""


def test_defaults_are_those_of_jupyter_server_proxy() -> None:
    app = an_app(command("x"))
    assert (app.title, app.ready_timeout, app.prefix) == ("thing", 5, "strip")
    assert (app.open_in, app.launcher, app.open_path) == ("browser", True, "")


def test_a_socket_is_no_open_port_and_a_running_server_is_not_ours(example: Path) -> None:
    found = by_name({"there": {"port": 8080}})
    for name in ("socket", "raw", "there"):
        app = found[name]
        assert isinstance(app, App)
        assert not app.has_open_port
    asking = found["asking"]
    assert isinstance(asking, App)
    assert asking.has_open_port


def test_a_setup_that_fails_is_one_named_problem(example: Path) -> None:
    found = by_name()
    missing = found["missing"]
    assert isinstance(missing, Broken)
    assert "please install a VNC server" in missing.message
    assert "setup_missing" in missing.origin
    assert isinstance(found["plain"], App)


def test_a_program_that_is_not_there_is_required() -> None:
    (requirement,) = an_app(command("no-such-program", "{port}")).requires
    assert (requirement.kind, requirement.names) == ("program", ("no-such-program",))
    assert an_app({"command": lambda: ["x"]}).requires == ()


@pytest.mark.parametrize(
    ("server", "app"),
    [
        ("rstudio", "rstudio-proxy"),
        ("octave", "octave"),
        ("RStudio_Pro", "rstudio-pro"),
        ("a/b c", "a-b-c"),
        ("desktop", "desktop-proxy"),
        ("Files", "files-proxy"),
        ("x" * 90, "x" * 50),
    ],
)
def test_names_fit_and_hide_no_app_of_ours(server: str, app: str) -> None:
    assert app_name(server) == app
    assert an_app(command("x"), server).name == app


def test_a_name_of_nothing_is_refused() -> None:
    (found,) = by_name({"__": command("x")}).values()
    assert isinstance(found, Broken)


WRONG: list[tuple[Any, str]] = [
    ("x", "it is no dictionary"),
    ({"command": "x {port}"}, "command: "),
    ({"command": ["x", 5]}, "command: "),
    ({"environment": ["A"]}, "environment: "),
    ({"environment": {"A": 1}}, "environment: "),
    ({"timeout": "5"}, "timeout: "),
    ({"timeout": True}, "timeout: "),
    ({"timeout": 0}, "ready.timeout: "),
    ({"absolute_url": 1}, "absolute_url: "),
    ({"port": "80"}, "port: "),
    ({"port": lambda: 80}, "port: "),
    ({"port": 70000}, "port: "),
    ({"unix_socket": 5}, "unix_socket: "),
    ({"mappath": ["/"]}, "mappath: "),
    ({"mappath": {"/": 1}}, "mappath: "),
    ({"launcher_entry": "x"}, "launcher_entry is no dictionary"),
    ({"launcher_entry": {"enabled": "yes"}}, "enabled: "),
    ({"launcher_entry": {"title": 5}}, "title: "),
    ({"new_browser_tab": None}, "new_browser_tab: "),
    ({"request_headers_override": {"A": 1}}, "request_headers_override: "),
    ({"raw_socket_proxy": "x"}, "raw_socket_proxy: "),
]


@pytest.mark.parametrize(("value", "says"), WRONG)
def test_a_wrong_key_is_named_and_the_others_go_on(value: Any, says: str) -> None:
    value = {"command": ["x"], **value} if isinstance(value, dict) else value
    found = by_name({"wrong": value, "right": command("x")})
    assert isinstance(found["right"], App)
    wrong = found["wrong"]
    assert isinstance(wrong, Broken)
    assert wrong.message.startswith(says)
    assert wrong.origin == "ServerProxy.servers['wrong']"


def test_keys_that_are_not_known_are_passed_over_as_there() -> None:
    assert an_app({**command("x"), "new_browser_window": True, "progressive": True}).notice == ""


def test_a_server_process_object_will_do() -> None:
    class ServerProcess(HasTraits):  # what jupyter_server_proxy.config has, as far as it counts
        name = Unicode("objective")
        command = Dict()
        launcher_entry = Dict({"title": "Objective"})

    value = ServerProcess(command={})
    found = by_name({"other": value})["objective"]
    assert isinstance(found, Broken)  # its command is a dictionary, so its traits were read
    assert found.message.startswith("command: ")


# What is started --------------------------------------------------------------------------------


def test_a_command_is_filled_in_where_it_runs() -> None:
    found = started(command("x", "--port={port}", "{{y}}", "{port}{port}", "{unix_socket}|"))
    assert found["command"] == ["x", "--port={port}", "{{y}}", "{port}{port}", "|"]
    assert "port" not in found


def test_a_unix_socket_has_priority_over_the_port() -> None:
    found = started({**command("x", "{unix_socket}", "{port}"), "unix_socket": True, "port": 80})
    assert found["command"] == ["x", "{socket}", "0"]
    assert "port" not in found


@pytest.mark.parametrize(
    ("path_info", "opens", "page"),
    [
        ("thing", "", ""),
        ("thing/", "", ""),
        ("/thing/a?b", "a?b", ""),
        ("desktop", "desktop/", "/desktop/"),
        ("/desktop/?q=1", "desktop/?q=1", "/desktop/"),
        ("a/b%20c", "a/b%20c/", "/a/b c/"),
    ],
)
def test_its_page_is_its_own_or_one_of_jupyters(path_info: str, opens: str, page: str) -> None:
    found = started({**command("x"), "launcher_entry": {"path_info": path_info}})
    assert (found.get("open_path", ""), found.get("jupyter_page", "")) == (opens, page)


def test_fixed_places_are_kept() -> None:
    assert started({**command("x", "{port}"), "port": 6006})["port"] == 6006
    found = started({**command("x", "{unix_socket}"), "unix_socket": "/run/x.sock"})
    assert (found["socket"], found["command"]) == ("/run/x.sock", ["x", "/run/x.sock"])


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("--url={base_url}thing/", "--url=/user/ada/sessions/abc/"),
        ("{base_url}thing", "/user/ada/sessions/abc"),
        ("{base_url}/thing/x", "/user/ada/sessions/abc/x"),
        ("http://{base_url}thing?x", "http:///user/ada/sessions/abc?x"),
        ("{base_url}", "/user/ada/"),
        ("{base_url}things", "/user/ada/things"),
        ("{base_url}thing-2", "/user/ada/thing-2"),
        ("/user/ada/thing", "/user/ada/sessions/abc"),
        ("--base=/user/ada/thing/", "--base=/user/ada/sessions/abc/"),
        ("/user/ada/thing/bin/x", "/user/ada/thing/bin/x"),
        ("/usr/lib/thing/bin", "/usr/lib/thing/bin"),
    ],
)
def test_the_old_place_below_jupyter_becomes_the_sessions(text: str, becomes: str) -> None:
    assert started(command("x", text))["command"][1] == becomes
    assert started({"command": lambda: ["x", text]})["command"][1] == becomes


def test_below_the_root_only_an_absolute_url_is_sure_to_be_one() -> None:
    root = Start("/", "/sessions/abc/")
    folder = command("x", "--base", "/thing")
    assert started(folder, start=root)["command"][2] == "/thing"
    absolute = started({**folder, "absolute_url": True}, start=root)
    assert absolute["command"][2] == "/sessions/abc"


def test_functions_get_what_they_ask_for() -> None:
    asked = []

    def run(port: int, unix_socket: str, base_url: str) -> list[str]:
        asked.append((port, unix_socket, base_url))
        return ["x", f"{port + 0:d}", f"{base_url}thing", "{port}"]

    found = started(
        {
            "command": run,
            "environment": lambda port: {"PORT": str(port)},
            "request_headers_override": lambda port, base_url: {"X-P": f"{port}", "X-U": base_url},
        }
    )
    ((port, unix_socket, _),) = asked
    assert found["port"] == port > 0
    assert unix_socket == ""
    assert found["command"] == ["x", str(port), "/user/ada/sessions/abc", "{port}"]
    assert found["env"] == {"PORT": str(port)}
    assert found["request_headers"]["X-P"] == str(port)
    assert found["request_headers"]["X-U"] == "/user/ada/"


def test_a_function_is_asked_anew_for_each_start() -> None:
    starts: list[int] = []

    def run(port: int) -> list[str]:
        starts.append(port)
        return ["x", str(len(starts))]

    app = an_app({"command": run})
    assert app.prepare is not None
    assert starts == []  # a look at the catalogue starts nothing
    assert [app.prepare(START)["command"][1] for _ in range(2)] == ["1", "2"]


def test_functions_of_every_kind() -> None:
    class Made:
        def __call__(self, unix_socket: str, extra: int = 3) -> list[str]:
            return ["x", unix_socket, str(extra)]

    found = started({"command": Made(), "unix_socket": True})
    assert found["command"] == ["x", "{socket}", "3"]
    assert started({"command": lambda *_: ["x"]})["command"] == ["x"]


FAILS: list[tuple[dict[str, Any], str]] = [
    ({"command": lambda host: ["x"]}, "asks for host"),
    ({"command": lambda: "x"}, "command: 'x' is not a list"),
    ({"command": lambda: 1 / 0}, "division by zero"),
    ({"command": list}, "neither a port nor a socket's path"),
    ({}, "neither a port nor a socket's path"),
    (command("x", "{nope}"), "there is no field {nope}"),
    (command("x", "{port:d}"), "there is no field {port}"),
    (command("x", "{"), "'{': "),
    (command("x", "}"), "'}': "),
    (command("x", "a\0b"), "NUL"),
    ({**command("x"), "environment": {"A-B": "1"}}, "env: "),
    ({**command("x"), "environment": lambda: None}, "environment: None"),
    ({**command("x"), "request_headers_override": {"A": "x\r\nB: y"}}, "request_headers.A: "),
    (
        {**command("x"), "unix_socket": True, "request_headers_override": {"A": "{unix_socket}"}},
        "no path of a socket",
    ),
]


@pytest.mark.parametrize(("value", "says"), FAILS)
async def test_what_fails_at_the_start_says_why(value: dict[str, Any], says: str) -> None:
    with pytest.raises(AppUnavailable) as caught:
        await definition_for(an_app(value), START)
    assert says in caught.value.message
    assert "ServerProxy.servers['thing']" in caught.value.message


def test_headers_are_literal_and_say_where_the_app_is() -> None:
    headers = {"X-U": "{base_url}thing", "X-J": "{{}}", "X-Forwarded-Context": "mine"}
    found = started({**command("x"), "request_headers_override": headers})
    assert found["request_headers"] == {
        "X-Forwarded-Context": "mine",
        "X-ProxyContextPath": "/user/ada/sessions/abc",
        "X-U": "/user/ada/sessions/abc",
        "X-J": "{}",
    }
    assert started({**command("x"), "absolute_url": True})["request_headers"] == {}


def test_a_server_that_runs_already_is_passed_on_to_and_not_started() -> None:
    relay = ["{python}", "-P", "-m", "jupyter_sessions.apps.relay", "{socket}", "--to"]
    assert started({"port": 8080})["command"] == [*relay, "8080"]
    assert started({"unix_socket": "/x y"})["command"] == [*relay, "/x y"]
    assert started({"command": list, "port": 8080})["command"] == [*relay, "8080"]
    assert started({"port": 1, "raw_socket_proxy": True})["command"] == [*relay, "1", "--raw"]


def test_a_raw_server_stands_behind_the_relay() -> None:
    found = started(
        {**command("x", "{unix_socket}"), "unix_socket": True, "raw_socket_proxy": True}
    )
    assert found["command"][5:] == ["--to", "{socket}.raw", "--raw", "--", "x", "{socket}.raw"]
    found = started({**command("x", "{port}"), "port": 99, "raw_socket_proxy": True})
    assert found["command"][5:] == ["--to", "99", "--raw", "--", "x", "99"]
    assert "port" not in found
    found = started({**command("x", "{port}"), "raw_socket_proxy": True})
    assert found["command"][5:] == ["--to", "{port}", "--raw", "--", "x", "{port}"]


# Where they come from ---------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["assigned", "updated"])
def test_the_configuration_may_be_written_either_way(how: str) -> None:
    config = Config()
    if how == "assigned":
        config.ServerProxy.servers = {"thing": command("x")}
    else:
        config.ServerProxy.servers.update({"thing": command("x")})
    assert list(configured_servers(config)) == ["thing"]
    assert configured_servers(Config()) == {}


def test_a_configuration_of_another_form_is_one_problem() -> None:
    found = list(server_proxy_apps(["x"]))
    assert [type(f) for f in found] == [Broken]


def test_old_urls_are_known_by_the_servers_names(example: Path) -> None:
    names = server_names({"desktop": command("x"), "__": {}})
    assert names["raw_port"] == "raw-port"
    assert names["desktop"] == "desktop-proxy"
    assert "missing" not in names
    assert "__" not in names


async def test_a_package_that_is_installed_while_jupyter_runs_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    catalogue = Catalogue(logging.getLogger(__name__), all_sources({}, {}))
    apps, _ = await catalogue.load()
    assert "later" not in apps
    code = "def setup():\n    return {'command': ['x'], 'launcher_entry': {'title': 'Later'}}\n"
    install(site, "later_package", GROUP, {"later": "later_package:setup"}, code)
    apps, _ = await catalogue.load()
    assert apps["later"].title == "Later"
    shutil.rmtree(site / "later_package-1.0.dist-info")
    apps, _ = await catalogue.load()
    assert "later" not in apps


def test_the_switch_leaves_them_all_out(
    example: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def names(**traits: Any) -> list[str]:
        config = Config()
        config.ServerProxy.servers = {"thing": command("x")}
        manager = SessionManager(config=config, data_dir=str(root), **traits)
        sources: Callable[[], Any] = manager.offers.catalogue._load
        return list(sources()[0])

    assert {"thing", "plain"} <= set(names())
    assert not {"thing", "plain"} & set(names(server_proxy_apps="off"))


def test_a_folder_of_the_same_name_replaces_a_server(example: Path) -> None:
    from_people = {"plain": {"title": "Mine", "command": ["x"]}}
    found: dict[str, Definition] = {}
    for source in all_sources(from_people, {}):
        found |= {item.name: item for item in source()}
    plain = found["plain"]
    assert isinstance(plain, App)
    assert (plain.title, plain.origin) == ("Mine", "SessionManager.apps['plain']")


def test_what_is_wrong_is_an_app_error() -> None:
    app = an_app({"command": lambda: 5})
    assert app.prepare is not None
    with pytest.raises(AppError):
        app.prepare(START)
