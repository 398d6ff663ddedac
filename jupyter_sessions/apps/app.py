"""What to run: `App`, read from ``app.yaml``, and the options that people give it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from jsonschema import Draft202012Validator, SchemaError, ValidationError
from jsonschema.exceptions import best_match
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from ..errors import FieldError, InvalidRequest

FIELD = re.compile(r"\{\{|\}\}|\{(\w+)\}")
TARGET_FIELDS = frozenset({"socket", "port", "fd", "session_dir", "python"})
"""Fields that only the target can fill in (``runner.py``)."""
OWN_FIELDS = frozenset({"base_url", "app_dir", "state_dir", "cwd"})
"""Fields that the manager fills in."""
LONGEST = 100_000
"""Bytes that one option may have: Linux takes no argument of more than 128 KiB."""


LARGEST, DEEPEST = 20_000, 50
"""Values that one definition may have, and how deep in it, YAML's aliases written out."""


class AppError(ValueError):
    """An app's definition is wrong; the message names the field."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """Something that must be there; any one of `names` will do."""

    kind: Literal["program", "python", "file"]
    names: tuple[str, ...]
    install: str


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """An application that sessions can run: ``app.schema.json`` documents its fields.

    Parameters
    ----------
    origin
        Where the definition was read, for people.
    directory
        Its folder, for ``{app_dir}`` and the icon; None if it has none.
    """

    name: str
    title: str
    command: tuple[str, ...]
    description: str = ""
    category: str = "Other"
    env: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    ready_path: str = "/"
    ready_codes: frozenset[int] = frozenset(range(200, 400))
    ready_timeout: float = 60
    stop_command: tuple[str, ...] | None = None
    stop_grace: float = 5
    prefix: Literal["strip", "keep"] = "strip"
    open_path: str = ""
    request_headers: Mapping[str, str | None] = field(default_factory=dict)
    response_headers: Mapping[str, str | None] = field(default_factory=dict)
    requires: tuple[Requirement, ...] = ()
    origin: str = ""
    directory: Path | None = None
    definition: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_definition(cls, data: Any, *, origin: str = "", directory: Path | None = None) -> App:
        """The app that ``app.yaml`` (as parsed) describes.

        Raises
        ------
        AppError
            Naming the field and what is wrong with it.
        """
        _check_plain(data)
        error = best_match(_validator().iter_errors(data))
        if error is not None:
            raise AppError(_sentence(error))
        options = {"type": "object", "properties": {}, **data.get("options", {})}
        _check_schema(options)
        ready, stop = data.get("ready", {}), data.get("stop", {})
        known = TARGET_FIELDS | OWN_FIELDS | options["properties"].keys()
        if taken := (TARGET_FIELDS | OWN_FIELDS) & options["properties"].keys():
            raise AppError(f"options: {', '.join(sorted(taken))} is a name with another meaning")
        templates: dict[str, tuple[str, ...]] = {
            "command": tuple(data["command"]),
            "env": tuple(data.get("env", {}).values()),
            "stop.command": tuple(stop.get("command", ())),
            "open_path": (data.get("open_path", ""),),
        }
        for where, values in templates.items():
            if unknown := {n for v in values for n in FIELD.findall(v) if n} - known:
                raise AppError(
                    f"{where}: there is no field {{{min(unknown)}}}; known are"
                    f" {', '.join(f'{{{n}}}' for n in sorted(known))}"
                )
        return cls(
            name=data["name"],
            title=data["title"],
            command=templates["command"],
            description=data.get("description", ""),
            category=data.get("category", "Other"),
            env=data.get("env", {}),
            options=options,
            ready_path=ready.get("path", "/"),
            ready_codes=frozenset(ready.get("codes", range(200, 400))),
            ready_timeout=ready.get("timeout", 60),
            stop_command=templates["stop.command"] or None,
            stop_grace=stop.get("grace", 5),
            prefix=data.get("prefix", "strip"),
            open_path=data.get("open_path", ""),
            request_headers=data.get("request_headers", {}),
            response_headers=data.get("response_headers", {}),
            requires=tuple(_requirement(r) for r in data.get("requires", ())),
            origin=origin,
            directory=directory,
            definition=data,
        )

    @property
    def has_open_port(self) -> bool:
        """Whether it listens on a TCP port, which other users of the machine can reach too."""
        return any("{port}" in text for text in (*self.command, *self.env.values()))

    @property
    def icon(self) -> Path | None:
        """Its icon (SVG), if it has one."""
        if self.directory is None:
            return None
        path = self.directory / "icon.svg"
        return path if path.is_file() else None

    def check_options(self, given: Any, cwd: str) -> dict[str, Any]:
        """The options to start with: `given` over the defaults.

        Parameters
        ----------
        cwd
            The folder of the session: the default of options with ``x-default-from: cwd``.

        Raises
        ------
        InvalidRequest
            Naming each wrong option as ``options.<name>``.
        """
        if not isinstance(given, dict):
            raise InvalidRequest.field("options", "give an object of option names and values")
        properties: Mapping[str, Mapping[str, Any]] = self.options["properties"]
        options = {
            name: cwd if schema.get("x-default-from") == "cwd" else schema["default"]
            for name, schema in properties.items()
            if "default" in schema or schema.get("x-default-from") == "cwd"
        } | given
        errors = [
            FieldError(f"options.{name}", _unknown(name, properties))
            for name in given
            if name not in properties
        ]
        known = {n: v for n, v in options.items() if n in properties}
        for error in _options_validator(self.options).iter_errors(known):
            path = ".".join(["options", *(str(p) for p in error.absolute_path)])
            errors.append(FieldError(path, _shorten(error.message)))
        errors += [
            FieldError(f"options.{name}", problem)
            for name, value in known.items()
            if (problem := _unfit(value))
        ]
        if errors:
            raise InvalidRequest(
                "; ".join(f"{e.field}: {e.message}" for e in errors), errors=errors
            )
        return options

    def url_path(self, fields: Mapping[str, str | list[str] | None]) -> str:
        """`open_path` with its fields filled in, percent-encoded."""

        def value(match: re.Match[str]) -> str:
            if match[1] is None:
                return match[0][0]
            text = fields.get(match[1])
            return quote(text, safe="/~") if isinstance(text, str) else ""

        return FIELD.sub(value, self.open_path)


def as_fields(options: Mapping[str, Any]) -> dict[str, str | list[str] | None]:
    """Options as what a command's fields are filled in with: text."""
    return {
        name: [_text(v) for v in value]
        if isinstance(value, list)
        else _text(value)
        if value is not None
        else None
        for name, value in options.items()
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, allow_nan=False)


def _unfit(value: Any) -> str:
    """Why `value` cannot be an argument of a command; empty if it can."""
    for text in value if isinstance(value, list) else [value]:
        try:
            encoded = _text(text).encode()
        except UnicodeEncodeError:
            return "it has a character that is not valid Unicode"
        except ValueError:
            return "it is not a finite number"
        if b"\0" in encoded:
            return "it has a NUL character, which no command line can hold"
        if len(encoded) > LONGEST:
            return f"it is longer than {LONGEST} bytes"
    return ""


def _unknown(name: str, properties: Mapping[str, Any]) -> str:
    known = ", ".join(sorted(properties)) or "none"
    return f"there is no such option; this app has: {known}"


def _requirement(data: Mapping[str, Any]) -> Requirement:
    kinds: tuple[Literal["program", "python", "file"], ...] = ("program", "python", "file")
    kind = next(k for k in kinds if k in data)
    names = data[kind]
    return Requirement(kind, (names,) if isinstance(names, str) else tuple(names), data["install"])


def _sentence(error: ValidationError) -> str:
    where = ".".join(str(p) for p in error.absolute_path) or "app.yaml"
    return f"{where}: {_shorten(error.message)}"


def _shorten(message: str) -> str:
    """A message of jsonschema without most of the value that it quotes."""
    return message if len(message) <= 300 else f"{message[:150]} … {message[-140:]}"


def _check_plain(data: Any) -> None:
    """Refuse what YAML knows and JSON does not: the session's record could not hold it."""
    todo: list[tuple[tuple[str, ...], Any]] = [((), data)]
    for _ in range(LARGEST):
        if not todo:
            return
        path, value = todo.pop()
        where = ".".join(path) or "app.yaml"
        if len(path) > DEEPEST:
            raise AppError(f"{path[0]}: it is nested too deeply, or contains itself")
        if isinstance(value, dict):
            for key, item in value.items():
                if not isinstance(key, str):  # `on:` and `1:` are no texts in YAML
                    raise AppError(f"{where}: put quotes around the key {key!r}")
                todo += [(path, key), ((*path, key), item)]
        elif isinstance(value, list):
            todo += [((*path, str(n)), item) for n, item in enumerate(value)]
        elif isinstance(value, str | float):
            if problem := _unfit(value):
                raise AppError(f"{where}: {problem}")
        elif value is not None and not isinstance(value, bool | int):
            raise AppError(f"{where}: {value!r} is not plain data: put quotes around it")
    raise AppError(f"it has more than {LARGEST} values")


def _check_schema(options: dict[str, Any]) -> None:
    """Refuse options' schemas that would fail only when somebody starts the app."""
    checker = Draft202012Validator.FORMAT_CHECKER  # for `pattern`
    try:
        Draft202012Validator.check_schema(options, format_checker=checker)
    except SchemaError as problem:
        where = ".".join(["options", *(str(p) for p in problem.absolute_path)])
        raise AppError(f"{where}: not a JSON Schema: {_shorten(problem.message)}") from None
    resolver = Registry().with_resource("", DRAFT202012.create_resource(options)).resolver()
    for ref in _refs(options):
        try:
            resolver.lookup(ref)
        except Unresolvable:
            raise AppError(f"options: there is nothing at $ref {ref!r}") from None
    for name, schema in options["properties"].items():
        if "default" in schema:
            for error in _options_validator({**options, "required": []}).iter_errors(
                {name: schema["default"]}
            ):
                raise AppError(f"options.{name}.default: {_shorten(error.message)}")


def _refs(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(ref := schema.get("$ref"), str):
            yield ref
        for item in schema.values():
            yield from _refs(item)
    elif isinstance(schema, list):
        for item in schema:
            yield from _refs(item)


def _options_validator(options: Mapping[str, Any]) -> Draft202012Validator:
    """One that fetches nothing from anywhere."""
    return Draft202012Validator(options, registry=Registry())


@cache
def _validator() -> Draft202012Validator:
    path = Path(__file__).with_name("app.schema.json")
    return Draft202012Validator(json.loads(path.read_text(encoding="utf-8")))
