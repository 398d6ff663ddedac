"""Servers for jupyter-server-proxy as sessions: real servers, behind a real Jupyter server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from jupyter_sessions.runner.sockets import own_file

from .helpers import kill_sessions
from .live import PATIENCE, Commands, Home, LiveServer, eventually, free_port
from .proxied.packages import install_example
from .rest import Rest

HERE = Path(__file__).parent
BASE = "/user/ada/"
CONFIG = """
import sys
server = {server!r}
c.ServerProxy.servers = {{
    "there": {{"port": {port}, "timeout": 30}},
    "fixed": {{"command": [sys.executable, server, "--port", "{{port}}"],
              "port": {fixed}, "timeout": 30}},
    "path": {{"command": [sys.executable, server, "--socket", "{{unix_socket}}"],
             "unix_socket": {path!r}, "timeout": 30}},
    "lambda": {{"command": lambda port: [sys.executable, server, "--port", str(port)],
               "timeout": 30}},
}}
c.SessionsExtension.server_proxy_urls = True
"""


class Proxied(Rest):
    """A Jupyter server with the example package, and a server that somebody else started."""

    def __init__(self, home: Home, server: LiveServer, there: int, fixed: int) -> None:
        super().__init__(server)
        self.home, self.there, self.fixed = home, there, fixed


@pytest.fixture(scope="module")
def everything() -> Iterator[Proxied]:
    """One Jupyter server for all tests here: it takes seconds to start."""
    path = Path(tempfile.mkdtemp(prefix="js-"))
    home = Home.make(path, path / "data", path / "config")
    home.config.mkdir()
    site = install_example(path / "site")
    home.environment["PYTHONPATH"] = str(site)
    there, fixed = free_port(), free_port()
    program = str(site / "server.py")
    text = CONFIG.format(server=program, port=there, fixed=fixed, path=str(path / "own.sock"))
    (home.config / "jupyter_server_config.py").write_text(text)
    own = subprocess.Popen([sys.executable, program, "--port", str(there)])
    try:
        with LiveServer.start(home, f"--ServerApp.base_url={BASE}") as server:
            yield Proxied(home, server, there, fixed)
    finally:
        kill_sessions(home.data)
        own.terminate()
        own.wait(PATIENCE)
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def proxied(everything: Proxied) -> Iterator[Proxied]:
    """A Jupyter server with the example package and no sessions."""
    yield everything
    everything.forget_all()


def test_a_packages_server_is_several_sessions(proxied: Proxied) -> None:
    one, two = proxied.start("plain"), proxied.start("plain")
    assert one["url"] == f"{BASE}sessions/{one['id']}/start?x={{y}}"
    saw, other = proxied.seen(one), proxied.seen(two)
    prefix = f"{BASE}sessions/{one['id']}"
    assert saw["path"] == "/index.html"  # mappath
    assert proxied.seen(one, "a%20b?q=1")["path"] == "/c%20d?e=f&q=1"
    assert proxied.seen(one, "other?q=1")["path"] == "/other?q=1"
    port = saw["argv"][1]
    assert saw["argv"][2:] == [f"--url={prefix}/", "{x}"]
    assert saw["environment"]["EXAMPLE_PORT"] == port == saw["headers"]["x-port"]
    assert saw["environment"]["EXAMPLE_URL"] == BASE
    assert saw["headers"]["x-url"] == prefix == saw["headers"]["x-forwarded-context"]
    assert saw["headers"]["x-proxycontextpath"] == prefix
    assert "authorization" not in saw["headers"]
    assert other["argv"][1] != port
    status, headers, _ = proxied.ask(f"{prefix}/moved")
    assert (status, headers["Location"]) == (302, f"{prefix}/elsewhere")
    assert (
        "the server is here"
        in proxied.server.get(f"jupyter-sessions/v1/sessions/{one['id']}/log").decode()
    )
    proxied.api(f"sessions/{one['id']}/restart", "POST")
    eventually(lambda: proxied.api(f"sessions/{one['id']}")["attempt"] == 2)
    again = proxied.until(one["id"], "running")
    assert proxied.seen(again)["path"] == "/index.html"
    proxied.api(f"sessions/{two['id']}/stop", "POST")
    proxied.until(two["id"], "stopped")


def test_functions_say_what_runs_when_it_starts(proxied: Proxied) -> None:
    session = proxied.start("asking")
    saw = proxied.seen(session, "x")
    prefix = f"{BASE}sessions/{session['id']}"
    assert saw["path"] == f"{prefix}/x"  # absolute_url
    port = saw["environment"]["EXAMPLE_PORT"]
    assert saw["argv"] == [f"--port={port}", "--again", port, f"--url={prefix}/"]
    assert saw["headers"]["x-port"] == port
    assert "x-forwarded-context" not in saw["headers"]
    configured = proxied.start("lambda")
    assert proxied.seen(configured)["argv"][0] == "--port"


def test_a_unix_socket_is_the_sessions_own(proxied: Proxied) -> None:
    session = proxied.start("socket")
    (argument,) = proxied.seen(session)["argv"]
    assert session["id"] in argument
    assert Path(argument.partition("=")[2]).is_socket()


def test_a_socket_at_a_fixed_path_is_used_if_it_is_the_users(proxied: Proxied) -> None:
    session = proxied.start("path")
    path = Path(proxied.seen(session)["argv"][1])
    assert path == proxied.home.path / "own.sock"
    assert own_file(str(path))
    assert not own_file(str(path) + ".gone")
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
        assert not own_file(str(path))
    path.unlink()


@pytest.mark.parametrize("name", ["raw", "raw-port"])
def test_a_raw_server_is_reached_by_websocket_only(proxied: Proxied, name: str) -> None:
    session = proxied.start(name)
    path = f"{BASE}sessions/{session['id']}/"
    assert proxied.ask(path)[0] == 405
    headers = {"Authorization": f"token {proxied.server.token}"}
    url = f"ws{proxied.origin.removeprefix('http')}{path}"
    with connect(url, additional_headers=headers, subprotocols=["binary"]) as client:  # type: ignore[list-item]
        assert client.subprotocol == "binary"
        client.send("hello ")
        client.send(b"\xff" * 300_000 + b"end")
        got = b""
        while not got.endswith(b"END"):
            got += bytes(client.recv(PATIENCE))  # type: ignore[arg-type]
        assert got == b"HELLO " + b"\xff" * 300_000 + b"END"


def test_what_somebody_else_started_is_attached_and_left_alone(proxied: Proxied) -> None:
    session = proxied.start("there")
    assert proxied.seen(session, "x")["argv"] == ["--port", str(proxied.there)]
    proxied.api(f"sessions/{session['id']}/stop", "POST")
    proxied.until(session["id"], "stopped")
    with urllib.request.urlopen(f"http://127.0.0.1:{proxied.there}/", timeout=PATIENCE) as answer:
        assert answer.status == 200


def test_a_fixed_port_is_for_one_session_at_a_time(proxied: Proxied) -> None:
    first = proxied.start("fixed")
    assert proxied.seen(first)["argv"] == ["--port", str(proxied.fixed)]
    second = proxied.start("fixed", "failed")
    assert f"Another process has port {proxied.fixed}" in second["message"]
    assert proxied.seen(first)["path"] == "/"


def test_a_function_that_fails_is_the_message_of_the_session(proxied: Proxied) -> None:
    session = proxied.start("failing", "failed")
    assert "Can not find rserver in PATH" in session["message"]
    assert session["reason"] == "app_unavailable"


def test_the_list_tells_what_is_ignored_and_what_is_broken(proxied: Proxied) -> None:
    apps = {app["name"]: app for app in proxied.api("apps")}
    assert "rewrite_response" in apps["asking"]["notice"]
    assert apps["asking"]["launcher"] is False
    assert "VNC server" in apps["missing"]["unavailable_reason"]
    assert apps["plain"]["icon"] is True
    status, headers, content = proxied.ask(f"{BASE}jupyter-sessions/v1/apps/plain/icon")
    assert (status, headers["Content-Type"]) == (200, "image/svg+xml")
    assert b"<svg" in content
    # ... and the command line knows the same, and can start them with no Jupyter server at all.
    cli = Commands(proxied.home)
    assert {"plain", "lambda", "there"} <= {app["name"] for app in cli.json("apps")}
    started = cli.start("lambda")
    assert proxied.seen(started)["argv"][0] == "--port"


# Old URLs ---------------------------------------------------------------------------------------


def test_an_old_url_leads_to_the_one_session_and_starts_it(proxied: Proxied) -> None:
    status, headers, _ = proxied.ask(f"{BASE}plain/a%20b?q=%5E")
    assert status == 302
    (session,) = proxied.sessions()
    assert headers["Location"] == f"{BASE}sessions/{session['id']}/a%20b?q=%5E"
    proxied.until(session["id"], "running")
    status, headers, _ = proxied.ask(f"{BASE}plain")
    assert headers["Location"] == f"{BASE}sessions/{session['id']}/"
    assert len(proxied.sessions()) == 1
    proxied.api(f"sessions/{session['id']}/stop", "POST")
    proxied.until(session["id"], "stopped")
    _, headers, _ = proxied.ask(f"{BASE}plain/")
    assert session["id"] not in headers["Location"]


def test_an_old_url_asks_who_comes(proxied: Proxied) -> None:
    status, headers, _ = proxied.ask(f"{BASE}plain/x", token="wrong")
    assert status == 302
    assert headers["Location"].startswith(f"{BASE}login?next=")
    assert proxied.ask(f"{BASE}plain/", "POST", {}, token="wrong")[0] == 403
    assert proxied.sessions() == []
    assert proxied.ask(f"{BASE}missing/x")[0] == 404  # what has no app has no old URL
