"""What may be asked of a scheduler: options of the form, and what becomes of them in a command.

Values reach a scheduler as elements of a command line, never through a shell. Those that are put
together with others there (``-l mem=4096mb,walltime=…``) have a pattern, so that none can say more
than it is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from typing import Any

from ..errors import SpawnerError
from .script import HARMLESS

Schema = Mapping[str, Any]

WORD = r"^[A-Za-z0-9_][A-Za-z0-9_.@+-]*$(?!\n)"
"""The names of partitions, queues, accounts and the like: none is an option or a list."""
EXPRESSION = r"^[A-Za-z0-9_(\[!][A-Za-z0-9_&|()\[\]*!:.+-]*$(?!\n)"
"""A constraint of Slurm's: features with operators."""
ARGUMENT = r"^[^\-\s\x00][^\n\r\x00]*$(?!\n)"
"""Text that is no option and no second line, whatever a scheduler makes of it."""


def name_of(title: str, description: str = "", **more: Any) -> dict[str, Any]:
    """The schema of a name."""
    return {
        "type": "string",
        "title": title,
        "pattern": WORD,
        "maxLength": 200,
        "description": description,
        **more,
    }


CPUS: Schema = {
    "type": "integer",
    "title": "Processors",
    "minimum": 1,
    "maximum": 1024,
    "default": 1,
}
MEMORY: Schema = {
    "type": "number",
    "title": "Memory (GB)",
    "description": "Gigabytes for the whole session; empty for what the queue gives.",
    "exclusiveMinimum": 0,
    "maximum": 100_000,
}
GPUS: Schema = {"type": "integer", "title": "GPUs", "minimum": 0, "maximum": 64, "default": 0}
HOURS: Schema = {
    "type": "number",
    "title": "Time (hours)",
    "description": "How long the job may run at the most; less starts sooner. If the session has a"
    " time limit too, the smaller one counts.",
    "exclusiveMinimum": 0,
    "maximum": 8760,
    "default": 4,
}


def megabytes(gigabytes: float) -> int:
    """Memory as schedulers count it, never nothing."""
    return max(1, round(gigabytes * 1024))


def clock(seconds: float) -> str:
    """A length of time as ``HH:MM:SS``, rounded up to a second."""
    whole = int(-(-seconds // 1))
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def schema_of(
    built_in: Mapping[str, Schema],
    chosen: Mapping[str, Schema],
    configured: Mapping[str, Any],
    fixed: Mapping[str, Any],
    rules: Sequence[Schema] = (),
    in_script: Container[str] = (),
    separators: str = "",
) -> dict[str, Any]:
    """The JSON Schema of what people may ask for.

    Parameters
    ----------
    chosen
        What the scheduler said about them (`enum`, `default`, `maximum`): goes over `built_in`.
    configured
        The administrator's `directives`: goes over both; false takes an option away.
    fixed
        What is decided already: not asked for.
    rules
        Conditions between options. Those about options that are not there are left out.
    in_script
        Options whose text stands in the job's script.
    separators
        Characters that free text has none of.
    """
    without = f"^(?!.*[{separators}])" if separators else "^"
    properties = {}
    for name in [*built_in, *(n for n in configured if n not in built_in)]:
        own = configured.get(name, {})
        if name in fixed or own is False or own is None:
            continue
        schema = {**built_in.get(name, {}), **chosen.get(name, {}), **own}
        schema.pop("argument", None)
        if "enum" in own and "default" not in own and schema.get("default") not in own["enum"]:
            schema.pop("default", None)
        if "default" in schema and not _fits(schema["default"], schema):
            schema["default"] = schema.get("maximum", schema.get("minimum"))
        if "enum" in schema:
            schema.pop("pattern", None)
        elif schema.get("pattern") == WORD:
            sentence = f"{schema.get('description', '')} A name of letters, digits and _ . @ + -."
            schema["description"] = sentence.strip()
        if not schema.keys() & {"enum", "const", "pattern"} and schema.get("type") == "string":
            pattern = HARMLESS if name in in_script else ARGUMENT
            schema["pattern"] = pattern.replace("^", without, 1)
            if separators:
                sentence = f"{schema.get('description', '')} Text without {' '.join(separators)}"
                schema["description"] = f"{sentence.strip()}."
        properties[name] = schema
    kept = [rule for rule in (_restricted(r, properties) for r in rules) if rule]
    return {"type": "object", "properties": properties, **({"allOf": kept} if kept else {})}


def _fits(value: Any, schema: Schema) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))


def _restricted(rule: Schema, properties: Mapping[str, Schema]) -> Schema | None:
    """`rule` without what is said of options that are not there, or are bounded more tightly."""
    if rule["if"]["required"][0] not in properties:
        return None
    then = {}
    for name, bounds in rule["then"]["properties"].items():
        if name not in properties:
            continue
        default = properties[name].get("default")
        if "enum" in bounds:
            known = properties[name].get("enum", bounds["enum"])
            left = [value for value in bounds["enum"] if value in known]
            if left and (left != known or "enum" not in properties[name]):
                lost = default is not None and default not in left
                then[name] = {"enum": left, **({"default": left[0]} if lost else {})}
        elif bounds.get("maximum", 0) < properties[name].get("maximum", 1e9):
            then[name] = bounds
            if default is not None and not _fits(default, bounds):
                then[name] = {**bounds, "default": bounds["maximum"]}
    return {**rule, "then": {"properties": then}} if then else None


def own_arguments(configured: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    """The arguments of options that the administrator made up: each has an ``argument``.

    ``{}`` in it stands for the value; true gives the argument itself, false and null give none.
    """
    arguments = []
    for name, schema in configured.items():
        template = schema.get("argument") if isinstance(schema, Mapping) else None
        value = values.get(name)
        if template is None or value is None or value is False:
            continue
        parts = [template] if isinstance(template, str) else list(template)
        arguments += [part.replace("{}", "" if value is True else str(value)) for part in parts]
    return arguments


def check_arguments(values: Mapping[str, Any]) -> None:
    """Refuse values that no command line of a scheduler should carry.

    Called before each submission; the schema has said so before, but that may have changed since.

    Raises
    ------
    SpawnerError
        Naming the option.
    """
    for name, value in values.items():
        if isinstance(value, str) and not re.fullmatch(ARGUMENT, value, re.DOTALL):
            raise SpawnerError(f"{name}: {value!r} has a line break, or begins with -.")


def check_configuration(configured: Mapping[str, Any], built_in: Mapping[str, Schema]) -> str:
    """What is wrong with an administrator's `directives`, as a sentence; empty if nothing is."""
    for name, schema in configured.items():
        if schema is False or schema is None:
            continue
        if not isinstance(schema, Mapping):
            return f"directives[{name!r}] has to be a JSON Schema, or False"
        if name not in built_in and "argument" not in schema:
            return (
                f"directives[{name!r}] is none of {', '.join(sorted(built_in))}: say what it"
                " becomes, such as 'argument': '--licenses={}'"
            )
    return ""


def refusal(system: str, command: str, output: bytes) -> SpawnerError:
    """What a scheduler said against a job, in its own words."""
    text = output.decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    cleaned = [_without_prefix(line, command) for line in lines]
    said = " ".join(dict.fromkeys(cleaned)) or "it did not say why"
    return SpawnerError(f"{system} refused the job: {said[:600].rstrip('.')}.", reason="refused")


def _without_prefix(line: str, command: str) -> str:
    for prefix in (f"{command}: error: ", f"{command}: fatal: ", f"{command}: "):
        line = line.removeprefix(prefix)
    return line
