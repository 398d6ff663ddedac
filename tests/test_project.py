"""`project.py`: a project's file is found, is plain data, and never in the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jupyter_sessions.project import LARGEST, Project, project_of


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / ".jupyter-sessions" / "defaults.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_the_nearest_file_within_the_root_counts(tmp_path: Path) -> None:
    root = tmp_path / "root"
    deep = root / "a" / "b"
    deep.mkdir(parents=True)
    write(tmp_path, "apps: {demo: {timeout: 1}}")  # above the root: not ours to read
    assert project_of("demo", str(deep), str(root)) is None
    assert project_of("demo", str(tmp_path), str(root)) is None
    assert project_of("demo", "/", str(root)) is None
    write(root, "apps: {demo: {timeout: 2}}")
    found = Project(".jupyter-sessions/defaults.yaml", {"timeout": 2})
    assert project_of("demo", str(deep), str(root)) == found
    assert project_of("demo", str(root), f"{root}/") == found
    write(root / "a", "apps: {demo: {timeout: 3}}")
    found = Project("a/.jupyter-sessions/defaults.yaml", {"timeout": 3})
    assert project_of("demo", str(deep), str(root)) == found
    write(deep, "apps: {other: {}}")  # the nearest one is the project's, if it is silent too
    assert project_of("demo", str(deep), str(root)) is None


def test_what_it_says_is_kept_as_it_is(tmp_path: Path) -> None:
    write(
        tmp_path,
        "apps:\n  demo:\n    spawner: big\n    options: {a: [1, x]}\n    resources: {n: 2}\n"
        "    timeout: null\n",
    )
    found = project_of("demo", str(tmp_path), str(tmp_path))
    assert found is not None
    assert found.choices == {
        "spawner": "big",
        "options": {"a": [1, "x"]},
        "resources": {"n": 2},
        "timeout": None,
    }
    assert found.problem == ""


SILENT = {"empty": "", "a comment": "# none", "no apps": "apps:", "other apps": "apps: {x: {}}"}


@pytest.mark.parametrize("content", SILENT.values(), ids=SILENT)
def test_a_file_may_say_nothing(tmp_path: Path, content: str) -> None:
    write(tmp_path, content)
    assert project_of("demo", str(tmp_path), str(tmp_path)) is None


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"b{n}: &b{n} [{', '.join(['*' + (f'b{n - 1}' if n else 'a')] * 9)}]\n" for n in range(9)
)
BROKEN: dict[str, tuple[str | bytes, str]] = {
    "syntax": ("apps: [", "line 1"),
    "a list": ("- x", "has to be a mapping"),
    "text": ("hello", "has to be a mapping"),
    "another key": ("app: {}", "app: unknown; known is apps"),
    "apps as a list": ("apps: [demo]", "apps: it has to be a mapping"),
    "an app as text": ("apps: {demo: x}", "apps.demo: "),
    "wrong options": ("apps: {demo: {options: []}}", "apps.demo: options: give an object"),
    "a wrong field": ("apps: {demo: {command: x}}", "apps.demo: command: unknown"),
    "a date": ("apps: {demo: {options: {a: 2026-01-02}}}", "put quotes"),
    "python": ("apps: !!python/object/apply:os.system [touch x]", "could not determine"),
    "a bomb": (BOMB, "more than 20000 values"),
    "itself": ("apps: &a {demo: {options: *a}}", "contains itself"),
    "deep": ("[" * 20_000, "nested too deeply"),
    "huge": ("#" * (LARGEST + 1), "larger than"),
    "not UTF-8": (b"apps: \xff", "utf-8"),
    "a NUL": (b"apps: {demo: {spawner: 'a\0b'}}", "special characters"),
    "an escaped NUL": ('apps: {demo: {spawner: "a\\0b"}}', "NUL character"),
}


@pytest.mark.parametrize(("content", "says"), BROKEN.values(), ids=BROKEN)
def test_a_wrong_file_is_a_problem_in_words(
    tmp_path: Path, content: str | bytes, says: str
) -> None:
    write(tmp_path, content)
    found = project_of("demo", str(tmp_path), str(tmp_path))
    assert found is not None
    assert says in found.problem
    assert "\n" not in found.problem
    assert found.choices == {}


def test_what_is_no_file_is_a_problem_and_nothing_waits_for_it(tmp_path: Path) -> None:
    path = tmp_path / ".jupyter-sessions" / "defaults.yaml"
    path.parent.mkdir()
    os.mkfifo(path)
    found = project_of("demo", str(tmp_path), str(tmp_path))
    assert found is not None
    assert found.problem == "It is not a file."
    path.unlink()
    path.symlink_to("defaults.yaml")
    found = project_of("demo", str(tmp_path), str(tmp_path))
    assert found is not None
    assert found.problem.startswith("It cannot be read: ")
