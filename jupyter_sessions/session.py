"""What a session is, and how it changes: `Session` and the pure function `advance`.

Nothing here does I/O or looks at a clock. The loop (``reconcile.py``) feeds `advance` with what was
seen, and `Steps` does what `needed` asks for: every change of state can be tested as a row of a
table.

::

    created → queued → starting → running → stopping → stopped | failed
                                     ↕
                                 suspended

A session has *attempts*: within one, states only move to the right. Restarting begins the next
attempt of the same session: same id, same URL, same working directory. People and time limits
never write a state: they change the `target` (and `wanted_attempt`), and the loop does the rest.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from .errors import Conflict, IllegalMove
from .routes import Address
from .timelimits import ENDS_STEP, expiry, lifetime, moved
from .told import NOTHING, Told

Handle = Mapping[str, Any]
"""How a spawner finds again what it started. JSON; opaque outside its spawner."""


class State(StrEnum):
    """Where an attempt stands."""

    CREATED = "created"  # recorded, nothing submitted
    QUEUED = "queued"  # handle saved, waits for resources
    STARTING = "starting"  # alive, has not answered yet
    RUNNING = "running"  # answered, and can be routed to
    SUSPENDED = "suspended"
    STOPPING = "stopping"  # on its way out: clean-up always runs
    STOPPED = "stopped"  # ended as it was asked to, or by itself with exit code 0
    FAILED = "failed"  # ended otherwise


class Target(StrEnum):
    """Where a session is wanted: the only thing that people and time limits change."""

    RUNNING = "running"
    SUSPENDED = "suspended"
    STOPPED = "stopped"


LATER: Mapping[State, frozenset[State]] = {
    State.CREATED: frozenset({State.QUEUED, State.STOPPING}),
    State.QUEUED: frozenset({State.STARTING, State.STOPPING}),
    State.STARTING: frozenset({State.RUNNING, State.STOPPING}),
    State.RUNNING: frozenset({State.SUSPENDED, State.STOPPING}),
    State.SUSPENDED: frozenset({State.RUNNING, State.STOPPING}),
    State.STOPPING: frozenset({State.STOPPED, State.FAILED}),
    State.STOPPED: frozenset(),
    State.FAILED: frozenset(),
}
"""The moves an attempt may make. Only a new attempt leads out of an ended state."""

WAITS = "Waiting for the app to answer."
"""The message of a session that starts, if there is nothing better to say."""
ENDED = frozenset({State.STOPPED, State.FAILED})
ASKED = frozenset({"stopped", "timeout", "restart"})
"""Reasons of an end that somebody asked for, or that was agreed upon."""
STOPPED_BY = frozenset({"stopped", "timeout", "walltime", "cancelled"})
"""Reasons of an end by somebody, or by the clock: nothing is wrong with the app."""
ALIVE = frozenset({State.STARTING, State.RUNNING, State.SUSPENDED})
"""States in which the app's process exists, as far as is known."""


class Status(StrEnum):
    """What a spawner says about a handle."""

    QUEUED = "queued"
    STARTING = "starting"  # the process lives, but does not listen yet
    ALIVE = "alive"  # it listens: the report has an address
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Report:
    """A spawner's answer about one handle.

    A spawner that cannot tell gives *no* report: unknown is not dead.

    Parameters
    ----------
    status
        See `Status`.
    address
        Where the app listens, as the target sees it. None until it does, or if it never will.
    exit_code
        Of an ended one. None if it was killed by a signal, or if nobody saw it end.
    reason
        A word for programs: why it ended or why it waits.
    message
        A sentence for people: "Slurm job 1234 waits: Priority; expected start 14:05".
    host
        The name of the machine that it runs on.
    started
        When the app's process began.
    told
        What the app says of itself; None if the spawner cannot know.
    ends
        When its place is taken from it, whatever its timeout: the end of a batch job's time.
    again
        Of an ended one: whether the next attempt is to begin by itself. Its place was taken by
        somebody else, or is gone; nothing is wrong with the app.
    """

    status: Status
    address: Address | None = None
    exit_code: int | None = None
    reason: str = ""
    message: str = ""
    host: str = ""
    started: datetime | None = None
    told: Told | None = None
    ends: datetime | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What the manager learnt about a session since it last looked.

    Parameters
    ----------
    asked
        Whether the spawner was asked. Asked and no `report` means unreachable.
    report
        Its answer.
    ready
        Whether the app answered its readiness request; None if it was not asked.
    ready_problem
        What it answered instead ("HTTP 502"), for the message when the deadline passes.
    """

    asked: bool = False
    report: Report | None = None
    ready: bool | None = None
    ready_problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One run of a session's app. All times are UTC."""

    number: int = 1
    state: State = State.CREATED
    created: datetime
    handle: Handle | None = None
    submitted: bool = False  # the spawner said all it had to say about starting
    address: Address | None = None
    host: str = ""
    started: datetime | None = None
    ready: datetime | None = None
    ended: datetime | None = None
    expires: datetime | None = None
    ends: datetime | None = None  # when its place is taken from it: see `Report.ends`
    limit: float | None = None  # the timeout that the app's supervisor knows of
    warned: datetime | None = None  # the `expires` that people were last warned of
    prepared: bool = False  # the app's before hook has run
    told_ready: bool = False  # the app's supervisor knows that it is in use
    told: Told = NOTHING
    released: datetime | None = None  # when the app last ceased to say that it is not ready
    noted_url: str = ""  # the URL that was last written into the app's log
    exit_code: int | None = None
    message: str = ""
    reason: str = ""
    outcome: State | None = None  # what STOPPING leads to
    stop_sent: bool = False  # the spawner was asked to stop it and did not object
    unreachable_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The durable record of one use of an app. Its id is its URL for life.

    Parameters
    ----------
    app, app_definition, app_directory
        The app's name, and the app as it was when the present attempt began: what runs is
        described by it even after the app's file has changed or gone.
    resources
        What the spawner was asked for, by its `options_schema`.
    base_url
        The URL prefix of the Jupyter server that launched it. An app that keeps its prefix can
        only be opened from a server with the same one.
    timeout
        Seconds that an attempt may live after its app started; None for no limit.
    wanted_attempt
        The number of the attempt that people want: above ``attempt.number`` after "restart".
    past
        The attempts before this one, oldest first.
    revision
        How often the record was written: of two, the higher is the newer.
    forget
        Whether it is to be deleted once it has ended.
    owner
        The server whose loop looks after it (`ownership.Owner` as JSON); None if nobody's does.
    """

    id: str
    name: str
    app: str
    app_definition: Mapping[str, Any] = field(default_factory=dict)
    app_directory: str = ""
    spawner: str
    options: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)
    cwd: str
    base_url: str = "/"
    timeout: float | None = None
    created: datetime
    target: Target = Target.RUNNING
    wanted_attempt: int = 1
    attempt: Attempt
    past: tuple[Attempt, ...] = ()
    owner: Mapping[str, Any] | None = None
    forget: bool = False
    revision: int = field(default=0, compare=False)
    last_activity: datetime | None = None

    @property
    def state(self) -> State:
        return self.attempt.state

    @property
    def ended(self) -> bool:
        """Whether nothing of it runs and nothing is about to."""
        return self.state in ENDED and self.wanted_attempt <= self.attempt.number

    @property
    def lifetime(self) -> float | None:
        """Seconds from its start at which its supervisor has to end it; None for no limit."""
        return lifetime(self.attempt.started, self.timeout, self.attempt.ends)

    @property
    def prefix(self) -> str:
        """Its URL path at the server that launched it, with a slash at the end."""
        return f"{self.base_url}sessions/{self.id}/"

    def now(self, **changes: Any) -> Session:
        """The session with `changes` to its present attempt."""
        return replace(self, attempt=replace(self.attempt, **changes))


def new_id() -> str:
    """A fresh session id: 12 characters that are fit for a URL, a job's name and a DNS label.

    It begins with a letter. It is not a secret: the gateway authenticates every request.
    """
    letters = "abcdefghijkmnpqrstuvwxyz"
    return secrets.choice(letters) + "".join(
        secrets.choice(letters + "23456789") for _ in range(11)
    )


def move(session: Session, state: State, **changes: Any) -> Session:
    """`session` in the later `state`; the only place where a state is written.

    Raises
    ------
    IllegalMove
        If an attempt cannot go there from where it is.
    """
    if state not in LATER[session.state]:
        raise IllegalMove(f"Session {session.id} cannot go from {session.state} to {state}.")
    return session.now(state=state, **changes)


PAST_KEPT = 20
"""How many attempts before the present one are remembered: enough to see a pattern."""
AGAIN_MOST = 3
"""How many attempts in a row may begin by themselves without the app ever having answered."""


def begin_attempt(session: Session, now: datetime) -> Session:
    """The next attempt of an ended session."""
    if session.state not in ENDED:
        raise IllegalMove(f"Session {session.id} is {session.state}: its attempt has not ended.")
    number = session.attempt.number + 1
    return replace(
        session,
        attempt=Attempt(number=number, created=now),
        past=(*session.past, session.attempt)[-PAST_KEPT:],
        wanted_attempt=number,
        target=Target.RUNNING,
    )


def limit(session: Session, timeout: float | None) -> Session:
    """`session` with another time limit: seconds from the start of its app, None for no limit.

    Raises
    ------
    Conflict
        If it has ended, or if what it runs in ends before.
    """
    if session.ended:
        raise Conflict("This session has ended: its time limit cannot be changed.", reason="ended")
    started, ends = session.attempt.started, session.attempt.ends
    wanted = expiry(started, timeout)
    if wanted is not None and ends is not None and wanted > ends + ENDS_STEP:
        raise Conflict(
            f"The time of its job ends at {ends:%Y-%m-%d %H:%M} UTC: it cannot run longer.",
            reason="walltime",
        )
    return replace(session, timeout=timeout).now(expires=expiry(started, timeout, ends))


class Step(StrEnum):
    """What the manager has to do next for a session."""

    SUBMIT = "submit"  # start it, or finish starting it
    PROBE = "probe"  # ask the app whether it is ready
    STOP = "stop"  # stop it and clean up after it
    LIMIT = "limit"  # tell the app's supervisor of a changed timeout
    POLL = "poll"  # ask the spawner how it is


def needed(session: Session) -> Step | None:
    """What is to be done about `session` besides waiting; None if nothing is."""
    attempt = session.attempt
    if attempt.state in ENDED:
        return None
    if attempt.state is State.STOPPING:
        return Step.POLL if attempt.stop_sent else Step.STOP
    if not attempt.submitted:
        return Step.SUBMIT
    held = attempt.told.ready is False
    if attempt.state is State.STARTING and attempt.address is not None and not held:
        return Step.PROBE
    if attempt.state in ALIVE and attempt.limit != session.lifetime:
        return Step.LIMIT
    return Step.POLL


def advance(session: Session, seen: Seen, now: datetime, ready_timeout: float = 60) -> Session:
    """Where `session` stands after what was `seen`, one move at the most.

    Called by the manager until nothing changes any more.

    Parameters
    ----------
    seen
        What the spawner and the readiness request said.
    now
        UTC.
    ready_timeout
        Seconds that the app may take from the start of its process to its first answer. Time in
        a queue does not count, and neither does the time until an app that says that it is not
        ready says so no more.
    """
    if session.state in ENDED:
        restart = session.wanted_attempt > session.attempt.number
        return (
            begin_attempt(session, now) if restart and session.target is Target.RUNNING else session
        )
    session = _learn(session, seen, now)
    if session.state is State.STOPPING:
        return _finish(session, seen, now)
    if (ending := _ending(session, seen, now, ready_timeout)) is not None:
        return ending
    return _forward(session, seen, now)


def _learn(session: Session, seen: Seen, now: datetime) -> Session:
    """Note the facts of a report; change no state."""
    attempt, report = session.attempt, seen.report
    if report is None:
        if seen.asked and attempt.unreachable_since is None:
            return session.now(unreachable_since=now)
        return session
    facts: dict[str, Any] = {"unreachable_since": None}
    if report.address is not None:
        facts["address"] = report.address
    if report.host:
        facts["host"] = report.host
    if report.message and report.status is not Status.ENDED and attempt.outcome is None:
        facts["message"] = report.message  # once it is on its way out, why it goes is what counts
        facts["reason"] = report.reason
    if report.told is not None and report.status in (Status.STARTING, Status.ALIVE):
        facts |= _listen(attempt, report.told, now)
    if report.status in (Status.STARTING, Status.ALIVE):
        started = attempt.started or report.started or now
        facts["started"] = started
        facts["ends"] = moved(attempt.ends, report.ends)
        facts["expires"] = expiry(started, session.timeout, facts["ends"])
    if report.status is Status.ENDED and report.exit_code is not None:
        facts["exit_code"] = report.exit_code
    return session.now(**facts)


def _listen(attempt: Attempt, told: Told, now: datetime) -> dict[str, Any]:
    """What changes with what the app says of itself."""
    facts: dict[str, Any] = {"told": told}
    if attempt.told.ready is False and told.ready is not False:
        facts["released"] = now
    if attempt.outcome is None and attempt.told.message and not told.message:
        facts["message"] = "" if attempt.state is State.RUNNING else WAITS
    return facts


def _ending(session: Session, seen: Seen, now: datetime, ready_timeout: float) -> Session | None:
    """The session on its way out, if there is a reason for it to go."""
    attempt, report = session.attempt, seen.report
    if report is not None and report.status is Status.ENDED:
        return _ended_by_itself(session, report)
    if session.target is Target.STOPPED:
        return _stop(session, State.STOPPED, "stopped", "Stopping.")
    if session.wanted_attempt > attempt.number:
        return _stop(session, State.STOPPED, "restart", "Stopping, to start again.")
    if attempt.expires is not None and now >= attempt.expires:
        return _stop(session, State.STOPPED, "timeout", "Its time is up.")
    # Only what was asked and seen not to be ready is late: nobody may have been there to ask, and
    # what does not answer because its host is away is unknown, not dead.
    asked = seen.ready is False or (report is not None and report.status is Status.STARTING)
    since = attempt.released or attempt.started
    late = (
        attempt.state is State.STARTING
        and attempt.told.ready is not False
        and since is not None
        and now >= since + timedelta(seconds=ready_timeout)
    )
    if late and asked:
        why = f" ({seen.ready_problem})" if seen.ready_problem else ""
        event = "its start" if attempt.released is None else "saying that it was ready"
        message = f"The app did not answer within {ready_timeout:g} s of {event}{why}."
        return _stop(session, State.FAILED, "not_ready", message)
    return None


def _ended_by_itself(session: Session, report: Report) -> Session:
    """The end of an app that nobody here had stopped yet."""
    wanted = session.target is Target.RUNNING and session.wanted_attempt == session.attempt.number
    if report.again and wanted and not _in_vain(session):
        session = replace(session, wanted_attempt=session.attempt.number + 1)
        return _stop(session, State.STOPPED, report.reason, report.message)
    if session.target is Target.STOPPED or report.reason in STOPPED_BY:
        reason = report.reason or "stopped"
        return _stop(session, State.STOPPED, reason, report.message or "Stopped.")
    reason, message = report.reason or "exited", report.message
    if session.state is State.RUNNING and report.exit_code == 0 and reason == "exited":
        return _stop(session, State.STOPPED, "exited", message or "The app ended.")
    if report.exit_code is not None and reason == "exited":
        when = "" if session.state is State.RUNNING else " before it was ready"
        message = f"The app ended with code {report.exit_code}{when}."
    return _stop(session, State.FAILED, reason, message or "The app ended.")


def _in_vain(session: Session) -> bool:
    """Whether so many attempts in a row came to nothing that one more makes no sense."""
    latest = (*session.past, session.attempt)[-AGAIN_MOST:]
    return len(latest) == AGAIN_MOST and all(attempt.ready is None for attempt in latest)


def _stop(session: Session, outcome: State, reason: str, message: str) -> Session:
    return move(session, State.STOPPING, outcome=outcome, reason=reason, message=message)


def _finish(session: Session, seen: Seen, now: datetime) -> Session:
    """End a stopping session once its spawner was told and says that nothing is left."""
    attempt, report = session.attempt, seen.report
    if not attempt.stop_sent or report is None or report.status is not Status.ENDED:
        return session
    message = attempt.message
    if attempt.outcome is State.STOPPED and attempt.reason in ASKED:
        message = "Stopped: its time was up." if attempt.reason == "timeout" else "Stopped."
    assert attempt.outcome is not None  # noqa: S101 - set by the only way into STOPPING
    return move(session, attempt.outcome, ended=now, address=None, message=message)


def _forward(session: Session, seen: Seen, now: datetime) -> Session:
    """One step to the right on the way to running."""
    report, state = seen.report, session.state
    if state is State.CREATED and session.attempt.handle is not None:
        return move(session, State.QUEUED)
    if state is State.QUEUED and report and report.status in (Status.STARTING, Status.ALIVE):
        message = report.message or WAITS
        return move(session, State.STARTING, message=message, reason=report.reason)
    if state is State.STARTING and seen.ready:
        message = session.attempt.told.message
        return move(session, State.RUNNING, ready=now, message=message, reason="")
    return session


def fail(session: Session, reason: str, message: str) -> Session:
    """`session` on its way out because it could not be started. Called by the manager."""
    return _stop(session, State.FAILED, reason, message)
