"""Apps whose definitions come from Python: configuration, or somebody's package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from .app import App, AppError
from .finders import Finder
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
    finders: dict[str, Finder] = {}
    try:
        text = json.dumps(_without_functions(definition, finders))
    except (TypeError, ValueError, RecursionError) as error:
        return Broken(name, origin, f"is not plain data: {error}")
    found = _parse(text, origin, name, directory)
    return replace(found, finders=finders) if finders and isinstance(found, App) else found


def _without_functions(value: Any, finders: dict[str, Finder], option: str = "") -> Any:
    """`value` with a word for each function of ``x-choices-from``, which goes into `finders`.

    Parameters
    ----------
    option
        The key that `value` stands under: the option's name, where it is one's schema.
    """
    if isinstance(value, Mapping):
        if callable(function := value.get("x-choices-from")):
            finders[option] = function
            value = {**value, "x-choices-from": "function"}
        return {k: _without_functions(v, finders, str(k)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_functions(item, finders, option) for item in value]
    return value


@lru_cache(1000)  # by its text: what has not changed is checked once
def _parse(text: str, origin: str, name: str, directory: Path | None) -> Definition:
    data = json.loads(text)
    try:
        return parse(data, origin, directory)
    except AppError as error:
        named = data.get("name") if isinstance(data, dict) else None
        return Broken(named if isinstance(named, str) else name, origin, str(error))
