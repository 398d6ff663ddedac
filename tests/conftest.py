"""Fixtures that several test modules share: a real Jupyter server with the extension in it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from jupyter_server.serverapp import ServerApp
from tornado.httpclient import AsyncHTTPClient

from jupyter_sessions.manager import SessionManager
from jupyter_sessions.session import ENDED, Session, State

from .attempts import attempt, attempts
from .helpers import API, Answer, kill_sessions
from .live import Commands, Home, LiveServer
from .processes import marked

__all__ = ["attempt", "attempts"]  # fixtures of another module
HERE = Path(__file__).parent
PATIENCE = 40
"""Seconds to wait for what takes a fraction of one on a machine with nothing else to do."""

# An example that takes long on a busy machine is no defect.
hypothesis.settings.register_profile(
    "tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("tests")

# A shell has what it runs in the background ignore these, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Called where pytest runs with several workers, whichever ``--dist`` is given."""
    from .scheduling import Rooms

    return Rooms(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes longest, where there are several workers."""
    if hasattr(config, "workerinput"):
        from .scheduling import REAL, room

        items.sort(key=lambda item: room(item.nodeid) != REAL)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A temporary directory whose path leaves room for the names of Unix sockets."""
    path = Path(tempfile.mkdtemp(prefix="js-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)  # a supervisor may be removing its own files


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty store, with the tests' apps in the catalogue; its processes end with it."""
    directory = Path(tempfile.mkdtemp(prefix="js-"))
    config = directory / "config" / "jupyter_sessions"
    config.mkdir(parents=True)
    (config / "apps").symlink_to(HERE / "apps")
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(config.parent))
    yield directory / "js"
    sessions = directory / "js" / "sessions"
    for session_id in os.listdir(sessions) if sessions.exists() else ():
        for pid in marked(session_id):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(directory, ignore_errors=True)  # a deleted session's files may still be going


@pytest.fixture
def jp_data_dir(short_path: Path) -> Iterator[Path]:
    path = short_path / "data"
    path.mkdir()
    yield path
    kill_sessions(path)


@pytest.fixture
def jp_config_dir(short_path: Path) -> Path:
    """Jupyter's config directory, with the tests' apps among the others."""
    path = short_path / "config"
    shutil.copytree(HERE / "apps", path / "jupyter_sessions" / "apps")
    return path


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    return {"ServerApp": {"jpserver_extensions": {"jupyter_sessions": True}}}


@pytest.fixture
def manager(
    jp_serverapp: ServerApp, jp_asyncio_loop: asyncio.AbstractEventLoop
) -> Iterator[SessionManager]:
    """The manager of a running Jupyter server; its sessions end with the test."""
    extensions: Any = jp_serverapp.extension_manager
    jp_asyncio_loop.run_until_complete(extensions.start_all_extensions())
    manager: SessionManager = jp_serverapp.web_app.settings["jupyter_sessions_manager"]
    manager.store.root.mkdir(exist_ok=True)
    yield manager

    async def end() -> None:
        sessions, _ = await manager.sessions()
        for session in sessions:
            await manager.stop(session.id)
        async with asyncio.timeout(PATIENCE):
            for session in sessions:
                await manager.wait_for(session.id, lambda s: s.ended)

    jp_asyncio_loop.run_until_complete(end())


class Api:
    """The REST API, as a program with a token uses it."""

    def __init__(
        self,
        fetch: Callable[..., Awaitable[Any]],
        headers: dict[str, str],
        base_url: str,
        manager: SessionManager,
    ) -> None:
        self._fetch = fetch
        self._headers = headers
        self.base_url = base_url
        self.manager = manager

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> Answer:
        """Send a request; `body` is sent as it is if it is bytes, else as JSON."""
        return await self._send(method, f"{self.base_url}{API}{path}", body, headers, options)

    async def get(self, path: str) -> Answer:
        """What is at `path`, the server's base URL included: a session's page."""
        return await self._send("GET", path, None, None, {})

    async def _send(
        self,
        method: str,
        path: str,
        body: Any,
        headers: dict[str, str] | None,
        options: dict[str, Any],
    ) -> Answer:
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        response = await self._fetch(
            path,
            method=method,
            body=content,
            headers=self._headers if headers is None else headers,
            allow_nonstandard_methods=True,
            follow_redirects=False,
            raise_error=False,
            request_timeout=PATIENCE,
            **options,
        )
        return Answer(response.code, response.headers, response.body)

    async def start(self, app: str = "echo", *, wait: bool = True, **request: Any) -> Session:
        """Start a session; by default, wait until it runs or has failed."""
        answer = await self("POST", "sessions", {"app": app, **request})
        assert answer.status == 201, answer.text
        session_id: str = answer.json["id"]
        if not wait:
            return await self.manager.session(session_id)
        return await self.until(session_id, lambda s: s.state is State.RUNNING or s.state in ENDED)

    async def until(self, session_id: str, is_there: Callable[[Session], bool]) -> Session:
        async with asyncio.timeout(PATIENCE):
            return await self.manager.wait_for(session_id, is_there)

    async def until_ended(self, session_id: str) -> Session:
        return await self.until(session_id, lambda s: s.ended)

    async def until_nothing_runs(self, session_id: str) -> None:
        """The supervisor itself is the last to go, a moment after it has said so."""
        async with asyncio.timeout(PATIENCE):
            while marked(session_id):  # noqa: ASYNC110 - a process' end tells nobody
                await asyncio.sleep(0.02)


@pytest.fixture
def api(
    manager: SessionManager,
    http_server_client: AsyncHTTPClient,
    jp_auth_header: dict[str, str],
    jp_base_url: str,
) -> Api:
    return Api(http_server_client.fetch, jp_auth_header, jp_base_url, manager)


# Servers and commands as processes of their own --------------------------------------------------


@pytest.fixture
def home(short_path: Path, jp_data_dir: Path, jp_config_dir: Path) -> Home:
    """A fresh user: no settings, no sessions, the tests' apps."""
    return Home.make(short_path, jp_data_dir, jp_config_dir)


@pytest.fixture
def live_server(home: Home) -> Iterator[LiveServer]:
    """A Jupyter server of that user, as a process."""
    with LiveServer.start(home) as server:
        yield server


@pytest.fixture
def cli(home: Home) -> Commands:
    """``jupyter sessions``, with no Jupyter server running."""
    return Commands(home)
