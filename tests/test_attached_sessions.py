"""Services that run already, attached to: real services, behind a real Jupyter server."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.sync.client import connect

from .helpers import kill_sessions
from .live import PATIENCE, Home, LiveServer, eventually, free_port
from .rest import Rest

BASE = "/user/ada/"
SERVICE = Path(__file__).parent / "proxied" / "service.py"
CONFIG = """
c.SessionManager.services = {{
    "plain": {{"url": "http://localhost:{plain}/grafana/", "title": "Grafana"}},
    "secure": {{"url": "https://localhost:{secure}/grafana", "ca": {cert!r},
                "request_headers": {{"X-Key": "k", "Host": "g.example.org"}}}},
    "refused": {{"url": "https://localhost:{secure}/"}},
    "trusted": {{"url": "https://127.0.0.1:{secure}/", "verify": False}},
    "socket": {{"url": "unix:{socket}"}},
    "desk": {{"kind": "dcv", "url": "https://localhost:{secure}/dcv", "ca": {cert!r}}},
}}
"""


class Attached(Rest):
    """A Jupyter server with services: `cert` is the secure one's, `ports` are all of them."""

    def __init__(self, server: LiveServer, folder: Path, ports: dict[str, int]) -> None:
        super().__init__(server)
        self.folder, self.ports = folder, ports


@contextmanager
def service(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, SERVICE, *arguments])
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE)


def certificate(folder: Path) -> Path:
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    cert.write_text(cert.read_text() + key.read_text())
    return cert


@pytest.fixture(scope="module")
def everything() -> Iterator[Attached]:
    folder = Path(tempfile.mkdtemp(prefix="js-"))
    home = Home.make(folder, folder / "data", folder / "config")
    home.config.mkdir()
    cert, ports = certificate(folder), {"plain": free_port(), "secure": free_port()}
    text = CONFIG.format(cert=str(cert), socket=folder / "own.sock", **ports)
    (home.config / "jupyter_server_config.py").write_text(text)
    try:
        with (
            service("--port", str(ports["plain"])),
            service("--port", str(ports["secure"]), "--cert", str(cert)),
            LiveServer.start(home, f"--ServerApp.base_url={BASE}") as server,
        ):
            yield Attached(server, folder, ports)
    finally:
        kill_sessions(home.data)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def attached(everything: Attached) -> Iterator[Attached]:
    yield everything
    everything.forget_all()


def test_a_service_is_reached_below_its_own_path_and_outlives_its_session(
    attached: Attached,
) -> None:
    (app,) = (a for a in attached.api("apps") if a["name"] == "plain")
    assert (app["title"], app["category"], app["available"]) == ("Grafana", "Services", True)
    session = attached.start("plain", timeout=3600)
    assert session["expires"]
    prefix = f"{BASE}sessions/{session['id']}"
    seen = attached.seen(session, "d/a%20b?q=1")
    assert seen["path"] == "/grafana/d/a%20b?q=1"
    assert seen["headers"]["x-forwarded-prefix"] == prefix
    assert "authorization" not in seen["headers"]
    _, headers, _ = attached.ask(f"{prefix}/cookie")
    assert headers["Set-Cookie"] == f"a=1; Path={prefix}/x"
    assert f"localhost:{attached.ports['plain']} answers" in attached.log(session["id"])
    attached.stop(session["id"])
    url = f"http://localhost:{attached.ports['plain']}/grafana/"
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        assert answer.status == 200


def test_tls_is_checked_and_redirects_and_websockets_stay_in_the_session(
    attached: Attached,
) -> None:
    session = attached.start("secure")
    prefix = f"{BASE}sessions/{session['id']}"
    headers = attached.seen(session)["headers"]
    assert (headers["host"], headers["x-key"]) == ("g.example.org", "k")
    for own in ("g.example.org", f"localhost:{attached.ports['secure']}"):
        request = urllib.request.Request(f"{attached.origin}{prefix}/moved", headers={"X-Own": own})
        request.add_header("Authorization", f"token {attached.server.token}")
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            assert answer.url == f"{attached.origin}{prefix}/there"
    url = f"ws{attached.origin.removeprefix('http')}{prefix}/live?x"
    token = {"Authorization": f"token {attached.server.token}"}
    with connect(url, additional_headers=token, subprotocols=["dcv"]) as client:  # type: ignore[list-item]
        assert client.subprotocol == "dcv"
        client.send("hello")
        assert client.recv(PATIENCE) == "/grafana/live?x 'hello'"


def test_a_certificate_that_nobody_vouches_for_is_refused_and_said(attached: Attached) -> None:
    made = attached.api("sessions", "POST", {"app": "refused"})
    assert attached.says(made["id"], "its certificate is refused")["state"] == "starting"
    # ... unless an administrator says so, and then people are told.
    (app,) = (a for a in attached.api("apps") if a["name"] == "trusted")
    assert "not checked" in app["notice"]
    assert attached.seen(attached.start("trusted"), "x")["path"] == "/x"


def test_dcv_opens_at_its_session(attached: Attached) -> None:
    session = attached.start("desk")
    assert session["url"].endswith(f"sessions/{session['id']}/#console")
    assert attached.seen(session, "main.js")["path"] == "/dcv/main.js"


def test_a_service_that_is_away_is_waited_for_and_comes_back(attached: Attached) -> None:
    socket = attached.folder / "own.sock"
    made = attached.api("sessions", "POST", {"app": "socket"})
    sid = made["id"]
    assert attached.says(sid, "own.sock does not answer: No such file")["state"] == "starting"
    with service("--socket", str(socket)):
        session = attached.until(sid, "running")
        assert attached.seen(session, "x")["path"] == "/x"
    status, _, _ = attached.ask(f"{BASE}sessions/{sid}/")
    assert status == 503
    assert attached.says(sid, "does not answer: Connection refused")["state"] == "running"
    socket.unlink()
    with service("--socket", str(socket)):
        eventually(lambda: attached.ask(f"{BASE}sessions/{sid}/")[0] == 200)
        eventually(lambda: not attached.session(sid)["message"])
    assert attached.session(sid)["state"] == "running"
    socket.unlink(missing_ok=True)


def test_no_address_comes_from_a_request(attached: Attached) -> None:
    for body in ({"options": {"url": "http://localhost:1/"}}, {"url": "http://localhost:1/"}):
        status, _, content = attached.ask(
            f"{BASE}jupyter-sessions/v1/sessions", "POST", {"app": "plain", **body}
        )
        assert status == 400, content
