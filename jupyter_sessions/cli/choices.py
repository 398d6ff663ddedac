"""Options and resources as people type them, and as they are shown again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InvalidRequest


def typed_values(
    given: Sequence[str], prefix: str, properties: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """``NAME=VALUE`` as an object; a value that is not text by its schema is read as JSON.

    Parameters
    ----------
    prefix
        What the object is called in errors: ``options``, ``resources``.

    Raises
    ------
    InvalidRequest
    """
    values: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise InvalidRequest.field(f"{prefix}.{name}", "write it as NAME=VALUE")
        kind = properties.get(name, {}).get("type", "string")
        if kind == "string":
            values[name] = value
            continue
        try:
            values[name] = json.loads(value)
        except ValueError:
            raise InvalidRequest.field(f"{prefix}.{name}", f"{value!r} is not a {kind}") from None
    return values


def choices_text(choices: Mapping[str, Any]) -> str:
    """What a preset chooses, as the options of ``start`` that choose the same."""
    words = ["-s", choices["spawner"]] if "spawner" in choices else []
    for part, option in (("options", "-o"), ("resources", "-r")):
        for name, value in choices.get(part, {}).items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            words += [option, f"{name}={text}"]
    if choices.get("timeout") is not None:
        words += ["-t", f"{choices['timeout']:g}"]
    return shlex.join(words)
