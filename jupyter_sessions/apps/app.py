"""What to run: `App`, read from ``app.yaml``, and the options that people give it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.exceptions import best_match

from ..options import OptionSchema
from ..plain import as_text, check_plain
from ..sentences import shorten

FIELD = re.compile(r"\{\{|\}\}|\{(\w+)\}")
TARGET_FIELDS = frozenset({"socket", "port", "fd", "session_dir", "python"})
"""Fields that only the target can fill in (``runner.py``)."""
OWN_FIELDS = frozenset({"base_url", "app_dir", "state_dir", "cwd"})
"""Fields that the manager fills in."""


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
    choices
        What people may choose: the schema of its options.
    open_in
        Where a front end opens it: in a tab of its own, or of the browser.
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
    choices: OptionSchema = field(default_factory=lambda: OptionSchema({}), compare=False)
    ready_path: str = "/"
    ready_codes: frozenset[int] = frozenset(range(200, 400))
    ready_timeout: float = 60
    stop_command: tuple[str, ...] | None = None
    stop_grace: float = 5
    prefix: Literal["strip", "keep"] = "strip"
    open_path: str = ""
    open_in: Literal["lab", "browser"] = "lab"
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
        _check(lambda: check_plain(data, "app.yaml"))
        error = best_match(_validator().iter_errors(data))
        if error is not None:
            raise AppError(_sentence(error))
        choices = OptionSchema(data.get("options", {}))
        _check(lambda: choices.check_schema("options"))
        ready, stop = data.get("ready", {}), data.get("stop", {})
        known = TARGET_FIELDS | OWN_FIELDS | choices.properties.keys()
        if taken := (TARGET_FIELDS | OWN_FIELDS) & choices.properties.keys():
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
            choices=choices,
            ready_path=ready.get("path", "/"),
            ready_codes=frozenset(ready.get("codes", range(200, 400))),
            ready_timeout=ready.get("timeout", 60),
            stop_command=templates["stop.command"] or None,
            stop_grace=stop.get("grace", 5),
            prefix=data.get("prefix", "strip"),
            open_path=data.get("open_path", ""),
            open_in=data.get("open_in", "lab"),
            request_headers=data.get("request_headers", {}),
            response_headers=data.get("response_headers", {}),
            requires=tuple(_requirement(r) for r in data.get("requires", ())),
            origin=origin,
            directory=directory,
            definition=data,
        )

    @property
    def options(self) -> Mapping[str, Any]:
        """The JSON Schema of its options."""
        return self.choices.schema

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

    def check_options(self, given: Any, cwd: str, file: str = "") -> dict[str, Any]:
        """The options to start with: `given` over the defaults.

        Parameters
        ----------
        cwd
            The folder of the session: the default of options with ``x-default-from: cwd``.
        file
            The file that it is started for, if any: of those with ``x-default-from: file``.

        Raises
        ------
        InvalidRequest
            Naming each wrong option as ``options.<name>``.
        """
        return self.choices.check(given, "options", {"cwd": cwd, "file": file})

    def url_path(self, fields: Mapping[str, str | list[str] | None]) -> str:
        """`open_path` with its fields filled in, percent-encoded; nothing if one has no value."""
        names = {name for name in FIELD.findall(self.open_path) if name}
        if any(not isinstance(fields.get(name), str) for name in names):
            return ""

        def value(match: re.Match[str]) -> str:
            return match[0][0] if match[1] is None else quote(str(fields[match[1]]), safe="/~")

        return FIELD.sub(value, self.open_path)


def as_fields(options: Mapping[str, Any]) -> dict[str, str | list[str] | None]:
    """Options as what a command's fields are filled in with: text."""
    return {
        name: [as_text(v) for v in value]
        if isinstance(value, list)
        else as_text(value)
        if value is not None
        else None
        for name, value in options.items()
    }


def _check(check: Callable[[], None]) -> None:
    """Let what `check` says against the definition be this module's error."""
    try:
        check()
    except ValueError as problem:
        raise AppError(str(problem)) from None


def _requirement(data: Mapping[str, Any]) -> Requirement:
    kinds: tuple[Literal["program", "python", "file"], ...] = ("program", "python", "file")
    kind = next(k for k in kinds if k in data)
    names = data[kind]
    return Requirement(kind, (names,) if isinstance(names, str) else tuple(names), data["install"])


def _sentence(error: ValidationError) -> str:
    where = ".".join(str(p) for p in error.absolute_path) or "app.yaml"
    return f"{where}: {shorten(error.message)}"


@cache
def _validator() -> Draft202012Validator:
    path = Path(__file__).with_name("app.schema.json")
    return Draft202012Validator(json.loads(path.read_text(encoding="utf-8")))
