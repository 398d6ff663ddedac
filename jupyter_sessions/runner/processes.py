"""Processes of this machine: what belongs to an attempt, and its end."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Set

from .files import Json

ATTEMPT = "JUPYTER_SESSIONS_ATTEMPT"
"""In the environment of all that belongs to an attempt."""
RUNNER = "JUPYTER_SESSIONS_RUNNER"
"""In the environment of the attempt's runner, for `find`."""
KILL_SECONDS = 10.0  # how long to go on killing
PROC = os.path.isdir("/proc/self")


class Process(NamedTuple):
    """A process as it was seen. `pid` and `started` together are an identity; `pid` is none."""

    pid: int
    ppid: int
    pgid: int
    started: int


def process(pid: int) -> Optional[Process]:
    """The process `pid` if it lives; a zombie does not."""
    if not PROC:
        return next(_ps("-p", str(pid)), None)
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    # The name of the program comes first and may contain anything, even ") R 1".
    values = text[text.rfind(b")") + 2 :].split()
    state = values[0].decode()
    if state in "ZX" and int(values[17]) < 2:  # not if it has threads that outlive its first one
        return None
    return Process(pid, int(values[1]), int(values[2]), int(values[19]))


def processes() -> Iterator[Process]:
    """All living processes that can be seen."""
    if not PROC:
        yield from _ps("-A")
        return
    for name in os.listdir("/proc"):
        found = process(int(name)) if name.isdigit() else None
        if found is not None:
            yield found


def _ps(*which: str) -> Iterator[Process]:
    command = ["ps", *which, "-o", "pid=,ppid=,pgid=,stat=,lstart="]
    env = dict(os.environ, LC_ALL="C")
    answer = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env, check=False
    )
    for line in answer.stdout.decode("utf-8", "replace").splitlines():
        pid, ppid, pgid, state, started = line.split(None, 4)
        if not state.startswith("Z"):
            ticks = int(time.mktime(time.strptime(started.strip(), "%a %b %d %H:%M:%S %Y")))
            yield Process(int(pid), int(ppid), int(pgid), ticks)


def mark_of(launch: Json) -> str:
    return "{}.{}".format(launch["session"], launch["attempt"])


def marks(pid: int) -> Dict[str, str]:
    """Our variables in the environment that `pid` was started with, as far as we may read it."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            environment = file.read()
    except OSError:
        return {}
    if b"JUPYTER_SESSIONS_" not in environment:
        return {}
    pairs = (entry.partition(b"=") for entry in environment.split(b"\0"))
    return {
        key.decode(): value.decode("utf-8", "replace")
        for key, _, value in pairs
        if key in (ATTEMPT.encode(), RUNNER.encode())
    }


def _own(pid: int) -> bool:
    try:
        return os.stat(f"/proc/{pid}").st_uid == os.geteuid()
    except OSError:
        return False


def members(mark: str, runner: Optional[int], group: Optional[int] = None) -> List[Process]:
    """The living processes of the attempt `mark`: those below the pid `runner`, and marked ones.

    Never the runner, never the caller, and nothing of another session. `group` is the app's
    process group, which stands in for the markers where environments cannot be read.
    """
    table = {found.pid: found for found in processes()}
    below: Dict[int, List[int]] = {}
    for found in table.values():
        below.setdefault(found.ppid, []).append(found.pid)
    marked = {pid: marks(pid) for pid in table if _own(pid)} if PROC else {}
    pending = [runner] if runner is not None else []
    for found in table.values():
        grouped = not PROC and found.pgid == group
        if grouped or marked.get(found.pid, {}).get(ATTEMPT) == mark:
            pending.append(found.pid)
    seen: Set[int] = set()
    while pending:
        pid = pending.pop()
        mine = marked.get(pid, {})
        foreign = RUNNER in mine or mine.get(ATTEMPT, mark) != mark
        if pid in seen or (foreign and pid != runner):
            continue
        seen.add(pid)
        pending += below.get(pid, [])
    return [table[pid] for pid in sorted(seen - {runner, os.getpid()}) if pid in table]


def send(target: Process, number: int) -> None:
    """Signal a process if it is still the one that was seen."""
    now = process(target.pid)
    if now is not None and now.started == target.started:
        with contextlib.suppress(OSError):  # gone, or another user's: the next scan tells
            os.kill(target.pid, number)


def sweep(
    find: Callable[[], List[Process]],
    grace: float,
    pause: Callable[[float], Any],
    group: Optional[int] = None,
) -> List[int]:
    """End all that `find` finds: TERM, `grace` seconds, then KILL until nothing is left.

    `pause` waits for some seconds and may say that a process ended meanwhile. `group` is the
    process group of the app, a child of the caller.

    Each process gets one TERM: many programs take a second one for impatience and skip their
    clean-up. For the same reason what is born during the grace time is not signalled, it may be
    that clean-up.

    Returns
    -------
    list of int
        The pids that survived `KILL_SECONDS` of being killed (another user's, or stuck in I/O).
    """
    for found in find():
        send(found, signal.SIGTERM)
        # To all, as systemd does: a SIGSTOP that is still under way does not show in the state
        # yet, and SIGCONT takes it back.
        send(found, signal.SIGCONT)
    end, delay = time.monotonic() + grace, 0.01
    left = find()
    while left and time.monotonic() < end:
        pause(min(delay, max(0.0, end - time.monotonic())))
        delay = min(delay * 1.5, 0.25)
        left = find()
    end, clean = time.monotonic() + KILL_SECONDS, 0
    # Twice clean, and no end of a child between: a process that forks while the table is read
    # can hide its child once.
    while clean < 2 and time.monotonic() < end:
        leader = process(group) if group is not None else None
        if group is not None and (leader is None or leader.ppid == os.getpid()):
            # One blow for all: a process that only ever forks and exits outruns any scan.
            with contextlib.suppress(OSError):
                os.killpg(group, signal.SIGKILL)
        for found in left:
            send(found, signal.SIGKILL)
        ended = pause(0.01)
        left = find()
        clean = 0 if left or ended else clean + 1
    return [found.pid for found in left]


def start_time(pid: int) -> Optional[int]:
    """When `pid` began, in clock ticks after boot (macOS: in seconds); None if it does not live."""
    found = process(pid)
    return None if found is None else found.started


def boot_id() -> str:
    """What tells this boot of this machine from all others."""
    if not PROC:
        command = ["sysctl", "-n", "kern.bootsessionuuid"]
        return subprocess.check_output(command).decode().strip()
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def pid_namespace() -> str:
    """What tells the pids that we see from those that another container sees."""
    return os.readlink("/proc/self/ns/pid") if PROC else ""


def machine() -> Json:
    """Where pids mean what they mean here: ``boot_id, pid_ns, hostname``."""
    return {"boot_id": boot_id(), "pid_ns": pid_namespace(), "hostname": socket.gethostname()}


def is_alive(runner: Json, here: Json) -> bool:
    """Whether the process that a ``runner.json`` speaks of is seen to live, `here`."""
    if any(runner[key] != here[key] for key in ("boot_id", "pid_ns")):
        return False
    return start_time(int(runner["pid"])) == int(runner["started"])
