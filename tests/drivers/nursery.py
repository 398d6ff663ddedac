"""Imports what many tests' processes need, once, and forks itself for each of them.

``nursery.py FD MODULE...``: at the other end of the socket FD is ``tests/forked.py``. A request is
one message with a program, its arguments, environment and folder, and four descriptors: for its
input, output and errors, and for its exit status. The answer is the process' id.

The fork comes back from `serve` and runs the program as the interpreter does, to its usual end.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import random
import runpy
import selectors
import signal
import socket
import sys
from pathlib import Path
from typing import Any

LARGEST = 1 << 18
"""Bytes of a request: an environment, most of all."""


def serve(control: socket.socket) -> str:
    """Fork for each request until nobody asks any more; in a fork, returns its program."""
    statuses: dict[int, int] = {}
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for pytest
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            ready = [key.fd for key, _ in selector.select()]
            if woken in ready:
                os.read(woken, 1024)
                _tell(statuses)
            if control.fileno() not in ready:
                continue
            message, descriptors, _, _ = socket.recv_fds(control, LARGEST, 4)
            if not message:
                sys.exit()
            pid = os.fork()
            if not pid:
                return _become(json.loads(message), descriptors)
            statuses[pid] = descriptors.pop()
            for descriptor in descriptors:
                os.close(descriptor)
            control.send(str(pid).encode())


def _tell(statuses: dict[int, int]) -> None:
    """Write the exit status of each process that has ended to whoever waits for it."""
    for pid in list(statuses):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with os.fdopen(statuses.pop(pid), "w") as told:
                told.write(str(os.waitstatus_to_exitcode(status)))


def _become(request: dict[str, Any], descriptors: list[int]) -> str:
    """Make this fork what a new interpreter would be; the path of its program."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    # New objects, as the old ones know what was there before: a file, or a pipe.
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    random.seed()
    program: str = request["program"]
    sys.argv = [program, *request["arguments"]]
    added = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [str(Path(program).resolve().parent), *filter(None, added)]
    return program


if __name__ == "__main__":
    for name in sys.argv[2:]:
        importlib.import_module(name)
    gc.freeze()  # a collection in a fork would copy all that they share
    endpoint = socket.socket(fileno=int(sys.argv[1]))
    runpy.run_path(serve(endpoint), run_name="__main__")
