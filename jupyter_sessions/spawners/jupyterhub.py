"""Any spawner class that was written for JupyterHub, as a spawner of sessions.

The class starts ``runner.pyz supervise`` in place of a notebook server: what the site has tried and
configured for its hub (queues, prologues, mounts) holds for sessions as it is. The runner's files
say how the app is; the class is asked for what only it knows: whether a job still waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import re
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Mapping
from copy import deepcopy
from importlib.metadata import entry_points
from typing import Any

from traitlets import Dict, Float, TraitError, Unicode, default, import_item
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from .. import runner
from ..errors import SpawnerError, Unreachable
from ..reaching.nodes import ReachesNodes
from ..session import Handle, Report, Status
from .base import Launch, Spawner, Usage, runner_payload, runner_report, runner_usage

SAFE_PATH = re.compile(r"/[\w.@+/-]*\Z")
PLAIN = r"^[\w.,:=@%+/-]*$"
"""What text may be that a class puts into a script, if its schema does not say more."""
LOOK = 0.05
"""Seconds between looks at the state of a class that is starting."""
VANISHED = 30.0
"""Seconds for which a job has to be said to be gone until it is believed."""
CANCEL_GRACE = 10.0
"""Seconds beyond the app's own grace that a runner may take to end before its job is cancelled."""
SILENT = 60.0
"""Seconds for which a class that has started may show nothing of our supervisor."""
OURS = {"exec_prefix": "", "batchspawner_singleuser_cmd": ""}
"""Traits of batchspawner: we are that user, and need neither become them nor start a notebook."""
LOOKS, LATER = 5, 0.5
"""How often to look whether a job that could not be cancelled has ended, and after how long."""
AT_A_TIME = 4
"""Classes ask about one job each: as many of these questions at a time."""


class JupyterHubSpawner(ReachesNodes, Spawner):
    """Drives a `jupyterhub.spawner.Spawner`, one instance for each question, made from a handle.

    The handle has the attempt's directory, which the nodes have to see as this machine does, and
    the class's own state (`get_state`), saved as soon as it has one.
    """

    spawner_class = Unicode(
        help="""The class: `batchspawner.SlurmSpawner`, or a name of JupyterHub's entry points.""",
    ).tag(config=True)
    spawner_config = Dict(
        help="""Traits of the class: `{"req_partition": "gpu"}`. They go over what
        `c.SlurmSpawner…` says in Jupyter's configuration and in `hub_config`.""",
    ).tag(config=True)
    hub_config = Unicode(
        help="""A configuration file of JupyterHub whose sections for the class are to count here,
        too. It is run as Python; its other sections have no effect.""",
    ).tag(config=True)
    options = Dict(
        help="""The JSON Schema of what people may ask for: the properties of an object, which the
        class gets as `user_options`. Text has to match `[\\w.,:=@%+/-]*` unless a property has a
        `pattern` or an `enum`: classes put it into scripts as it is.""",
    ).tag(config=True)
    python = Unicode(
        "python3", help="The Python (3.6 or later) that runs the supervisor on the nodes."
    ).tag(config=True)
    patience = Float(
        5,
        min=0,
        help="""Seconds that the class may go on starting, once it has told what it has started,
        before it is left to do so in the background.""",
    ).tag(config=True)
    query_interval = Float(
        10,
        min=0.1,
        help="""Seconds between two questions to the class about one session: each is a command of
        the scheduler's. Apps that run are looked at by their files, at `poll_interval`.""",
    ).tag(config=True)

    @default("poll_interval")
    def _poll_interval(self) -> float:
        return 1.0

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # What was learnt last, by directory: it could be learnt again.
        self._starting: dict[str, tuple[Any, asyncio.Task[Any]]] = {}
        self._asked: dict[str, tuple[float, Any, str]] = {}
        self._gone: dict[str, float] = {}
        self._stops: dict[str, float] = {}
        self._began: dict[str, float] = {}
        self._slots = asyncio.Semaphore(AT_A_TIME)

    # A spawner -------------------------------------------------------------------------------

    async def start(self, launch: Launch) -> AsyncIterator[Handle]:
        directory = await self.attempt_directory(launch)
        handle: dict[str, Any] = {
            "directory": directory,
            "keys": launch.directory,
            "session": launch.session_id,
            "grace": launch.stop_grace,
            "options": dict(launch.resources),
            "state": {},
        }
        yield handle
        if not SAFE_PATH.match(directory):
            raise SpawnerError(
                f"{directory} has characters in it that a job's script may not take for a name:"
                " set SessionManager.data_dir to another place."
            )
        payload = runner_payload(await self.placed(launch), directory)
        gate = await self.gate_of(launch.directory, directory)
        await self.host.runner("prepare", {**payload, "copy": True, "gate": gate})
        async for state in self._start(handle):
            handle = {**handle, "state": state}
            yield handle

    async def _start(self, handle: Handle) -> AsyncIterator[dict[str, Any]]:
        """Let the class start, and tell its state each time that it changes."""
        directory = str(handle["directory"])
        one = self._make(handle)
        command = [self.python, "-I", "-S", f"{directory}/runner.pyz", "supervise", directory]
        one.cmd, one.args = command, []
        task = asyncio.create_task(self._run(one), name=f"sessions-hub-{handle['session']}")
        self._starting[directory] = (one, task)
        task.add_done_callback(lambda _: self._settled(directory, one, task))
        told: dict[str, Any] = {}
        until = time.monotonic() + float(one.start_timeout)
        while not task.done():
            if (state := _state(one)) != told:
                told = state
                until = time.monotonic() + self.patience
                yield told
            if time.monotonic() >= until:
                break
            await asyncio.wait([task], timeout=LOOK)
        if task.done() and (error := task.exception()) is not None:
            raise self._refusal(error)
        if not task.done() and not told:
            task.cancel()
            raise SpawnerError(f"{self.spawner_class} has not started anything in time.")
        if (state := _state(one)) != told:
            yield state

    def _settled(self, directory: str, one: Any, task: asyncio.Task[Any]) -> None:
        """The class has started it, or has failed to."""
        self._starting.pop(directory, None)
        _await_child(one)
        if not task.cancelled() and task.exception() is None:
            self._began[directory] = time.monotonic()

    async def _run(self, one: Any) -> None:
        for hook in ("run_pre_spawn_hook", "_run_apply_user_options"):
            if (function := getattr(one, hook, None)) is not None:
                answer = function(one.user_options) if hook.startswith("_") else function()
                if asyncio.iscoroutine(answer) or isinstance(answer, asyncio.Future):
                    await answer
        if one.has_trait("port") and not one.port:
            # batchspawner waits until its own program on the node has told the hub this port.
            waiting = asyncio.ensure_future(self._tell_port(one))
            try:
                await one.start()
            finally:
                waiting.cancel()
        else:
            await one.start()

    async def _tell_port(self, one: Any) -> None:
        """Say what a notebook server would: that it is there, once the class takes note of it."""
        while True:
            await asyncio.sleep(0.5)
            for layer in _layers(one):
                if layer.get_state() and not layer.port:
                    layer.port = 1  # nobody goes there: the app listens elsewhere

    async def find(self, launch: Launch) -> Handle | None:
        directory = await self.attempt_directory(launch)
        if not await asyncio.to_thread(os.path.lexists, f"{directory}/runner.json"):
            return None  # a job that still waits runs nothing, once another one has begun
        return {
            "directory": directory,
            "keys": launch.directory,
            "session": launch.session_id,
            "grace": launch.stop_grace,
            "options": dict(launch.resources),
            "state": {},
        }

    async def poll(self, handles: Mapping[str, Handle]) -> Mapping[str, Report]:
        known = {sid: h for sid, h in handles.items() if "directory" in h and "session" in h}
        paths = [str(handle["directory"]) for handle in known.values()]
        statuses = (await self.host.runner("poll", {"directories": paths}))["statuses"]
        reports = await asyncio.gather(
            *(self._report(handle, statuses[str(handle["directory"])]) for handle in known.values())
        )
        found = dict(zip(known, reports, strict=True))
        return {
            sid: self.located(report, known[sid])
            for sid, report in found.items()
            if report is not None
        }

    async def _report(self, handle: Handle, status: Mapping[str, Any]) -> Report | None:
        """What the files say; where they do not tell the end, what the class says."""
        if status["status"] == "unknown" and status.get("started") and not status.get("exit"):
            # Its runner is on a node: what it wrote is what is known.
            alive = "alive" if status.get("address") else "starting"
            status = {**status, "status": alive, "message": ""}
        elif status["status"] == "unknown" and status.get("exit"):
            status = {**status, "status": "ended"}
        begun = status["status"] in ("alive", "starting")
        if status["status"] == "ended":
            return runner_report(status)
        try:
            lives, message = await self._lives(handle)
        except SpawnerError:
            return runner_report(status) if begun else None
        if lives and begun:
            return runner_report(status)
        began = self._began.get(str(handle["directory"]))
        if lives and (began is None or time.monotonic() - began < SILENT):
            return Report(Status.QUEUED, message=message)
        if lives:
            message = (
                f"{self.spawner_class} has started something, but not the session's supervisor, as"
                " far as can be seen here: the class has to run the command that it is given"
                f" (cmd), where {handle['directory']} is the same folder."
            )
            return Report(Status.ENDED, reason="no_supervisor", message=message)
        if begun:
            message = "Its job has ended, and its supervisor with it."
        return Report(Status.ENDED, reason="job_ended", message=message)

    async def _lives(self, handle: Handle) -> tuple[bool, str]:
        """Whether the class still knows of it, and what it says."""
        directory, now = str(handle["directory"]), time.monotonic()
        asked = self._asked.get(directory)
        if asked is None or now - asked[0] >= self.query_interval:
            code, message = await self._ask(handle)
            asked = self._asked[directory] = (now, code, message)
        _, code, message = asked
        if code is None or directory in self._starting:
            self._gone.pop(directory, None)
            return True, message
        # Classes take a scheduler that does not answer for a job that is gone.
        since = self._gone.setdefault(directory, now)
        if now - since < VANISHED and not handle["state"].get("pid"):
            self._asked.pop(directory, None)
            return True, message
        return False, f"Its job ended before it began (code {code})."

    async def _ask(self, handle: Handle) -> tuple[Any, str]:
        """What `poll` of the class answers, and the first word of its `progress`."""
        async with self._slots:
            one = self._make(handle)
            try:
                code = await one.poll()
                message = ""
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(2):
                        async for event in one.progress():
                            message = str(event.get("message") or "")
                            break
            except Exception as error:
                raise Unreachable(f"{self.spawner_class}: {error!r}.") from error
        return code, message

    async def stop(self, handle: Handle) -> None:
        """Leave word for the runner; let the class end what has none, or does not heed it."""
        directory = str(handle["directory"])
        begun = await asyncio.to_thread(os.path.lexists, f"{directory}/runner.json")
        status = await self.host.runner("stop", {"directory": directory, "wait": 1.0})
        first = self._stops.setdefault(directory, time.monotonic())
        patience = float(handle.get("grace") or 0) + CANCEL_GRACE
        ended = bool(status.get("exit"))
        if begun and (ended or time.monotonic() - first < patience):
            return
        one, task = self._starting.get(directory) or (self._make(handle), None)
        if _state(one):
            try:
                await _end(one)
            except Exception as error:
                raise Unreachable(f"{self.spawner_class} cannot end it: {error!r}.") from error
        if task is not None:
            task.cancel()

    def logs(self, handle: Handle, *, lines: int, follow: bool) -> AsyncIterator[bytes]:
        return self.host.follow(f"{handle['directory']}/log", lines, follow)

    async def note(self, handle: Handle, line: str) -> None:
        await self.host.runner("note", {"directory": handle["directory"], "line": line})

    async def limit(self, handle: Handle, timeout: float | None) -> None:
        await self.host.runner("limit", {"directory": handle["directory"], "timeout": timeout})

    async def usage(self, handles: Mapping[str, Handle]) -> Mapping[str, Usage]:
        return await runner_usage(self.host, handles)

    async def available(self) -> str:
        try:
            if await self.host.runner_file() != runner.PROGRAM:
                return "Classes of JupyterHub run their commands here: its host has to be `local`."
            await asyncio.to_thread(self._make, {"session": "", "options": {}, "state": {}})
        except SpawnerError as error:
            return error.message
        return ""

    def options_schema(self) -> dict[str, Any]:
        schema = {"type": "object", "properties": {}, **self.options}
        properties = {
            name: _plain(part) if isinstance(part, Mapping) else part
            for name, part in schema["properties"].items()
        }
        return {**schema, "properties": properties}

    # The class -------------------------------------------------------------------------------

    def _refusal(self, error: BaseException) -> SpawnerError:
        said = getattr(error, "log_message", None) or str(error) or repr(error)
        return SpawnerError(f"{self.spawner_class} could not start it: {said}")

    def _make(self, handle: Handle) -> Any:
        """An instance of the class for one session.

        Raises
        ------
        SpawnerError
            If it is not installed, or not configured as it can be.
        """
        cls, user, hub, orm_spawner, nothing = _hub(self.spawner_class, str(handle["session"]))
        settings = {
            "config": self._config(),
            "user": user,
            "hub": hub,
            "db": nothing,
            "orm_spawner": orm_spawner,
            "user_options": dict(handle["options"]),
        }
        settings |= {name: value for name, value in OURS.items() if name in cls.class_traits()}
        unknown = self.spawner_config.keys() - cls.class_trait_names()
        if unknown:
            raise SpawnerError(f"{self.spawner_class} has no trait {min(unknown)!r}.")
        try:
            one = cls(**{**settings, **self.spawner_config})
            one.load_state(dict(handle["state"]))
        except TraitError as error:
            raise SpawnerError(f"{self.spawner_class}: {error}") from error
        return one

    def _config(self) -> Config:
        config = Config()
        if self.hub_config:
            try:
                config.merge(PyFileConfigLoader(self.hub_config).load_config())
            except Exception as error:  # whatever a file of Python may raise
                raise SpawnerError(f"{self.hub_config} cannot be read: {error!r}") from error
        config.merge(self.config)
        config = deepcopy(config)
        for section in list(config.values()):  # of classes that are wrapped by others, too
            if isinstance(section, Config):
                section.update({name: OURS[name] for name in OURS if name in section})
        config.BatchSpawnerBase.update(OURS)
        return config


def _layers(one: Any) -> list[Any]:
    """An instance, and within it that which does the work (`wrapspawner`)."""
    child = getattr(one, "child_spawner", None)
    return [one] if child is None else [one, *_layers(child)]


def _state(one: Any) -> dict[str, Any]:
    """What the class has started; empty if nothing, whatever else it keeps."""
    return dict(one.get_state()) if _layers(one)[-1].get_state() else {}


async def _end(one: Any) -> None:
    """Let the class end what it has started, if that has not ended yet."""
    if await one.poll() is not None:
        return
    try:
        await one.stop(now=True)
    except Exception:
        # Schedulers refuse to cancel a job that has just ended: a moment later the class knows.
        for _ in range(LOOKS):
            if await one.poll() is not None:
                return
            await asyncio.sleep(LATER)
        raise


def _await_child(one: Any) -> None:
    """Be there for the end of a process that the class has started as ours."""
    if isinstance(child := getattr(_layers(one)[-1], "proc", None), subprocess.Popen):
        name = f"sessions-hub-{child.pid}"
        threading.Thread(target=child.wait, name=name, daemon=True).start()


def _plain(part: Mapping[str, Any]) -> dict[str, Any]:
    """A property whose text is fit for a script, unless the administrator has said what is."""
    said = part.keys() & {"pattern", "enum", "const", "oneOf", "anyOf"}
    text = part.get("type", "string") == "string"
    return {**part, "pattern": PLAIN} if text and not said else dict(part)


class _Nothing:
    """A database that keeps nothing, for objects of JupyterHub that want to be in one."""

    def add(self, *_: Any) -> None: ...

    def commit(self) -> None: ...

    def delete(self, *_: Any) -> None: ...


def _hub(spawner_class: str, session_id: str) -> tuple[Any, Any, Any, Any, _Nothing]:
    """The class, and what its instances live with: JupyterHub's own objects, without a hub.

    Raises
    ------
    SpawnerError
        If JupyterHub or the class is not installed.
    """
    try:
        from jupyterhub import objects, orm
        from jupyterhub.spawner import Spawner as HubSpawner
        from jupyterhub.user import User
    except ImportError as error:
        raise SpawnerError(
            "JupyterHub is needed for its spawners: python -m pip install 'jupyter_sessions[hub]'.",
            reason="no_program",
        ) from error
    known = {e.name: e.value for e in entry_points(group="jupyterhub.spawners")}
    name = known.get(spawner_class, spawner_class).replace(":", ".")
    try:
        cls = import_item(name)
    except (ImportError, ValueError) as error:
        raise SpawnerError(
            f"The class {spawner_class!r} cannot be loaded: {error}.", reason="no_program"
        ) from error
    if not (isinstance(cls, type) and issubclass(cls, HubSpawner)):
        raise SpawnerError(f"{name} is not a spawner class of JupyterHub.")
    nothing = _Nothing()
    account = pwd.getpwuid(os.geteuid()).pw_name
    make_user: Any = User
    user = make_user(orm.User(name=account), {"base_url": "/"}, db=nothing)
    hub = objects.Hub(ip="127.0.0.1", port=8081, base_url="/hub/")
    return cls, user, hub, orm.Spawner(name=session_id), nothing
