"""Apps made of other apps, and administrators' changes of options."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions.apps.app import App
from jupyter_sessions.apps.catalogue import Catalogue
from jupyter_sessions.apps.folders import Broken, read_folder
from jupyter_sessions.apps.sources import from_configuration
from jupyter_sessions.errors import InvalidRequest
from jupyter_sessions.session import State

from .conftest import Api
from .core import write_app
from .helpers import write_app as configure
from .live import Commands
from .managers import running, start, stop

OPTIONS: dict[str, Any] = {
    "properties": {
        "program": {"type": "string", "default": "xterm"},
        "hours": {"type": "integer", "minimum": 1, "maximum": 24, "default": 2, "x-unit": "h"},
        "mode": {"enum": ["cpu", "gpu"], "default": "cpu"},
    },
    "if": {"properties": {"mode": {"const": "gpu"}}},
    "then": {"properties": {"cards": {"type": "integer", "maximum": 4, "default": 1}}},
}
DESKTOP: dict[str, Any] = {
    "title": "Desktop",
    "command": ["{app_dir}/run", "{program}", "{socket}"],
    "env": {"A": "1", "B": "2"},
    "ready": {"path": "/ready", "timeout": 5},
    "options": OPTIONS,
    "requires": [{"program": "sh", "install": "Install sh."}],
}


def load(
    *folders: Path, overrides: Mapping[str, Any] | None = None, **configured: Any
) -> dict[str, App | Broken]:
    """What counts, by name; later folders are later sources."""
    sources = [lambda f=folder: read_folder(f) for folder in folders]
    catalogue = Catalogue(
        logging.getLogger("test"), [*sources, lambda: from_configuration(configured)], overrides
    )
    apps, broken = catalogue._load()
    return apps | {b.name: b for b in broken}


def extend(folder: Path, name: str, **fields: Any) -> Path:
    """An app.yaml that says only what is given."""
    path = write_app(folder, name)
    path.write_text(json.dumps({"name": name, "extends": "desktop", **fields}, indent=1))
    return path


def test_all_that_is_not_said_is_inherited(tmp_path: Path) -> None:
    base = write_app(tmp_path / "1", "desktop", **DESKTOP)
    (base.parent / "icon.svg").touch()
    path = extend(
        tmp_path / "2",
        "matlab",
        title="MATLAB desktop",
        env={"B": "3"},
        ready={"timeout": 90},
        requires=[{"program": "matlab", "install": "Install MATLAB."}],
        values={"program": {"fixed": "matlab"}, "hours": 8},
    )
    app = load(tmp_path / "1", tmp_path / "2")["matlab"]
    assert isinstance(app, App)
    assert (app.name, app.title, app.origin) == ("matlab", "MATLAB desktop", str(path))
    assert app.command == tuple(DESKTOP["command"])
    assert app.directory == base.parent  # that of the command
    assert app.icon == base.parent / "icon.svg"
    assert app.env == {"A": "1", "B": "3"}
    assert (app.ready_path, app.ready_timeout) == ("/ready", 90)
    assert [r.install for r in app.requires] == ["Install sh.", "Install MATLAB."]
    assert app.check_options({}, "/") == {"program": "matlab", "hours": 8, "mode": "cpu"}
    assert app.check_options({"hours": 3}, "/")["hours"] == 3
    with pytest.raises(InvalidRequest, match="fixed here: it is matlab"):
        app.check_options({"program": "bash"}, "/")
    with pytest.raises(InvalidRequest, match="from 1 to 24"):
        app.check_options({"hours": 99}, "/")
    desktop = str(base)
    assert app.origins["command"] == app.origins["env.A"] == app.origins["ready.path"] == desktop
    assert app.origins["options.program"] == str(path)
    assert not {"title", "env.B", "ready.timeout"} & app.origins.keys()
    (path.parent / "thumbnail.png").touch()
    assert app.icon == path.parent / "thumbnail.png"
    (path.parent / "icon.svg").touch()
    assert app.icon == path.parent / "icon.svg"


def test_an_app_may_extend_what_it_replaces_and_what_extends(tmp_path: Path) -> None:
    write_app(tmp_path / "1", "desktop", **DESKTOP)
    extend(tmp_path / "2", "desktop", values={"hours": 5})
    extend(tmp_path / "2", "a-tile", values={"mode": "gpu"})
    found = load(
        tmp_path / "1",
        tmp_path / "2",
        last={"extends": "a-tile", "values": {"cards": 3}, "command": ["other", "{cards}"]},
    )
    last = found["last"]
    assert isinstance(last, App)
    values = {"program": "xterm", "hours": 5, "mode": "gpu", "cards": 3}
    assert last.check_options({}, "/") == values
    assert (last.command, last.directory) == (("other", "{cards}"), None)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "nothing there": ({"extends": "nowhere"}, "extends: there is no app 'nowhere'"),
    "itself": ({"extends": "tile"}, "there is no app 'tile' in an earlier source"),
    "a broken one": ({"extends": "bad"}, "extends: bad is broken: SessionManager.apps['bad']"),
    "a circle": ({"extends": "one"}, "round in a circle"),
    "no such option": ({"values": {"colour": 1}}, "values: there is no option colour"),
    "a wrong value": ({"values": {"hours": 99}}, "values.hours: options.hours.default: 99"),
    "a wrong fixed value": ({"values": {"hours": {"fixed": "x"}}}, "values.hours: "),
    "options": ({"options": {}}, "set their `values`"),
    "an unknown key": ({"titel": "x"}, "'titel' was unexpected"),
    "a field that is none": ({"env": {"X": "{nothing}"}}, "there is no field {nothing}"),
}


@pytest.mark.parametrize(("fields", "says"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named_with_its_line(
    tmp_path: Path, fields: dict[str, Any], says: str
) -> None:
    write_app(tmp_path, "desktop", **DESKTOP)
    extend(tmp_path, "one", extends="tile")
    path = extend(tmp_path, "tile", **fields)
    found = load(tmp_path, bad={"command": []})
    problem = found["tile"]
    assert isinstance(problem, Broken)
    assert says in problem.message
    assert problem.where.startswith(f"{path}:")
    assert isinstance(found["one"], Broken)
    assert isinstance(found["desktop"], App)


def test_values_alone_make_no_app(tmp_path: Path) -> None:
    write_app(tmp_path, "demo", values={"x": 1})
    problem = load(tmp_path)["demo"]
    assert isinstance(problem, Broken)
    assert "for an app that `extends` another" in problem.message


# Administrators ---------------------------------------------------------------------------------


def test_an_administrator_bounds_and_fixes_options(tmp_path: Path) -> None:
    write_app(tmp_path, "desktop", **DESKTOP)
    extend(tmp_path, "tile", values={"mode": "gpu"})
    overrides = {
        "desktop": {
            "hours": {"maximum": 8},
            "program": {"const": "xclock"},
            "cards": {"maximum": 2, "x-hidden": True},
        }
    }
    found = load(tmp_path, overrides=overrides)
    for name in ("desktop", "tile"):
        app = found[name]
        assert isinstance(app, App)
        with pytest.raises(InvalidRequest, match=r"options\.hours: give a number from 1 to 8"):
            app.check_options({"hours": 99}, "/")
        with pytest.raises(InvalidRequest, match="program: this is fixed here: it is xclock"):
            app.check_options({"program": "x"}, "/")
        with pytest.raises(InvalidRequest, match="cards"):
            app.check_options({"mode": "gpu", "cards": 3}, "/")
        assert app.check_options({"program": "xclock"}, "/")["program"] == "xclock"
        assert app.origins["options.hours"] == "SessionManager.option_overrides['desktop']"
    extend(tmp_path, "tile", values={"program": "xterm"})
    problem = load(tmp_path, overrides=overrides)["tile"]
    assert isinstance(problem, Broken)
    assert "option_overrides['desktop'] has fixed it" in problem.message


BAD: dict[str, tuple[Any, str]] = {
    "no object": (["hours"], "give an object of options"),
    "no keywords": ({"hours": 8}, "hours: give an object of JSON Schema's keywords"),
    "no such option": ({"hour": {"maximum": 8}}, "there is no option hour"),
    "no schema": ({"hours": {"maximum": "8"}}, "options.properties.hours.maximum"),
    "a default beyond": ({"hours": {"maximum": 1}}, "options.hours.default: 2"),
    "a wrong constant": ({"hours": {"const": 99}}, "options.hours.default: 99"),
    "no data": ({"hours": {"maximum": {1}}}, "is not plain data"),
}


@pytest.mark.parametrize(("changes", "says"), BAD.values(), ids=BAD)
def test_a_wrong_change_keeps_the_app_from_being_started(
    tmp_path: Path, changes: Any, says: str
) -> None:
    write_app(tmp_path, "desktop", **DESKTOP)
    problem = load(tmp_path, overrides={"desktop": changes})["desktop"]
    assert isinstance(problem, Broken)
    assert problem.origin == "SessionManager.option_overrides['desktop']"
    assert says in problem.message


def test_a_change_of_no_app_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    catalogue = Catalogue(logging.getLogger("test"), [], {"nowhere": {"x": {"const": 1}}})
    catalogue._load()
    catalogue._load()
    assert [r.message for r in caplog.records] == [
        "SessionManager.option_overrides['nowhere']: there is no such app"
    ]


async def test_a_session_runs_by_both(root: Path) -> None:
    traits = {
        "apps": {"tile": {"extends": "echo", "values": {"words": {"fixed": ["a", "b c"]}}}},
        "option_overrides": {"echo": {"delay": {"maximum": 1}}},
    }
    async with running(root, **traits) as manager:
        with pytest.raises(InvalidRequest, match=r"options\.delay"):
            await manager.create({"app": "tile", "options": {"delay": 9}})
        session = await start(manager, app="tile")
        assert session.state is State.RUNNING, session.attempt.message
        assert session.options["words"] == ["a", "b c"]
        assert "extends" not in session.app_definition
        await stop(manager, session)


async def test_a_form_shows_what_is_fixed(api: Api, jp_config_dir: Path) -> None:
    path = configure(jp_config_dir, "tile", extends="echo", values={"delay": {"fixed": 1}})
    assert "command" not in path.read_text()
    kept = {"options": {"delay": 3, "exit": 7}}
    assert (await api("PUT", "apps/tile/remembered", kept)).status == 204
    form = (await api("GET", "apps/tile/form")).json
    assert form["values"]["options"]["delay"] == 1
    assert form["values"]["options"]["exit"] == 7
    assert form["app"]["options"]["properties"]["delay"]["x-fixed"] is True


def test_show_says_where_each_value_is_from(cli: Commands, jp_config_dir: Path) -> None:
    path = configure(jp_config_dir, "tile", extends="echo", values={"delay": 1}, env={"X": "1"})
    echo = jp_config_dir / "jupyter_sessions/apps/echo/app.yaml"
    override = '--SessionManager.option_overrides={"tile": {"exit": {"maximum": 9}}}'
    shown = cli("apps", "show", "tile", override).out
    lines = shown.splitlines()
    assert lines[0] == f"# {path}"
    assert lines[lines.index("title: Tile") - 1] == f"# from {path}"
    assert lines[lines.index("command:") - 1] == f"# from {echo}"
    at = lines.index("env:")
    assert lines[at - 2 : at] == [f"# from {path}", f"#   ECHO_BASE_URL: from {echo}"]
    assert f"#   delay: from {path}" in lines
    assert "#   exit: from SessionManager.option_overrides['tile']" in lines
    found = cli.json("apps", "show", "tile", override)
    assert found["origins"]["command"] == str(echo)
    broken = configure(jp_config_dir, "other", extends="nowhere")
    checked = cli("apps", "check", "other", code=2).out
    assert checked.startswith(f"{broken}:1:1: error: extends: there is no app 'nowhere'")


async def test_what_is_written_about_an_app_and_its_thumbnail(
    api: Api, jp_config_dir: Path
) -> None:
    folder = configure(jp_config_dir, "told", command=["x"]).parent
    configure(jp_config_dir, "tile", extends="told")
    assert (await api("GET", "apps/told")).json["readme"] is False
    for url in ("apps/told/readme", "apps/told/icon", "apps/nothing/readme"):
        assert (await api("GET", url)).status == 404
    (folder / "README.md").write_text("# What it is\n<script>x</script>\n")
    (folder / "thumbnail.png").write_bytes(b"PNG")
    for name in ("told", "tile"):
        described = (await api("GET", f"apps/{name}")).json
        assert (described["readme"], described["icon"]) == (True, True)
        answer = await api("GET", f"apps/{name}/readme")
        assert answer.text.startswith("# What it is")
        assert answer.headers["Content-Type"] == "text/markdown; charset=utf-8"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert (await api("GET", f"apps/{name}/icon")).headers["Content-Type"] == "image/png"
    (folder / "icon.svg").write_text("<svg/>")
    assert (await api("GET", "apps/tile/icon")).text == "<svg/>"
