"""Where apps come from: packages, folders, configuration; what replaces what, and what is said."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from jupyter_sessions.apps.app import App
from jupyter_sessions.apps.catalogue import Catalogue
from jupyter_sessions.apps.folders import Broken, Definition
from jupyter_sessions.apps.sources import GROUP, all_sources, from_configuration, from_packages
from jupyter_sessions.manager import SessionManager

from .core import APP, write_app
from .proxied.packages import ICON, install

LOG = logging.getLogger(__name__)
CODE = """
from pathlib import Path
from jupyter_sessions.apps.app import App

HERE = Path(__file__).parent
DEMO = {"name": "from-dict", "title": "Dict", "command": ["x", "{socket}"]}
APP = App.from_definition({**DEMO, "name": "from-app"}, directory=HERE / "apps" / "one")
SEVERAL = [{**DEMO, "name": "first"}, App.from_definition({**DEMO, "name": "second"})]
FOLDER = HERE / "apps"
ONE = str(HERE / "apps" / "one")
calls = []

def function():
    calls.append(1)
    yield {**DEMO, "name": "yielded"}
    yield FOLDER / "two"

def fails():
    raise OSError("no licence here")

def leaves():
    raise SystemExit(3)

WRONG = {**DEMO, "name": "wrong", "title": 5}
NAMELESS = {"title": "No name"}
NUMBER = 5
RELATIVE = "apps"
EMPTY = HERE / "nothing"
UNPLAIN = {**DEMO, "name": "unplain", "env": {"A": HERE}}
BARE = App(name="bare", title="Bare", command=("x",))
"""
ENTRIES = {
    name: f"app_package:{name.upper() if name.upper() in CODE else name}"
    for name in (
        "demo", "app", "several", "folder", "one", "function", "fails", "leaves", "wrong",
        "nameless", "number", "relative", "empty", "unplain", "bare",
    )
}  # fmt: skip
ENTRIES["unloadable"] = "no_such_module:x"
ENTRIES["absent"] = "app_package:not_there"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("site")
    install(site, "app_package", GROUP, ENTRIES, CODE)
    for name in ("one", "two"):
        write_app(site / "apps", name, title=f"Folder {name}")
    (site / "apps" / "one" / "icon.svg").write_text(ICON)
    return site


@pytest.fixture
def found(package: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Definition]:
    monkeypatch.syspath_prepend(package)
    return {f.name: f for f in from_packages()}


# Packages ---------------------------------------------------------------------------------------


def test_an_entry_point_may_give_apps_in_every_form(found: dict[str, Definition]) -> None:
    titles = {name: a.title for name, a in found.items() if isinstance(a, App)}
    assert titles == {
        "from-dict": "Dict",
        "from-app": "Dict",
        "first": "Dict",
        "second": "Dict",
        "one": "Folder one",
        "two": "Folder two",
        "yielded": "Dict",
    }


def test_where_an_app_is_from_is_said(found: dict[str, Definition], package: Path) -> None:
    assert found["from-dict"].origin == f"app_package 1.0: {GROUP}: demo = app_package:DEMO"
    assert found["two"].origin == str(package / "apps" / "two" / "app.yaml")


def test_an_app_object_keeps_its_folder(found: dict[str, Definition], package: Path) -> None:
    app = found["from-app"]
    assert isinstance(app, App)
    assert app.icon == package / "apps" / "one" / "icon.svg"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("fails", "OSError: no licence here"),
        ("leaves", "SystemExit: 3"),
        ("wrong", "title: 5 is not of type"),
        ("nameless", "'name' is a required property"),
        ("number", "5 is no app"),
        ("relative", "not an absolute path"),
        ("empty", "there is no app.yaml"),
        ("unplain", "is not plain data"),
        ("bare", "is a required property"),
        ("unloadable", "No module named 'no_such_module'"),
        ("absent", "has no attribute"),
    ],
)
def test_a_wrong_entry_point_is_one_named_problem(
    found: dict[str, Definition], name: str, says: str
) -> None:
    problem = found[name]
    assert isinstance(problem, Broken)
    assert says in problem.message
    assert GROUP in problem.origin


def test_a_function_is_called_once_for_many_looks(found: dict[str, Definition]) -> None:
    import app_package  # type: ignore[import-not-found]

    for _ in range(3):
        assert "yielded" in {f.name for f in from_packages()}
    assert app_package.calls == [1]


def test_an_edited_folder_of_a_package_needs_no_restart(
    found: dict[str, Definition], package: Path
) -> None:
    write_app(package / "apps", "two", title="Changed")
    titles = {a.title for a in from_packages() if isinstance(a, App)}
    assert "Changed" in titles
    write_app(package / "apps", "two", title="Folder two")


async def test_what_a_package_lacks_is_no_alarm(
    found: dict[str, Definition], caplog: pytest.LogCaptureFixture
) -> None:
    await Catalogue(LOG, [from_packages]).load()
    told = caplog.text
    assert "title: 5" in told  # its author's mistake
    assert "no licence" not in told  # a machine without it


# The configuration ------------------------------------------------------------------------------


def configured(apps: dict[str, Any]) -> dict[str, Definition]:
    return {f.name: f for f in from_configuration(apps)}


def test_a_definition_in_the_configuration_needs_no_name_and_no_title() -> None:
    app = configured({"mine": {"command": ["x"]}})["mine"]
    assert isinstance(app, App)
    assert (app.name, app.title, app.origin) == ("mine", "mine", "SessionManager.apps['mine']")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (["x"], "is not a definition"),
        ({"command": "x"}, "command: "),
        ({"name": "other", "command": ["x"]}, "is not the name it is under"),
        ({"command": ["x"], "env": {"A": object()}}, "is not plain data"),
    ],
)
def test_a_wrong_definition_there_is_one_named_problem(value: Any, says: str) -> None:
    found = configured({"bad": value, "good": {"command": ["x"]}})
    assert isinstance(found["good"], App)
    problem = found["bad"]
    assert isinstance(problem, Broken)
    assert says in problem.message
    assert problem.origin == "SessionManager.apps['bad']"


def test_the_trait_reaches_the_catalogue(root: Path) -> None:
    config = Config()
    config.SessionManager.apps = {"mine": {"command": ["x"]}}
    manager = SessionManager(config=config, data_dir=str(root))
    read: Callable[[], Any] = manager.offers.catalogue._load
    apps, _ = read()
    assert apps["mine"].command == ("x",)


# What replaces what -----------------------------------------------------------------------------


async def test_a_later_source_replaces_an_earlier_one_and_both_are_known(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(package)
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    traits: dict[str, Any] = {}
    sources = all_sources(traits, {"first": {"command": ["server"]}, "files": {"command": ["f"]}})
    catalogue = Catalogue(LOG, sources)

    async def origins(name: str) -> list[str]:
        return [d.origin for d in await catalogue.definitions(name)]

    packaged = f"app_package 1.0: {GROUP}: several = app_package:SEVERAL"
    proxied = "ServerProxy.servers['first']"
    assert await origins("first") == [packaged, proxied]
    path = write_app(tmp_path / "jupyter_sessions" / "apps", "first")
    assert await origins("first") == [str(path), packaged, proxied]
    traits["first"] = dict(APP, name="first", title="Trait")
    assert (await origins("first"))[0] == "SessionManager.apps['first']"
    assert (await catalogue.app("first")).title == "Trait"
    traits["first"] = {"title": 5}  # what is wrong is said, and nothing else is started for it
    apps, broken = await catalogue.load()
    assert "first" not in apps
    assert "first" in {b.name for b in broken}
    assert len(await origins("files")) == 1  # a server cannot hide an app of ours
    assert await origins("none") == []
