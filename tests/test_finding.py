"""Choices that are found out: for a form, and again at the start."""

from __future__ import annotations

import asyncio
import shutil
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions import finding
from jupyter_sessions.apps import finders
from jupyter_sessions.apps.app import App
from jupyter_sessions.apps.defined import defined
from jupyter_sessions.apps.finders import Context, NotFoundHere
from jupyter_sessions.errors import FieldError, InvalidRequest
from jupyter_sessions.finding import ChoiceFinder
from jupyter_sessions.manager import SessionManager
from jupyter_sessions.options import OptionSchema
from jupyter_sessions.spawners.base import Spawner

from .conftest import Api
from .helpers import write_app
from .test_api import is_a

HERE = Context(cwd="/", spawner="local")


def an_app(source: Any, **schema: Any) -> App:
    option = {"type": "string", **schema, "x-choices-from": source}
    options = {"properties": {"pick": option}}
    made = defined({"name": "a", "title": "A", "command": ["x"], "options": options}, "here", "a")
    assert isinstance(made, App), made
    return made


@pytest.fixture
def local(root: Path) -> Spawner:
    return SessionManager(data_dir=str(root), root_dir="/").offers.spawner("local")


async def filled(app: App, spawner: Spawner, cwd: str = "/") -> tuple[OptionSchema, dict[str, str]]:
    schema, problems = await ChoiceFinder().fill(app, cwd, spawner)
    return schema, {p.field: p.message for p in problems}


# What there is here -----------------------------------------------------------------------------


def test_kernels_are_jupyters() -> None:
    found = dict(finders.kernels(HERE))
    assert "Python 3" in found["python3"]


def test_environments_are_found_in_the_folder(tmp_path: Path) -> None:
    for name, file in (("mine", "pyvenv.cfg"), ("other", "README")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).touch()
    found = dict(finders.python_environments(Context(str(tmp_path), "local")))
    assert str(tmp_path / "mine") in found
    assert str(tmp_path / "other") not in found
    assert sys.prefix in found


@pytest.mark.skipif(not Path("/usr/share/modules/init/bash").exists(), reason="no modules here")
def test_modules_are_those_of_a_login_shell() -> None:
    found = dict(finders.modules(HERE))
    assert "module-info" in found
    assert not [name for name in found if ":" in name or " " in name]


PROGRAMS: dict[str, tuple[str, str]] = {
    "fails": ("echo no such thing >&2; exit 3", "failed: no such thing"),
    "says something else": ("echo hello", "something else than its environments"),
    "says other JSON": ("echo '[]'", "something else than its environments"),
    "hangs": ("sleep 60", "took longer than"),
}


@pytest.mark.parametrize(("script", "says"), PROGRAMS.values(), ids=PROGRAMS)
def test_a_conda_that_does_not_answer_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, says: str
) -> None:
    fake = tmp_path / "conda"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("CONDA_EXE", str(fake))
    monkeypatch.setattr(finders, "COMMAND_SECONDS", 0.5 if "sleep" in script else 15.0)
    with pytest.raises(NotFoundHere, match=says):
        finders.conda_environments(HERE)


def test_condas_environments_are_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "fake-conda"
    fake.write_text('#!/bin/sh\n[ "$*" = "env list --json" ] && echo \'{"envs": ["/opt/a"]}\'\n')
    fake.chmod(0o755)
    monkeypatch.setenv("CONDA_EXE", str(fake))
    assert finders.conda_environments(HERE) == [("/opt/a", "a")]
    monkeypatch.delenv("CONDA_EXE")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotFoundHere, match="not installed"):
        finders.conda_environments(HERE)


# What becomes of it -----------------------------------------------------------------------------


async def test_a_function_of_an_author_is_asked_with_what_is_known(local: Spawner) -> None:
    seen: list[Context] = []

    def ask(context: Context) -> list[Any]:
        seen.append(context)
        return ["a", ("b", "The second"), "a"]

    schema, problems = await filled(an_app(ask, default="gone"), local, "/tmp")
    assert not problems
    assert seen == [Context("/tmp", "local")]
    pick = schema.properties["pick"]
    assert (pick["enum"], pick["enumNames"]) == (["a", "b"], ["a", "The second"])
    assert "default" not in pick  # it is not there
    with pytest.raises(InvalidRequest, match="choose one of: a, b"):
        schema.check({"pick": "c"}, "options")
    several, _ = await filled(an_app(ask, type="array", items={"type": "string"}), local)
    assert several.check({"pick": ["a", "b"]}, "options") == {"pick": ["a", "b"]}
    with pytest.raises(InvalidRequest, match="choose one of"):
        several.check({"pick": ["c"]}, "options")
    bounded, _ = await filled(an_app(ask, enum=["b", "z"], default="b"), local)
    assert bounded.properties["pick"]["enum"] == ["b"]
    assert bounded.check({}, "options") == {"pick": "b"}


def raising(_context: Context) -> list[str]:
    raise RuntimeError("the licence\nserver is away")


BAD: dict[str, tuple[Any, str]] = {
    "raises": (raising, "RuntimeError: the licence server is away"),
    "leaves": (lambda _: sys.exit(3), "SystemExit: 3"),
    "gives none": (lambda _: None, "TypeError"),
    "gives nothing": (lambda _: [], "nothing to choose from"),
    "gives objects": (lambda _: [{}], "{} cannot be a choice"),
    "gives a NUL": (lambda _: ["a\0"], "NUL"),
    "takes nothing": (lambda: ["a"], "TypeError"),
    "an unknown resource": ("spawner:colour", "has no resource colour"),
}


@pytest.mark.parametrize(("source", "says"), BAD.values(), ids=BAD)
async def test_what_cannot_be_found_out_bounds_nothing(
    local: Spawner, source: Any, says: str
) -> None:
    app = an_app(source, default="mine")
    schema, problems = await filled(app, local)
    assert says in problems["options.pick"]
    assert schema.check({"pick": "typed"}, "options") == {"pick": "typed"}
    assert schema.check({}, "options") == {"pick": "mine"}


async def test_a_function_that_is_gone_is_said_to_be(local: Spawner) -> None:
    _, problems = await filled(replace(an_app(lambda _: ["a"]), finders={}), local)
    assert "not there any more" in problems["options.pick"]


async def test_a_spawners_resource_has_its_choices(local: Spawner) -> None:
    schema, problems = await filled(an_app("spawner:priority"), local)
    assert not problems
    assert schema.properties["pick"]["enum"] == ["normal", "low"]


async def test_what_hangs_is_not_asked_again_beside_itself(
    local: Spawner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "FIND_SECONDS", 0.2)
    go, calls = threading.Event(), []

    def slow(_context: Context) -> list[str]:
        calls.append(1)
        go.wait(30)
        return ["a"]

    app, finder = an_app(slow), ChoiceFinder()
    for _ in range(3):
        _, problems = await finder.fill(app, "/", local)
        assert problems == [FieldError("options.pick", "it has not been found out within 0.2 s")]
    go.set()
    async with asyncio.timeout(20):
        while (await finder.fill(app, "/", local))[1]:
            pass  # it waits for as long as it may
    await finder.fill(app, "/", local)
    assert len(calls) == 1  # and what was found counts for some seconds
    await finder.fill(app, "/tmp", local)
    assert len(calls) == 2


# Over REST ------------------------------------------------------------------------------------


async def test_a_form_has_the_choices_and_a_start_looks_again(
    api: Api, jp_config_dir: Path, jp_root_dir: Path
) -> None:
    pick = {"type": "string", "x-choices-from": "python-environments"}
    write_app(jp_config_dir, "env", command=["x"], options={"properties": {"pick": pick}})
    mine = jp_root_dir / "mine"
    mine.mkdir()
    (mine / "pyvenv.cfg").touch()
    form = (await api("GET", "apps/env/form")).json
    is_a("Form", form)
    assert form["unknown"] == []
    assert str(mine) in form["app"]["options"]["properties"]["pick"]["enum"]
    for value in ("/nowhere", "$(touch x)", "a\nb"):
        answer = await api("POST", "sessions", {"app": "env", "options": {"pick": value}})
        assert (answer.status, answer.fields) == (400, ["options.pick"])
    await asyncio.to_thread(shutil.rmtree, mine)
    api.manager.offers.choices._known.clear()  # as after some seconds
    answer = await api("POST", "sessions", {"app": "env", "options": {"pick": str(mine)}})
    assert (answer.status, answer.fields) == (400, ["options.pick"])


async def test_a_form_has_the_choices_of_the_spawner_that_is_asked_for(
    api: Api, jp_config_dir: Path
) -> None:
    pick = {"type": "string", "x-choices-from": "spawner:colour"}
    write_app(jp_config_dir, "env", command=["x"], options={"properties": {"pick": pick}})
    for query in ("", "?spawner=local"):
        form = (await api("GET", f"apps/env/form{query}")).json
        assert [u["message"] for u in form["unknown"]] == [
            "the spawner local has no resource colour"
        ]
    answer = await api("GET", "apps/env/form?spawner=moon")
    assert (answer.status, answer.json["reason"]) == (404, "spawner_not_found")


async def test_a_form_says_what_is_not_known(
    api: Api, jp_config_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pick = {"type": "string", "x-choices-from": "conda-environments"}
    write_app(jp_config_dir, "env", command=["x"], options={"properties": {"pick": pick}})
    monkeypatch.setenv("CONDA_EXE", "/nowhere/conda")
    form = (await api("GET", "apps/env/form")).json
    [unknown] = form["unknown"]
    assert unknown["field"] == "options.pick"
    assert "cannot be run" in unknown["message"]
    assert "enum" not in form["app"]["options"]["properties"]["pick"]


def test_a_word_that_is_none_is_refused() -> None:
    options = {"properties": {"pick": {"x-choices-from": "moon"}}}
    made = defined({"name": "a", "title": "A", "command": ["x"], "options": options}, "here", "a")
    assert "options.properties.pick.x-choices-from" in getattr(made, "message", "")
