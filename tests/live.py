"""Jupyter servers and ``jupyter sessions`` commands as processes, for tests from outside."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.request import Request, urlopen

from .forked import Forked

T = TypeVar("T")
PATIENCE = 60
"""Seconds to wait for what takes one on a machine with nothing else to do."""
NOT_OURS = ("JUPYTER", "JPY_", "XDG_", "DISPLAY", "WAYLAND", "_ARGCOMPLETE")


def eventually(what: Callable[[], T], seconds: float = PATIENCE, why: str = "") -> T:
    """The first true answer of `what`; fails, saying `why` it was asked, if there is none."""
    end = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < end, f"not within {seconds} s: {why or what}"
        time.sleep(0.02)
    return answer


def free_port() -> int:
    """A port of this machine that nothing listens on, drawn at random by the kernel."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Home:
    """A user's home: where commands and servers find their settings and sessions."""

    path: Path
    data: Path
    config: Path
    environment: dict[str, str]

    @classmethod
    def make(cls, path: Path, data: Path, config: Path) -> Home:
        own = {
            "HOME": str(path),
            "JUPYTER_DATA_DIR": str(data),
            "JUPYTER_CONFIG_DIR": str(config),
            "JUPYTER_RUNTIME_DIR": str(path / "run"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": "200",
        }
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(NOT_OURS)}
        return cls(path, data, config, inherited | own)

    def servers(self) -> list[dict[str, Any]]:
        """The Jupyter servers of this user that have said where they are."""
        found = []
        for path in (self.path / "run").glob("jpserver-*.json"):
            try:
                found.append(json.loads(path.read_text()))
            except ValueError:
                continue  # being written
        return found


@dataclass(frozen=True)
class LiveServer:
    """A Jupyter server: its URL with a slash at the end, its token, its process."""

    url: str
    token: str
    process: Forked

    @classmethod
    @contextmanager
    def start(cls, home: Home, *arguments: str) -> Iterator[LiveServer]:
        # Two servers that begin at once would both find Jupyter's usual port free, and announce it.
        port = f"--ServerApp.port={free_port()}"
        argv = ["--no-browser", port, *arguments]
        argv += ["--allow-root"] if os.geteuid() == 0 else []
        script = Path(sys.executable).with_name("jupyter-server")
        with (home.path / "server.log").open("a") as log:
            process = Forked(script, argv, home.environment, home.path, stdout=log, stderr=log)

        def ready() -> list[dict[str, Any]]:
            assert process.poll() is None, (home.path / "server.log").read_text()
            return [s for s in home.servers() if s["pid"] == process.pid]

        def answers() -> bool:
            # It says where it is before its loop runs; until then, a signal could get lost.
            assert process.poll() is None, (home.path / "server.log").read_text()
            try:
                urlopen(own, timeout=PATIENCE).close()
            except OSError:
                return False
            return True

        try:
            (info,) = eventually(ready)
            token = {"Authorization": f"token {info['token']}"}
            own = Request(f"{info['url']}api/status", headers=token)
            eventually(answers)
            yield cls(info["url"], info["token"], process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)

    def get(self, path: str) -> bytes:
        """What is at `path` (or a whole URL), with the token."""
        url = path if path.startswith("http") else self.url + path
        request = Request(url, headers={"Authorization": f"token {self.token}"})
        with urlopen(request, timeout=PATIENCE) as answer:
            body: bytes = answer.read()
            return body


@dataclass(frozen=True)
class Commands:
    """``jupyter sessions`` of one user, run to its end or left running."""

    home: Home

    def popen(self, *arguments: str, stdout: IO[str] | None = None) -> Forked:
        script = Path(sys.executable).with_name("jupyter-sessions")
        return Forked(script, arguments, self.home.environment, self.home.path, stdout=stdout)

    def __call__(self, *arguments: str, code: int = 0) -> Done:
        """The result of one command, which has to end with the exit code `code`."""
        with self.popen(*arguments) as process:
            out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == code, (arguments, process.returncode, out, err)
        assert "Traceback" not in err, err
        return Done(out, err)

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json").out)

    def start(self, app: str = "echo", *arguments: str) -> dict[str, Any]:
        """A session that runs."""
        session: dict[str, Any] = self.json("start", app, "--wait", *arguments)
        assert session["state"] == "running"
        return session


@dataclass(frozen=True)
class Done:
    """What a command printed."""

    out: str
    err: str
