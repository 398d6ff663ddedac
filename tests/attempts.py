"""Attempts of the runner with real processes, each in a directory of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions import runner

APPS = Path(__file__).with_name("runner_apps")
SLEEP = ["sleep", "600"]


def wait_for(what: Callable[[], Any], seconds: float = 20) -> Any:
    """The first true answer of `what`; fails if there is none within `seconds`."""
    end = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.01)
    return answer


def serve(kind: str) -> list[str]:
    """The command line of an app that listens on the endpoint `kind`."""
    return ["{python}", str(APPS / "serve.py"), kind, f"{{{kind}}}"]


def python(program: str, *argv: str) -> list[str]:
    return ["{python}", "-c", program, *argv]


def hello(address: dict[str, Any]) -> bytes:
    """What the app at `address` says."""
    if address["scheme"] == "unix":
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(address["path"])
            return client.recv(100)
    with socket.create_connection((address["host"], address["port"])) as client:
        return client.recv(100)


def marked(mark: str) -> list[int]:
    """The living processes with this marker, by a way of our own."""
    entry = f"JUPYTER_SESSIONS_ATTEMPT={mark}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if entry in (path / "environ").read_bytes().split(b"\0") and lives(int(path.name)):
                found.append(int(path.name))
        except OSError:
            continue
    return found


def lives(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


class Attempt:
    """One attempt in a directory of its own."""

    def __init__(self, directory: Path, session: str) -> None:
        self.directory = directory
        self.session = session
        self.mark = f"{session}.1"

    def launch(self, argv: Sequence[str], **more: Any) -> dict[str, Any]:
        return {
            "version": 1,
            "session": self.session,
            "attempt": 1,
            "directory": str(self.directory),
            "argv": list(argv),
            "fields": {},
            "env": {},
            "cwd": str(self.directory.parent),
            "stop": {"argv": None, "grace": 1},
            "log": {"max_bytes": 1_000_000},
            "timeout": None,
        } | more

    def start(self, argv: Sequence[str], **more: Any) -> dict[str, Any]:
        return runner.start(self.launch(argv, **more))

    def status(self) -> dict[str, Any]:
        directory = str(self.directory)
        status: dict[str, Any] = runner.poll({"directories": [directory]})["statuses"][directory]
        return status

    def wait(self, wanted: str, seconds: float = 20) -> dict[str, Any]:
        """The status once it is `wanted`."""
        wait_for(lambda: self.status()["status"] == wanted, seconds)
        return self.status()

    def end(self, seconds: float = 20) -> dict[str, Any]:
        """What ``exit.json`` says, once it is there."""
        wait_for((self.directory / "exit.json").exists, seconds)
        return self.read("exit.json")

    def stop(self, wait: float = 15) -> dict[str, Any]:
        return runner.stop({"directory": str(self.directory), "wait": wait})

    def read(self, name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.directory / name).read_text())
        return content

    def forge(self, name: str, **changes: Any) -> None:
        (self.directory / name).write_text(json.dumps(self.read(name) | changes))

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()


@pytest.fixture
def attempts(tmp_path: Path) -> Iterator[Callable[[str], Attempt]]:
    """Makes attempts; ends them after the test, and sees to it that nothing is left."""
    made: list[Attempt] = []

    def make(prefix: str) -> Attempt:
        session = prefix + uuid.uuid4().hex[:8]  # other tests run beside this one
        made.append(Attempt(tmp_path / session / "1", session))
        return made[-1]

    yield make
    for attempt in made:
        attempt.stop()
    left = {attempt.session: marked(attempt.mark) for attempt in made}
    for pids in left.values():
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    assert not any(left.values()), left
    for attempt in made:
        log = attempt.directory / "runner.log"
        assert not log.exists() or not log.read_text(), log.read_text()


@pytest.fixture
def attempt(attempts: Callable[[str], Attempt]) -> Attempt:
    return attempts("s")
