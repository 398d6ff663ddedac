"""A Jupyter server with one proxy extension, started for the benchmark alone."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.client import Endpoint
from benchmarks.processes import START_TIMEOUT, NotStarted, ProcessTree, running, wait_until
from benchmarks.workspace import ROOT, Workspace, free_port

TOKEN = "benchmark"  # noqa: S105
HEADERS = {"Authorization": f"token {TOKEN}"}
API = "/jupyter-sessions/v1"
BLOCKING = "benchmarks.blocking"
OTHERS = ("jupyter_lsp", "jupyterlab", "notebook_shim")
"""Extensions that have nothing to do with what is measured."""
PROXIES = ("jupyter_sessions", "jupyter_server_proxy")

STANDARD = ("-m", "jupyter_server")
UVLOOP = (
    "-c",
    "import uvloop; uvloop.install(); from jupyter_server.serverapp import main; main()",
)


@dataclass(frozen=True, slots=True)
class Jupyter:
    """A server that runs."""

    endpoint: Endpoint
    tree: ProcessTree
    home: Path

    def start_session(self, app: str) -> str:
        """Ask for a session; returns its id."""
        content = json.dumps({"app": app}).encode()
        answer = self.endpoint.request(f"{API}/sessions", method="POST", body=content)
        if answer.status != 201:
            raise NotStarted(f"{app}: HTTP {answer.status}")
        return str(json.loads(answer.content)["id"])

    def session(self, session_id: str) -> dict[str, Any]:
        answer = self.endpoint.request(f"{API}/sessions/{session_id}")
        found: dict[str, Any] = json.loads(answer.content)
        if found.get("state") == "failed":
            raise NotStarted(f"{session_id}: {found['message']}")
        return found

    def wait_for_sessions(self, ids: Collection[str]) -> None:
        """Returns once all of them run; raises NotStarted."""
        deadline = time.monotonic() + START_TIMEOUT
        while not all(self.session(i)["state"] == "running" for i in ids):
            if time.monotonic() > deadline:
                raise NotStarted(f"sessions do not run: {', '.join(ids)}")
            time.sleep(0.1)

    def delete_session(self, session_id: str) -> None:
        self.endpoint.request(f"{API}/sessions/{session_id}", method="DELETE")

    def login_cookies(self) -> str:
        """What a browser that has logged in sends as its Cookie."""
        plain = Endpoint(self.endpoint.host, self.endpoint.port)
        answer = plain.request(f"/?token={TOKEN}")
        cookies = answer.headers.get_all("Set-Cookie") or []
        return "; ".join(cookie.partition(";")[0] for cookie in cookies)

    def block(self, how: str) -> None:
        """Keep the server's loop busy, see `benchmarks.blocking`."""
        answer = self.endpoint.request(f"/benchmark/block/{how}", method="POST", body=b"")
        if answer.status != 204:
            raise NotStarted(f"blocking: HTTP {answer.status}")


@contextlib.contextmanager
def jupyter(
    space: Workspace,
    name: str,
    *,
    extension: str,
    launcher: tuple[str, ...] = STANDARD,
    config: Mapping[str, Mapping[str, object]] | None = None,
    apps: tuple[dict[str, object], ...] = (),
) -> Iterator[Jupyter]:
    """A server with `extension`, `config` on top of what all have, and `apps` to start."""
    home = space.directory(name)
    endpoint = Endpoint("127.0.0.1", free_port(), headers=HEADERS)
    settings: dict[str, Mapping[str, object]] = {
        "ServerApp": {
            "ip": endpoint.host,
            "port": endpoint.port,
            "port_retries": 0,
            "open_browser": False,
            "allow_root": True,
            "root_dir": str(home),
            "jpserver_extensions": {
                **dict.fromkeys((*OTHERS, *PROXIES), False),
                extension: True,
                BLOCKING: True,
            },
        },
        "IdentityProvider": {"token": TOKEN},
        **(config or {}),
    }
    (home / "jupyter_server_config.json").write_text(json.dumps(settings))
    for app in apps:
        folder = home / "jupyter_sessions/apps" / str(app["name"])
        folder.mkdir(parents=True)
        (folder / "app.yaml").write_text(json.dumps(app))  # JSON is YAML
    log = space.log(name)
    argv = [sys.executable, *launcher]
    with running(argv, log=log, env=_environment(home)) as process:
        server = Jupyter(endpoint, ProcessTree(process.pid), home)

        def answers() -> bool:
            return endpoint.request("/api/status").status == 200

        wait_until(answers, name, process)
        # As a browser that has logged in: to a token alone Jupyter answers with a new login each
        # time, which no proxy may take for the login of the next request.
        login = {**HEADERS, "Cookie": server.login_cookies()}
        yield replace(server, endpoint=replace(endpoint, headers=login))


@contextlib.contextmanager
def sessions(
    space: Workspace, name: str, apps: tuple[dict[str, object], ...], **options: Any
) -> Iterator[tuple[Jupyter, dict[str, str]]]:
    """A server with our extension, and the URL paths of a session of each app that runs."""
    with jupyter(space, name, extension="jupyter_sessions", apps=apps, **options) as server:
        ids = {str(app["name"]): server.start_session(str(app["name"])) for app in apps}
        server.wait_for_sessions(ids.values())
        yield server, {app: f"/sessions/{session_id}" for app, session_id in ids.items()}


def _environment(home: Path) -> dict[str, str]:
    """Nothing of the user's own: no configuration, no data, no variables."""
    directory = str(home)
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LANG": "C.UTF-8",
        "SHELL": "/bin/bash",
        "HOME": directory,
        "JUPYTER_CONFIG_DIR": directory,
        "JUPYTER_DATA_DIR": f"{directory}/data",
        "JUPYTER_RUNTIME_DIR": f"{directory}/runtime",
        "PYTHONPATH": str(ROOT),
    }
