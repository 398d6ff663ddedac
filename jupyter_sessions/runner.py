"""The supervisor that runs beside an app on its target, and the verbs that talk to it.

Standard library only, Python 3.6 or later, no import of the package: spawners copy this one file
to other machines and run it there with ``python -I -S runner.py VERB``. On this machine the
package imports it and calls the same verbs as functions (`VERBS`). ``runner.py supervise
DIRECTORY`` is the runner itself, in the foreground: what a batch job's script runs.

One directory per attempt of a session, mode 0700, is the whole interface. Files are written to a
temporary name, synced, and renamed, so that a reader sees all of one or nothing:

=================== ======== =====================================================================
file                by       content
=================== ======== =====================================================================
``launch.json``     prepare  what to run: ``version, session, attempt, argv, fields, env, cwd,
                             stop: {argv, grace}, log: {max_bytes, head}, timeout, nice`` (steps of
                             niceness that the app is given, 0 if missing), ``port, socket``
                             (where it listens whatever it is told, null or missing if it
                             listens where it is told to), ``reports_port`` (true if it picks
                             a port and tells it in its status file), ``secrets`` (values by
                             name: fields of ``env`` alone), ``gate`` (if nobody gets to the
                             app but through one: see ``gate.py``, whose files are here, too),
                             ``variables`` (of the environment, as they are), ``hooks: {after,
                             clean, timeout}`` (templates of command lines, and seconds that
                             each may take), ``tells_error`` (see ``exit.json``)
``lock``            runner   held (flock) for as long as the runner lives
``runner.json``     runner   ``pid, started`` (clock ticks), ``boot_id, pid_ns, hostname``, and
                             ``job``, the id of the batch job that it runs in, if
                             ``launch.json`` names the variable with it: ``job_variable``
``runner.py``       prepare  this file, for a job on a machine that sees nothing else of ours
``started.json``    runner   ``started`` (epoch), ``pid`` of the app, ``deadline`` (epoch or null),
                             ``temporary`` (a directory to remove at the end, or null)
``connection.json`` runner   the same and ``address``; written when the app listens, not before
``usage.json``      runner   what the app uses: ``cpu`` (processors busy), ``memory`` (bytes),
                             ``processes``, and ``samples``, the last `SAMPLES` of ``[epoch, cpu,
                             memory]``, oldest first; on Linux only, see `Meter`
``limit.json``      limit    ``timeout``: seconds after ``started``, replaces the launch's
``ready``           ready    empty: the app is in use now
``clean.done``      runner   empty: the clean hook has run
``stop``            stop     empty: the attempt has to end, or must not begin
``exit.json``       runner   ``exit_code, signal, reason, message, ended, left``; the last word.
                             With ``tells_error``, ``error``: the last line of its stderr
``status.json``     app      what the app tells of itself, see `read_told`; nobody has to write it
``told.json``       runner   what of it is in order; written when that changes
``secret.NAME``     runner   the value of the secret ``NAME``: the field ``{NAME_file}``
``log``, ``log.1``  runner   the app's output, and lines of the runner and of `note` that begin
                             with ``[jupyter-sessions]``; together ``log.max_bytes`` at most
``runner.log``      runner   the runner's own tracebacks; empty unless it has a bug
=================== ======== =====================================================================

Two orders make races harmless. The runner takes the lock and publishes ``runner.json``, *then*
looks for ``stop``; `stop` creates ``stop``, *then* looks for a runner. And an attempt has one
runner, ever: whoever finds the lock held, or ``runner.json`` or ``exit.json`` there, goes away.

**Templates.** Elements of ``argv`` and values of ``env`` are substituted once, in one pass:
``{name}`` becomes the field ``name``, ``{{`` and ``}}`` are braces; what a value contains is never
looked at again. An element that is exactly ``{name}`` becomes several if the value is a list, and
goes away if it is null (an environment variable is unset then). Inside a longer text null is
nothing, and a list is an error. The runner adds ``{session_dir}`` (the attempt's directory),
``{status_file}`` (where the app may tell of itself), ``{python}`` and, if the app's ``argv`` or
``env`` mentions them, one endpoint: ``{socket}`` (the path of a Unix socket to create), ``{fd}``
(an inherited, listening Unix socket) or ``{port}`` (a port of 127.0.0.1 to bind). A secret is a
field of ``env`` alone, as others can read command lines; ``{NAME_file}`` is one everywhere. Its
value is replaced by ``***`` in the log, in messages and in what the app tells of itself.

**What belongs to an attempt.** The descendants of the runner (which adopts orphans, on Linux),
and every process of the user with ``JUPYTER_SESSIONS_ATTEMPT=<session>.<attempt>`` in its
environment, with its descendants. A process with another attempt's marker begins another session
and is left alone with all below it. When the app itself ends, what it leaves behind is ended too:
an app that forks into the background and exits is not supported.

On macOS there is no ``/proc`` and no adoption of orphans: the process tree and the app's process
group are what is found there.
"""

import contextlib
import errno
import fcntl
import json
import os
import re
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
import traceback
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Set,
    Tuple,
    Union,
)
from urllib import parse

Json = Dict[str, Any]

ATTEMPT = "JUPYTER_SESSIONS_ATTEMPT"
"""In the environment of all that belongs to an attempt."""
RUNNER = "JUPYTER_SESSIONS_RUNNER"
"""In the environment of the attempt's runner, for `find`."""
STATUS_FILE = "SESSION_STATUS_FILE"
"""In the environment of the app: where it may tell of itself."""
SECRETS = re.compile(
    rb"(JUPYTERHUB_|JPY_|JUPYTER_SESSIONS_|JUPYTER_GATEWAY_|CONFIGPROXY_)"
    rb"|JUPYTER_(TOKEN|TOKEN_FILE|SERVER_URL|SERVER_ROOT)$"
)
"""Names of variables that are Jupyter's business and not an app's."""

TICK = 1.0  # seconds between looks at the directory
HOOK_SECONDS = 60.0  # how long a hook may take, if its launch does not say
KILL_SECONDS = 10.0  # how long to go on killing
START_SECONDS = 10.0  # how long a runner may take to say that it is there
FIRST_SAMPLE, SAMPLE = 1.5, 10.0  # seconds after the start, and between samples of what it uses
SAMPLES = 60  # samples that are kept: ten minutes
PORT_TRIES = 4  # the first port and three others
MAX_STATUS = 64 * 1024  # bytes of a status file
MAX_TEXT, MAX_TITLE, MAX_PATH, MAX_LINKS = 1000, 100, 2000, 20  # characters in it, and links
MAX_SOCKET_PATH = 100  # bytes; the kernels' limits are 108 and 104
GATE_FILES = ("gate.py", "gate.pem", "reach.crt")
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
PROC = os.path.isdir("/proc/self")


class RunnerError(Exception):
    """A verb could not be done. The message is a sentence for people."""


class StartError(Exception):
    """The app could not be started. The message becomes that of ``exit.json``."""


# -- Files ---------------------------------------------------------------------------------------


def read_json(path: str) -> Json:
    """The object in the file `path`. Raises OSError, or ValueError if it holds anything else."""
    with open(path, "rb") as file:
        data = json.loads(file.read().decode("utf-8"))
    if not isinstance(data, dict):
        raise ValueError("not a JSON object")
    return data


def write_json(path: str, data: Json, exclusive: bool = False, keep: bool = True) -> None:
    """Put `data` into the file `path`, mode 0600, all at once.

    Raises FileExistsError if `exclusive` and there is such a file already. Without `keep` it need
    not outlive a crash of the machine.
    """
    write_file(path, json.dumps(data, indent=1 if keep else None).encode(), exclusive, keep)


def write_file(path: str, data: bytes, exclusive: bool = False, keep: bool = True) -> None:
    """Put `data` into the file `path`: see `write_json`."""
    temporary = f"{path}.{os.urandom(6).hex()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            if keep:
                os.fsync(file.fileno())
        if exclusive:
            _link(temporary, path)
        else:
            os.rename(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _link(source: str, target: str) -> None:
    """Rename `source` unless `target` exists; plain rename() would replace it."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: the lock alone has to do
        if os.path.lexists(target):
            raise FileExistsError(target) from None
        os.rename(source, target)


class Lock:
    """The attempt's ``lock`` file. `held` is None where the file system has no locks."""

    def __init__(self, directory: str) -> None:
        self._fd = os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
        self.held = True  # type: Optional[bool]
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.held = False if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None

    def release(self) -> None:
        os.close(self._fd)


# -- Processes -----------------------------------------------------------------------------------


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
    below = {}  # type: Dict[int, List[int]]
    for found in table.values():
        below.setdefault(found.ppid, []).append(found.pid)
    marked = {pid: marks(pid) for pid in table if _own(pid)} if PROC else {}
    pending = [runner] if runner is not None else []
    for found in table.values():
        grouped = not PROC and found.pgid == group
        if grouped or marked.get(found.pid, {}).get(ATTEMPT) == mark:
            pending.append(found.pid)
    seen = set()  # type: Set[int]
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


# -- What is used --------------------------------------------------------------------------------


class Meter:
    """Samples what the processes below the runner use.

    A sample looks at these processes alone, by the kernel's lists of children, so that its cost
    does not grow with what else runs on the machine. What left the tree is not counted, and
    neither is another session that was started from within this one.

    Processors are the difference of the time that was used, that of ended children included,
    between two samples. Memory is what each process has resident less what it shares (files,
    libraries, shared memory): a sum that counts nothing twice, and that can be had without
    walking through page tables, as a proportional share cannot.
    """

    def __init__(self, directory: str) -> None:
        self._path = os.path.join(directory, "usage.json")
        self._samples = []  # type: List[Tuple[float, float, int]]
        self._then, self._used = time.monotonic(), 0
        self.due = self._then + FIRST_SAMPLE if PROC else float("inf")
        """When to take the next sample, by the monotonic clock."""

    def sample(self, mark: str) -> None:
        """Take a sample of what runs as the attempt `mark`, and write it down."""
        now = time.monotonic()
        self.due = now + SAMPLE
        with contextlib.suppress(OSError, ValueError, IndexError):  # no sample is no harm
            used, memory, count = _consumption(os.getpid(), mark)
            cpu = (used - self._used) / os.sysconf("SC_CLK_TCK") / max(now - self._then, 0.001)
            # Less than nothing: an ended child was not asked for by its parent. More than there
            # is: a child was adopted, with all that it had used before.
            cpu = round(min(max(cpu, 0.0), float(os.cpu_count() or 1)), 3)
            self._then, self._used = now, used
            self._samples = [*self._samples, (round(time.time(), 1), cpu, memory)][-SAMPLES:]
            told = {"cpu": cpu, "memory": memory, "processes": count, "samples": self._samples}
            write_json(self._path, told, keep=False)


def _consumption(runner: int, mark: str) -> Tuple[int, int, int]:
    """The clock ticks that all below `runner` have used, their bytes of memory, their number."""
    ticks, pages, count = sum(_times(runner)[2:]), 0, 0
    children = _children
    if not os.path.exists(f"/proc/{runner}/task/{runner}/children"):  # a kernel without them
        below = {}  # type: Dict[int, List[int]]
        for found in processes():
            below.setdefault(found.ppid, []).append(found.pid)

        def children(pid: int) -> List[int]:
            return below.get(pid, [])

    pending, seen = children(runner), {runner}
    while pending:
        pid = pending.pop()
        if pid in seen:
            continue
        seen.add(pid)
        with contextlib.suppress(OSError, ValueError, IndexError):  # it ended meanwhile
            mine = marks(pid)
            if RUNNER in mine or mine.get(ATTEMPT, mark) != mark:
                continue
            ticks += sum(_times(pid))
            pending += children(pid)
            with open(f"/proc/{pid}/statm", "rb") as file:
                _, resident, shared = file.read().split()[:3]
            if resident != b"0":  # a zombie has used its time, and uses nothing any more
                pages += max(0, int(resident) - int(shared))
                count += 1
    return ticks, pages * os.sysconf("SC_PAGE_SIZE"), count


def _times(pid: int) -> List[int]:
    """Clock ticks used by `pid`: by itself as user and system, by its ended children likewise."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        text = file.read()
    return [int(value) for value in text[text.rfind(b")") + 2 :].split()[11:15]]


def _children(pid: int) -> List[int]:
    """The children of `pid`, those of all its threads."""
    found = []  # type: List[int]
    for thread in os.listdir(f"/proc/{pid}/task"):
        path = f"/proc/{pid}/task/{thread}/children"
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:  # or it ended
            found += [int(child) for child in file.read().split()]
    return found


# -- Templates and environments ------------------------------------------------------------------

Value = Union[str, List[str], None]
_TEMPLATE = re.compile(r"\{\{|\}\}|\{(\w+)\}")


def names_in(template: str) -> Set[str]:
    """The fields that `template` mentions."""
    return {match.group(1) for match in _TEMPLATE.finditer(template)} - {None}


def expand(template: str, fields: Dict[str, Any]) -> Value:
    """`template` with its fields filled in, once. Raises StartError for a field there is not."""

    def look_up(name: str) -> Any:
        if name not in fields:
            raise StartError(f"{{{name}}} in {template!r} is not a field of this app.")
        return fields[name]

    def fill(match: Any) -> str:
        name = match.group(1)
        if name is None:
            return str(match.group()[0])
        value = look_up(name)
        if isinstance(value, (list, tuple, dict)):
            raise StartError(f"{{{name}}} is a list: it has to stand alone, not in {template!r}.")
        return "" if value is None else str(value)

    alone = re.match(r"\{(\w+)\}\Z", template)
    value = look_up(alone.group(1)) if alone else None
    if isinstance(value, (list, tuple)):
        return [str(item) for item in value]
    return None if alone and value is None else _TEMPLATE.sub(fill, template)


def expand_argv(templates: List[str], fields: Dict[str, Any]) -> List[bytes]:
    """The command line that `templates` make, ready for exec."""
    argv = []  # type: List[bytes]
    for template in templates:
        value = expand(template, fields)
        if value is not None:
            argv += [_bytes(item) for item in (value if isinstance(value, list) else [value])]
    if not argv:
        raise StartError("The command is empty.")
    return argv


def _bytes(text: str) -> bytes:
    # Python 3.6 in the C locale could not encode a command line that is not ASCII by itself.
    data = text.encode("utf-8", "surrogateescape")
    if b"\0" in data:
        raise StartError("A NUL character cannot be part of a command or of its environment.")
    return data


def clean_environment() -> Dict[bytes, bytes]:
    """The environment of this process without what is Jupyter's own."""
    return {key: value for key, value in os.environb.items() if not SECRETS.match(key)}


def app_environment() -> Dict[bytes, bytes]:
    """What every app gets: a clean environment, and last on PATH what is installed beside Python.

    A Jupyter that is run by its full path has no environment activated, and its programs are
    still the ones that its user means.
    """
    env = clean_environment()
    path, beside = env.get(b"PATH", os.defpath.encode()), _bytes(os.path.dirname(sys.executable))
    if beside not in path.split(b":"):
        env[b"PATH"] = path + b":" + beside
    return env


def base_fields(directory: str, launch: Json) -> Dict[str, Any]:
    """The fields of an attempt's templates; where its app listens is null in them."""
    fields = dict.fromkeys(("socket", "port", "fd"))  # type: Dict[str, Any]
    fields.update(launch.get("fields") or {})
    for name in launch.get("secrets") or {}:
        fields[name + "_file"] = os.path.join(directory, "secret." + name)
    fields.update(
        session_dir=directory,
        status_file=os.path.join(directory, "status.json"),
        python=sys.executable,
    )
    return fields


def attempt_environment(directory: str, launch: Json, fields: Json) -> Dict[bytes, bytes]:
    """What the app of an attempt and its hooks have for an environment.

    Raises
    ------
    StartError
        If the launch's own part of it cannot be made.
    """
    env = app_environment()
    env[STATUS_FILE.encode()] = _bytes(os.path.join(directory, "status.json"))
    env[b"SESSION_DIR"] = _bytes(directory)
    for key, value in (launch.get("variables") or {}).items():
        env[_bytes(key)] = _bytes(value)
    fields = dict(fields, **(launch.get("secrets") or {}))
    for key, template in (launch.get("env") or {}).items():
        value = expand(template, fields) if template is not None else None
        env.pop(_bytes(key), None)
        if isinstance(value, list):
            raise StartError(f"The environment variable {key} cannot be a list.")
        if value is not None:
            env[_bytes(key)] = _bytes(value)
    env.pop(RUNNER.encode(), None)
    env[ATTEMPT.encode()] = _bytes(_mark(launch))
    return env


# -- Endpoints -----------------------------------------------------------------------------------


def bind_unix(path: str) -> socket.socket:
    """A Unix socket bound to `path`; what was there before is removed. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(path)
        os.chmod(path, 0o600)
    except OSError:
        bound.close()
        raise
    return bound


def unix_listens(path: str) -> bool:
    """Whether somebody listens at the Unix socket `path`."""
    if not os.path.exists(path):
        return False
    with contextlib.suppress(OSError), open("/proc/net/unix", "rb") as file:
        for line in file:
            values = line.rstrip(b"\n").split(None, 7)
            if values[7:] == [os.fsencode(path)]:
                return values[3] == b"00010000"
    # Not on Linux, in another network namespace, or bound by another name. This does disturb some
    # apps: they take it for a client, and one may serve only one, or fall over when it goes.
    return connects(socket.AF_UNIX, path)


def _own_file(path: str) -> bool:
    """Whether `path` is ours. A fixed one may be where others can put theirs."""
    try:
        return os.stat(path).st_uid == os.geteuid()
    except OSError:
        return False


def connects(family: int, address: Any) -> bool:
    """Whether a connection to `address` is accepted."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(address)
        except BlockingIOError:  # its queue is full, so there is one
            return True
        except OSError:
            return False
        return True


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class TcpSocket(NamedTuple):
    host: str
    listens: bool
    uid: int
    inode: str


def tcp_sockets(port: int) -> List[TcpSocket]:
    """The sockets of this machine that some process has open, with the local port `port`."""
    found = []
    for family, name in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
        try:
            with open(f"/proc/net/{name}") as file:
                lines = file.readlines()[1:]
        except OSError:
            continue
        for line in lines:
            values = line.split()
            address, _, number = values[1].partition(":")
            if int(number, 16) != port or values[9] == "0":
                continue
            # Words of 32 bits, each printed as a number of this machine's byte order.
            words = [int(address[i : i + 8], 16) for i in range(0, len(address), 8)]
            host = socket.inet_ntop(family, struct.pack(f"={len(words)}I", *words))
            host = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - compared
            found.append(TcpSocket(host, values[3] == "0A", int(values[7]), values[9]))
    return found


def holds(pids: List[int], inode: str) -> bool:
    """Whether one of `pids` has the socket `inode` open, or does not let us see that."""
    for pid in pids:
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(FileNotFoundError):
                    if os.readlink(f"/proc/{pid}/fd/{fd}") == f"socket:[{inode}]":
                        return True
        except PermissionError:
            return True
        except OSError:
            continue
    return False


# -- What the app tells --------------------------------------------------------------------------


def below(path: str) -> str:
    """`path`, percent-encoded, as it can be appended to a session's URL.

    A slash at its beginning is left out.

    Raises
    ------
    ValueError
        If it could lead out of there; the message is the second half of a sentence.
    """
    if len(path) > MAX_PATH:
        raise ValueError(f"is longer than {MAX_PATH} characters")
    if "\\" in path or any(ord(c) < 32 or 127 <= ord(c) < 160 for c in path):
        raise ValueError("has a backslash or a control character")
    path = parse.quote(path, safe="%/:?#[]@!$&'()*+,;=-._~", errors="replace")
    plain = path.partition("?")[0].partition("#")[0]
    if "//" in plain:
        raise ValueError("has two slashes in a row")
    plain = plain[1:] if plain.startswith("/") else plain
    segments = [parse.unquote(segment) for segment in plain.split("/")]
    if re.match("[A-Za-z][A-Za-z0-9+.-]*:", segments[0]):
        raise ValueError("has a scheme: it is a path below the session's URL")
    # Some servers decode before they split: an encoded slash may hide two dots.
    if any(part in (".", "..") for segment in segments for part in re.split(r"[/\\]", segment)):
        raise ValueError("has . or .. in it")
    return path[1:] if path.startswith("/") else path


def _text(given: Any, most: int) -> str:
    if not isinstance(given, str):
        raise ValueError("is not text")
    value = " ".join("".join(c if c.isprintable() else " " for c in given).split())
    return value if len(value) <= most else value[: most - 1] + "\u2026"


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is not true or false")
    return value


def _port(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 65536:
        raise ValueError("is not a port from 1 to 65535")
    return value


def _path(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("is not text")
    return below(value)


def _links(value: Any) -> List[Json]:
    if not isinstance(value, list):
        raise ValueError("is not a list")
    if len(value) > MAX_LINKS:
        raise ValueError(f"has more than {MAX_LINKS} links")
    links = []
    for link in value:
        if not isinstance(link, dict) or "path" not in link:
            raise ValueError("has a link that is not an object with `title` and `path`")
        path = _path(link["path"])
        links.append({"title": _text(link.get("title") or path, MAX_TITLE), "path": path})
    return links


TOLD = {
    "message": lambda value: _text(value, MAX_TEXT),
    "ready": _flag,
    "failed": lambda value: _text(value, MAX_TEXT),
    "port": _port,
    "open_path": _path,
    "links": _links,
}  # type: Dict[str, Callable[[Any], Any]]
"""The keys of a status file, and what reads their values."""


def read_told(data: Json) -> Tuple[Json, List[str]]:
    """What of the content of a status file is in order, and sentences about what is not.

    Called by the runner for what the app wrote, and again by spawners for what `poll` answered:
    it comes from a machine where anybody may have had a hand in it.

    Parameters
    ----------
    data
        All keys are optional. ``message``: a sentence for people. ``ready``: false for as long as
        the app is not to be used. ``failed``: why it cannot go on. ``port``: where it listens.
        ``open_path``: where it is opened, below its URL. ``links``: ``[{title, path}]``, further
        places below its URL. Null is like absent.
    """
    told, problems = {}, []  # type: Json, List[str]
    for key, value in data.items():
        if key not in TOLD:
            problems.append(f"it has an unknown key {_text(str(key), 40)!r}")
        elif value is not None:
            try:
                told[key] = TOLD[key](value)
            except ValueError as error:
                problems.append(f"{key} {error}")
    return told, problems


class StatusFile:
    """What an app, or a script beside it, tells in ``status.json``.

    People write it with ``echo``: it may be seen half written, and then what was told before
    still counts. It is read only if it is a file of the user's own, and not by way of a link.

    Parameters
    ----------
    say
        Called with a sentence about what is wrong with it, once for each.
    """

    def __init__(self, directory: str, say: Callable[[str], None]) -> None:
        self.path = os.path.join(directory, "status.json")
        self.told = {}  # type: Json
        """What was in order when it was last read."""
        self._say = say
        self._seen = None  # type: Optional[Tuple[int, int, int]]
        self._fresh = False
        self._said = set()  # type: Set[str]

    def begin(self) -> None:
        """Forget what an app that was started before has told."""
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        self.told, self._seen = {}, None

    def look(self) -> None:
        """Read it again, if it may be another one than before."""
        try:
            # Not to wait for a writer if it is a pipe.
            fd = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            self.told, self._seen = {}, None
            return
        except OSError as error:
            self._complain(f"it cannot be read: {error.strerror}")
            return
        with os.fdopen(fd, "rb") as file:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
                self._complain("it is not a regular file of yours")
                return
            seen = (found.st_mtime_ns, found.st_ino, found.st_size)
            if seen == self._seen and not self._fresh:
                return
            # Two writes within a tick of the file system's clock look alike.
            self._fresh = abs(time.time() - found.st_mtime) < 2.0
            try:
                content = file.read(MAX_STATUS + 1)
            except OSError:
                return
        settled, self._seen = seen == self._seen, seen
        if len(content) > MAX_STATUS:
            self._complain(f"it is larger than {MAX_STATUS} bytes")
            return
        try:
            data = json.loads(content.decode("utf-8"))
            if not isinstance(data, dict):
                raise ValueError("not a JSON object")
        except (ValueError, RecursionError):
            if settled:  # and not just half written
                self._complain("it is not a JSON object")
            self._fresh = True
            return
        self.told, problems = read_told(data)
        for problem in problems:
            self._complain(problem)

    def _complain(self, problem: str) -> None:
        if problem not in self._said and len(self._said) < 20:
            self._said.add(problem)
            self._say(f"The status file is ignored in part: {problem}.")


# -- The runner ----------------------------------------------------------------------------------


class Mask:
    """Replaces the values of secrets by ``***`` in what people will read.

    In a stream, the beginning of a secret is held back until it shows whether it is one.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        values = {_bytes(secret) for secret in secrets if secret}
        self._secrets = sorted(values, key=len, reverse=True)
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What of the stream can be passed on after `data` has come."""
        if not self._secrets:
            return data
        data = self._replaced(self._held + data)
        held = max(_overlap(data, secret) for secret in self._secrets)
        cut = len(data) - held
        self._held = data[cut:]
        return data[:cut]

    def flush(self) -> bytes:
        """What was held back of a stream that is at its end."""
        held, self._held = self._held, b""
        return held

    def text(self, text: str) -> str:
        """`text` without secrets."""
        if not self._secrets:
            return text
        data = text.encode("utf-8", "surrogatepass")
        return self._replaced(data).decode("utf-8", "surrogatepass")

    def json(self, data: Any) -> Any:
        """`data` without secrets, in keys neither."""
        if isinstance(data, str):
            return self.text(data)
        if isinstance(data, list):
            return [self.json(value) for value in data]
        if isinstance(data, dict):
            return {self.json(key): self.json(value) for key, value in data.items()}
        return data

    def _replaced(self, data: bytes) -> bytes:
        for secret in self._secrets:
            data = data.replace(secret, b"***")
        return data


def _overlap(data: bytes, secret: bytes) -> int:
    """How many bytes at the end of `data` could be the beginning of `secret`."""
    most = min(len(data), len(secret) - 1)
    return next((n for n in range(most, 0, -1) if data.endswith(secret[:n])), 0)


class Log:
    """The app's log, capped: ``log`` and the older ``log.1`` take `max_bytes` at most.

    A disk that is full or gone must not stop the app: what cannot be written is dropped.
    """

    def __init__(self, directory: str, max_bytes: int, mask: Mask) -> None:
        self._mask = mask
        self._path = os.path.join(directory, "log")
        self._half = max(1, max_bytes // 2)
        self._fd = None  # type: Optional[int]

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        with contextlib.suppress(OSError):
            while view:
                if self._fd is None:
                    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
                    self._fd = os.open(self._path, flags, 0o600)
                room = self._half - os.fstat(self._fd).st_size  # `note` writes there too
                if room > 0:
                    view = view[os.write(self._fd, view[:room]) :]
                else:
                    os.close(self._fd)
                    self._fd = None
                    os.rename(self._path, self._path + ".1")

    def say(self, text: str) -> None:
        self.write(_own_line(self._mask.text(text)))


class Output:
    """A pipe that an app or a hook prints into, on its way to the log."""

    def __init__(self, log: Log, mask: Mask) -> None:
        self.source, self.sink = os.pipe()
        os.set_blocking(self.source, False)
        self._log, self._mask = log, mask
        self._tail = b""

    def drain(self) -> None:
        """Take what is there, or a good part of it."""
        with contextlib.suppress(BlockingIOError):
            for _ in range(64):  # then look at the rest of the world
                self._pass_on(self._mask.feed(os.read(self.source, 65536)))

    def end(self) -> None:
        """Write what was held back, as nothing more comes."""
        self.drain()
        self._pass_on(self._mask.flush())

    def close(self) -> None:
        os.close(self.source)
        os.close(self.sink)

    def last_line(self) -> str:
        """The last line in it that is not empty."""
        lines = self._tail.decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def _pass_on(self, data: bytes) -> None:
        self._log.write(data)
        self._tail = (self._tail + data)[-4096:]


def _own_line(text: str) -> bytes:
    return f"[jupyter-sessions] {text}\n".encode("utf-8", "replace")


class Supervisor:
    """Starts the app of one attempt, waits for what comes, and ends it. Lives in the runner only.

    One thread, one loop: every wait goes through `_turn`, which drains the app's output, so that
    the app never blocks on a full pipe, not even while it is being stopped.
    """

    def __init__(self, directory: str, launch: Json) -> None:
        self._directory = directory
        self._launch = launch
        self._mark = _mark(launch)
        self._secrets = launch.get("secrets") or {}  # type: Dict[str, str]
        self.mask = Mask(self._secrets.values())
        max_bytes = int((launch.get("log") or {}).get("max_bytes") or 10485760)
        self._log = Log(directory, max_bytes, self.mask)
        self._stop_argv = (launch.get("stop") or {}).get("argv")
        self._grace = float((launch.get("stop") or {}).get("grace") or 0)
        self._env = launch.get("env") or {}  # type: Dict[str, Optional[str]]
        self._nice = int(launch.get("nice") or 0)
        self._meter = Meter(directory)
        self._status = StatusFile(directory, self._log.say)
        self._passed_on = {}  # type: Json
        self._started = time.time()
        self._timeout = launch.get("timeout")  # type: Optional[float]
        self._limit_seen = None  # type: Optional[Tuple[int, int]]
        self._missing = 0  # looks in a row at a directory that is not there
        self._asked = False
        hooks = launch.get("hooks") or {}
        self._after_argv = hooks.get("after")  # type: Optional[List[str]]
        self._clean_argv = hooks.get("clean")  # type: Optional[List[str]]
        self._hook_seconds = float(hooks.get("timeout") or HOOK_SECONDS)
        self._after = None  # type: Optional[Tuple[Optional[int], float]]
        self._fields = base_fields(directory, launch)
        self._socket = None  # type: Optional[str]
        self._port = None  # type: Optional[int]
        self._temporary = None  # type: Optional[str]
        self._address = None  # type: Optional[Json]
        self._ready = False
        self._behind = None  # type: Optional[Json]
        self._gate = None  # type: Optional[int]
        self._gate_life = None  # type: Optional[int]
        self._gate_trouble = ""
        self._announced = None  # type: Optional[Tuple[Any, ...]]
        self._app = None  # type: Optional[int]
        self._statuses = {}  # type: Dict[int, Optional[int]]
        self._output = Output(self._log, Mask(self._secrets.values()))
        self._errors = self._output
        if launch.get("tells_error"):
            self._errors = Output(self._log, Mask(self._secrets.values()))
        self._wake, wake = os.pipe()
        for fd in (self._wake, wake):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wake)
        for number in SIGNALS:
            # SIGHUP too gets a handler, not SIG_IGN, which the app would inherit.
            signal.signal(number, self._on_signal)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])

    def _on_signal(self, number: int, _: Any) -> None:
        self._asked = self._asked or number in (signal.SIGTERM, signal.SIGINT)

    def run(self) -> Json:
        """Run the app to its end, whatever that is. Returns the content of ``exit.json``."""
        reason, message = "start_failed", ""
        head = str((self._launch.get("log") or {}).get("head") or "")
        self._log.write(self.mask.text(head).encode("utf-8", "replace"))
        for _ in range(PORT_TRIES):
            message = "Another process took the app's port, again and again. Start it once more."
            try:
                self._start_app()
                reason = self._watch()
                reason, message = self._failure(reason, message)
            except StartError as error:
                reason, message = "start_failed", str(error)
            if reason in ("stopped", "timeout"):
                self._log.say("Stopping." if reason == "stopped" else "Stopping: its time is up.")
                self._run_stop_hook()
            left = self._sweep(2.0 if reason == "port_taken" else self._grace)
            early = reason == "exited" and not self._ready
            taken = early and self._port is not None and tcp_sockets(self._port)
            if not taken and reason != "port_taken":
                break
            self._log.say(f"Another process took port {self._port}.")
            reason = "start_failed"
            if self._launch.get("port"):
                message = f"Another process has port {self._port}, and the app knows no other."
                break
        left = self.run_clean_hook() or left
        status = self._statuses.get(self._app) if self._app is not None else None
        outcome = end(reason, self.mask.text(message), status, left)
        for output in {self._output, self._errors}:
            output.end()
        if self._errors is not self._output:
            outcome["error"] = self._errors.last_line()
        self._log.say(outcome["message"])
        return outcome

    def never_run(self) -> Json:
        """Do what follows the end of an app that was stopped before it began."""
        return end("stopped", "", None, self.run_clean_hook())

    def give_up(self) -> List[int]:
        """End everything after an error of the runner's own. Returns the pids that remain."""
        left = self._sweep(self._grace)
        with contextlib.suppress(Exception):
            left = self.run_clean_hook() or left
        return left

    def clean_up(self) -> None:
        """Remove the endpoint. Called when nothing runs any more."""
        remove_endpoint(self._directory, self._temporary)

    def _failure(self, reason: str, message: str) -> Tuple[str, str]:
        """Why the app ended, if it said so itself; perhaps with its last breath."""
        if reason == "exited":
            self._status.look()
        failed = self._status.told.get("failed")
        if failed and reason in ("exited", "app_failed"):
            return "app_failed", str(failed)
        return reason, message

    def _start_app(self) -> None:
        launch = self._launch
        self._status.begin()
        self._pass_on()
        if self._timeout is not None and not isinstance(self._timeout, (int, float)):
            raise StartError("The time limit is not a number of seconds.")
        used = set()  # type: Set[str]
        for template in launch["argv"] + [v for v in self._env.values() if v is not None]:
            used |= names_in(template)
        fields = base_fields(self._directory, launch)
        for name, value in self._secrets.items():
            self._write_secret(fields[name + "_file"], value)
        listener = self._make_endpoint(used, fields)
        self._fields = fields
        try:
            argv = expand_argv(launch["argv"], fields)
            pass_fds = (listener.fileno(),) if listener else ()
            self._app, self._address, self._ready = None, None, False
            self._behind = self._gate = None
            self._app = self._spawn(argv, pass_fds, self._nice)
        finally:
            if listener:
                # The app's alone, so that nobody connects to a queue that nobody serves.
                listener.close()
        self._log.say(f"Started {os.fsdecode(argv[0])}, process {self._app}.")
        self._announce()

    def _write_secret(self, path: str, value: str) -> None:
        """Make a file with a secret, and nothing else in it."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(_bytes(value))
        except OSError as error:
            raise StartError(f"A secret cannot be written: {error.strerror}.") from error

    def _make_endpoint(self, used: Set[str], fields: Dict[str, Any]) -> Optional[socket.socket]:
        """Add what the app needs of `used` to `fields`; return the socket that it inherits."""
        fixed_port, fixed_socket = self._launch.get("port"), self._launch.get("socket")
        if self._launch.get("reports_port"):
            self._port = None
            return None
        if fixed_port or "port" in used:
            fields["port"] = self._port = int(fixed_port) if fixed_port else free_port()
        if fixed_socket:
            fields["socket"] = self._socket = str(fixed_socket)
            return None
        if not used & {"socket", "fd"}:
            return None
        try:
            path, bound = self._bind_somewhere()
        except OSError as error:
            raise StartError(f"No Unix socket can be made: {error.strerror}.") from error
        fields["socket"] = self._socket = path
        if "fd" in used:
            bound.listen(128)
            fields["fd"] = bound.fileno()
            return bound
        bound.close()
        os.unlink(path)
        return None

    def _bind_somewhere(self) -> Tuple[str, socket.socket]:
        path = os.path.join(self._directory, "socket")
        if self._temporary is None and len(os.fsencode(path)) <= MAX_SOCKET_PATH:
            with contextlib.suppress(OSError):  # a file system without sockets
                return path, bind_unix(path)
        # Not first in XDG_RUNTIME_DIR: it goes away when the user logs out.
        for parent in ("/tmp", os.environ.get("XDG_RUNTIME_DIR")):  # noqa: S108 - mkdir, 0700
            if self._temporary is None and parent:
                place = os.path.join(parent, TEMPORARY + os.urandom(8).hex())
                with contextlib.suppress(OSError):
                    os.mkdir(place, 0o700)
                    self._temporary = place
        path = os.path.join(self._temporary or self._directory, "socket")
        return path, bind_unix(path)

    def _spawn(self, argv: List[bytes], pass_fds: Tuple[int, ...] = (), nice: int = 0) -> int:
        env = attempt_environment(self._directory, self._launch, self._fields)
        cwd = self._launch.get("cwd") or os.path.expanduser("~")
        if not os.path.isdir(_bytes(cwd)):
            raise StartError(f"The working directory {cwd} does not exist.")
        try:
            child = subprocess.Popen(
                argv,
                cwd=_bytes(cwd),
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=self._output.sink,
                stderr=self._errors.sink,
                pass_fds=pass_fds,
                start_new_session=True,
                # In the child, before the app begins; safe, as the runner has one thread.
                preexec_fn=(lambda: os.nice(nice)) if nice else None,
            )
        except OSError as error:
            program, why = os.fsdecode(argv[0]), error.strerror
            if isinstance(error, FileNotFoundError) and not os.path.exists(argv[0]):
                raise StartError(f"There is no program {program} here.") from None
            raise StartError(f"{program} could not be run: {why}.") from error
        self._statuses[child.pid] = None
        child.returncode = 0  # `_reap` waits for all children; Popen must not try to
        return child.pid

    def _watch(self) -> str:
        """Wait for the app's end or for a reason to end it; say which."""
        tick = probe = 0.0
        delay = 0.01
        while True:
            now = time.monotonic()
            if now >= tick:
                self._look()
                tick = now + TICK
            if now >= self._meter.due:
                self._meter.sample(self._mark)
            if self._asked:
                return "stopped"
            if self._status.told.get("failed"):
                return "app_failed"
            if self._app is None or self._statuses[self._app] is not None:
                return "exited"
            deadline = self._deadline()
            if deadline is not None and time.time() >= deadline:
                return "timeout"
            if not self._ready and now >= probe:
                if not self._probe():
                    return "port_taken"
                # Soon at first, so that a fast app shows fast; rarely for one that takes minutes.
                delay = min(delay * 1.3, 0.5)
                probe = time.monotonic() + delay
            wait = min(tick, self._meter.due)
            wait = wait if self._ready else min(wait, probe)
            wait -= time.monotonic()
            if deadline is not None:
                wait = min(wait, deadline - time.time())
            self._turn(max(0.0, wait))

    def _look(self) -> None:
        """Look for what the verbs wrote into the directory."""
        try:
            # Listing it, unlike asking for one name, makes an NFS client ask its server.
            names = os.listdir(self._directory)
        except FileNotFoundError:
            self._missing += 1
            # Somebody removed it: nobody could find, reach or stop this app again.
            self._asked = self._asked or self._missing >= 10
            return
        except OSError:
            return
        self._missing = 0
        self._asked = self._asked or "stop" in names
        if "ready" in names and self._after_argv:
            self._look_after(self._after_argv)
        if "limit.json" in names:
            path = os.path.join(self._directory, "limit.json")
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                found = os.stat(path)
                seen = (found.st_mtime_ns, found.st_ino)
                if seen != self._limit_seen:
                    timeout = read_json(path)["timeout"]
                    self._timeout = None if timeout is None else float(timeout)
                    self._limit_seen = seen
        self._status.look()
        self._pass_on()
        if self._behind is not None:
            self._tend_gate()
        self._announce()

    def _deadline(self) -> Optional[float]:
        return None if self._timeout is None else self._started + self._timeout

    def _announce(self) -> None:
        """Write what is new about the app into the directory."""
        news = (self._app, self._ready, self._deadline(), self._address)
        if news == self._announced:
            return
        facts = {
            "started": self._started,
            "pid": self._app,
            "deadline": self._deadline(),
            "temporary": self._temporary,
        }  # type: Json
        with contextlib.suppress(OSError):  # a full disk: the next look tries again
            write_json(os.path.join(self._directory, "started.json"), facts)
            if self._ready:
                facts["address"] = self._address
                write_json(os.path.join(self._directory, "connection.json"), facts)
            self._announced = news

    def _pass_on(self) -> None:
        """Write down what the app tells, if that is new."""
        told = self.mask.json(self._status.told)  # type: Json
        if told != self._passed_on:
            with contextlib.suppress(OSError):  # a full disk: the next look tries again
                write_json(os.path.join(self._directory, "told.json"), told, keep=False)
                self._passed_on = told

    def _held(self) -> bool:
        """Whether the app says that it is not ready, whatever listens."""
        return self._status.told.get("ready") is False

    def _probe(self) -> bool:
        """See whether the app listens (`_ready`). False if somebody else does in its place."""
        if self._held():
            return True  # the next look may tell otherwise
        if not self._find_listener():
            return False
        if self._ready:
            # It may have said a moment ago that it is not, and only then begun to listen.
            self._status.look()
            self._pass_on()
            self._ready = not self._held()
        if self._ready and self._address is not None and self._launch.get("gate"):
            # Nobody gets there but through the gate: it has to be open, too.
            self._behind, self._ready = self._address, False
            self._tend_gate()
        if self._ready:
            self._log.say("The app listens." if self._address else "The app runs.")
            self._announce()
        return True

    def _tend_gate(self) -> None:
        """See to it that there is a gate before the app, whose address is what is announced."""
        if self._gate is None:
            self._gate = self._spawn_gate()
            return
        told = {}  # type: Json
        with contextlib.suppress(OSError, ValueError):
            told = read_json(os.path.join(self._directory, "gate.json"))
        told = told if told.get("pid") == self._gate else {}
        trouble = str(told.get("error") or "")
        if "port" in told:
            self._address = {"scheme": "gate", "host": told["host"], "port": told["port"]}
            self._ready = True
        if self._statuses[self._gate] is None:
            return
        if trouble and not self._ready:
            raise StartError(f"The way to the app cannot be opened. {trouble}")
        if trouble != self._gate_trouble or not trouble:
            self._log.say(f"The gate has ended, another one is started. {trouble}".strip())
        self._gate_trouble = trouble
        self._gate = self._spawn_gate()

    def _spawn_gate(self) -> int:
        """Start the gate; it ends with us, as it reads a pipe that only we can write to."""
        if self._gate_life is not None:
            os.close(self._gate_life)
        life, self._gate_life = os.pipe()
        env = clean_environment()
        env[ATTEMPT.encode()] = _bytes(self._mark)
        program = os.path.join(self._directory, "gate.py")
        app = json.dumps(self._behind)
        try:
            child = subprocess.Popen(
                [sys.executable, "-I", "-S", program, "serve", self._directory, app],
                cwd="/",
                env=env,
                stdin=life,
                stdout=self._output.sink,
                stderr=self._output.sink,
                start_new_session=True,
            )
        finally:
            os.close(life)
        self._statuses[child.pid] = None
        child.returncode = 0  # as for the app
        return child.pid

    def _find_listener(self) -> bool:
        if self._launch.get("reports_port"):
            self._port = self._status.told.get("port")
            self._fields["port"] = self._port
            if self._port is None:
                return True
        if self._socket is not None:
            self._address = {"scheme": "unix", "path": self._socket}
            self._ready = unix_listens(self._socket) and _own_file(self._socket)
        elif self._port is not None:
            host = "127.0.0.1"
            if PROC:
                listening = [found for found in tcp_sockets(self._port) if found.listens]
                own = [found for found in listening if found.uid == os.geteuid()]
                pids = [found.pid for found in self._members()] if own else []
                hosts = [found.host for found in own if holds(pids, found.inode)]
                if listening and not hosts:
                    return False
                self._ready = bool(hosts)
                if hosts and host not in hosts:  # some bind "localhost" to ::1 only
                    host = hosts[0]
            else:
                self._ready = connects(socket.AF_INET, (host, self._port))
            self._address = {"scheme": "tcp", "host": host, "port": self._port}
        else:
            self._ready = True
        return True

    def _turn(self, timeout: float) -> bool:
        """Wait for output, a signal or the end of a child; then take what is there.

        Returns whether a child ended.
        """
        sources = {self._output.source, self._errors.source, self._wake}
        select.select(sources, [], [], timeout)
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake, 4096)
        self._drain()
        return self._reap()

    def _drain(self) -> None:
        for output in {self._output, self._errors}:
            output.drain()

    def _reap(self) -> bool:
        """Take leave of children that ended, the adopted ones too; say whether there were any."""
        reaped = False
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                reaped = True
                if pid in self._statuses:
                    self._statuses[pid] = status
        return reaped

    def _members(self) -> List[Process]:
        return members(self._mark, os.getpid(), self._app)

    def _pause(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self._turn(max(0.0, end - time.monotonic())):
                return True
        return False

    def _sweep(self, grace: float) -> List[int]:
        left = sweep(self._members, grace, self._pause, self._app)
        self._turn(0)
        return left

    def _run_stop_hook(self) -> None:
        if not self._stop_argv or self._app is None or self._statuses[self._app] is not None:
            return
        self._run_hook("stop command", self._stop_argv, self._grace)

    def _look_after(self, argv: List[str]) -> None:
        """Begin the after hook, once; or see how it does. Its end is told, and decides nothing."""
        if self._after is None:
            pid = self._begin_hook("after hook", argv)
            self._after = (pid, time.monotonic() + self._hook_seconds)
        pid, deadline = self._after
        is_late = time.monotonic() >= deadline
        if pid is not None and (is_late or self._statuses[pid] is not None):
            self._end_hook("after hook", pid, self._hook_seconds)
            self._after = (None, deadline)

    def run_clean_hook(self) -> List[int]:
        """Run the clean hook, if it has not run. Returns the pids that it left for ever."""
        if not self._clean_argv or _was_cleaned(self._directory):
            return []
        self._run_hook("clean hook", self._clean_argv, self._hook_seconds)
        left = self._sweep(0.0)
        _set_cleaned(self._directory)
        return left

    def _run_hook(self, name: str, argv: List[str], seconds: float) -> None:
        pid = self._begin_hook(name, argv)
        end = time.monotonic() + seconds
        while pid is not None and self._statuses[pid] is None and time.monotonic() < end:
            self._turn(max(0.0, end - time.monotonic()))
        if pid is not None:
            self._end_hook(name, pid, seconds)

    def _begin_hook(self, name: str, argv: List[str]) -> Optional[int]:
        try:
            return self._spawn(expand_argv(argv, self._fields))
        except StartError as error:
            self._log.say(f"The {name} failed: {error}")
            return None

    def _end_hook(self, name: str, pid: int, seconds: float) -> None:
        status = self._statuses[pid]
        if status is None:
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
        if status != 0:
            self._drain()
            self._log.say(_hook_failure(name, status, seconds))


def _hook_failure(name: str, status: Optional[int], seconds: float) -> str:
    """What is said of a hook that has not ended well; `status` is None if it has not ended."""
    if status is None:
        return f"The {name} took longer than {seconds:g} s."
    if os.WIFEXITED(status):
        return f"The {name} failed with code {os.WEXITSTATUS(status)}."
    return f"The {name} was killed by signal {os.WTERMSIG(status)}."


def _was_cleaned(directory: str) -> bool:
    return os.path.lexists(os.path.join(directory, "clean.done"))


def _set_cleaned(directory: str) -> None:
    with contextlib.suppress(OSError):
        _touch(os.path.join(directory, "clean.done"))


def _touch(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))


def _clean_without_runner(directory: str, launch: Json) -> None:
    """Run the clean hook from here: its runner is gone, and everything below it."""
    hooks = launch.get("hooks") or {}
    if not hooks.get("clean") or _was_cleaned(directory):
        return
    secrets = launch.get("secrets") or {}
    max_bytes = int((launch.get("log") or {}).get("max_bytes") or 10485760)
    log = Log(directory, max_bytes, Mask(secrets.values()))
    output = Output(log, Mask(secrets.values()))
    seconds = float(hooks.get("timeout") or HOOK_SECONDS)
    try:
        fields = base_fields(directory, launch)
        child = subprocess.Popen(
            expand_argv(hooks["clean"], fields),
            cwd=_bytes(launch.get("cwd") or os.path.expanduser("~")),
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
            log.say(_hook_failure("clean hook", raw, seconds))
    finally:
        output.close()
    _set_cleaned(directory)


TEMPORARY = "jupyter-sessions-"


def remove_endpoint(directory: str, temporary: Optional[str]) -> None:
    """Remove an ended app's socket, and the directory that was made for it elsewhere."""
    with contextlib.suppress(OSError):
        os.unlink(os.path.join(directory, "socket"))
    if temporary and os.path.basename(temporary).startswith(TEMPORARY):
        with contextlib.suppress(OSError):
            for name in os.listdir(temporary):
                os.unlink(os.path.join(temporary, name))
            os.rmdir(temporary)


def _mark(launch: Json) -> str:
    return "{}.{}".format(launch["session"], launch["attempt"])


def end(reason: str, message: str, status: Optional[int], left: List[int]) -> Json:
    """The content of an ``exit.json``. `status` is the app's, as wait() gave it."""
    code = number = None  # type: Optional[int]
    if status is not None and os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
    elif status is not None:
        code = os.WEXITSTATUS(status)
    if reason == "exited" and number is not None:
        names = {int(known): known.name for known in signal.Signals}
        message = f"The app was killed by signal {number} ({names.get(number, 'real-time')})."
    elif reason == "exited":
        message = f"The app ended with code {code}."
    elif reason in ("stopped", "timeout"):
        message = "Stopped." if reason == "stopped" else "Stopped: its time was up."
    if left:
        message += " These processes could not be ended: {}.".format(", ".join(map(str, left)))
    return {
        "exit_code": code,
        "signal": number,
        "reason": reason,
        "message": message,
        "ended": time.time(),
        "left": left,
    }


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


# -- Verbs ---------------------------------------------------------------------------------------


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
    directory, mark = prepare(payload)["directory"], _mark(payload)
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

    Called by spawners whose own jobs run ``runner.py supervise DIRECTORY``.

    Parameters
    ----------
    payload
        What goes into ``launch.json`` (see there), ``directory``: absolute; made if need be,
        ``make``: other directories to make, mode 0700, or nothing, and ``copy``: whether to put
        this file there, as ``runner.py``, for a machine that sees nothing else of ours. In
        ``gate`` (see ``gate.py``), ``files`` are those of the gate by name; an earlier call's
        count.

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
    copy, mark = launch.pop("copy", False), _mark(launch)
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
        with open(os.path.abspath(__file__), "rb") as file:
            write_file(os.path.join(directory, "runner.py"), file.read())
    return {"directory": directory}


def make_directory(directory: str) -> None:
    """Make `directory` with mode 0700, unless it is there. Raises RunnerError if it is not ours."""
    with contextlib.suppress(FileExistsError):
        os.makedirs(directory, 0o700)
    found = os.lstat(directory)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise RunnerError(f"{directory} is not a directory of yours.")
    if found.st_mode & 0o077:
        os.chmod(directory, 0o700)


def _spawn_runner(directory: str, mark: str) -> None:
    env = clean_environment()
    env[RUNNER.encode()] = mark.encode()
    command = [sys.executable, "-I", "-S", os.path.abspath(__file__)]
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


def poll(payload: Json) -> Json:
    """How attempts are. Reads small files only; called every few seconds for all sessions.

    Parameters
    ----------
    payload
        ``directories``: a list of paths.

    Returns
    -------
    dict
        ``statuses``: for each directory a dict with ``status`` (*absent*: there is no runner yet;
        *starting*: the app does not listen yet; *alive*; *ended*; *unknown*: whether it lives
        cannot be seen from here, but what it wrote is told), ``address, started, deadline, pid,
        hostname, message``, ``told`` (what the app tells of itself, see `read_told`), ``ran``
        (whether a runner ever began), ``asked`` (whether it was asked to stop), ``job`` (see
        ``runner.json``) and ``exit``, the content of ``exit.json``, made up if nobody was left to
        write one (``reason`` is ``runner_lost`` or ``host_restarted``).
    """
    here = machine()
    return {"statuses": {path: _status(path, here) for path in payload["directories"]}}


def _status(directory: str, here: Json) -> Json:
    keys = "address started deadline pid exit hostname message told ran asked job"
    status = dict.fromkeys(keys.split())  # type: Json
    try:
        status["status"] = _fill_status(status, directory, here)
    except FileNotFoundError:
        status.update(status="absent", message="It was not started, or its files are gone.")
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"{type(error).__name__}: {error}"
        status.update(status="unknown", message=f"{directory} cannot be read: {what}.")
    return status


def _fill_status(status: Json, directory: str, here: Json) -> str:
    names = set(os.listdir(directory))  # see `Supervisor._look` about NFS

    def read(name: str) -> Json:
        return read_json(os.path.join(directory, name))

    facts = {}  # type: Json
    for name in ("connection.json", "started.json"):
        if name in names:
            facts = read(name)
            status.update((key, facts[key]) for key in ("started", "deadline", "pid"))
            break
    status["told"] = read("told.json") if "told.json" in names else {}
    if not names & {"runner.json", "exit.json"}:
        raise FileNotFoundError(directory)
    runner = read("runner.json") if "runner.json" in names else dict(here, pid=0, started=0)
    status["hostname"] = str(runner["hostname"])
    status.update(ran="runner.json" in names, asked="stop" in names, job=runner.get("job"))
    if is_alive(runner, here):
        if "exit.json" in names:
            return "alive"  # it has said all, and is gone a moment later
        status["address"] = facts.get("address")
        return "alive" if "address" in facts else "starting"
    # Once more from the disk: the runner may have written it since the directory was listed.
    with contextlib.suppress(FileNotFoundError):
        status["exit"] = read("exit.json")
        status["message"] = str(status["exit"]["message"])
        return "ended"
    if runner["hostname"] != here["hostname"]:
        status["address"] = facts.get("address")  # whoever shares its files can tell so much
        status["message"] = "It was started on {hostname} and cannot be seen from here.".format(
            **runner
        )
        return "unknown"
    reason, message = "runner_lost", "Its supervisor was killed, and with it perhaps the app."
    if any(runner[key] != here[key] for key in ("boot_id", "pid_ns")):
        if _locked(directory):
            status["address"] = facts.get("address")
            status["message"] = "It runs in another container or machine with this one's name."
            return "unknown"
        reason, message = "host_restarted", "Its host or container was restarted."
    status["exit"] = end(reason, message, None, [])
    status["message"] = message
    return "ended"


def usage(payload: Json) -> Json:
    """What attempts use, as their runners sampled it last. Reads one small file for each.

    Called by spawners for as long as somebody looks at a plot.

    Parameters
    ----------
    payload
        ``directories``: a list of paths.

    Returns
    -------
    dict
        ``usages``: for each directory the content of its ``usage.json``; left out if there is
        none that can be read.
    """
    usages = {}  # type: Json
    for directory in payload["directories"]:
        with contextlib.suppress(OSError, ValueError):
            usages[directory] = read_json(os.path.join(str(directory), "usage.json"))
    return {"usages": usages}


def _locked(directory: str) -> bool:
    """Whether a runner somewhere holds the lock. Ask only if there is a ``runner.json``.

    Before that, our own short hold could be what sends the attempt's only runner away.
    """
    lock = Lock(directory)
    lock.release()
    return lock.held is False


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
        _touch(os.path.join(directory, "stop"))
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
    return _status(directory, machine())


def _living_runner(directory: str) -> Optional[Process]:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        runner = read_json(os.path.join(directory, "runner.json"))
        if is_alive(runner, machine()):
            return process(int(runner["pid"]))
    return None


def _end_without_runner(directory: str) -> None:
    """Do what a runner would have done, if there is none and none can come any more."""
    here = machine()
    status = _status(directory, here)
    if status["hostname"] not in (None, here["hostname"]):
        return  # its lock may not reach this machine
    lock = Lock(directory)
    try:
        exit_file = os.path.join(directory, "exit.json")
        if lock.held is False or os.path.lexists(exit_file):
            return  # there is a runner after all: it will see the stop file
        left = []  # type: List[int]
        with contextlib.suppress(FileNotFoundError):
            launch = read_json(os.path.join(directory, "launch.json"))
            mark, grace = _mark(launch), float((launch.get("stop") or {}).get("grace") or 0)
            left = sweep(lambda: members(mark, None), grace, time.sleep)
            _clean_without_runner(directory, launch)
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
            if marks(found.pid).get(variable) == _mark(payload):
                identity = dict(machine(), pid=found.pid, started=found.started)
                return {"handle": dict(identity, directory=directory)}
    return {"handle": None}


def note(payload: Json) -> Json:
    """Add a line to the log of an attempt, as it is.

    Called by spawners for what people and scripts should read there: the URL of the app.

    Parameters
    ----------
    payload
        ``directory`` and ``line``.

    Raises
    ------
    OSError
        If the directory is missing or cannot be written.
    """
    path = os.path.join(str(payload["directory"]), "log")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(fd, "wb", 0) as log:
        log.write(str(payload["line"]).encode("utf-8", "replace") + b"\n")
    return {}


def ready(payload: Json) -> Json:
    """Tell the runner of an attempt that its app is in use now: the after hook runs, once.

    Called by spawners when the manager has seen that the app answers. Harmless twice.

    Parameters
    ----------
    payload
        ``directory``.

    Raises
    ------
    OSError
        If the directory is missing or cannot be written.
    """
    _touch(os.path.join(str(payload["directory"]), "ready"))
    return {}


def limit(payload: Json) -> Json:
    """Change the time limit of an attempt; its runner sees it within a second or two.

    Parameters
    ----------
    payload
        ``directory`` and ``timeout``: seconds after the start, or None for no limit.

    Raises
    ------
    RunnerError
        If `timeout` is neither.
    OSError
        If the directory is missing or cannot be written.
    """
    timeout = payload["timeout"]
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, (int, float))):
        raise RunnerError("The time limit has to be a number of seconds, or null.")
    write_json(os.path.join(str(payload["directory"]), "limit.json"), {"timeout": timeout})
    return {"timeout": timeout}


def dial(payload: Json) -> Json:
    """Say where the gate of an attempt is to dial, or that it need not any more. Harmless twice.

    Called by servers that cannot dial the gate, when they open the way to it and close it.

    Parameters
    ----------
    payload
        ``directory``; ``name``, the server's; and ``addresses``: a list of host and port, or None.

    Raises
    ------
    RunnerError
        If `name` is not fit for one.
    OSError
        If the directory is missing or cannot be written.
    """
    if not re.match(r"[\w-]{1,64}\Z", str(payload["name"])):
        raise RunnerError("{!r} is not fit for the name of a server.".format(payload["name"]))
    path = os.path.join(str(payload["directory"]), "dial-{}.json".format(payload["name"]))
    if payload["addresses"] is None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    else:
        write_json(path, {"addresses": payload["addresses"]})
    return {}


VERBS = {
    "start": start,
    "prepare": prepare,
    "poll": poll,
    "usage": usage,
    "stop": stop,
    "find": find,
    "ready": ready,
    "limit": limit,
    "note": note,
    "dial": dial,
}  # type: Dict[str, Callable[[Json], Json]]


def main(argv: List[str]) -> int:
    """``runner.py VERB`` with the payload on stdin, or ``runner.py supervise DIRECTORY``."""
    if argv[:1] == ["supervise"] and len(argv) > 1:
        if RUNNER not in os.environ:  # a batch script's, with who knows whose marker in it
            launch = read_json(os.path.join(argv[1], "launch.json"))
            env = clean_environment()
            env[RUNNER.encode()] = _mark(launch).encode()
            command = [sys.executable, "-I", "-S", os.path.abspath(__file__), *argv]
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
