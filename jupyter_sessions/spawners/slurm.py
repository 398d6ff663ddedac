"""Sessions as Slurm jobs: Slurm 20.11 and later."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

from traitlets import Bool, List, Unicode

from ..errors import SpawnerError, Unreachable
from .batch import BatchSpawner
from .choices import Choices
from .directives import (
    CPUS,
    EXPRESSION,
    GPUS,
    HOURS,
    MEMORY,
    Schema,
    clock,
    megabytes,
    name_of,
    refusal,
)
from .jobs import TOO_MUCH, Job, Phase

COLUMNS = "%i|%T|%r|%S|%e|%B|%N"
"""What is asked of squeue: id, state, reason, start, end, first node, nodes. All are plain words:
the name of a job, which may be anything, is not among them."""
TIMES = {"SLURM_TIME_FORMAT": "%s"}
"""Makes Slurm tell times in epoch seconds: what it tells otherwise has no time zone."""
WAITING = {
    "PENDING": "waits",
    "CONFIGURING": "waits for its node to boot",
    "REQUEUED": "was put back into the queue",
    "REQUEUE_FED": "was put back into the queue",
    "REQUEUE_HOLD": "was put back into the queue and is held",
    "SPECIAL_EXIT": "was put back into the queue and is held",
    "RESV_DEL_HOLD": "is held: its reservation is gone",
}
RUNNING = {
    "RUNNING": "",
    "SUSPENDED": "is suspended",
    "STOPPED": "is stopped",
    "SIGNALING": "",
    "RESIZING": "",
    "STAGE_OUT": "",
}
ENDED: Mapping[str, tuple[str, str, bool]] = {
    "COMPLETED": ("completed", "has ended", False),
    "FAILED": ("failed", "failed", False),
    "CANCELLED": ("cancelled", "was cancelled", False),
    "REVOKED": ("cancelled", "was revoked", False),
    "TIMEOUT": ("walltime", "was ended: its time was up", False),
    "DEADLINE": ("deadline", "was ended: its deadline had come", False),
    "OUT_OF_MEMORY": (
        "out_of_memory",
        TOO_MUCH,
        False,
    ),
    "PREEMPTED": ("preempted", "was preempted: others needed its place", True),
    "NODE_FAIL": ("node_failed", "was lost: its node failed", True),
    "BOOT_FAIL": ("node_failed", "could not start: its node did not boot", True),
    "LAUNCH_FAILED": ("node_failed", "could not be started on its node", True),
    "RECONFIG_FAIL": ("node_failed", "could not start: its node was not reconfigured", True),
}
"""State: a word for programs, what people are told, whether the next attempt begins by itself."""
ENDING = {"TimeLimit": "TIMEOUT", "OutOfMemory": "OUT_OF_MEMORY", "NodeDown": "NODE_FAIL"}
"""What the reason of a job that is COMPLETING says about its end."""
SILENT = re.compile(
    r"unable to contact|timed out|temporarily|connect failure|connection refused|zero bytes"
    r"|transport endpoint|communication|not responding|unable to connect|protocol authentication"
    r"|munge|slurmdbd",
    re.IGNORECASE,
)
"""What a client says if it was not Slurm that refused."""
NO_SUCH_JOB = re.compile(r"invalid job id", re.IGNORECASE)


class SlurmSpawner(BatchSpawner):
    """Jobs of ``sbatch``, asked about with ``squeue``, and ``sacct`` where there is accounting."""

    system: ClassVar[str] = "Slurm"
    job_variable: ClassVar[str] = "SLURM_JOB_ID"
    built_in: ClassVar[Mapping[str, Schema]] = {
        "partition": name_of("Partition", "Which nodes."),
        "account": name_of("Account", "Who pays.", **{"x-advanced": True}),
        "qos": name_of("QoS", "Quality of service.", **{"x-advanced": True}),
        "cpus": CPUS,
        "memory": MEMORY,
        "gpus": GPUS,
        "gpu_type": name_of("GPU type", "Empty for any.", **{"x-advanced": True}),
        "hours": HOURS,
        "constraint": {
            "type": "string",
            "title": "Constraint",
            "description": "Features that the node has to have: letters, digits and operators"
            " (intel&ib, a100|h100).",
            "pattern": EXPRESSION,
            "maxLength": 200,
            "x-advanced": True,
        },
        "reservation": name_of("Reservation", "Nodes set aside.", **{"x-advanced": True}),
    }

    partitions = List(
        Unicode(), help="The only partitions that may be chosen; empty for all that Slurm offers."
    ).tag(config=True)
    accounts = List(
        Unicode(), help="The only accounts that may be chosen; empty for all that the user has."
    ).tag(config=True)
    requeue = Bool(
        False,
        help="""Whether Slurm may put jobs back into the queue itself. A session is started again
        either way (see `resubmit`); without this, its job is a new one.""",
    ).tag(config=True)

    async def submit(
        self, name: str, source: bytes, values: Mapping[str, Any], directory: str
    ) -> str:
        argv = [
            "sbatch",
            "--parsable",
            f"--job-name={name}",
            f"--output={directory.replace('%', '%%')}/log",
            "--open-mode=append",
            f"--chdir={directory}",
            "--requeue" if self.requeue else "--no-requeue",
            f"--export={'ALL' if self.export_environment else 'NONE'}",
            *arguments(values),
            *self.arguments_of_own(values),
        ]
        done = await self.run(argv, stdin=source)
        if done.code == 0 and (found := re.search(rb"^(\d+)(;.*)?$", done.stdout, re.MULTILINE)):
            return found.group(1).decode()
        said = (done.stderr or done.stdout).decode("utf-8", "replace")
        if SILENT.search(said) or done.code < 0:
            raise Unreachable(f"Slurm does not answer: {_short(said)}")
        raise refusal(self.system, "sbatch", done.stderr or done.stdout)

    async def query(self, ids: Sequence[str]) -> Mapping[str, Job]:
        done = await self.run(["squeue", "--me", "-h", "-t", "all", "-o", COLUMNS], env=TIMES)
        if done.code:
            said = done.stderr.decode("utf-8", "replace")
            raise Unreachable(f"Slurm does not answer: {_short(said)}")
        wanted = set(ids)
        jobs = {job.id: job for job in _jobs(done.stdout) if job.id in wanted}
        if missing := sorted(wanted - jobs.keys()):
            jobs |= await self._gone(missing)
        return jobs

    async def _gone(self, ids: Sequence[str]) -> dict[str, Job]:
        """What became of jobs that the queue no longer shows."""
        columns = "JobIDRaw,State,ExitCode"
        jobs = {}
        accounted = await self._quietly(
            ["sacct", "-n", "-X", "-P", "-j", ",".join(ids), "-o", columns]
        )
        for line in accounted.splitlines():
            job_id, _, rest = line.partition("|")
            state = rest.partition("|")[0].partition(" ")[0]
            if job_id in ids and state in ENDED:
                jobs[job_id] = _ended(job_id, state)
        for job_id in ids:
            if job_id not in jobs and await self._forgotten(job_id):
                jobs[job_id] = Job(id=job_id, phase=Phase.GONE)
        return jobs

    async def _forgotten(self, job_id: str) -> bool:
        """Whether Slurm says that there is no such job: not to see it in a list proves nothing."""
        done = await self.run(["scontrol", "-o", "show", "job", job_id])
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        return done.code != 0 and NO_SUCH_JOB.search(said) is not None

    async def named(self, name: str) -> list[str]:
        argv = ["squeue", "--me", "-h", "-t", "all", f"--name={name}", "-o", COLUMNS]
        done = await self.run(argv, env=TIMES)
        if done.code:
            said = done.stderr.decode("utf-8", "replace")
            raise Unreachable(f"Slurm does not answer: {_short(said)}")
        jobs = list(_jobs(done.stdout))
        return [j.id for j in sorted(jobs, key=lambda j: (j.phase is Phase.ENDED, -int(j.id)))]

    async def cancel(self, ids: Sequence[str]) -> None:
        done = await self.run(["scancel", *ids])
        said = done.stderr.decode("utf-8", "replace")
        if done.code and not NO_SUCH_JOB.search(said):
            if SILENT.search(said):
                raise Unreachable(f"Slurm does not answer: {_short(said)}")
            raise SpawnerError(f"Slurm does not cancel job {', '.join(ids)}: {_short(said)}")

    def restrictions(self) -> Mapping[str, Schema]:
        lists = {"partition": self.partitions, "account": self.accounts}
        return {name: {"enum": list(names)} for name, names in lists.items() if names}

    async def ask_choices(self) -> Choices:
        done = await self.run(["sinfo", "-h", "-o", "%P|%a|%l|%c|%m|%G|%f"])
        if done.code:
            said = done.stderr.decode("utf-8", "replace")
            raise Unreachable(f"Slurm does not answer: {_short(said)}")
        partitions = read_partitions(done.stdout.decode("utf-8", "replace"))
        user = await self.account_name()
        argv = ["sacctmgr", "-n", "-P", "show", "assoc", "where", f"user={user}"]
        told = await self._quietly([*argv, "format=Account,QOS"])
        associations = [line.split("|") for line in told.splitlines() if "|" in line]
        accounts = sorted({a[0] for a in associations if a[0]})
        qos = sorted({q for a in associations for q in a[1].split(",") if q})
        return choices_of(partitions, accounts, qos, self.partitions)

    async def _quietly(self, argv: Sequence[str]) -> str:
        """What a command says that not every site has; nothing if it fails."""
        try:
            done = await self.run(argv, timeout=15)
        except SpawnerError:
            return ""
        return "" if done.code else done.stdout.decode("utf-8", "replace")


def arguments(values: Mapping[str, Any]) -> list[str]:
    """What was chosen, as arguments of sbatch."""
    found = ["--nodes=1", "--ntasks=1"]
    words = ("partition", "account", "qos", "constraint", "reservation")
    found += [f"--{name}={values[name]}" for name in words if values.get(name)]
    if cpus := values.get("cpus"):
        found.append(f"--cpus-per-task={cpus}")
    if memory := values.get("memory"):
        found.append(f"--mem={megabytes(memory)}M")
    if gpus := values.get("gpus"):
        kind = f":{values['gpu_type']}" if values.get("gpu_type") else ""
        found.append(f"--gres=gpu{kind}:{gpus}")
    if (seconds := values.get("seconds")) is not None:
        found.append(f"--time={clock(seconds)}")
    return found


def _jobs(output: bytes) -> Iterator[Job]:
    for line in output.decode("utf-8", "replace").splitlines():
        values = line.split("|")
        if len(values) != 7:
            continue
        job = _job(*(value.strip() for value in values))
        if job is not None:
            yield job


def _job(
    job_id: str, state: str, reason: str, start: str, end: str, first: str, nodes: str
) -> Job | None:
    """One line of squeue's; None for a state that nobody knows."""
    begins, ends = _moment(start), _moment(end)
    host = first if first not in ("", "n/a", "None", "(null)") else nodes
    if state in WAITING:
        why = reason if reason not in ("", "None") else ""
        message = WAITING[state] + (f": {why}" if why else "")
        return Job(
            id=job_id, phase=Phase.PENDING, reason=_snake(why), message=message, expected=begins
        )
    if state in RUNNING:
        return Job(
            id=job_id,
            phase=Phase.RUNNING,
            message=RUNNING[state],
            reason="suspended" if RUNNING[state] else "",
            host=host,
            started=begins,
            ends=ends,
        )
    if state == "COMPLETING":
        word, message, again = ENDED.get(ENDING.get(reason, ""), ("", "", False))
        return Job(
            id=job_id,
            phase=Phase.ENDING,
            reason=word,
            message=message,
            again=again,
            host=host,
            started=begins,
        )
    return replace(_ended(job_id, state), host=host) if state in ENDED else None


def _ended(job_id: str, state: str) -> Job:
    reason, message, again = ENDED[state]
    return Job(id=job_id, phase=Phase.ENDED, reason=reason, message=message, again=again)


def _moment(text: str) -> datetime | None:
    """A time of Slurm's: epoch seconds, or local time where it does not heed what we ask for."""
    if text.isdecimal():
        return datetime.fromtimestamp(int(text), UTC)
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:  # N/A, Unknown
        return None


def _snake(words: str) -> str:
    """`AssocGrpCpuLimit` as a word for programs."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", words)
    return re.sub(r"\W+", "_", spaced).strip("_").lower()[:60]


def _short(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return (" ".join(lines) or "it said nothing")[:400].rstrip(".") + "."


# What it offers -----------------------------------------------------------------------------------


class Partition:
    """One partition: what all of its nodes together can give to a job on one of them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.default = self.up = False
        self.hours: float | None = None
        self.cpus = self.memory = self.gpus = 0
        self.gpu_types: set[str] = set()


def read_partitions(output: str) -> list[Partition]:
    """The partitions that sinfo tells of; several lines may be one's."""
    found: dict[str, Partition] = {}
    for line in output.splitlines():
        values = [value.strip() for value in line.split("|")]
        if len(values) != 7:
            continue
        name = values[0].removesuffix("*")
        partition = found.setdefault(name, Partition(name))
        partition.default |= values[0].endswith("*")
        partition.up |= values[1] == "up"
        partition.hours = _hours(values[2])
        partition.cpus = max(partition.cpus, _number(values[3]))
        partition.memory = max(partition.memory, _number(values[4]))
        for kind, count in re.findall(r"(?:^|,)gpu(?::([^:,(]+))?:(\d+)", values[5]):
            partition.gpus = max(partition.gpus, int(count))
            partition.gpu_types |= {kind} - {""}
    return list(found.values())


def choices_of(
    partitions: Sequence[Partition],
    accounts: Sequence[str],
    qos: Sequence[str],
    allowed: Sequence[str] = (),
) -> Choices:
    """What can be chosen, and how much of it in which partition."""
    usable = [p for p in partitions if p.up and (not allowed or p.name in allowed)]
    if not usable:
        return Choices()
    first = next((p.name for p in usable if p.default), usable[0].name)
    kinds = sorted({kind for p in usable for kind in p.gpu_types})
    most_gpus = max(p.gpus for p in usable)
    schemas: dict[str, Any] = {
        "partition": {"enum": [p.name for p in usable], "default": first},
        "cpus": {"maximum": max(p.cpus for p in usable)},
        "memory": {"maximum": max(p.memory for p in usable) / 1024},
        "gpus": {"maximum": most_gpus} if most_gpus else None,
        "gpu_type": {"enum": kinds} if kinds else None,
        "account": {"enum": list(accounts)} if accounts else {},
        "qos": {"enum": list(qos)} if qos else {},
    }
    if limits := [p.hours for p in usable]:
        known = [hours for hours in limits if hours is not None]
        if len(known) == len(limits):
            schemas["hours"] = {"maximum": max(known)}
    rules = [
        {
            "if": {"required": ["partition"], "properties": {"partition": {"const": p.name}}},
            "then": {
                "properties": {
                    "cpus": {"maximum": p.cpus},
                    "memory": {"maximum": p.memory / 1024},
                    "gpus": {"maximum": p.gpus},
                    **({} if p.hours is None else {"hours": {"maximum": p.hours}}),
                }
            },
        }
        for p in usable
    ]
    return Choices({n: s for n, s in schemas.items() if s is None or s}, rules)


def _number(text: str) -> int:
    """`64`, or `64+` where nodes differ."""
    digits = re.match(r"\d+", text)
    return int(digits.group()) if digits else 0


def _hours(text: str) -> float | None:
    """A time limit of Slurm's, ``[DAYS-]HH:MM:SS`` or shorter, in hours; None if there is none."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+)(?::(\d+))?", text)
    if found is None:
        return None
    days, hours, minutes, seconds = (int(value or 0) for value in found.groups())
    if found.group(2) is not None and found.group(4) is None:  # MM:SS
        hours, minutes, seconds = 0, hours, minutes
    return days * 24 + hours + minutes / 60 + seconds / 3600
