"""The supervisor that runs beside an app on its target, and the verbs that talk to it.

Standard library only, Python 3.6 or later, no import of the package around it: spawners send this
folder and ``gate`` to other machines, as one file (`packed`) or as they are, and run it there with
``python -I -S runner.pyz VERB``. On this machine the package imports it and calls the same verbs
as functions (`VERBS`), and starts ``__main__.py``. ``runner.pyz supervise DIRECTORY`` is the runner
itself, in the foreground: what a batch job's script runs.

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
                             app but through one: see ``gate``, whose files are here, too),
                             ``variables`` (of the environment, as they are), ``hooks: {after,
                             clean, timeout}`` (templates of command lines, and seconds that
                             each may take), ``tells_error`` (see ``exit.json``)
``lock``            runner   held (flock) for as long as the runner lives
``runner.json``     runner   ``pid, started`` (clock ticks), ``boot_id, pid_ns, hostname``, and
                             ``job``, the id of the batch job that it runs in, if
                             ``launch.json`` names the variable with it: ``job_variable``
``runner.pyz``      prepare  the runner, for a job on a machine that sees nothing else of ours
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
``{status_file}`` (where the app may tell of itself), ``{python}``, ``{runner}`` (what Python runs
to be this runner, unless the app has such a field) and, if the app's ``argv`` or ``env`` mentions
them, one endpoint: ``{socket}`` (the path of a Unix socket to create), ``{fd}`` (an inherited,
listening Unix socket) or ``{port}`` (a port of 127.0.0.1 to bind). A secret is a field of ``env``
alone, as others can read command lines; ``{NAME_file}`` is one everywhere. Its value is replaced by
``***`` in the log, in messages and in what the app tells of itself.

**What belongs to an attempt.** The descendants of the runner (which adopts orphans, on Linux),
and every process of the user with ``JUPYTER_SESSIONS_ATTEMPT=<session>.<attempt>`` in its
environment, with its descendants. A process with another attempt's marker begins another session
and is left alone with all below it. When the app itself ends, what it leaves behind is ended too:
an app that forks into the background and exits is not supported.

On macOS there is no ``/proc`` and no adoption of orphans: the process tree and the app's process
group are what is found there.

The rooms, each importing from those before it: `errors`, `files`; `processes`, `sockets`,
`templates` (what the machine and the launch have); `environment`, `masks`, `told`, `meter`,
`outcome`, `log`; `archive`; `children` (what was started), `limits`, `endpoint`, `hooks`,
`gatekeeper`, `announcements`; `supervisor` (the loop of all these); `status`, `starting`,
`stopping`, `telling` (the verbs); `program`.
"""

from .archive import PROGRAM, packed, sources
from .endpoint import TEMPORARY
from .environment import app_environment, clean_environment
from .errors import RunnerError, StartError
from .files import make_directory, read_json, write_json
from .processes import (
    ATTEMPT,
    RUNNER,
    Process,
    boot_id,
    marks,
    pid_namespace,
    process,
    start_time,
    sweep,
)
from .sockets import free_port, tcp_sockets
from .starting import find, prepare, start
from .status import poll, usage
from .stopping import stop
from .telling import dial, limit, note, ready
from .templates import names_in
from .told import below, read_told
from .verbs import VERBS

__all__ = [
    "ATTEMPT",
    "PROGRAM",
    "RUNNER",
    "TEMPORARY",
    "VERBS",
    "Process",
    "RunnerError",
    "StartError",
    "app_environment",
    "below",
    "boot_id",
    "clean_environment",
    "dial",
    "find",
    "free_port",
    "limit",
    "make_directory",
    "marks",
    "names_in",
    "note",
    "packed",
    "pid_namespace",
    "poll",
    "prepare",
    "process",
    "read_json",
    "read_told",
    "ready",
    "sources",
    "start",
    "start_time",
    "stop",
    "sweep",
    "tcp_sockets",
    "usage",
    "write_json",
]
