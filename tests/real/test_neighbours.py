"""What jupyter-server-proxy's users rely on, asked of it and of a session for the same server.

The cases are those of its documentation and of its acceptance tests. Where the two differ, the case
says in which way, and both ways are tested: that of jupyter-server-proxy is 4.6's.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from ..proxied.site import LARGE, ZIPPED
from .server import TOKEN, Home, JupyterServer, free_port, wait

PACKAGES = (Path(sys.prefix) / "share/tested-apps/server-proxy").resolve()
SITE = Path(__file__).parent.parent / "proxied/site.py"
BASE = "/user/ada/"
CONFIG = """
c.ServerProxy.servers = {{"there": {{
    "port": {port}, "launcher_entry": {{"title": "There"}},
    "request_headers_override": {{"X-Site": "overridden"}},
}}}}
"""


@dataclass
class Answer:
    status: int
    reason: str
    headers: dict[str, list[str]]
    body: bytes

    @property
    def seen(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Proxy:
    """One way to the site: jupyter-server-proxy's, or a session's."""

    port: int
    prefix: str
    ours: bool

    @contextmanager
    def asked(
        self, path: str, method: str = "GET", body: bytes | None = None, **fields: str
    ) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Authorization": f"token {TOKEN}"} | {
            k.replace("_", "-"): v for k, v in fields.items()
        }
        try:
            connection.request(method, self.prefix + path, body, headers)
            with connection.getresponse() as answer:
                yield answer
        finally:
            connection.close()

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, **fields: str
    ) -> Answer:
        with self.asked(path, method, body, **fields) as answer:
            headers: dict[str, list[str]] = {}
            for name, value in answer.getheaders():
                headers.setdefault(name.lower(), []).append(value)
            return Answer(answer.status, answer.reason, headers, answer.read())

    def socket(self, path: str = "/socket", *offered: str) -> connect:
        return connect(
            f"ws://127.0.0.1:{self.port}{self.prefix}{path}",
            additional_headers={"Authorization": f"token {TOKEN}"},
            subprotocols=[Subprotocol(name) for name in offered] or None,
            max_size=None,
            compression=None,
        )


@pytest.fixture(scope="module")
def server() -> Iterator[JupyterServer]:
    assert PACKAGES.exists(), "the packages are not installed: run scripts/setup-apps.sh"
    home = Home()
    port = free_port()
    home.env |= {
        "PYTHONPATH": str(PACKAGES),
        "JUPYTER_CONFIG_PATH": str(PACKAGES / "etc/jupyter"),
        "PATH": os.environ["PATH"],
    }
    (home.path / ".jupyter").mkdir()
    (home.path / ".jupyter/jupyter_server_config.py").write_text(CONFIG.format(port=port))
    site = subprocess.Popen([sys.executable, str(SITE), "--port", str(port)])
    try:
        yield JupyterServer(home, base_url=BASE)
    finally:
        home.remove()
        site.terminate()
        site.wait()


@pytest.fixture(scope="module")
def session(server: JupyterServer) -> Proxy:
    return Proxy(server.port, server.start("there")["url"].rstrip("/"), ours=True)


@pytest.fixture(params=["jupyter-server-proxy", "session"])
def proxy(request: pytest.FixtureRequest, server: JupyterServer, session: Proxy) -> Proxy:
    if request.param == "session":
        return session
    made = Proxy(server.port, f"{BASE}there", ours=False)
    wait(lambda: made.ask("/echo").status == 200, why="jupyter-server-proxy")
    return made


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_methods(proxy: Proxy, method: str) -> None:
    body = b"\0\xff!" if method.startswith("P") else None
    answer = proxy.ask("/echo", method, body)
    assert (answer.status, answer.seen["method"]) == (200, method)
    assert answer.seen["length"] == len(body or b"")


@pytest.mark.parametrize("method", ["DELETE", "OPTIONS"])
def test_methods_that_seldom_have_a_body(proxy: Proxy, method: str) -> None:
    answer = proxy.ask("/echo", method, b"x")
    assert answer.status == (200 if proxy.ours else 500)


def test_a_method_of_webdav(proxy: Proxy) -> None:
    # jupyter-server-proxy knows those of HTTP only.
    assert proxy.ask("/echo", "PROPFIND", b"").status == (200 if proxy.ours else 405)


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("/a%20b", "/a%20b"),
        ("/a+b", "/a+b"),
        ("/%E2%82%AC", "/%E2%82%AC"),
        ("/x?a=%2F&b=c+d", "/x?a=%2F&b=c+d"),
        ("/x%2Fy", "/x/y"),  # it decodes paths, and encodes them anew
        ("/%7Ex", "/~x"),
    ],
)
def test_paths_and_queries(proxy: Proxy, path: str, there: str) -> None:
    assert proxy.ask(path).seen["uri"] == (path if proxy.ours else there)


def test_headers(proxy: Proxy) -> None:
    seen = proxy.ask("/echo", X_Own="value", X_Site="mine").seen["headers"]
    assert seen["x-own"] == "value"
    assert seen["x-site"] == "overridden"  # request_headers_override
    assert seen["x-forwarded-context"] == seen["x-proxycontextpath"] == proxy.prefix
    # Jupyter's own token goes to the server there.
    assert ("authorization" in seen) is not proxy.ours


def test_what_is_compressed(proxy: Proxy) -> None:
    answer = proxy.ask("/gzip", Accept_Encoding="gzip")
    assert answer.headers["vary"][0].split(",")[0] == "Accept-Encoding"
    assert answer.headers["content-encoding"] == ["gzip"]
    assert answer.body == ZIPPED


@pytest.mark.parametrize(
    ("page", "location"),
    [
        ("/moved", "{prefix}/echo?a=%2F"),
        ("/moved-beside", "echo"),
        ("/moved-away", "https://example.org/x"),
    ],
)
def test_redirects(proxy: Proxy, page: str, location: str) -> None:
    answer = proxy.ask(page)
    assert (answer.status, answer.headers["location"]) == (
        302,
        [location.format(prefix=proxy.prefix)],
    )


def test_statuses(proxy: Proxy) -> None:
    teapot = proxy.ask("/teapot")
    assert (teapot.status, teapot.reason, teapot.body) == (418, "I'm a teapot", b"short and stout")
    assert (proxy.ask("/nothing").status, proxy.ask("/nothing").body) == (204, b"")


def test_cookies_stay_below_the_prefix_here(proxy: Proxy) -> None:
    cookies = proxy.ask("/cookies").headers["set-cookie"]
    names = [cookie.partition("=")[0] for cookie in cookies]
    assert {"a", "b"} <= set(names)
    # There, every other server and Jupyter itself gets it, too.
    (a,) = [cookie for cookie in cookies if cookie.startswith("a=")]
    assert a == (f"a=1; Path={proxy.prefix}/" if proxy.ours else "a=1; Path=/")


def test_large_bodies(proxy: Proxy) -> None:
    assert proxy.ask("/large").body == LARGE
    assert proxy.ask("/echo", "POST", b"x" * 5_000_000).seen["length"] == 5_000_000


def test_events_come_one_by_one(proxy: Proxy) -> None:
    with proxy.asked("/events", Accept="text/event-stream") as answer:
        for n in range(3):
            assert answer.readline() == f"data: {n}\n".encode()
            assert answer.readline() == b"\n"
            assert proxy.ask("/next", "POST", b"").status == 200
        assert answer.read() == b""


async def _greeted(socket: ClientConnection) -> str:
    uri: str = json.loads(await socket.recv())["uri"]
    return uri


def test_websockets(proxy: Proxy) -> None:
    async def talk() -> None:
        async with proxy.socket("/socket?a=%2F") as socket:
            assert await _greeted(socket) == "/socket?a=%2F"
            for message in ("text", b"bytes", "\N{EURO SIGN}", "x" * 1_000_000):
                await socket.send(message)
                assert await socket.recv() == message

    asyncio.run(talk())


def test_a_large_message(proxy: Proxy) -> None:
    async def talk() -> None:
        async with proxy.socket() as socket:
            await _greeted(socket)
            await socket.send(b"x" * (11 << 20))
            assert len(await socket.recv()) == 11 << 20

    if proxy.ours:
        asyncio.run(talk())
    else:  # 10 MB are the most
        with pytest.raises(ConnectionClosed):
            asyncio.run(talk())


def test_subprotocols(proxy: Proxy) -> None:
    async def chosen() -> str | None:
        async with proxy.socket("/socket", "first", "second") as socket:
            await _greeted(socket)
            return socket.subprotocol

    # There, the client is told the first before the server was asked, which takes the last.
    assert asyncio.run(chosen()) == ("second" if proxy.ours else "first")


def test_a_close_code(proxy: Proxy) -> None:
    async def close() -> tuple[int | None, str | None]:
        async with proxy.socket() as socket:
            await _greeted(socket)
            await socket.send("close")
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            return socket.close_code, socket.close_reason

    # There, the client never hears why.
    assert asyncio.run(close()) == ((4001, "as asked") if proxy.ours else (1005, ""))


def test_without_a_login_nothing_passes(proxy: Proxy) -> None:
    assert proxy.ask("/echo", Authorization="").status in (302, 403)


def test_a_server_that_is_not_there(server: JupyterServer) -> None:
    """An arbitrary port: there by ``/proxy/PORT``, and not here, as no port comes from a URL."""
    nobody = free_port()
    there = Proxy(server.port, f"{BASE}proxy/{nobody}", ours=False)
    assert there.ask("/").status in (500, 599)
    assert Proxy(server.port, f"{BASE}sessions/{nobody}", ours=True).ask("/").status == 404
