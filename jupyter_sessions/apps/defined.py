"""Apps whose definitions come from Python: configuration, or somebody's package."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from .app import AppError
from .folders import Broken, Definition, parse


def defined(definition: Any, origin: str, name: str, directory: Path | None = None) -> Definition:
    """The app that `definition` describes. Called for each look at the catalogue.

    Parameters
    ----------
    name
        What to call a definition that has no name.
    directory
        The app's folder, if it has one.
    """
    try:
        text = json.dumps(definition)
    except (TypeError, ValueError, RecursionError) as error:
        return Broken(name, origin, f"is not plain data: {error}")
    return _parse(text, origin, name, directory)


@lru_cache(1000)  # by its text: what has not changed is checked once
def _parse(text: str, origin: str, name: str, directory: Path | None) -> Definition:
    data = json.loads(text)
    try:
        return parse(data, origin, directory)
    except AppError as error:
        named = data.get("name") if isinstance(data, dict) else None
        return Broken(named if isinstance(named, str) else name, origin, str(error))
