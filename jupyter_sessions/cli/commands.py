"""What each command does."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import webbrowser
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from ..errors import Conflict, InvalidRequest, SessionNotFound
from ..manager import SessionManager
from ..options import OptionSchema
from ..preferences import preset
from ..session import ENDED, Session, State
from ..validation import absolute_path
from . import servers
from .apps import apps
from .choices import choices_text, typed_values
from .output import answer, answer_json, clock, facts, left, say, since, table
from .setting import manager
from .spawners import spawners

SETTLED = frozenset({State.RUNNING}) | ENDED
TAIL = 20
"""Lines of the log that are shown of a session that failed."""


async def start(args: argparse.Namespace, config: list[str]) -> int:
    async with manager(config) as m:
        cwd = absolute_path(args.cwd or "", str(Path.cwd()))
        app = await m.offers.app(args.app, cwd)
        request: dict[str, Any] = {"app": args.app, "cwd": args.cwd or str(Path.cwd())}
        if args.preset is not None:
            request |= preset(await m.forms.presets(app.name, cwd), args.preset)
        for name in ("name", "spawner", "timeout"):
            if getattr(args, name) is not None:
                request[name] = getattr(args, name)
        spawner = m.offers.spawner(request.get("spawner") or "local")
        resources = OptionSchema(spawner.options_schema())
        typed = {
            "options": typed_values(args.option, "options", app.choices.properties),
            "resources": typed_values(args.resource, "resources", resources.properties),
        }
        for part, values in typed.items():
            request[part] = {**request.get(part, {}), **values}
        session = await m.create(request)
        if notice := (await m.offers.describe(app))["notice"]:
            say(f"{app.title}: {notice}")
        return await _started(m, session, args)


async def presets(args: argparse.Namespace, config: list[str]) -> int:
    async with manager(config) as m:
        found = await m.forms.presets(args.app)
    if args.json:
        answer_json(found)
    elif found:
        table(("PRESET", "CHOICES"), [(name, choices_text(c)) for name, c in found.items()])
    else:
        say(f"No presets of {args.app}.")
    return 0


async def restart(args: argparse.Namespace, config: list[str]) -> int:
    async with manager(config) as m:
        session = await m.restart((await _find(m, args.session)).id)
        return await _started(m, session, args)


async def list_sessions(args: argparse.Namespace, config: list[str]) -> int:
    async with manager(config) as m:
        found, unreadable = await m.sessions()
        shown = [m.describe(s) for s in found if args.all or not s.ended]
    for problem in unreadable:
        say(f"{problem.id}: {problem.message}")
    if args.json:
        answer_json(shown)
        return 0
    ended = len(found) - len(shown)
    if not shown:
        hint = f" ({ended} ended: --all shows them)" if ended else ""
        say(f"No sessions{hint}. `jupyter sessions apps` lists what can be started.")
        return 0
    rows = [
        (
            *(s[k] for k in ("id", "name", "app", "state")),
            since(s["created"]),
            _time_left(s),
            "  ".join(filter(None, (_where(s), s["message"]))),
        )
        for s in shown
    ]
    table(("ID", "NAME", "APP", "STATE", "AGE", "TIME LEFT", ""), rows)
    return 0


def _time_left(described: Mapping[str, Any]) -> str:
    """How long a session may still run, if that is known: a job may have an end of its own."""
    if described["ended"]:
        return ""
    unlimited = described["timeout"] is None and described["ready"] is not None
    return left(described["expires"]) or ("no limit" if unlimited else "")


def _where(described: Mapping[str, Any]) -> str:
    """Where to open a session; empty while there is something else to say of it."""
    shown = described["state"] == State.RUNNING or not described["message"]
    return str(described["url"]) if shown else ""


async def show(args: argparse.Namespace, config: list[str]) -> int:
    async with manager(config) as m:
        described = m.describe(await _find(m, args.session))
    if args.json:
        answer_json(described)
    else:
        facts(described)
    return 0


async def open_session(args: argparse.Namespace, config: list[str]) -> int:
    async with manager(config) as m:
        session = await _find(m, args.session)
        if session.ended:
            raise Conflict(
                f"Session {session.id} has ended. `jupyter sessions restart {session.id}`"
                " starts it again."
            )
        server = servers.running(session.base_url)
        if server is not None:
            m.base_url = server.base_url
        path = m.describe(session)["url"]
        base_url = path[: path.index(f"sessions/{session.id}/")]
    if server is not None and base_url != server.base_url:
        raise Conflict(
            f"{session.name} was launched from {base_url} and can be opened only there:"
            f" start a Jupyter server with --ServerApp.base_url={base_url}"
        )
    browser = not args.no_browser and _has_browser()
    fresh = server is None
    if server is None:
        server = await servers.start(path, base_url, browser=browser)
    url = server.link(path)
    if args.json:
        answer_json({"url": url})
    else:
        answer(url)
    if browser and not fresh:
        webbrowser.open(url)
    elif not browser:
        say("`jupyter server list` shows how to log in there.")
    return 0


async def logs(args: argparse.Namespace, config: list[str]) -> int:
    async with manager(config) as m:
        session = await _find(m, args.session)
        async for chunk in m.logs(session.id, lines=args.lines, follow=args.follow):
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
    return 0


async def stop(args: argparse.Namespace, config: list[str]) -> int:
    async with manager(config) as m:
        wanted = await _several(m, args, every=args.all, where=lambda s: not s.ended)
        stopped = [await m.stop(s.id) for s in wanted]
        if not args.no_wait:
            stopped = [await m.wait_for(s.id, lambda s: s.ended) for s in stopped]
        return _tell(args, [m.describe(s) for s in stopped], lambda s: f"is {s['state']}")


async def extend(args: argparse.Namespace, config: list[str]) -> int:
    def what(session: Mapping[str, Any]) -> str:
        if session["expires"] is None:
            return f"may run for {session['timeout']:g} s"
        return f"ends at {clock(session['expires'])} (in {left(session['expires'])})"

    async with manager(config) as m:
        session = await m.extend((await _find(m, args.session)).id, args.time)
        return _tell(args, [m.describe(session)], what)


async def rename(args: argparse.Namespace, config: list[str]) -> int:
    async with manager(config) as m:
        session = await m.edit((await _find(m, args.session)).id, {"name": args.name})
        return _tell(args, [m.describe(session)], lambda s: f"is now called {s['name']!r}")


async def rm(args: argparse.Namespace, config: list[str]) -> int:
    async with manager(config) as m:
        _found, unreadable = await m.sessions()
        lost = [u.id for u in unreadable if u.id in args.sessions]
        args.sessions = [s for s in args.sessions if s not in lost]
        wanted = (
            await _several(m, args, every=args.ended, where=lambda s: s.ended)
            if args.sessions or args.ended or not lost
            else []
        )
        ids = [s.id for s in wanted] + lost
        for session_id in ids:
            await m.delete(session_id)
    if args.json:
        answer_json(ids)
    else:
        for session_id in ids:
            answer(f"{session_id} is forgotten.")
    if not ids:
        say("No session has ended.")
    return 0


async def completion(args: argparse.Namespace, config: list[str]) -> int:
    from argcomplete.shell_integration import shellcode

    sys.stdout.write(shellcode(["jupyter-sessions"], shell=args.shell))
    if args.shell != "fish":
        say('Add to your shell\'s start file: eval "$(jupyter sessions completion bash)"')
        say("`jupyter sessions` (two words) completes where `jupyter` does.")
    return 0


COMMANDS: Mapping[str, Callable[[argparse.Namespace, list[str]], Coroutine[Any, Any, int]]] = {
    "apps": apps,
    "spawners": spawners,
    "start": start,
    "presets": presets,
    "list": list_sessions,
    "show": show,
    "open": open_session,
    "logs": logs,
    "stop": stop,
    "restart": restart,
    "extend": extend,
    "rename": rename,
    "rm": rm,
    "completion": completion,
}


# Helpers --------------------------------------------------------------------------------------


async def _find(m: SessionManager, wanted: str) -> Session:
    """The session that people mean by an id, the beginning of one, or a name."""
    found, unreadable = await m.sessions()
    for problem in unreadable:
        if problem.id == wanted:
            return await m.session(wanted)  # raises what is wrong with it
    if not wanted:
        raise SessionNotFound(wanted)
    exact = [s for s in found if s.id == wanted]
    matching = exact or [s for s in found if s.name == wanted or s.id.startswith(wanted)]
    if len(matching) > 1:
        live = [s for s in matching if not s.ended]
        matching = live if len(live) == 1 else matching
    if len(matching) > 1:
        names = ", ".join(f"{s.id} ({s.name})" for s in matching)
        raise InvalidRequest(f"{wanted!r} may mean {names}: give more of the id.")
    if not matching:
        raise SessionNotFound(wanted)
    return matching[0]


async def _several(
    m: SessionManager, args: argparse.Namespace, *, every: bool, where: Callable[[Session], bool]
) -> list[Session]:
    """The sessions that are named, or all of a kind."""
    if every:
        return [s for s in (await m.sessions())[0] if where(s)]
    if not args.sessions:
        raise InvalidRequest("Say which session, by its id or name; or all of them, by the option.")
    return [await _find(m, wanted) for wanted in args.sessions]


async def _started(m: SessionManager, session: Session, args: argparse.Namespace) -> int:
    """Tell of a session that was started; with ``--wait``, of how it went."""
    number = session.wanted_attempt
    told = ""

    def there(now: Session) -> bool:
        nonlocal told
        if now.attempt.number < number:
            return now.state in ENDED and now.ended
        message = f"{now.state}: {now.attempt.message}" if now.attempt.message else now.state.value
        if args.wait and message != told:
            told = message
            say(f"{now.id} {message}")
        return now.state in SETTLED or (not args.wait and now.attempt.submitted)

    session = await m.wait_for(session.id, there)
    described = m.describe(session)
    if args.json:
        answer_json(described)
    else:
        answer(_link(described))
    if session.state is State.FAILED or (args.wait and session.state in ENDED):
        say(f"{session.name}: {session.attempt.message}")
        async for chunk in m.logs(session.id, lines=TAIL):
            say(chunk.decode("utf-8", "replace").rstrip("\n"))
        return 1
    return 0


def _tell(
    args: argparse.Namespace,
    sessions: list[dict[str, Any]],
    what: Callable[[Mapping[str, Any]], str],
) -> int:
    if args.json:
        answer_json(sessions)
    else:
        for session in sessions:
            answer(f"{session['id']} {what(session)}.")
    if not sessions:
        say("No session runs.")
    return 0


def _link(session: Mapping[str, Any]) -> str:
    server = servers.running()
    if server is None:
        say(f"No Jupyter server runs. `jupyter sessions open {session['id']}` starts one.")
        return str(session["url"])
    return server.link(session["url"])


def _has_browser() -> bool:
    """Whether this machine has a screen to open a browser on."""
    if sys.platform == "darwin":
        return True
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(screen) and shutil.which("xdg-open") is not None
