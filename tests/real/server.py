"""A Jupyter server and the command line as people run them: processes with a home of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from ..live import eventually as wait
from ..live import free_port

TOKEN = "the-tests-token"
BIN = Path(sys.executable).parent
__all__ = ["BIN", "TOKEN", "Home", "JupyterServer", "free_port", "wait"]


class Home:
    """A fresh home directory, and the environment that goes with it."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="jsh-"))
        self.servers: list[JupyterServer] = []
        self.work = self.path / "work"
        self.work.mkdir()
        kept = ("PATH", "LANG", "VIRTUAL_ENV", "CI")
        self.env = {k: v for k, v in os.environ.items() if k in kept}
        self.env |= {
            "HOME": str(self.path),
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "SHELL": "/bin/bash",
        }

    @property
    def store(self) -> Path:
        return self.path / ".local/share/jupyter/jupyter_sessions"

    def cli(self, *args: str, check: bool = True) -> str:
        """What ``jupyter sessions …`` answers."""
        done = subprocess.run(
            ["jupyter", "sessions", *args],
            env=self.env,
            cwd=self.work,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def remove(self) -> None:
        """Stop what runs, and take the directory away."""
        for server in self.servers:
            server.stop()
        self.cli("stop", "--all", check=False)
        shutil.rmtree(self.path, ignore_errors=True)


class JupyterServer:
    """``jupyter lab`` in a `Home`."""

    def __init__(self, home: Home, *args: str, base_url: str = "/", port: int = 0) -> None:
        self.home = home
        self.base_url = base_url
        self.port = port or free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.log = home.path / f"jupyter-{self.port}.log"
        settings = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": self.port,
            "ServerApp.port_retries": 0,
            "ServerApp.base_url": base_url,
            "ServerApp.allow_root": True,
            "ServerApp.open_browser": False,
            "IdentityProvider.token": TOKEN,
        }
        argv = [f"--{k}={v}" for k, v in settings.items()]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(BIN / "jupyter"), "lab", *argv, *args],
                env=home.env,
                cwd=home.work,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        home.servers.append(self)
        wait(self._answers, 60, f"Jupyter: see {self.log}")

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return bool(self.get("jupyter-sessions/v1/spawners"))
        except OSError:  # refused, or cut off while it begins
            return False

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """The status and the content of an answer, as the owner gets it."""
        url = path if path.startswith("http") else f"{self.origin}{path}"
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"token {TOKEN}"}
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def get(self, path: str) -> Any:
        """The JSON at `path` below the base URL."""
        _status, content = self.request("GET", self.base_url + path)
        return json.loads(content)

    def post(self, path: str, body: Any = None) -> Any:
        status, content = self.request("POST", self.base_url + path, body or {})
        assert status < 300, content
        return json.loads(content)

    def session(self, session_id: str) -> Any:
        return self.get(f"jupyter-sessions/v1/sessions/{session_id}")

    def start(self, app: str, **request: Any) -> Any:
        """A session that runs."""
        made = self.post("jupyter-sessions/v1/sessions", {"app": app, **request})
        return self.wait_until_running(made["id"])

    def wait_until_running(self, session_id: str) -> Any:
        return wait(lambda: self._settled(session_id), 90, f"{session_id} to run")

    def _settled(self, session_id: str) -> Any:
        session = self.session(session_id)
        assert session["state"] != "failed", (
            f"{session['message']}\n{self.home.cli('logs', session_id)}"
        )
        return session if session["state"] == "running" else None

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """As a crash would end it: it and its kernels, but not its sessions."""
        self.process.kill()
        self.process.wait(20)
