"""The gateway as a whole: what it is made of, and what it owns."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from functools import partial
from logging import Logger
from typing import Any

from tornado import httputil, routing, web
from tornado.httpserver import HTTPServer

from jupyter_sessions.gateway.admission import Admissions
from jupyter_sessions.gateway.helper import Helper, is_possible
from jupyter_sessions.gateway.http import Door, failure
from jupyter_sessions.gateway.lanes import Lanes
from jupyter_sessions.gateway.pages import Pages
from jupyter_sessions.gateway.router import Chooser, LogoutWatch, SessionMatcher, SessionRouter
from jupyter_sessions.gateway.traffic import Connection, Metrics, Traffic
from jupyter_sessions.gateway.urls import SessionUrls, Target
from jupyter_sessions.gateway.watch import Watch
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
        request.
    recheck_seconds
        How often it is asked about connections that are open.
    """

    takeover: bool = True
    helper: bool = True
    cache_seconds: float = 5.0
    recheck_seconds: float = 5.0


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
        self._admissions: Admissions | None = None
        self._chooser: Chooser | None = None
        self._lanes: Lanes | None = None
        self.helper = Helper(log) if self._tuning.helper and is_possible() else None
        self._watch: Watch | None = None
        self._watching: asyncio.Task[None] | None = None
        self._traffic: dict[str, Traffic] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def rules(self, web_app: web.Application) -> list[routing.Rule]:
        """Routing rules for ``web_app.add_handlers(".*$", …)``."""
        self._admissions = admissions = Admissions(web_app, self._tuning.cache_seconds)
        self._watch = Watch(admissions, self._connections, self._log, self._tuning.recheck_seconds)
        chooser = Chooser(
            web_app,
            admissions,
            self._locate,
            self._pages,
            self._log,
            trust_forwarded=self._trust_forwarded,
        )
        self._chooser = chooser

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
                lanes=self._lanes,
                helper=self.helper,
            )

        router = SessionRouter(serve)
        logout = LogoutWatch(self._pages.base_url, self._watch.logged_out)
        return [
            routing.Rule(logout, router),
            routing.Rule(SessionMatcher(self._urls), router),
        ]

    def serve_on(self, server: HTTPServer) -> None:
        """Take connections of `server` over, if the tuning says so. After `rules`."""
        if not self._tuning.takeover or self._chooser is None or self._admissions is None:
            return
        self._lanes = Lanes(
            server,
            base_url=self._pages.base_url,
            chooser=self._chooser,
            admissions=self._admissions,
            traffic=self._traffic_of,
            spawn=self._spawn,
            failure=partial(failure, self._pages),
            patience=self._tuning.recheck_seconds,
            trusted=self._trust_forwarded,
        )

    def close_session(self, session_id: str) -> None:
        """Drop every connection of a session: it stops, has ended, or is no longer shared."""
        if self._admissions is not None:
            self._admissions.forget(session_id)
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
        if self._lanes is not None:
            self._lanes.close()
        if self.helper is not None:
            await self.helper.close()
        for traffic in self._traffic.values():
            traffic.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _traffic_of(self, session_id: str) -> Traffic:
        if session_id not in self._traffic:
            self._traffic[session_id] = Traffic(self._tls)
        if self._watch is not None and (self._watching is None or self._watching.done()):
            self._watching = self._spawn(self._watch.run())
        return self._traffic[session_id]

    def _connections(self) -> list[Connection]:
        return [c for traffic in self._traffic.values() for c in traffic.active]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="sessions-answer")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._log.warning("An answer could not be passed on", exc_info=error)
