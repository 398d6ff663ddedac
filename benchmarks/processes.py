"""Processes that are measured or needed, and their end, whatever happens."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TypeVar

import psutil

T = TypeVar("T")
PATIENCE = 5.0
"""Seconds between asking a process to end and killing it."""
SAMPLE_INTERVAL = 0.02
"""Seconds between looks at the memory of processes."""
START_TIMEOUT = 60.0
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
ENDS = (signal.SIGTERM, signal.SIGHUP)


class NotStarted(Exception):
    """A process ended, or did not do in time what it was started for."""


def guard() -> None:
    """Go on as a child, whose parent stays and ends what is left if the child is killed."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    if child := os.fork():
        os._exit(_look_after(child))
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _look_after(child: int) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the child too
    for number in ENDS:
        signal.signal(number, lambda number, frame: os.kill(child, number))
    _pid, status = os.waitpid(child, 0)
    _end_descendants()
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


@contextlib.contextmanager
def all_ended() -> Iterator[None]:
    """End all processes that were started below this one, daemons included, at the end."""
    # Those that lose their parent become our children, so that none gets out of sight.
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    for number in ENDS:
        signal.signal(number, _leave)
    try:
        yield
    finally:
        _end_descendants()


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _end_descendants() -> None:
    deadline = time.monotonic() + PATIENCE
    while left := psutil.Process().children(recursive=True):
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                if time.monotonic() < deadline:
                    process.terminate()
                else:
                    process.kill()
        psutil.wait_procs(left, timeout=0.2)


@contextlib.contextmanager
def running(
    argv: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process, for as long as the block runs. It does not get the terminal's signals."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in argv],
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(fact: Callable[[], T], what: str, process: subprocess.Popen[bytes]) -> T:
    """What `fact` says once that is true; a refused connection counts as no."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            if found := fact():
                return found
        time.sleep(0.05)
    raise NotStarted(f"{what}: not within {START_TIMEOUT:g} s")


class ProcessTree:
    """A process and all below it, as one."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)

    def _all(self) -> list[psutil.Process]:
        return [self._root, *self._root.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """Time that it has used."""
        total = 0.0
        for process in self._all():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def memory(self) -> int:
        """Resident bytes."""
        return _memory([process.pid for process in self._all()])

    @contextlib.contextmanager
    def peak(self) -> Iterator[Callable[[], int]]:
        """Yields what tells the growth of memory in bytes, at its highest during the block."""
        pids = [process.pid for process in self._all()]
        before = highest = _memory(pids)
        done = threading.Event()

        def sample() -> None:
            nonlocal highest
            while not done.wait(SAMPLE_INTERVAL):
                highest = max(highest, _memory(pids))

        thread = threading.Thread(target=sample, name="memory", daemon=True)
        thread.start()
        try:
            yield lambda: highest - before
        finally:
            done.set()
            thread.join()


def _memory(pids: Sequence[int]) -> int:
    pages = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
