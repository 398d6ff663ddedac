"""The end of an attempt, with its runner or without."""

import contextlib
import os
import signal
import time
from typing import List, Optional

from .endpoint import remove_endpoint
from .files import Json, Lock, make_directory, read_json, touch, write_json
from .hooks import clean_without_runner
from .outcome import end
from .processes import Process, is_alive, machine, mark_of, members, process, send, sweep
from .status import status_of


def stop(payload: Json) -> Json:
    """End an attempt, or see to it that it never begins. Harmless twice.

    A directory that is not there is made, for a start that may still be on its way: it has to find
    the stop file. So what was stopped is always *ended* afterwards, never *absent*.

    Parameters
    ----------
    payload
        ``directory``, and ``wait``: how many seconds to wait for the end, 0 by default.

    Returns
    -------
    dict
        What `poll` says about it then.

    Raises
    ------
    RunnerError, OSError
        If the directory is not the user's, or cannot be written.
    """
    directory = str(payload["directory"])
    deadline = time.monotonic() + float(payload.get("wait") or 0)
    exit_file = os.path.join(directory, "exit.json")
    if not os.path.lexists(exit_file):
        make_directory(directory)
        touch(os.path.join(directory, "stop"))
        signal_it = True
        while not os.path.lexists(exit_file):
            runner = _living_runner(directory)
            if runner is None:
                _end_without_runner(directory)
            elif signal_it:
                send(runner, signal.SIGTERM)
                signal_it = False
            if time.monotonic() >= deadline:
                break
            time.sleep(0.02)
    while _living_runner(directory) is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    return status_of(directory, machine())


def _living_runner(directory: str) -> Optional[Process]:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        runner = read_json(os.path.join(directory, "runner.json"))
        if is_alive(runner, machine()):
            return process(int(runner["pid"]))
    return None


def _end_without_runner(directory: str) -> None:
    """Do what a runner would have done, if there is none and none can come any more."""
    here = machine()
    status = status_of(directory, here)
    if status["hostname"] not in (None, here["hostname"]):
        return  # its lock may not reach this machine
    lock = Lock(directory)
    try:
        exit_file = os.path.join(directory, "exit.json")
        if lock.held is False or os.path.lexists(exit_file):
            return  # there is a runner after all: it will see the stop file
        left: List[int] = []
        with contextlib.suppress(FileNotFoundError):
            launch = read_json(os.path.join(directory, "launch.json"))
            mark, grace = mark_of(launch), float((launch.get("stop") or {}).get("grace") or 0)
            left = sweep(lambda: members(mark, None), grace, time.sleep)
            clean_without_runner(directory, launch)
            left = sweep(lambda: members(mark, None), 0.0, time.sleep) or left
        with contextlib.suppress(OSError, ValueError):
            started = read_json(os.path.join(directory, "started.json"))
            remove_endpoint(directory, started.get("temporary"))
        never = status["status"] == "absent"
        reason = "stopped" if never else (status["exit"] or {}).get("reason", "runner_lost")
        message = "Its supervisor was gone; what was left of the app was ended."
        write_json(exit_file, end(reason, message, None, left))
    finally:
        lock.release()
