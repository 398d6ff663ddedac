"""Templates of command lines and environments."""

import re
from typing import Any, Dict, List, Set, Union

from .errors import StartError

Value = Union[str, List[str], None]
_TEMPLATE = re.compile(r"\{\{|\}\}|\{(\w+)\}")


def names_in(template: str) -> Set[str]:
    """The fields that `template` mentions."""
    return {match.group(1) for match in _TEMPLATE.finditer(template)} - {None}


def expand(template: str, fields: Dict[str, Any]) -> Value:
    """`template` with its fields filled in, once. Raises StartError for a field there is not."""

    def look_up(name: str) -> Any:
        if name not in fields:
            raise StartError(f"{{{name}}} in {template!r} is not a field of this app.")
        return fields[name]

    def fill(match: Any) -> str:
        name = match.group(1)
        if name is None:
            return str(match.group()[0])
        value = look_up(name)
        if isinstance(value, (list, tuple, dict)):
            raise StartError(f"{{{name}}} is a list: it has to stand alone, not in {template!r}.")
        return "" if value is None else str(value)

    alone = re.match(r"\{(\w+)\}\Z", template)
    value = look_up(alone.group(1)) if alone else None
    if isinstance(value, (list, tuple)):
        return [str(item) for item in value]
    return None if alone and value is None else _TEMPLATE.sub(fill, template)


def expand_argv(templates: List[str], fields: Dict[str, Any]) -> List[bytes]:
    """The command line that `templates` make, ready for exec."""
    argv: List[bytes] = []
    for template in templates:
        value = expand(template, fields)
        if value is not None:
            argv += [to_bytes(item) for item in (value if isinstance(value, list) else [value])]
    if not argv:
        raise StartError("The command is empty.")
    return argv


def to_bytes(text: str) -> bytes:
    # Python 3.6 in the C locale could not encode a command line that is not ASCII by itself.
    data = text.encode("utf-8", "surrogateescape")
    if b"\0" in data:
        raise StartError("A NUL character cannot be part of a command or of its environment.")
    return data
