"""What people ask for, checked: every wrong field is named before anything is changed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import FieldError, InvalidRequest

NAME_LENGTH = 100
LONGEST_TIMEOUT = 10 * 365 * 86400.0
"""Seconds; more than that is a mistake, and too much for a calendar."""

KINDS: Mapping[type | tuple[type, ...], str] = {
    str: "text",
    dict: "an object",
    (int, float): "a number",
}
"""What people call the types of fields."""


def check_fields(request: Any, allowed: Mapping[str, type | tuple[type, ...]]) -> dict[str, Any]:
    """`request` as an object that has only `allowed` fields, each of its type or null.

    Raises
    ------
    InvalidRequest
    """
    if not isinstance(request, dict):
        raise InvalidRequest("The request's body has to be a JSON object.")
    errors = []
    for name, value in request.items():
        if name not in allowed:
            errors.append(FieldError(name, f"unknown; known are {', '.join(allowed)}"))
        elif value is not None and (
            not isinstance(value, allowed[name])
            or (isinstance(value, bool) and allowed[name] is not bool)
        ):
            errors.append(FieldError(name, f"give {KINDS[allowed[name]]}"))
    if errors:
        raise InvalidRequest("; ".join(f"{e.field}: {e.message}" for e in errors), errors=errors)
    return request


CHOICES: Mapping[str, type | tuple[type, ...]] = {
    "spawner": str,
    "options": dict,
    "resources": dict,
    "timeout": (int, float),
}
"""What people choose before a start, and what is kept of it."""


def check_choices(choices: Any) -> dict[str, Any]:
    """`choices` by their shape alone: what they say may be stale.

    Called for what is to be remembered, and for what was: preferences and projects' files.

    Returns
    -------
    dict
        Without what is null; but for ``timeout``, where null is a choice: no limit.

    Raises
    ------
    InvalidRequest
    """
    checked = check_fields(choices, CHOICES)
    return {k: v for k, v in checked.items() if v is not None or k == "timeout"}


def check_name(name: str, field: str = "name") -> str:
    """A session's or a preset's name: shown everywhere, so one short line."""
    name = name.strip()
    if not name or len(name) > NAME_LENGTH or not name.isprintable():
        raise InvalidRequest.field(field, f"give 1 to {NAME_LENGTH} printable characters")
    return name


def absolute_path(path: str, root: str, home: str = "") -> str:
    """`path` as an absolute one, below `root` if it is relative; empty if it is no path.

    Parameters
    ----------
    home
        What ``~`` stands for, on another machine; nobody else's home is known there.
    """
    try:
        if home and path.startswith("~"):
            user, _, rest = path.partition("/")
            if user != "~":
                return ""
            path = f"{home}/{rest}"
        absolute = os.path.normpath(Path(root) / Path(path).expanduser())
        absolute.encode()
    except (RuntimeError, UnicodeEncodeError):  # no such user's home; a lone surrogate
        return ""
    return "" if "\0" in absolute else absolute


def check_timeout(field: str, seconds: float | None, maximum: float | None) -> float | None:
    """A time limit in seconds (None: no limit), within what the admin allows.

    Parameters
    ----------
    maximum
        The most that is allowed; None if everything is, no limit at all included.
    """
    if seconds is None:
        if maximum is not None:
            raise InvalidRequest.field(field, f"a limit is required here: at most {maximum:g} s")
        return None
    if not 0 < seconds <= LONGEST_TIMEOUT:  # NaN is neither
        raise InvalidRequest.field(field, "give a number of seconds above 0 (and below ten years)")
    if maximum is not None and seconds > maximum:
        raise InvalidRequest.field(field, f"{seconds:g} s is over the maximum of {maximum:g} s")
    return float(seconds)
