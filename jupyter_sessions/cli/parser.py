"""The command line's grammar, and its completion."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import argcomplete

from .. import __version__

CONFIG = re.compile(r"--[A-Z]\w*\.\w+=")
DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")
UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def split_config(argv: list[str]) -> tuple[list[str], list[str]]:
    """The command's own arguments, and those that set a trait: ``--SessionManager.x=y``."""
    config = [a for a in argv if CONFIG.match(a)]
    return [a for a in argv if not CONFIG.match(a)], config


def duration(text: str) -> float:
    """``90``, ``90s``, ``15m``, ``2h``, ``1.5d`` as seconds."""
    match = DURATION.fullmatch(text)
    if match is None or float(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r}: give a time such as 90, 15m, 2h or 1.5d")
    return float(match[1]) * UNITS[match[2]]


def count(text: str) -> int:
    """A whole number from 0."""
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number from 0")
    return int(text)


def build_parser() -> argparse.ArgumentParser:
    """The parser, with completion switched on."""
    parser = argparse.ArgumentParser(
        prog="jupyter sessions",
        description="Launch, list and control sessions: VS Code, desktops, any web service.",
        epilog="A session is named by its id, the beginning of its id, or its name.",
    )
    parser.set_defaults(json=False)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, summary: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=summary, description=summary)
        sub.add_argument("--json", action="store_true", help="print JSON, as the REST API answers")
        return sub

    _apps_commands(command("apps", "what can be started, and what helps to bring your own"))
    _spawners_commands(
        command("spawners", "where sessions can run, and how their apps are reached")
    )
    _start(command("start", "start a session"))
    sub = command("presets", "the presets of an app")
    _completer(sub.add_argument("app", help="which app"), _apps)
    sub = command("list", "your sessions")
    sub.add_argument("-a", "--all", action="store_true", help="the ended ones too")
    _session(command("show", "all about one session"))
    sub = command("open", "open a session in the browser; start a Jupyter server if none runs")
    _session(sub)
    sub.add_argument("--no-browser", action="store_true", help="only print the URL")
    _logs(command("logs", "a session's log"))
    sub = command("stop", "end sessions")
    _session(sub, several=True)
    sub.add_argument("--all", action="store_true", help="all of them")
    sub.add_argument("--no-wait", action="store_true", help="return at once")
    sub = command("restart", "start a session again: same id, same URL")
    _session(sub)
    sub.add_argument("--wait", action="store_true", help="return when it runs, or has failed")
    sub = command("extend", "give a session more time")
    _session(sub)
    sub.add_argument("time", type=duration, help="how much more: 90, 15m, 2h, 1d")
    sub = command("rename", "give a session another name")
    _session(sub)
    sub.add_argument("name", help="the new name")
    sub = command("rm", "end sessions and forget them with all their files")
    _session(sub, several=True)
    sub.add_argument("--ended", action="store_true", help="all that have ended")
    sub = command("completion", "print the shell code that completes this command")
    sub.add_argument("shell", choices=["bash", "zsh", "fish"])
    argcomplete.autocomplete(parser)
    return parser


def _apps_commands(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("-C", "--cwd", help="the folder whose project's apps to list too")
    actions = sub.add_subparsers(dest="action", metavar="ACTION")

    def action(name: str, summary: str) -> argparse.ArgumentParser:
        below = actions.add_parser(name, help=summary, description=summary)
        # Not False if it stands before the action.
        below.add_argument(
            "--json", action="store_true", default=argparse.SUPPRESS, help="print JSON"
        )
        return below

    below = action("list", "what can be started (if no action is given)")
    cwd = "the folder whose project's apps to list too (default: this one)"
    below.add_argument("-C", "--cwd", default=argparse.SUPPRESS, help=cwd)
    below = action("new", "make a folder for an app of your own")
    below.add_argument("name", help="its name: letters a to z, digits and dashes")
    source = below.add_argument(
        "--from", dest="from_app", metavar="APP", help="begin with this app"
    )
    _completer(source, _apps)
    below.add_argument("--directory", help="where (default: in your Jupyter configuration)")
    below = action("check", "say what is wrong with apps, or doubtful")
    checked = below.add_argument(
        "app", nargs="?", help="an app, or an app.yaml (default: all apps)"
    )
    _completer(checked, _apps)
    of_project = "a folder of the project, for project:NAME (default: this one)"
    below.add_argument("-C", "--cwd", default=argparse.SUPPRESS, help=of_project)
    below = action("show", "print an app's definition, where it is from and what it replaces")
    _completer(below.add_argument("app", help="which app"), _apps)
    below.add_argument("-C", "--cwd", default=argparse.SUPPRESS, help=of_project)
    below = action("test", "start an app behind a prefix, look at its page, and stop it")
    _completer(below.add_argument("app", help="which app"), _apps)
    _option(below)
    start_in = "the folder to start in (default: this one)"
    below.add_argument("-C", "--cwd", default=argparse.SUPPRESS, help=start_in)
    below = action("trust", "show what an app of a project runs, and let it run")
    below.add_argument("app", help="which app: project:NAME")
    below.add_argument("-C", "--cwd", default=argparse.SUPPRESS, help=of_project)
    below.add_argument("-y", "--yes", action="store_true", help="trust it without a question")
    below.add_argument("--revoke", action="store_true", help="trust it no more")
    action("schema", "print the JSON Schema of app.yaml")


def _spawners_commands(sub: argparse.ArgumentParser) -> None:
    actions = sub.add_subparsers(dest="action", metavar="ACTION")
    for name, summary in (
        ("list", "where sessions can run (if no action is given)"),
        ("check", "start a small job, and say which ways lead to its node"),
    ):
        below = actions.add_parser(name, help=summary, description=summary)
        below.add_argument(
            "--json", action="store_true", default=argparse.SUPPRESS, help="print JSON"
        )
    _completer(below.add_argument("spawner", help="which spawner"), _spawners)
    _resource(below)
    wait = "how long the job may wait in the queue: 90, 15m, 2h (default: 2m)"
    below.add_argument("-w", "--wait", type=duration, default=120.0, help=wait)


def _resource(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "-r",
        "--resource",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a resource of the spawner; may be repeated",
    )


def _option(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "-o",
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the app; may be repeated",
    )


def _start(sub: argparse.ArgumentParser) -> None:
    _completer(sub.add_argument("app", help="which app: `jupyter sessions apps` lists them"), _apps)
    sub.add_argument("-n", "--name", help="what to call it (default: the app's title)")
    spawner = sub.add_argument("-s", "--spawner", help="where to run it (default: local)")
    _completer(spawner, _spawners)
    _option(sub)
    _resource(sub)
    preset = sub.add_argument("--preset", help="begin with what is kept under this name")
    _completer(preset, _presets)
    sub.add_argument("-C", "--cwd", help="the folder to start in (default: this one)")
    sub.add_argument("-t", "--timeout", type=duration, help="end it after 90s, 15m, 2h, 1d")
    sub.add_argument("--wait", action="store_true", help="return when it runs, or has failed")


def _logs(sub: argparse.ArgumentParser) -> None:
    _session(sub)
    sub.add_argument("-f", "--follow", action="store_true", help="go on until the session ends")
    sub.add_argument("-n", "--lines", type=count, default=200, help="how many lines (default: 200)")


def _session(sub: argparse.ArgumentParser, *, several: bool = False) -> None:
    argument = (
        sub.add_argument("sessions", nargs="*", metavar="SESSION")
        if several
        else sub.add_argument("session", metavar="SESSION")
    )
    _completer(argument, _sessions)


def _completer(argument: argparse.Action, completer: Any) -> None:
    argument.completer = completer  # type: ignore[attr-defined]


def _apps(**_: Any) -> list[str]:
    from ..apps.folders import Broken
    from ..apps.sources import all_sources

    # Without the configuration: what it defines is known to few, and reading it takes long.
    sources = all_sources({}, {})
    return sorted({a.name for source in sources for a in source() if not isinstance(a, Broken)})


def _presets(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    from ..errors import SessionError
    from ..preferences import Preferences

    app = getattr(parsed_args, "app", None)
    if app not in _apps():
        return []
    try:
        return list(Preferences(_data()).read(app).presets)
    except SessionError:
        return []


def _sessions(**_: Any) -> dict[str, str]:
    from ..store import SessionStore

    sessions, _unreadable = SessionStore(_data()).list()
    return {s.id: f"{s.name} ({s.state})" for s in sessions}


def _spawners(**_: Any) -> list[str]:
    return ["local", *_settings().get("spawners", {})]


def _data() -> Path:
    """Where sessions and preferences are kept: see `SessionManager.data_dir`."""
    from jupyter_core.paths import jupyter_data_dir

    given = _settings().get("data_dir", "")
    return Path(given or Path(jupyter_data_dir(), "jupyter_sessions")).expanduser()


def _settings() -> Any:
    """What the configuration files set of `SessionManager`."""
    from jupyter_core.application import JupyterApp

    app = JupyterApp(config_file_name="jupyter_server_config")
    app.load_config_file()
    return app.config.SessionManager
