"""Runs a program of a Python environment, which is rarely the one that Jupyter is installed in.

``environment.py PROGRAM [--interpreter PATH] [--script FILE] [--directory PATH] [--file PATH]…
[--folders] [-- ARGUMENT …]``

PROGRAM is one that a Python package has put on PATH, such as ``streamlit``; it names the
environment, unless an interpreter does. What runs is the program itself, or SCRIPT with that
environment's interpreter. It replaces this process. The built-in apps for Python's web frameworks
begin with it.

Standard library only, Python 3.6 or later: it is sent to the machine where the session runs.
"""

import argparse
import os
import re
import shutil
import sys
from pathlib import Path
from typing import List, NoReturn, Optional, Sequence

HEAD = 1024
"""Bytes of a program in which its interpreter is looked for."""
NAMES = ("python3", "python")
# As pip writes them: the second where the path is too long for the kernel, or has a space in it.
SHEBANG = re.compile(rb"#![ \t]*(/[^\s]*python[0-9.]*)[ \t]*(?:-[^\n]*)?\r?\n")
ENV = re.compile(rb"#![ \t]*/usr/bin/env[ \t]+(?:-S[ \t]+)?(python[0-9.]*)\b")
EXEC = re.compile(rb"#![^\n]*\n'''exec' \"?([^\"\n]+?)\"? \"\$0\"")


class Unusable(Exception):
    """What was asked for is not there; the message says what, for people."""


def main(argv: Optional[Sequence[str]] = None) -> NoReturn:
    """Become the program."""
    given = parse(sys.argv[1:] if argv is None else argv)
    try:
        command = command_of(given)
        if given.directory:
            os.chdir(_existing(given.directory, files=False, folders=True))
    except Unusable as problem:
        sys.exit(str(problem))
    if given.interpreter:  # what it starts by name comes from the same environment
        os.environ["PATH"] = f"{Path(command[0]).parent}:{os.environ.get('PATH', os.defpath)}"
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 - there is no shell


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """What was asked for; all that follows ``--`` is for the program."""
    end = argv.index("--") if "--" in argv else len(argv)
    parser = argparse.ArgumentParser(prog="environment", allow_abbrev=False)
    parser.add_argument("program")
    parser.add_argument("--interpreter", default="", help="empty: the one that PROGRAM runs with")
    parser.add_argument("--script", default="", help="run this in place of PROGRAM")
    parser.add_argument("--directory", default="", help="where to run it; empty: here")
    parser.add_argument(
        "--file", action="append", help="its last argument, made absolute; the first not empty"
    )
    parser.add_argument("--folders", action="store_true", help="FILE may be a folder")
    given = parser.parse_args(argv[:end])
    given.arguments = argv[end + 1 :]
    return given


def command_of(given: argparse.Namespace) -> List[str]:
    """The program, or the interpreter and the script, with all arguments.

    Raises
    ------
    Unusable
    """
    arguments = [*given.arguments]
    if given.file is not None:
        named = next(filter(None, given.file), "")
        arguments.append(_existing(named, folders=given.folders))
    if given.interpreter:
        python = named_interpreter(given.interpreter)
        program = Path(python).parent / given.program
        if given.script:
            return [python, given.script, *arguments]
        if not os.access(program, os.X_OK):
            raise Unusable(f"There is no {given.program} in the environment of {python}.")
        return [str(program), *arguments]
    found = shutil.which(given.program)
    if found is None:
        raise Unusable(f"There is no program {given.program} on PATH.")
    if given.script:
        return [interpreter_of(Path(found)), given.script, *arguments]
    return [found, *arguments]


def named_interpreter(name: str) -> str:
    """The interpreter that somebody calls `name`: a program, or the folder of an environment.

    A link is not followed: it is by where it was called that a virtual environment knows itself.

    Raises
    ------
    Unusable
    """
    path = Path(name).expanduser()
    if path.is_dir():
        for python in (path / "bin" / n for n in NAMES):
            if os.access(python, os.X_OK):
                return str(python.absolute())
        raise Unusable(f"There is no Python in the folder {path}: bin/python is missing.")
    found = shutil.which(str(path))
    if found is None:
        raise Unusable(f"There is no Python interpreter {name!r}.")
    return str(Path(found).absolute())


def interpreter_of(program: Path) -> str:
    """The Python interpreter that the script `program` runs with.

    Raises
    ------
    Unusable
    """
    with program.open("rb") as file:
        head = file.read(HEAD)
    written = SHEBANG.match(head) or EXEC.match(head)
    if written:
        return os.fsdecode(written[1])
    named = ENV.match(head)
    python = shutil.which(os.fsdecode(named[1])) if named else None
    if python:
        return python
    for place in (program.parent, program.resolve().parent):
        for name in NAMES:
            if os.access(place / name, os.X_OK):
                return str(place / name)
    raise Unusable(f"{program} does not say which Python it runs with: choose an interpreter.")


def _existing(name: str, *, files: bool = True, folders: bool) -> str:
    """The absolute path of a file, or of a folder, that people have named.

    Raises
    ------
    Unusable
    """
    kind = " or ".join(["file"] * files + ["folder"] * folders)
    if not name:
        raise Unusable(f"No {kind} was given.")
    path = Path(name).expanduser().absolute()
    if not (files and path.is_file()) and not (folders and path.is_dir()):
        raise Unusable(f"There is no {kind} {path}.")
    return str(path)


if __name__ == "__main__":
    main()
