"""A client of one Jupyter server's REST API and gateway, for tests from outside."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from .live import PATIENCE, LiveServer, eventually


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any) -> None:
        return None


class Rest:
    """What a browser or a script would ask a server, with its token and following no redirects."""

    def __init__(self, server: LiveServer) -> None:
        self.server = server
        self.base = urlsplit(server.url).path
        self.origin = server.url.removesuffix(self.base)

    def ask(
        self, path: str, method: str = "GET", body: Any = None, token: str | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        url = path if path.startswith("http") else self.origin + path
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"token {token or self.server.token}"}
        request = urllib.request.Request(url, data, headers, method=method)
        opener = urllib.request.build_opener(_NoRedirect)
        try:
            with opener.open(request, timeout=PATIENCE) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read()

    def api(self, path: str, method: str = "GET", body: Any = None) -> Any:
        status, _, content = self.ask(f"{self.base}jupyter-sessions/v1/{path}", method, body)
        assert status < 300, content
        return json.loads(content) if content else None

    def sessions(self) -> list[Any]:
        found: list[Any] = self.api("sessions")["sessions"]
        return found

    def session(self, session_id: str) -> Any:
        return self.api(f"sessions/{session_id}")

    def log(self, session_id: str) -> str:
        return self.server.get(f"jupyter-sessions/v1/sessions/{session_id}/log").decode()

    def start(self, app: str, state: str = "running", **request: Any) -> Any:
        made = self.api("sessions", "POST", {"app": app, **request})
        return self.until(made["id"], state)

    def stop(self, session_id: str) -> Any:
        self.api(f"sessions/{session_id}/stop", "POST")
        return self.until(session_id, "stopped")

    def until(self, session_id: str, state: str) -> Any:
        def there() -> Any:
            session = self.session(session_id)
            return session if session["state"] in (state, "failed", "stopped") else None

        session = eventually(there)
        assert session["state"] == state, session["message"]
        return session

    def says(self, session_id: str, text: str) -> Any:
        """The session, once its message has `text`."""

        def said() -> Any:
            session = self.session(session_id)
            return session if text in session["message"] else None

        return eventually(said, why=f"message: {text}")

    def forget_all(self) -> None:
        for session in self.sessions():
            self.api(f"sessions/{session['id']}", "DELETE")
        eventually(lambda: not self.sessions())

    def seen(self, session: Any, rest: str = "") -> Any:
        """What the session's app, one that answers with JSON, saw of a request."""
        status, _, content = self.ask(f"{self.base}sessions/{session['id']}/{rest}")
        assert status == 200, content
        return json.loads(content)
