"""What a scheduler says of a job, and what that and the runner's files mean together.

Nothing here does I/O: each scheduler's module makes a `Job` of its own words, the runner's verb
`poll` gives a status, and `report_of` makes a `Report` of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from ..routes import Address
from ..session import Report, Status
from .base import told_of

TOO_MUCH = "was ended: it used more memory than it had asked for"
LAST_WORD = 30.0
"""Seconds that the scheduler gets to say why it ended an app before the runner's word counts."""
OWN_CODE = 10.0
"""The same, for an app that ended with a code of its own: nobody need have made it."""
UNSEEN = frozenset({"runner_lost", "host_restarted", "files_lost"})
"""Reasons in an ``exit.json`` that nobody wrote: the runner's verbs made it up."""
STRONGER = frozenset(
    {
        "walltime",
        "out_of_memory",
        "over_limit",
        "preempted",
        "node_failed",
        "deadline",
        "cancelled",
    }
)
"""Reasons of a scheduler that explain why a runner or an app was signalled."""


class Phase(StrEnum):
    """Where a job stands, in no scheduler's own words."""

    PENDING = "pending"
    STUCK = "stuck"  # in the queue, but it will never run
    RUNNING = "running"  # suspended ones too
    ENDING = "ending"  # over, but its nodes are not free yet
    ENDED = "ended"
    GONE = "gone"  # the scheduler is sure that it knows of no such job


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job, as the scheduler told of it.

    Parameters
    ----------
    id
        As the scheduler's commands take it.
    reason
        A word for programs: why it waits or has ended.
    message
        The same for people, as what follows "Slurm job 12": "waits: Priority", "was cancelled".
    expected
        When it is expected to begin.
    host
        Where it runs; empty if that is not known.
    started, ends
        When it began, and when its time is up.
    again
        Of an ended one: whether it lost its place through no fault of its own.
    """

    id: str
    phase: Phase
    reason: str = ""
    message: str = ""
    expected: datetime | None = None
    host: str = ""
    started: datetime | None = None
    ends: datetime | None = None
    again: bool = False


def report_of(
    what: str,
    job: Job | None,
    status: Mapping[str, Any] | None,
    now: datetime,
    margin: float,
    fresh: bool = True,
    brings_output: bool = False,
) -> Report | None:
    """What is to be said of a session; None if nothing can be said.

    Parameters
    ----------
    what
        What people call the job: "Slurm job 12".
    job
        What the scheduler says; None if it does not answer.
    fresh
        Whether `job` is newer than `status`.
    status
        What the runner's verb `poll` says about its directory; None if it cannot tell.
    margin
        Seconds before the end of its time at which a session is ended: see `margin_of`.
    brings_output
        Whether the scheduler writes into the attempt's directory once the runner has ended.
    """
    status = status or {}
    end = status.get("exit") or {}
    written = bool(end) and end.get("reason") not in UNSEEN
    if job is None:
        return _ended(status, end) if written else None
    if job.phase in (Phase.ENDED, Phase.GONE, Phase.STUCK):
        return _over(what, job, status, end if written else {})
    if job.phase is Phase.PENDING and (fresh or not status.get("ran")):
        return _pending(what, job, status)
    if written:
        patience = OWN_CODE if _by_itself(end) else LAST_WORD
        late = now.timestamp() - float(end.get("ended") or 0) > patience
        if late or (status.get("asked") and not brings_output):
            return _ended(status, end)
        if job.phase is Phase.ENDING and job.reason:
            return _over(what, job, status, end)
        # Who made it end, and why, is for the scheduler to say: it may have signalled the app.
        return Report(Status.ALIVE, host=_host(job, status), message="It ends.")
    if end and status.get("status") == "ended":
        return None  # its runner is gone: the scheduler will notice
    return _running(what, job, status, margin)


def margin_of(walltime: float, most: float) -> float:
    """Seconds before the end of a job's time at which its session is ended in good order.

    Parameters
    ----------
    walltime
        Seconds that the job may take.
    most
        The administrator's `walltime_margin`; a short job loses a tenth of its time at the most.
    """
    return min(most, walltime / 10)


def _pending(what: str, job: Job, status: Mapping[str, Any]) -> Report:
    if status.get("ran"):
        # An attempt has one runner, ever: this one would end at once.
        message = f"{what} was put back into the queue; the session starts again."
        return Report(Status.ENDED, reason="requeued", message=message, again=True)
    message = f"{what} {job.message or 'waits'}"
    if job.expected is not None:
        local = job.expected.astimezone()
        day = "" if local.date() == datetime.now().astimezone().date() else f"{local:%Y-%m-%d} "
        message += f"; expected start {day}{local:%H:%M}"
    return Report(Status.QUEUED, reason=job.reason or "queued", message=message)


def _running(what: str, job: Job, status: Mapping[str, Any], margin: float) -> Report:
    host, told = _host(job, status), told_of(status.get("told") or {})
    address, started = status.get("address"), _time(status.get("started"))
    ends = None if job.ends is None else job.ends - timedelta(seconds=margin)
    if address is not None:
        return Report(
            Status.ALIVE,
            address=Address.from_json(address),
            host=host,
            started=started,
            ends=ends,
            message=f"{what} {job.message}" if job.message else told.message,
            reason=job.reason,
            told=told,
        )
    if started is not None:
        return Report(
            Status.STARTING,
            host=host,
            started=started,
            ends=ends,
            message=told.message,
            told=told,
        )
    # The app's own time has not begun: its node boots, or the file server takes its time.
    where = f" on {host}" if host else ""
    return Report(
        Status.QUEUED,
        reason="starts",
        message=f"{what} {job.message or f'starts{where}'}",
        host=host,
    )


def _over(what: str, job: Job, status: Mapping[str, Any], end: Mapping[str, Any]) -> Report:
    """The end of a session whose job is over: the scheduler and the runner know half each."""
    if end and job.reason not in STRONGER:
        return _ended(status, end)
    host = _host(job, status)
    if job.phase is Phase.GONE:
        message = f"{what} is no longer known to the scheduler, and nothing tells how it ended."
        return Report(Status.ENDED, reason="job_lost", message=message, host=host)
    message = f"{what} {job.message or 'has ended'}"
    if not status.get("ran") and job.reason in ("failed", "completed"):
        message += " before it could start the app. The log may say why"
    return Report(
        Status.ENDED,
        exit_code=end.get("exit_code"),
        reason=job.reason or "job_ended",
        message=message.rstrip(".") + ".",
        host=host,
        again=job.again,
    )


def _by_itself(end: Mapping[str, Any]) -> bool:
    """Whether the app ended with a code of its own, and nobody made it."""
    return end.get("reason") == "exited" and end.get("exit_code") is not None


def _ended(status: Mapping[str, Any], end: Mapping[str, Any]) -> Report:
    return Report(
        Status.ENDED,
        exit_code=end.get("exit_code"),
        reason=str(end.get("reason") or ""),
        message=str(end.get("message") or ""),
        host=str(status.get("hostname") or ""),
    )


def _host(job: Job, status: Mapping[str, Any]) -> str:
    return job.host or str(status.get("hostname") or "")


def _time(epoch: Any) -> datetime | None:
    return None if epoch is None else datetime.fromtimestamp(float(epoch), UTC)
