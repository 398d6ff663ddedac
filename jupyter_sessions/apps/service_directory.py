"""Service directories of Parallel Works ACTIVATE as apps: a folder with a script that starts it.

``start-template-v3.sh`` with ``controller-v3.sh`` is today's form, ``start-template.sh`` with
``kill-template.sh`` and ``url.sh`` the older one. docs/activate.md says what becomes of what is in
such a folder, and in the repository around it. `helpers/service_runner.py` runs it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..plain import NotPlain
from .app import ICONS, App, AppError
from .folders import Broken
from .service_inputs import Workflow, read_workflow

SCRIPTS = ("start-template-v3.sh", "start-template.sh")
"""Either makes a folder a service."""
RUNNER = ["{python}", "-I", "{helper_dir}/service_runner.py"]
JOB = "{session_dir}/job"
PATIENCE = 86400
"""Seconds until the service has to answer: installing may take hours."""
State = tuple[tuple[str, int, int], ...]


def read_services(folders: Iterable[str | Path]) -> Iterator[App | Broken]:
    """The services in `folders`, by name: those of their folders that have no ``app.yaml``."""
    for folder in folders:
        path = Path(folder).expanduser()
        try:
            names = sorted(os.listdir(path))  # noqa: PTH208 - a missing folder is no error
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            yield Broken(str(path), str(path), f"cannot be read: {error.strerror}")
            continue
        for name in names:
            if (found := read_service(path / name)) is not None:
                yield found


def read_service(folder: Path) -> App | Broken | None:
    """The service in `folder`; None if it is none, or has an ``app.yaml``.

    Read once for each state of its files. Blocks: call it in a thread.
    """
    start = next((folder / s for s in SCRIPTS if (folder / s).is_file()), None)
    if start is None or (folder / "app.yaml").is_file():
        return None
    files = [start, *(f for f in (_workflow(folder), _readme(folder), _thumbnail(folder)) if f)]
    state: list[tuple[str, int, int]] = []
    for file in files:
        try:
            info = file.stat()
        except OSError as error:
            return Broken(app_name(folder), str(file), f"cannot be read: {error.strerror}")
        state.append((str(file), info.st_mtime_ns, info.st_size))
    return _read(folder, tuple(state))


def app_name(folder: Path) -> str:
    """What the app of a service is called: its folder's name, as far as names can be so."""
    return re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-")[:50].rstrip("-")


@lru_cache(1000)
def _read(folder: Path, _state: State) -> App | Broken:
    name, workflow = app_name(folder), _workflow(folder)
    origin = str(workflow or folder)
    if not name:
        return Broken(folder.name, str(folder), "its folder's name has no letter and no digit")
    try:
        form = Workflow() if workflow is None else read_workflow(workflow)
        app = App.from_definition(_definition(folder, name, form), origin=origin, directory=folder)
    except NotPlain as error:
        return Broken(name, origin, str(error), *(error.mark or (0, 0)))
    except AppError as error:
        return Broken(name, origin, str(error))
    except OSError as error:
        return Broken(name, origin, f"cannot be read: {error.strerror}")
    return replace(app, icon_file=_thumbnail(folder))


def _definition(folder: Path, name: str, form: Workflow) -> dict[str, Any]:
    title, description = _described(folder, name)
    scalars = [i for i in form.inputs if not i.several]
    variables = {v: f"{{{i.option}}}" for i in scalars for v in i.variables}
    command = [*RUNNER, "run", "{app_dir}", JOB, "--name", folder.name]
    for given in form.inputs:
        for variable in given.variables:
            if given.several:
                command += ["--list", variable, f"{{{given.option}}}", "--end"]
            elif given.words is not None:
                command += ["--boolean", variable, *(_literal(w) for w in given.words)]
    if form.slug:
        command += ["--slug", _literal(form.slug)]
    if form.https:
        command += ["--https"]
    return {
        "name": name,
        "title": title,
        "description": description,
        "category": "Services",
        "command": command,
        "env": {
            **variables,
            "SERVICE_INPUTS": " ".join(variables),
            "SERVICE_PREFIX": "{base_url}",
        },
        "options": form.schema or {"type": "object", "properties": {}},
        "port": "reported",
        "ready": {"path": "/", "codes": "any", "timeout": PATIENCE},
        "stop": {"command": [*RUNNER, "stop", JOB], "grace": 30},
        "requires": [{"program": "bash", "install": "Its scripts are bash's: install bash."}],
    }


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


# What is beside the scripts -----------------------------------------------------------------------


def _first(*paths: Path) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def _workflow(folder: Path) -> Path | None:
    """The file with its form: in its folder, or where the platform's repository has them."""
    name, around = folder.name, folder.parent / "workflow"
    yamls, xmls = around / "yamls" / name, around / "xmls" / name
    return _first(
        *(folder / f"{stem}.{end}" for end in ("yaml", "yml") for stem in ("workflow", name)),
        folder / "workflow.xml",
        folder / f"{name}.xml",
        *(yamls / f"{stem}.yaml" for stem in ("general_v4", "general_v3", "general")),
        *(xmls / f"{stem}.xml" for stem in ("general", "cloud", name)),
    )


def _thumbnail(folder: Path) -> Path | None:
    pictures = folder.parent / "workflow" / "thumbnails"
    names = {folder.name, folder.name.partition("-")[0]}
    return _first(
        *(folder / f"{stem}{end}" for stem in ("thumbnail", "icon") for end in ICONS),
        *(pictures / f"{stem}{end}" for stem in sorted(names, reverse=True) for end in ICONS),
    )


def _readme(folder: Path) -> Path | None:
    there = folder.parent / "workflow" / "readmes" / folder.name
    return _first(
        *(folder / name for name in ("README.md", "readme.md", "Readme.md")),
        *(there / f"{stem}.md" for stem in ("general", folder.name, "README")),
    )


def _described(folder: Path, name: str) -> tuple[str, str]:
    """Its title and a sentence about it, from the heading and the first paragraph of its readme."""
    title, readme = name.replace("-", " ").capitalize(), _readme(folder)
    if readme is None:
        return title, ""
    heading, paragraph = "", ""
    for line in readme.read_text(encoding="utf-8", errors="replace")[:20_000].splitlines():
        text = _plain(line.lstrip("# "))
        if line.startswith("#") and not paragraph:
            heading = heading or text
        elif text and not line.startswith("#"):
            paragraph += f"{text} "
        elif paragraph:
            break
    paragraph = paragraph.strip()
    return (
        heading[:100] or title,
        paragraph if len(paragraph) <= 300 else f"{paragraph[:299]}…",
    )


def _plain(text: str) -> str:
    """Markdown without its marks."""
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return " ".join(re.sub(r"[*_`]{1,3}", "", text).split())
