"""`Locator`: from the id in a URL to the app, for the gateway (`routes.Locate`)."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import aclosing
from urllib.parse import unquote

from .apps.app import App
from .connections import Connections
from .errors import CorruptRecord, SessionError, SessionNotFound, StoreError
from .launching import session_app
from .manager import SessionManager
from .routes import Route, Waiting
from .secrets import Injection, injection, read
from .session import Session, State

REMEMBERED = 256
"""Attempts whose secrets are kept in memory."""
TAIL = 30
"""Lines of the log of an ended session that its page shows."""


class Locator:
    """Finds sessions for the gateway of one server, whichever server looks after them."""

    def __init__(self, manager: SessionManager, connections: Connections) -> None:
        self._manager = manager
        self._connections = connections
        self._injections: dict[tuple[str, int], Injection] = {}

    async def locate(self, session_id: str) -> Route | Waiting | None:
        """The route to a session, why it cannot be reached now, or None if there is none."""
        manager = self._manager
        session = manager.ledger.sessions.get(session_id)
        if session is None or session.state is not State.RUNNING:
            # Another server may have moved it on since we looked.
            try:
                session = await manager.session(session_id)
            except SessionNotFound:
                return None
            except (CorruptRecord, StoreError) as error:
                return Waiting({"id": session_id, **error.describe()}, ended=True)
        if session.state is not State.RUNNING:
            return await self._waiting(session)
        app = session_app(session)
        if app.prefix == "keep" and session.base_url != manager.base_url:
            message = f"It was launched from {session.base_url} and can be opened only there."
            return Waiting({**manager.describe(session), "message": message}, ended=True)
        try:
            spawner = manager.offers.spawner(session.spawner)
            address = await self._connections.reach(session, spawner)
        except SessionError as error:
            return Waiting({**manager.describe(session), "message": error.message}, ended=False)
        try:
            added = await self._injection(session, app)
        except StoreError as error:
            return Waiting({**manager.describe(session), "message": error.message}, ended=False)
        opens = manager.open_path(session).partition("#")[0].partition("?")[0]
        return Route(
            session_id=session.id,
            prefix=f"{manager.base_url}sessions/{session.id}",
            address=address,
            strip=app.prefix == "strip",
            base=app.base_path,
            own_hosts=frozenset(host.lower() for host in app.own_hosts),
            request_headers=added.headers,
            response_headers=app.response_headers,
            paths=app.paths,
            cookies=added.cookies,
            query=added.query,
            opens=f"/{unquote(opens)}",
            page=app.jupyter_page,
        )

    async def _injection(self, session: Session, app: App) -> Injection:
        """What requests for the session carry, read once for each attempt."""
        if not app.secrets:
            return injection(app, {})
        key = (session.id, session.attempt.number)
        if (known := self._injections.get(key)) is None:
            values = await asyncio.to_thread(read, self._manager.store, session, app.secrets)
            if len(self._injections) >= REMEMBERED:
                self._injections.clear()
            known = self._injections[key] = injection(app, values)
        return known

    async def _waiting(self, session: Session) -> Waiting:
        tail = b""
        if session.ended:
            with contextlib.suppress(SessionError):
                async with aclosing(self._manager.logs(session.id, lines=TAIL)) as log:
                    async for chunk in log:
                        tail += chunk
        text = tail.decode("utf-8", "replace")
        return Waiting(self._manager.describe(session), session.ended, text)
