"""What there is to choose from on this machine: kernels, environments, modules.

Each function gives values with titles for people, and raises `NotFoundHere` with a sentence. They
block, some for seconds: `finding.py` calls them in threads. Nothing that a user typed goes into a
command of theirs.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND_SECONDS = 15.0
"""Seconds that a command may take to list something."""
MOST_FOLDERS = 500
"""Folders that are looked at for environments in them."""
MODULES = "type module >/dev/null 2>&1 || exit 97; module -t avail 2>&1"
"""For a login shell: where there are modules, its start files define the function."""
NO_MODULES = 97


class NotFoundHere(Exception):
    """There is nothing of the kind here; the message says why."""


@dataclass(frozen=True, slots=True)
class Context:
    """What is known when choices are asked for.

    Parameters
    ----------
    cwd
        The session's folder, absolute.
    spawner
        The name of the spawner that is to run it.
    """

    cwd: str
    spawner: str


Choice = tuple[Any, str]
"""A value, and what people call it."""
Finder = Callable[[Context], Sequence[Any]]
"""Gives values, or pairs of a value and a title. May raise anything: its message is shown."""


def kernels(_context: Context) -> list[Choice]:
    """Jupyter's kernels, by the names of their specifications."""
    from jupyter_client.kernelspec import KernelSpecManager

    found = KernelSpecManager().get_all_specs()
    return sorted((name, spec["spec"]["display_name"] or name) for name, spec in found.items())


def conda_environments(_context: Context) -> list[Choice]:
    """Conda's environments, by their folders."""
    conda = os.environ.get("CONDA_EXE") or shutil.which("conda") or shutil.which("mamba")
    if conda is None:
        raise NotFoundHere("conda is not installed here")
    answer = _output([conda, "env", "list", "--json"])
    try:
        folders = json.loads(answer)["envs"]
        return [(str(folder), Path(folder).name) for folder in folders]
    except (ValueError, KeyError, TypeError):
        raise NotFoundHere(f"{conda} has answered something else than its environments") from None


def python_environments(context: Context) -> list[Choice]:
    """Virtual environments, by their folders: of the session's folder, and of the user."""
    home = Path.home()
    places = [
        Path(context.cwd),
        Path(os.environ.get("WORKON_HOME") or home / ".virtualenvs"),
        home / ".local/share/virtualenvs",
        home / ".pyenv/versions",
    ]
    found = {str(f): _short(f) for place in places for f in _environments(place)}
    if sys.prefix not in found:
        found[sys.prefix] = f"{_short(Path(sys.prefix))} (Jupyter's own)"
    return list(found.items())


def modules(_context: Context) -> list[Choice]:
    """Modules of Lmod or Environment Modules, as a login shell has them."""
    bash = shutil.which("bash")
    if bash is None:
        raise NotFoundHere("there is no bash here, which knows modules")
    lines = _output([bash, "-lc", MODULES], {NO_MODULES: "there are no modules here"}).splitlines()
    names = [re.sub(r"\(.*\)$|<.*>$", "", line.strip()) for line in lines]
    # Folders end with a colon; with Lmod, a name without its version ends with a slash.
    good = [n for n in names if n and not n.endswith((":", "/")) and not re.search(r"\s", n)]
    return [(name, name) for name in dict.fromkeys(good)]


FINDERS: Mapping[str, Finder] = {
    "kernels": kernels,
    "conda-environments": conda_environments,
    "python-environments": python_environments,
    "modules": modules,
}
"""By what ``x-choices-from`` calls them."""


def _environments(place: Path) -> Iterator[Path]:
    try:
        with os.scandir(place) as entries:
            names = [e.name for e, _ in zip(entries, range(MOST_FOLDERS), strict=False)]
    except OSError:
        return
    for folder in (place / name for name in sorted(names)):
        is_version = folder.parent.name == "versions" and (folder / "bin/python").is_file()
        if (folder / "pyvenv.cfg").is_file() or is_version:
            yield folder


def _short(folder: Path) -> str:
    """`folder` as people call it."""
    home = Path.home()
    return f"~/{folder.relative_to(home)}" if folder.is_relative_to(home) else str(folder)


def _output(argv: list[str], known: Mapping[int, str] | None = None) -> str:
    """What a command prints; its exit codes that are `known` have sentences."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_SECONDS,
            check=False,
            cwd="/",
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise NotFoundHere(f"{argv[0]} took longer than {COMMAND_SECONDS:g} s") from None
    except OSError as error:
        raise NotFoundHere(f"{argv[0]} cannot be run: {error.strerror}") from None
    if done.returncode != 0:
        why = (known or {}).get(done.returncode)
        if why is None:
            last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
            why = f"{argv[0]} failed: {' '.join(last) or f'exit code {done.returncode}'}"
        raise NotFoundHere(why)
    return done.stdout.decode("utf-8", "replace")
