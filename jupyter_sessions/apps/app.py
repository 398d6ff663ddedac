"""What to run: `App`, read from ``app.yaml``, and the options that people give it."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.exceptions import best_match

from ..options import OptionSchema, SchemaProblem
from ..plain import NotPlain, as_text, check_plain
from ..sentences import shorten
from .finders import Finder
from .snapshot import Snapshot

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
"""What an app may be called; the schema says the same."""
FIELD = re.compile(r"\{\{|\}\}|\{(\w+)\}")
TARGET_FIELDS = frozenset({"socket", "port", "fd", "session_dir", "status_file", "python"})
"""Fields that only the target can fill in (``runner``)."""
OWN_FIELDS = frozenset({"base_url", "app_dir", "helper_dir", "state_dir", "cwd"})
"""Fields that the manager fills in."""


HELPERS = Path(__file__).with_name("helpers")
"""``{helper_dir}``: scripts of this package that stand between an app and its session."""
HOOKS = ("before", "after", "clean")
"""What is run beside an app's command, in this order."""
SCHEMA = Path(__file__).with_name("app.schema.json")
"""The JSON Schema of ``app.yaml``."""
ICONS: Mapping[str, str] = {
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
}
"""The media types of icons by the end of their file's name."""


class AppError(ValueError):
    """An app's definition is wrong; the message names the field.

    Parameters
    ----------
    path
        Where in the definition that is, as far as it is known.
    """

    def __init__(self, message: str, path: Sequence[str | int] = ()) -> None:
        super().__init__(message)
        self.path = tuple(path)


@dataclass(frozen=True, slots=True)
class Start:
    """What an app is told that has to know its session before it can say what to run.

    Parameters
    ----------
    base_url
        The prefix of the Jupyter server, with slashes at both ends.
    prefix
        The session's own path, with slashes at both ends.
    """

    base_url: str
    prefix: str


Prepare = Callable[[Start], Mapping[str, Any]]
"""Gives an app's definition for one start; raises `AppError`. Called in a thread."""


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
    base_path
        Below which of its paths the session is, without a trailing slash; empty for its root.
    jupyter_page
        The path of a page of Jupyter's own that is the session's, too; empty if there is none.
    own_hosts
        Hosts with their ports by which it means itself in redirects.
    open_in
        Where a front end opens it: in a tab of its own, or of the browser.
    port, socket
        Where it listens whatever it is told; 0 and empty if it listens where it is told to.
    reports_port
        Whether it picks its port itself, and tells it in its status file.
    before, after, clean
        What is run where Jupyter runs before it is started, on the target once it answers, and
        there when everything has ended; None for nothing.
    hook_timeout
        Seconds that each of these may take.
    secrets
        Names of values that are made for each start, and that requests of the gateway carry.
    auth_cookies, auth_query
        Cookies that each request for the app gets, and query parameters that it is opened with:
        templates, whose fields are secrets. Those of `request_headers` too, if there are any.
    paths
        Paths that it knows by another name: that of the request, and that which it gets.
    launcher
        Whether launchers show it.
    origin
        Where the definition was read, for people.
    directory
        Its folder, for ``{app_dir}`` and the icon; None if it has none.
    icon_file
        Its icon, if that is not in its folder.
    notice
        What people should know before they start it.
    prepare
        What gives the definition to start it by, if this one does not; see `Prepare`.
    project
        The folder of the project that it is from; empty if it is this machine's.
    snapshot
        Its folder as it was trusted: each session gets a copy, as its ``{app_dir}``. None for an
        app that runs from its `directory`.
    finders
        Of options whose choices a function of its author's finds out, that function.
    folders
        Where its icon and what is written about it are looked for, first to last; its `directory`
        if empty.
    origins
        Of keys of its definition (``command``, ``env.LANG``, ``options.geometry``) that are not
        from `origin`: where they are from.
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
    base_path: str = ""
    own_hosts: tuple[str, ...] = ()
    jupyter_page: str = ""
    open_path: str = ""
    open_in: Literal["lab", "browser"] = "lab"
    request_headers: Mapping[str, str | None] = field(default_factory=dict)
    response_headers: Mapping[str, str | None] = field(default_factory=dict)
    requires: tuple[Requirement, ...] = ()
    port: int = 0
    socket: str = ""
    reports_port: bool = False
    before: tuple[str, ...] | None = None
    after: tuple[str, ...] | None = None
    clean: tuple[str, ...] | None = None
    hook_timeout: float = 60
    secrets: tuple[str, ...] = ()
    auth_cookies: Mapping[str, str] = field(default_factory=dict)
    auth_query: Mapping[str, str] = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)
    launcher: bool = True
    origin: str = ""
    directory: Path | None = None
    icon_file: Path | None = None
    notice: str = ""
    prepare: Prepare | None = field(default=None, compare=False)
    project: str = ""
    snapshot: Snapshot | None = None
    finders: Mapping[str, Finder] = field(default_factory=dict, compare=False)
    folders: tuple[Path, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)
    definition: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_definition(cls, data: Any, *, origin: str = "", directory: Path | None = None) -> App:
        """The app that ``app.yaml`` (as parsed) describes.

        Raises
        ------
        AppError
            Naming the field and what is wrong with it.
        """
        check_outline(data)
        if "extends" in data:
            raise AppError("extends: there is nothing to extend here", ("extends",))
        choices = OptionSchema(data.get("options", {}))
        _check(lambda: choices.check_schema("options"))
        ready, stop = data.get("ready", {}), data.get("stop", {})
        known = TARGET_FIELDS | OWN_FIELDS | choices.properties.keys()
        if taken := (TARGET_FIELDS | OWN_FIELDS) & choices.properties.keys():
            raise AppError(
                f"options: {', '.join(sorted(taken))} is a name with another meaning",
                ("options", "properties", min(taken)),
            )
        secrets, auth = tuple(data.get("secrets", ())), data.get("auth", {})
        files = {f"{name}_file" for name in secrets}
        if taken := (known & {*secrets, *files}) | (files & {*secrets}):
            raise AppError(
                f"secrets: {min(taken)} is a name with another meaning"
                " (a secret has two: its own, and that with _file after it)",
                ("secrets",),
            )
        known |= files
        templates: dict[str, tuple[str, ...]] = {
            "command": tuple(data["command"]),
            "env": tuple(data.get("env", {}).values()),
            "stop.command": tuple(stop.get("command", ())),
            "open_path": (data.get("open_path", ""),),
        }
        hooks = data.get("hooks", {})
        templates |= {f"hooks.{name}": tuple(hooks.get(name, ())) for name in HOOKS}
        for where, values in templates.items():
            used = {n for v in values for n in FIELD.findall(v) if n}
            if where != "env" and (seen := used & {*secrets}):
                raise AppError(
                    f"{where}: others could read the secret {{{min(seen)}}} there; use"
                    f" {{{min(seen)}_file}}, the path of a file with it, or env",
                    where.split("."),
                )
            if unknown := used - known - {*secrets}:
                raise AppError(
                    f"{where}: there is no field {{{min(unknown)}}}; known are"
                    f" {', '.join(f'{{{n}}}' for n in sorted(known))}",
                    where.split("."),
                )
        early = {n for v in templates["hooks.before"] for n in FIELD.findall(v)}
        if unknown := early & (TARGET_FIELDS - {"python"}):
            raise AppError(
                f"hooks.before: only the target knows {{{min(unknown)}}}, and this runs before; it"
                " begins in a folder of the session's own, SESSION_DIR",
                ("hooks", "before"),
            )
        _check_injected(secrets, data.get("request_headers", {}), auth)
        if data.get("port") and data.get("socket"):
            raise AppError("socket: it listens either there or at `port`", ("socket",))
        if data.get("base_path") and data.get("prefix") == "keep":
            raise AppError(
                "base_path: it keeps its prefix, so nothing takes the prefix's place",
                ("base_path",),
            )
        reports_port = data.get("port") == "reported"
        if reports_port and any(
            name in ("port", "socket", "fd")
            for text in (*templates["command"], *templates["env"])
            for name in FIELD.findall(text)
        ):
            raise AppError(
                "port: it reports its port, so {port}, {socket} and {fd} cannot tell it one",
                ("port",),
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
            ready_codes=_codes(ready.get("codes", range(200, 400))),
            ready_timeout=ready.get("timeout", 60),
            stop_command=templates["stop.command"] or None,
            stop_grace=stop.get("grace", 5),
            prefix=data.get("prefix", "strip"),
            base_path=data.get("base_path", ""),
            own_hosts=tuple(data.get("own_hosts", ())),
            jupyter_page=data.get("jupyter_page", ""),
            open_path=data.get("open_path", ""),
            open_in=data.get("open_in", "lab"),
            request_headers=data.get("request_headers", {}),
            response_headers=data.get("response_headers", {}),
            requires=tuple(_requirement(r) for r in data.get("requires", ())),
            port=0 if reports_port else data.get("port", 0),
            socket=data.get("socket", ""),
            reports_port=reports_port,
            before=templates["hooks.before"] or None,
            after=templates["hooks.after"] or None,
            clean=templates["hooks.clean"] or None,
            hook_timeout=hooks.get("timeout", 60),
            secrets=secrets,
            auth_cookies=auth.get("cookies", {}),
            auth_query=auth.get("query", {}),
            paths=data.get("paths", {}),
            launcher=data.get("launcher", True),
            origin=origin,
            directory=directory,
            definition=data,
        )

    @property
    def options(self) -> Mapping[str, Any]:
        """The JSON Schema of its options."""
        return self.choices.schema

    @property
    def key(self) -> str:
        """What it is called in files: names of projects' apps are not theirs alone."""
        if not self.project:
            return self.name
        return f"{self.name}@{hashlib.sha256(os.fsencode(self.project)).hexdigest()[:16]}"

    @property
    def has_open_port(self) -> bool:
        """Whether other users of the machine can use it: by a TCP port, and without a secret."""
        if self.is_guarded:
            return False
        told = any("{port}" in text for text in (*self.command, *self.env.values()))
        return told or self.port != 0 or self.reports_port

    @property
    def is_guarded(self) -> bool:
        """Whether it is told a secret that the gateway's requests carry, to refuse all others."""
        return any(self.is_told(name) and self.is_injected(name) for name in self.secrets)

    def is_told(self, secret: str) -> bool:
        """Whether the app gets to know the secret of this name."""
        texts = (*self.command, *self.env.values())
        names = {name for text in texts for name in FIELD.findall(text)}
        return secret in names or f"{secret}_file" in names

    def is_injected(self, secret: str) -> bool:
        """Whether requests of the gateway carry the secret of this name."""
        texts = (*self.request_headers.values(), *self.auth_cookies.values())
        texts = (*texts, *self.auth_query.values())
        return any(secret in FIELD.findall(text) for text in texts if text is not None)

    @property
    def icon(self) -> Path | None:
        """Its icon, if it has one: a picture whose name ends as one of `ICONS`."""
        beside = [f / name for f in self.picture_folders for name in ("icon.svg", "thumbnail.png")]
        for found in (*beside, *([] if self.icon_file is None else [self.icon_file])):
            if found.suffix.lower() in ICONS and found.is_file():
                return found
        return None

    @property
    def readme(self) -> Path | None:
        """What is written about it, if anything is: a ``README.md`` in its folder."""
        return next((f for p in self.picture_folders if (f := p / "README.md").is_file()), None)

    @property
    def picture_folders(self) -> tuple[Path, ...]:
        """See `folders`."""
        return self.folders or (() if self.directory is None else (self.directory,))

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


def check_outline(data: Any) -> None:
    """Refuse a definition that the schema of ``app.yaml`` does not accept.

    The schemas that it brings itself, of its options, are not used: what comes from somebody who
    is not trusted may be described then, and not more.

    Raises
    ------
    AppError
    """
    _check(lambda: check_plain(data, "app.yaml"))
    error = best_match(_validator().iter_errors(data))
    if error is not None:
        raise AppError(_sentence(error), path_of(error))
    if "extends" in data and "options" in data:
        sentence = "options: an app that extends another has its options: set their `values`"
        raise AppError(sentence, ("options",))
    if "values" in data and "extends" not in data:
        sentence = "values: these are for an app that `extends` another; options have a `default`"
        raise AppError(sentence, ("values",))


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
    except (NotPlain, SchemaProblem) as problem:
        raise AppError(str(problem), problem.path) from None


def _check_injected(
    secrets: Sequence[str], headers: Mapping[str, str | None], auth: Mapping[str, Mapping[str, str]]
) -> None:
    """Header fields, cookies and parameters may have secrets in them, and nothing else."""
    if auth and not secrets:
        raise AppError("auth: there are no secrets that it could carry; see secrets", ("auth",))
    injected = {"auth.cookies": auth.get("cookies", {}), "auth.query": auth.get("query", {})}
    texts = {where: tuple(values.values()) for where, values in injected.items()}
    if secrets:  # without any, braces mean nothing there
        texts["request_headers"] = tuple(v for v in headers.values() if v is not None)
    for where, values in texts.items():
        if unknown := {n for v in values for n in FIELD.findall(v) if n} - {*secrets}:
            raise AppError(
                f"{where}: {{{min(unknown)}}} is not a secret of this app; only"
                f" {', '.join(f'{{{n}}}' for n in secrets)} can be there, and {{{{ is a brace",
                where.split("."),
            )


def fill(template: str, values: Mapping[str, str]) -> str:
    """`template` with its fields filled in, in one pass; ``{{`` and ``}}`` are braces."""
    return FIELD.sub(lambda m: m[0][0] if m[1] is None else values[m[1]], template)


def _codes(given: Any) -> frozenset[int]:
    return frozenset(range(100, 600) if given == "any" else given)


def _requirement(data: Mapping[str, Any]) -> Requirement:
    kinds: tuple[Literal["program", "python", "file"], ...] = ("program", "python", "file")
    kind = next(k for k in kinds if k in data)
    names = data[kind]
    return Requirement(kind, (names,) if isinstance(names, str) else tuple(names), data["install"])


def schema_errors(data: Any) -> list[AppError]:
    """All that the schema of ``app.yaml`` has against `data`. Called by `check`."""
    found = sorted(_validator().iter_errors(data), key=lambda e: [str(p) for p in e.absolute_path])
    return [AppError(_sentence(error), path_of(error)) for error in found]


def path_of(error: ValidationError) -> list[str | int]:
    """Where `error` is: for a field that is not known, the field and not what it stands in."""
    path = list(error.absolute_path)
    if error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
        known = error.schema.get("properties", {}) if isinstance(error.schema, Mapping) else {}
        return path + [name for name in error.instance if name not in known][:1]
    if "propertyNames" in error.absolute_schema_path:
        return [*path, str(error.instance)]
    return path


def _sentence(error: ValidationError) -> str:
    where = ".".join(str(p) for p in error.absolute_path) or "app.yaml"
    return f"{where}: {shorten(error.message)}"


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
