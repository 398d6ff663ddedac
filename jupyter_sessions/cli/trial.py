"""``jupyter sessions apps test``: an app behind the real gateway, in a Jupyter server of its own.

The server is started for the test and ends with it. It reads the user's configuration, so that it
has the same apps, but keeps its sessions in a temporary folder and lets nobody in but the test.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest, HTTPResponse

from ..errors import SpawnerError

START_SECONDS, PAUSE = 60.0, 0.1
API = "jupyter-sessions/v1"
BASE = "/trial/of-a-prefix/"
"""The prefix of the server: what is not told about it is found out."""
ALONE = (
    "--no-browser",
    "--ServerApp.ip=127.0.0.1",
    f"--ServerApp.base_url={BASE}",
    "--ServerApp.certfile=",
    "--ServerApp.keyfile=",
    "--ServerApp.sock=",
    "--ServerApp.identity_provider_class=jupyter_server.auth.identity.PasswordIdentityProvider",
    "--ServerApp.authorizer_class=jupyter_server.auth.authorizer.AllowAllAuthorizer",
    "--PasswordIdentityProvider.hashed_password=",
    "--ServerApp.jpserver_extensions=jupyter_sessions=True",
)


@dataclass(frozen=True, slots=True)
class Trial:
    """The test's Jupyter server, as a client that has logged in sees it."""

    origin: str
    token: str

    async def fetch(self, url: str, method: str = "GET", body: Any = None) -> HTTPResponse:
        """The answer, whatever it is; a redirect is not followed.

        Raises
        ------
        SpawnerError
            If there is none.
        """
        request = HTTPRequest(
            urljoin(self.origin, url),
            method=method,
            headers=self.headers,
            body=None if body is None else json.dumps(body),
            allow_nonstandard_methods=True,
            follow_redirects=False,
            request_timeout=60,
        )
        try:
            return await AsyncHTTPClient().fetch(request, raise_error=False)
        except (HTTPClientError, OSError) as error:
            raise SpawnerError(f"{url} does not answer: {error}") from None

    @property
    def headers(self) -> dict[str, str]:
        """What shows that a request may pass."""
        return {"Authorization": f"token {self.token}"}

    async def api(self, path: str, method: str = "GET", body: Any = None) -> Any:
        """What the REST API answers at `path`.

        Raises
        ------
        SpawnerError
            With the message of the server, if it refused.
        """
        answer = await self.fetch(f"{BASE}{API}/{path}", method, body)
        data = json.loads(answer.body) if answer.body else None
        if answer.code >= 400:
            raise SpawnerError(str((data or {}).get("message", answer.reason)))
        return data

    async def text(self, path: str) -> str:
        """A text of the REST API: a log."""
        return (await self.fetch(f"{BASE}{API}/{path}")).body.decode("utf-8", "replace")


@contextlib.asynccontextmanager
async def trial(config: Sequence[str]) -> AsyncIterator[Trial]:
    """A server for the time of a test; it ends with all that it has started.

    Parameters
    ----------
    config
        Traits from the command line.

    Raises
    ------
    SpawnerError
        If it does not come up.
    """
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="jst-"))
    token = secrets.token_urlsafe(24)
    env = dict(os.environ, JUPYTER_RUNTIME_DIR=str(folder / "run"), JUPYTER_TOKEN=token)
    argv = [sys.executable, "-m", "jupyter_server", *config, *ALONE]
    argv.append(f"--SessionManager.data_dir={folder / 'data'}")
    argv += ["--allow-root"] if os.geteuid() == 0 else []
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *argv, env=env, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        made = await _up(process, folder, token)
        try:
            yield made
        finally:  # interrupted, too: what it started would outlive it
            with contextlib.suppress(SpawnerError):
                await _end_all(made)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _up(process: asyncio.subprocess.Process, folder: Path, token: str) -> Trial:
    """The server, once it answers."""
    try:
        async with asyncio.timeout(START_SECONDS):
            while process.returncode is None:
                for info in _infos(folder / "run"):
                    made = Trial(info["url"].removesuffix(BASE), token)
                    with contextlib.suppress(SpawnerError, ValueError):
                        await made.api("spawners")
                        return made
                await asyncio.sleep(PAUSE)
    except TimeoutError:
        pass
    tail = (folder / "log").read_text(errors="replace")[-2000:]
    raise SpawnerError(f"The Jupyter server for the test did not come up:\n{tail}")


def _infos(folder: Path) -> list[dict[str, Any]]:
    found = []
    for path in folder.glob("jpserver-*.json"):
        with contextlib.suppress(OSError, ValueError):  # it is being written
            found.append(json.loads(path.read_text(encoding="utf-8")))
    return found


async def _end_all(made: Trial) -> None:
    """Forget all sessions: their processes do not end with the server."""
    for session in (await made.api("sessions"))["sessions"]:
        await made.api(f"sessions/{session['id']}", "DELETE")
