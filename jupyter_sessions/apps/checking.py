"""What is wrong with an ``app.yaml``, and what is doubtful about it: `check_file`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..plain import NotPlain, check_plain, read_yaml
from .app import FIELD, HOOKS, App, AppError, schema_errors
from .folders import LARGEST, parse
from .marks import NOWHERE, Marks

SHELLS = frozenset({"sh", "bash", "dash", "ksh", "zsh"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that an author should look at.

    Parameters
    ----------
    line, column
        Where, from 1; 0 if it is about the whole.
    """

    level: Literal["error", "warning"]
    message: str
    line: int = 0
    column: int = 0


def check_file(path: Path) -> list[Finding]:
    """All that is to be said about the file `path`, in its order. Reads it: call it in a thread.

    Errors keep the app from being offered; warnings do not.
    """
    try:
        data = read_yaml(path, LARGEST)
    except OSError as error:
        return [Finding("error", f"cannot be read: {error.strerror}")]
    except NotPlain as error:
        return [Finding("error", str(error), *(error.mark or (0, 0)))]
    marks = Marks.of(path)
    errors = _errors(data, path)
    found = [Finding("error", str(error), *marks.at(error.path)) for error in errors]
    found += [
        Finding("warning", f"{key} stands here twice, and only the last counts", *mark)
        for key, mark in marks.doubles()
    ]
    if not errors and "extends" not in data:
        app = App.from_definition(data, directory=path.parent)
        found += [
            Finding("warning", text, *(marks.at(where) if where else NOWHERE))
            for where, text in doubts(app)
        ]
    return sorted(found, key=lambda f: (f.line, f.column, f.level))


def _errors(data: object, path: Path) -> list[AppError]:
    """All errors that can be found at once: what the schema sees, or else the first other one."""
    try:
        check_plain(data, "app.yaml")
    except NotPlain as error:
        return [AppError(str(error), error.path)]
    if found := schema_errors(data):
        return found
    try:
        app = parse(data, str(path), path.parent)
    except AppError as error:
        return [error]
    if app.name != path.parent.name:
        sentence = f"name: {app.name!r} is not the name of its folder, {path.parent.name!r}"
        return [AppError(sentence, ("name",))]
    return []


def doubts(app: App) -> Iterator[tuple[Sequence[str | int], str]]:
    """What works, but perhaps not as its author wants: where, and a sentence."""
    definition = app.definition
    told = {name for text in (*app.command, *app.env.values()) for name in FIELD.findall(text)}
    if app.has_open_port:
        where = "port" if app.port or app.reports_port else "command"
        yield (
            (where,),
            f"{where}: other users of the machine can reach a TCP port; if the app can listen on a"
            " Unix socket, give it {socket}",
        )
    elif not (told & {"socket", "fd", "port"} or app.socket or app.port or app.reports_port):
        yield ("command",), "command: nothing tells it where to listen: {socket}, {fd} or {port}"
    for secret in app.secrets:
        if not app.is_told(secret):
            yield (
                ("secrets",),
                f"secrets: nothing tells it {{{secret}}}: env, {{{secret}_file}}",
            )
        if not app.is_injected(secret):
            yield (
                ("secrets",),
                f"secrets: no request carries {{{secret}}}: request_headers, auth",
            )
    if "path" not in definition.get("ready", {}):
        yield (
            ("ready",),
            "ready: without a path, the app counts as ready once / answers with 200 to 399",
        )
    if app.prefix == "keep" and "base_url" not in told:
        yield ("prefix",), "prefix: it keeps its prefix, but {base_url} does not tell it which"
    if len(app.command) == 1 and " " in app.command[0]:
        yield ("command", 0), "command.0: it is one word with spaces in it: no shell splits it"
    yield from _shell(app)
    yield from _hooks(app)
    program = app.command[0]
    needed = {name for r in app.requires for name in r.names}
    if not FIELD.search(program) and program not in needed and "/" not in program:
        yield (
            ("requires",) if app.requires else ("command",),
            f"requires: it does not say what to install where {program} is missing",
        )
    if app.icon is None:
        yield (), "there is no icon.svg beside it"


def _hooks(app: App) -> Iterator[tuple[Sequence[str | int], str]]:
    """Scripts in the app's folder that are not there, or cannot be run."""
    for name, argv in zip(HOOKS, (app.before, app.after, app.clean), strict=True):
        for number, text in enumerate(argv or ()):
            inside = text.removeprefix("{app_dir}/")
            if app.directory is None or inside == text or FIELD.search(inside):
                continue
            path, where = app.directory / inside, ("hooks", name, number)
            if not path.is_file():
                yield where, f"hooks.{name}: there is no file {inside} beside it"
            elif number == 0 and not os.access(path, os.X_OK):
                yield where, f"hooks.{name}: {inside} is not executable: chmod +x {path}"


def _shell(app: App) -> Iterator[tuple[Sequence[str | int], str]]:
    """A choice of people's that becomes part of a script."""
    if Path(app.command[0]).name not in SHELLS or "-c" not in app.command:
        return
    number = app.command.index("-c") + 1
    script = app.command[number] if number < len(app.command) else ""
    for name in FIELD.findall(script):
        if name in app.choices.properties:
            yield (
                ("command", number),
                f"command.{number}: {{{name}}} becomes part of a script, whatever people give:"
                ' pass it as an argument of its own after the script, and use "$1"',
            )
