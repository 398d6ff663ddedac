"""The beginning of an attempt."""

import contextlib
import os
import re
import subprocess
import sys
import time

from .archive import PROGRAM, packed
from .environment import clean_environment
from .errors import RunnerError
from .files import Json, make_directory, read_json, write_file, write_json
from .processes import ATTEMPT, RUNNER, machine, mark_of, marks, processes

START_SECONDS = 10.0  # how long a runner may take to say that it is there
GATE_FILES = ("gate.pem", "reach.crt")


def start(payload: Json) -> Json:
    """Start the attempt that `payload` describes, in a process of its own. Harmless twice.

    Called by spawners from any thread, or over SSH. Does not wait for the app, only for its
    runner.

    Parameters
    ----------
    payload
        As for `prepare`.

    Returns
    -------
    dict
        The handle: ``directory, pid, started, boot_id, pid_ns, hostname``; `pid` and `started`
        are None if the attempt was stopped before it began.

    Raises
    ------
    RunnerError
        If the directory is not safe, or if the runner does not come up.
    OSError
        If the directory cannot be made or written.
    """
    directory, mark = prepare(payload)["directory"], mark_of(payload)
    runner_file, exit_file = (os.path.join(directory, n) for n in ("runner.json", "exit.json"))
    if not os.path.lexists(runner_file) and not os.path.lexists(exit_file):
        _spawn_runner(directory, mark)
    end = time.monotonic() + START_SECONDS
    while not os.path.lexists(runner_file) and not os.path.lexists(exit_file):
        if time.monotonic() > end:
            raise RunnerError(f"The runner did not come up; {directory}/runner.log may say why.")
        time.sleep(0.005)
    handle = {"pid": None, "started": None}
    handle.update(read_json(runner_file) if os.path.lexists(runner_file) else machine())
    return dict(handle, directory=directory)


def prepare(payload: Json) -> Json:
    """Make the directory of an attempt with its ``launch.json``, and start nothing. Harmless twice.

    Called by spawners whose own jobs run ``runner.pyz supervise DIRECTORY``.

    Parameters
    ----------
    payload
        What goes into ``launch.json`` (see there), ``directory``: absolute; made if need be,
        ``make``: other directories to make, mode 0700, or nothing, and ``copy``: whether to put
        the runner there, as ``runner.pyz``, for a machine that sees nothing else of ours. In
        ``gate`` (see there), ``files`` are those of the gate by name; an earlier call's count.

    Returns
    -------
    dict
        ``directory``.

    Raises
    ------
    RunnerError
        If a directory is not safe.
    OSError
        If it cannot be made or written.
    """
    launch = dict(payload)
    directory, others = str(launch.pop("directory")), launch.pop("make", None) or []
    copy, mark = launch.pop("copy", False), mark_of(launch)
    if not os.path.isabs(directory) or not re.match(r"[\w-]+\.\d+\Z", mark):
        raise RunnerError(f"{directory!r} or {mark!r} is not fit for an attempt.")
    for path in [directory, *others]:
        make_directory(str(path))
    if launch.get("gate"):
        launch["gate"] = dict(launch["gate"])
        for name, text in launch["gate"].pop("files").items():
            if name not in GATE_FILES:
                raise RunnerError(f"{name!r} is not a file of a gate.")
            with contextlib.suppress(FileExistsError):
                write_file(os.path.join(directory, name), text.encode("utf-8"), exclusive=True)
    with contextlib.suppress(FileExistsError):
        write_json(os.path.join(directory, "launch.json"), launch, exclusive=True)
    if copy:
        write_file(os.path.join(directory, "runner.pyz"), packed())
    return {"directory": directory}


def _spawn_runner(directory: str, mark: str) -> None:
    env = clean_environment()
    env[RUNNER.encode()] = mark.encode()
    command = [sys.executable, "-I", "-S", PROGRAM]
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    log = os.open(os.path.join(directory, "runner.log"), flags, 0o600)
    try:
        # The child forks once more and ends at once: the runner must not be our child, whom we
        # would have to wait for.
        child = subprocess.Popen(
            [*command, "supervise", directory, "--detach"],
            cwd="/",
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    finally:
        os.close(log)
    child.wait()


def find(payload: Json) -> Json:
    """The handle of an attempt that may have been started, for who did not get to save it.

    Parameters
    ----------
    payload
        ``session, attempt, directory``.

    Returns
    -------
    dict
        ``handle``: what `start` returned, or None if there is no trace of it on this machine.
    """
    directory = str(payload["directory"])
    with contextlib.suppress(OSError, ValueError):
        runner = read_json(os.path.join(directory, "runner.json"))
        return {"handle": dict(runner, directory=directory)}
    for variable in (RUNNER, ATTEMPT):
        for found in processes():
            if marks(found.pid).get(variable) == mark_of(payload):
                identity = dict(machine(), pid=found.pid, started=found.started)
                return {"handle": dict(identity, directory=directory)}
    return {"handle": None}
