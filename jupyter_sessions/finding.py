"""`ChoiceFinder`: options whose choices are found out when somebody asks for them.

An option with ``x-choices-from`` gets an ``enum`` of what there is: for a form, and again at the
start, where a value has to be among what is there then. What cannot be found out is a problem of
that field, and bounds nothing: people can still type what they know.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from .apps.app import App
from .apps.finders import FINDERS, Choice, Context, Finder, NotFoundHere
from .errors import FieldError
from .options import OptionSchema
from .plain import unfit
from .sentences import shorten
from .spawners.base import Spawner

FIND_SECONDS = 20.0
"""Seconds that finding out may take; what comes later is there for the next time."""
KEPT_SECONDS = 10.0
"""Seconds that what was found counts."""
MOST_CHOICES = 5000

Found = tuple[Sequence[Choice], str]
"""The choices, or why there are none."""


class ChoiceFinder:
    """Finds choices, each kind by one thread at a time, and keeps them some seconds."""

    def __init__(self) -> None:
        self._known: dict[object, tuple[float, Found]] = {}
        self._tasks: dict[object, asyncio.Task[Found]] = {}

    async def fill(
        self, app: App, cwd: str, spawner: Spawner
    ) -> tuple[OptionSchema, list[FieldError]]:
        """The options of `app` with their choices, and what could not be found out.

        Called for each form and each start.

        Parameters
        ----------
        cwd
            The session's folder, absolute.
        """
        asked = {
            name: str(schema["x-choices-from"])
            for name, schema in app.choices.properties.items()
            if "x-choices-from" in schema
        }
        if not asked:
            return app.choices, []
        context = Context(cwd, spawner.name)
        found = await asyncio.gather(
            *(self._find(app, name, kind, context, spawner) for name, kind in asked.items())
        )
        changes: dict[str, dict[str, Any]] = {}
        problems = []
        for name, (choices, problem) in zip(asked, found, strict=True):
            schema = app.choices.properties[name]
            fitting = _fitting(choices, schema)
            if not problem and not fitting:
                problem = "there is nothing to choose from here"
            if problem:
                problems.append(FieldError(f"options.{name}", problem))
            else:
                changes[name] = _bounds(fitting, schema)
        return _with(app.choices, changes), problems

    async def _find(
        self, app: App, name: str, kind: str, context: Context, spawner: Spawner
    ) -> Found:
        if kind.startswith("spawner:"):
            return _of_spawner(spawner, kind.removeprefix("spawner:"))
        own = app.finders.get(name)
        finder = own or FINDERS.get(kind)
        if finder is None:
            return [], "its choices come from a function that is not there any more"
        if own is None and spawner.host.name != "local":
            return [], f"what there is on {spawner.host.name} cannot be found out from here"
        wide = own is not None or kind == "python-environments"
        key = (kind if own is None else id(own), context if wide else None)
        kept = self._known.get(key)
        if kept is not None and time.monotonic() < kept[0]:
            return kept[1]
        if key not in self._tasks:
            self._tasks[key] = asyncio.create_task(self._run(key, finder, context))
        try:
            # Not cancelled: one that hangs is not called again beside itself.
            return await asyncio.wait_for(asyncio.shield(self._tasks[key]), FIND_SECONDS)
        except TimeoutError:
            return [], f"it has not been found out within {FIND_SECONDS:g} s"

    async def _run(self, key: object, finder: Finder, context: Context) -> Found:
        try:
            found = await asyncio.to_thread(partial(_called, finder, context))
            now = time.monotonic()
            self._known = {k: kept for k, kept in self._known.items() if now < kept[0]}
            self._known[key] = (now + KEPT_SECONDS, found)
            return found
        finally:
            del self._tasks[key]


def _called(finder: Finder, context: Context) -> Found:
    """What `finder` says, made plain. Never raises: it may be somebody else's code."""
    try:
        return [_choice(item) for item in list(finder(context))[:MOST_CHOICES]], ""
    except NotFoundHere as reason:
        return [], str(reason)
    except (Exception, SystemExit) as error:
        return [], shorten(" ".join(f"{type(error).__name__}: {error}".split()))


def _choice(item: Any) -> Choice:
    value, title = item if isinstance(item, tuple | list) and len(item) == 2 else (item, None)
    if not isinstance(value, str | int | float | bool) or (problem := unfit(value)):
        why = problem if isinstance(value, str | int | float | bool) else "it is no plain value"
        raise ValueError(f"{value!r} cannot be a choice: {why}")
    return value, str(value if title is None else title)


def _of_spawner(spawner: Spawner, resource: str) -> Found:
    schema = OptionSchema(spawner.options_schema()).properties.get(resource)
    if schema is None:
        return [], f"the spawner {spawner.name} has no resource {resource}"
    choices = schema.get("enum") or schema.get("examples") or []
    return [_choice(value) for value in choices if value is not None], ""


def _fitting(choices: Iterable[Choice], schema: Mapping[str, Any]) -> list[Choice]:
    """`choices`, each once, as far as an ``enum`` that is there already has them."""
    bound = _item(schema).get("enum")
    unique = {repr(value): (value, title) for value, title in choices}
    return [c for c in unique.values() if bound is None or c[0] in bound]


def _item(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """What one value has to be: of a list, an item."""
    item = schema.get("items") if schema.get("type") == "array" else schema
    return item if isinstance(item, Mapping) else {}


def _bounds(choices: Sequence[Choice], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords that offer `choices`, and nothing else."""
    # enumNames: what the form's library calls titles; for a validator it is a remark.
    enum = {"enum": [value for value, _ in choices], "enumNames": [title for _, title in choices]}
    if schema.get("type") == "array":
        return {"items": {**_item(schema), **enum}, "uniqueItems": True}
    return enum


def _with(schema: OptionSchema, changes: Mapping[str, Mapping[str, Any]]) -> OptionSchema:
    if not changes:
        return schema
    filled = OptionSchema(schema.changed(changes))
    for name in changes:
        # A default that is not there would be in the way of every start.
        if _stale(filled.properties[name]):
            filled = OptionSchema(filled.without_default(name))
    return filled


def _stale(schema: Mapping[str, Any]) -> bool:
    if "default" not in schema:
        return False
    default, choices = schema["default"], _item(schema)["enum"]
    values = default if isinstance(default, list) else [default]
    return any(value not in choices for value in values)
