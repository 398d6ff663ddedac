"""The gateway as a whole: what it is made of, and what it owns."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from logging import Logger
from typing import Any

from tornado import httputil, routing, web

from jupyter_sessions.gateway.http import Door
from jupyter_sessions.gateway.pages import Pages
from jupyter_sessions.gateway.router import Chooser, SessionMatcher, SessionRouter
from jupyter_sessions.gateway.traffic import Metrics, Traffic
from jupyter_sessions.gateway.urls import SessionUrls, Target
from jupyter_sessions.routes import Locate


@dataclass(frozen=True, slots=True)
class Tuning:
    """How the gateway gets fast. Each part can be switched off; the answers stay the same.

    Parameters
    ----------
    takeover
        Serve plain connections below tornado, as long as they ask for sessions.
    helper
        Hand upgraded connections to a process of their own, which a busy Jupyter does not hold up.
    cache_seconds
        How long a positive answer of Jupyter's authentication holds, in seconds; 0 asks for every
        request. Open connections are asked about again as often.
    """

    takeover: bool = True
    helper: bool = True
    cache_seconds: float = 5.0


class Gateway:
    """Serves ``<base_url>sessions/<id>/…``: lets the user's requests through to the session's app.

    Parameters
    ----------
    locate
        Who knows the sessions.
    base_url
        The server's, with slashes at both ends.
    log
        Where failures go; requests are not logged.
    api_url
        Where the waiting page finds the REST API, with a slash at the end.
    trust_forwarded
        True if the server stands behind a proxy whose ``X-Forwarded`` fields are true
        (``ServerApp.trust_xheaders``).
    tls
        How to verify apps that are reached by TLS.
    tuning
        What makes it fast.
    """

    def __init__(
        self,
        *,
        locate: Locate,
        base_url: str,
        log: Logger,
        api_url: str,
        trust_forwarded: bool = False,
        tls: ssl.SSLContext | None = None,
        tuning: Tuning | None = None,
    ) -> None:
        self._locate = locate
        self._log = log
        self._pages = Pages(base_url, api_url)
        self._urls = SessionUrls(base_url)
        self._trust_forwarded = trust_forwarded
        self._tls = tls or ssl.create_default_context()
        self._tuning = tuning or Tuning()
        self._traffic: dict[str, Traffic] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def rules(self, web_app: web.Application) -> list[routing.Rule]:
        """Routing rules for ``web_app.add_handlers(".*$", …)``."""
        chooser = Chooser(
            web_app, self._locate, self._pages, self._log, trust_forwarded=self._trust_forwarded
        )

        def serve(
            request: httputil.HTTPServerRequest, target: Target
        ) -> httputil.HTTPMessageDelegate:
            return Door(
                request,
                target,
                chooser=chooser,
                pages=self._pages,
                log=self._log,
                traffic=self._traffic_of,
                spawn=self._spawn,
            )

        return [routing.Rule(SessionMatcher(self._urls), SessionRouter(serve))]

    def close_session(self, session_id: str) -> None:
        """Drop every connection of a session: it stops, has ended, or is no longer shared."""
        if traffic := self._traffic.get(session_id):
            traffic.close()

    def forget_session(self, session_id: str) -> None:
        """Drop every connection of a session and what was counted of it: it is gone for good."""
        self.close_session(session_id)
        self._traffic.pop(session_id, None)

    def last_activity(self, session_id: str) -> float | None:
        """When something last passed to or from the session, in seconds since the epoch."""
        traffic = self._traffic.get(session_id)
        return traffic.metrics.last_activity if traffic else None

    def metrics(self) -> dict[str, Metrics]:
        """A copy of the counts of each session that was used since the server's start."""
        return {sid: replace(traffic.metrics) for sid, traffic in self._traffic.items()}

    async def close(self) -> None:
        """Drop every connection, and wait until the tasks behind them have ended."""
        for traffic in self._traffic.values():
            traffic.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _traffic_of(self, session_id: str) -> Traffic:
        if session_id not in self._traffic:
            self._traffic[session_id] = Traffic(self._tls)
        return self._traffic[session_id]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="sessions-answer")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._log.warning("An answer could not be passed on", exc_info=error)
