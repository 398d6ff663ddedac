"""Apps made of other apps: an ``app.yaml`` that ``extends`` one, and administrators' changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..options import SchemaProblem
from .app import App, AppError

ADDED_TO = ("env", "ready", "stop", "request_headers", "response_headers", "paths")
"""Keys whose entries are added to those of the app that is extended; others replace its value."""


@dataclass(frozen=True)
class Derived:
    """A definition that says only how its app differs from another one.

    Parameters
    ----------
    extends
        The name of that one.
    definition
        Of which the outline was checked.
    directory
        Its folder, if it has one.
    """

    name: str
    extends: str
    definition: Mapping[str, Any]
    origin: str
    directory: Path | None = None


def derive(derived: Derived, base: App) -> App:
    """The app that `derived` describes, on the ground of `base`.

    ``{app_dir}`` stays the folder of the app that the command is from.

    Raises
    ------
    AppError
    """
    if base.prepare is not None:
        raise AppError(
            f"extends: {base.name} says what to run only when it starts, and cannot be extended",
            ("extends",),
        )
    own = {k: v for k, v in derived.definition.items() if k not in ("extends", "values")}
    whole: dict[str, Any] = {**base.definition, **own}
    origins = dict.fromkeys(base.definition.keys() - own.keys(), base.origin)
    origins |= {k: o for k, o in base.origins.items() if k.partition(".")[0] not in own}
    for key in ADDED_TO:
        if key in own and key in base.definition:
            whole[key] = {**base.definition[key], **own[key]}
            kept = base.definition[key].keys() - own[key].keys()
            origins |= {f"{key}.{k}": base.origins.get(f"{key}.{k}", base.origin) for k in kept}
    if "requires" in own:
        whole["requires"] = [*base.definition.get("requires", ()), *own["requires"]]
    changes = {}
    for name, value in derived.definition.get("values", {}).items():
        if base.choices.properties.get(name, {}).get("x-fixed"):
            sentence = (
                f"values.{name}: {base.origins.get(f'options.{name}', base.name)} has fixed it"
            )
            raise AppError(sentence, ("values", name))
        changes[name] = _value(value)
        origins[f"options.{name}"] = derived.origin
    if changes:
        whole["options"] = _changed(base, changes, "values")
    folders = () if derived.directory is None else (derived.directory,)
    app = _build(json.dumps(whole), derived.origin, _where(changes))
    return replace(
        app,
        directory=derived.directory if "command" in own else base.directory,
        folders=(*folders, *base.picture_folders),
        icon_file=base.icon_file,
        notice=base.notice,
        finders=base.finders,
        origins=origins,
    )


def override(app: App, changes: Any, origin: str) -> App:
    """`app` with an administrator's changes of its options.

    Parameters
    ----------
    changes
        By option, keywords of JSON Schema that it gets; ``const`` fixes it.

    Raises
    ------
    AppError
    """
    if not isinstance(changes, Mapping):
        raise AppError(f"{origin}: give an object of options")
    schemas: dict[str, dict[str, Any]] = {}
    for name, keywords in changes.items():
        if not isinstance(keywords, Mapping):
            sentence = f"{origin}: {name}: give an object of JSON Schema's keywords"
            raise AppError(f"{sentence}, such as maximum or const")
        fixed = {"x-fixed": True, "default": keywords["const"]} if "const" in keywords else {}
        schemas[str(name)] = {**fixed, **keywords}
    if not schemas:
        return app
    try:
        text = json.dumps({**app.definition, "options": _changed(app, schemas, origin)})
    except (TypeError, ValueError) as error:
        raise AppError(f"{origin}: is not plain data: {error}") from None
    try:
        changed = _build(text, app.origin, ())
    except AppError as error:
        raise AppError(f"{origin}: {error}") from None
    own = {f"options.{name}": origin for name in schemas}
    return replace(
        app,
        choices=changed.choices,
        definition=changed.definition,
        origins={**app.origins, **own},
    )


def _value(given: Any) -> dict[str, Any]:
    """What ``values`` says of an option, as keywords: another default, or a value for good."""
    if isinstance(given, Mapping) and len(given) == 1:
        if "fixed" in given:
            return {"default": given["fixed"], "const": given["fixed"], "x-fixed": True}
        if "default" in given:
            return dict(given)
    return {"default": given}


def _changed(app: App, changes: Mapping[str, Mapping[str, Any]], where: str) -> dict[str, Any]:
    try:
        return app.choices.changed(changes)
    except SchemaProblem as problem:
        raise AppError(f"{where}: {problem}", (where, *problem.path)) from None


def _where(changes: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(changes)


@lru_cache(1000)  # what has not changed is checked once
def _build(text: str, origin: str, changed: tuple[str, ...]) -> App:
    try:
        return App.from_definition(json.loads(text), origin=origin)
    except AppError as error:
        # A value that does not fit is found at the option's default; people wrote it elsewhere.
        match error.path:
            case ("options", "properties", str(name), *_) if name in changed:
                raise AppError(f"values.{name}: {error}", ("values", name)) from None
        raise
