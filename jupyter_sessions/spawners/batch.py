"""Sessions as jobs of a batch system: what Slurm, PBS and Grid Engine have in common."""

from __future__ import annotations

import re
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from traitlets import Bool, Dict, Float, List, TraitError, Unicode, default, validate

from ..errors import SpawnerError, Unreachable
from ..hosts.base import Completed
from ..reaching.nodes import ReachesNodes
from ..session import Handle, Report
from . import script
from .base import SENT, Launch, Spawner, Usage, runner_payload, runner_usage
from .choices import Choices, Offered, said
from .directives import (
    HOURS,
    Schema,
    check_arguments,
    check_configuration,
    own_arguments,
    schema_of,
)
from .jobs import UNSEEN, Job, Phase, margin_of
from .silence import Silence
from .watch import Watch

CANCEL_GRACE = 10.0
"""Seconds beyond its own grace that a runner may take to end its job before that is cancelled."""


OLDEST = 50
"""Old attempts that are removed at a time; each start removes those that are too old by then."""


class BatchSpawner(ReachesNodes, Spawner):
    """Submits a job that runs ``runner.pyz supervise``; the runner starts and supervises the app.

    The attempt's directory has to be seen by the host that submits and by the nodes: that is how
    the runner tells what it does, and how it is told. A job is one attempt, and carries its name;
    what is put back into the queue ends by itself, and the session's next attempt is submitted.

    Subclasses say how a job is submitted, asked about, found and cancelled. All commands run on
    `host`, so that a cluster behind a login node needs no class of its own.
    """

    system: ClassVar[str] = "batch"
    """What people call it."""
    job_variable: ClassVar[str] = ""
    """The variable of a job's environment that has its id."""
    separators: ClassVar[str] = ""
    """Characters with which one argument of a submission asks for more than one thing: text has
    none, unless the administrator gives a `pattern`."""
    brings_output: ClassVar[bool] = False
    """Whether it writes the job's output into the attempt's directory at the end, all at once: that
    has to be there so long, and nobody hears of failed deliveries."""
    submit_program: ClassVar[str] = "qsub"
    """The command that submits; the name of the job is on its command line."""
    built_in: ClassVar[Mapping[str, Schema]] = {"hours": HOURS}
    """The options there are by themselves."""

    poll_interval = Float(
        1,
        min=0.05,
        help="""Seconds between looks at sessions that start or stop, at their files only. All
        others are looked at each `query_interval`.""",
    ).tag(config=True)
    query_interval = Float(
        10,
        min=0.05,
        help="""Seconds between two status queries to the scheduler, each about all sessions at
        once. Lower notices sooner what only the scheduler knows, and is more work for it.""",
    ).tag(config=True)
    queue_timeout = Float(
        None,
        allow_none=True,
        min=0,
        help="""Seconds that a job may wait in the queue before it is cancelled; None for no
        limit. Time in the queue never counts against the app's own `ready.timeout`.""",
    ).tag(config=True)
    python = Unicode(
        "python3",
        help="""The Python (3.6 or later) that runs the supervisor on the nodes: a name on the
        PATH of jobs there, or an absolute path.""",
    ).tag(config=True)
    directory = Unicode(
        help="""Where attempts keep their files, if homes are not shared with the nodes: an
        absolute path that the host and the nodes both see; `{user}` is the user's name. Empty for
        the usual place below the home.""",
    ).tag(config=True)
    script_template = Unicode(
        script.TEMPLATE,
        help="""The job's script. `{command}` runs the session, and has to be there; `{prologue}`
        are the lines of that trait; `{name}`, `{session}`, `{attempt}`, `{directory}` and the
        options (`{partition}`, …) may be. `{{` and `}}` are braces; `${NAME}` is the shell's.""",
    ).tag(config=True)
    prologue = Unicode(
        help="""Lines of shell to run in the job before the session: `module load …`.""",
    ).tag(config=True)
    directives = Dict(
        help="""What people may ask for, by option: parts of a JSON Schema that go over the
        built-in one (`{"gpus": {"maximum": 4}}`), or False to take the option away. Options of
        your own need an `argument`: `{"licenses": {"type": "string", "argument":
        "--licenses={}"}}`.""",
    ).tag(config=True)
    fixed = Dict(
        help="""Values of options that are decided, and not shown: `{"account": "x"}`.""",
    ).tag(config=True)
    extra = List(
        Unicode(),
        help="""Arguments that are added to each submission as they are.""",
    ).tag(config=True)
    export_environment = Bool(
        True,
        help="""Whether jobs get the environment of the submitting side, without what is
        Jupyter's own. Off, they begin with what the nodes give.""",
    ).tag(config=True)
    resubmit = Bool(
        True,
        help="""Whether a session whose job was preempted, put back into the queue, or lost with
        its node, is submitted again by itself. Its URL stays the same.""",
    ).tag(config=True)
    walltime_margin = Float(
        60,
        min=0,
        help="""Seconds before the end of the job's time at which the session is ended in good
        order (a tenth of the time for short jobs).""",
    ).tag(config=True)
    choices_interval = Float(
        300,
        min=1,
        help="""Seconds for which what the scheduler offers (queues, accounts, limits) is kept.""",
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.silence = Silence()
        self._offered = Offered(
            lambda: self.silence.ask(self.ask_choices), lambda: self.choices_interval, self.log
        )
        self._watch = Watch(self)
        self._stops: dict[str, float] = {}
        self._account = ""

    @default("title")
    def _title(self) -> str:
        return self.name

    @validate("directives")
    def _check_directives(self, proposal: Any) -> Any:
        if wrong := check_configuration(proposal["value"], self.built_in):
            raise TraitError(wrong)
        return proposal["value"]

    def misconfigured(self) -> str:
        in_script = set(script.names_in(self.script_template)) - {"command", "prologue"}
        known = {*self.built_in, *self.directives, *in_script}
        if unknown := self.fixed.keys() - known:
            there = ", ".join(sorted(known))
            return f"fixed[{min(unknown)!r}] is none of {there}: say in directives what it becomes"
        return ""

    @validate("directory")
    def _check_directory(self, proposal: Any) -> Any:
        if proposal["value"] and not proposal["value"].startswith("/"):
            raise TraitError("directory has to be an absolute path, or empty")
        return proposal["value"]

    # What each scheduler says in its own way -------------------------------------------------

    @abstractmethod
    async def submit(
        self, name: str, source: bytes, values: Mapping[str, Any], directory: str
    ) -> str:
        """Submit the script `source` as the job `name`, and return its id.

        Parameters
        ----------
        values
            What is asked for, by option, `fixed` included; ``seconds`` is the time that the job
            may take, or None.
        directory
            The attempt's, on the host: the job's output goes into the file ``log`` there.

        Raises
        ------
        SpawnerError
            With the scheduler's own sentence.
        Unreachable
            If it did not answer. It may have taken the job: `named` tells.
        """

    @abstractmethod
    async def query(self, ids: Sequence[str]) -> Mapping[str, Job]:
        """The jobs `ids` of the user, by id: one command for all of them, more for those that are
        no longer in the queue.

        Leave out those about which nothing is known; say `Phase.GONE` only if the scheduler does.

        Raises
        ------
        Unreachable
            If it did not answer.
        """

    @abstractmethod
    async def named(self, name: str) -> list[str]:
        """The ids of the user's jobs called `name` that have not ended, and of the last that has,
        if the scheduler still knows it; those that have not ended come first.

        Raises
        ------
        Unreachable
        """

    @abstractmethod
    async def cancel(self, ids: Sequence[str]) -> None:
        """Cancel jobs, with one command. Harmless for those that are over.

        Raises
        ------
        SpawnerError, Unreachable
        """

    async def ask_choices(self) -> Choices:
        """What can be asked for now. Called in the background; see `Choices`."""
        return Choices()

    def job_name(self, launch: Launch) -> str:
        """The name of an attempt's job: the session can be found by it, and only by it."""
        return f"jupyter-sessions-{launch.session_id}-{launch.attempt}"

    # A spawner -------------------------------------------------------------------------------

    async def start(self, launch: Launch) -> AsyncIterator[Handle]:
        directory, name = await self.attempt_directory(launch), self.job_name(launch)
        handle: dict[str, Any] = {
            "directory": directory,
            "name": name,
            "grace": launch.stop_grace,
            "keys": launch.directory,
            "prepared": time.time(),
        }
        yield handle
        known = {**self.built_in, **self.directives}
        values = {**dict.fromkeys(known), **launch.resources, **self.fixed}
        check_arguments(values)
        seconds = self._seconds(values, launch.timeout)
        if seconds is not None:
            most = seconds - margin_of(seconds, self.walltime_margin)
            timeout = most if launch.timeout is None else min(launch.timeout, most)
            launch = replace(launch, timeout=timeout)
        payload = runner_payload(await self.placed(launch), directory)
        gate = await self.gate_of(launch.directory, directory)
        ours = {"job_variable": self.job_variable, "copy": True, "gate": gate}
        await self.host.runner("prepare", {**payload, **ours})
        command = [self.python, "-I", "-S", f"{directory}/runner.pyz", "supervise", directory]
        names = {
            "name": name,
            "session": launch.session_id,
            "attempt": str(launch.attempt),
            "directory": directory,
        }
        source = script.fill(self.script_template, command, values, names, self.prologue)
        values["seconds"] = seconds
        job = await self.silence.ask(self.submit, name, source, values, directory)
        self._watch.stir()
        yield {**handle, "job": job, "submitted": time.time()}

    async def find(self, launch: Launch) -> Handle | None:
        directory, name = await self.attempt_directory(launch), self.job_name(launch)
        handle = {"directory": directory, "name": name, "grace": launch.stop_grace}
        handle["keys"] = launch.directory
        # Asked first: what ends meanwhile with a job in the queue is found there.
        submitting = await self._submitting(name)
        if ids := await self.silence.ask(self.named, name):
            return {**handle, "job": ids[0]}
        if submitting:
            raise Unreachable(
                f"A submission to {self.system} that another server began is still under way."
            )
        status = await self._status(directory)
        if status.get("job"):  # it ran, and the scheduler has forgotten it since
            return {**handle, "job": status["job"]}
        return None

    async def poll(self, handles: Mapping[str, Handle]) -> Mapping[str, Report]:
        return await self._watch.poll(handles)

    async def stop(self, handle: Handle) -> None:
        """Leave word for the runner; cancel what has none, or does not heed it."""
        directory, name = str(handle["directory"]), str(handle.get("name") or "")
        self._watch.stir()
        status = await self.host.runner("stop", {"directory": directory, "wait": 1.0})
        first = self._stops.setdefault(directory, time.monotonic())
        patience = float(handle.get("grace") or 0) + CANCEL_GRACE
        heeds = status.get("ran") and time.monotonic() - first < patience
        if heeds and (status.get("exit") or {}).get("reason") not in (None, *UNSEEN):
            return  # the job ends with its runner
        jobs = await self._open(handle, name)
        pending = [job.id for job in jobs if job.phase is not Phase.RUNNING]
        running = [job.id for job in jobs if job.phase is Phase.RUNNING]
        if doomed := pending + ([] if heeds else running):
            await self.silence.ask(self.cancel, doomed)
            self._watch.stir()

    def logs(self, handle: Handle, *, lines: int, follow: bool) -> AsyncIterator[bytes]:
        return self.host.follow(f"{handle['directory']}/log", lines, follow)

    def output(self, handle: Handle) -> str:
        """The file into which the scheduler writes what it has to say of a job."""
        return f"{handle['directory']}/log"

    async def note(self, handle: Handle, line: str) -> None:
        await self.host.runner("note", {"directory": handle["directory"], "line": line})

    async def ready(self, handle: Handle) -> None:
        await self.host.runner("ready", {"directory": handle["directory"]})

    async def limit(self, handle: Handle, timeout: float | None) -> None:
        await self.host.runner("limit", {"directory": handle["directory"], "timeout": timeout})

    async def usage(self, handles: Mapping[str, Handle]) -> Mapping[str, Usage]:
        return await runner_usage(self.host, handles)

    async def available(self) -> str:
        if said := await super().available():
            return said
        await self._offered.look()
        return self._offered.problem

    async def placed(self, launch: Launch) -> Launch:
        launch = await super().placed(launch)
        if not self.directory:
            return launch
        fields, place = dict(launch.fields), f"{await self._place()}/{launch.session_id}"
        if fields.get("state_dir"):
            fields["state_dir"] = f"{place}/state"
        for name in SENT:
            if launch.mentions(name) and (folder := fields.get(name)):
                there = f"{place}/{launch.attempt}/{name}"
                await self._copy(str(folder), [place, f"{place}/{launch.attempt}", there])
                fields[name] = there
        return replace(launch, fields=fields)

    async def _copy(self, folder: str, made: Sequence[str]) -> None:
        """Copy a folder of the host's to where the nodes see it: the last of those to be `made`."""
        for argv in (
            ["mkdir", "-p", "-m", "700", "--", *made],
            ["cp", "-R", "--", f"{folder}/.", made[-1]],
        ):
            done = await self.run(argv)
            if done.code:
                said = done.stderr.decode("utf-8", "replace").strip()
                raise SpawnerError(f"{folder} cannot be copied to {made[-1]} (`directory`): {said}")

    async def forget(self, session_id: str, before: int | None = None) -> None:
        await super().forget(session_id, before)
        if not self.directory or not re.fullmatch(r"[A-Za-z0-9-]+", session_id):
            return
        place = f"{await self._place()}/{session_id}"
        old = [place] if before is None else [f"{place}/{n}" for n in range(1, before)[-OLDEST:]]
        if old:
            await self.run(["rm", "-rf", "--", *old])

    def options_schema(self) -> dict[str, Any]:
        choices, age = self._offered.choices, self._offered.age
        built_in = {n: s for n, s in self.built_in.items() if choices.schemas.get(n, s) is not None}
        chosen = {n: s for n, s in choices.schemas.items() if s is not None}
        schema = schema_of(
            built_in,
            chosen,
            {**self.restrictions(), **self.directives},
            self.fixed,
            choices.rules,
            script.names_in(self.script_template),
            self.separators,
        )
        if age is not None:
            for name in chosen.keys() & schema["properties"].keys():
                option = schema["properties"][name]
                option["x-choices-age"] = round(age)
                if "enum" in chosen[name]:
                    option["description"] = f"{option.get('description', '')} {said(age)}".strip()
        return schema

    def restrictions(self) -> Mapping[str, Schema]:
        """What traits of a subclass say about options: goes below `directives`."""
        return {}

    # Behind it -------------------------------------------------------------------------------

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout: float = 40,
        env: Mapping[str, str | None] | None = None,
    ) -> Completed:
        """Run a command of the scheduler on the host.

        Raises
        ------
        SpawnerError
            If it is not installed there.
        Unreachable
        """
        return await self.host.run(argv, stdin=stdin, timeout=timeout, env=env)

    async def account_name(self) -> str:
        """The user's name on the host."""
        if not self._account:
            done = await self.run(["id", "-un"])
            self._account = done.stdout.decode("utf-8", "replace").strip()
            if done.code or not self._account:
                raise Unreachable("The host does not say who the user is there (id -un).")
        return self._account

    def arguments_of_own(self, values: Mapping[str, Any]) -> list[str]:
        """What the administrator adds to each submission."""
        return [*own_arguments(self.directives, values), *self.extra]

    def _seconds(self, values: Mapping[str, Any], timeout: float | None) -> float | None:
        """How long the job may take: what was asked for, and no longer than the session."""
        asked = None if values.get("hours") is None else 3600 * float(values["hours"])
        # The session gets its whole time: what the job needs around it comes on top.
        limits = [asked, None if timeout is None else timeout + max(60.0, self.walltime_margin)]
        return min((limit for limit in limits if limit is not None), default=None)

    async def attempt_directory(self, launch: Launch) -> str:
        if self.directory:
            return f"{await self._place()}/{launch.session_id}/{launch.attempt}"
        return await super().attempt_directory(launch)

    async def _place(self) -> str:
        """The trait `directory`, with the user's name filled in."""
        place = self.directory.rstrip("/")
        user = await self.account_name() if "{user}" in place else ""
        return place.replace("{user}", user)

    async def _submitting(self, name: str) -> bool:
        """Whether a submit command for the job `name` runs on the host.

        It outlives the server that began it, and what has not reached the scheduler is in no list.
        """
        pattern = f"{self.submit_program}.*{re.escape(name)}"
        try:
            done = await self.run(["pgrep", "-U", await self.account_name(), "-f", "--", pattern])
        except Unreachable:
            raise
        except SpawnerError:  # no such program there: a second job would end by itself
            return False
        return done.code == 0

    async def _status(self, directory: str) -> dict[str, Any]:
        answer = await self.host.runner("poll", {"directories": [directory]})
        status: dict[str, Any] = answer["statuses"].get(directory, {})
        return status

    async def _open(self, handle: Handle, name: str) -> list[Job]:
        """The jobs of an attempt that are not over: one, or two after a crash at the wrong time."""
        ids = list(await self.silence.ask(self.named, name)) if name else []
        if (known := handle.get("job")) and known not in ids:
            ids.append(str(known))
        jobs = await self.silence.ask(self.query, ids) if ids else {}
        over = (Phase.ENDED, Phase.GONE, Phase.ENDING)
        return [job for job in jobs.values() if job.phase not in over]
