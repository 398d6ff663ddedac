"""Sessions as Slurm jobs: Slurm 20.11 and later."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from traitlets import Bool, List, Unicode

from ..errors import SpawnerError, Unreachable
from ..hosts.base import Completed
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
from .jobs import Job, Phase
from .shared import Shared
from .slurm_choices import (
    Accounting,
    choices_of,
    read_associations,
    read_partitions,
    read_qos,
)
from .slurm_jobs import COLUMNS, ENDED, ended_job, read_accounting, read_queue

TIMES = {"SLURM_TIME_FORMAT": "%s"}
"""Makes Slurm tell times in epoch seconds: what it tells otherwise has no time zone."""
NOT_MEANT: Mapping[str, None] = dict.fromkeys(
    (
        # Filters and formats that people set for what they type themselves. scancel would even
        # ask for confirmation, for ever.
        *("SQUEUE_*", "SCANCEL_*", "SINFO_*", "SACCT_*", "SCONTROL_*", "SLURM_CLUSTERS"),
        # One job, of this cluster, and an answer at once. The others of sbatch's stay: an account
        # or a partition are what the user wants where the form says nothing.
        *("SBATCH_ARRAY_INX", "SBATCH_CLUSTERS", "SBATCH_WAIT", "SBATCH_GET_USER_ENV"),
        *("SBATCH_IGNORE_PBS", "SBATCH_WRAP", "SBATCH_JOB_NAME", "SBATCH_DEPENDENCY"),
        # The job that Jupyter itself is: it is not the session's.
        *("SLURM_JOB*", "SLURM_ARRAY_*", "SLURM_HET_*", "SLURM_STEP*", "SLURM_TASK*"),
        *("SLURM_MEM_*", "SLURM_CPU*", "SLURM_NTASKS*", "SLURM_NPROCS", "SLURM_NODE*"),
        *("SLURM_NNODES", "SLURM_GPU*", "SLURM_TRES_*", "SLURM_DISTRIBUTION", "SLURM_EXPORT_ENV"),
        *("SLURM_SUBMIT_*", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_GTIDS", "SLURM_THREADS_*"),
    )
)
"""Variables of the user's environment that would change what a command does or says."""
SILENT = re.compile(
    r"unable to contact|timed out|temporarily|connect failure|connection refused|zero bytes"
    r"|transport endpoint|communication|not responding|unable to connect|protocol authentication"
    r"|munge|slurmdbd",
    re.IGNORECASE,
)
"""What a client says if it was not Slurm that refused."""
ACCOUNTING_PATIENCE = 300.0
"""Seconds for which slurmdbd may be down or behind before a job is taken for lost."""
NO_ACCOUNTING = re.compile(
    r"accounting storage is disabled|not running a supported accounting_storage", re.IGNORECASE
)
"""What sacct and sacctmgr say where there is no slurmdbd at all."""
SUBMITTED = re.compile(rb"^(?:Submitted batch job )?(\d+)(?:;\S+)?\s*$", re.MULTILINE)
"""How sbatch tells a job's id. A site's wrapper may print more, or forget ``--parsable``."""
NO_SUCH_JOB = re.compile(r"invalid job id", re.IGNORECASE)


class SlurmSpawner(BatchSpawner):
    """Jobs of ``sbatch``, asked about with ``squeue``, and ``sacct`` where there is accounting."""

    system: ClassVar[str] = "Slurm"
    job_variable: ClassVar[str] = "SLURM_JOB_ID"
    submit_program: ClassVar[str] = "sbatch"
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

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._queue = Shared(self._ask_queue)
        self._cancelled: set[str] = set()  # by this spawner: nobody need be asked by whom
        self._missed: dict[str, float] = {}
        self._accounts = Accounting()

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
        if done.code == 0:
            told = {found.decode() for found in SUBMITTED.findall(done.stdout)}
            ids = told if len(told) == 1 else await self.named(name)
            if job_id := next(iter(ids), ""):
                return job_id
        said = (done.stderr or done.stdout).decode("utf-8", "replace")
        if SILENT.search(said) or done.code < 0:
            raise Unreachable(f"Slurm does not answer: {_short(said)}")
        raise refusal(self.system, "sbatch", done.stderr or done.stdout)

    async def query(self, ids: Sequence[str]) -> Mapping[str, Job]:
        wanted = set(ids)
        queue = await self._queue.ask()
        jobs = {job.id: job for _, job in queue if job.id in wanted}
        # Whose doing it was, only accounting knows.
        cancelled = {i for i, job in jobs.items() if job.reason == "cancelled"} - self._cancelled
        missing = wanted - jobs.keys()
        if missing or cancelled:
            jobs |= await self._gone(sorted(missing), sorted(cancelled))
        return jobs

    async def _ask_queue(self) -> list[tuple[str, Job]]:
        """All jobs of the user that the queue shows, with their names."""
        done = await self.run(["squeue", "--me", "-h", "-t", "all", "-o", COLUMNS], env=TIMES)
        if done.code:
            said = done.stderr.decode("utf-8", "replace")
            raise Unreachable(f"Slurm does not answer: {_short(said)}")
        return list(read_queue(done.stdout))

    async def _gone(self, ids: Sequence[str], cancelled: Sequence[str]) -> dict[str, Job]:
        """What became of jobs that the queue no longer shows; and of those that somebody
        `cancelled`, if there is more to know of them.
        """
        accounted, keeps = await self._accounted([*ids, *cancelled])
        jobs = {}
        for job_id, (state, by) in accounted.items():
            if state in ENDED:
                jobs[job_id] = ended_job(job_id, state, await self._other(by))
        now = time.monotonic()
        self._missed = {i: self._missed.get(i, now) for i in ids if i not in jobs}
        for job_id, since in self._missed.items():
            # Accounting may not know yet what slurmctld has forgotten already: one that was away
            # answers before it has been told of the jobs of that time, even that they began.
            late = not keeps or now - since > ACCOUNTING_PATIENCE
            if late and await self._forgotten(job_id):
                jobs[job_id] = Job(id=job_id, phase=Phase.GONE)
        return jobs

    async def _accounted(
        self, ids: Sequence[str]
    ) -> tuple[Mapping[str, tuple[str, int | None]], bool]:
        """What `read_accounting` reads of jobs; and whether there is accounting at all. If it says
        nothing of a job, or does not answer, how that ended is not known, and is not made up.
        """
        argv = ["sacct", "-n", "-X", "-P", "-j", ",".join(ids), "-o", "JobIDRaw,State"]
        try:
            done = await self.run(argv, timeout=15)
        except Unreachable:
            return {}, True
        except SpawnerError:
            return {}, False
        told = read_accounting(done.stdout.decode("utf-8", "replace"))
        said = done.stderr.decode("utf-8", "replace")
        keeps = done.code == 0 or not NO_ACCOUNTING.search(said)
        return {job_id: end for job_id, end in told.items() if job_id in ids}, keeps

    async def _other(self, number: int | None) -> str:
        """The name of a user who is not the one whose jobs these are; empty for that one."""
        if number is None:
            return ""
        name = (await self._quietly(["id", "-un", str(number)])).strip()
        return "" if name == await self.account_name() else name or f"the user {number}"

    async def _forgotten(self, job_id: str) -> bool:
        """Whether Slurm says that there is no such job: not to see it in a list proves nothing."""
        done = await self.run(["scontrol", "-o", "show", "job", job_id])
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        return done.code != 0 and NO_SUCH_JOB.search(said) is not None

    async def named(self, name: str) -> list[str]:
        jobs = [job for called, job in await self._queue.ask() if called == name]
        return [j.id for j in sorted(jobs, key=lambda j: (j.phase is Phase.ENDED, -int(j.id)))]

    async def cancel(self, ids: Sequence[str]) -> None:
        self._cancelled |= set(ids)
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
        return choices_of(partitions, await self._accounting(), self.partitions)

    async def _accounting(self) -> Accounting:
        """What accounting says of the user, or said before if it does not answer now."""
        config = await self._quietly(["scontrol", "show", "config"])
        cluster = re.search(r"^ClusterName\s*=\s*(\S+)", config, re.MULTILINE)
        show = ["sacctmgr", "-n", "-P", "show"]
        owned = ["where", f"user={await self.account_name()}"]
        here = [f"cluster={cluster[1]}"] if cluster else []
        what = "format=Account,Partition,QOS,MaxWall"
        try:
            done = await self.run([*show, "assoc", *owned, *here, what], timeout=15)
        except Unreachable:
            return replace(self._accounts, silent=True)
        except SpawnerError:
            return Accounting()
        if done.code:
            said = done.stderr.decode("utf-8", "replace")
            none = NO_ACCOUNTING.search(said)
            return Accounting() if none else replace(self._accounts, silent=True)
        associations = read_associations(done.stdout.decode("utf-8", "replace"))
        qos = read_qos(await self._quietly([*show, "qos", "format=Name,MaxWall"]))
        account = await self._quietly([*show, "user", *owned, "format=DefaultAccount"])
        self._accounts = Accounting(associations, qos, account.strip())
        return self._accounts

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout: float = 40,
        env: Mapping[str, str | None] | None = None,
    ) -> Completed:
        changes = {**NOT_MEANT, **(env or {})}
        return await super().run(argv, stdin=stdin, timeout=timeout, env=changes)

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


def _short(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return (" ".join(lines) or "it said nothing")[:400].rstrip(".") + "."
