"""``jupyter sessions apps …``: what there is, and what helps people to bring their own."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

import yaml
from jupyter_core.paths import jupyter_config_dir

from ..apps.app import NAME, SCHEMA, App
from ..apps.checking import Finding, check_file, doubts
from ..apps.folders import Broken, Definition
from ..apps.scaffold import scaffold
from ..errors import Conflict, InvalidRequest, SpawnerError
from ..manager import SessionManager
from ..project_apps import PREFIX
from ..validation import absolute_path
from . import output
from .choices import typed_values
from .output import answer, answer_json, say, table
from .setting import manager


async def apps(args: argparse.Namespace, config: list[str]) -> int:
    """One of the commands below; the list if none is named."""
    commands = {
        "list": listed,
        "new": new,
        "check": check,
        "show": show,
        "test": test,
        "trust": trust,
        "schema": schema,
    }
    return await commands[args.action or "list"](args, config)


async def listed(args: argparse.Namespace, config: list[str]) -> int:
    async with manager(config) as m:
        found = await m.offers.apps(_folder(args))
    if args.json:
        answer_json(found)
        return 0
    rows = [(a["name"], a["title"], a["description"] or a["notice"], missing(a)) for a in found]
    table(("APP", "TITLE", "ABOUT"), [(n, t, why or about) for n, t, about, why in rows])
    return 0


async def show(args: argparse.Namespace, config: list[str]) -> int:
    """The definition of an app that counts, where it is from, and what it replaces."""
    async with manager(config) as m:
        app = await m.offers.app(args.app, _folder(args))
        others = (await m.offers.catalogue.definitions(args.app))[1:]
        notice = (await m.offers.describe(app))["notice"]
    if args.json:
        replaced = [{"origin": o.origin, "problem": _problem(o)} for o in others]
        facts = {"name": app.name, "origin": app.origin, "notice": notice, "replaces": replaced}
        answer_json({**facts, "definition": app.definition, "origins": app.origins})
        return 0
    answer(f"# {app.origin}")
    for other in others:
        problem = f" ({_problem(other)})" if _problem(other) else ""
        answer(f"# replaces {other.origin}{problem}")
    if app.readme is not None:
        answer(f"# about it: {app.readme}")
    if app.prepare is not None:
        answer("# Its command, environment and headers are made when it starts.")
    if notice:
        answer(f"# {notice}")
    for key, value in app.definition.items():
        if app.prepare is None or key != "command":
            for line in _origins(app, key):
                answer(line)
            answer(yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True).rstrip())
    return 0


def _origins(app: App, key: str) -> list[str]:
    """Comments on where a key of an app's definition is from, if it is from several places."""
    if not app.origins:
        return []
    parts = {p.partition(".")[2]: o for p, o in app.origins.items() if p.startswith(f"{key}.")}
    return [
        "",
        f"# from {app.origins.get(key, app.origin)}",
        *(f"#   {part}: from {origin}" for part, origin in sorted(parts.items())),
    ]


async def new(args: argparse.Namespace, config: list[str]) -> int:
    """A folder for an app, from nothing or from another app."""
    if not NAME.fullmatch(args.name):
        sentence = "an app's name has letters a to z, digits and dashes, and begins with no dash"
        raise InvalidRequest.field("name", sentence)
    source = None
    if args.from_app is not None:
        async with manager(config) as m:
            source = await m.offers.catalogue.app(args.from_app)
        if source.prepare is not None:
            raise InvalidRequest(f"{source.origin} says what to run only when it starts: write it.")
    place = args.directory or Path(jupyter_config_dir(), "jupyter_sessions", "apps")
    folder = Path.cwd() / place / args.name
    try:
        files = await asyncio.to_thread(scaffold, folder, args.name, source)
    except FileExistsError:
        raise Conflict(f"There is {folder} already.", reason="exists") from None
    except OSError as error:
        raise InvalidRequest(f"{folder} cannot be made: {error.strerror}") from None
    if args.json:
        answer_json({"name": args.name, "files": [str(f) for f in files]})
        return 0
    for file in files:
        answer(str(file))
    target = args.name if args.directory is None else folder
    say(f"Edit app.yaml, then: jupyter sessions apps check {target}")
    return 0


async def check(args: argparse.Namespace, config: list[str]) -> int:
    """What is wrong with apps, or doubtful: exit code 2 if any has an error."""
    found: list[tuple[str, str, Finding]] = []
    names = 0
    path = None if args.app is None else _path(args.app)
    if args.app is not None and args.app.startswith(PREFIX):
        async with manager(config) as m:
            path = await asyncio.to_thread(_project_file, m, args.app, _folder(args))
    if path is not None:
        names = 1
        findings = await asyncio.to_thread(check_file, path)
        name = args.app if args.app.startswith(PREFIX) else path.parent.name
        found = [(name, str(path), f) for f in findings]
    else:
        async with manager(config) as m:
            items = await _items(m, args.app)
        names = len(items)
        for item in items:
            findings = await asyncio.to_thread(_findings, item)
            found += [(item.name, item.origin, f) for f in findings]
    errors = [f for _, _, f in found if f.level == "error"]
    if args.json:
        answer_json([_described(*entry) for entry in found])
    else:
        for name, origin, finding in found:
            answer(_line(name, origin, finding))
        say(f"{names} checked: {len(errors)} errors, {len(found) - len(errors)} warnings.")
    return 2 if errors else 0


async def schema(args: argparse.Namespace, config: list[str]) -> int:
    """The JSON Schema of app.yaml."""
    answer(await asyncio.to_thread(SCHEMA.read_text, "utf-8"))
    say(f'Editors find it by: "# yaml-language-server: $schema={SCHEMA.as_uri()}"')
    return 0


async def test(args: argparse.Namespace, config: list[str]) -> int:
    """Start an app in a Jupyter server of its own, look at it as a browser would, and stop it."""
    from .checks import AppTest
    from .trial import trial

    async with manager(config) as m:
        app = await m.offers.app(args.app, _folder(args))
        request: dict[str, Any] = {
            "app": app.name,
            "cwd": args.cwd or str(Path.cwd()),
            "options": typed_values(args.option, "options", app.choices.properties),
        }
    done = []
    async with trial(config) as server:
        try:
            async for result in AppTest(server, request).run():
                done.append(result)
                if not args.json:
                    answer(f"{result.verdict.ljust(8)}{result.name.ljust(10)}{result.message}")
        except SpawnerError as error:
            output.error(error, as_json=args.json)
            return 1
    failed = [r for r in done if r.verdict == "failed"]
    if args.json:
        answer_json({"app": app.name, "works": not failed, "checks": [r.describe() for r in done]})
    else:
        say(f"{app.title} {'does not work' if failed else 'works'} under a prefix.")
    return 1 if failed else 0


async def trust(args: argparse.Namespace, config: list[str]) -> int:
    """Show what an app of a project runs, and let it run if somebody says so."""
    async with manager(config) as m:
        projects, folder = m.projects, _folder(args)
        if args.revoke:
            await asyncio.to_thread(projects.revoke, args.app, folder)
            if args.json:
                answer_json({"name": args.app, "state": "new"})
            else:
                answer(f"{args.app} is trusted no more.")
            return 0
        found = (await asyncio.to_thread(projects.find, args.app, folder)).describe_trust()
        if found["state"] != "trusted" and not args.yes:
            _show_trust(found)
            if not await asyncio.to_thread(_says_yes):
                say("It is not trusted." if not args.json else "Say --yes to trust it.")
                return 4
        if found["state"] != "trusted":
            trusted = await asyncio.to_thread(projects.trust, args.app, folder, found["digest"])
            found = trusted.describe_trust()
    if args.json:
        answer_json(found)
    else:
        answer(f"{args.app} of {found['project']} is trusted, as long as it stays as it is.")
    return 0


def _show_trust(found: dict[str, Any]) -> None:
    """What somebody has to see."""
    say(f"{found['title']} comes from the project {found['project']}")
    say("and runs commands as you. Its definition and its files:")
    say("")
    for file in found["files"]:
        executable = ", executable" if file["executable"] else ""
        say(f"--- {file['path']} ({file['size']} bytes{executable})")
        if file["text"] is None:
            say("    (not shown: it is no text, or too long)")
            continue
        for line in file["text"].splitlines():
            say(f"    {line}")
    say("")
    if found["state"] == "changed":
        say("It has changed since you trusted it.")


def _says_yes() -> bool:
    if not sys.stdin.isatty():
        return False
    say("Trust it? [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _folder(args: argparse.Namespace) -> str:
    return absolute_path(args.cwd or "", str(Path.cwd()))


def missing(described: Any) -> str:
    """Why something cannot be started, for a table; empty if it can."""
    if (project := described.get("project")) and project["state"] != "trusted":
        return f"not trusted: jupyter sessions apps trust {described['name']}"
    return "" if described["available"] else f"unavailable: {described['unavailable_reason']}"


# Helpers ----------------------------------------------------------------------------------------


def _path(given: str) -> Path | None:
    """The app.yaml that somebody means by a path; None if it is the name of an app."""
    path = Path(given)
    if path.is_dir():
        path = path / "app.yaml"
    if path.suffix in (".yaml", ".yml") or "/" in given:
        return path.absolute()
    return path.absolute() if path.is_file() else None


def _project_file(m: SessionManager, name: str, folder: str) -> Path:
    """The app.yaml of the project's app `name`, broken or not."""
    for item in m.projects.all(folder):
        if item.name == name:
            return Path(item.origin if isinstance(item, Broken) else item.place)
    return Path(m.projects.find(name, folder).place)  # which says what is missing


async def _items(m: SessionManager, name: str | None) -> list[App | Broken]:
    loaded, broken = await m.offers.catalogue.load()
    if name is None:
        return [*loaded.values(), *broken]
    problems = [b for b in broken if b.name == name]
    return [*problems] if problems else [await m.offers.catalogue.app(name)]


def _findings(item: App | Broken) -> list[Finding]:
    """What is to be said about an app of the catalogue."""
    origin = Path(item.origin)
    if origin.is_absolute() and origin.name == "app.yaml":
        found = check_file(origin)
        if isinstance(item, Broken) and not any(f.level == "error" for f in found):
            # What is wrong is not in the file alone: what it extends, or an override.
            found.append(Finding("error", item.message, item.line, item.column))
        return found
    if isinstance(item, Broken):
        return [Finding("error", item.message, item.line, item.column)]
    if item.prepare is not None:  # its command is not known yet
        return [Finding("warning", item.notice)] if item.notice else []
    return [Finding("warning", text) for _, text in doubts(item)]


def _described(name: str, origin: str, finding: Finding) -> dict[str, Any]:
    place = {"line": finding.line or None, "column": finding.column or None}
    return {
        "app": name,
        "origin": origin,
        **place,
        "level": finding.level,
        "message": finding.message,
    }


def _line(name: str, origin: str, finding: Finding) -> str:
    where = f"{origin}:{finding.line}:{finding.column}" if finding.line else origin
    return f"{where}: {finding.level}: {finding.message}"


def _problem(item: Definition) -> str:
    return item.message if isinstance(item, Broken) else ""
