"""`session.py`: every move that an attempt may make, as rows of tables."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_sessions.actions import actions
from jupyter_sessions.errors import Conflict, IllegalMove
from jupyter_sessions.routes import Address
from jupyter_sessions.session import (
    ENDED,
    LATER,
    Report,
    Seen,
    Session,
    State,
    Status,
    Step,
    Target,
    advance,
    begin_attempt,
    fail,
    limit,
    move,
    needed,
    new_id,
)

from .core import NOW, a_session

C, Q, S, R, SUS, STOPPING, STOPPED, FAILED = State
HANDLE = {"job": 1}
ADDRESS = Address.unix("/run/app.sock")
LATE = NOW + timedelta(seconds=61)
MOVING = (C, Q, S, R, SUS)


def at(state: State, **changes: Any) -> Session:
    """A session that has come to `state` by the usual way."""
    usual: dict[str, Any] = {}
    if state is not C:
        usual = {"handle": HANDLE, "submitted": True}
    if state in (S, R, SUS):
        usual |= {"address": ADDRESS, "started": NOW}
    if state in (R, SUS):
        usual |= {"ready": NOW}
    if state in (STOPPING, *ENDED):
        usual |= {"outcome": STOPPED, "stop_sent": True, "reason": "stopped"}
    return a_session(state, **(usual | changes))


def report(status: Status, **facts: Any) -> Seen:
    if status is Status.ALIVE:
        facts = {"address": ADDRESS, **facts}
    return Seen(asked=True, report=Report(status, **facts))


SILENCE = Seen(asked=True)
QUEUED, STARTING, ALIVE = map(report, (Status.QUEUED, Status.STARTING, Status.ALIVE))
GONE = report(Status.ENDED, exit_code=1, reason="exited")
GONE_WELL = report(Status.ENDED, exit_code=0, reason="exited")
TOLD_TO = report(Status.ENDED, reason="stopped")


def far(session: Session, seen: Seen, now: datetime = NOW, **kwargs: Any) -> Session:
    """What the manager does: until nothing changes any more."""
    for _ in range(10):
        if (after := advance(session, seen, now, **kwargs)) == session:
            return session
        if after.attempt.number != session.attempt.number:
            return after  # what was seen is about the attempt before
        session = after
    raise AssertionError("it never comes to rest")


# Where each state goes --------------------------------------------------------------------------

NEXT = {
    #          silence   queued    starting  alive     exit 1    exit 0    stopped
    C: (C, C, C, C, STOPPING, STOPPING, STOPPING),
    Q: (Q, Q, S, S, STOPPING, STOPPING, STOPPING),
    S: (S, S, S, S, STOPPING, STOPPING, STOPPING),
    R: (R, R, R, R, STOPPING, STOPPING, STOPPING),
    SUS: (SUS, SUS, SUS, SUS, STOPPING, STOPPING, STOPPING),
    STOPPING: (STOPPING, STOPPING, STOPPING, STOPPING, STOPPED, STOPPED, STOPPED),
    STOPPED: (STOPPED,) * 7,
    FAILED: (FAILED,) * 7,
}
REPORTS = (SILENCE, QUEUED, STARTING, ALIVE, GONE, GONE_WELL, TOLD_TO)
TABLE = [(s, r, new) for s, row in NEXT.items() for r, new in zip(REPORTS, row, strict=True)]


@pytest.mark.parametrize(("state", "seen", "then"), TABLE)
def test_a_report_leads_each_state_where_the_table_says(
    state: State, seen: Seen, then: State
) -> None:
    assert far(at(state), seen).state is then


@pytest.mark.parametrize(("state", "seen", "then"), TABLE)
@pytest.mark.parametrize(
    "change",
    [{"target": Target.STOPPED}, {"wanted_attempt": 2}, {"expires": NOW}],
    ids=["stop", "restart", "timeout"],
)
def test_what_people_and_clocks_ask_for_leads_to_stopping(
    state: State, seen: Seen, then: State, change: dict[str, Any]
) -> None:
    if "expires" in change:
        change = {**change, "started": NOW - timedelta(seconds=9), "timeout": 9.0}
    session = at(state, **change)
    after = far(session, seen)
    if state in MOVING:
        assert after.state is STOPPING
        if seen.report is None or seen.report.status is not Status.ENDED:
            assert after.attempt.outcome is STOPPED
    elif "wanted_attempt" in change and then in ENDED:
        assert (after.state, after.attempt.number, after.target) == (C, 2, Target.RUNNING)
    else:
        assert after.state is then


OUTCOMES = [
    # state, target, what ended it, outcome, reason, message
    (R, "running", GONE, FAILED, "exited", "The app ended with code 1."),
    (S, "running", GONE, FAILED, "exited", "The app ended with code 1 before it was ready."),
    (R, "running", GONE_WELL, STOPPED, "exited", "The app ended."),
    (S, "running", GONE_WELL, FAILED, "exited", "The app ended with code 0 before it was ready."),
    (R, "stopped", GONE, STOPPED, "exited", "Stopped."),
    (R, "running", TOLD_TO, STOPPED, "stopped", "Stopped."),
    (R, "running", report(Status.ENDED, reason="timeout"), STOPPED, "timeout", "Stopped."),
    (R, "running", report(Status.ENDED), FAILED, "exited", "The app ended."),
    (
        R,
        "running",
        report(Status.ENDED, reason="exited", message="Killed by signal 9."),
        FAILED,
        "exited",
        "Killed by signal 9.",
    ),
    (
        Q,
        "running",
        report(Status.ENDED, reason="node_fail", message="Node n1 died."),
        FAILED,
        "node_fail",
        "Node n1 died.",
    ),
]


@pytest.mark.parametrize(("state", "target", "seen", "outcome", "reason", "message"), OUTCOMES)
def test_an_end_has_an_outcome_a_reason_and_a_sentence(
    state: State, target: str, seen: Seen, outcome: State, reason: str, message: str
) -> None:
    attempt = advance(at(state, target=Target(target)), seen, NOW).attempt
    assert (attempt.outcome, attempt.reason, attempt.message) == (outcome, reason, message)


@pytest.mark.parametrize(
    ("reason", "outcome", "message"),
    [
        ("stopped", STOPPED, "Stopped."),
        ("restart", STOPPED, "Stopped."),
        ("timeout", STOPPED, "Stopped: its time was up."),
        ("exited", STOPPED, "what it said"),
        ("not_ready", FAILED, "what it said"),
    ],
)
def test_the_last_sentence_says_why(reason: str, outcome: State, message: str) -> None:
    session = at(STOPPING, reason=reason, outcome=outcome, message="what it said")
    after = far(session, GONE)
    assert (after.state, after.attempt.message) == (outcome, message)
    assert (after.attempt.ended, after.attempt.address) == (NOW, None)
    assert after.attempt.exit_code == 1


def test_a_message_from_the_spawner_does_not_hide_why_it_stops() -> None:
    session = fail(at(S), "not_ready", "Too late.")
    seen = report(Status.ALIVE, message="Job 1 runs on n1.", reason="busy")
    attempt = far(session, seen).attempt
    assert (attempt.reason, attempt.message) == ("not_ready", "Too late.")


def test_stopping_ends_only_once_the_spawner_was_told() -> None:
    assert far(at(STOPPING, stop_sent=False), GONE).state is STOPPING


# Ready in time ----------------------------------------------------------------------------------

NOT_YET = Seen(ready=False, ready_problem="it answers HTTP 502")


@pytest.mark.parametrize(
    ("state", "seen", "now", "then"),
    [
        (S, Seen(ready=True), NOW, R),
        (S, Seen(ready=True), LATE, R),  # late, but it answers
        (S, NOT_YET, NOW, S),
        (S, NOT_YET, LATE, STOPPING),
        (S, STARTING, LATE, STOPPING),  # it does not even listen
        (S, ALIVE, LATE, S),  # nobody has asked the app yet: perhaps there was no server
        (S, Seen(), LATE, S),
        (S, SILENCE, LATE, S),  # its host is away
        (R, NOT_YET, LATE, R),
        (Q, NOT_YET, LATE, Q),
        (C, Seen(ready=True), NOW, C),
        (STOPPING, Seen(ready=True), NOW, STOPPING),
    ],
)
def test_what_is_seen_not_to_be_ready_in_time_fails(
    state: State, seen: Seen, now: datetime, then: State
) -> None:
    assert far(at(state), seen, now, ready_timeout=60).state is then


def test_the_sentence_of_a_late_app_says_what_it_answered() -> None:
    attempt = far(at(S), NOT_YET, LATE).attempt
    assert (attempt.outcome, attempt.reason) == (FAILED, "not_ready")
    expected = "The app did not answer within 60 s of its start (it answers HTTP 502)."
    assert attempt.message == expected


def test_time_in_a_queue_does_not_count() -> None:
    queued = far(at(Q), QUEUED, LATE)
    started = far(queued, STARTING, LATE)
    assert (started.state, started.attempt.started) == (S, LATE)


def test_an_app_that_is_found_alive_goes_through_each_state() -> None:
    session = at(C, handle=HANDLE, submitted=True)
    after = far(session, Seen(asked=True, report=ALIVE.report, ready=True))
    assert (after.state, after.attempt.ready, after.attempt.message) == (R, NOW, "")


# Facts ------------------------------------------------------------------------------------------


def test_facts_of_a_report_are_kept() -> None:
    began = NOW - timedelta(seconds=3)
    seen = report(Status.ALIVE, host="n1", started=began, message="Busy.", reason="busy")
    attempt = far(at(Q, timeout=60.0), seen).attempt
    assert (attempt.host, attempt.address, attempt.started) == ("n1", ADDRESS, began)
    assert (attempt.message, attempt.reason) == ("Busy.", "busy")
    assert attempt.expires == began + timedelta(seconds=60)


def test_the_reason_for_waiting_goes_with_the_wait() -> None:
    waiting = far(at(Q), report(Status.QUEUED, message="Waits: Priority.", reason="Priority"))
    attempt = far(waiting, STARTING).attempt
    assert (attempt.message, attempt.reason) == ("Waiting for the app to answer.", "")


def test_unreachable_is_noted_once_and_forgotten_when_it_answers() -> None:
    away = far(at(R), SILENCE)
    still = far(away, SILENCE, LATE)
    assert away.attempt.unreachable_since == still.attempt.unreachable_since == NOW
    assert far(still, ALIVE).attempt.unreachable_since is None
    assert far(still, Seen()) == still  # not asked: nothing to note


# Moves ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("old", State)
@pytest.mark.parametrize("new", State)
def test_a_move_is_allowed_if_and_only_if_the_table_says_so(old: State, new: State) -> None:
    if new in LATER[old]:
        assert move(at(old), new, message="x").state is new
    else:
        with pytest.raises(IllegalMove):
            move(at(old), new)


@pytest.mark.parametrize("state", State)
def test_a_new_attempt_begins_after_an_end_only(state: State) -> None:
    if state not in ENDED:
        with pytest.raises(IllegalMove):
            begin_attempt(at(state), NOW)
        return
    session = at(state, exit_code=1)
    after = begin_attempt(session, LATE)
    assert (after.id, after.cwd, after.attempt.number, after.state) == (session.id, "/tmp", 2, C)
    assert (after.attempt.handle, after.attempt.exit_code, after.past) == (
        None,
        None,
        (session.attempt,),
    )


# What is to be done -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "changes", "step"),
    [
        (C, {}, Step.SUBMIT),
        (Q, {"submitted": False}, Step.SUBMIT),
        (Q, {}, Step.POLL),
        (S, {}, Step.PROBE),
        (S, {"address": None}, Step.POLL),
        (S, {"address": None, "timeout": 9.0}, Step.LIMIT),
        (R, {}, Step.POLL),
        (R, {"timeout": 9.0}, Step.LIMIT),
        (R, {"timeout": 9.0, "limit": 9.0}, Step.POLL),
        (R, {"limit": 9.0}, Step.LIMIT),
        (SUS, {}, Step.POLL),
        (STOPPING, {"stop_sent": False}, Step.STOP),
        (STOPPING, {"stop_sent": False, "submitted": False}, Step.STOP),
        (STOPPING, {}, Step.POLL),
        (STOPPED, {"limit": 9.0}, None),
        (FAILED, {"submitted": False}, None),
    ],
)
def test_needed_is_the_next_step(state: State, changes: dict[str, Any], step: Step | None) -> None:
    assert needed(at(state, **changes)) is step


@pytest.mark.parametrize(
    ("state", "changes", "possible"),
    [
        (C, {}, "logs restart stop rename delete"),
        (S, {}, "logs restart stop rename delete"),
        (R, {}, "open logs restart stop rename delete"),
        (R, {"timeout": 9.0}, "open logs extend restart stop rename delete"),
        (R, {"target": Target.STOPPED}, "open logs stop rename delete"),
        (STOPPING, {}, "logs stop rename delete"),
        (STOPPED, {}, "restart logs rename delete"),
        (FAILED, {}, "restart logs rename delete"),
        (FAILED, {"wanted_attempt": 2}, "logs restart stop rename delete"),
    ],
)
def test_actions_are_what_may_be_done_now(
    state: State, changes: dict[str, Any], possible: str
) -> None:
    assert actions(at(state, **changes)) == possible.split()


def test_ids_are_fit_for_urls_jobs_and_dns() -> None:
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(i.isascii() and i.isalnum() and i.islower() and i[0].isalpha() for i in ids)


# Anything, in any order -------------------------------------------------------------------------

REPORT = st.builds(
    Report,
    status=st.sampled_from(Status),
    address=st.sampled_from([None, ADDRESS]),
    exit_code=st.sampled_from([None, 0, 1]),
    reason=st.sampled_from(["", "stopped", "timeout", "exited", "lost"]),
    message=st.sampled_from(["", "A sentence."]),
)
SEEN = st.builds(
    Seen,
    asked=st.booleans(),
    report=st.none() | REPORT,
    ready=st.sampled_from([None, True, False]),
)
CHANGE = st.sampled_from(
    [
        {},
        {"target": Target.STOPPED},
        {"wanted": 1},
        {"handle": HANDLE},
        {"submitted": True},
        {"stop_sent": True},
        {"timeout": 20.0},
        {"timeout": None},
    ]
)
LIFE = st.lists(st.tuples(CHANGE, SEEN, st.integers(0, 100)), max_size=25)


def apply(session: Session, change: dict[str, Any]) -> Session:
    """A change as the manager makes them."""
    match change:
        case {"target": target}:
            number = session.attempt.number
            return replace(session, target=target, wanted_attempt=number)
        case {"wanted": more}:
            wanted = session.attempt.number + more
            return replace(session, target=Target.RUNNING, wanted_attempt=wanted)
        case {"timeout": timeout}:
            return replace(session, timeout=timeout)
        case _:
            return session.now(**change)


@given(LIFE)
def test_no_history_breaks_the_rules(life: list[tuple[dict[str, Any], Seen, int]]) -> None:
    session, now = a_session(), NOW
    for change, seen, seconds in life:
        now += timedelta(seconds=seconds)
        session = apply(session, change)
        while (after := advance(session, seen, now)) != session:  # raises if a move is illegal
            if after.attempt.number != session.attempt.number:
                assert session.state in ENDED
                assert after.attempt.number == session.attempt.number + 1
                assert after.past[-1] == session.attempt
                session = after
                break  # what was seen is about the attempt before
            if after.state is not session.state:
                assert after.state in LATER[session.state]
            if after.state in ENDED and session.state not in ENDED:
                assert seen.report is not None
                assert seen.report.status is Status.ENDED
                assert session.attempt.stop_sent
                assert after.attempt.reason
                assert after.attempt.message
            session = after


@given(st.sampled_from(State), st.none() | st.just(False), st.booleans(), st.integers(0, 10**6))
def test_silence_changes_no_state(
    state: State, ready: bool | None, asked: bool, seconds: int
) -> None:
    session = at(state)
    seen = Seen(asked=asked, ready=ready if state is not S else None)
    after = far(session, seen, NOW + timedelta(seconds=seconds))
    assert after.now(unreachable_since=None) == session


# What a queue does to an attempt ------------------------------------------------------------------


def lost(reason: str = "preempted") -> Seen:
    return report(Status.ENDED, reason=reason, message="It lost its place.", again=True)


@pytest.mark.parametrize("state", [Q, S, R])
def test_what_lost_its_place_begins_again_under_the_same_id(state: State) -> None:
    session = at(state)
    leaving = advance(session, lost(), NOW)
    assert (leaving.state, leaving.attempt.outcome) == (STOPPING, STOPPED)
    assert (leaving.attempt.reason, leaving.attempt.message) == ("preempted", "It lost its place.")
    over = advance(leaving.now(stop_sent=True), report(Status.ENDED), NOW)
    assert over.attempt.message == "It lost its place."
    again = advance(over, Seen(), NOW)
    assert (again.id, again.state, again.attempt.number) == (session.id, C, 2)
    assert again.past[0].reason == "preempted"


def test_what_was_to_stop_does_not_begin_again() -> None:
    leaving = advance(at(R, target=Target.STOPPED), lost(), NOW)
    assert leaving.wanted_attempt == leaving.attempt.number


def test_what_never_answers_is_not_begun_again_for_ever() -> None:
    session = at(S)
    for _ in range(2):
        over = advance(advance(session, lost(), NOW).now(stop_sent=True), lost(), NOW)
        begun = advance(over, Seen(), NOW)
        session = begun.now(state=S, handle=HANDLE, submitted=True, started=NOW)
    assert session.attempt.number == 3
    given_up = advance(session, lost(), NOW)
    assert (given_up.attempt.outcome, given_up.wanted_attempt) == (FAILED, 3)


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        ("walltime", STOPPED),
        ("cancelled", STOPPED),
        ("out_of_memory", FAILED),
        ("queue_timeout", FAILED),
        ("job_lost", FAILED),
    ],
)
def test_a_scheduler_says_how_it_ended(reason: str, outcome: State) -> None:
    seen = report(Status.ENDED, reason=reason, message="So it was.", exit_code=0)
    leaving = advance(at(R), seen, NOW)
    assert (leaving.attempt.outcome, leaving.attempt.reason) == (outcome, reason)
    assert leaving.attempt.message == "So it was."


def test_a_job_ends_when_its_time_is_up_whatever_the_timeout() -> None:
    ends = NOW + timedelta(minutes=50)
    session = advance(at(R, timeout=3600.0, limit=3600.0), report(Status.ALIVE, ends=ends), NOW)
    assert session.attempt.expires == ends
    assert session.lifetime == 3000
    assert needed(session) is Step.LIMIT, "its supervisor has to hear of it"
    assert needed(session.now(limit=3000.0)) is Step.POLL
    assert "extend" not in actions(session)
    with pytest.raises(Conflict, match="cannot run longer"):
        limit(session, 3100)
    assert limit(session, 600).attempt.expires == NOW + timedelta(minutes=10)
    assert limit(session, None).attempt.expires == ends
    jitter = advance(session, report(Status.ALIVE, ends=ends + timedelta(seconds=5)), NOW)
    assert jitter.attempt.ends == ends
    longer = advance(session, report(Status.ALIVE, ends=ends + timedelta(hours=1)), NOW)
    assert longer.attempt.expires == NOW + timedelta(hours=1)
