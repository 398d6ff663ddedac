"""Where and how an app runs: the base class of every spawner, and what it is told."""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from traitlets import Bool, Float, Instance, Unicode
from traitlets.config import LoggingConfigurable

from ..hosts.base import AbstractConfigurableMeta, Host
from ..routes import Address
from ..runner import names_in, read_told
from ..session import Handle, Report, Status
from ..told import Link, Told

SENT = ("app_dir", "helper_dir")
"""Fields that name folders of the server's machine: what runs elsewhere gets copies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """All that a spawner needs to know to start one attempt of a session.

    Parameters
    ----------
    directory
        The attempt's own directory in the store of this machine, not yet made.
    argv, env, stop_argv
        Templates: ``{field}`` stands for a value of `fields`, or for what only the target knows
        (``{socket}``, ``{port}``, ``{fd}``, ``{session_dir}``, ``{status_file}``, ``{python}``).
        They are filled in there, in one pass, element by element: a value is never read as a
        template or by a shell.
    fields
        Text, a list of texts (an element that is only this field becomes several), or None (such
        an element is left out).
    stop_grace
        Seconds between asking the app to end and killing it.
    timeout
        Seconds that the app may live; None for no limit.
    resources
        What people asked of this spawner, complete with defaults: fits its `options_schema`.
    log_bytes
        The most that its log may take on disk.
    port, socket
        Where it listens whatever it is told; 0 and empty if it listens where it is told to.
    reports_port
        Whether it picks a port itself, and tells it in its status file.
    variables
        Environment variables, values as they are, before those of `env`.
    after_argv, clean_argv
        Templates of what to run there once the app is in use, and when everything has ended.
    hook_timeout
        Seconds that each of the two may take.
    log_head
        What the app's log begins with: the output of what ran before it elsewhere.
    secrets
        Values, by name, that templates of `env` may have, and no others; as files they are
        ``{name_file}``. Never to be logged, shown, or part of a command line.
    """

    session_id: str
    attempt: int
    name: str
    directory: str
    argv: tuple[str, ...]
    fields: Mapping[str, str | list[str] | None]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str
    stop_argv: tuple[str, ...] | None = None
    stop_grace: float = 5
    timeout: float | None = None
    resources: Mapping[str, Any] = field(default_factory=dict)
    log_bytes: int = 10_000_000
    port: int = 0
    socket: str = ""
    reports_port: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)
    after_argv: tuple[str, ...] | None = None
    clean_argv: tuple[str, ...] | None = None
    hook_timeout: float = 60
    log_head: str = field(default="", repr=False)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    def mentions(self, name: str) -> bool:
        """Whether a template has the field `name`."""
        hooks = (self.stop_argv or (), self.after_argv or (), self.clean_argv or ())
        templates = (*self.argv, *self.env.values(), *itertools.chain(*hooks))
        return any(name in names_in(template) for template in templates)


def runner_payload(launch: Launch, directory: str) -> dict[str, Any]:
    """What the runner's verbs `start` and `prepare` are told of `launch`.

    Called by spawners whose apps run under the runner, with what `Spawner.placed` gave.

    Parameters
    ----------
    directory
        The attempt's directory on the host: `Host.attempt_directory`.
    """
    return {
        "version": 1,
        "session": launch.session_id,
        "attempt": launch.attempt,
        "directory": directory,
        "make": [launch.fields["state_dir"]] if launch.mentions("state_dir") else [],
        "argv": list(launch.argv),
        "fields": dict(launch.fields),
        "env": dict(launch.env),
        "cwd": launch.cwd,
        "stop": {
            "argv": None if launch.stop_argv is None else list(launch.stop_argv),
            "grace": launch.stop_grace,
        },
        "hooks": {
            "after": None if launch.after_argv is None else list(launch.after_argv),
            "clean": None if launch.clean_argv is None else list(launch.clean_argv),
            "timeout": launch.hook_timeout,
        },
        "variables": dict(launch.variables),
        "log": {"max_bytes": launch.log_bytes, "head": launch.log_head},
        "timeout": launch.timeout,
        "port": launch.port or None,
        "socket": launch.socket or None,
        "reports_port": launch.reports_port,
        "secrets": dict(launch.secrets),
    }


@dataclass(frozen=True, slots=True)
class Usage:
    """What the processes of one session use.

    Parameters
    ----------
    cpu
        Processors busy since the sample before: 1.5 is one and a half.
    memory
        Bytes of memory that is theirs alone.
    processes
        How many there are.
    samples
        Oldest first: epoch seconds, processors, bytes.
    """

    cpu: float
    memory: int
    processes: int
    samples: tuple[tuple[float, float, int], ...]


async def runner_usage(host: Host, handles: Mapping[str, Handle]) -> Mapping[str, Usage]:
    """What sessions under the runner use; their handles have the attempt's ``directory``.

    Called by the `usage` of spawners whose apps run under the runner.
    """
    directories = {sid: str(h["directory"]) for sid, h in handles.items() if "directory" in h}
    answer = await host.runner("usage", {"directories": list(directories.values())})
    told: dict[str, Any] = answer["usages"]
    usages = {sid: _usage(told.get(directory)) for sid, directory in directories.items()}
    return {sid: usage for sid, usage in usages.items() if usage is not None}


def _usage(told: Any) -> Usage | None:
    """What the runner wrote; None if it is not there or not what it would write."""
    try:
        samples = tuple((_finite(at), _finite(cpu), int(mem)) for at, cpu, mem in told["samples"])
        return Usage(_finite(told["cpu"]), int(told["memory"]), int(told["processes"]), samples)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return None


def _finite(value: Any) -> float:
    """`value` as a number that JSON has."""
    if not math.isfinite(number := float(value)):
        raise ValueError(f"{number} is not finite")
    return number


@runtime_checkable
class ReportsUsage(Protocol):
    """What a spawner has that can tell what its sessions use."""

    async def usage(self, handles: Mapping[str, Handle]) -> Mapping[str, Usage]:
        """What the sessions `handles` (by session id) use, as it was sampled last.

        Called for each question of a front end, once for all sessions. Reads what is there and
        measures nothing itself. Leave out those about which nothing is known.

        Raises
        ------
        SpawnerError
            If the backend did not answer: nothing is shown then.
        """


class Spawner(LoggingConfigurable, metaclass=AbstractConfigurableMeta):
    """One configured place where sessions run.

    Subclasses implement the abstract methods below; `start`, `poll`, `stop` and `find` must work
    from a handle alone, in another process than the one that started the session, years later:
    **a spawner holds no state per session**. Whatever does not answer raises `Unreachable` (or is
    left out of `poll`'s answer), and nothing changes then.
    """

    name = Unicode(help="The name it is configured under; set by the manager.")
    title = Unicode(help="What people call it, in forms. The name when empty.").tag(config=True)
    host: Instance[Host] = Instance(Host, help="Where its commands run; set by the manager.")
    poll_interval = Float(
        5,
        min=0.05,
        help="""Seconds between two status queries. Each asks about all sessions at once. Lower
        notices an exit sooner but asks the backend more often.""",
    ).tag(config=True)

    check_requirements = Bool(
        True,
        help="""Whether what an app requires is looked for on the host before it is started. Off
        where sessions find programs that their host has not: on nodes, or by modules.""",
    ).tag(config=True)

    @abstractmethod
    def start(self, launch: Launch) -> AsyncIterator[Handle]:
        """Start an attempt, yielding the handle each time that more is known.

        Called by the manager, which saves each handle before it asks for the next. Yield first
        what is known *before* anything runs, then again once it does. After a crash of the server
        it is called again for the same attempt if `find` found nothing: starting must be
        idempotent, or `find` must be sure.

        Raises
        ------
        SpawnerError
            It cannot be started; the message says why.
        Unreachable
            Nobody answered. The manager tries again later.
        """

    @abstractmethod
    async def poll(self, handles: Mapping[str, Handle]) -> Mapping[str, Report]:
        """What became of the sessions `handles` (by session id).

        Called each `poll_interval`, once for all. Leave out those about which nothing is known.
        """

    @abstractmethod
    async def stop(self, handle: Handle) -> None:
        """Ask for the end, and clean up. Called again until `poll` says *ended*; harmless twice.

        Also called for a handle whose app ended by itself, to sweep what it left behind. May
        return before the end, when that takes long.
        """

    @abstractmethod
    async def find(self, launch: Launch) -> Handle | None:
        """The handle of an attempt that was perhaps started, from the session's id alone.

        Called after a crash between starting and saving the handle.
        """

    @abstractmethod
    def logs(self, handle: Handle, *, lines: int, follow: bool) -> AsyncIterator[bytes]:
        """The last `lines` lines of the app's output, then what is added to it if `follow`."""

    async def note(self, handle: Handle, line: str) -> None:
        """Add a line to the app's log, where the spawner can. Called when the app is ready."""

    async def ready(self, handle: Handle) -> None:
        """Tell whoever supervises the app that it is in use: its after hook is to run, once.

        Called when the app has answered, for apps with such a hook; again after a crash.
        """

    async def limit(self, handle: Handle, timeout: float | None) -> None:
        """Tell whoever supervises the app how long it may live, in seconds since its start.

        Called when the time was extended. A spawner without a supervisor needs nothing: the
        manager ends sessions too.
        """

    async def attempt_directory(self, launch: Launch) -> str:
        """Where the files of an attempt are on the host, and where it runs; not made by this."""
        local = Path(launch.directory)
        return await self.host.attempt_directory(local, launch.session_id, launch.attempt)

    async def placed(self, launch: Launch) -> Launch:
        """`launch` with ``{app_dir}``, ``{helper_dir}`` and ``{state_dir}`` as they are there.

        Called by spawners before they start it; the folders are there afterwards.

        Raises
        ------
        SpawnerError, Unreachable
        """
        fields = dict(launch.fields)
        for name in SENT:
            if launch.mentions(name) and (folder := fields.get(name)):
                fields[name] = await self.host.send(Path(str(folder)))
        if state := fields.get("state_dir"):
            local = Path(str(state))
            fields["state_dir"] = await self.host.state_directory(local, launch.session_id)
        return replace(launch, fields=fields)

    def connect(self, address: Address) -> AbstractAsyncContextManager[Address]:
        """A way from here to `address` there, kept open while the context is entered."""
        return self.host.connect(address)

    async def available(self) -> str:
        """Why nothing can be started here now, as a sentence; empty if all is well."""
        return await self.host.available()

    async def forget(self, session_id: str, before: int | None = None) -> None:
        """Remove what is kept elsewhere of a session that has ended: see `Host.forget`."""
        await self.host.forget(session_id, before)

    def misconfigured(self) -> str:
        """What is wrong with its traits, taken together, as a sentence; empty if nothing is."""
        return ""

    def options_schema(self) -> dict[str, Any]:
        """The JSON Schema of the resources that people may ask for: see ``app.schema.json``."""
        return {"type": "object", "properties": {}}


def told_of(told: Mapping[str, Any]) -> Told:
    """What an app says of itself: the ``told`` of a status that the runner's `poll` answered.

    The runner has read it, but perhaps on a machine where others could have a hand in it: what is
    not in order is left out here too.
    """
    told, _ = read_told(dict(told))
    return Told(
        message=told.get("message", ""),
        ready=told.get("ready"),
        open_path=told.get("open_path"),
        links=tuple(Link(link["title"], link["path"]) for link in told.get("links", ())),
    )


RUNNER_STATUSES = {
    "starting": Status.STARTING,
    "alive": Status.ALIVE,
    "ended": Status.ENDED,
    # Only started ones are asked about: somebody took its files away. Its runner ends it then.
    "absent": Status.ENDED,
}


def runner_report(status: Mapping[str, Any]) -> Report | None:
    """What the runner's `poll` answered about one directory, as a report.

    None if it does not know, or if its files were tampered with: the other sessions go on.
    """
    try:
        end: Mapping[str, Any] = status.get("exit") or {}
        address, started = status.get("address"), status.get("started")
        told = told_of(status.get("told") or {})
        return Report(
            status=RUNNER_STATUSES[status["status"]],
            address=None if address is None else Address.from_json(address),
            exit_code=end.get("exit_code"),
            reason=end.get("reason", "files_lost" if status["status"] == "absent" else ""),
            message=end.get("message", status.get("message") or told.message),
            host=status.get("hostname") or "",
            started=None if started is None else datetime.fromtimestamp(started, UTC),
            told=told,
        )
    except (ArithmeticError, LookupError, OSError, TypeError, ValueError):
        return None
