"""`Steps`: what a session needs, carried out. At most one step of a session at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from .apps.app import App, Start
from .apps.catalogue import Catalogue, definition_for
from .connections import Connections
from .errors import (
    AppUnavailable,
    SessionError,
    SessionNotFound,
    SpawnerError,
    StoreError,
    Unreachable,
)
from .hooks import run_before, stop_before
from .launching import launch_of, session_app
from .ledger import Ledger, utc_now
from .polling import Poller
from .readiness import problem
from .secrets import injection, read
from .session import (
    ALIVE,
    ASKED,
    PAST_KEPT,
    Handle,
    Report,
    Seen,
    Session,
    State,
    Status,
    Step,
    Target,
    advance,
    fail,
    needed,
)
from .spawners.base import Launch, Spawner

ASK_AGAIN = 10.0
"""Seconds after which a step that led nowhere (a stop, an unreachable host) is tried again."""
ACTIVITY_STEP = 60.0
"""Seconds by which a session's last activity has to move before it is written down again."""
FIRST_PROBE, LAST_PROBE = 0.05, 1.0
"""Seconds between readiness requests: they begin close together and thin out."""

Work = Callable[[Session], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSettings:
    """What the steps take from the manager's traits; they are documented there."""

    timeout_warning: float
    log_bytes: int


class Steps:
    """The steps of one server's sessions, each a task that this object owns.

    Parameters
    ----------
    activity
        Gives the time (epoch) of a session's last use through the gateway, or None.
    public_url
        Gives the URL of a session for its log, or "" if this server has none.
    wake
        Called when a step has changed something.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        spawners: Mapping[str, Spawner],
        catalogue: Catalogue,
        connections: Connections,
        poller: Poller,
        settings: StepSettings,
        activity: Callable[[str], float | None],
        public_url: Callable[[Session], str],
        wake: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._spawners = spawners
        self._catalogue = catalogue
        self._connections = connections
        self._poller = poller
        self._settings = settings
        self._activity = activity
        self._public_url = public_url
        self._wake = wake
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._fresh: set[tuple[str, int]] = set()
        self._limits: dict[str, asyncio.Lock] = {}
        self._not_before: dict[tuple[str, int, Step], float] = {}
        self._probing: set[str] = set()
        self._urls: dict[str, tuple[int, str]] = {}

    def fresh(self, session: Session) -> None:
        """Say that this process is about to start the attempt: it needs not be searched for."""
        self._fresh.add((session.id, session.attempt.number))

    def stale(self, session: Session) -> None:
        """Say that it will not be started after all, or not by what this process knows."""
        self._fresh.discard((session.id, session.attempt.number))

    def set_off(self, session: Session) -> None:
        """Begin the step that the session needs, unless one is under way or it has to wait."""
        todo: dict[Step, Work] = {
            Step.SUBMIT: self._submit,
            Step.PROBE: self._probe,
            Step.STOP: self._stop,
            Step.LIMIT: self._limit,
        }
        step = needed(session)
        if session.id in self._tasks:
            if session.id in self._probing and step is not Step.PROBE:
                self._tasks[session.id].cancel()  # its answer, seconds away, is not wanted now
            return
        if step is None:
            return
        if step is Step.POLL and session.state is State.STOPPING:
            step = Step.STOP  # asked already, but it has not ended: ask again, not too often
        key = (session.id, session.attempt.number, step)
        if time.monotonic() < self._not_before.get(key, 0):
            return
        if step is Step.POLL and not self._chores(session):
            return
        work: Work = todo.get(step, self._do_chores)
        if step is not Step.POLL:
            pause = LAST_PROBE if step is Step.PROBE else ASK_AGAIN
            self._not_before[key] = time.monotonic() + pause
        if step is Step.PROBE:
            self._probing.add(session.id)
        self._tasks[session.id] = asyncio.create_task(
            self._carry_out(work, session, step), name=f"session-{session.id}-{step}"
        )

    def forget(self, known: Mapping[str, Session]) -> None:
        """Drop what is kept about sessions that are no longer `known` or have ended."""
        self._limits = {sid: lock for sid, lock in self._limits.items() if sid in known}
        self._urls = {sid: url for sid, url in self._urls.items() if sid in known}
        self._not_before = {
            key: moment
            for key, moment in self._not_before.items()
            if (session := known.get(key[0])) is not None and not session.ended
        }
        self._fresh -= {key for key in self._fresh if key[0] in known and known[key[0]].ended}

    async def close(self) -> None:
        """End all steps; a start that is cut off is found again by whoever adopts the session."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry_out(self, work: Work, session: Session, step: Step) -> None:
        try:
            # What was seen may be a moment old, and a step on it may be wrong: "nothing was ever
            # started" must be true now.
            now = await asyncio.to_thread(self._ledger.store.read, session.id)
            self._ledger.note(now)
            same = now.attempt.number == session.attempt.number and needed(now) is needed(session)
            if same and self._ledger.ownership.mine(now.owner):
                await self._guarded(work, now, step)
        except SessionNotFound:
            await self._ledger.look_again(session.id)
        except SessionError as error:
            self._later(session, step)
            self._ledger.complain(session.id, error.message)
        except Exception as error:
            self._later(session, step)
            if self._ledger.complain(session.id, f"unexpected error: {error!r}"):
                self._ledger.log.exception("Session %s met an unexpected error", session.id)
        finally:
            del self._tasks[session.id]
            self._probing.discard(session.id)
            if needed(self._ledger.sessions.get(session.id, session)) is not Step.POLL:
                self._wake()

    async def _guarded(self, work: Work, session: Session, step: Step) -> None:
        """Do the work; what a spawner or host says against it is told to people."""
        try:
            await work(session)
            self._ledger.settle(session.id)
        except Unreachable as error:
            self._later(session, step)
            self._ledger.complain(session.id, error.message)
            sentence = error.message
            await self._ledger.change_mine(session, lambda s: _unreachable(s, sentence))
        except SpawnerError as error:
            self._later(session, step)
            self._ledger.complain(session.id, error.message)
            if step is Step.STOP:
                await self._tell(session, error.message)
        except SessionError as error:
            if step is Step.SUBMIT:
                await self._tell(session, error.message)
            raise
        except Exception as error:
            if step is Step.STOP:
                await self._tell(session, f"{error!r}.")
            if step is not Step.SUBMIT:
                raise
            self._ledger.log.exception("Session %s cannot be started", session.id)
            message = f"It cannot be started: {error!r}. The server's log has the details."
            await self._ledger.change_mine(session, lambda s: _failed(s, "internal_error", message))

    async def _tell(self, session: Session, why: str) -> None:
        """Say that it cannot be started or stopped; what made it fail stays what is said of it."""

        def told(session: Session) -> Session:
            if session.state is not State.STOPPING:
                return session.now(message=f"It cannot be started now: {why}")
            asked = session.attempt.reason in ASKED
            return session.now(message=f"It cannot be stopped now: {why}") if asked else session

        await self._ledger.change_mine(session, told)

    def _later(self, session: Session, step: Step) -> None:
        """What went wrong is not tried again at once. Chores have no pause of their own."""
        if step is Step.POLL:
            key = (session.id, session.attempt.number, step)
            self._not_before[key] = time.monotonic() + ASK_AGAIN

    # Starting -------------------------------------------------------------------------------

    async def _submit(self, session: Session) -> None:
        """Start the attempt, or finish what a crash left half done."""
        spawner = self._spawners[session.spawner]
        if session.attempt.handle is None:
            try:
                session = await self._refresh_app(session)
            except AppUnavailable as error:
                refusal = error
                await self._ledger.change_mine(
                    session, lambda s: _failed(s, refusal.reason, refusal.message)
                )
                return
            oldest = session.attempt.number - PAST_KEPT
            await asyncio.to_thread(self._ledger.store.drop_attempts, session.id, oldest)
            if oldest > 1:
                await spawner.forget(session.id, oldest)
            if not self._ledger.ownership.mine(session.owner) or session.attempt.submitted:
                return
            app = session_app(session)
            if app.before is not None and not session.attempt.prepared:
                session = await self._prepare(session, app)
                if not session.attempt.prepared or session.state is State.STOPPING:
                    return
        number = session.attempt.number
        await asyncio.to_thread(self._ledger.store.begin_attempt, session.id, number)
        launch = await self._launch(session)
        try:
            async with aclosing(self._handles(spawner, session, launch)) as handles:
                async for handle in handles:
                    session = await self._ledger.change_mine(session, _with_handle(handle))
                    mine = self._ledger.ownership.mine(session.owner)
                    if not mine or session.state is State.STOPPING:
                        return
        except Unreachable:
            raise
        except SpawnerError as error:
            refused = error
            await self._ledger.change_mine(
                session, lambda s: _failed(s, refused.reason, refused.message)
            )
            return
        self._poller.soon(session.spawner)
        await self._ledger.change_mine(
            session, lambda s: s.now(submitted=True, limit=launch.timeout, unreachable_since=None)
        )

    async def _prepare(self, session: Session, app: App) -> Session:
        """Run the app's before hook; the session is *prepared* afterwards if that worked."""
        message = "Getting ready to start."
        session = await self._ledger.change_mine(session, lambda s: s.now(message=message))

        def is_wanted() -> bool:
            now = self._ledger.sessions.get(session.id, session)
            wanted = needed(now) is Step.SUBMIT and now.target is Target.RUNNING
            return wanted and self._ledger.ownership.mine(now.owner)

        try:
            if not await run_before(session, app, self._ledger.store, is_wanted):
                return session
        except SpawnerError as error:
            failure = error
            return await self._ledger.change_mine(
                session, lambda s: _failed(s, failure.reason, failure.message)
            )
        return await self._ledger.change_mine(session, lambda s: s.now(prepared=True))

    async def _handles(
        self, spawner: Spawner, session: Session, launch: Launch
    ) -> AsyncGenerator[Handle]:
        key = (session.id, session.attempt.number)
        if key in self._fresh:
            self._fresh.discard(key)
        elif (handle := await spawner.find(launch)) is not None:
            yield handle
            return
        handles = spawner.start(launch)
        try:
            async for handle in handles:
                yield handle
        finally:
            if isinstance(handles, AsyncGenerator):
                await handles.aclose()

    async def _refresh_app(self, session: Session) -> Session:
        """The session with its app as the catalogue has it now, if it still has it.

        Raises
        ------
        AppUnavailable
            If the app does not say what to run.
        """
        apps, _ = await self._catalogue.load()
        if (app := apps.get(session.app)) is None:
            return session
        definition = await definition_for(app, Start(session.base_url, session.prefix))
        directory = str(app.directory or "")
        return await self._ledger.change_mine(
            session, lambda s: replace(s, app_definition=definition, app_directory=directory)
        )

    async def _probe(self, session: Session) -> None:
        """Ask the app until it is ready, or until something else is wanted."""
        app, pause = session_app(session), FIRST_PROBE
        before = app.base_path if app.prefix == "strip" else session.prefix.rstrip("/")
        values, lost = await self._secrets(session, app)
        path, headers = injection(app, values).request(before + app.ready_path)
        address = await self._connections.reach(session, self._spawners[session.spawner])
        while needed(session) is Step.PROBE:
            trouble = lost or await problem(address, path, app.ready_codes, headers)
            if not trouble:
                await self._ledger.advance(session, Seen(ready=True))
                return
            await self._ledger.advance(session, Seen(ready=False, ready_problem=trouble))
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_PROBE)
            session = self._ledger.sessions.get(session.id, session)

    async def _secrets(self, session: Session, app: App) -> tuple[Mapping[str, str], str]:
        """The secrets of the present attempt, and why they cannot be had."""
        try:
            return await asyncio.to_thread(read, self._ledger.store, session, app.secrets), ""
        except StoreError as error:
            return dict.fromkeys(app.secrets, ""), error.message.rstrip(".")

    async def _launch(self, session: Session) -> Launch:
        return await asyncio.to_thread(
            launch_of,
            session,
            session_app(session),
            self._ledger.store,
            self._settings.log_bytes,
        )

    # Stopping -------------------------------------------------------------------------------

    async def _stop(self, session: Session) -> None:
        spawner, handle = self._spawners[session.spawner], session.attempt.handle
        if handle is not None and not session.attempt.submitted:
            handle = await spawner.find(await self._launch(session)) or handle
        if handle is None:
            if not await stop_before(session, self._ledger.store):
                return  # asked again, until it has ended
            # Handles are saved before anything runs, so nothing of this attempt ever did.
            session = await self._ledger.change_mine(session, lambda s: s.now(stop_sent=True))
            await self._ledger.advance(session, Seen(report=Report(Status.ENDED)))
            return
        await spawner.stop(handle)
        self._poller.soon(session.spawner)
        found = handle
        await self._ledger.change_mine(
            session, lambda s: s.now(stop_sent=True, submitted=True, handle=found)
        )
        self._wake()

    # While it runs --------------------------------------------------------------------------

    async def _limit(self, session: Session) -> None:
        await self.tell_limit(session.id)

    async def tell_limit(self, session_id: str) -> None:
        """Tell the app's supervisor of the session's time limit as it is now.

        Called by the loop, and by the manager at once after a change. One at a time, and each
        looks again after it has told: the last change is what the supervisor hears last.

        Raises
        ------
        SpawnerError
            If it cannot be told; the loop tries again.
        """
        async with self._limits.setdefault(session_id, asyncio.Lock()):
            now = await asyncio.to_thread(self._ledger.store.read, session_id)
            number, told = now.attempt.number, now.attempt.limit
            while (
                (limit := now.lifetime) != told
                and now.state in ALIVE
                and now.attempt.handle is not None
            ):
                told = limit
                await self._spawners[now.spawner].limit(now.attempt.handle, told)
                now = await asyncio.to_thread(self._ledger.store.read, session_id)
            if told != now.attempt.limit:
                await self._ledger.change(
                    session_id, lambda s: s.now(limit=told) if s.attempt.number == number else s
                )

    def _chores(self, session: Session) -> dict[str, Any]:
        """What is worth writing down about a session that needs nothing else; mostly nothing."""
        attempt, chores = session.attempt, dict[str, Any]()
        hooks = session.app_definition.get("hooks") or {}
        if session.state is State.RUNNING and "after" in hooks and not attempt.told_ready:
            chores["told_ready"] = True
        if self._warning_due(session):
            chores["warned"] = attempt.expires
        url = self._url(session) if session.state is State.RUNNING else ""
        if url not in ("", attempt.noted_url):
            chores["noted_url"] = url
        if (used := self._activity(session.id)) is not None:
            seen = datetime.fromtimestamp(used, UTC)
            known = session.last_activity
            if known is None or seen - known > timedelta(seconds=ACTIVITY_STEP):
                chores["last_activity"] = seen
        return chores

    def _url(self, session: Session) -> str:
        """Where people reach `session`; made once for each state of its record."""
        known = self._urls.get(session.id)
        if known is None or known[0] != session.revision:
            known = self._urls[session.id] = session.revision, self._public_url(session)
        return known[1]

    async def _do_chores(self, session: Session) -> None:
        chores = self._chores(session)
        if "told_ready" in chores and session.attempt.handle is not None:
            await self._spawners[session.spawner].ready(session.attempt.handle)
        url = chores.pop("noted_url", "")
        last_activity = chores.pop("last_activity", session.last_activity)
        await self._ledger.change_mine(
            session, lambda s: replace(s.now(**chores), last_activity=last_activity)
        )
        # Last: a log that cannot be written is no reason not to warn of the end.
        if url and session.attempt.handle is not None:
            await self._spawners[session.spawner].note(session.attempt.handle, url)
            await self._ledger.change_mine(session, lambda s: s.now(noted_url=url))

    def _warning_due(self, session: Session) -> bool:
        attempt = session.attempt
        life = session.lifetime
        if attempt.expires is None or life is None or attempt.state not in ALIVE:
            return False
        ahead = timedelta(seconds=min(self._settings.timeout_warning, life / 2))
        return attempt.warned != attempt.expires and utc_now() >= attempt.expires - ahead


def _with_handle(handle: Handle) -> Callable[[Session], Session]:
    """The change that saves a handle; the first one leads out of *created*."""

    def change(session: Session) -> Session:
        session = session.now(handle=handle)
        wanted = session.target is Target.RUNNING
        return advance(session, Seen(), utc_now()) if wanted else session

    return change


def _unreachable(session: Session, message: str) -> Session:
    """Nothing changes but since when; while it starts, people are told what it waits for."""
    session = session.now(unreachable_since=session.attempt.unreachable_since or utc_now())
    waits = session.state in (State.CREATED, State.QUEUED, State.STARTING)
    return session.now(message=message) if waits else session


def _failed(session: Session, reason: str, message: str) -> Session:
    return session if session.state is State.STOPPING else fail(session, reason, message)
