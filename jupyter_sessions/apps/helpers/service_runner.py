"""Runs a service directory of Parallel Works ACTIVATE as the app of a session.

Standard library only, Python 3.6 or later, no import of the package: it is sent to the machine
where the session runs. ``service_directory.py`` makes the command lines.

``service_runner.py run SERVICE JOB [--name NAME] [--list NAME VALUE… --end]
[--boolean NAME YES NO] [--slug S] [--https]``
    makes the job directory JOB with a copy of the folder SERVICE in it, runs its scripts there, and
    tells the session in its status file what ``service.json`` says. Ends with the service.
``service_runner.py stop JOB``
    runs what ends the service: ``kill-template.sh`` and ``cancel.sh``, each once.
``service_runner.py set JOB NAME VALUE …``, ``service_runner.py port``
    write into ``service.json``, print a port that is free: what the scripts' functions call.

The job directory is what the scripts know from there:

====================== ============================================================================
``<service>/``         the copy of the service's folder
``inputs.sh``          the inputs as exports, also in ``resources/host/``
``environment.json``   the same for `stop`, which comes from outside
``service.json``       what the platform and the service tell each other, one key on a line, as
                       scripts edit it with ``sed``
``utils/notify.sh``    what services call when they are ready
``cancel.sh``          written by the service: how to end it
``job.started`` …      ``HOSTNAME``, ``SESSION_PORT``: as the platform leaves them
====================== ============================================================================

Inputs come in the environment, as does ``SESSION_STATUS_FILE``; ``SERVICE_INPUTS`` names them. No
value is ever put into the text of a script: ``inputs.sh`` quotes them, and ``__name__`` in the
older templates becomes a reference to the variable.
"""

import contextlib
import getpass
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from typing import Any, Dict, List, Optional, Tuple  # noqa: F401 - in comments

Json = Dict[str, Any]

PAUSE = 0.5  # seconds between looks at service.json
KEYS = ("URL", "PORT", "SLUG", "JOB_STATUS", "ERROR_MESSAGE")
RUNNING = ("running", "r")
FORMS = (
    ("start-template-v3.sh", "controller-v3.sh", False),
    ("start-template.sh", "controller.sh", True),
)
"""The scripts that start a service and run before that; whether it is the older form."""
KILL = "kill-template.sh"
CANCEL_SECONDS = 12.0  # for each of the scripts that end a service
ENDED = 128 + signal.SIGTERM
LONGEST = 64 * 1024  # bytes of a service.json

PRELUDE = r"""
displayErrorMessage() {
    echo "$(date): $1"
    "$SERVICE_PYTHON" -I "$SERVICE_RUNNER" set "$PW_JOB_DIR" ERROR_MESSAGE "$1" JOB_STATUS FAILED
    exit 1
}
findAvailablePort() {
    "$SERVICE_PYTHON" -I "$SERVICE_RUNNER" port
}
"""
"""Functions that the platform gives to the scripts."""
NOTIFY = r"""#!/bin/bash
# Called by services when they are ready, or with another status.
exec "$SERVICE_PYTHON" -I "$SERVICE_RUNNER" set "$PW_JOB_DIR" JOB_STATUS "${1:-Running}"
"""


class Failure(Exception):
    """The service cannot run; the message is a sentence for people."""


# -- Files ---------------------------------------------------------------------------------------


def write(path: str, text: str, mode: int = 0o600) -> None:
    """Put `text` into the file `path`, all at once."""
    temporary = "{}.{}".format(path, os.urandom(6).hex())
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    os.replace(temporary, path)


def read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


class ServiceJson:
    """The ``service.json`` of a job."""

    def __init__(self, job: str) -> None:
        self._path = os.path.join(job, "service.json")
        self._last = {}  # type: Json

    def read(self) -> Json:
        """What it says; what it said before if it is half written, or gone."""
        with contextlib.suppress(OSError, ValueError, RecursionError):
            with open(self._path, "rb") as file:
                text = file.read(LONGEST).decode("utf-8")
            # Edited line by line, it may have a comma too many at its end.
            data = json.loads(re.sub(r",\s*}\s*\Z", "}", text))
            if isinstance(data, dict):
                self._last = data
        return dict(self._last)

    def change(self, **values: str) -> None:
        """Write `values` over what it says, one key on a line, the platform's first."""
        data = dict(self.read(), **values)
        names = [key for key in KEYS if key in data] + [key for key in data if key not in KEYS]
        # ERROR_MESSAGE last: scripts replace its line by one without a comma.
        names.sort(key=lambda name: name == "ERROR_MESSAGE")
        lines = ["    {}: {}".format(json.dumps(n), json.dumps(data[n])) for n in names]
        write(self._path, "{\n" + ",\n".join(lines) + "\n}\n")


# -- Inputs --------------------------------------------------------------------------------------


def inputs(environment: Dict[str, str], job: str, options: "Options") -> Dict[str, str]:
    """The inputs by variable, as the scripts get them. One that is empty is not set."""
    found = {}
    for name in environment.pop("SERVICE_INPUTS", "").split():
        value = environment.pop(name, "")
        if name in options.booleans:
            value = options.booleans[name][value != "true"]
        found[name] = value
    found.update((name, "___".join(values)) for name, values in options.lists.items())
    return {name: filled(value, job) for name, value in found.items() if value}


def filled(value: str, job: str) -> str:
    """`value` with the few names filled in that forms have in their defaults, and nothing else."""
    home, name, number = os.path.expanduser("~"), user(), job_number()
    known = {"HOME": home, "USER": name, "PW_USER": name, "PW_JOB_DIR": job, "WORKDIR": home}
    known.update(poolworkdir=home, job_number=number)
    shell = "HOME|USER|PW_USER|PW_JOB_DIR"
    pattern = r"\$\{(%s)\}|\$(%s)\b|__(WORKDIR|poolworkdir|job_number)__" % (shell, shell)
    return re.sub(pattern, lambda match: known[match.group(match.lastindex or 0)], value)


def user() -> str:
    """Whose it is; in a container there may be no name for that."""
    with contextlib.suppress(KeyError, OSError):
        return getpass.getuser()
    return str(os.getuid())


def job_number() -> str:
    """A name for this run: the session and its attempt."""
    return os.environ.get("JUPYTER_SESSIONS_ATTEMPT", "session.1").replace(".", "-")


def platform(job: str, name: str, port: int, prefix: str) -> Dict[str, str]:
    """The variables that the platform sets besides the inputs."""
    home, path = os.path.expanduser("~"), prefix.rstrip("/")
    forward, _, last = path.lstrip("/").rpartition("/")
    return {
        "service_name": name,
        "service_port": str(port),
        "servicePort": str(port),
        "basepath": path,
        # The older templates put their prefix together: /FORWARDPATH/openPort/.
        "FORWARDPATH": forward,
        "openPort": last,
        "job_number": job_number(),
        "PW_JOB_ID": job_number(),
        "PW_USER": user(),
        "PW_JOB_DIR": job,
        "PW_PARENT_JOB_DIR": job,
        "pw_job_dir": job,
        "resource_jobdir": job,
        "resource_workdir": home,
        "chdir": job,
        "jobschedulertype": "CONTROLLER",
        "partition_or_controller": "False",
        "USERMODE": "docker",
        # The user container is this machine: what goes there by this runs here.
        "sshusercontainer": "",
        "PATH": os.path.join(home, "pw") + os.pathsep + os.environ.get("PATH", os.defpath),
        "SERVICE_RUNNER": os.path.abspath(__file__),
        "SERVICE_PYTHON": sys.executable,
    }


def references(text: str, names: List[str]) -> str:
    """An older template, with ``__name__`` as a reference to the variable: never its value."""
    return re.sub("__({})__".format("|".join(map(re.escape, names))), r"${\1}", text)


def slug_of(text: str) -> str:
    """The part of a ``SLUG`` that is a path and a query, without a slash at its beginning.

    In ``url.sh`` it is the end of a JavaScript expression: after a quote come calls such as
    ``(new Date()).getTime()``. Nothing runs them here, so a parameter that needs one goes away.
    """
    literal, quote, _ = text.partition('"')
    literal = literal.replace("\\&", "&").replace("\\/", "/")
    if quote:
        literal = re.sub(r"[?&][^?&=]*=\Z", "", literal)
    return literal.lstrip("/")


# -- A job ---------------------------------------------------------------------------------------


class Options:
    """What stands on the command line behind SERVICE and JOB."""

    def __init__(self, argv: List[str]) -> None:
        self.lists = {}  # type: Dict[str, List[str]]
        self.booleans = {}  # type: Dict[str, Tuple[str, str]]
        self.name = "service"
        self.slug = ""
        self.https = False
        rest = list(argv)
        while rest:
            word = rest.pop(0)
            if word == "--list":
                name, end = rest[0], rest.index("--end")
                self.lists[name] = rest[1:end]
                del rest[: end + 1]
            elif word == "--boolean":
                self.booleans[rest[0]] = (rest[1], rest[2])
                del rest[:3]
            elif word in ("--name", "--slug"):
                setattr(self, word[2:], rest.pop(0))
            elif word == "--https":
                self.https = True
            else:
                raise Failure("{} is not understood.".format(word))


class Job:
    """One run of a service, from its directory to its end."""

    def __init__(self, service: str, job: str, options: Options) -> None:
        self._service, self._job, self._options = service, job, options
        self._name = options.name
        self._told = None  # type: Optional[Json]
        self._json = ServiceJson(job)
        self._ours = ""  # the JOB_STATUS that was written here: any other is the service's word
        self._message = "Preparing."  # while nothing of the service runs that could say more
        self._failed = False
        self._asked = False
        self._port = free_port()
        self._fronts = {}  # type: Dict[int, int]
        self._env = dict(os.environ)
        self._old = False

    def run(self) -> int:
        """The exit code of the service."""
        signal.signal(signal.SIGTERM, self._on_term)
        try:
            code = self._run()
        except (Failure, OSError) as failure:  # an OSError: no room, no bash, no right to read
            self._follow()
            if not self._failed:
                self._tell({"failed": str(failure)})
            code = 1
        cancel(self._job, self._env)
        return code

    def _run(self) -> int:
        start, controller = self._scripts()
        self._prepare()
        if controller:
            self._message = "Preparing: {} runs.".format(controller)
            text = self._script(controller)
            code = self._bash("controller-preprocessing.sh", text)
            if self._asked:
                return ENDED
            if code:
                why = "{} ended with code {}; the log has the details."
                raise Failure(why.format(controller, code))
        if self._old:
            self._read_url()
        self._message = ""
        self._status("Submitted")
        for name, content in (
            ("SESSION_PORT", str(self._port)),
            ("HOSTNAME", socket.gethostname()),
        ):
            write(os.path.join(self._job, name), content + "\n")
        write(os.path.join(self._job, "job.started"), "")
        code = self._bash("start-service.sh", self._script(start))
        self._follow()
        return ENDED if self._asked else code

    def _scripts(self) -> Tuple[str, str]:
        for start, controller, old in FORMS:
            if os.path.isfile(os.path.join(self._service, start)):
                self._old = old
                there = os.path.isfile(os.path.join(self._service, controller))
                return start, controller if there else ""
        raise Failure("There is no start-template-v3.sh and no start-template.sh in its folder.")

    def _prepare(self) -> None:
        job = self._job
        os.makedirs(job, mode=0o700, exist_ok=True)
        copy = os.path.join(job, self._name)
        if not os.path.isdir(copy):
            shutil.copytree(self._service, copy, symlinks=True)
        prefix = self._env.pop("SERVICE_PREFIX", "/")
        given = inputs(self._env, job, self._options)
        variables = dict(given, **platform(job, self._name, self._port, prefix))
        self._env.update(variables)
        self._names = sorted(variables)
        write(os.path.join(job, "environment.json"), json.dumps(variables))
        exports = ["export {}={}\n".format(n, shlex.quote(v)) for n, v in sorted(variables.items())]
        for place in ("inputs.sh", "resources/host/inputs.sh"):
            path = os.path.join(job, place)
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            write(path, "".join(exports))
        os.makedirs(os.path.join(job, "utils"), mode=0o700, exist_ok=True)
        for name in ("notify.sh", "notify-v3.sh"):
            write(os.path.join(job, "utils", name), NOTIFY, 0o700)
        if os.path.isfile(os.path.join(self._service, KILL)):
            write(os.path.join(job, "kill-service.sh"), self._script(KILL), 0o700)
        self._json.change(
            URL="/sme" if self._options.https else "/me",
            PORT=str(self._port),
            SLUG=self._options.slug,
            JOB_STATUS="",
            ERROR_MESSAGE="",
        )
        self._status("Initializing")

    def _script(self, name: str) -> str:
        """The text to run for a script of the service: what the platform puts before it, and it."""
        text = read(os.path.join(self._service, name))
        if self._old or name == KILL:
            text = references(text, self._names)
        return "{}\n{}\n".format(PRELUDE, text)

    def _bash(self, name: str, text: str) -> int:
        """Run a script in the job directory to its end, and tell what it says; its exit code."""
        path = os.path.join(self._job, name)
        write(path, text, 0o700)
        self._follow()
        child = subprocess.Popen(["bash", path], cwd=self._job, env=self._env)
        while True:
            if self._asked:
                cancel(self._job, self._env)
                child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = child.wait(PAUSE)
                return code if code >= 0 else 128 - code
            self._follow()

    def _read_url(self) -> None:
        """Run ``url.sh``, which says where the service is opened."""
        path = os.path.join(self._job, self._name, "url.sh")
        if not os.path.isfile(path):
            return
        before = self._json.read().get("SLUG")
        command = ["bash", "-c", '. "$1" >&2; printf %s "$URLEND"', "bash", path]
        done = subprocess.run(command, cwd=self._job, env=self._env, stdout=subprocess.PIPE)
        end = done.stdout.decode("utf-8", "replace")
        if end and self._json.read().get("SLUG") == before:  # else it wrote that itself
            self._json.change(SLUG=end)

    # What is told

    def _status(self, value: str) -> None:
        self._ours = value
        self._json.change(JOB_STATUS=value)

    def _follow(self) -> None:
        """Tell the session what ``service.json`` says now."""
        # In this order: what the service writes before it listens counts once it does.
        there = listens(self._port)
        data = self._json.read()
        status = text_of(data.get("JOB_STATUS"))
        if status.lower() == "failed":
            why = text_of(data.get("ERROR_MESSAGE")) or "The service says that it has failed."
            self._failed = True
            self._tell({"failed": why})
            return
        told = {}  # type: Json
        if self._same_port(data) and there:
            told["port"] = self._reach(data)
        if status == self._ours:
            if self._message:
                told.update(ready=False, message=self._message)
        elif status and status.lower() not in RUNNING:
            told.update(ready=False, message=status)
        slug = slug_of(text_of(data.get("SLUG")))
        if slug:
            told["open_path"] = slug
        self._tell(told)

    def _same_port(self, data: Json) -> bool:
        """Whether the service is still at the port that was looked at; else take the new one."""
        with contextlib.suppress(ValueError):
            port = int(text_of(data.get("PORT")) or self._port)
            if 0 < port < 65536 and port != self._port:
                self._port = port
                return False
        return True

    def _reach(self, data: Json) -> int:
        """The port to connect to: the service's, or ours in front of one that speaks TLS."""
        if text_of(data.get("URL")).rstrip("/") != "/sme":
            return self._port
        if self._port not in self._fronts:
            script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tls_front.py")
            command = [sys.executable, "-I", script, str(self._port)]
            front = subprocess.Popen(command, env=self._env, stdout=subprocess.PIPE)
            assert front.stdout is not None  # noqa: S101 - it was asked for
            self._fronts[self._port] = int(front.stdout.readline() or 0) or self._port
        return self._fronts[self._port]

    def _tell(self, status: Json) -> None:
        path = os.environ.get("SESSION_STATUS_FILE")
        if status != self._told and path:
            with contextlib.suppress(OSError):  # a full disk: the next look tries again
                write(path, json.dumps(status))
                self._told = status

    def _on_term(self, _number: int, _frame: Any) -> None:
        self._asked = True


def text_of(value: Any) -> str:
    return value.strip() if isinstance(value, str) else "" if value is None else str(value)


def cancel(job: str, env: Dict[str, str]) -> None:
    """Run what ends the service, each script once, whoever asks first."""
    for name in ("kill-service.sh", "cancel.sh"):
        path = os.path.join(job, name)
        try:
            os.rename(path, path + ".submitted")
        except OSError:
            continue
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(["bash", path + ".submitted"], cwd=job, env=env, timeout=CANCEL_SECONDS)


def stop(job: str) -> None:
    """What a session runs before it ends its service."""
    env = dict(os.environ)
    with contextlib.suppress(OSError, ValueError):
        env.update(json.loads(read(os.path.join(job, "environment.json"))))
    cancel(job, env)


def listens(port: int) -> bool:
    """Whether somebody listens on `port` here. Whose process that is, the session's runner asks."""
    lines = []  # type: List[str]
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError), open("/proc/net/" + name) as file:
            lines += file.readlines()[1:]
    if not lines:  # another system than Linux
        return True
    rows = [line.split() for line in lines]
    return any(r[3] == "0A" and int(r[1].rpartition(":")[2], 16) == port for r in rows)


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main(argv: List[str]) -> int:
    if argv[:1] == ["run"] and len(argv) > 2:
        return Job(os.path.abspath(argv[1]), os.path.abspath(argv[2]), Options(argv[3:])).run()
    if argv[:1] == ["stop"] and len(argv) == 2:
        stop(os.path.abspath(argv[1]))
        return 0
    if argv[:1] == ["set"] and len(argv) % 2 == 0 and len(argv) > 3:
        ServiceJson(argv[1]).change(**dict(zip(argv[2::2], argv[3::2])))
        return 0
    if argv == ["port"]:
        sys.stdout.write("{}\n".format(free_port()))
        return 0
    sys.stderr.write((__doc__ or "") + "\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
