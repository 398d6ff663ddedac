"""Sessions as PBS jobs: OpenPBS and PBS Professional, and Torque."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from traitlets import Enum, List, Unicode

from ..errors import SpawnerError, Unreachable
from ..session import Handle
from .base import Launch
from .batch import BatchSpawner
from .choices import Choices
from .directives import CPUS, GPUS, HOURS, MEMORY, Schema, clock, megabytes, name_of, refusal
from .jobs import TOO_MUCH, Job, Phase

UNKNOWN, FINISHED = 153, 35
"""Exit codes: no such job; a job that is over, asked about without ``-x``."""
SILENT = re.compile(
    r"cannot connect|connection refused|timed out|errno=111|server.*(down|not responding)"
    r"|no route|unauthorized request.*server|communication failure|munge",
    re.IGNORECASE,
)
"""What a client says if it was not PBS that refused."""
PENDING = {
    "Q": "waits",
    "H": "is held",
    "W": "waits for its time",
    "T": "waits: it is being moved",
    "B": "waits",
}
RUNNING = {"R": "", "S": "is suspended", "U": "is suspended: its node is in use"}
OVER = frozenset("FCXM")
ENDS: Mapping[int, tuple[str, str, bool]] = {
    -29: ("walltime", "was ended: its time was up", False),
    -11: ("node_failed", "was put back: its node's daemon started anew", True),
    -12: ("node_failed", "was put back: its node's daemon started anew", True),
    -10: ("node_failed", "was lost: its node's daemon started anew", True),
    -27: ("out_of_memory", TOO_MUCH, False),
    271: ("cancelled", "was deleted", False),
    265: ("cancelled", "was killed", False),
}
"""Exit_status: a word for programs, what people are told, whether another attempt begins by itself.

Negative ones are PBS's own; above 256 is 256 and the number of a signal (271: TERM, as by qdel).
"""


class PbsSpawner(BatchSpawner):
    """Jobs of ``qsub``, asked about with ``qstat -f``."""

    system: ClassVar[str] = "PBS"
    job_variable: ClassVar[str] = "PBS_JOBID"
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
        help="""`openpbs` (PBS Professional too): jobs ask for `select=1:ncpus=…`, and are told of
        in JSON. `torque`: `nodes=1:ppn=…`, and as text.""",
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
        found += ["-l", wanted]
        if (seconds := values.get("seconds")) is not None:
            found += ["-l", f"walltime={clock(seconds)}"]
        return found

    async def query(self, ids: Sequence[str]) -> Mapping[str, Job]:
        told, missing = await self._asked(ids)
        jobs = {}
        for job_id, facts in told.items():
            wanted = next((i for i in ids if _same(i, job_id)), None)
            job = read_job(wanted, facts) if wanted else None
            if wanted and job is not None:
                jobs[wanted] = job
        for job_id in ids:
            if job_id not in jobs and any(_same(job_id, gone) for gone in missing):
                jobs[job_id] = Job(id=job_id, phase=Phase.GONE)
        return jobs

    async def _asked(self, ids: Sequence[str]) -> tuple[dict[str, dict[str, Any]], list[str]]:
        """What qstat tells of jobs, by id, and those of which it says that there are none."""
        shape = ["-f"] if self.dialect == "torque" else ["-x", "-f", "-F", "json"]
        done = await self.run(["qstat", *shape, *ids])
        said = done.stderr.decode("utf-8", "replace")
        if self.dialect == "openpbs" and "history" in said.lower():  # none is kept
            done = await self.run(["qstat", "-f", "-F", "json", *ids])
            said = done.stderr.decode("utf-8", "replace")
        missing = re.findall(r"(?:Unknown Job Id|has finished)[: ]+(\S+)", said, re.IGNORECASE)
        missing += re.findall(r"(\d\S*) Job has finished", said)
        if done.code not in (0, UNKNOWN, FINISHED) or (SILENT.search(said) and not missing):
            raise _silent(said)
        return read_jobs(done.stdout.decode("utf-8", "replace")), missing

    async def named(self, name: str) -> list[str]:
        argv = ["qselect", "-N", name]
        if self.dialect == "openpbs":
            done = await self.run([*argv, "-x"])
        if self.dialect == "torque" or done.code:
            done = await self.run(argv)
        if done.code:
            raise _silent(done.stderr.decode("utf-8", "replace"))
        ids = done.stdout.decode("utf-8", "replace").split()
        if not ids:
            return []
        jobs = await self.query(ids)
        over = (Phase.ENDED, Phase.GONE)
        return sorted(ids, key=lambda i: (i not in jobs or jobs[i].phase in over, ids.index(i)))

    async def cancel(self, ids: Sequence[str]) -> None:
        done = await self.run(["qdel", *ids])
        said = done.stderr.decode("utf-8", "replace")
        if done.code not in (0, UNKNOWN, FINISHED) and "finished" not in said.lower():
            if SILENT.search(said):
                raise _silent(said)
            raise SpawnerError(f"PBS does not delete job {', '.join(ids)}: {said.strip()}")

    def logs(self, handle: Handle, *, lines: int, follow: bool) -> AsyncIterator[bytes]:
        return self._logs(handle, lines, follow)

    async def _logs(self, handle: Handle, lines: int, follow: bool) -> AsyncIterator[bytes]:
        """The app's log; of a job that never came so far, what its node said."""
        log, said = f"{handle['directory']}/log", f"{handle['directory']}/job.log"
        if not follow and not await self.host.is_file(log):
            log = said
        async for chunk in self.host.follow(log, lines, follow):
            yield chunk

    def restrictions(self) -> Mapping[str, Schema]:
        return {"queue": {"enum": list(self.queues)}} if self.queues else {}

    async def ask_choices(self) -> Choices:
        done = await self.run(["qstat", "-Q", "-f"])
        if done.code:
            raise _silent(done.stderr.decode("utf-8", "replace"))
        blocks = re.split(r"^Queue:? +", done.stdout.decode("utf-8", "replace"), flags=re.MULTILINE)
        names = [
            block.split()[0]
            for block in blocks[1:]
            if re.search(r"queue_type = E", block) and re.search(r"enabled = True", block)
        ]
        return Choices({"queue": {"enum": names}} if names else {})


def read_jobs(output: str) -> dict[str, dict[str, Any]]:
    """What ``qstat -f`` tells of jobs, by id: JSON, or blocks of ``name = value``."""
    if output.lstrip().startswith("{"):
        try:
            told = json.loads(output).get("Jobs") or {}
        except ValueError as error:
            raise Unreachable(f"qstat does not answer in JSON: {error}.") from None
        return {job_id: _flat(facts) for job_id, facts in told.items()}
    return dict(_blocks(output))


def _flat(facts: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in facts.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{inner}": inside for inner, inside in value.items()}
        else:
            flat[name] = value
    return flat


def _blocks(output: str) -> Iterator[tuple[str, dict[str, Any]]]:
    unfolded = re.sub(r"\n\t", "", output)
    for block in re.split(r"^Job Id: ", unfolded, flags=re.MULTILINE)[1:]:
        job_id, _, rest = block.partition("\n")
        yield job_id.strip(), dict(re.findall(r"^    (\S+) = (.*)$", rest, re.MULTILINE))


def read_job(job_id: str, facts: Mapping[str, Any]) -> Job | None:
    """A job of ``qstat -f``; None for a state that nobody knows."""
    state = str(facts.get("job_state", ""))
    host = re.split(r"[/+*(]", str(facts.get("exec_host", "")).lstrip("("))[0]
    if state in PENDING:
        comment = str(facts.get("comment", "")).strip()
        why = re.sub(r"^Not Running: ", "", comment)
        message = PENDING[state] + (f": {why}" if why else "")
        reason = {"H": "held"}.get(state, "queued")
        expected = _moment(facts.get("estimated.start_time"))
        return Job(
            id=job_id, phase=Phase.PENDING, reason=reason, message=message, expected=expected
        )
    if state in RUNNING or state == "E":
        begun = _moment(facts.get("stime") or facts.get("start_time"))
        seconds = _seconds(facts.get("Resource_List.walltime"))
        ends = begun + timedelta(seconds=seconds) if begun and seconds else None
        return Job(
            id=job_id,
            phase=Phase.ENDING if state == "E" else Phase.RUNNING,
            reason="suspended" if RUNNING.get(state) else "",
            message=RUNNING.get(state, ""),
            host=host,
            started=begun,
            ends=ends,
        )
    if state not in OVER:
        return None
    told = facts.get("Exit_status", facts.get("exit_status"))
    code = int(told) if re.fullmatch(r"-?\d+", str(told)) else None
    used, asked = (
        _seconds(facts.get(f"{k}.walltime")) for k in ("resources_used", "Resource_List")
    )
    if code in (271, 265, -11) and used is not None and asked and used >= asked:
        code = -29  # Torque, and older ones, only say that it was killed
    known = ENDS.get(code if code is not None else 0)
    if known is not None:
        reason, message, again = known
    elif code is None:
        reason, message, again = "cancelled", "was deleted before it ran", False
    elif code == 0:
        reason, message, again = "completed", "has ended", False
    else:
        reason, message, again = "failed", f"failed with exit status {code}", False
    return Job(id=job_id, phase=Phase.ENDED, reason=reason, message=message, host=host, again=again)


def _same(one: str, other: str) -> bool:
    """Whether two ids are one job's: some clients leave out the server's domain."""
    return one == other or one.partition(".")[0] == other.partition(".")[0]


def _moment(told: Any) -> datetime | None:
    """``Fri Nov 21 16:50:00 2026``, local time; or epoch seconds."""
    if isinstance(told, int) or (isinstance(told, str) and told.isdecimal()):
        return datetime.fromtimestamp(int(told), UTC)
    try:
        return datetime.strptime(str(told), "%a %b %d %H:%M:%S %Y").astimezone(UTC)
    except ValueError:
        return None


def _seconds(told: Any) -> float | None:
    """``HH:MM:SS`` in seconds."""
    if isinstance(told, int | float):
        return float(told)
    parts = str(told).split(":")
    if not all(part.isdecimal() for part in parts):
        return None
    seconds = 0.0
    for part in parts:
        seconds = seconds * 60 + int(part)
    return seconds


def _silent(said: str) -> Unreachable:
    text = " ".join(said.split())[:400] or "it said nothing"
    return Unreachable(f"PBS does not answer: {text.rstrip('.')}.")
