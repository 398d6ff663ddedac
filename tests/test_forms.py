"""The form of an app over REST: layers of values, what is remembered, presets, two servers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from jupyter_sessions.forms import lay
from jupyter_sessions.options import OptionSchema

from .conftest import Api
from .helpers import write_app
from .live import Home, LiveServer
from .test_api import is_a

OPTIONS: dict[str, Any] = {
    "properties": {
        "folder": {"type": "string", "x-default-from": "cwd"},
        "file": {"type": "string", "x-default-from": "file"},
        "mode": {"enum": ["plain", "gpu"], "default": "plain"},
        "size": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3},
        "word": {"type": "string"},
    },
    "required": ["word"],
    "if": {"properties": {"mode": {"const": "gpu"}}, "required": ["mode"]},
    "then": {"properties": {"gpus": {"type": "integer", "maximum": 4, "default": 1}}},
}


@pytest.fixture
def app(jp_config_dir: Path) -> str:
    write_app(jp_config_dir, "demo", command=["x"], options=OPTIONS)
    return "apps/demo"


def write_project(folder: Path, **choices: Any) -> None:
    path = folder / ".jupyter-sessions" / "defaults.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"apps": {"demo": choices}}))


async def form(api: Api, app: str, cwd: str = "", spawner: str = "") -> dict[str, Any]:
    answer = await api("GET", f"{app}/form?cwd={quote(cwd)}&spawner={quote(spawner)}")
    assert answer.status == 200, answer.text
    is_a("Form", answer.json)
    found: dict[str, Any] = answer.json
    return found


async def put(api: Api, url: str, body: Any) -> None:
    answer = await api("PUT", url, body)
    assert (answer.status, answer.body) == (204, b""), answer.text


async def test_without_anything_kept_a_form_has_the_apps_defaults(
    api: Api, app: str, jp_root_dir: Path
) -> None:
    found = await form(api, app)
    assert found["app"] == (await api("GET", app)).json
    assert found["spawners"] == (await api("GET", "spawners")).json
    assert found["values"] == {
        "spawner": "local",
        "cwd": "",
        "timeout": None,
        "options": {"folder": str(jp_root_dir), "mode": "plain", "size": 3},
        "resources": {"local": {"priority": "normal"}},
    }
    names = ["options.folder", "options.mode", "options.size", "resources.priority"]
    assert found["sources"] == dict.fromkeys([*names, "spawner", "timeout"], "app")
    assert (found["project"], found["presets"], found["problem"]) == (None, {}, "")
    assert found["limits"] == {"max_timeout": None}


async def test_layers_are_merged_field_by_field(api: Api, app: str, jp_root_dir: Path) -> None:
    api.manager.max_timeout = 1000
    api.manager.default_timeout = 500
    sub = jp_root_dir / "a" / "sub"
    sub.mkdir(parents=True)
    write_project(jp_root_dir / "a", options={"size": 5, "word": "w"}, timeout=600, spawner="local")
    await put(
        api,
        f"{app}/remembered",
        {"options": {"size": 7, "mode": "gpu", "gpus": 2}, "resources": {"priority": "low"}},
    )
    found = await form(api, app, "a/sub")
    assert found["values"] == {
        "spawner": "local",
        "cwd": "a/sub",
        "timeout": 600,
        "options": {"folder": str(sub), "mode": "gpu", "size": 7, "word": "w", "gpus": 2},
        "resources": {"local": {"priority": "low"}},
    }
    assert found["sources"] == {
        "spawner": "project",
        "timeout": "project",
        "options.folder": "app",
        "options.mode": "remembered",
        "options.size": "remembered",
        "options.word": "project",
        "options.gpus": "remembered",
        "resources.priority": "remembered",
    }
    origin = "a/.jupyter-sessions/defaults.yaml"
    assert found["project"] == {"origin": origin, "problem": ""}
    assert found["limits"] == {"max_timeout": 1000}
    assert found["usual"] == {"spawner": "local", "timeout": 500}
    outside = await form(api, app)
    assert (outside["project"], outside["values"]["timeout"]) == (None, 500)
    await api("DELETE", f"{app}/remembered")
    found = await form(api, app, "a/sub")
    assert (found["values"]["options"]["size"], found["sources"]["options.size"]) == (5, "project")


async def test_what_is_stale_falls_back_to_the_layer_below(
    api: Api, app: str, jp_root_dir: Path
) -> None:
    api.manager.max_timeout = 1000
    write_project(jp_root_dir, options={"size": 5, "gpus": 2, "word": 5}, timeout=None)
    stale = {
        "spawner": "gone",
        "options": {"size": 99, "mode": "old", "left": 1},
        "resources": {"priority": "high", "queue": "x"},
        "timeout": 2000,
    }
    await put(api, f"{app}/remembered", stale)
    found = await form(api, app)
    values = found["values"]
    assert (values["spawner"], values["timeout"]) == ("local", 1000)
    options = {"folder": str(jp_root_dir), "mode": "plain", "size": 5}
    assert values["options"] == options
    assert values["resources"] == {"local": {"priority": "normal"}}
    assert found["sources"]["options.size"] == "project"
    # What is wrong in the project's file is told, for who can mend it.
    for word in ("timeout: a limit", "options.gpus: this does not apply", "options.word: give"):
        assert word in found["project"]["problem"]
    assert "size" not in found["project"]["problem"]


async def test_a_password_is_not_remembered(api: Api, jp_config_dir: Path) -> None:
    options = {"properties": {"key": {"type": "string", "format": "password"}, "n": {"default": 1}}}
    write_app(jp_config_dir, "locked", command=["x"], options=options)
    await put(api, "apps/locked/remembered", {"options": {"key": "hush", "n": 2}})
    kept = api.manager.store.root / "preferences" / "locked.json"
    assert json.loads(kept.read_text())["remembered"] == {"options": {"n": 2}}


async def test_the_folder_is_the_launchs_unless_the_project_has_one(
    api: Api, app: str, jp_root_dir: Path
) -> None:
    await put(api, f"{app}/remembered", {"options": {"folder": "/old", "file": "/f", "size": 2}})
    kept = api.manager.store.root / "preferences" / "demo.json"
    assert json.loads(kept.read_text())["remembered"] == {"options": {"size": 2}}
    assert (await form(api, app))["values"]["options"]["folder"] == str(jp_root_dir)
    write_project(jp_root_dir, options={"folder": "/data"})
    found = await form(api, app)
    assert found["values"]["options"]["folder"] == "/data"
    assert found["sources"]["options.folder"] == "project"


async def test_a_folder_that_is_none_is_refused(api: Api, app: str, jp_root_dir: Path) -> None:
    for cwd in ("no/such", "../no-such", "%00", "%ED%A0%80", "~nobody-of-that-name", "x" * 9999):
        answer = await api("GET", f"{app}/form?cwd={cwd}")
        assert answer.status == 400, cwd
        is_a("Error", answer.json)
        assert answer.fields in (["cwd"], []), cwd
    assert (await api("GET", f"{app}/form?cwd=no/such")).fields == ["cwd"]
    (jp_root_dir / " a ").mkdir()
    for cwd in (" a ", "/"):
        assert (await form(api, app, cwd))["values"]["cwd"] == cwd


async def test_an_unknown_app_has_no_form_and_nothing_is_kept_for_it(api: Api) -> None:
    for method, path in [
        ("GET", "form"),
        ("PUT", "remembered"),
        ("DELETE", "remembered"),
        ("PUT", "presets/x"),
        ("DELETE", "presets/x"),
    ]:
        for name in ("nosuch", "..%2f..%2fetc", "%2e%2e"):
            answer = await api(method, f"apps/{name}/{path}", {} if method == "PUT" else None)
            assert answer.status == 404, (method, path, name)
            is_a("Error", answer.json)
    assert not (api.manager.store.root / "preferences").exists()


@pytest.mark.parametrize("name", ["Big", "a/b", "100 %", "日本 🧪", "..", "a?b#c", "x" * 100])
async def test_a_preset_comes_back_under_its_name(api: Api, app: str, name: str) -> None:
    url = f"{app}/presets/{quote(name, safe='')}"
    choices = {"options": {"size": 4, "folder": "/x"}, "timeout": None, "spawner": "local"}
    await put(api, url, choices)
    assert (await form(api, app))["presets"] == {name: choices}
    await put(api, url, {})
    assert (await form(api, app))["presets"] == {name: {}}
    assert (await api("DELETE", url)).status == 204
    answer = await api("DELETE", url)
    assert (answer.status, answer.json["reason"]) == (404, "not_found")
    assert (await form(api, app))["presets"] == {}


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"options": 1}, ["options"]),
        ({"cwd": "/", "resources": []}, ["cwd", "resources"]),
        ({"timeout": "1h"}, ["timeout"]),
        ([], []),
        (b"{", []),
        (b"", []),
        (b'{"timeout": 1e999}', []),
    ],
)
async def test_what_cannot_be_kept_is_refused_by_its_field(
    api: Api, app: str, body: Any, fields: list[str]
) -> None:
    for url in (f"{app}/remembered", f"{app}/presets/x"):
        answer = await api("PUT", url, body)
        assert (answer.status, answer.fields) == (400, fields)
        is_a("Error", answer.json)
    for name in ("%20", "a%0ab", "x" * 101, "%00"):
        answer = await api("PUT", f"{app}/presets/{name}", {})
        assert (answer.status, answer.fields) == (400, ["preset"])


async def test_a_corrupt_file_is_named_and_does_not_stand_in_the_way(api: Api, app: str) -> None:
    await put(api, f"{app}/remembered", {"options": {"size": 4}})
    path = api.manager.store.root / "preferences" / "demo.json"
    path.write_text("{")
    found = await form(api, app)
    assert str(path) in found["problem"]
    assert found["values"]["options"]["size"] == 3
    answer = await api("PUT", f"{app}/remembered", {})
    assert (answer.status, answer.json["reason"]) == (409, "corrupt_record")
    assert path.read_text() == "{"


async def test_presets_that_are_saved_at_once_are_all_kept(api: Api, app: str) -> None:
    urls = [f"{app}/presets/{n}" for n in range(20)]
    answers = await asyncio.gather(*(api("PUT", url, {"timeout": 5}) for url in urls))
    assert {answer.status for answer in answers} == {204}
    assert len((await form(api, app))["presets"]) == 20


def test_two_servers_show_the_same(home: Home, live_server: LiveServer) -> None:
    import urllib.request

    url = f"{live_server.url}jupyter-sessions/v1/apps/files/presets/Mine"
    headers = {"Authorization": f"token {live_server.token}"}
    request = urllib.request.Request(url, b'{"timeout": 60}', headers, method="PUT")
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 204
    with LiveServer.start(home) as other:
        found = json.loads(other.get("jupyter-sessions/v1/apps/files/form"))
    assert found["presets"] == {"Mine": {"timeout": 60}}


# Layers by themselves ---------------------------------------------------------------------------

PAIR: dict[str, Any] = {
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}, "a.b": {}},
    "not": {"required": ["a", "b"]},
    "maxProperties": 1,
}


@pytest.mark.parametrize(
    ("project", "remembered", "values", "dropped"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1}, [("remembered", "options.b")]),
        ({"b": 1}, {"a": 2}, {"a": 2}, [("project", "options.b")]),
        ({"a": "x"}, {"a": 2}, {"a": 2}, []),
        ({"a": 1}, {"a": "x"}, {"a": 1}, [("remembered", "options.a")]),
        ({"a": "x"}, {"a": "y"}, {}, [("remembered", "options.a"), ("project", "options.a")]),
        ({"a": 1}, {"a.c": 1}, {"a": 1}, [("remembered", "options.a.c")]),
        ({"a": 1}, {"a.b": 1}, {"a": 1}, [("remembered", "options")]),
    ],
)
def test_a_value_that_does_not_fit_makes_room_for_that_below(
    project: dict[str, Any],
    remembered: dict[str, Any],
    values: dict[str, Any],
    dropped: list[tuple[str, str]],
) -> None:
    layers = [("project", project), ("remembered", remembered)]
    laid = lay(OptionSchema(PAIR), "options", layers, {})
    assert laid.values == values
    assert [(layer, error.field) for layer, error in laid.dropped] == dropped
    assert laid.sources == {
        n: "remembered" if v == remembered.get(n) else "project" for n, v in values.items()
    }
