"""Service directories of Parallel Works ACTIVATE, as apps: what is read from their folders."""

from __future__ import annotations

import ast
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions.apps.app import HELPERS, App
from jupyter_sessions.apps.folders import Broken
from jupyter_sessions.apps.helpers.service_runner import filled, references, slug_of
from jupyter_sessions.apps.service_directory import read_service, read_services
from jupyter_sessions.errors import InvalidRequest

SERVICES = Path(__file__).parent / "services"


def service(name: str) -> App:
    found = read_service(SERVICES / name)
    assert isinstance(found, App), found
    return found


def made(tmp_path: Path, workflow: str, name: str = "thing", end: str = "yaml") -> App | Broken:
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    (folder / "start-template-v3.sh").write_text("true")
    (folder / f"workflow.{end}").write_text(workflow)
    found = read_service(folder)
    assert found is not None
    return found


def test_every_folder_with_a_script_is_a_service() -> None:
    found = {app.name: app for app in read_services([SERVICES, SERVICES / "none"])}
    assert sorted(found) == ["broken", "classic", "fileserver", "inputs", "stepwise"]
    broken = found["broken"]
    assert isinstance(broken, Broken)
    assert broken.where.endswith("broken/workflow.yaml:4:1")
    assert all(isinstance(app, App) for name, app in found.items() if name != "broken")


def test_readme_and_thumbnail_are_what_people_see() -> None:
    app = service("fileserver")
    assert app.title == "File Server"
    assert app.description == "Serves a folder of the machine, with Python. Nothing is installed."
    assert app.icon == SERVICES / "fileserver" / "thumbnail.svg"
    assert app.has_open_port
    assert service("stepwise").title == "Stepwise"


def test_an_app_yaml_comes_first(tmp_path: Path) -> None:
    shutil.copytree(SERVICES / "fileserver", tmp_path / "fileserver")
    assert read_service(tmp_path / "fileserver") is not None
    (tmp_path / "fileserver" / "app.yaml").write_text("name: fileserver")
    assert read_service(tmp_path / "fileserver") is None


def test_what_is_edited_is_read_again(tmp_path: Path) -> None:
    shutil.copytree(SERVICES / "fileserver", tmp_path / "fileserver")
    readme = tmp_path / "fileserver" / "README.md"
    for title in ("One", "Another"):
        readme.write_text(f"# {title}\n")
        (app,) = read_services([tmp_path])
        assert isinstance(app, App)
        assert (app.title, app.description) == (title, "")


def test_the_repository_around_it_has_forms_readmes_and_pictures(tmp_path: Path) -> None:
    shutil.copytree(SERVICES / "fileserver", tmp_path / "fileserver-host")
    folder, around = tmp_path / "fileserver-host", tmp_path / "workflow"
    for place in ("yamls/fileserver-host", "readmes/fileserver-host", "thumbnails"):
        (around / place).mkdir(parents=True)
    (folder / "workflow.yaml").rename(around / "yamls" / "fileserver-host" / "general_v4.yaml")
    (folder / "README.md").rename(around / "readmes" / "fileserver-host" / "general.md")
    (folder / "thumbnail.svg").rename(around / "thumbnails" / "fileserver.svg")
    (app,) = read_services([tmp_path])
    assert isinstance(app, App)
    assert (app.name, app.title) == ("fileserver-host", "File Server")
    assert "fs_directory" in app.choices.properties
    assert app.icon == around / "thumbnails" / "fileserver.svg"


# Inputs -----------------------------------------------------------------------------------------


def checked(app: App, **given: Any) -> dict[str, Any]:
    return app.check_options(given, "/")


def test_the_form_becomes_options_and_where_to_run_does_not() -> None:
    app = service("fileserver")
    (option,) = app.choices.properties.values()
    assert option == {
        "type": "string",
        "title": "Folder to serve",
        "description": "Everything below it can be read",
        "default": "${HOME}/pw/jobs",
    }
    assert app.env["fs_dir"] == app.env["fs_directory"] == "{fs_directory}"
    assert app.command[app.command.index("--slug") + 1] == "?from=form"
    assert set(service("classic").choices.properties) == {
        "service_name",
        "service_record",
        "service_secure",
        "service_count",
        "service_theme",
        "service_color",
    }


def test_inputs_of_all_kinds() -> None:
    app = service("inputs")
    found = checked(app)
    assert found["service_cores"] == 2
    assert found["service_install"] is True
    assert found["service_conda_env"] == "base"
    assert found["service_version"] == "4"
    assert found["input_port"] == 7  # {port} is a field of ours
    assert app.env["port"] == "{input_port}"
    assert app.choices.properties["service_name"]["x-hidden"] is True
    assert app.choices.properties["service_password"]["format"] == "password"
    assert not {"service_bucket", "pwrl_host_jobschedulertype"} & set(app.choices.properties)
    several = checked(app, service_kernels=["julia", "r"])
    assert several["service_kernels"] == ["julia", "r"]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"service_cores": 9}, "service_cores"),
        ({"service_version": "5"}, "service_version"),
        ({"service_kernels": ["python"]}, "service_kernels"),
        ({"service_load_env": "x"}, "service_load_env"),  # hidden while it installs
        ({"service_install": False, "service_conda_env": "x"}, "service_conda_env"),
        ({"service_yaml": "x"}, "service_yaml"),
        ({"service_yaml": "x", "service_version": "latest", "service_install": False}, "yaml"),
        ({"service_port": 5}, "service_port"),
    ],
)
def test_what_does_not_fit_the_form_is_refused(given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest, match=field):
        checked(service("inputs"), **given)


def test_what_is_hidden_by_another_choice_applies_only_then() -> None:
    app = service("inputs")
    assert checked(app, service_version="latest", service_yaml="x")["service_yaml"] == "x"
    loaded = checked(app, service_install=False, service_load_env="module load x")
    assert loaded["service_load_env"] == "module load x"
    assert "service_conda_env" not in loaded
    with pytest.raises(InvalidRequest, match="service_load_env: this is required"):
        checked(app, service_install=False)
    classic = service("classic")
    assert "service_color" not in checked(classic)
    assert checked(classic, service_theme="own")["service_color"] == "red"


def test_an_input_that_must_be_given_is_asked_for(tmp_path: Path) -> None:
    inputs = "{a: {type: string}, b: {type: string, optional: true}, c: {type: number}}"
    app = made(tmp_path, f"'on': {{execute: {{inputs: {inputs}}}}}")
    assert isinstance(app, App)
    for given in ({}, {"a": "", "c": 1}, {"a": "x"}):
        with pytest.raises(InvalidRequest):
            checked(app, **given)
    assert checked(app, a="x", c=1) == {"a": "x", "c": 1}


def test_what_is_hidden_may_hide_others(tmp_path: Path) -> None:
    inputs = """
      a: {type: boolean, default: true}
      b: {type: dropdown, default: x, options: [x, y], hidden: "${{ inputs.a == false }}"}
      c: {type: string, default: d, hidden: "${{ 'y' !== inputs.b }}"}
    """
    app = made(tmp_path, f"on:\n  execute:\n    inputs:{inputs}")
    assert isinstance(app, App)
    assert checked(app) == {"a": True, "b": "x"}
    assert checked(app, b="y") == {"a": True, "b": "y", "c": "d"}
    assert checked(app, a=False) == {"a": False}


def test_a_platforms_expression_is_no_value_and_no_rule(tmp_path: Path) -> None:
    inputs = """
      a: {type: string, optional: true, default: "${{ inputs.cluster.name }}"}
      b: {type: boolean, hidden: "${{ inputs.resource.schedulerType == '' }}", default: true}
      c: {type: dropdown, optional: true, options: "${{ something }}"}
    """
    app = made(tmp_path, f"on:\n  execute:\n    inputs:{inputs}")
    assert isinstance(app, App)
    assert checked(app) == {"b": True}


def test_a_session_with_tls_is_one_with_https(tmp_path: Path) -> None:
    app = made(tmp_path, "sessions: {session: {useTLS: true}}")
    assert isinstance(app, App)
    assert "--https" in app.command
    assert "--https" not in service("fileserver").command


@pytest.mark.parametrize(
    ("workflow", "end", "says"),
    [
        ("[]", "yaml", "is no workflow"),
        ("on: {execute: {inputs: 5}}", "yaml", "inputs: is not a mapping"),
        ("on: {execute: {inputs: {a: 5}}}", "yaml", "inputs.a: is not an input"),
        ("on: {execute: {inputs: {g: {type: group, items: [x]}}}}", "yaml", "inputs.g: "),
        ("<tool>", "xml", "is no XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><tool>&b;</tool>', "xml", "has a DOCTYPE"),
        (
            "<tool><inputs><param name='a' type='integer' value='x'/></inputs></tool>",
            "xml",
            "a: 'x' is no number",
        ),
        ("x" * 300_000, "yaml", "is larger than"),
        ("x" * 300_000, "xml", "is larger than"),
    ],
)
def test_a_wrong_workflow_is_named(tmp_path: Path, workflow: str, end: str, says: str) -> None:
    found = made(tmp_path, workflow, end=end)
    assert isinstance(found, Broken)
    assert found.message.startswith(says)
    assert found.origin == str(tmp_path / "thing" / f"workflow.{end}")


def test_names_are_made_to_fit(tmp_path: Path) -> None:
    found = made(tmp_path, "{}", name="My_Service v2")
    assert isinstance(found, App)
    assert found.name == "my-service-v2"


# What runs where the session runs ----------------------------------------------------------------


@pytest.mark.parametrize("script", sorted(HELPERS.glob("*.py")), ids=lambda path: path.name)
def test_helpers_run_on_an_old_machine_by_themselves(script: Path) -> None:
    tree = ast.parse(script.read_text(), feature_version=(3, 6))
    imported = {
        alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names
    }
    imported |= {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert imported <= set(sys.stdlib_module_names)


# What scripts get -------------------------------------------------------------------------------


def test_a_slug_is_cut_where_the_page_would_run_a_script() -> None:
    assert slug_of('lab"') == "lab"
    assert slug_of('tree?dt="+(new Date()).getTime()') == "tree"
    novnc = 'vnc.html?autoconnect=true\\&path=websockify\\&host="+window.location.host+"/me/1"'
    assert slug_of(novnc) == "vnc.html?autoconnect=true&path=websockify"
    assert slug_of("/vnc.html?a=b#c") == "vnc.html?a=b#c"
    assert slug_of('"') == ""


def test_only_a_few_names_are_filled_in() -> None:
    home = str(Path.home())
    assert filled("${HOME}/a:$HOME/b:__WORKDIR__", "/job") == f"{home}/a:{home}/b:{home}"
    for text in ("$(touch x)", "`x`", "${HOMES}", "$HOMES", "${PATH}", "~", "$$", "__x__"):
        assert filled(text, "/job") == text


def test_placeholders_become_references_never_values() -> None:
    assert references('p=__port__ "__a_b__" __name__', ["port", "a_b", "a"]) == (
        'p=${port} "${a_b}" __name__'
    )
