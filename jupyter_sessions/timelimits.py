"""How long a session may run: its own timeout, and the end of the job that it runs in."""

from __future__ import annotations

from datetime import datetime, timedelta

ENDS_STEP = timedelta(seconds=30)
"""By how much the end of a job's time has to move before it is taken for another."""


def expiry(
    started: datetime | None, timeout: float | None, ends: datetime | None = None
) -> datetime | None:
    """When an app that began at `started` has to end; None if it need not.

    Parameters
    ----------
    timeout
        Seconds that it may live; None for no limit.
    ends
        When its place is taken from it, whatever its timeout; None if it is not.
    """
    by_itself = None if started is None or timeout is None else started + timedelta(seconds=timeout)
    return min((moment for moment in (by_itself, ends) if moment is not None), default=None)


def lifetime(
    started: datetime | None, timeout: float | None, ends: datetime | None
) -> float | None:
    """The seconds from its start after which its supervisor has to end it; None for no limit."""
    if ends is None or started is None:
        return timeout
    most = max(0.0, (ends - started).total_seconds())
    return most if timeout is None else min(timeout, most)


def moved(known: datetime | None, told: datetime | None) -> datetime | None:
    """The end of a job's time, `known` so far, as it is now `told`: clocks differ a little."""
    if told is None or (known is not None and abs(told - known) < ENDS_STEP):
        return known
    return told
