"""Python programs as processes that begin where their imports end.

Most of what a short command takes is its imports: half a second of CPU each, for hundreds of them.
A Jupyter server's take two. `Forked` is a process like any other, with its own arguments,
environment, output and exit code; but it is forked from one that has imported the package already
(``drivers/nursery.py``). Of the interpreter's own settings it heeds PYTHONPATH only.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO, Self

NURSERY = Path(__file__).parent / "drivers" / "nursery.py"
MODULES = (
    "jupyter_sessions.cli.commands",
    "jupyter_sessions.cli.apps",
    "jupyter_sessions.extension",
    "jupyter_sessions.hosts.local",
    "jupyter_sessions.spawners.process",
)
_one_at_a_time = threading.Lock()


class Forked:
    """A running Python program; the part of `subprocess.Popen` that tests use.

    Parameters
    ----------
    program
        A file of Python.
    arguments
        What follows in its ``sys.argv``.
    environment
        All of its environment; by default, ours.
    folder
        Where it runs; by default, where we do.
    stdout, stderr
        Where its output goes; by default, pipes.
    """

    def __init__(
        self,
        program: Path,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        stdout: IO[str] | None = None,
        stderr: IO[str] | None = None,
    ) -> None:
        request = {
            "program": str(program),
            "arguments": list(arguments),
            "environment": dict(os.environ if environment is None else environment),
            "folder": str(folder or Path.cwd()),
        }
        self.returncode: int | None = None
        self._status, told = os.pipe()
        self.stdout, out = _pipe() if stdout is None else (stdout, os.dup(stdout.fileno()))
        self.stderr, err = _pipe() if stderr is None else (stderr, os.dup(stderr.fileno()))
        nothing = os.open(os.devnull, os.O_RDONLY)
        given = [nothing, out, err, told]
        try:
            with _one_at_a_time:
                control = _nursery()
                socket.send_fds(control, [json.dumps(request).encode()], given)
                self.pid = int(control.recv(100))
        finally:
            for descriptor in given:
                os.close(descriptor)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, negative for a signal; `subprocess.TimeoutExpired` after `timeout` s."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            with os.fdopen(self._status) as status:
                self.returncode = int(status.read())
        return self.returncode

    def poll(self) -> int | None:
        """The exit code, or None as long as it runs."""
        if self.returncode is None and not select.select([self._status], [], [], 0)[0]:
            return None
        return self.wait()

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it is known to have ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float) -> tuple[str, str]:
        """What it still prints, on both, until it ends; its exit code is known afterwards."""
        errors: list[str] = []
        reader = threading.Thread(target=lambda: errors.append(self.stderr.read()), daemon=True)
        reader.start()
        watch = threading.Timer(timeout, self.kill)
        watch.start()
        begun = time.monotonic()
        try:
            output = self.stdout.read()
            reader.join()
        finally:
            watch.cancel()
            watch.join()
        self.wait(timeout)
        if time.monotonic() - begun > timeout:
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return output, errors[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.kill()
        self.stdout.close()
        self.stderr.close()
        self.wait()


def _pipe() -> tuple[IO[str], int]:
    """What reads a pipe, and the descriptor that writes to it."""
    reads, writes = os.pipe()
    return os.fdopen(reads), writes


@cache
def _nursery() -> socket.socket:
    """The socket to this worker's nursery, which ends when the worker does."""
    ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
    with theirs:
        # It ends by itself, and nobody waits for it.
        subprocess.Popen(
            [sys.executable, str(NURSERY), str(theirs.fileno()), *MODULES],
            pass_fds=[theirs.fileno()],
        ).returncode = 0
    return ours
