"""`apps/checking.py`: mistakes with their lines, and what is doubtful."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from jupyter_sessions.apps.catalogue import Catalogue
from jupyter_sessions.apps.checking import check_file
from jupyter_sessions.apps.folders import BUILTIN, read_folder
from jupyter_sessions.apps.marks import Marks

GOOD = """\
name: demo
title: Demo
command: [demo, "{socket}"]
ready:
  path: /
requires:
  - program: demo
    install: Install demo.
"""


def check(tmp_path: Path, text: str, name: str = "demo") -> list[tuple[str, int, int, str]]:
    path = tmp_path / name / "app.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    (path.parent / "icon.svg").write_text("<svg/>")
    return [(f.level, f.line, f.column, f.message) for f in check_file(path)]


def test_what_is_well_has_no_findings(tmp_path: Path) -> None:
    assert check(tmp_path, GOOD) == []


ERRORS: list[tuple[str, str, int, int, str]] = [
    ("title: Demo", "title: 5", 2, 1, "title: "),
    ("title: Demo", "title: Demo\ncomand: x", 3, 1, "app.yaml: "),
    ("  path: /", "  path: lab", 5, 3, "ready.path: "),
    ("  path: /", "  pth: /", 5, 3, "ready: "),
    ('"{socket}"]', "8080]", 3, 17, "command.1: "),
    ('"{socket}"]', '"{sokct}"]', 3, 1, "command: there is no field"),
    ("program: demo", "program: []", 7, 5, "requires.0.program: "),
    ("name: demo", "name: other", 1, 1, "name: 'other' is not the name of its folder"),
    ("ready:", "env: {A: 1}\nready:", 4, 7, "env.A: "),
    ("ready:", "env: {A-B: x}\nready:", 4, 7, "env: "),
    (
        "ready:",
        "options:\n  properties:\n    a: {type: text}\nready:",
        6,
        9,
        "options.properties.a",
    ),
    (
        "ready:",
        "options:\n  properties:\n    a: {type: string, default: 1}\nready:",
        6,
        23,
        "options.a.default: ",
    ),
    ("ready:", "options:\n  properties:\n    port: {}\nready:", 6, 5, "options: port is a name"),
    ("ready:", "env: {on: x}\nready:", 4, 1, "env: put quotes around the key True"),
    ("title: Demo", "title: 2026-01-02", 2, 1, "title: "),
    ("title: Demo", "title: [", 4, 1, "while parsing"),
    ("title: Demo", "\ttitle: Demo", 2, 1, "while scanning"),
    ("ready:", "port: 80\nsocket: /x\nready:", 5, 1, "socket: "),
]


@pytest.mark.parametrize(("old", "new", "line", "column", "says"), ERRORS)
async def test_an_error_has_its_line_and_column(
    tmp_path: Path, old: str, new: str, line: int, column: int, says: str
) -> None:
    (found,) = [f for f in check(tmp_path, GOOD.replace(old, new, 1)) if f[0] == "error"]
    assert found[:3] == ("error", line, column)
    assert found[3].startswith(says)
    # The catalogue says the same place.
    _, broken = await Catalogue(logging.getLogger(), [partial(read_folder, tmp_path)]).load()
    assert [b.where for b in broken] == [f"{tmp_path}/demo/app.yaml:{line}:{column}"]


def test_all_errors_of_the_schema_are_said_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("title: Demo", "title: 5\nprefix: no").replace("path: /", "path: 5")
    assert [f[1] for f in check(tmp_path, text)] == [2, 3, 6]


DOUBTS: list[tuple[dict[str, Any], str]] = [
    ({"command": ["demo", "{port}"]}, "command: other users"),
    ({"port": 80}, "port: other users"),
    ({"command": ["demo"]}, "nothing tells it where to listen"),
    ({"ready": {}}, "ready: without a path"),
    ({"prefix": "keep"}, "{base_url} does not tell it"),
    ({"command": ["demo {socket}"]}, "no shell splits it"),
    ({"requires": []}, "what to install where demo is missing"),
    (
        {
            "command": ["/bin/sh", "-c", "demo {socket} {word}"],
            "options": {"properties": {"word": {"type": "string"}}},
        },
        "{word} becomes part of a script",
    ),
]


@pytest.mark.parametrize(("change", "says"), DOUBTS)
def test_what_is_doubtful_is_a_warning(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    found = check(tmp_path, yaml.safe_dump({**yaml.safe_load(GOOD), **change}))
    assert {f[0] for f in found} == {"warning"}
    assert [f for f in found if says in f[3]]


def test_a_key_that_stands_twice_is_doubtful(tmp_path: Path) -> None:
    found = check(tmp_path, GOOD.replace("title: Demo", "title: Demo\ntitle: Again"))
    assert [(f[0], f[1], f[2]) for f in found] == [("warning", 3, 1)]


def test_a_missing_icon_is_doubtful_and_a_missing_file_an_error(tmp_path: Path) -> None:
    check(tmp_path, GOOD)
    (tmp_path / "demo" / "icon.svg").unlink()
    (found,) = check_file(tmp_path / "demo" / "app.yaml")
    assert (found.level, found.line) == ("warning", 0)
    (found,) = check_file(tmp_path / "none" / "app.yaml")
    assert (found.level, found.message[:14]) == ("error", "cannot be read")


def test_our_own_apps_have_no_findings() -> None:
    for path in BUILTIN.glob("*/app.yaml"):
        assert check_file(path) == [], path


def test_marks_of_what_is_not_there_are_those_of_what_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a:\n  - b: 1\n  - &loop [*loop]\n")
    marks = Marks.of(path)
    assert marks.at(["a", 0, "b"]) == (2, 5)
    assert marks.at(["a", 0, "c"]) == (2, 5)
    assert marks.at(["a", 7]) == (1, 1)
    assert marks.at(["a", 1, 0, 0, 0]) == (3, 5)
    assert marks.at(["z"]) == (1, 1)
    assert list(marks.doubles()) == []
    assert Marks.of(tmp_path / "none").at(["a"]) == (0, 0)
