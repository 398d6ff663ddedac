"""A real Jupyter server with the gateway's rules, in a thread of its own.

- `server` (one per path, for all tests): the server, plain and TLS, with a table of routes. Every
  test runs against both of `PATHS`: with all that makes the gateway fast, and without.
- `put`: starts an app and gives it a session id.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvloop
from jupyter_server.serverapp import ServerApp
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from traitlets.config import Config

from jupyter_sessions.gateway import Gateway, Tuning
from jupyter_sessions.routes import Route
from tests.gateway.harness import SECRET, TOKEN, App, Handler, Server, Table

BASE = "/a%40b/"
API = f"{BASE}jupyter-sessions/v1/"

# One suite for both: no answer may tell which one gave it.
PATHS = {
    "fast": Tuning(cache_seconds=0.2, recheck_seconds=0.2),
    "uvloop": Tuning(cache_seconds=0.2, recheck_seconds=0.2),
    "plain": Tuning(takeover=False, helper=False, cache_seconds=0, recheck_seconds=0.2),
}


class _ServerApp(ServerApp):
    def init_signal(self) -> None:
        """Not possible in a thread."""


class _Lines(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.INFO)
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost, with its key, in one file."""
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    cert.write_text(cert.read_text() + key.read_text())
    return cert


@pytest.fixture(scope="session")
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture(scope="session")
def client_tls(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


@pytest.fixture(scope="session", params=list(PATHS))
def server(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
) -> Iterator[Server]:
    ready: list[Server] = []
    started = threading.Event()
    stopping: list[Callable[[], Any]] = []
    home = tmp_path_factory.mktemp("jupyter")
    tuning = PATHS[request.param]

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        stopping.append(lambda: loop.call_soon_threadsafe(stop.set))
        app = _server_app(home)
        lines: list[str] = []
        table = Table()
        make = partial(
            Gateway, locate=table, base_url=BASE, log=app.log, api_url=API, tuning=tuning
        )
        gateway = make(tls=client_tls)
        trusting = make(trust_forwarded=True)
        app.web_app.add_handlers(".*$", gateway.rules(app.web_app))  # type: ignore[no-untyped-call]
        http, port = _listen(app)
        gateway.serve_on(http)
        https, tls_port = _listen(app, ssl_options=server_tls)
        # Another web application, as the rules of one gateway come first.
        other = _server_app(home)
        other.web_app.add_handlers(".*$", trusting.rules(other.web_app))  # type: ignore[no-untyped-call]
        app.log.addHandler(_Lines(lines))
        proxied, trusted_port = _listen(other, xheaders=True)
        trusting.serve_on(proxied)
        ready.append(
            Server(app, gateway, table, loop, port, tls_port, trusted_port, client_tls, lines)
        )
        started.set()
        await stop.wait()
        for listening in (http, https, proxied):
            listening.stop()
            await listening.close_all_connections()
        await gateway.close()
        await trusting.close()
        await app._cleanup()
        await other._cleanup()

    factory = uvloop.new_event_loop if request.param == "uvloop" else None

    def run() -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())

    thread = threading.Thread(target=run, name="jupyter")
    thread.start()
    assert started.wait(10)
    yield ready[0]
    stopping[0]()
    thread.join(30)
    assert not thread.is_alive()


def _server_app(home: Path) -> ServerApp:
    kept = dict(os.environ)
    folders = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    os.environ.update({name: str(home / name.lower()) for name in folders})
    try:
        app = _ServerApp(
            config=Config(
                ServerApp={"base_url": BASE, "root_dir": str(home), "allow_root": True},
                IdentityProvider={"token": TOKEN},
            ),
            cookie_secret=SECRET,
        )
        app.initialize(argv=[], find_extensions=False, new_httpserver=False)
    finally:
        os.environ.clear()
        os.environ.update(kept)
    return app


def _listen(app: ServerApp, **options: Any) -> tuple[HTTPServer, int]:
    sockets = bind_sockets(0, "127.0.0.1")
    # A low limit, to see that it does not hold for sessions.
    http = HTTPServer(app.web_app, max_body_size=1024 * 1024, **options)
    http.add_sockets(sockets)
    return http, sockets[0].getsockname()[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the third path out of the quick loop: it differs by the event loop only."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None and callspec.params.get("server") == "uvloop":
            item.add_marker(pytest.mark.real)


Put = Callable[..., Awaitable[App]]


@pytest.fixture
def put(
    server: Server, jp_asyncio_loop: asyncio.AbstractEventLoop, tmp_path: Path
) -> Iterator[Put]:
    """``await put("id", handler, **of_the_route)``: an app on a Unix socket, as a session."""
    apps: list[App] = []

    async def start(
        session_id: str, handler: Handler, *, tls: ssl.SSLContext | None = None, **route: Any
    ) -> App:
        app = App(handler)
        apps.append(app)
        address = await app.start(tmp_path / f"{session_id}.sock", tls)
        prefix = f"{BASE}sessions/{session_id}"
        server.table.found[session_id] = Route(session_id, prefix, address, **route)
        return app

    yield start

    async def stop() -> None:
        known = list(server.table.found)
        server.table.found.clear()
        for session_id in known:
            await server.call(partial(server.gateway.forget_session, session_id))
        server.table.asked.clear()
        server.log.clear()
        for app in apps:
            await app.stop()

    jp_asyncio_loop.run_until_complete(stop())
