"""Open connections of people who may no longer use the session, or have gone: found, and closed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from logging import Logger

from jupyter_sessions.gateway.admission import Admissions, Refused
from jupyter_sessions.gateway.credentials import Credentials
from jupyter_sessions.gateway.traffic import Connection

PATIENCE = 30.0
"""Seconds that an identity provider may take for one answer."""


class Watch:
    """Asks again and again about what is open, and ends what only seems to be.

    Parameters
    ----------
    admissions
        Who is asked.
    connections
        Gives all that are open now.
    seconds
        How often.
    """

    def __init__(
        self,
        admissions: Admissions,
        connections: Callable[[], Iterable[Connection]],
        log: Logger,
        seconds: float,
    ) -> None:
        self._admissions = admissions
        self._connections = connections
        self._log = log
        self._seconds = seconds

    async def run(self) -> None:
        """Look every now and then. Cancelled when the server stops."""
        while True:
            await asyncio.sleep(self._seconds)
            await self._look()

    async def _look(self) -> None:
        asked: defaultdict[Credentials, list[Connection]] = defaultdict(list)
        for connection in self._connections():
            if connection.broken:
                connection.abort()
            elif (credentials := connection.credentials()) is not None:
                asked[credentials].append(connection)
        for credentials, connections in asked.items():
            try:
                async with asyncio.timeout(PATIENCE):
                    allowed = await self._allowed(credentials)
            except Exception:  # of an identity provider; it must not end the watch
                self._log.warning("Open connections could not be checked", exc_info=True)
                continue
            if not allowed:
                for connection in connections:
                    connection.abort()

    async def _allowed(self, credentials: Credentials) -> bool:
        try:
            await self._admissions.admit(
                credentials.request(),
                credentials.session_id,
                upgrade=credentials.upgrade,
                fresh=True,
            )
        except Refused as refused:
            return refused.unavailable  # nobody could tell: unknown is not refused
        return True

    def logged_out(self, cookie: str) -> None:
        """Somebody logged out with this Cookie field: forget and close what it opened."""
        cookies = self._admissions.logins(cookie)
        self._admissions.revoke(cookies)
        for connection in list(self._connections()):
            credentials = connection.credentials(young=True)
            if credentials is not None and self._admissions.logins(credentials.cookie) & cookies:
                connection.abort()
