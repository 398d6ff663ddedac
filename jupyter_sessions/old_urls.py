"""The URLs that jupyter-server-proxy served: ``<base_url><server>/…`` leads to a session.

Only if `SessionsExtension.server_proxy_urls` is on. To the one that runs, or the youngest of
several; one is started if there is none. Websockets cannot be led anywhere: a page that is served
at its session's URL opens them there.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import JupyterHandler
from tornado import web

from .api import AUTH_RESOURCE
from .errors import SessionError
from .manager import SessionManager
from .session import Session, State, Target


class OldUrls:
    """Which session an old URL leads to.

    Parameters
    ----------
    apps
        The names of apps by the names of their servers.
    """

    def __init__(self, manager: SessionManager, apps: Mapping[str, str]) -> None:
        self._manager = manager
        self._apps = apps
        self._starting = asyncio.Lock()

    def handlers(self) -> list[tuple[str, type[JupyterHandler], dict[str, Any]]]:
        """The URL table, below the server's base URL; empty if there is no server."""
        names = "|".join(re.escape(quote(name)) for name in self._apps)
        return [(rf"/({names})(/.*)?", OldUrlHandler, {"urls": self})] if names else []

    async def session(self, server: str) -> Session:
        """The session for `server`, started if need be.

        Raises
        ------
        SessionError
            If it cannot be started.
        """
        app = self._apps[server]
        async with self._starting:  # one for many requests that come at once
            sessions, _ = await self._manager.sessions()
            live = [
                s
                for s in sessions
                if s.app == app and not s.ended and s.target is Target.RUNNING and not s.forget
            ]
            running = [s for s in live if s.state is State.RUNNING]
            if live:
                return (running or live)[-1]  # they are in the order of their creation
            return await self._manager.create({"app": app})


class OldUrlHandler(JupyterHandler):
    """``GET <server>/…``: a redirect, and the start of what it leads to."""

    auth_resource = AUTH_RESOURCE

    def initialize(self, urls: OldUrls) -> None:
        """Called by tornado with what `OldUrls.handlers` has given it."""
        self._urls = urls

    @web.authenticated
    @authorized("write")  # type: ignore[untyped-decorator]
    async def get(self, server: str, _rest: str | None) -> None:
        try:
            session = await self._urls.session(server)
        except SessionError as error:
            raise web.HTTPError(error.status, error.message) from None
        # As it came, and not as tornado has decoded it.
        parts = self.request.path.split("/", self.base_url.count("/") + 1)
        rest = parts[-1] if len(parts) > self.base_url.count("/") + 1 else ""
        query = f"?{self.request.query}" if self.request.query else ""
        self.redirect(f"{self.base_url}sessions/{session.id}/{rest}{query}")
