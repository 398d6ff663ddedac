"""The script of a batch job: a template that an administrator may replace."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import SpawnerError

TEMPLATE = """\
#!/bin/sh
{prologue}
exec {command}
"""
FIELD = re.compile(r"\{\{|\}\}|(?<!\$)\{(\w+)\}")
HARMLESS = r"^(?!-)[A-Za-z0-9_.,:@%+=/-]*$(?!\n)"
"""What a value of the form may be made of to stand in a script."""


def names_in(template: str) -> set[str]:
    """The fields that `template` mentions. ``${NAME}`` is the shell's."""
    return {match.group(1) for match in FIELD.finditer(template)} - {None}


def fill(
    template: str,
    command: Sequence[str],
    values: Mapping[str, Any],
    names: Mapping[str, str],
    prologue: str = "",
) -> bytes:
    """The script: `template` with its fields filled in, once; ``{{`` and ``}}`` are braces.

    Parameters
    ----------
    command
        ``{command}``: an argument vector, quoted for the shell.
    values
        What was chosen, by option. Free text has no place in a script: a value that the shell or a
        scheduler could read as anything but itself is refused.
    names
        Fields of ours: ``session``, ``attempt``, ``name``, ``directory``; quoted if need be.
    prologue
        ``{prologue}``: the administrator's own lines.

    Raises
    ------
    SpawnerError
        If the template has a field there is not, or a value does not fit; names it.
    """

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name is None:
            return match.group()[0]
        if name == "command":
            return shlex.join(command)
        if name == "prologue":
            return prologue
        if name in names:
            return shlex.quote(names[name])
        if name not in values:
            known = ", ".join(sorted({"command", "prologue", *names, *values}))
            raise SpawnerError(
                f"script_template: there is no field {{{name}}}; there are: {known}."
            )
        return _harmless(name, values[name])

    if "{command}" not in template:
        raise SpawnerError("script_template has to have {command}, on a line of its own.")
    for element in (*command, *names.values()):
        if "\n" in element or "\0" in element:
            raise SpawnerError(f"{element!r} has a line break: no batch job can be run there.")
    return FIELD.sub(value, template).encode()


def _harmless(name: str, value: Any) -> str:
    text = "" if value is None else str(value)
    if not re.fullmatch(HARMLESS, text):
        raise SpawnerError(
            f"{name}: {text!r} cannot stand in a job's script; it may have letters, digits and"
            " _ . , : @ % + = / - only."
        )
    return text
