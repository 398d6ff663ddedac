"""Packages that are installed for the time of a test: a module and its metadata on a path."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
GROUP = "jupyter_serverproxy_servers"
EXAMPLE = ("plain", "asking", "socket", "raw", "raw_port", "failing", "missing")
ICON = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>'


def install(
    folder: Path, name: str, group: str, entries: Mapping[str, str], code: str = ""
) -> Path:
    """Put a package called `name` into `folder`, with its entry points; gives the folder.

    Parameters
    ----------
    code
        Of its one module, if it has one.
    """
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"[{group}]", *(f"{n} = {value}" for n, value in entries.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    if code:
        (folder / f"{name}.py").write_text(code)
    return folder


def install_example(folder: Path) -> Path:
    """The package ``example.py`` with all its servers."""
    name = "example_of_servers"
    entries = {n: f"{name}:setup_{n}" for n in EXAMPLE}
    install(folder, name, GROUP, entries, (HERE / "example.py").read_text())
    shutil.copy(HERE / "server.py", folder)
    (folder / "icon.svg").write_text(ICON)
    return folder
