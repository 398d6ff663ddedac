"""What goes on between the gateway and one session: its counts and its open connections."""

from __future__ import annotations

import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from jupyter_sessions.gateway.credentials import Credentials
from jupyter_sessions.gateway.upstream import Pool


@dataclass(slots=True)
class Metrics:
    """Counts since the server's start.

    Parameters
    ----------
    requests, failures
        Requests passed on, and those that the app did not answer properly.
    bytes_in, bytes_out
        Body and upgraded bytes to the app, and from it.
    open_requests, open_upgrades
        Present ones.
    wait_seconds
        The sum of the times until the head of the answer came.
    last_activity
        When something other than a websocket's keepalive passed (seconds since the epoch).
    """

    requests: int = 0
    failures: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    open_requests: int = 0
    open_upgrades: int = 0
    wait_seconds: float = 0.0
    last_activity: float | None = None

    def touch(self) -> None:
        self.last_activity = time.time()


class Connection(Protocol):
    """Something that is open between a client and an app."""

    def abort(self) -> None:
        """Close both ends now."""
        ...

    @property
    def broken(self) -> bool:
        """True if the client has gone without our hearing of it."""
        ...

    def credentials(self, *, young: bool = False) -> Credentials | None:
        """With what it was opened; None if it was a moment ago, unless `young` ones count too."""
        ...


class Traffic:
    """One session's connections: idle ones in `pool`, busy ones in `active`."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self.metrics = Metrics()
        self.pool = Pool(tls)
        self.active: set[Connection] = set()
        self.generation = 0
        """Raised whenever what was known about the way to the app may be wrong."""
        self.closed = 0
        """How often every connection was dropped."""

    def close(self) -> None:
        """Drop every connection."""
        self.generation += 1
        self.closed += 1
        self.pool.close()
        for connection in list(self.active):
            with suppress(OSError):  # no descriptor to be had, say: the others are closed
                connection.abort()
