"""The REST API, documented in ``openapi.yaml``: parse, call the manager, answer. No logic."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import AsyncGenerator
from http.client import responses
from pathlib import Path
from typing import Any, NoReturn, cast

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web
from tornado.iostream import StreamClosedError

from .errors import InvalidRequest, NotFound, SessionError
from .manager import SessionManager
from .usage import KEPT
from .validation import absolute_path, check_fields

NAMESPACE = "jupyter-sessions/v1"
"""Below the base URL. Not ``api/sessions``: that is Jupyter's own, for kernels."""
AUTH_RESOURCE = "jupyter_sessions"
MAX_LINES = 100_000
MAX_BODY = 1_000_000
"""Bytes that a request's body may have."""
MAX_DEPTH = 32
"""How deep a request's body may be nested: nothing that is asked for is half as deep."""
TEXT = "text/plain; charset=utf-8"


class SessionsAPIHandler(APIHandler):
    """What all of them share: the manager, errors as JSON, no polling counted as activity."""

    auth_resource = AUTH_RESOURCE
    _track_activity = False

    async def prepare(self) -> None:  # type: ignore[override]
        """Refuse who is not logged in, whatever the method: an unknown one too."""
        await super().prepare()
        if not self.current_user and self.request.method != "OPTIONS":
            raise web.HTTPError(403)

    @property
    def manager(self) -> SessionManager:
        return cast(SessionManager, self.settings["jupyter_sessions_manager"])

    def body(self) -> Any:
        """The request's body, parsed.

        Raises
        ------
        InvalidRequest
        """
        text = self.request.body.strip()
        if not text:
            raise InvalidRequest("The request has no body: send a JSON object.")
        if len(text) > MAX_BODY:
            raise InvalidRequest(f"The request's body is longer than {MAX_BODY} bytes.")
        try:
            body = json.loads(text, parse_constant=_not_json, parse_float=_finite)
        except (ValueError, RecursionError) as error:
            raise InvalidRequest(f"The request's body is not JSON: {error}") from None
        if _is_deeper(body, MAX_DEPTH):
            raise InvalidRequest("The request's body is nested too deep.")
        return body

    def answer(self, value: Any, status: int = 200) -> None:
        self.set_status(status)
        self.finish(json.dumps(value))

    def done(self) -> None:
        """Answer that it is done: there is nothing to tell."""
        self.set_status(204)
        self.finish()

    def whole_number(self, name: str, default: int, maximum: int) -> int:
        """The query's argument `name`; InvalidRequest if it is not a number from 0 to `maximum`."""
        text = self.get_query_argument(name, str(default))
        if not (text.isascii() and text.isdecimal() and len(text) < 8 and int(text) <= maximum):
            raise InvalidRequest.field(name, f"give a whole number from 0 to {maximum}")
        return int(text)

    def given_folder(self) -> str:
        """The query's `cwd` as it was given; empty if there is none."""
        # Not get_query_argument: it changes what a folder's name may well begin or end with.
        raw = self.request.query_arguments.get("cwd", [b""])[-1]
        return self.decode_argument(raw, "cwd")

    def given_spawner(self) -> str:
        """The query's `spawner`; empty if there is none."""
        return str(self.get_query_argument("spawner", ""))

    def folder(self) -> str:
        """The query's `cwd`, absolute: the server's root folder if there is none."""
        root = self.manager.root_dir
        return absolute_path(self.given_folder() or root, root)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Every error as JSON of one shape; the one place where a SessionError gets its status."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if status_code == 405:
            self.set_header("Allow", ", ".join(self.methods()))
        if isinstance(error, SessionError):
            self.set_status(error.status)
            described = error.describe()
        else:
            message = getattr(error, "log_message", None) or responses.get(status_code, "Error")
            reason = getattr(error, "reason", None) or responses.get(status_code, "error")
            described = {"message": message, "reason": str(reason).lower().replace(" ", "_")}
            described["errors"] = []
        self.finish(json.dumps(described))

    @classmethod
    def methods(cls) -> list[str]:
        """The HTTP methods that this URL knows."""
        unknown = web.RequestHandler._unimplemented_method
        return [m for m in cls.SUPPORTED_METHODS if getattr(cls, m.lower()) is not unknown]

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """A refused request is not an accident: one line instead of a traceback."""
        if isinstance(value, SessionError):
            self.log.info("%s %s: %s", self.request.method, self.request.path, value.message)
        else:
            super().log_exception(typ, value, tb)


class AppsHandler(SessionsAPIHandler):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        asked = "cwd" in self.request.query_arguments
        self.answer(await self.manager.offers.apps(self.folder() if asked else None))


class AppHandler(SessionsAPIHandler):
    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        self.answer(await self.manager.offers.described(name, self.folder()))


class IconHandler(SessionsAPIHandler):
    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        icon = await self.manager.offers.icon(name, self.folder())
        if icon is None:
            raise NotFound(f"The app {name!r} has no icon.")
        picture, media_type = icon
        self.set_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
        self.set_header("Cache-Control", "private, max-age=3600")
        self.finish(picture, set_content_type=media_type)


class ReadmeHandler(SessionsAPIHandler):
    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        readme = await self.manager.offers.readme(name, self.folder())
        if readme is None:
            raise NotFound(f"The app {name!r} has no README.md.")
        self.set_header("Content-Security-Policy", "default-src 'none'; sandbox")
        self.finish(readme, set_content_type="text/markdown; charset=utf-8")


class TrustHandler(SessionsAPIHandler):
    """Whether a project's app may run, and what one has to see to decide that."""

    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        found = await asyncio.to_thread(self.manager.projects.find, name, self.folder())
        self.answer(found.describe_trust())

    @web.authenticated
    @authorized
    async def post(self, name: str) -> None:
        digest = check_fields(self.body(), {"digest": str}).get("digest")
        if digest is None:
            raise InvalidRequest.field("digest", "give the digest of what was looked at")
        projects = self.manager.projects
        found = await asyncio.to_thread(projects.trust, name, self.folder(), digest)
        self.answer(found.describe_trust())

    @web.authenticated
    @authorized
    async def delete(self, name: str) -> None:
        await asyncio.to_thread(self.manager.projects.revoke, name, self.folder())
        self.done()


class FormHandler(SessionsAPIHandler):
    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        self.answer(await self.manager.forms.form(name, self.given_folder(), self.given_spawner()))


class RememberedHandler(SessionsAPIHandler):
    """What was chosen last for an app."""

    @web.authenticated
    @authorized
    async def put(self, name: str) -> None:
        await self.manager.forms.remember(name, self.body(), self.given_folder())
        self.done()

    @web.authenticated
    @authorized
    async def delete(self, name: str) -> None:
        await self.manager.forms.forget(name, self.given_folder())
        self.done()


class PresetHandler(SessionsAPIHandler):
    @web.authenticated
    @authorized
    async def put(self, name: str, preset: str) -> None:
        await self.manager.forms.save_preset(name, preset, self.body(), self.given_folder())
        self.done()

    @web.authenticated
    @authorized
    async def delete(self, name: str, preset: str) -> None:
        await self.manager.forms.delete_preset(name, preset, self.given_folder())
        self.done()


class SpawnersHandler(SessionsAPIHandler):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        self.answer(await self.manager.offers.spawners())


class SessionsHandler(SessionsAPIHandler):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        sessions, unreadable = await self.manager.sessions()
        self.answer(
            {
                "sessions": [self.manager.describe(s) for s in sessions],
                "unreadable": [{"id": u.id, "message": u.message} for u in unreadable],
            }
        )

    @web.authenticated
    @authorized
    async def post(self) -> None:
        session = await self.manager.create(self.body())
        self.answer(self.manager.describe(session), 201)


class UsageHandler(SessionsAPIHandler):
    """``GET usage?samples=``: what the sessions that run use."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        samples = self.whole_number("samples", KEPT, KEPT)
        self.answer({"usage": await self.manager.usage(samples)})


class SessionHandler(SessionsAPIHandler):
    @web.authenticated
    @authorized
    async def get(self, session_id: str) -> None:
        self.answer(self.manager.describe(await self.manager.session(session_id)))

    @web.authenticated
    @authorized
    async def patch(self, session_id: str) -> None:
        self.answer(self.manager.describe(await self.manager.edit(session_id, self.body())))

    @web.authenticated
    @authorized
    async def delete(self, session_id: str) -> None:
        await self.manager.delete(session_id)
        self.done()


class ActionHandler(SessionsAPIHandler):
    """``POST sessions/{id}/{stop|restart|extend}``."""

    @web.authenticated
    @authorized
    async def post(self, session_id: str, action: str) -> None:
        if action == "extend":
            seconds = check_fields(self.body(), {"seconds": (int, float)}).get("seconds")
            if seconds is None:
                raise InvalidRequest.field("seconds", "give the number of seconds to add")
            session = await self.manager.extend(session_id, seconds)
        elif action == "restart":
            session = await self.manager.restart(session_id)
        else:
            session = await self.manager.stop(session_id)
        self.answer(self.manager.describe(session), 202)


class LogHandler(SessionsAPIHandler):
    """``GET sessions/{id}/log?lines=&follow=``: text, as it comes if followed."""

    _reading: asyncio.Task[None] | None = None

    @web.authenticated
    @authorized
    async def get(self, session_id: str) -> None:
        lines = min(self.whole_number("lines", 200, 9_999_999), MAX_LINES)
        follow = self.get_query_argument("follow", "0")
        if follow not in ("0", "1", "true", "false"):
            raise InvalidRequest.field("follow", "give 1 or 0")
        await self.manager.session(session_id)
        self.set_header("Content-Type", TEXT)
        self.set_header("X-Accel-Buffering", "no")
        stream = self.manager.logs(session_id, lines=lines, follow=follow in ("1", "true"))
        self._reading = asyncio.create_task(self._copy(stream), name=f"log-of-{session_id}")
        await asyncio.wait([self._reading])
        if self._reading.cancelled() or isinstance(self._reading.exception(), StreamClosedError):
            self.log.debug("The reader of the log of session %s went away.", session_id)
            return
        self._reading.result()
        await self.finish(set_content_type=TEXT)

    async def _copy(self, stream: AsyncGenerator[bytes]) -> None:
        async with contextlib.aclosing(stream):
            async for chunk in stream:
                self.write(chunk)
                await self.flush()

    def on_connection_close(self) -> None:
        """Stop reading when nobody listens: the next line may be hours away."""
        if self._reading is not None:
            self._reading.cancel()
        super().on_connection_close()


class OpenAPIHandler(SessionsAPIHandler):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        path = Path(__file__).with_name("openapi.yaml")
        document = await asyncio.to_thread(path.read_bytes)
        self.finish(document, set_content_type="application/yaml; charset=utf-8")


class NowhereHandler(SessionsAPIHandler):
    """Every other URL below ours: a 404 for programs, not Jupyter's page for people."""

    async def prepare(self) -> None:  # type: ignore[override]
        await super().prepare()
        raise NotFound("There is nothing at this URL: `openapi.yaml` lists what there is.")


_ID = r"(?P<session_id>[^/]+)"

HANDLERS: list[tuple[str, type[SessionsAPIHandler]]] = [
    (r"openapi\.yaml", OpenAPIHandler),
    (r"apps", AppsHandler),
    (r"apps/(?P<name>[^/]+)", AppHandler),
    (r"apps/(?P<name>[^/]+)/icon", IconHandler),
    (r"apps/(?P<name>[^/]+)/readme", ReadmeHandler),
    (r"apps/(?P<name>[^/]+)/trust", TrustHandler),
    (r"apps/(?P<name>[^/]+)/form", FormHandler),
    (r"apps/(?P<name>[^/]+)/remembered", RememberedHandler),
    (r"apps/(?P<name>[^/]+)/presets/(?P<preset>[^/]+)", PresetHandler),
    (r"spawners", SpawnersHandler),
    (r"usage", UsageHandler),
    (r"sessions", SessionsHandler),
    (rf"sessions/{_ID}", SessionHandler),
    (rf"sessions/{_ID}/(?P<action>stop|restart|extend)", ActionHandler),
    (rf"sessions/{_ID}/log", LogHandler),
    (r".*", NowhereHandler),
]


def handlers() -> list[tuple[str, type[SessionsAPIHandler]]]:
    """The URL table, below the server's base URL."""
    return [(f"/{NAMESPACE}/{pattern}", handler) for pattern, handler in HANDLERS]


def _not_json(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is too large")
    return number


def _is_deeper(value: Any, depth: int) -> bool:
    """Whether JSON is nested deeper than `depth`; never looks further than that."""
    if not isinstance(value, dict | list):
        return False
    if depth == 0:
        return True
    return any(
        _is_deeper(v, depth - 1) for v in (value.values() if isinstance(value, dict) else value)
    )
