"""What Slurm's commands say of jobs: states, reasons, lines of ``squeue`` and ``sacct``. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from .jobs import TOO_MUCH, Job, Phase

COLUMNS = "%i|%T|%r|%S|%e|%B|%N|%j"
"""What is asked of squeue: id, state, reason, start, end, first node, nodes, name. The name, which
may be anything, is the last: all others are plain words."""
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
EXPLAINED = {
    "PartitionTimeLimit": "it asks for more time than its partition allows, and does not start so",
    "BadConstraints": "no node has what it asks for",
    "InvalidAccount": "its account may not be used any more",
    "InvalidQOS": "its QoS may not be used any more",
}
LIMIT = re.compile(
    r"(?P<who>Assoc|QOS)(?P<kind>Grp|Max)(?P<what>[A-Za-z]+?)"
    r"(?P<per>Per(?:Job|Node|User|Account))?(?:Limit)?"
)
WHAT = {
    "cpu": "processors",
    "mem": "memory",
    "memory": "memory",
    "gres": "GPUs or the like",
    "node": "nodes",
    "job": "jobs",
    "jobs": "jobs",
    "submit": "jobs",
    "submitjobs": "jobs",
    "wall": "time",
    "wallduration": "time",
    "cpuminutes": "processor time",
    "cpurunminutes": "processor time",
}
"""What a limit of accounting is of, for people."""
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


def read_queue(output: bytes) -> Iterator[tuple[str, Job]]:
    """The jobs that squeue tells of, asked for `COLUMNS`, each with its name; any other line is
    somebody else's.
    """
    for line in output.decode("utf-8", "replace").splitlines():
        *values, name = line.split("|", 7)
        if len(values) != 7:
            continue
        job = _job(*(value.strip() for value in values))
        if job is not None:
            yield name.strip(), job


def _job(
    job_id: str, state: str, reason: str, start: str, end: str, first: str, nodes: str
) -> Job | None:
    """One line of squeue's; None for a state that nobody knows."""
    begins, ends = _moment(start), _moment(end)
    host = first if first not in ("", "n/a", "None", "(null)") else nodes
    if state in WAITING:
        why = reason if reason not in ("", "None") else ""
        message = WAITING[state] + (f": {sentence_of(why)}" if why else "")
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
    return replace(ended_job(job_id, state), host=host) if state in ENDED else None


def ended_job(job_id: str, state: str, by: str = "") -> Job:
    """A job that ended in the state `state`, one of `ENDED`.

    Parameters
    ----------
    by
        Who cancelled it, if that was somebody else than whose job it is.
    """
    reason, message, again = ENDED[state]
    message += f" by {by}" if by else ""
    return Job(id=job_id, phase=Phase.ENDED, reason=reason, message=message, again=again)


def read_accounting(output: str) -> Mapping[str, tuple[str, int | None]]:
    """By job id, the state, and the number of the user who cancelled it, if told.

    Parameters
    ----------
    output
        sacct's ``JobIDRaw|State``; any other line is somebody else's.
    """
    found: dict[str, tuple[str, int | None]] = {}
    for line in output.splitlines():
        job_id, _, told = line.partition("|")
        state, _, by = told.strip().partition(" by ")
        if job_id.isdecimal() and state:
            found[job_id] = state, int(by) if by.isdecimal() else None
    return found


def sentence_of(reason: str) -> str:
    """Why a job waits: what Slurm calls `reason`, explained if it is a limit or for ever.

    Slurm makes the names of limits of parts: who has the limit, for how many, and of what.
    """
    found = LIMIT.fullmatch(reason)
    if found is None:
        return f"{EXPLAINED[reason]} ({reason})" if reason in EXPLAINED else reason
    whose = "its account" if found["who"] == "Assoc" else "its QoS"
    what = WHAT.get(found["what"].lower(), "resources")
    alone = found["per"] in ("PerJob", "PerNode") or what == "time"
    if found["kind"] != "Grp" and alone and what != "jobs":
        words = f"it asks for more {what} than {whose} allows for one job, and does not start so"
    elif found["kind"] != "Grp":
        words = f"{whose} gives you no more {what} now"
    else:
        words = f"{whose} may use no more {what} now"
    return f"{words} ({reason})"


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
