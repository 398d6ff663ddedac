"""Sessions as Grid Engine jobs: Son of Grid Engine 8.1, Univa and Altair Grid Engine."""

from __future__ import annotations

import re
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from traitlets import List, Unicode

from ..errors import SpawnerError, Unreachable
from .batch import BatchSpawner
from .choices import Choices
from .directives import CPUS, GPUS, HOURS, MEMORY, Schema, megabytes, name_of, refusal
from .jobs import Job, Phase

SILENT = re.compile(
    r"commlib|qmaster|unable to contact|can't connect|cannot connect|timeout|timed out", re.I
)
"""What a client says if it was not Grid Engine that refused."""
NO_SUCH_JOB = re.compile(r"do(es)? not exist|<unknown_jobs>", re.IGNORECASE)
ACCOUNTED = 30.0
"""Seconds that the accounting may take to learn of a job that has left the queue."""
KILLED = 128 + 9


class GridEngineSpawner(BatchSpawner):
    """Jobs of ``qsub``, asked about with ``qstat -xml``, and ``qacct`` once they have left."""

    system: ClassVar[str] = "Grid Engine"
    job_variable: ClassVar[str] = "JOB_ID"
    built_in: ClassVar[Mapping[str, Schema]] = {
        "queue": name_of("Queue", "Empty for any."),
        "project": name_of("Project", "Whose work it is.", **{"x-advanced": True}),
        "account": name_of("Account", "Who pays.", **{"x-advanced": True}),
        "cpus": CPUS,
        "memory": MEMORY,
        "gpus": GPUS,
        "hours": HOURS,
    }

    queues = List(
        Unicode(), help="The only queues that may be chosen; empty for all there are."
    ).tag(config=True)
    parallel_environment = Unicode(
        "smp",
        help="""The parallel environment of jobs with several processors: one whose slots are all
        on one node.""",
    ).tag(config=True)
    memory_resource = Unicode(
        "h_vmem", help="The resource that memory is asked for with, per slot."
    ).tag(config=True)
    gpu_resource = Unicode("gpu", help="The resource that GPUs are asked for with.").tag(
        config=True
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._missing: dict[str, float] = {}

    async def submit(
        self, name: str, source: bytes, values: Mapping[str, Any], directory: str
    ) -> str:
        argv = [
            *("qsub", "-terse", "-N", name, "-o", f":{directory}/log", "-j", "y"),
            *("-wd", directory, "-S", "/bin/sh", "-r", "n"),
            *(["-V"] if self.export_environment else []),
            *self.arguments(values),
            *self.arguments_of_own(values),
        ]
        done = await self.run(argv, stdin=source)
        if done.code == 0 and (found := re.search(rb"^(\d+)", done.stdout, re.MULTILINE)):
            return found.group(1).decode()
        said = done.stderr + done.stdout
        if SILENT.search(said.decode("utf-8", "replace")) or done.code < 0:
            raise self._silent(said)
        raise refusal(self.system, "qsub", said)

    def arguments(self, values: Mapping[str, Any]) -> list[str]:
        """What was chosen, as arguments of qsub."""
        found: list[str] = []
        for option, name in (("-q", "queue"), ("-P", "project"), ("-A", "account")):
            if values.get(name):
                found += [option, str(values[name])]
        slots = int(values.get("cpus") or 1)
        if slots > 1:
            found += ["-pe", self.parallel_environment, str(slots)]
        asked = []
        if values.get("memory"):
            asked.append(f"{self.memory_resource}={-(-megabytes(values['memory']) // slots)}M")
        if values.get("gpus"):
            asked.append(f"{self.gpu_resource}={values['gpus']}")
        if (seconds := values.get("seconds")) is not None:
            asked.append(f"h_rt={int(-(-seconds // 1))}")
        return [*found, "-l", ",".join(asked)] if asked else found

    async def query(self, ids: Sequence[str]) -> Mapping[str, Job]:
        listed = {job.id: job for job, _ in await self._listed()}
        jobs = {job_id: listed[job_id] for job_id in ids if job_id in listed}
        self._missing = {i: since for i, since in self._missing.items() if i not in listed}
        for job_id in ids:
            if job_id not in jobs and (left := await self._left(job_id)) is not None:
                jobs[job_id] = left
        for job_id, job in jobs.items():
            if job.phase is Phase.STUCK:
                jobs[job_id] = await self._stuck(job_id)
        return jobs

    async def _listed(self) -> list[tuple[Job, str]]:
        """The user's jobs that have not ended, each with its name."""
        argv = ["qstat", "-xml", "-r", "-u", await self.account_name()]
        done = await self.run(argv)
        if done.code:
            raise self._silent(done.stderr or done.stdout)
        try:
            return list(read_jobs(done.stdout.decode("utf-8", "replace")))
        except ElementTree.ParseError as error:
            raise Unreachable(f"qstat does not answer in XML: {error}.") from None

    async def _left(self, job_id: str) -> Job | None:
        """What became of a job that is no longer listed; None if that is not known yet."""
        done = await self.run(["qacct", "-j", job_id], timeout=60)
        if done.code == 0:
            return read_account(job_id, done.stdout.decode("utf-8", "replace"))
        shown = await self.run(["qstat", "-j", job_id])
        said = (shown.stdout + shown.stderr).decode("utf-8", "replace")
        if not NO_SUCH_JOB.search(said):
            return None
        since = self._missing.setdefault(job_id, time.monotonic())
        late = time.monotonic() - since > ACCOUNTED
        return Job(id=job_id, phase=Phase.GONE) if late else None

    async def _stuck(self, job_id: str) -> Job:
        """A job in the state of an error: it would wait for ever."""
        done = await self.run(["qstat", "-j", job_id])
        said = done.stdout.decode("utf-8", "replace")
        found = re.search(r"^error reason +\d+: +(.*)$", said, re.MULTILINE)
        why = f": {found.group(1).strip()}" if found else ""
        return Job(id=job_id, phase=Phase.STUCK, reason="stuck", message=f"cannot run{why[:300]}")

    async def named(self, name: str) -> list[str]:
        if ids := [job.id for job, called in await self._listed() if called == name]:
            return ids
        done = await self.run(["qacct", "-j", name], timeout=60)
        said = done.stdout.decode("utf-8", "replace")
        return [] if done.code else re.findall(r"^jobnumber +(\d+)", said, re.MULTILINE)[-1:]

    async def cancel(self, ids: Sequence[str]) -> None:
        done = await self.run(["qdel", *ids])
        said = (done.stderr + done.stdout).decode("utf-8", "replace")
        if done.code and not NO_SUCH_JOB.search(said):
            if SILENT.search(said):
                raise self._silent(said.encode())
            raise SpawnerError(f"Grid Engine does not delete job {', '.join(ids)}: {said.strip()}")

    def restrictions(self) -> Mapping[str, Schema]:
        return {"queue": {"enum": list(self.queues)}} if self.queues else {}

    async def ask_choices(self) -> Choices:
        done = await self.run(["qconf", "-sql"])
        if done.code:
            raise self._silent(done.stderr or done.stdout)
        queues = done.stdout.decode("utf-8", "replace").split()
        projects = await self.run(["qconf", "-sprjl"])
        names = [] if projects.code else projects.stdout.decode("utf-8", "replace").split()
        return Choices(
            {
                **({"queue": {"enum": queues}} if queues else {}),
                "project": {"enum": names} if names else None,
            }
        )

    def _silent(self, said: bytes) -> Unreachable:
        text = " ".join(said.decode("utf-8", "replace").split())[:400]
        return Unreachable(
            f"Grid Engine does not answer: {(text or 'it said nothing').rstrip('.')}."
        )


def read_jobs(xml: str) -> Iterator[tuple[Job, str]]:
    """The jobs of ``qstat -xml -r``, each with its name."""
    for item in ElementTree.fromstring(xml).iter("job_list"):  # noqa: S314 - of our own qstat
        told = {child.tag: (child.text or "").strip() for child in item}
        job_id, state = told.get("JB_job_number", ""), told.get("state", "")
        name = told.get("full_job_name") or told.get("JB_name", "")
        if not job_id:
            continue
        begun = _moment(told.get("JAT_start_time", ""))
        requests = [e.text or "" for e in item.iter("hard_request") if e.get("name") == "h_rt"]
        seconds = float(requests[0]) if requests and requests[0].isdecimal() else None
        ends = begun + timedelta(seconds=seconds) if begun and seconds is not None else None
        yield _job(job_id, state, told.get("queue_name", ""), begun, ends), name


def _job(job_id: str, state: str, queue: str, begun: datetime | None, ends: datetime | None) -> Job:
    if "E" in state:
        return Job(id=job_id, phase=Phase.STUCK)
    if "q" in state or ("h" in state and "r" not in state):
        held = "h" in state
        reason, message = ("held", "is held") if held else ("queued", "waits for a free slot")
        return Job(id=job_id, phase=Phase.PENDING, reason=reason, message=message)
    suspended = any(letter in state for letter in "sST")
    return Job(
        id=job_id,
        phase=Phase.RUNNING,
        reason="suspended" if suspended else "",
        message="is suspended" if suspended else "",
        host=queue.rpartition("@")[2],
        started=begun,
        ends=ends,
    )


def read_account(job_id: str, text: str) -> Job:
    """How a job ended, by ``qacct -j``: the last record counts, as ids come round again."""
    record = text.rpartition("=" * 20)[2]
    facts = dict(re.findall(r"^(\w+) +(.*?) *$", record, re.MULTILINE))
    code = int(re.match(r"\d*", facts.get("exit_status", "")).group() or 0)  # type: ignore[union-attr]
    failed = int(re.match(r"\d*", facts.get("failed", "")).group() or 0)  # type: ignore[union-attr]
    limit = re.search(r"\bh_rt=(\d+)", facts.get("category", ""))
    ran = re.match(r"[\d.]+", facts.get("ru_wallclock", ""))
    host = facts.get("hostname", "")
    late = limit and ran and float(ran.group()) >= float(limit.group(1)) - 1
    reason, message, again = "completed", "has ended", False
    if failed == 37 or (code >= KILLED and late):
        reason, message = "walltime", "was ended: its time was up"
    elif failed in (25, 99):
        reason, message, again = "requeued", "was put back into the queue", True
    elif failed == 100 or code >= KILLED:
        reason, message = "cancelled", "was killed: deleted, or over a limit of its queue"
    elif failed:
        what = facts["failed"].partition(":")[2].strip()
        reason, message = "failed", f"failed ({what or failed})"
    elif code:
        reason, message = "failed", f"failed with code {code}"
    return Job(id=job_id, phase=Phase.ENDED, reason=reason, message=message, host=host, again=again)


def _moment(text: str) -> datetime | None:
    """A time of ``qstat -xml``: local, without a zone; Univa's are milliseconds since 1970."""
    if text.isdecimal():
        return datetime.fromtimestamp(int(text) / (1000 if len(text) > 11 else 1), UTC)
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None
