"""How a desktop ends: asked to, and cleaned up after, whatever became of it.

``ending.py ask DIRECTORY`` asks the desktop to end by itself, the newest program first, so that a
session manager ends while its X server is still there. ``ending.py clean DIRECTORY`` removes what
X server and session manager leave in /tmp, also those that were killed. Standard library only.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

import display  # type: ignore[import-not-found]  # beside this script

TRACES = "traces.json"
PATIENCE = 5
"""Seconds to wait for the desktop's end; then it is ended as anything else is."""


def note(directory: Path, **traces: str | int) -> None:
    """Keep what is needed later. Called by the desktop as it starts."""
    (directory / TRACES).write_text(json.dumps(traces))


def ask(traces: dict[str, str | int]) -> None:
    try:
        process = os.pidfd_open(int(traces["desktop"]))
    except ProcessLookupError:
        return
    signal.pidfd_send_signal(process, signal.SIGTERM)
    select.select([process], [], [], PATIENCE)


def clean(traces: dict[str, str | int]) -> None:
    if name := traces.get("display"):
        display.remove_traces(str(name))
    if manager := traces.get("manager"):
        remove_traces_of_manager(int(manager))


def remove_traces_of_manager(pid: int) -> None:
    """Remove the files of the session manager `pid`, which has ended."""
    place = Path(f"/tmp/.ICE-unix/{pid}")  # where it listened  # noqa: S108
    with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(place))
        except ConnectionRefusedError:
            place.unlink()
    # XFCE's, with what it would have taken out of the user's ICE authority at its end.
    for path in Path("/tmp").glob(".xfsm-ICE-*"):  # noqa: S108
        with suppress(OSError):
            if path.lstat().st_uid == os.geteuid() and _names(path, place):
                path.unlink()


def _names(path: Path, place: Path) -> bool:
    """Whether a line of the file ends with that place."""
    text = path.read_text(errors="replace")
    return any(word.strip('"').endswith(str(place)) for word in text.split())


def main() -> None:
    what, directory = sys.argv[1:]
    try:
        traces = json.loads((Path(directory) / TRACES).read_text())
    except FileNotFoundError:
        return  # it never came that far
    {"ask": ask, "clean": clean}[what](traces)


if __name__ == "__main__":
    main()
