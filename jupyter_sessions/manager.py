"""`SessionManager`: what people may do with sessions. The loop behind it is in ``reconcile``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from jupyter_core.paths import jupyter_data_dir
from traitlets import Dict, Enum, Float, Int, List, Unicode
from traitlets.config import LoggingConfigurable

from .apps.app import App
from .apps.catalogue import Catalogue
from .apps.server_proxy import configured_servers
from .apps.sources import all_sources
from .connections import Connections
from .errors import (
    Conflict,
    CorruptRecord,
    InvalidRequest,
    SessionNotFound,
    SpawnerError,
    StoreError,
    Unreachable,
)
from .following import until
from .forms import Forms
from .launching import before_output, fields, session_app
from .ledger import Ledger
from .offers import Offers
from .ownership import Ownership
from .places import Wrong, build_hosts, build_spawners
from .polling import Poller
from .preferences import Preferences
from .project_apps import ProjectApps
from .reconcile import Reconciler
from .record import describe
from .remains import end_unrecorded
from .requests import TimeLimits, read_start
from .session import Attempt, Session, Target, limit, new_id
from .spawners.base import Spawner
from .steps import Steps, StepSettings
from .store import SessionStore, Unreadable
from .trust import Trust
from .usage import KEPT, usage_of
from .validation import check_fields, check_name, check_timeout

DELETE_WAIT = 15.0
"""Seconds that a delete waits for the app's end before it leaves the rest to the loop."""

Observer = Callable[[Session | None, Session | None], None]
"""Called with a session before and after a change; None where there is none."""


class SessionManager(LoggingConfigurable):
    """The sessions of one user, as seen from one server (or one CLI call).

    Several managers share a store. Each looks after the sessions that it owns; all of them see
    all sessions, and may ask for anything: asking only changes a session's target.
    """

    hosts = Dict(
        help="""Hosts by name, besides `local`: `{"class": …}` and the class's traits.""",
    ).tag(config=True)
    spawners = Dict(
        help="""Spawners by name, besides `local` (processes on this machine): `{"class": …,
        "host": …}` and the class's traits.""",
    ).tag(config=True)
    data_dir = Unicode(
        help="""Where sessions are kept: a directory of the user's own, made with mode 0700.
        Default: `jupyter_sessions` in Jupyter's data directory.""",
    ).tag(config=True)
    default_timeout = Float(
        None,
        allow_none=True,
        help="""Seconds that a session's app may run when nobody says how long; None for no
        limit (or `max_timeout`, if that is set).""",
    ).tag(config=True)
    max_timeout = Float(
        None,
        allow_none=True,
        help="""The most seconds that a session's app may run, extensions included. None allows
        any limit, and sessions without one.""",
    ).tag(config=True)
    timeout_warning = Float(
        300,
        min=0,
        help="""Seconds before its end at which a session warns; never before half its time.""",
    ).tag(config=True)
    keep_ended = Float(
        7 * 86400,
        min=0,
        help="""Seconds that an ended session is kept, for "what happened" and "start again".""",
    ).tag(config=True)
    scan_interval = Float(
        1,
        min=0.05,
        help="""Seconds between looks at the store while nothing runs. Lower notices sooner what
        another server or the CLI asked for, but stats one file per session each time.""",
    ).tag(config=True)
    open_ports = Enum(
        ["warn", "deny", "allow"],
        default_value="warn",
        help="""What to do with apps that can only listen on a TCP port, which every user of the
        machine can reach: say so, refuse to start them, or nothing.""",
    ).tag(config=True)
    apps = Dict(
        help="""Apps by name, over those of folders and packages: `{"shiny": {"title": …,
        "command": […]}}`, with the fields of `app.yaml`.""",
    ).tag(config=True)
    services = Dict(
        help="""Services that run already, by name, for people to attach to: `{"grafana": {"title":
        "Grafana", "url": "http://10.0.0.5:3000/grafana/"}}`. See docs/apps.md.""",
    ).tag(config=True)
    service_directories = List(
        Unicode(),
        help="""Folders whose folders are services of Parallel Works ACTIVATE (with
        `start-template-v3.sh` or `start-template.sh`): each is an app. See docs/activate.md.""",
    ).tag(config=True)
    option_overrides = Dict(
        help="""Changes of apps' options, by app and option: keywords of JSON Schema that replace
        the app's. `{"desktop": {"geometry": {"const": "1280x800"}, "window_manager": {"enum":
        ["xfce"], "default": "xfce"}}}`. `const` fixes an option, `"x-hidden": True` hides it.""",
    ).tag(config=True)
    server_proxy_apps = Enum(
        ["sessions", "off"],
        default_value="sessions",
        help="""What becomes of servers that are defined for jupyter-server-proxy (by packages, and
        in `ServerProxy.servers`): apps that run as sessions, or nothing. jupyter-server-proxy
        itself, if it is enabled, is not touched by this.""",
    ).tag(config=True)
    log_bytes = Int(
        10_000_000,
        min=10_000,
        help="""The most bytes that the log of one run of an app may take; the oldest lines go.""",
    ).tag(config=True)

    def __init__(
        self,
        *,
        base_url: str = "/",
        root_dir: str = "",
        projects_in: str = "",
        activity: Callable[[str], float | None] = lambda _: None,
        **kwargs: Any,
    ) -> None:
        """
        Parameters
        ----------
        base_url
            The prefix of the server, with slashes around it.
        root_dir
            The folder that sessions start in when nobody says where; home if empty.
        projects_in
            The folder whose projects' apps are offered; `root_dir` if empty.
        activity
            Gives the time (epoch) of a session's last use, or None.
        """
        super().__init__(**kwargs)
        self.base_url = base_url
        self.root_dir = root_dir or str(Path.home())
        self.public_url = ""
        self.observers: list[Observer] = []
        root = Path(self.data_dir or Path(jupyter_data_dir(), "jupyter_sessions")).expanduser()
        self.store = SessionStore(root)
        self.wrong = Wrong()
        self._hosts = build_hosts(self.hosts, self, self.wrong)
        spawners = build_spawners(self.spawners, self._hosts, self, self.wrong)
        self._places: Mapping[str, Spawner] = spawners
        servers = configured_servers(self.config)
        proxied = None if self.server_proxy_apps == "off" else servers
        sources = all_sources(self.apps, proxied, self.services, self.service_directories)
        catalogue = Catalogue(self.log, sources, self.option_overrides)
        self.projects = ProjectApps(projects_in or self.root_dir, Trust(root))
        wrong = self.wrong.spawners
        self.offers = Offers(catalogue, self.projects, spawners, self.open_ports, wrong)
        self.forms = Forms(self.offers, Preferences(root), self.root_dir, self._limits, self.log)
        self.ledger = Ledger(self.store, Ownership(root), self.log, self._noticed)
        self.connections = Connections()
        self._wake = asyncio.Event()
        poller = Poller(spawners, self.ledger, self._wake.set)
        self._steps = Steps(
            ledger=self.ledger,
            spawners=spawners,
            catalogue=self.offers.catalogue,
            connections=self.connections,
            poller=poller,
            settings=StepSettings(timeout_warning=self.timeout_warning, log_bytes=self.log_bytes),
            activity=activity,
            public_url=self._log_url,
            wake=self._wake.set,
        )
        self._reconciler = Reconciler(
            ledger=self.ledger,
            steps=self._steps,
            poller=poller,
            connections=self.connections,
            spawners=spawners,
            wake=self._wake,
            scan_interval=self.scan_interval,
            keep_ended=self.keep_ended,
        )
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None

    # Its life -------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to look after sessions. Returns once the store and the spawners were asked."""
        await self._reconciler.first()
        self._loop = asyncio.create_task(self._reconciler.run(), name="jupyter-sessions-loop")

    async def close(self) -> None:
        """End the loop and leave the sessions to others. They run on."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.wait([self._loop])
        await self._reconciler.close()
        await self.connections.close()
        await self.offers.close()
        await asyncio.gather(*(host.close() for host in self._hosts.values()))
        for task in self._tasks:
            task.cancel()

    # What there is --------------------------------------------------------------------------

    async def sessions(self) -> tuple[list[Session], list[Unreadable]]:
        """All sessions, oldest first, and those whose record cannot be read."""
        sessions, unreadable = await asyncio.to_thread(self.store.list)
        return [s for s in sessions if not (s.forget and s.ended)], unreadable

    async def session(self, session_id: str) -> Session:
        """One session, as it is on disk now.

        Raises
        ------
        SessionNotFound, CorruptRecord
        """
        return await asyncio.to_thread(self.store.read, session_id)

    async def usage(self, samples: int = KEPT) -> dict[str, Any]:
        """What the sessions that run use, by id, with the last `samples` samples of each."""
        sessions, _ = await self.sessions()
        return await usage_of(sessions, self._places, self.log, samples)

    def describe(self, session: Session) -> dict[str, Any]:
        """`session` as this server answers it."""
        app = session_app(session)
        # An app that was told its prefix can be opened only under that one.
        base_url = session.base_url if app.prefix == "keep" else self.base_url
        title = self.offers.spawner_title(session.spawner)
        return describe(session, self.open_path(session), base_url, title)

    def open_path(self, session: Session) -> str:
        """Where `session` is opened below its URL, percent-encoded: as its app says, or said."""
        app, told = session_app(session), session.attempt.told.open_path
        return app.url_path(fields(session, app)) if told is None else told

    async def logs(
        self, session_id: str, *, lines: int = 200, follow: bool = False
    ) -> AsyncGenerator[bytes]:
        """The last `lines` lines of a session's log, and what comes until it ends if `follow`."""
        session = await self.session(session_id)
        spawner = self.offers.spawner(session.spawner)
        if follow:
            yield b""  # so that the reader knows at once that it is read
            session = await self.wait_for(
                session_id, lambda s: s.attempt.handle is not None or s.ended
            )
        handle, number = session.attempt.handle, session.attempt.number
        if handle is None:
            output = await asyncio.to_thread(before_output, self.store, session)
            yield "".join(output.splitlines(keepends=True)[-lines:] if lines else []).encode()
            return
        stream = spawner.logs(handle, lines=lines, follow=follow)
        if follow:
            end = asyncio.create_task(
                self.wait_for(session_id, lambda s: s.attempt.number != number or s.ended)
            )
            stream = until(stream, end)
        try:
            async for chunk in stream:
                yield chunk
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()

    async def wait_for(self, session_id: str, is_there: Callable[[Session], bool]) -> Session:
        """The session, once `is_there` says yes.

        Raises
        ------
        SessionNotFound
            If there is none, or no more.
        """
        while True:
            session = await self.session(session_id)
            if is_there(session):
                return session
            async with self._changed:
                with contextlib.suppress(TimeoutError):
                    # Another server may have written: look again even if nobody here has.
                    async with asyncio.timeout(self.scan_interval):
                        await self._changed.wait()

    # What people may do ---------------------------------------------------------------------

    async def create(self, request: Any) -> Session:
        """Start a session.

        Parameters
        ----------
        request
            ``{"app", "name"?, "spawner"?, "options"?, "resources"?, "cwd"?, "file"?,
            "timeout"?}``; ``timeout`` in seconds, null for no limit.

        Raises
        ------
        InvalidRequest, AppNotFound, SpawnerNotFound, AppUnavailable, Untrusted, StoreError
            Nothing was started then.
        """
        wanted = await read_start(request, self.offers, self.root_dir, self._limits())
        now, session_id = datetime.now(UTC), new_id()
        session = Session(
            id=session_id,
            name=wanted.name,
            app=wanted.app.name,
            app_definition=wanted.app.definition,
            app_directory=self._app_directory(session_id, wanted.app),
            spawner=wanted.spawner.name,
            options=wanted.options,
            resources=wanted.resources,
            cwd=wanted.cwd,
            base_url=self.base_url,
            timeout=wanted.timeout,
            created=now,
            attempt=Attempt(created=now),
            owner=self.ledger.ownership.me.to_json(),
        )
        self._steps.fresh(session)
        files = wanted.app.snapshot
        try:
            await asyncio.to_thread(self.store.create, session, files.write if files else None)
        except StoreError:
            self._steps.stale(session)
            raise
        self._wake.set()
        return session

    async def stop(self, session_id: str) -> Session:
        """Ask for a session's end; harmless if it has ended."""
        return await self._ask(session_id, lambda s: s if s.ended else self._ending(s))

    async def restart(self, session_id: str) -> Session:
        """Ask for the next attempt of a session, ended or not: same id, URL and options."""
        session = await self.session(session_id)
        apps, _ = await self.offers.catalogue.load()
        spawner = self.offers.spawner(session.spawner)
        if (app := apps.get(session.app)) is not None:
            with contextlib.suppress(Unreachable):  # then it waits for its host, and says so
                await self.offers.check(app, spawner)

        def again(session: Session) -> Session:
            if session.forget:
                raise Conflict("This session is being deleted.", reason="deleted")
            number = session.attempt.number + 1
            return replace(session, target=Target.RUNNING, wanted_attempt=number)

        return await self._ask(session_id, again)

    async def extend(self, session_id: str, seconds: float) -> Session:
        """Give a session `seconds` more, within the maximum.

        Raises
        ------
        InvalidRequest
            If that is not a number of seconds above 0, or is over the maximum.
        Conflict
            If it has no time limit, or has ended, or its job ends before.
        """
        check_timeout("seconds", seconds, None)

        def longer(session: Session) -> Session:
            now = session.lifetime if session.timeout is None else session.timeout
            if now is None:
                raise Conflict("This session has no time limit to extend.", reason="no_limit")
            left = None if self.max_timeout is None else self.max_timeout - now
            if left is not None and seconds > left:
                raise InvalidRequest.field(
                    "seconds",
                    f"that is over the maximum of {self.max_timeout:g} s for one run;"
                    f" at most {max(left, 0):g} s can be added",
                )
            return limit(session, check_timeout("seconds", now + seconds, None))

        return await self._change_limit(session_id, longer)

    async def edit(self, session_id: str, request: Any) -> Session:
        """Change a session's ``name`` or ``timeout`` (seconds since its app started, or null)."""
        request = check_fields(request, {"name": str, "timeout": (int, float)})
        if request.get("name") is not None:
            name = check_name(request["name"])
        elif "name" in request:
            raise InvalidRequest.field("name", "a session has to have one")
        if "timeout" in request:
            timeout = check_timeout("timeout", request["timeout"], self.max_timeout)

        def edited(session: Session) -> Session:
            if "timeout" in request:
                session = limit(session, timeout)
            return replace(session, name=name) if "name" in request else session

        return await self._change_limit(session_id, edited)

    async def delete(self, session_id: str) -> None:
        """Stop a session if need be, and forget it with all its files.

        Returns when it is gone, or when it is sure to go as soon as its app has ended.
        """
        try:
            await self._ask(session_id, lambda s: replace(self._ending(s), forget=True))
        except CorruptRecord:
            await self._delete_unreadable(session_id)
            return
        with contextlib.suppress(TimeoutError, SessionNotFound):
            async with asyncio.timeout(DELETE_WAIT):
                await self.wait_for(session_id, lambda s: False)

    # Behind them ----------------------------------------------------------------------------

    async def _ask(self, session_id: str, change: Callable[[Session], Session]) -> Session:
        session = await self.ledger.change(session_id, change)
        self._wake.set()
        return session

    def _ending(self, session: Session) -> Session:
        """`session`, wanted ended. Somebody must be there to end it."""
        looked_after = session.ended or session.spawner in self._places
        if not looked_after and not self.ledger.ownership.alive(session.owner):
            raise Conflict(
                f"Session {session.id} belongs to the spawner {session.spawner!r}, which is not"
                " configured here: use a server where it is.",
                reason="no_spawner",
            )
        return replace(session, target=Target.STOPPED, wanted_attempt=session.attempt.number)

    def _app_directory(self, session_id: str, app: App) -> str:
        """The folder that a session's app runs from: where it is, or the session's own copy."""
        own = app.snapshot is not None
        return str(self.store.app_directory(session_id) if own else app.directory or "")

    def _limits(self) -> TimeLimits:
        return TimeLimits(self.default_timeout, self.max_timeout)

    async def _change_limit(self, session_id: str, change: Callable[[Session], Session]) -> Session:
        """A change that the app's supervisor has to hear of, at once if it can be reached."""
        session = await self._ask(session_id, change)
        # The loop tells it too, and keeps at it: here it is only sooner, for a server that dies.
        if session.spawner in self._places:
            with contextlib.suppress(SpawnerError, SessionNotFound):
                await self._steps.tell_limit(session_id)
        return session

    async def _delete_unreadable(self, session_id: str) -> None:
        """Stop what runs of a session whose record is lost, by its id alone; then forget it."""
        await end_unrecorded(session_id, self.store, self._places.values())
        await asyncio.to_thread(self.store.delete, session_id)

    def _noticed(self, before: Session | None, after: Session | None) -> None:
        for observer in self.observers:
            try:
                observer(before, after)
            except Exception:
                self.log.exception("jupyter_sessions: an observer failed")

        async def tell() -> None:
            async with self._changed:
                self._changed.notify_all()

        task = asyncio.get_running_loop().create_task(tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _log_url(self, session: Session) -> str:
        return urljoin(self.public_url, self.describe(session)["url"]) if self.public_url else ""
