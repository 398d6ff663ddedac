"""The far end of a host over SSH: the runner's verbs, and some about the host itself.

Standard library only, Python 3.6 or later: it is sent to the host together with ``runner``, into
one directory, and run there as ``python -I -S remote.py VERB MARK``. The payload is one line of
JSON on stdin; the answer is the line on stdout that begins with MARK (a word that nobody else
can know): what the user's shell prints, unasked, is not taken for it. `follow` goes on after that
line, with the bytes of a log, until its stdin ends.

``<directory>/code-<hash>/`` is where this file is; ``apps/<hash>/`` are folders of apps;
``sessions/<id>/`` is what belongs to a session: ``<attempt>/`` as in ``runner``, and ``state/``.
Copies of code and apps that nobody has used for `UNUSED_DAYS` go when a session is forgotten.
"""

import base64
import contextlib
import errno
import fcntl
import fnmatch
import glob
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from typing import Any, BinaryIO, Callable, Deque, Dict, Iterator, List, Mapping, Optional, Tuple

if __package__:
    from .. import runner
else:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import runner  # type: ignore[import-not-found,no-redef,unused-ignore]

Json = Dict[str, Any]

CHUNK = 64 * 1024
FOLLOW_INTERVAL = 0.25  # seconds between looks at a log that somebody follows
UNUSED_DAYS = 30  # after which a copy goes that no session is made of
DAY = 24 * 3600
FULL = (errno.ENOSPC, errno.EDQUOT)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")

# Without -I and -S: what apps see of Python's packages.
_ASK_PYTHON = """
import importlib.util, json, sys
def importable(name):
    try:
        return importlib.util.find_spec(name) is not None
    except Exception:
        return False
print(json.dumps([sys.prefix, {n: importable(n) for n in json.loads(sys.stdin.readline())}]))
"""


# -- Logs ----------------------------------------------------------------------------------------


def open_log(path: str) -> Optional[BinaryIO]:
    """The file `path`, None if there is none yet. Raises OSError."""
    try:
        return open(path, "rb", buffering=0)
    except FileNotFoundError:
        return None


def reopened(path: str, log: BinaryIO) -> Optional[BinaryIO]:
    """The new file at `path`, if the log was rotated under our feet."""
    renewed = open_log(path)
    if renewed is None or os.fstat(renewed.fileno()).st_ino == os.fstat(log.fileno()).st_ino:
        if renewed is not None:
            renewed.close()
        return None
    return renewed


def tail(path: str, log: BinaryIO, lines: int) -> bytes:
    """The last `lines` lines of the log, its rotated part included; leaves `log` at its end."""
    content = _last(log, lines)
    missing = lines - len(content.splitlines())
    older = open_log(path + ".1") if missing > 0 else None
    if older is not None:
        with older:
            content = _last(older, missing) + content
    return content


def _last(file: BinaryIO, lines: int) -> bytes:
    """The last `lines` lines, read from the end; leaves the file where its end was.

    What is written meanwhile is read as it is followed.
    """
    end = start = os.fstat(file.fileno()).st_size
    blocks: Deque[bytes] = deque()
    breaks = 0
    while start > 0 and breaks <= lines:  # one more: the last line ends with one, too
        size = min(CHUNK, start)
        start -= size
        blocks.appendleft(os.pread(file.fileno(), size, start))
        breaks += blocks[0].count(b"\n")
    file.seek(end)
    return b"".join(b"".join(blocks).splitlines(keepends=True)[-lines:]) if lines else b""


def follow(payload: Json) -> None:
    """Write the end of a log to stdout, and what is added to it, until stdin ends.

    Parameters
    ----------
    payload
        ``path``, ``lines``, ``follow``: see `Host.follow`.
    """
    path = str(payload["path"])
    log = open_log(path)
    while log is None:
        if not payload["follow"] or _reader_is_gone():
            return
        log = open_log(path)
    _write(tail(path, log, int(payload["lines"])))
    while True:
        chunk = log.read(CHUNK)
        if chunk:
            _write(chunk)
        elif not payload["follow"]:
            return
        else:
            renewed = reopened(path, log)
            if renewed is not None:
                log.close()
                log = renewed
            elif _reader_is_gone():
                return


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _reader_is_gone() -> bool:
    """Whether stdin ended within the time between two looks."""
    ready, _, _ = select.select([0], [], [], FOLLOW_INTERVAL)
    return bool(ready) and not os.read(0, CHUNK)


# -- What is there -------------------------------------------------------------------------------


def is_program(name: str) -> bool:
    """On the PATH that apps get: see `runner.app_environment`."""
    path = runner.app_environment()[b"PATH"]
    return shutil.which(name, path=os.fsdecode(path)) is not None


def is_readable(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.R_OK)


def is_directory(path: str) -> bool:
    return os.path.isdir(path) and os.access(path, os.R_OK | os.X_OK)


def is_file(name: str, prefix: str) -> bool:
    """By a name with ``~``, ``$VARIABLES`` and ``{prefix}``."""
    path = name.replace("{prefix}", prefix)
    return os.path.exists(os.path.expanduser(os.path.expandvars(path)))


def have(payload: Json) -> Json:
    """Which of the things are there that apps need: see `Host.have`.

    Parameters
    ----------
    payload
        ``wanted``: a list of pairs.

    Returns
    -------
    dict
        ``there``: a truth value for each.
    """
    wanted = [(str(kind), str(name)) for kind, name in payload["wanted"]]
    prefix, modules = sys.prefix, {}  # type: Tuple[str, Json]
    if any(kind == "python" or "{prefix}" in name for kind, name in wanted):
        names = [name for kind, name in wanted if kind == "python"]
        prefix, modules = _ask_python(names)
    checks: Dict[str, Callable[[str], bool]] = {
        "program": is_program,
        "python": lambda name: bool(modules.get(name)),
        "file": lambda name: is_file(name, prefix),
        "readable": is_readable,
        "directory": is_directory,
    }
    return {"there": [checks[kind](name) for kind, name in wanted]}


def _ask_python(names: List[str]) -> Tuple[str, Json]:
    """The prefix of the Python that apps get, and which of the modules `names` it has."""
    done = subprocess.run(
        [sys.executable, "-c", _ASK_PYTHON],
        input=json.dumps(names).encode() + b"\n",
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=runner.app_environment(),
        check=False,
    )
    try:
        prefix, modules = json.loads(done.stdout.decode("utf-8"))
    except ValueError:
        return sys.prefix, {}
    return str(prefix), modules


# -- Commands and files --------------------------------------------------------------------------


def run(payload: Json) -> Json:
    """Run a command to its end, without a shell.

    Parameters
    ----------
    payload
        ``argv``, ``env`` (see `changed`), ``timeout`` in seconds, ``stdin`` in Base64.

    Returns
    -------
    dict
        ``code``, ``stdout`` and ``stderr`` in Base64; or ``missing``, why it could not be run; or
        ``late``: it took too long and was killed.
    """
    env = changed(runner.app_environment(), payload["env"])
    try:
        child = subprocess.Popen(
            [_bytes(item) for item in payload["argv"]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return {"missing": getattr(error, "strerror", None) or str(error)}
    try:
        out, err = child.communicate(
            base64.b64decode(payload["stdin"]), timeout=float(payload["timeout"])
        )
    except subprocess.TimeoutExpired:
        with contextlib.suppress(OSError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        return {"late": True}
    return {"code": child.returncode, "stdout": _text(out), "stderr": _text(err)}


def changed(env: Dict[bytes, bytes], changes: Mapping[str, Optional[str]]) -> Dict[bytes, bytes]:
    """`env` with `changes`: None takes out all variables whose names match, as in ``SQUEUE_*``."""
    kept = dict(env)
    for name, value in changes.items():
        if value is not None:
            kept[_bytes(name)] = _bytes(value)
            continue
        for key in fnmatch.filter(kept, _bytes(name)):
            del kept[key]
    return kept


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _base() -> str:
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def receive(payload: Json) -> Json:
    """Keep an app's folder, or say that it is there already.

    Parameters
    ----------
    payload
        ``name``: stands for its content; ``files``: a list of path, mode and content in Base64, or
        None to ask whether it is there.

    Returns
    -------
    dict
        ``path``; None if it is not there.
    """
    if not NAME.match(payload["name"]):
        raise runner.RunnerError("{!r} is not a name.".format(payload["name"]))
    apps = os.path.join(_base(), "apps")
    path = os.path.join(apps, payload["name"])
    with _alone(_base(), wait=True):
        with contextlib.suppress(OSError):
            os.utime(path)  # it is in use from now on
        there = os.path.isdir(path)
    if there:
        return {"path": path}
    if payload["files"] is None:
        return {"path": None}
    runner.make_directory(apps)
    temporary = f"{path}.{os.urandom(6).hex()}"
    os.mkdir(temporary, 0o700)
    try:
        for name, mode, content in payload["files"]:
            target = os.path.normpath(os.path.join(temporary, name))
            if not target.startswith(temporary + os.sep):
                raise runner.RunnerError(f"{name!r} is not inside the folder.")
            os.makedirs(os.path.dirname(target), 0o700, exist_ok=True)
            fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 | (mode & 0o100))
            with os.fdopen(fd, "wb") as file:
                file.write(base64.b64decode(content))
        with contextlib.suppress(OSError):  # somebody else was sooner
            os.rename(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    if not os.path.isdir(path):
        raise runner.RunnerError(f"{path} cannot be made.")
    return {"path": path}


def forget(payload: Json) -> Json:
    """Remove what belongs to a session that has ended, or to its older attempts. Harmless twice.

    Parameters
    ----------
    payload
        ``session``, and ``before``: only attempts with a number below that; None for everything.

    Raises
    ------
    RunnerError
        If something of it still runs: its files have to stay then.
    """
    session, before = str(payload["session"]), payload["before"]
    if not NAME.match(session):
        raise runner.RunnerError(f"{session!r} is not the id of a session.")
    directory = os.path.join(_base(), "sessions", session)
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return {}
    attempts = [os.path.join(directory, n) for n in names if n.isdigit()]
    if before is not None:
        attempts = [a for a in attempts if int(os.path.basename(a)) < before]
    statuses = runner.poll({"directories": attempts})["statuses"]
    if any(status["status"] in ("starting", "alive") for status in statuses.values()):
        raise runner.RunnerError(f"Something of session {session} still runs.")
    for path in [directory] if before is None else attempts:
        shutil.rmtree(path)
    with contextlib.suppress(OSError):
        prune(_base())
    return {}


def prune(base: str) -> None:
    """Remove copies of code and apps that nobody has used for long, and no session is made of.

    Whoever is about to use one touches it first, under the same lock.
    """
    oldest = time.time() - UNUSED_DAYS * DAY
    with _alone(base, wait=False) as alone:
        copies = [os.path.join(base, pattern) for pattern in ("code-*", os.path.join("apps", "*"))]
        old = [path for pattern in copies for path in glob.glob(pattern) if _before(path, oldest)]
        if not alone or not old:
            return
        uses = []  # type: List[bytes]
        began = time.time()
        for launch in glob.glob(os.path.join(base, "sessions", "*", "*", "launch.json")):
            with contextlib.suppress(OSError), open(launch, "rb") as file:
                uses.append(file.read())
                began = min(began, os.fstat(file.fileno()).st_mtime)
        for path in old:
            written = json.dumps(path)[1:-1].encode()
            is_code = os.path.basename(path).startswith("code-")
            # A runner was started by code that was in use then: it was touched that day, or later.
            if any(written in use for use in uses) or (is_code and not _before(path, began - DAY)):
                continue
            shutil.rmtree(path, ignore_errors=True)


def _before(path: str, moment: float) -> bool:
    """Whether `path` was last touched before `moment`; not if it is gone."""
    with contextlib.suppress(OSError):
        return os.stat(path).st_mtime < moment
    return False


@contextlib.contextmanager
def _alone(base: str, wait: bool) -> Iterator[bool]:
    """Whether nobody else uses or removes copies meanwhile. Not, where there are no locks."""
    fd = os.open(os.path.join(base, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(fd)


def _use_code() -> None:
    """See to it that this very copy is not taken for one that nobody uses."""
    folder = os.path.dirname(os.path.abspath(__file__))
    if _before(folder, time.time() - DAY):
        with contextlib.suppress(OSError):
            os.utime(folder)


def _sentence(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return where + (error.strerror or str(error))


VERBS: Dict[str, Callable[[Json], Json]] = dict(
    runner.VERBS, have=have, run=run, receive=receive, forget=forget
)


def main(argv: List[str]) -> int:
    """``remote.py VERB MARK``, with the payload on stdin."""
    verb, mark = argv
    _use_code()
    try:
        payload = json.loads(sys.stdin.buffer.readline().decode("utf-8"))
        answer = {} if verb == "follow" else VERBS[verb](payload)
    except runner.RunnerError as error:
        answer = {"error": str(error)}
    except OSError as error:
        answer = {"error": _sentence(error), "full": error.errno in FULL}
    except (ValueError, KeyError, TypeError) as error:
        answer = {"error": f"The payload is wrong: {type(error).__name__}: {error}."}
    _write(f"{mark}{json.dumps(answer)}\n".encode())
    if verb == "follow":
        with contextlib.suppress(BrokenPipeError):
            follow(payload)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
