"""What ``qstat -f`` of OpenPBS, PBS Professional and Torque tells of jobs.

Nothing here does I/O. The text is read, not JSON: for years OpenPBS has written values into that
as they are, and one with a quote in the user's environment made all of it unreadable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from .jobs import TOO_MUCH, Job, Phase

ENVIRONMENT: Mapping[str, str | None] = {"TZ": "UTC", "PBS_QSTAT_NO_COMPLETE": None}
"""For ``qstat``: it prints the time of its place, and not which that is; and for people who have
said so it leaves out what has ended."""
PENDING = {
    "Q": "waits",
    "H": "is held",
    "W": "waits for its time",
    "T": "waits: it is being moved",
}
RUNNING = {"R": "", "B": "", "S": "is suspended", "U": "is suspended: its node is in use"}
OVER = frozenset("FCXM")
NEVER = re.compile("too many failed attempts", re.IGNORECASE)
"""In the comment of a job that is held for good, as no node could start it."""

End = tuple[str, str, bool]
"""A word for programs, what people are told, whether another attempt begins by itself."""
WALLTIME: End = ("walltime", "was ended: its time was up", False)
MEMORY: End = ("out_of_memory", TOO_MUCH, False)
CPU_TIME: End = ("over_limit", "was ended: it used more processor time than it may", False)
CPUS: End = ("over_limit", "was ended: it used more processors than it had asked for", False)
NODE: End = ("node_failed", "was lost: its node's daemon failed or started anew", True)
KILLED: Mapping[int, End] = {
    256 + 15: ("cancelled", "was deleted", False),
    256 + 9: ("cancelled", "was killed", False),
}
"""Above 256 it is 256 and the number of a signal."""
RESTARTED = dict.fromkeys((-4, -5, -6), NODE)
ENDS: Mapping[str, Mapping[int, End]] = {
    "openpbs": {
        **KILLED,
        **RESTARTED,
        **dict.fromkeys((-11, -14, -20), NODE),
        **dict.fromkeys((-24, -25), CPUS),
        **dict.fromkeys((-26, -27), MEMORY),
        -28: CPU_TIME,
        -29: WALLTIME,
    },
    "torque": {**KILLED, **RESTARTED, -10: MEMORY, -11: WALLTIME, -12: CPU_TIME},
}
"""What an exit status means, by dialect: below 0 each has its own (JOB_EXEC_… in its job.h)."""
FAILURES: Mapping[str, Mapping[int, str]] = {
    "openpbs": {
        -10: "the user is not known there",
        -13: "the user's password is not right",
        -21: "its daemon's folder is not safe",
        -23: "there are no Kerberos credentials",
        **dict.fromkeys((-16, -17, -18, -19, -22), "a hook of the site's refused it"),
    },
    "torque": {
        -8: "the command cannot be run",
        -9: "its output cannot be written",
        -13: "its cgroup cannot be made",
        -14: "its prologue failed",
    },
}
"""Why a node did not run a job."""


def read_jobs(output: str) -> dict[str, dict[str, str]]:
    """The jobs of ``qstat -f``, by id: what is said of each, by name.

    A value that is too long goes on in lines that begin with a tab. Slurm's own ``qstat`` folds
    nothing, and begins all lines with one.
    """
    jobs: dict[str, dict[str, str]] = {}
    for block in re.split(r"^Job Id:\s+(?=\d)", output, flags=re.MULTILINE)[1:]:
        job_id, _, rest = block.partition("\n")
        folded = rest.startswith(" ")
        line = re.compile(r"^(?: {4}|\t)([\w.-]+) = (.*)$", re.MULTILINE)
        facts = jobs.setdefault(job_id.strip(), {})
        for name, value in line.findall(rest.replace("\n\t", "") if folded else rest):
            facts.setdefault(name, value)  # a value with line breaks says nothing new after that
    return jobs


def read_job(job_id: str, facts: Mapping[str, str], dialect: str) -> Job | None:
    """A job of ``qstat -f``; None for a state that nobody knows.

    Parameters
    ----------
    dialect
        ``openpbs`` or ``torque``: their exit statuses differ.
    """
    state, comment = facts.get("job_state", ""), facts.get("comment", "").strip()
    host = re.split(r"[/+*]", facts.get("exec_host", ""))[0]
    if state == "H" and NEVER.search(comment):
        return Job(id=job_id, phase=Phase.STUCK, reason="stuck", message=f"cannot run: {comment}")
    if state in PENDING:
        why = re.sub(r"^Not Running: ", "", comment)
        return Job(
            id=job_id,
            phase=Phase.PENDING,
            reason={"H": "held"}.get(state, "queued"),
            message=PENDING[state] + (f": {why}" if why else ""),
            expected=_moment(facts.get("estimated.start_time", "")),
        )
    if state in RUNNING or state == "E":
        begun = _moment(facts.get("stime") or facts.get("start_time", ""))
        seconds = _seconds(facts.get("Resource_List.walltime", ""))
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
    reason, message, again = _end(state, facts, dialect)
    return Job(id=job_id, phase=Phase.ENDED, reason=reason, message=message, host=host, again=again)


def _end(state: str, facts: Mapping[str, str], dialect: str) -> End:
    told = facts.get("Exit_status", facts.get("exit_status", ""))
    if not re.fullmatch(r"-?\d+", told):
        if state == "M":
            return "moved", "was moved to another server, which does not tell how it ended", False
        if facts.get("exec_host"):
            return "completed", "has ended", False
        return "cancelled", "was deleted before it ran", False
    code = int(told)
    used, asked = (
        _seconds(facts.get(f"{k}.walltime", "")) for k in ("resources_used", "Resource_List")
    )
    if code in KILLED and used is not None and asked and used >= asked:
        return WALLTIME  # Torque, and older ones, only say that it was killed
    if known := ENDS[dialect].get(code):
        return known
    if code == 0:
        return "completed", "has ended", False
    if code < 0:
        why = FAILURES[dialect].get(code, f"status {code}")
        return "failed", f"failed on its node ({why})", False
    return "failed", f"failed with exit status {code}", False


def _moment(told: str) -> datetime | None:
    """``Fri Nov 21 16:50:00 2026``, in UTC: see `ENVIRONMENT`."""
    try:
        return datetime.strptime(told.strip(), "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC)
    except ValueError:
        return None


def _seconds(told: str) -> float | None:
    """``HH:MM:SS`` in seconds."""
    parts = told.split(":")
    if not all(part.isdecimal() for part in parts):
        return None
    seconds = 0.0
    for part in parts:
        seconds = seconds * 60 + int(part)
    return seconds
