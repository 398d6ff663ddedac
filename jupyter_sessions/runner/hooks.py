"""The commands that an app's author wants run beside it, to stop it, and at its end."""

import contextlib
import os
import select
import signal
import subprocess
import time
from typing import List, Optional, Tuple

from .children import Children
from .environment import attempt_environment, base_fields
from .errors import StartError
from .files import Json, touch
from .log import Log, Output
from .masks import Mask
from .templates import expand_argv, to_bytes

HOOK_SECONDS = 60.0  # how long a hook may take, if its launch does not say


class Hooks:
    """The hooks of one attempt, run by its runner. How they end is told, and decides nothing."""

    def __init__(self, directory: str, launch: Json, children: Children, log: Log) -> None:
        self._directory = directory
        self._children = children
        self._log = log
        hooks, stop = launch.get("hooks") or {}, launch.get("stop") or {}
        self._stop_argv: Optional[List[str]] = stop.get("argv")
        self._grace = float(stop.get("grace") or 0)
        self._after_argv: Optional[List[str]] = hooks.get("after")
        self._clean_argv: Optional[List[str]] = hooks.get("clean")
        self._seconds = float(hooks.get("timeout") or HOOK_SECONDS)
        self._after: Optional[Tuple[Optional[int], float]] = None

    def stop(self) -> None:
        """Run the stop command to its end, if there is one, and something to stop."""
        if self._stop_argv and not self._children.is_app_over():
            self._run("stop command", self._stop_argv, self._grace)

    def after(self) -> None:
        """Begin the after hook, once; or see how it does."""
        if not self._after_argv:
            return
        if self._after is None:
            pid = self._begin("after hook", self._after_argv)
            self._after = (pid, time.monotonic() + self._seconds)
        pid, deadline = self._after
        is_late = time.monotonic() >= deadline
        if pid is not None and (is_late or self._children.has_ended(pid)):
            self._end("after hook", pid, self._seconds)
            self._after = (None, deadline)

    def clean(self) -> List[int]:
        """Run the clean hook, if it has not run. Returns the pids that it left for ever."""
        if not self._clean_argv or was_cleaned(self._directory):
            return []
        self._run("clean hook", self._clean_argv, self._seconds)
        left = self._children.sweep(0.0)
        set_cleaned(self._directory)
        return left

    def _run(self, name: str, argv: List[str], seconds: float) -> None:
        pid = self._begin(name, argv)
        end = time.monotonic() + seconds
        while pid is not None and not self._children.has_ended(pid) and time.monotonic() < end:
            self._children.turn(max(0.0, end - time.monotonic()))
        if pid is not None:
            self._end(name, pid, seconds)

    def _begin(self, name: str, argv: List[str]) -> Optional[int]:
        try:
            return self._children.start(expand_argv(argv, self._children.fields))
        except StartError as error:
            self._log.say(f"The {name} failed: {error}")
            return None

    def _end(self, name: str, pid: int, seconds: float) -> None:
        status = self._children.statuses[pid]
        if status is None:
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
        if status != 0:
            self._children.drain()
            self._log.say(hook_failure(name, status, seconds))


def hook_failure(name: str, status: Optional[int], seconds: float) -> str:
    """What is said of a hook that has not ended well; `status` is None if it has not ended."""
    if status is None:
        return f"The {name} took longer than {seconds:g} s."
    if os.WIFEXITED(status):
        return f"The {name} failed with code {os.WEXITSTATUS(status)}."
    return f"The {name} was killed by signal {os.WTERMSIG(status)}."


def was_cleaned(directory: str) -> bool:
    return os.path.lexists(os.path.join(directory, "clean.done"))


def set_cleaned(directory: str) -> None:
    with contextlib.suppress(OSError):
        touch(os.path.join(directory, "clean.done"))


def clean_without_runner(directory: str, launch: Json) -> None:
    """Run the clean hook from here: its runner is gone, and everything below it."""
    hooks = launch.get("hooks") or {}
    if not hooks.get("clean") or was_cleaned(directory):
        return
    secrets = launch.get("secrets") or {}
    log = Log(directory, launch, Mask(secrets.values()))
    output = Output(log, Mask(secrets.values()))
    seconds = float(hooks.get("timeout") or HOOK_SECONDS)
    try:
        fields = base_fields(directory, launch)
        child = subprocess.Popen(
            expand_argv(hooks["clean"], fields),
            cwd=to_bytes(launch.get("cwd") or os.path.expanduser("~")),
            env=attempt_environment(directory, launch, fields),
            stdin=subprocess.DEVNULL,
            stdout=output.sink,
            stderr=output.sink,
            start_new_session=True,
        )
    except (StartError, OSError) as error:
        log.say(f"The clean hook failed: {error}")
    else:
        end = time.monotonic() + seconds
        while child.poll() is None and time.monotonic() < end:
            select.select([output.source], [], [], 0.05)
            output.drain()
        status = child.returncode
        if status is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        output.end()
        if status != 0:
            raw = None if status is None else -status if status < 0 else status << 8
            log.say(hook_failure("clean hook", raw, seconds))
    finally:
        output.close()
    set_cleaned(directory)
