"""A project's own apps: listed, started once they are trusted, and run as they were trusted."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from jupyter_sessions.errors import AppNotFound, Conflict, Untrusted
from jupyter_sessions.project_apps import MOST_APPS, ProjectApp, ProjectApps
from jupyter_sessions.session import State
from jupyter_sessions.trust import KEPT, Trust

from .conftest import Api
from .helpers import write_app
from .live import Commands
from .test_api import is_a

ECHO = Path(__file__).parent / "apps" / "echo"


def write_project_app(folder: Path, name: str = "dash", **fields: Any) -> Path:
    """An app of the project `folder` that is like the tests' echo."""
    place = folder / ".jupyter-sessions" / "apps" / name
    shutil.copytree(ECHO, place, ignore=shutil.ignore_patterns("__pycache__"))
    definition = yaml.safe_load((place / "app.yaml").read_text())
    definition |= {"name": name, "title": name.title(), **fields}
    (place / "app.yaml").write_text(yaml.safe_dump(definition, sort_keys=False))
    return place


@pytest.fixture
def projects(tmp_path: Path) -> ProjectApps:
    (tmp_path / "root" / "a" / "b").mkdir(parents=True)
    return ProjectApps(str(tmp_path / "root"), Trust(tmp_path / "data"))


def one(projects: ProjectApps, cwd: Path, name: str = "project:dash") -> ProjectApp:
    return projects.find(name, str(cwd))


# Which apps there are ---------------------------------------------------------------------------


def test_they_are_those_of_the_folder_and_above_it(projects: ProjectApps, tmp_path: Path) -> None:
    root = tmp_path / "root"
    write_project_app(tmp_path, "above-the-root")
    write_project_app(root, "dash", title="Far")
    write_project_app(root / "a", "dash", title="Near")
    write_project_app(root, "other")
    names = {a.name: a for a in projects.all(str(root / "a" / "b"))}
    assert list(names) == ["project:dash", "project:other"]
    found = names["project:dash"]
    assert isinstance(found, ProjectApp)
    assert found.outline["title"] == "Near"
    assert one(projects, root / "a" / "b").project == root / "a"
    assert one(projects, root).outline["title"] == "Far"
    assert projects.all(str(tmp_path)) == projects.all("/") == []
    for name, cwd in (("project:above-the-root", root), ("project:dash", tmp_path)):
        with pytest.raises(AppNotFound, match="nor above it"):
            projects.find(name, str(cwd))
    for name in ("project:../dash", "project:", "dash/..", "project:DASH"):
        with pytest.raises(AppNotFound):
            projects.find(name, str(root))


def test_a_broken_one_is_one_named_problem(projects: ProjectApps, tmp_path: Path) -> None:
    root = tmp_path / "root"
    write_project_app(root, "good")
    bad = write_project_app(root, "bad")
    (bad / "app.yaml").write_text("name: bad\ntitle: Bad\ncommand: []\n")
    link = write_project_app(root, "link")
    (link / "keys").symlink_to("/etc/passwd")
    (write_project_app(root, "none") / "app.yaml").unlink()
    wrong = write_project_app(root, "wrong-name")
    (wrong / "app.yaml").write_text("{name: other, title: X, command: [x]}")
    found = {a.name: a for a in projects.all(str(root))}
    assert isinstance(found["project:good"], ProjectApp)
    problems = {n: (b.where, b.message) for n, b in found.items() if not isinstance(b, ProjectApp)}
    assert problems["project:bad"][0] == f"{bad}/app.yaml:3:1"
    assert "keys is a link to /etc/passwd" in problems["project:link"][1]
    assert "no such file" in problems["project:none"][1]
    assert "not the name of its folder" in problems["project:wrong-name"][1]
    with pytest.raises(AppNotFound, match=r"app\.yaml:3:1"):
        projects.find("project:bad", str(root))


def test_a_folder_with_too_many_of_them_has_some(projects: ProjectApps, tmp_path: Path) -> None:
    for n in range(MOST_APPS + 5):
        place = tmp_path / "root" / ".jupyter-sessions" / "apps" / f"a{n:02}"
        place.mkdir(parents=True)
        (place / "app.yaml").write_text(f"{{name: a{n:02}, title: A, command: [x]}}")
    assert len(projects.all(str(tmp_path / "root"))) == MOST_APPS


# Trust --------------------------------------------------------------------------------------------


def test_trust_is_for_one_content_in_one_project(projects: ProjectApps, tmp_path: Path) -> None:
    root = tmp_path / "root"
    place = write_project_app(root / "a")
    write_project_app(root)
    found = one(projects, root / "a")
    assert found.state == "new"
    with pytest.raises(Untrusted, match="runs commands as you"):
        found.app()
    with pytest.raises(Conflict) as refused:
        projects.trust("project:dash", str(root / "a"), "0" * 64)
    assert refused.value.reason == "changed"
    trusted = projects.trust("project:dash", str(root / "a"), found.snapshot.digest)
    assert trusted.state == one(projects, root / "a" / "b").state == "trusted"
    assert trusted.app().name == "project:dash"
    # The same bytes elsewhere: what they start may be another program.
    assert one(projects, root).snapshot.digest == found.snapshot.digest
    assert one(projects, root).state == "new"
    before = (place / "echo.py").read_text()
    (place / "echo.py").write_text(before + "# more\n")
    assert one(projects, root / "a").state == "changed"
    with pytest.raises(Untrusted, match="has changed since you trusted it"):
        one(projects, root / "a").app()
    (place / "echo.py").write_text(before)
    assert one(projects, root / "a").state == "trusted"
    projects.revoke("project:dash", str(root / "a"))
    assert one(projects, root / "a").state == "new"


def test_what_is_kept_is_the_users_alone(tmp_path: Path) -> None:
    trust, project = Trust(tmp_path / "data"), tmp_path
    for n in range(KEPT + 3):
        trust.trust(project, "project:dash", f"{n}")
    assert trust.state(project, "project:dash", "2") == "changed"
    assert trust.state(project, "project:dash", "3") == "trusted"
    [file] = (tmp_path / "data" / "trusted").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    for content in (b"", b"[]", b"\xff", b'{"digests": 3}', b"[" * 50_000, b'{"digests": [{}]}'):
        file.write_bytes(content)
        assert trust.state(project, "project:dash", "3") == "new"
    trust.trust(project, "project:dash", "3")
    assert trust.state(project, "project:dash", "3") == "trusted"


# Over REST ------------------------------------------------------------------------------------


async def test_it_is_shown_trusted_and_started(api: Api, jp_root_dir: Path) -> None:
    place = write_project_app(jp_root_dir / "work")
    (place / "icon.svg").write_text("<svg/>")
    (place / "data.bin").write_bytes(b"\xff\0")
    (place / "README.md").write_text("# Dash\n")
    cwd = "?cwd=work"
    assert not [a for a in (await api("GET", "apps")).json if a["project"]]
    [listed] = [a for a in (await api("GET", f"apps{cwd}")).json if a["project"]]
    is_a("App", listed)
    assert listed["name"] == "project:dash"
    assert (listed["category"], listed["options"]) == ("Project", {})
    assert listed["project"]["state"] == "new"
    assert (await api("GET", f"apps/project:dash{cwd}")).json == listed
    assert (await api("GET", f"apps/project:dash/icon{cwd}")).text == "<svg/>"
    assert (await api("GET", f"apps/project:dash/readme{cwd}")).text == "# Dash\n"
    request = {"app": "project:dash", "cwd": "work", "options": {"words": ["x"]}}
    for answer in (
        await api("POST", "sessions", request),
        await api("GET", f"apps/project:dash/form{cwd}"),
    ):
        assert (answer.status, answer.json["reason"]) == (409, "untrusted"), answer.text
    seen = (await api("GET", f"apps/project:dash/trust{cwd}")).json
    is_a("Trust", seen)
    assert seen["command"][0] == "{python}"
    files = {f["path"]: f["text"] for f in seen["files"]}
    assert files["echo.py"] == (place / "echo.py").read_text()
    assert files["data.bin"] is None
    wrong = await api("POST", f"apps/project:dash/trust{cwd}", {"digest": "1"})
    assert (wrong.status, wrong.json["reason"]) == (409, "changed")
    assert (await api("POST", f"apps/project:dash/trust{cwd}", {})).fields == ["digest"]
    trust = {"digest": seen["digest"]}
    assert (await api("POST", f"apps/project:dash/trust{cwd}", trust)).json["state"] == "trusted"
    form = await api("GET", f"apps/project:dash/form{cwd}")
    is_a("Form", form.json)
    assert "words" in form.json["app"]["options"]["properties"]
    session = await api.start("project:dash", cwd="work", options={"words": ["x"]})
    # What runs is a copy, and nobody needs the project for it any more.
    directory = api.manager.store.app_directory(session.id)
    assert session.app_directory == str(directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    (place / "echo.py").write_text("raise SystemExit(3)\n")
    refused = await api("POST", "sessions", request)
    assert refused.json["reason"] == "untrusted"
    await api("POST", f"sessions/{session.id}/restart")
    again = await api.manager.wait_for(
        session.id, lambda s: s.attempt.number == 2 and s.state in (State.RUNNING, State.FAILED)
    )
    assert again.state is State.RUNNING, again.attempt.message
    assert (await api("DELETE", f"apps/project:dash/trust{cwd}")).status == 204
    [listed] = [a for a in (await api("GET", f"apps{cwd}")).json if a["project"]]
    assert listed["project"]["state"] == "new"


async def test_it_never_stands_in_for_another(
    api: Api, jp_root_dir: Path, jp_config_dir: Path
) -> None:
    write_app(jp_config_dir, "dash", command=["x"], title="The machine's")
    place = write_project_app(jp_root_dir)
    digest = (await api("GET", "apps/project:dash/trust")).json["digest"]
    await api("POST", "apps/project:dash/trust", {"digest": digest})
    apps = {a["name"]: a for a in (await api("GET", "apps?cwd=")).json}
    assert apps["dash"]["title"] == "The machine's"
    assert apps["project:dash"]["title"] == "Dash"
    (place / "app.yaml").write_text("name: project:dash\ntitle: X\ncommand: [x]\n")
    apps = {a["name"]: a for a in (await api("GET", "apps?cwd=")).json}
    assert apps["project:dash"]["unavailable_reason"].startswith(f"{place}/app.yaml:1:1: name")
    for name in ("dash", "files"):
        for method in ("GET", "DELETE"):
            assert (await api(method, f"apps/{name}/trust")).status == 404


async def test_presets_are_each_projects_own(api: Api, jp_root_dir: Path) -> None:
    for folder in ("one", "two"):
        write_project_app(jp_root_dir / folder)
        url = f"apps/project:dash/trust?cwd={folder}"
        await api("POST", url, {"digest": (await api("GET", url)).json["digest"]})
    kept = {"options": {"delay": 1}}
    assert (await api("PUT", "apps/project:dash/presets/p?cwd=one", kept)).status == 204
    assert (await api("PUT", "apps/project:dash/remembered?cwd=one", kept)).status == 204
    one, two = [
        (await api("GET", f"apps/project:dash/form?cwd={folder}")).json for folder in ("one", "two")
    ]
    assert (one["presets"], one["values"]["options"]["delay"]) == ({"p": kept}, 1)
    assert (two["presets"], two["values"]["options"]["delay"]) == ({}, 0)


async def test_it_may_extend_an_app_of_this_machine(
    api: Api, jp_root_dir: Path, jp_config_dir: Path
) -> None:
    place = jp_root_dir / ".jupyter-sessions" / "apps" / "tile"
    place.mkdir(parents=True)
    (place / "app.yaml").write_text(
        "{name: tile, extends: echo, title: Tile, values: {words: {fixed: [a]}}}"
    )
    seen = (await api("GET", "apps/project:tile/trust")).json
    assert (seen["extends"], seen["command"]) == ("echo", [])
    refused = await api("POST", "sessions", {"app": "project:tile"})
    assert refused.json["reason"] == "untrusted"
    await api("POST", "apps/project:tile/trust", {"digest": seen["digest"]})
    session = await api.start("project:tile")
    assert session.state is State.RUNNING, session.attempt.message
    assert session.options["words"] == ["a"]
    # {app_dir} is where the command is from.
    assert session.app_directory == str(jp_config_dir / "jupyter_sessions/apps/echo")
    shutil.rmtree(jp_config_dir / "jupyter_sessions/apps/echo")
    assert (await api("POST", "sessions", {"app": "project:tile"})).status == 404
    [listed] = [a for a in (await api("GET", "apps?cwd=")).json if a["project"]]
    assert "no app 'echo'" in listed["unavailable_reason"]


async def test_schemas_of_strangers_are_not_used(api: Api, jp_root_dir: Path) -> None:
    # A pattern that takes longer than anybody waits, and a default to try it on.
    slow = {"type": "string", "pattern": "^(a+)+$", "default": "a" * 60 + "!"}
    write_project_app(jp_root_dir, options={"properties": {"x": slow}}, command=["x"], env={})
    [listed] = [a for a in (await api("GET", "apps?cwd=")).json if a["project"]]
    assert listed["available"]
    assert (await api("GET", "apps/project:dash/trust")).status == 200


@pytest.mark.parametrize("cwd", ["nowhere", "../..", "/", "\0", "a" * 5000])
async def test_a_strange_folder_has_no_apps(api: Api, jp_root_dir: Path, cwd: str) -> None:
    write_project_app(jp_root_dir / "work")
    answer = await api("GET", f"apps?cwd={quote(cwd)}")
    assert answer.status == 200
    assert not [a for a in answer.json if a["project"]]
    started = await api("POST", "sessions", {"app": "project:dash", "cwd": cwd})
    assert started.status in (400, 404), started.text


# From the command line ------------------------------------------------------------------------


def test_the_command_line_shows_what_it_trusts(cli: Commands, tmp_path: Path) -> None:
    place = write_project_app(tmp_path / "work", title="Da\x1b[2Jsh")
    folder = str(tmp_path / "work")
    row = cli("apps", "--cwd", folder).out
    assert "not trusted: jupyter sessions apps trust project:dash" in row
    assert "project:dash" in cli("apps", "list", "-C", folder).out
    refused = cli("start", "project:dash", "-C", folder, code=4)
    assert "trust it first" in refused.err
    unanswered = cli("apps", "trust", "project:dash", "-C", folder, code=4)
    assert (place / "hook.py").read_text().splitlines()[0] in unanswered.err
    assert "\x1b" not in unanswered.err
    assert "is not trusted" in unanswered.err
    cli("apps", "trust", "project:dash", "-C", folder, "--yes")
    started = json.loads(cli("start", "project:dash", "-C", folder, "--wait", "--json").out)
    assert (started["app"], started["state"]) == ("project:dash", "running")
    cli("stop", started["id"])
    cli("apps", "trust", "project:dash", "-C", folder, "--revoke")
    cli("start", "project:dash", "-C", folder, code=4)
    assert os.listdir(place)
