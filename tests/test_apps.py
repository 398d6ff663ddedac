"""`apps/`: each mistake in an ``app.yaml`` is one named problem, and the other apps go on."""

from __future__ import annotations

import logging
import os
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from jupyter_sessions.apps.app import App, AppError, as_fields
from jupyter_sessions.apps.catalogue import Catalogue, unavailable
from jupyter_sessions.apps.folders import BUILTIN, LARGEST, Broken, folders, read_folder
from jupyter_sessions.errors import AppNotFound, InvalidRequest
from jupyter_sessions.hosts.local import LocalHost

from .core import APP, write_app

LOG = logging.getLogger(__name__)


def catalogue_of(*places: Path) -> Catalogue:
    """A catalogue of folders, first to last."""
    return Catalogue(LOG, [partial(read_folder, place) for place in places])


def with_options(**properties: Any) -> App:
    return App.from_definition({**APP, "options": {"properties": properties}})


# What is wrong with a definition ----------------------------------------------------------------

STRING = {"type": "string"}
CYCLE: dict[str, Any] = {}
CYCLE["itself"] = CYCLE
WRONG: list[tuple[dict[str, Any], str]] = [
    # what is changed; how the message begins
    ({"name": None}, "name: "),
    ({"name": 5}, "name: "),
    ({"name": "Demo"}, "name: "),
    ({"name": "../x"}, "name: "),
    ({"name": "demo\n"}, "name: "),
    ({"title": ""}, "title: "),
    ({"title": ["x"]}, "title: "),
    ({"command": "demo {socket}"}, "command: "),
    ({"command": []}, "command: "),
    ({"command": ["demo", 8080]}, "command.1: "),
    ({"command": ["demo\0"]}, "command.0: "),
    ({"command": ["{sockt}"]}, "command: there is no field {sockt}; known are "),
    ({"comand": ["x"]}, "app.yaml: "),
    ({"description": 1}, "description: "),
    ({"category": 1}, "category: "),
    ({"env": ["A=b"]}, "env: "),
    ({"env": {"A": 1}}, "env.A: "),
    ({"env": {"A-B": "1"}}, "env: "),
    ({"env": {"A\n": "1"}}, "env: "),
    ({"env": {True: "1"}}, "env: put quotes around the key True"),
    ({"env": {"A": "{nope}"}}, "env: there is no field {nope}"),
    ({"env": {"A": "\ud800"}}, "env.A: "),
    ({"options": []}, "options: "),
    ({"options": {"type": "array"}}, "options.type: "),
    ({"options": {"properties": {"a-b": STRING}}}, "options.properties: "),
    ({"options": {"properties": {"a": True}}}, "options.properties.a: "),
    ({"options": {"properties": {"a": {"type": "text"}}}}, "options.properties.a.type: "),
    ({"options": {"properties": {"a": {"pattern": "["}}}}, "options.properties.a.pattern: "),
    ({"options": {"properties": {"a": {"$ref": "#/$defs/b"}}}}, "options: there is nothing at"),
    ({"options": {"properties": {"a": {"$ref": "http://x.test/y"}}}}, "options: there is nothing"),
    ({"options": {"properties": {"port": STRING}}}, "options: port is a name with another"),
    ({"options": {"properties": {"a": {**STRING, "default": 1}}}}, "options.a.default: "),
    ({"options": {"properties": {"a": {"x-default-from": "pwd"}}}}, "options.properties.a.x-"),
    ({"ready": "/"}, "ready: "),
    ({"ready": {"path": "lab"}}, "ready.path: "),
    ({"ready": {"path": "/a b"}}, "ready.path: "),
    ({"ready": {"path": "/\r\nX: y"}}, "ready.path: "),
    ({"ready": {"codes": 200}}, "ready.codes: "),
    ({"ready": {"codes": []}}, "ready.codes: "),
    ({"ready": {"codes": [99]}}, "ready.codes.0: "),
    ({"ready": {"timeout": 0}}, "ready.timeout: "),
    ({"ready": {"timeout": "60"}}, "ready.timeout: "),
    ({"ready": {"timeout": float("inf")}}, "ready.timeout: "),
    ({"ready": {"timeout": float("nan")}}, "ready.timeout: "),
    ({"ready": {"timeout": 1e300}}, "ready.timeout: "),
    ({"ready": {"port": 1}}, "ready: "),
    ({"stop": {"command": "stop"}}, "stop.command: "),
    ({"stop": {"command": ["{nope}"]}}, "stop.command: there is no field"),
    ({"stop": {"grace": -1}}, "stop.grace: "),
    ({"stop": {"grace": 1e300}}, "stop.grace: "),
    ({"prefix": "remove"}, "prefix: "),
    ({"base_path": "grafana"}, "base_path: "),
    ({"base_path": "/grafana/"}, "base_path: "),
    ({"base_path": "/a?b"}, "base_path: "),
    ({"base_path": "/a b"}, "base_path: "),
    ({"base_path": "/a", "prefix": "keep"}, "base_path: it keeps its prefix"),
    ({"own_hosts": "h"}, "own_hosts: "),
    ({"own_hosts": ["h/x"]}, "own_hosts.0: "),
    ({"open_path": "/lab"}, "open_path: "),
    ({"open_in": "tab"}, "open_in: "),
    ({"open_path": "{nope}"}, "open_path: there is no field {nope}"),
    ({"request_headers": {"A B": "x"}}, "request_headers: "),
    ({"request_headers": {"A\n": "x"}}, "request_headers: "),
    ({"request_headers": {"A": "x\n"}}, "request_headers.A: "),
    ({"request_headers": {"A": "x\r\nB: y"}}, "request_headers.A: "),
    ({"response_headers": {"A": "日本"}}, "response_headers.A: "),
    ({"response_headers": {"A": 1}}, "response_headers.A: "),
    ({"requires": {"program": "x"}}, "requires: "),
    ({"requires": [{"program": "x"}]}, "requires.0: "),
    ({"requires": [{"install": "x"}]}, "requires.0: "),
    ({"requires": [{"install": "x", "program": []}]}, "requires.0.program: "),
    ({"requires": [{"install": "x", "program": "a", "file": "b"}]}, "requires.0: "),
    ({"ready": {"codes": "some"}}, "ready.codes: "),
    ({"port": 0}, "port: "),
    ({"port": "80"}, "port: "),
    ({"socket": "run.sock"}, "socket: "),
    ({"socket": "/a\nb"}, "socket: "),
    ({"socket": "/" + 100 * "x"}, "socket: "),
    ({"port": 80, "socket": "/x"}, "socket: it listens either"),
    ({"paths": {"x": "/y"}}, "paths: "),
    ({"paths": {"/x": "y"}}, "paths./x: "),
    ({"paths": {"/x": "/y\r\nz"}}, "paths./x: "),
    ({"launcher": "no"}, "launcher: "),
    ({"icon": "x.svg"}, "app.yaml: "),
    ({"options": CYCLE}, "options: it is nested too deeply, or contains itself"),
]


@pytest.mark.parametrize(("change", "says"), WRONG)
def test_a_wrong_field_is_named(change: dict[str, Any], says: str) -> None:
    with pytest.raises(AppError) as caught:
        App.from_definition({**APP, **change})
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize("field", ["name", "title", "command"])
def test_a_missing_field_is_named(field: str) -> None:
    with pytest.raises(AppError, match=f"'{field}' is a required property"):
        App.from_definition({k: v for k, v in APP.items() if k != field})


@pytest.mark.parametrize("data", [None, [], "x", 5])
def test_what_is_no_mapping_is_no_app(data: Any) -> None:
    with pytest.raises(AppError, match=r"^app\.yaml: "):
        App.from_definition(data)


HEAD = "name: bad\ntitle: Bad\ncommand: [x]\n"
FILES = {
    "empty": (b"", "not of type 'object'"),
    "a list": (b"- a", "not of type 'object'"),
    "syntax": (b"name: [", "line 1"),
    "a tab": (b"name:\n\tx: y", "line 2"),
    "two documents": (b"a: 1\n---\nb: 2", "document"),
    "a date": (b"name: bad\ntitle: 2026-01-02\ncommand: [x]", "title: .*put quotes"),
    "what looks like a date": (b"title: 2026-13-45", "month must be"),
    "a wrong integer": (b"title: !!int x", "invalid literal"),
    "a wrong truth": (b"title: !!bool maybe", "a value has the wrong form"),
    "bytes": (b"name: bad\ntitle: !!binary aGk=\ncommand: [x]", "title: .*put quotes"),
    "a set": (b"name: bad\ntitle: !!set {a}\ncommand: [x]", "title: .*put quotes"),
    "python": (b"title: !!python/object/apply:os.system [touch x]", "could not determine"),
    "yes as a key": (HEAD.encode() + b"env: {on: x}", "env: put quotes around the key True"),
    "a number as a key": (HEAD.encode() + b"options: {properties: {1: {}}}", "the key 1"),
    "an unknown alias": (b"title: *x", "undefined alias"),
    "itself": (HEAD.encode() + b"options: &a {properties: {b: *a}}", "contains itself"),
    "a bomb": (
        HEAD.encode()
        + b"env: &a {A: x, B: x}\noptions:\n"
        + b"".join(
            b"  x%d: &b%d [%s]\n" % (n, n, b", ".join([b"*b%d" % (n - 1) if n else b"*a"] * 9))
            for n in range(9)
        ),
        "more than 20000 values",
    ),
    "not UTF-8": ("title: é".encode("latin-1"), "utf-8"),
    "a NUL": (b"title: \0", "special characters"),
    "deep": (b"[" * 20_000, "nested too deeply"),
    "huge": (b"#" * (LARGEST + 1), f"larger than {LARGEST} bytes"),
    "another name": (HEAD.replace("bad", "good").encode(), "'good' is not the name of its folder"),
}


@pytest.mark.parametrize(("content", "says"), FILES.values(), ids=FILES)
async def test_a_broken_file_is_one_named_problem_and_the_others_load(
    tmp_path: Path, content: bytes, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    write_app(tmp_path, "good")
    path = write_app(tmp_path, "bad")
    path.write_bytes(content)
    catalogue = catalogue_of(tmp_path)
    for _ in range(2):
        apps, broken = await catalogue.load()
        assert list(apps) == ["good"]
        assert [(b.name, b.origin) for b in broken] == [("bad", str(path))]
    with pytest.raises(AppNotFound, match=says) as caught:
        await catalogue.app("bad")
    assert str(path) in caught.value.message
    assert len(caught.value.message) < 1000
    assert len(caplog.records) == 1  # it is told of once


async def test_what_is_no_file_is_one_named_problem_or_none(tmp_path: Path) -> None:
    write_app(tmp_path, "good")
    (tmp_path / "folder" / "app.yaml").mkdir(parents=True)
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "app.yaml")
    (tmp_path / "empty").mkdir()
    (tmp_path / "README").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    apps, broken = await catalogue_of(tmp_path, tmp_path / "none").load()
    assert list(apps) == ["good"]
    assert {b.name for b in broken} == {"folder", "pipe", "loop"}


# The catalogue ----------------------------------------------------------------------------------


async def test_later_folders_win(tmp_path: Path) -> None:
    places = [tmp_path / "1", tmp_path / "2"]
    catalogue = catalogue_of(*places)
    for place in places:
        write_app(place, title=place.name)
    write_app(places[0], "other")
    apps, _ = await catalogue.load()
    assert [(a.name, a.title) for a in apps.values()] == [("demo", "2"), ("other", "Demo")]
    write_app(places[1], title=5)  # a broken one too: nothing else is started in its place
    apps, broken = await catalogue.load()
    assert (list(apps), [b.name for b in broken]) == (["other"], ["demo"])
    apps, broken = await catalogue_of(*reversed(places)).load()
    assert (sorted(apps), broken) == (["demo", "other"], [])


async def test_an_edited_app_needs_no_restart(tmp_path: Path) -> None:
    catalogue = catalogue_of(tmp_path)
    assert await catalogue.load() == ({}, [])
    path = write_app(tmp_path, title="One")
    first = await catalogue.app("demo")
    assert await catalogue.app("demo") is first  # parsed once
    write_app(tmp_path, title="Another")
    assert (await catalogue.app("demo")).title == "Another"
    shutil.rmtree(path.parent)
    with pytest.raises(AppNotFound):
        await catalogue.app("demo")


@pytest.mark.parametrize(
    ("name", "says"),
    [("dmeo", "Did you mean 'demo'?"), ("x", "lists them"), ("apps", "lists them"), ("", "lists")],
)
async def test_an_unknown_app_gets_a_hint(tmp_path: Path, name: str, says: str) -> None:
    write_app(tmp_path / "apps")
    write_app(tmp_path / "apps", "bad", title=5)
    with pytest.raises(AppNotFound) as caught:
        await catalogue_of(tmp_path / "apps").app(name)
    assert says in caught.value.message


def test_apps_come_from_jupyters_config_path_the_users_last(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")  # in a virtual environment it is 1
    assert folders()[-1] == tmp_path / "jupyter_sessions" / "apps"


def test_the_built_in_apps_all_load() -> None:
    found = list(read_folder(BUILTIN))
    assert [f for f in found if isinstance(f, Broken)] == []
    apps = {f.name: f for f in found if isinstance(f, App)}
    assert apps.keys() == {p.parent.name for p in BUILTIN.glob("*/app.yaml")}
    assert apps.keys() >= {"code-server", "desktop", "files", "jupyterlab"}
    for app in apps.values():
        assert app.icon is not None
        assert app.description.endswith(".")
        assert not app.has_open_port
        needed = dict.fromkeys(app.options.get("required", ()), "xterm")
        app.check_options(needed, "/tmp")  # the defaults fit the schema


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to run as somebody who may not read")
def test_what_may_not_be_read_is_one_named_problem(short_path: Path) -> None:
    short_path.chmod(0o755)
    for name in ("file", "folder", "good"):
        write_app(short_path, name)
    (short_path / "file" / "app.yaml").chmod(0)
    (short_path / "folder").chmod(0)
    os.seteuid(65534)
    try:
        found = {f.name: f for f in read_folder(short_path)}
    finally:
        os.seteuid(0)
    assert isinstance(found.pop("good"), App)
    assert {f.message for f in found.values() if isinstance(f, Broken)} == {
        "cannot be read: Permission denied"
    }
    assert len(found) == 2


# Options ----------------------------------------------------------------------------------------

PROPERTIES: dict[str, Any] = {
    "folder": {"type": "string", "minLength": 1, "x-default-from": "cwd"},
    "size": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3},
    "ratio": {"type": "number"},
    "mode": {"enum": ["a", "b"], "default": "a"},
    "hidden": {"type": "boolean", "default": False},
    "tags": {"type": "array", "items": STRING},
    "free": {},
}
DEFAULTS = {"folder": "/home", "size": 3, "mode": "a", "hidden": False}


@pytest.mark.parametrize(
    "given_",
    [
        {},
        {"folder": "/x", "size": 9, "mode": "b", "hidden": True},
        {"folder": "$(touch x)"},
        {"folder": "`id`; rm -rf / #\n{socket} {{"},
        {"folder": "Übung 日本 🧪"},
        {"tags": ["a", ""], "ratio": 0.5},
        {"free": None},
        {"free": {"deep": [1, "x"]}},
        {"folder": "x" * 100_000},
    ],
)
def test_options_are_what_is_given_over_the_defaults(given_: dict[str, Any]) -> None:
    assert with_options(**PROPERTIES).check_options(given_, "/home") == {**DEFAULTS, **given_}


@pytest.mark.parametrize(
    ("given_", "fields"),
    [
        ([], ["options"]),
        ({"x": 1}, ["options.x"]),
        ({"folder": 1}, ["options.folder"]),
        ({"folder": None}, ["options.folder"]),
        ({"folder": ""}, ["options.folder"]),
        ({"folder": "a\0b"}, ["options.folder"]),
        ({"folder": "\ud800"}, ["options.folder"]),
        ({"folder": "x" * 100_001}, ["options.folder"]),
        ({"folder": "é" * 50_001}, ["options.folder"]),
        ({"size": "3"}, ["options.size"]),
        ({"size": True}, ["options.size"]),
        ({"size": 0}, ["options.size"]),
        ({"size": 10**400}, ["options.size"]),
        ({"ratio": float("nan")}, ["options.ratio"]),
        ({"ratio": float("inf")}, ["options.ratio"]),
        ({"mode": "c"}, ["options.mode"]),
        ({"hidden": "true"}, ["options.hidden"]),
        ({"tags": "a"}, ["options.tags"]),
        ({"tags": ["a", 1]}, ["options.tags.1"]),
        ({"tags": ["a", "\0"]}, ["options.tags"]),
        ({"free": {"x": float("nan")}}, ["options.free"]),
        ({"size": 0, "mode": "c", "x": 1}, ["options.mode", "options.size", "options.x"]),
    ],
)
def test_each_wrong_option_is_named(given_: Any, fields: list[str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        with_options(**PROPERTIES).check_options(given_, "/home")
    assert sorted(e.field for e in caught.value.errors) == fields


def test_a_sentence_does_not_repeat_a_huge_value() -> None:
    with pytest.raises(InvalidRequest) as caught:
        with_options(**PROPERTIES).check_options({"size": "x" * 10**6}, "/home")
    assert len(caught.value.message) < 1000


def test_a_required_option_without_default_is_asked_for() -> None:
    options = {"properties": {"a": STRING}, "required": ["a"]}
    app = App.from_definition({**APP, "options": options})
    with pytest.raises(InvalidRequest, match=r"options\.a: this is required"):
        app.check_options({}, "/")
    assert app.check_options({"a": "x"}, "/") == {"a": "x"}


def test_options_may_refer_to_each_other_but_nothing_is_fetched() -> None:
    properties = {"a": {"$ref": "#/properties/b"}, "b": {"type": "integer"}}
    with pytest.raises(InvalidRequest, match=r"options\.a: "):
        with_options(**properties).check_options({"a": "x"}, "/")


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*PROPERTIES, "x"]), ANY) | ANY)
def test_any_value_passes_as_text_or_is_refused(given_: Any) -> None:
    try:
        options = with_options(**PROPERTIES).check_options(given_, "/home")
    except InvalidRequest:
        return
    for value in as_fields(options).values():
        for text in value if isinstance(value, list) else [value]:
            assert text is None or (text.encode() and "\0" not in text) or text == ""


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("a b", "a b"),
        (3, "3"),
        (0.5, "0.5"),
        (True, "true"),
        (None, None),
        (["a", 1, False], ["a", "1", "false"]),
        ([], []),
        ({"a": [1]}, '{"a": [1]}'),
    ],
)
def test_options_become_text(value: Any, field: str | list[str] | None) -> None:
    assert as_fields({"x": value}) == {"x": field}


@pytest.mark.parametrize(
    ("open_path", "value", "path"),
    [
        ("", "x", ""),
        ("lab", "x", "lab"),
        ("?folder={a}", "/home/ada", "?folder=/home/ada"),
        ("?folder={a}", "a b&c=d#e?f%20+é", "?folder=a%20b%26c%3Dd%23e%3Ff%2520%2B%C3%A9"),
        ("?x={a}", "{b}", "?x=%7Bb%7D"),
        ("{{{a}}}", "x", "{x}"),
        ("lab?x={a}", None, ""),
        ("?x={a}", ["x"], ""),
    ],
)
def test_the_path_to_open_is_percent_encoded(open_path: str, value: Any, path: str) -> None:
    options: dict[str, Any] = {"properties": {"a": {}}}
    app = App.from_definition({**APP, "options": options, "open_path": open_path})
    assert app.url_path({"a": value}) == path


# What must be there -----------------------------------------------------------------------------

MISSING: list[tuple[str, Any, bool]] = [
    ("program", "sh", True),
    ("program", "no-such-program", False),
    ("program", ["no-such-program", "sh"], True),
    ("program", "/bin/sh", True),
    ("python", "json", True),
    ("python", "no_such_module", False),
    ("python", "no_such_package.module", False),
    ("python", "json.no_such_module", False),
    ("python", "json.decoder.deeper", False),
    ("python", "", False),
    ("file", "~", True),
    ("file", "$HOME", True),
    ("file", "$NO_SUCH_VARIABLE/x", False),
    ("file", "~no-such-user/x", False),
    ("file", "/dev/null/x", False),
    ("file", "a" * 9999, False),
]


@pytest.mark.parametrize(("kind", "name", "there"), MISSING)
async def test_an_app_says_what_to_install(kind: str, name: Any, there: bool) -> None:
    if name == "":
        assert not await LocalHost().has(kind, name)
        return
    needs = [{"program": "sh", "install": "never said"}, {kind: name, "install": "Install it."}]
    app = App.from_definition({**APP, "requires": needs})
    assert await unavailable(app, LocalHost()) == ("" if there else "Install it.")


@pytest.mark.parametrize(
    ("path", "usable"),
    [
        ("/", True),
        ("/dev/null", False),
        ("/no/such", False),
        ("/" + "a" * 9999, False),
        ("\0", False),
    ],
)
async def test_a_directory_is_one_that_can_be_entered(path: str, usable: bool) -> None:
    assert await LocalHost().is_directory(path) is usable


def test_a_definition_survives_the_record() -> None:
    for path in BUILTIN.glob("*/app.yaml"):
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert App.from_definition(data).definition == data
