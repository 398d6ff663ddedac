"""What installed packages bring by entry points: found anew after an install, loaded once."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import Any

_lock = threading.Lock()
_found: dict[str, tuple[object, list[Plugin]]] = {}


@dataclass(frozen=True, slots=True)
class Plugin:
    """An entry point, loaded.

    Parameters
    ----------
    origin
        Which package it comes from, for people.
    value
        What it names, or what that returned if it is a function; None if that failed.
    problem
        Why it could not be loaded; empty if it was.
    """

    name: str
    origin: str
    value: Any = None
    problem: str = ""


def plugins(group: str) -> list[Plugin]:
    """The entry points of `group`, in the order of ``sys.path``; of a name twice, the first.

    A package that is installed while the server runs is found: installing changes a folder on
    ``sys.path``. Blocks while modules are imported and their functions run: call it in a thread.
    """
    with _lock:
        state = _state()
        known = _found.get(group)
        if known is None or known[0] != state:
            before = {} if known is None else {p.origin: p for p in known[1]}
            found: dict[str, Plugin] = {}
            for entry in _entries(group, state):
                found.setdefault(entry.name, _load(entry, before))
            known = _found[group] = (state, list(found.values()))
        return known[1]


def entries(group: str) -> EntryPoints:
    """The entry points of `group`, none of them loaded; found anew after an install, as above."""
    return _entries(group, _state())


def _state() -> tuple[tuple[str, int], ...]:
    return tuple((path, _modified(path)) for path in sys.path)


@lru_cache(maxsize=16)
def _entries(group: str, _state: tuple[tuple[str, int], ...]) -> EntryPoints:
    """Those of `group` in this state of ``sys.path``: hundreds of files are read for it."""
    return entry_points(group=group)


def _load(entry: EntryPoint, before: Mapping[str, Plugin]) -> Plugin:
    package = "" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}: "
    origin = f"{package}{entry.group}: {entry.name} = {entry.value}"
    # What failed is tried again: the install that was noticed may have brought what it needs.
    if (old := before.get(origin)) is not None and not old.problem:
        return old
    try:
        named = entry.load()
        value = named() if callable(named) else named
        # What can be read once only will be looked at again and again.
        return Plugin(entry.name, origin, list(value) if isinstance(value, Iterator) else value)
    except (Exception, SystemExit) as error:  # somebody else's code: the others go on
        sentence = " ".join(f"{type(error).__name__}: {error}".split())
        return Plugin(entry.name, origin, problem=sentence)


def _modified(path: str) -> int:
    try:
        return os.stat(path or ".").st_mtime_ns  # noqa: PTH116 - asked for all the time
    except OSError:
        return 0
