"""The runner as a program."""

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from typing import List

from .archive import PROGRAM
from .children import SIGNALS
from .environment import clean_environment
from .errors import RunnerError
from .files import Lock, read_json, write_json
from .outcome import end
from .processes import PROC, RUNNER, machine, mark_of, start_time
from .supervisor import Supervisor
from .verbs import VERBS


def supervise(directory: str) -> None:
    """Be the runner of the attempt in `directory`, until its end. The body of a process."""
    # From the moment that runner.json names us we may be signalled: not before we can handle it.
    signal.pthread_sigmask(signal.SIG_SETMASK, SIGNALS)
    directory = os.path.abspath(directory)
    lock = Lock(directory)
    if lock.held is False or os.path.lexists(os.path.join(directory, "exit.json")):
        return
    identity = dict(machine(), pid=os.getpid(), started=start_time(os.getpid()))
    with contextlib.suppress(OSError, ValueError):
        launch = read_json(os.path.join(directory, "launch.json"))
        if launch.get("job_variable"):
            identity["job"] = os.environ.get(str(launch["job_variable"]))
    try:
        write_json(os.path.join(directory, "runner.json"), identity, exclusive=True)
    except FileExistsError:
        return
    exit_file = os.path.join(directory, "exit.json")
    is_stopped = os.path.lexists(os.path.join(directory, "stop"))
    if is_stopped and not os.path.lexists(os.path.join(directory, "launch.json")):
        write_json(exit_file, end("stopped", "", None, []))
        return
    os.chdir("/")  # a runner lives long: do not keep a file system busy
    supervisor = None
    try:
        _adopt_orphans()
        supervisor = Supervisor(directory, read_json(os.path.join(directory, "launch.json")))
        outcome = supervisor.never_run() if is_stopped else supervisor.run()
    except Exception as error:
        traceback.print_exc()
        left = supervisor.give_up() if supervisor else []
        what = f"The runner failed, see runner.log: {type(error).__name__}: {error}."
        what = supervisor.mask.text(what) if supervisor else what
        outcome = end("start_failed", what, None, left)
    if supervisor:
        supervisor.clean_up()
    for _ in range(10):  # the disk may be full, or the file server away, for a moment
        with contextlib.suppress(OSError):
            write_json(exit_file, outcome)
            return
        time.sleep(1)


def _adopt_orphans() -> None:
    """Become the parent of descendants that lose theirs, so that none leaves the tree."""
    if PROC:
        with contextlib.suppress(Exception):  # no ctypes: the markers have to do
            import ctypes

            ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def main(argv: List[str]) -> int:
    """``VERB`` (its payload on stdin), ``supervise DIRECTORY``, or ``gate DIRECTORY ADDRESS``."""
    if argv[:1] == ["gate"] and len(argv) == 3:
        # Beside us in every form that this is run in, but not a package of the same name's.
        from gate.serving import serve  # type: ignore[import-not-found,unused-ignore]

        return int(serve(argv[1], json.loads(argv[2])))
    if argv[:1] == ["supervise"] and len(argv) > 1:
        if RUNNER not in os.environ:  # a batch script's, with who knows whose marker in it
            launch = read_json(os.path.join(argv[1], "launch.json"))
            env = clean_environment()
            env[RUNNER.encode()] = mark_of(launch).encode()
            command = [sys.executable, "-I", "-S", PROGRAM, *argv]
            os.execve(sys.executable, command, env)  # noqa: S606 - that is the point
        if argv[2:] == ["--detach"]:
            if os.fork():
                os._exit(0)
            os.setsid()
        supervise(argv[1])
        return 0
    try:
        if len(argv) != 1 or argv[0] not in VERBS:
            raise RunnerError("The verbs are: {}, supervise.".format(", ".join(VERBS)))
        answer, code = VERBS[argv[0]](json.loads(sys.stdin.buffer.read().decode("utf-8"))), 0
    except (RunnerError, OSError) as error:
        answer, code = {"error": str(error)}, 1
    except (ValueError, KeyError, TypeError) as error:
        answer, code = {"error": f"The payload is wrong: {type(error).__name__}: {error}."}, 1
    sys.stdout.write(json.dumps(answer) + "\n")
    return code
