"""`Forms`: what a launch dialog shows before anything is started, and what is kept of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .apps.app import App
from .errors import CorruptRecord, FieldError, InvalidRequest, StoreError
from .offers import Offers
from .options import OptionSchema
from .preferences import AppPreferences, Choices, Preferences
from .project import Project, project_of
from .requests import TimeLimits, folder
from .validation import absolute_path, check_choices, check_timeout

Layer = tuple[str, Mapping[str, Any]]
"""Where values come from, ``project`` or ``remembered``, and the values. The app's own defaults are
below all of them."""


@dataclass(frozen=True, slots=True)
class Laid:
    """Layers of values, laid over each other.

    Parameters
    ----------
    values
        By name, complete with defaults.
    sources
        The layer of each value: ``app``, ``project`` or ``remembered``.
    dropped
        What the schema does not accept, by layer: the value below counts instead.
    """

    values: Mapping[str, Any]
    sources: Mapping[str, str]
    dropped: Sequence[tuple[str, FieldError]] = ()


class Forms:
    """The forms of one server.

    Parameters
    ----------
    limits
        Gives the administrator's limits, which may change.
    """

    def __init__(
        self,
        offers: Offers,
        preferences: Preferences,
        root_dir: str,
        limits: Callable[[], TimeLimits],
        log: logging.Logger,
    ) -> None:
        self._offers = offers
        self._preferences = preferences
        self._root_dir = root_dir
        self._limits = limits
        self._log = log

    async def form(self, name: str, cwd: str = "", spawner: str = "") -> dict[str, Any]:
        """All that a launch dialog needs for an app: ``openapi.yaml`` documents it.

        Parameters
        ----------
        cwd
            The folder to start in, relative to the server's root folder.
        spawner
            The one to find choices for; empty for that which the form begins with.

        Raises
        ------
        AppNotFound, SpawnerNotFound, Untrusted, InvalidRequest
        """
        path = await folder(cwd, self._root_dir, self._offers.spawner("local").host)
        app = await self._offers.app(name, path)
        kept, problem = await self._kept(app.key)
        project = await asyncio.to_thread(project_of, app.name, path, self._root_dir)
        layers = [
            ("project", project.choices if project is not None else {}),
            ("remembered", _without_places(app, kept.remembered)),
        ]
        spawners = await self._offers.spawners(app)
        first, spawner_laid = self._spawner(layers, spawners)
        timeout_laid = self._timeout(layers)
        for_spawner = self._offers.spawner(spawner or first)
        choices, unknown = await self._offers.choices.fill(app, path, for_spawner)
        options = lay(choices, "options", _parts(layers, "options"), {"cwd": path})
        resources = {
            s["name"]: lay(
                OptionSchema(s["options"]),
                "resources",
                _parts([x for x in layers if x[1].get("spawner", s["name"]) == s["name"]]),
                {"cwd": path},
            )
            for s in spawners
        }
        laid = [spawner_laid, timeout_laid, options]
        if "spawner" in layers[0][1]:  # else its resources are for those spawners that have them
            laid.append(resources[first])
        return {
            "app": {**await self._offers.describe(app), "options": choices.schema},
            "spawners": spawners,
            "values": {
                "spawner": first,
                "cwd": _relative(path, self._root_dir),
                "timeout": timeout_laid.values["timeout"],
                "options": options.values,
                "resources": {name: found.values for name, found in resources.items()},
            },
            "usual": {"spawner": _usual(spawners), "timeout": self._limits().usual},
            "sources": {
                **spawner_laid.sources,
                **timeout_laid.sources,
                **{f"options.{n}": layer for n, layer in options.sources.items()},
                **{f"resources.{n}": layer for n, layer in resources[first].sources.items()},
            },
            "project": _described(project, [d for each in laid for d in each.dropped]),
            "presets": kept.presets,
            "problem": problem,
            "unknown": [{"field": e.field, "message": e.message} for e in unknown],
            "limits": {"max_timeout": self._limits().maximum},
        }

    # What is kept -----------------------------------------------------------------------------

    async def presets(self, name: str, cwd: str = "") -> Mapping[str, Choices]:
        """The presets of an app by name.

        Raises
        ------
        AppNotFound, CorruptRecord, StoreError
        """
        app = await self._app(name, cwd)
        return (await asyncio.to_thread(self._preferences.read, app.key)).presets

    async def remember(self, name: str, choices: Any, cwd: str = "") -> None:
        """Keep what somebody chose for an app; not where, and not for which file.

        Raises
        ------
        AppNotFound, InvalidRequest, CorruptRecord, StoreError
        """
        app = await self._app(name, cwd)
        kept = _without_places(app, check_choices(choices))
        await asyncio.to_thread(self._preferences.remember, app.key, kept)

    async def forget(self, name: str, cwd: str = "") -> None:
        """Keep no longer what somebody chose for an app; harmless if nothing is kept."""
        app = await self._app(name, cwd)
        await asyncio.to_thread(self._preferences.forget, app.key)

    async def save_preset(self, name: str, preset: str, choices: Any, cwd: str = "") -> None:
        """Keep `choices` for an app under a name of their own.

        Raises
        ------
        AppNotFound, InvalidRequest, CorruptRecord, StoreError
        """
        app = await self._app(name, cwd)
        await asyncio.to_thread(self._preferences.save_preset, app.key, preset, choices)

    async def delete_preset(self, name: str, preset: str, cwd: str = "") -> None:
        """Forget a preset.

        Raises
        ------
        AppNotFound, NotFound, InvalidRequest, CorruptRecord, StoreError
        """
        app = await self._app(name, cwd)
        await asyncio.to_thread(self._preferences.delete_preset, app.key, preset)

    async def _app(self, name: str, cwd: str) -> App:
        """The app `name`; `cwd` says which project is meant, as in `form`."""
        return await self._offers.app(name, absolute_path(cwd or self._root_dir, self._root_dir))

    async def _kept(self, app: str) -> tuple[AppPreferences, str]:
        """What is kept for `app`, and what is wrong with it: a file that cannot be read is no
        reason not to start anything.
        """
        try:
            return await asyncio.to_thread(self._preferences.read, app), ""
        except (CorruptRecord, StoreError) as error:
            self._log.warning("%s", error.message)
            return AppPreferences(), error.message

    # Layers of single values ------------------------------------------------------------------

    def _spawner(
        self, layers: Sequence[Layer], spawners: Sequence[Mapping[str, Any]]
    ) -> tuple[str, Laid]:
        known = [s["name"] for s in spawners if self._offers.has_spawner(s["name"])]
        value, source, dropped = _usual(spawners), "app", []
        for layer, choices in layers:
            wanted = choices.get("spawner")
            if isinstance(wanted, str) and wanted in known:
                value, source = wanted, layer
            elif wanted is not None:
                sentence = f"there is no spawner {wanted!r} here"
                dropped.append((layer, FieldError("spawner", sentence)))
        return value, Laid({"spawner": value}, {"spawner": source}, dropped)

    def _timeout(self, layers: Sequence[Layer]) -> Laid:
        limits = self._limits()
        value, source, dropped = limits.usual, "app", []
        for layer, choices in layers:
            if "timeout" not in choices:
                continue
            try:
                value = check_timeout("timeout", choices["timeout"], limits.maximum)
                source = layer
            except InvalidRequest as error:
                dropped += [(layer, field) for field in error.errors]
        return Laid({"timeout": value}, {"timeout": source}, dropped)


def _usual(spawners: Sequence[Mapping[str, Any]]) -> str:
    """The spawner if nobody says one."""
    usable = [str(s["name"]) for s in spawners if s["available"]]
    return "local" if "local" in usable or not usable else usable[0]


def lay(
    schema: OptionSchema, prefix: str, layers: Sequence[Layer], places: Mapping[str, str]
) -> Laid:
    """`layers`, the lowest first, over the defaults of `schema`, field by field.

    A value that the schema does not accept is dropped, and the value of the layer below counts for
    this field. What is only missing stays missing: a form asks for it.
    """
    stacks: dict[str, list[tuple[str, Any]]] = {}
    dropped: list[tuple[str, FieldError]] = []
    for layer, values in layers:
        for name, value in values.items():
            if name in schema.properties:
                stacks.setdefault(name, []).append((layer, value))
            else:
                sentence = "there is no such option"
                dropped.append((layer, FieldError(f"{prefix}.{name}", sentence)))
    while True:
        given = {name: stack[-1][1] for name, stack in stacks.items()}
        values, errors = schema.look(given, prefix, places)
        wrong = {name: error for error in errors if (name := _name(error, prefix)) in given}
        whole = next((e for e in errors if e.field == prefix), None)
        if not wrong and whole is not None:  # the values do not go together: the upper layer goes
            top = next((layer for layer, _ in reversed(layers) if _has(stacks, layer)), None)
            wrong = {n: whole for n, stack in stacks.items() if stack[-1][0] == top}
        for name, error in wrong.items():
            layer, _value = stacks[name].pop()
            dropped.append((layer, error))
            if not stacks[name]:
                del stacks[name]
        if not wrong:
            sources = {n: stacks[n][-1][0] if n in stacks else "app" for n in values}
            return Laid(values, sources, dropped)


def _has(stacks: Mapping[str, Sequence[tuple[str, Any]]], layer: str) -> bool:
    return any(stack[-1][0] == layer for stack in stacks.values())


def _name(error: FieldError, prefix: str) -> str:
    """The name of the value that `error` is about, or whose part it is about."""
    return error.field.removeprefix(f"{prefix}.").partition(".")[0]


def _parts(layers: Sequence[Layer], part: str = "resources") -> list[Layer]:
    return [(layer, choices.get(part, {})) for layer, choices in layers]


def _without_places(app: App, choices: Choices) -> Choices:
    """`choices` without the folder and the file that a session was started for, and passwords."""
    placed = app.choices.from_place("cwd") | app.choices.from_place("file")
    placed |= app.choices.passwords()
    options = {n: v for n, v in choices.get("options", {}).items() if n not in placed}
    return {**choices, "options": options} if "options" in choices else choices


def _relative(path: str, root: str) -> str:
    """`path` relative to the server's root folder, as Jupyter writes it, if it lies in there."""
    if not Path(path).is_relative_to(root):
        return path
    relative = str(Path(path).relative_to(root))
    return "" if relative == "." else relative


def _described(
    project: Project | None, dropped: Sequence[tuple[str, FieldError]]
) -> dict[str, str] | None:
    if project is None:
        return None
    ignored = [f"{e.field}: {e.message}" for layer, e in dropped if layer == "project"]
    return {"origin": project.origin, "problem": "; ".join([project.problem, *ignored]).strip("; ")}
