"""Sessions as Grid Engine jobs: Son of Grid Engine 8.1, Univa and Altair Grid Engine."""

from __future__ import annotations

import re
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from traitlets import List, Unicode

from ..errors import SpawnerError, Unreachable
from ..hosts.base import Completed
from .batch import BatchSpawner
from .choices import Choices
from .cluster_queues import bytes_of, choices_of, read_lists, sections
from .directives import CPUS, GPUS, HOURS, MEMORY, Schema, megabytes, name_of, refusal
from .jobs import TOO_MUCH, Job, Phase

SILENT = re.compile(
    r"commlib|qmaster|unable to contact|can't connect|cannot connect|timeout|timed out", re.I
)
"""What a client says if it was not Grid Engine that refused."""
PLAIN = {"TZ": "UTC0", "LC_ALL": "C", "SGE_SINGLE_LINE": "1"}
"""Makes its commands tell times without a zone in UTC, and each value on one line."""
OURS = ("-sync", "n", "-now", "n", "-b", "n", "-r", "y", "-hard")
"""Options of a `sge_request` file, the site's or the user's, that no session can do with."""
ACCOUNTED = 30.0
"""Seconds that the accounting may take to learn of a job that has left the queue."""
WHY = 30.0
"""Seconds between two questions about what jobs wait for, each about `AT_ONCE` of them."""
AT_ONCE = 20
KILLED = 128 + 9
ENFORCED = 37
"""Accounting: ended by a limit on time or memory. 25 and 99: put back into the queue."""
REQUEUED = (25, 99)
LOST = (19, 21)
"""Accounting: the host came back, and the job was no longer there."""
OUR_SHELL = b"#!/bin/sh\n"
USERS_SHELL = b'[ -z "$SGE_O_SHELL" ] || export SHELL="$SGE_O_SHELL"\n'
"""Undoes that jobs find the shell of their script in SHELL: terminals would start that."""
REPLACED = re.compile(r"\$(HOME|USER|JOB_ID|JOB_NAME|HOSTNAME|TASK_ID|SGE_TASK_ID)")
"""What Grid Engine replaces in the name of a directory."""


class GridEngineSpawner(BatchSpawner):
    """Jobs of ``qsub``, asked about with ``qstat -xml``, and ``qacct`` once they have left."""

    system: ClassVar[str] = "Grid Engine"
    job_variable: ClassVar[str] = "JOB_ID"
    separators: ClassVar[str] = ","
    built_in: ClassVar[Mapping[str, Schema]] = {
        "queue": name_of("Queue", "Empty for any."),
        "project": name_of("Project", "Whose work it is.", **{"x-advanced": True}),
        "account": name_of("Account", "Who pays.", **{"x-advanced": True}),
        "cpus": CPUS,
        "parallel_environment": name_of(
            "Parallel environment", "For more than one processor.", **{"x-advanced": True}
        ),
        "memory": MEMORY,
        "gpus": GPUS,
        "hours": HOURS,
    }

    queues = List(
        Unicode(), help="The only queues that may be chosen; empty for all there are."
    ).tag(config=True)
    parallel_environment = Unicode(
        "smp",
        help="""The parallel environment of jobs with several processors, unless another is chosen:
        one whose slots are all on one node. Only such are offered.""",
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
        self._waits: dict[str, str] = {}
        self._asked_why = time.monotonic()

    async def submit(
        self, name: str, source: bytes, values: Mapping[str, Any], directory: str
    ) -> str:
        if replaced := REPLACED.search(directory):
            raise SpawnerError(
                f"Grid Engine would replace {replaced.group()} in the name of the session's folder"
                f" {directory}: have `directory` of the spawner name a place without it."
            )
        argv = [
            # Not the whole path: commas and colons separate several.
            *("qsub", *OURS, "-terse", "-N", name, "-o", "log", "-j", "y"),
            *("-wd", directory, "-S", "/bin/sh"),
            *(["-V"] if self.export_environment else []),
            *self.arguments(values),
            *self.arguments_of_own(values),
        ]
        if source.startswith(OUR_SHELL):
            source = OUR_SHELL + USERS_SHELL + source.removeprefix(OUR_SHELL)
        done = await self.run(argv, stdin=source)
        if done.code == 0 and (found := re.search(rb"^(\d+)(\.)?", done.stdout, re.MULTILINE)):
            job_id = found.group(1).decode()
            if found.group(2):
                await self.cancel([job_id])
                raise SpawnerError(
                    "Grid Engine made an array of the job: -t in a sge_request file, or in"
                    " `extra`, has to go."
                )
            return job_id
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
            environment = values.get("parallel_environment") or self.parallel_environment
            found += ["-pe", str(environment), str(slots)]
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
        if missing := [job_id for job_id in ids if job_id not in listed]:
            jobs |= await self._left(missing)
        for job_id, job in jobs.items():
            if job.phase is Phase.STUCK:
                jobs[job_id] = await self._stuck(job_id)
        return await self._explained(jobs)

    async def _listed(self) -> list[tuple[Job, str]]:
        """The user's jobs that have not ended, each with its name."""
        user = await self.account_name()
        done = await self._ask("qstat", "-xml", "-f", "-ne", "-r", "-s", "prs", "-u", user)
        if done.code:
            raise self._silent(done.stderr or done.stdout)
        try:
            return list(read_jobs(done.stdout.decode("utf-8", "replace")))
        except ElementTree.ParseError as error:
            raise Unreachable(f"qstat does not answer in XML: {error}.") from None

    async def _left(self, ids: Sequence[str]) -> dict[str, Job]:
        """What became of jobs that are not listed; without those of which that is not known yet.

        The accounting is believed only of jobs that there are no more: ids come round again, and
        what is put back into the queue has a record, too.
        """
        shown = await self._ask("qstat", "-j", ",".join(ids))
        said = (shown.stderr or shown.stdout).decode("utf-8", "replace")
        _, denied, absent = said.partition("do not exist")
        gone = set(re.findall(r"\d+", absent)) if denied else set()
        jobs = {}
        for job_id in ids:
            if job_id not in gone:
                continue
            done = await self._ask("qacct", "-j", job_id, timeout=60)
            since = self._missing.setdefault(job_id, time.monotonic())
            if done.code == 0:
                jobs[job_id] = read_account(job_id, done.stdout.decode("utf-8", "replace"))
            elif time.monotonic() - since > ACCOUNTED:
                jobs[job_id] = Job(id=job_id, phase=Phase.GONE)
        return jobs

    async def _stuck(self, job_id: str) -> Job:
        """A job in the state of an error: it would wait for ever."""
        done = await self._ask("qstat", "-j", job_id)
        said = done.stdout.decode("utf-8", "replace")
        found = re.search(r"^error reason +\d+: +(.*)$", said, re.MULTILINE)
        why = f": {found.group(1).strip()}" if found else ""
        return Job(id=job_id, phase=Phase.STUCK, reason="stuck", message=f"cannot run{why[:300]}")

    async def _explained(self, jobs: Mapping[str, Job]) -> dict[str, Job]:
        """`jobs`, with what Grid Engine says about those that wait for something special."""
        waiting = [j.id for j in jobs.values() if j.phase is Phase.PENDING and j.reason == "queued"]
        if waiting and time.monotonic() - self._asked_why > WHY:
            done = await self._ask("qstat", "-j", ",".join(waiting[:AT_ONCE]))
            self._waits = dict(read_reasons(done.stdout.decode("utf-8", "replace")))
            self._asked_why = time.monotonic()
        return {
            job_id: replace(job, message=f"{job.message}. Grid Engine says: {self._waits[job_id]}")
            if job_id in waiting and job_id in self._waits
            else job
            for job_id, job in jobs.items()
        }

    async def named(self, name: str) -> list[str]:
        if ids := [job.id for job, called in await self._listed() if called == name]:
            return ids
        done = await self._ask("qacct", "-j", name, timeout=60)
        said = done.stdout.decode("utf-8", "replace")
        return [] if done.code else re.findall(r"^jobnumber +(\d+)", said, re.MULTILINE)[-1:]

    async def cancel(self, ids: Sequence[str]) -> None:
        done = await self._ask("qdel", *ids)
        said = (done.stderr + done.stdout).decode("utf-8", "replace")
        if done.code and not re.search(r"does not exist", said):
            if SILENT.search(said):
                raise self._silent(said.encode())
            raise SpawnerError(f"Grid Engine does not delete job {', '.join(ids)}: {said.strip()}")

    def restrictions(self) -> Mapping[str, Schema]:
        return {"queue": {"enum": list(self.queues)}} if self.queues else {}

    async def ask_choices(self) -> Choices:
        done = await self._ask("qconf", "-sq", "*")
        if done.code:
            raise self._silent(done.stderr or done.stdout)
        queues = sections(done.stdout)
        if self.queues:
            queues = [queue for queue in queues if queue.get("qname") in self.queues]
        environments = []
        for name in sorted({n for queue in queues for n in read_lists(queue.get("pe_list", ""))}):
            told = await self._ask("qconf", "-sp", name)
            rule = sections(told.stdout)[:1]
            if name == self.parallel_environment or (
                rule and rule[0].get("allocation_rule") == "$pe_slots"
            ):
                environments.append(name)
        projects = await self._ask("qconf", "-sprjl")
        names = [] if projects.code else projects.stdout.decode("utf-8", "replace").split()
        complexes = await self._ask("qconf", "-sc")
        resources = {line.split()[0] for line in complexes.stdout.decode().splitlines() if line}
        choices = choices_of(queues, environments, self.parallel_environment)
        absent = {
            option: None
            for option, name in (("memory", self.memory_resource), ("gpus", self.gpu_resource))
            if complexes.code == 0 and name not in resources
        }
        project = {"project": {"enum": names} if names else None}
        return Choices({**choices.schemas, **project, **absent}, choices.rules)

    async def _ask(self, *argv: str, timeout: float = 40) -> Completed:
        """Run a command other than qsub, whose environment is the job's."""
        return await self.run(argv, timeout=timeout, env=PLAIN)

    def _silent(self, said: bytes) -> Unreachable:
        text = " ".join(said.decode("utf-8", "replace").split())[:400]
        return Unreachable(
            f"Grid Engine does not answer: {(text or 'it said nothing').rstrip('.')}."
        )


def read_jobs(xml: str) -> Iterator[tuple[Job, str]]:
    """The jobs of ``qstat -xml -f -r``, each with its name."""
    told = ElementTree.fromstring(xml)  # noqa: S314 - of our own qstat
    for queue in told.iter("Queue-List"):
        host = queue.findtext("name", "").rpartition("@")[2]
        silent = "u" in queue.findtext("state", "")
        for item in queue.iter("job_list"):
            yield from _read_job(item, host, silent)
    for waiting in told.findall("job_info"):
        for item in waiting.iter("job_list"):
            yield from _read_job(item, "", False)


def _read_job(item: ElementTree.Element, host: str, silent: bool) -> Iterator[tuple[Job, str]]:
    job_id, state = item.findtext("JB_job_number", "").strip(), item.findtext("state", "").strip()
    name = (item.findtext("full_job_name") or item.findtext("JB_name") or "").strip()
    if not job_id:
        return
    begun = _moment(item.findtext("JAT_start_time", "").strip())
    requests = [e.text or "" for e in item.iter("hard_request") if e.get("name") == "h_rt"]
    seconds = float(requests[0]) if requests and requests[0].isdecimal() else None
    ends = begun + timedelta(seconds=seconds) if begun and seconds is not None else None
    job = _job(job_id, state, host, begun, ends)
    if silent and job.phase in (Phase.RUNNING, Phase.ENDING):
        message = f"{job.message or 'runs'}; its host {host} does not answer Grid Engine"
        job = replace(job, reason=job.reason or "host_silent", message=message)
    yield job, name


def _job(job_id: str, state: str, host: str, begun: datetime | None, ends: datetime | None) -> Job:
    if "E" in state:
        return Job(id=job_id, phase=Phase.STUCK)
    if "d" in state:
        return Job(
            id=job_id, phase=Phase.ENDING, reason="cancelled", message="was deleted", host=host
        )
    if "R" in state:  # wherever it may run again: not what ran before
        message = "was put back into the queue"
        return Job(id=job_id, phase=Phase.PENDING, reason="requeued", message=message)
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
        host=host,
        started=begun,
        ends=ends,
    )


def read_reasons(text: str) -> Iterator[tuple[str, str]]:
    """What ``qstat -j`` says of jobs that wait, by id: what is more than that queues are full."""
    for job in text.split("=" * 20):
        number = re.search(r"^job_number: +(\d+)", job, re.MULTILINE)
        _, there, info = job.partition("\nscheduling info:")
        lines = [line.strip() for line in info.split("\n")]
        usual = ("it is full", "hard queue list", "not in PE list", "turned off")
        special = [line for line in lines if line and not any(words in line for words in usual)]
        special.sort(key=lambda line: "dropped because" in line)
        if number and there and special:
            yield number.group(1), special[0][:200]


def read_account(job_id: str, text: str) -> Job:
    """How a job ended, by ``qacct -j``: the last record counts, as ids come round again."""
    records = [
        dict(re.findall(r"^(\w+) +(.*?) *$", part, re.MULTILINE)) for part in text.split("=" * 20)
    ]
    facts = records[-1]
    again = [r for r in records[:-1] if r and r.get("jobname") == facts.get("jobname")]
    code, failed = _number(facts.get("exit_status")), _number(facts.get("failed"))
    host = facts.get("hostname", "")
    reason, message = "completed", "has ended"
    if failed in REQUEUED or again:
        reason, message = "requeued", "was put back into the queue"
    elif failed in LOST:
        reason, message = "node_failed", "was lost: its host failed"
    elif failed == ENFORCED or code >= KILLED:
        reason, message = _killed(facts, failed == ENFORCED)
    elif failed == 100:
        reason, message = "cancelled", "was killed: deleted, or over a limit of its queue"
    elif failed:
        what = facts["failed"].partition(":")[2].strip()
        reason, message = "failed", f"failed ({what or failed})"
    elif code:
        reason, message = "failed", f"failed with code {code}"
    return Job(
        id=job_id,
        phase=Phase.ENDED,
        reason=reason,
        message=message,
        host=host,
        again=reason in ("requeued", "node_failed"),
    )


def _killed(facts: Mapping[str, str], enforced: bool) -> tuple[str, str]:
    """Why a job was killed: Grid Engine has one word for all of its limits."""
    asked = facts.get("category", "")
    limit, ran = (
        re.search(r"\bh_rt=(\d+)", asked),
        re.match(r"[\d.]+", facts.get("ru_wallclock", "")),
    )
    if limit and ran and float(ran.group()) >= float(limit.group(1)) - 1:
        return "walltime", "was ended: its time was up"
    memory = re.search(r"\bh_vmem=([\d.]+[kKmMgG]?)", asked)
    most = bytes_of(facts.get("maxvmem", ""))
    if memory and most >= 0.9 * bytes_of(memory.group(1)) * max(1, _number(facts.get("slots"))):
        return "out_of_memory", TOO_MUCH
    if enforced:
        return (
            "over_limit",
            "was ended: over a limit of its queue on time, processor time or memory",
        )
    return "cancelled", "was killed: deleted, or over a limit of its queue"


def _number(text: str | None) -> int:
    found = re.match(r"\d+", text or "")
    return int(found.group()) if found else 0


def _moment(text: str) -> datetime | None:
    """A time of ``qstat -xml``: see `PLAIN`; Univa's are milliseconds since 1970."""
    if text.isdecimal():
        return datetime.fromtimestamp(int(text) / (1000 if len(text) > 11 else 1), UTC)
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        return None
    return told.replace(tzinfo=told.tzinfo or UTC)
