"""Starts what is hard to take down, tells the pids in a file, and waits: ``escape.py FILE``."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SLEEP = ["sleep", "600"]


def ignore_term() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def daemon() -> int:
    """The pid of a process that forked twice and has neither session nor parent of ours."""
    out, into = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(into, str(os.getpid()).encode())
            os.execvp("sleep", SLEEP)  # noqa: S606
        os._exit(0)
    os.wait()
    return int(os.read(out, 20))


pids = {
    "own session": subprocess.Popen(SLEEP, start_new_session=True).pid,
    "ignores TERM": subprocess.Popen(SLEEP, preexec_fn=ignore_term).pid,
    "no environment": subprocess.Popen(SLEEP, env={"PATH": os.environ["PATH"]}).pid,
    "double fork": daemon(),
}
new = Path(sys.argv[1] + ".new")
new.write_text(json.dumps(pids))
new.rename(sys.argv[1])
time.sleep(600)
