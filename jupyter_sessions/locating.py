"""`Locator`: from the id in a URL to the app, for the gateway (`routes.Locate`)."""

from __future__ import annotations

import contextlib
from contextlib import aclosing

from .connections import Connections
from .errors import CorruptRecord, SessionError, SessionNotFound, StoreError
from .launching import session_app
from .manager import SessionManager
from .routes import Route, Waiting
from .session import Session, State

TAIL = 30
"""Lines of the log of an ended session that its page shows."""


class Locator:
    """Finds sessions for the gateway of one server, whichever server looks after them."""

    def __init__(self, manager: SessionManager, connections: Connections) -> None:
        self._manager = manager
        self._connections = connections

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
        return Route(
            session_id=session.id,
            prefix=f"{manager.base_url}sessions/{session.id}",
            address=address,
            strip=app.prefix == "strip",
            base=app.base_path,
            own_hosts=frozenset(host.lower() for host in app.own_hosts),
            request_headers=app.request_headers,
            response_headers=app.response_headers,
            paths=app.paths,
        )

    async def _waiting(self, session: Session) -> Waiting:
        tail = b""
        if session.ended:
            with contextlib.suppress(SessionError):
                async with aclosing(self._manager.logs(session.id, lines=TAIL)) as log:
                    async for chunk in log:
                        tail += chunk
        text = tail.decode("utf-8", "replace")
        return Waiting(self._manager.describe(session), session.ended, text)
