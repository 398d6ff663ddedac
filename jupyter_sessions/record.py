"""A session as JSON: as the store keeps it (`dump`, `load`) and as people see it (`describe`)."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from .actions import actions
from .routes import Address
from .session import ENDED, Session, State

VERSION = 1
"""The schema of ``session.json``. A reader refuses a newer one rather than guess."""


def dump(session: Session) -> dict[str, Any]:
    """`session` as the store writes it."""
    return {"version": VERSION, **_encode(session)}


def load(data: Any) -> Session:
    """The session that `dump` wrote.

    Raises
    ------
    ValueError
        If `data` is not such a record; the message names the field.
    """
    if not isinstance(data, dict):
        raise ValueError("it is not a JSON object")
    if data.get("version") != VERSION:
        raise ValueError(
            f"version: this release reads version {VERSION}, the record has {data.get('version')!r}"
        )
    session: Session = _decode(Session, data, "")
    return session


def describe(
    session: Session,
    open_path: str = "",
    base_url: str | None = None,
    spawner_title: str = "",
) -> dict[str, Any]:
    """`session` as the REST API and ``--json`` answer it: documented in ``openapi.yaml``.

    Parameters
    ----------
    open_path
        Where the app likes to be opened, below its URL.
    base_url
        The prefix of the server that answers, if that is not the one that launched it.
    spawner_title
        What people call its spawner, if that is not its name.
    """
    attempt = session.attempt
    prefix = session.prefix if base_url is None else f"{base_url}sessions/{session.id}/"
    return {
        "id": session.id,
        "name": session.name,
        "app": session.app,
        "title": session.app_definition.get("title", session.app),
        "spawner": session.spawner,
        "spawner_title": spawner_title or session.spawner,
        "options": dict(session.options),
        "cwd": session.cwd,
        "state": session.state.value,
        "target": session.target.value,
        "attempt": attempt.number,
        "message": attempt.message,
        "reason": attempt.reason,
        "url": prefix + open_path,
        "links": [
            {"title": link.title, "url": prefix + link.path}
            for link in (attempt.told.links if session.state is State.RUNNING else ())
        ],
        "host": attempt.host,
        "created": _iso(session.created),
        "started": _iso(attempt.started),
        "ready": _iso(attempt.ready),
        "ended": _iso(attempt.ended),
        "timeout": session.timeout,
        "expires": _iso(attempt.expires) if session.state not in ENDED else None,
        "last_activity": _iso(session.last_activity),
        "unreachable_since": _iso(attempt.unreachable_since),
        "exit_code": attempt.exit_code,
        "resources": dict(session.resources),
        "actions": actions(session),
        "revision": session.revision,
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _encode(value: Any) -> Any:
    if isinstance(value, Address):
        return value.to_json()
    if is_dataclass(value):
        return {f.name: _encode(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, datetime):
        return _iso(value)
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Mapping):
        return {k: _encode(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(v) for v in value]
    return value


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _decode(hint: Any, value: Any, where: str) -> Any:
    """`value` as the type `hint` says; ValueError names `where` it does not fit."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        inner = [h for h in get_args(hint) if h is not type(None)]
        return None if value is None else _decode(inner[0], value, where)
    if hint is Address:
        return Address.from_json(_expect(value, dict, where))
    if is_dataclass(hint) and isinstance(hint, type):
        data = _expect(value, dict, where)
        known = {f.name: f for f in fields(hint) if f.name in data}
        try:
            return hint(
                **{n: _decode(_hints(hint)[n], data[n], f"{where}.{n}".lstrip(".")) for n in known}
            )
        except TypeError as error:
            raise ValueError(f"{where or 'record'}: {error}") from None
    if hint is datetime:
        try:
            return datetime.fromisoformat(_expect(value, str, where)).astimezone(UTC)
        except ValueError:
            raise ValueError(f"{where}: {value!r} is not a time in ISO 8601") from None
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        try:
            return hint(value)
        except ValueError:
            raise ValueError(f"{where}: {value!r} is not one of {', '.join(hint)}") from None
    if origin is tuple:
        return tuple(
            _decode(get_args(hint)[0], v, f"{where}[{n}]")
            for n, v in enumerate(_expect(value, list, where))
        )
    if hint is float:
        number = float(_expect(value, (int, float), where))
        if not abs(number) < 1e10:  # NaN is not, either: no clock can hold them
            raise ValueError(f"{where}: {value!r} is not a number of seconds")
        return number
    return _expect(value, dict if origin is not None else hint, where)


def _expect(value: Any, kind: Any, where: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{where or 'record'}: {value!r} has the wrong type")
    return value
