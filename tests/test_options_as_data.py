"""Whatever people give for an option is refused or reaches the app as data: nothing of it runs."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions.apps.app import FIELD, App
from jupyter_sessions.apps.sources import builtin
from jupyter_sessions.errors import InvalidRequest
from jupyter_sessions.plain import as_text

from .managers import running

APPS = {app.name: app for app in builtin() if isinstance(app, App)}
ECHO = """
import json, os, sys
with open(sys.argv[1], "w") as file:
    json.dump({"argv": sys.argv[2:], "env": dict(os.environ)}, file)
"""


def hostile(canary: Path) -> Iterator[str]:
    """Texts that a shell, a template, YAML or a program's options would act upon."""
    run = f"touch {canary}"
    yield f"$({run})`{run}`;{run}\n{run} && '\"\\ {{python}} {{{{ {{socket}} %s *a &b !!x # - : |"
    yield f"$({run})`{run}`;{run}|{run}& '\"\\ {{python}} {{{{ {{socket}} %s *a &b !!x #"
    yield f"$({run})"
    yield f"--option={run}"
    yield f'"{run}"'
    yield f"'; {run} '"
    yield f"a\n{run}\n"
    yield "a: [1, {b: !!python/object/apply:os.system [x]}]"
    yield "{python}"
    yield "$HOME ~ * ../.."


def strings(app: App) -> dict[str, Mapping[str, Any]]:
    return {n: s for n, s in app.choices.properties.items() if s.get("type") == "string"}


def fits(app: App, name: str, value: Any) -> bool:
    """Whether the option takes the value; what else is said is about other options."""
    _values, errors = app.choices.look({name: value}, "options", {"cwd": "/", "file": "/x"})
    return not any(re.match(rf"options\.{re.escape(name)}\b", e.field) for e in errors)


@pytest.mark.parametrize("name", APPS)
def test_what_an_option_does_not_take_is_refused_by_its_name(name: str) -> None:
    app = APPS[name]

    def refused(option: str, value: Any) -> None:
        with pytest.raises(InvalidRequest) as error:
            app.check_options({option: value}, "/", "/x")
        fields = {e.field for e in error.value.errors}
        assert any(f == "options" or f.startswith(f"options.{option}") for f in fields), fields

    for unknown in ("no_such_option", "$(touch x)", "__class__", "a\nb", "socket", "app_dir"):
        refused(unknown, "x")
    for option, schema in app.choices.properties.items():
        for bound, beyond in (("maximum", 1), ("minimum", -1)):
            if bound in schema:
                refused(option, schema[bound] + beyond)
        if "enum" in schema:
            for text in hostile(Path("/nowhere")):
                refused(option, text)
        if schema.get("type") in ("string", "integer", "number", "boolean"):
            refused(option, {"a": "b"})
            refused(option, ["$(touch x)"])
        if schema.get("type") in ("integer", "number", "boolean"):
            refused(option, "1; touch x")
            refused(option, float("nan"))
        if schema.get("type") == "string":
            refused(option, "a\0b")
            refused(option, "x" * 200_000)


@pytest.mark.parametrize("name", [n for n, app in APPS.items() if strings(app)])
async def test_what_it_takes_reaches_the_app_as_it_is(root: Path, name: str) -> None:
    app, canary = APPS[name], root.parent / "canary"
    given: dict[str, str] = {}
    for option in strings(app):
        texts = [t for t in hostile(canary) if fits(app, option, t)]
        if texts:
            given[option] = texts[0]
    # Only together with others may some be given.
    _values, errors = app.choices.look(given, "options", {"cwd": "/", "file": "/x"})
    given = {n: v for n, v in given.items() if not any(e.field == f"options.{n}" for e in errors)}
    script, seen = root.parent / "echo.py", root.parent / "seen"
    script.write_text(ECHO)
    kept = ("options", "env", "prefix", "port", "socket", "secrets")
    definition = {
        **{key: app.definition[key] for key in kept if key in app.definition},
        "command": [sys.executable, str(script), str(seen), *app.command],
    }
    async with running(root, apps={"seen": definition}) as manager:
        session = await manager.create({"app": "seen", "options": given})
        async with asyncio.timeout(40):
            session = await manager.wait_for(session.id, lambda s: s.ended)
    assert seen.exists(), session.attempt.message
    told = json.loads(seen.read_text())
    assert not canary.exists()
    values = {n: as_text(v) for n, v in session.options.items() if not isinstance(v, list)}
    for element in app.command:
        names = {n for n in FIELD.findall(element) if n}
        if names & given.keys() and names <= values.keys():
            # Written down once more, in one pass: what a value says is never filled in again.
            expected = FIELD.sub(lambda m: values[m[1]] if m[1] else m[0][0], element)
            assert expected in told["argv"], (element, told["argv"])
    for variable, text in app.env.items():
        names = {n for n in FIELD.findall(text) if n}
        if names & given.keys() and names <= values.keys():
            expected = FIELD.sub(lambda m: values[m[1]] if m[1] else m[0][0], text)
            assert told["env"][variable] == expected
