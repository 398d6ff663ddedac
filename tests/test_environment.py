"""`helpers/environment.py`: the way of built-in apps into a Python environment, run as there."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jupyter_sessions.apps.helpers import environment

TELL = """\
import json, os, sys
told = {"python": sys.executable, "argv": sys.argv, "cwd": os.getcwd(), "path": os.environ["PATH"]}
print(json.dumps(told))
"""


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """What matters of a virtual environment: an interpreter, and a program ``tell`` beside it."""
    folder = tmp_path / "an env"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/python").symlink_to(sys.executable)
    program(
        folder / "bin/tell",
        f"#!/bin/sh\n'''exec' \"{folder}/bin/python\" \"$0\" \"$@\"\n' '''\n{TELL}",
    )
    (folder / "script.py").write_text(TELL)
    return folder


def run(*args: str, path: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", environment.__file__, *args],
        env={**os.environ, "PATH": path or os.environ["PATH"]},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def told(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def test_the_program_on_path_runs_with_its_arguments(venv: Path) -> None:
    path = f"{venv / 'bin'}:/usr/bin:/bin"
    answer = told(run("tell", "--interpreter=", "--", "serve", "--port=1", path=path))
    assert answer["argv"] == [str(venv / "bin/tell"), "serve", "--port=1"]
    assert answer["path"] == path


def test_a_script_runs_in_the_environment_of_the_program(venv: Path) -> None:
    script = str(venv / "script.py")
    done = run("tell", f"--script={script}", "--", "-x", path=f"{venv / 'bin'}:/usr/bin:/bin")
    answer = told(done)
    assert answer["python"] == str(venv / "bin/python")
    assert answer["argv"] == [script, "-x"]


@pytest.mark.parametrize("named", ["an env", "an env/bin/python"])
def test_a_chosen_interpreter_or_environment_goes_first(venv: Path, named: str) -> None:
    chosen = str(venv.parent / named)
    assert told(run("tell", "--interpreter", chosen))["argv"] == [str(venv / "bin/tell")]
    script = str(venv / "script.py")
    answer = told(run("not-there", "--interpreter", chosen, "--script", script))
    assert answer["python"] == str(venv / "bin/python")
    assert str(answer["path"]).startswith(f"{venv / 'bin'}:")


def test_a_file_is_the_last_argument_made_absolute(venv: Path, tmp_path: Path) -> None:
    odd = tmp_path / "-a b; $(x).py"
    odd.touch()
    args = ("tell", f"--interpreter={venv}", f"--file={odd.name}")
    answer = told(run(*args, "--", "--flag", cwd=tmp_path))
    assert answer["argv"] == [str(venv / "bin/tell"), "--flag", str(odd)]


def test_it_runs_where_it_is_told_to(venv: Path, tmp_path: Path) -> None:
    answer = told(run("tell", f"--interpreter={venv}", f"--directory={tmp_path}", cwd=Path("/")))
    assert answer["cwd"] == str(tmp_path)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["nothing-like-it"], "There is no program nothing-like-it on PATH."),
        (["tell", "--interpreter=/no/python"], "There is no Python interpreter '/no/python'."),
        (
            ["tell", "--interpreter=/usr"],
            "There is no tell in the environment of /usr/bin/python3.",
        ),
        (["tell", "--interpreter=/proc/self/fd"], "bin/python is missing."),
        (["sh", "--file="], "No file was given."),
        (["sh", "--file=/no/file.py"], "There is no file /no/file.py."),
        (["sh", "--file=/tmp"], "There is no file /tmp."),
        (["sh", "--folders", "--file=/no/file"], "There is no file or folder /no/file."),
        (["sh", "--directory=/no/folder"], "There is no folder /no/folder."),
    ],
)
def test_what_is_not_there_is_one_sentence(args: list[str], sentence: str) -> None:
    done = run(*args)
    assert done.returncode == 1
    assert done.stderr.strip().endswith(sentence)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("#!/opt/x/bin/python3.12\n", "/opt/x/bin/python3.12"),
        ("#! /opt/x/bin/python -E\n", "/opt/x/bin/python"),
        ("#!/bin/sh\n'''exec' /opt/x/bin/python \"$0\" \"$@\"\n", "/opt/x/bin/python"),
        ('#!/bin/sh\n\'\'\'exec\' "/opt/a b/bin/python" "$0" "$@"\n', "/opt/a b/bin/python"),
        ("#!/usr/bin/env python3.99\n", "{bin}/python3.99"),
        ("\x7fELF", "{bin}/python3"),
    ],
)
def test_a_program_says_which_python_it_runs_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: str, expected: str
) -> None:
    folder = tmp_path / "bin"
    for name in ("python3", "python3.99"):
        program(folder / name, "")
    monkeypatch.setenv("PATH", str(folder))
    found = environment.interpreter_of(program(folder / "tell", head))
    assert found == expected.format(bin=folder)


def test_a_program_that_says_nothing_is_no_guess(tmp_path: Path) -> None:
    with pytest.raises(environment.Unusable, match="choose an interpreter"):
        environment.interpreter_of(program(tmp_path / "tell", "\x7fELF"))


def test_it_runs_on_an_old_python() -> None:
    source = Path(environment.__file__).read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 6))
