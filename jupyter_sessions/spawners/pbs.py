"""Sessions as PBS jobs: OpenPBS and PBS Professional, and Torque."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar

from traitlets import Enum, List, Unicode

from ..errors import SpawnerError, Unreachable
from ..session import Handle
from .base import Launch
from .batch import BatchSpawner
from .choices import Choices
from .directives import CPUS, GPUS, HOURS, MEMORY, Schema, clock, megabytes, name_of, refusal
from .jobs import Job, Phase
from .qstat import ENVIRONMENT, read_job, read_jobs

UNKNOWN = 153
"""The exit code for: no such job. It is the last digits of PBSE_UNKJOBID."""
SILENT = re.compile(
    r"(cannot|couldn't|could not|unable to|can not) (connect|get connection|establish)"
    r"|connection refused|timed? ?out|errno=111|^unknown host\.$|trqauthd|premature end|server busy"
    r"|server.*(down|not responding)|no route|unauthorized request.*server|communication failure"
    r"|munge",
    re.IGNORECASE | re.MULTILINE,
)
"""What a client says if it was not PBS that refused."""
NOT_THERE = re.compile(r"Unknown Job Id(?: Error)?:? +(\d\S*)", re.IGNORECASE)
FINISHED = re.compile(r"(\d\S*) Job has finished", re.IGNORECASE)
"""What is said of a job that only the history has: OpenPBS tells more with ``-x``."""
OVER = re.compile(
    r"Unknown Job Id|Job has finished|Request invalid for state of job", re.IGNORECASE
)
"""What ``qdel`` says of a job that ends, or is over."""


class PbsSpawner(BatchSpawner):
    """Jobs of ``qsub``, asked about with ``qstat -f``."""

    system: ClassVar[str] = "PBS"
    job_variable: ClassVar[str] = "PBS_JOBID"
    separators: ClassVar[str] = ",:+"
    brings_output: ClassVar[bool] = True
    built_in: ClassVar[Mapping[str, Schema]] = {
        "queue": name_of("Queue", "Empty for the server's default."),
        "account": name_of("Account", "Who pays.", **{"x-advanced": True}),
        "cpus": CPUS,
        "memory": MEMORY,
        "gpus": GPUS,
        "hours": HOURS,
    }

    dialect = Enum(
        ["openpbs", "torque"],
        default_value="openpbs",
        help="""`openpbs` (PBS Professional too): jobs ask for `select=1:ncpus=…`, and ended ones
        are looked up in the server's history. `torque`: `nodes=1:ppn=…`, and no history.""",
    ).tag(config=True)
    queues = List(
        Unicode(), help="The only queues that may be chosen; empty for all there are."
    ).tag(config=True)

    def job_name(self, launch: Launch) -> str:
        return f"{launch.session_id}-{launch.attempt}"  # older ones take 15 characters

    async def submit(
        self, name: str, source: bytes, values: Mapping[str, Any], directory: str
    ) -> str:
        argv = [
            # Not into the app's log: PBS brings the output at the end, over what is there.
            *("qsub", "-N", name, "-o", f"{directory}/job.log", "-j", "oe", "-r", "n"),
            *("-S", "/bin/sh"),
            *(["-V"] if self.export_environment else []),
            *self.arguments(values),
            *self.arguments_of_own(values),
        ]
        done = await self.run(argv, stdin=source)
        words = done.stdout.decode("utf-8", "replace").split()
        if done.code == 0 and words and re.match(r"\d+", words[-1]):
            return words[-1]
        said = (done.stderr + done.stdout).decode("utf-8", "replace")
        if SILENT.search(said) or done.code < 0:
            raise _silent(said)
        raise refusal(self.system, "qsub", done.stderr or done.stdout)

    def arguments(self, values: Mapping[str, Any]) -> list[str]:
        """What was chosen, as arguments of qsub."""
        found: list[str] = []
        for option, name in (("-q", "queue"), ("-A", "account")):
            if values.get(name):
                found += [option, str(values[name])]
        cpus, memory, gpus = values.get("cpus") or 1, values.get("memory"), values.get("gpus")
        if self.dialect == "torque":
            wanted = f"nodes=1:ppn={cpus}" + (f":gpus={gpus}" if gpus else "")
            wanted += f",mem={megabytes(memory)}mb" if memory else ""
        else:
            wanted = f"select=1:ncpus={cpus}"
            wanted += f":mem={megabytes(memory)}mb" if memory else ""
            wanted += f":ngpus={gpus}" if gpus else ""
        if (seconds := values.get("seconds")) is not None:
            wanted += f",walltime={clock(seconds)}"
        return [*found, "-l", wanted]

    async def query(self, ids: Sequence[str]) -> Mapping[str, Job]:
        told, missing, finished = await self._asked(ids)
        if finished:
            history, gone, _ = await self._asked(finished, "-x")
            told, missing = {**told, **history}, [*missing, *gone]
        jobs = {}
        for job_id, facts in told.items():
            wanted = next((i for i in ids if _same(i, job_id)), None)
            job = read_job(wanted, facts, self.dialect) if wanted else None
            if wanted and job is not None:
                jobs[wanted] = job
        for job_id in ids:
            if job_id not in jobs and any(_same(job_id, gone) for gone in missing):
                jobs[job_id] = Job(id=job_id, phase=Phase.GONE)
        return jobs

    async def _asked(
        self, ids: Sequence[str], *options: str
    ) -> tuple[dict[str, dict[str, str]], list[str], list[str]]:
        """What qstat tells of jobs, by id; of which it says that there are none; that they ended.

        It asks the server about one after the other: what it cannot say of one hides no other.
        """
        done = await self.run(["qstat", "-f", *options, *ids], env=ENVIRONMENT)
        said = done.stderr.decode("utf-8", "replace")
        told = read_jobs(done.stdout.decode("utf-8", "replace"))
        missing, finished = NOT_THERE.findall(said), FINISHED.findall(said)
        if done.code == UNKNOWN and not told and not said:
            missing = list(ids)  # Slurm's own qstat has no words for it
        if not told and not missing and not finished:
            raise _silent(said)
        return told, missing, finished

    async def named(self, name: str) -> list[str]:
        ids = await self._selected(name)
        if not ids and self.dialect == "openpbs":
            ids = await self._selected(name, "-x")  # none, too, where no history is kept
        if not ids:
            return []
        jobs = await self.query(ids)
        over = (Phase.ENDED, Phase.GONE)
        return sorted(ids, key=lambda i: (i not in jobs or jobs[i].phase in over, ids.index(i)))

    async def _selected(self, name: str, *options: str) -> list[str]:
        done = await self.run(["qselect", "-N", name, *options])
        if done.code:
            raise _silent(done.stderr.decode("utf-8", "replace"))
        return done.stdout.decode("utf-8", "replace").split()

    async def cancel(self, ids: Sequence[str]) -> None:
        done = await self.run(["qdel", *ids])
        lines = (done.stderr + done.stdout).decode("utf-8", "replace").splitlines()
        said = " ".join(line.strip() for line in lines if line.strip() and not OVER.search(line))
        if done.code and said:
            if SILENT.search("\n".join(lines)):
                raise _silent(said)
            raise SpawnerError(f"PBS does not delete job {', '.join(ids)}: {said}")

    def output(self, handle: Handle) -> str:
        return f"{handle['directory']}/job.log"

    def logs(self, handle: Handle, *, lines: int, follow: bool) -> AsyncIterator[bytes]:
        return self._logs(handle, lines, follow)

    async def _logs(self, handle: Handle, lines: int, follow: bool) -> AsyncIterator[bytes]:
        """The app's log; of a job that never came so far, what its node said."""
        log = f"{handle['directory']}/log"
        if not follow and not await self.host.is_file(log):
            log = self.output(handle)
        async for chunk in self.host.follow(log, lines, follow):
            yield chunk

    def restrictions(self) -> Mapping[str, Schema]:
        return {"queue": {"enum": list(self.queues)}} if self.queues else {}

    async def ask_choices(self) -> Choices:
        done = await self.run(["qstat", "-Q", "-f"])
        if done.code:
            raise _silent(done.stderr.decode("utf-8", "replace"))
        blocks = re.split(
            r"^Queue:?\s+", done.stdout.decode("utf-8", "replace"), flags=re.MULTILINE
        )
        names = [
            block.split()[0]
            for block in blocks[1:]
            if re.search(r"enabled = (True|yes)", block)
            and not re.search(r"from_route_only = True", block)
        ]
        return Choices({"queue": {"enum": names}} if names else {})


def _same(one: str, other: str) -> bool:
    """Whether two ids are one job's: some clients leave out the server's domain."""
    return one == other or one.partition(".")[0] == other.partition(".")[0]


def _silent(said: str) -> Unreachable:
    text = " ".join(said.split())[:400] or "it said nothing"
    return Unreachable(f"PBS does not answer: {text.rstrip('.')}.")
