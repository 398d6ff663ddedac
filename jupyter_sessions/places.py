"""The configured hosts and spawners, built from traits through entry points."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from traitlets import TraitError
from traitlets.config import LoggingConfigurable

from .apps.packages import entries
from .hosts.base import Host
from .spawners.base import Spawner

C = TypeVar("C", bound=LoggingConfigurable)


class PlaceError(ValueError):
    """The configuration of a host or spawner is wrong; the message names the trait."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """What cannot be used as it is configured, by name: a sentence each. The others go on."""

    hosts: dict[str, str] = field(default_factory=dict)
    spawners: dict[str, str] = field(default_factory=dict)


def build_hosts(
    configured: Mapping[str, Mapping[str, Any]], parent: Any, wrong: Wrong | None = None
) -> dict[str, Host]:
    """The hosts by name: ``local``, and those `configured`.

    Parameters
    ----------
    wrong
        Takes those that cannot be used; without it, and for ``local``, they are errors.

    Raises
    ------
    PlaceError
    """
    specs: dict[str, Mapping[str, Any]] = {"local": {"class": "local"}, **configured}
    built = {}
    for name, spec in specs.items():
        with _kept(name, None if wrong is None else wrong.hosts):
            built[name] = _build(Host, "hosts", name, spec, parent)
    return built


def build_spawners(
    configured: Mapping[str, Mapping[str, Any]],
    hosts: Mapping[str, Host],
    parent: Any,
    wrong: Wrong | None = None,
) -> dict[str, Spawner]:
    """The spawners by name: ``local``, and those `configured`, each on its host.

    Parameters
    ----------
    wrong
        As for `build_hosts`.

    Raises
    ------
    PlaceError
    """
    here = {"class": "process", "title": "This machine"}
    specs: dict[str, Mapping[str, Any]] = {"local": here, **configured}
    built = {}
    for name, spec in specs.items():
        with _kept(name, None if wrong is None else wrong.spawners):
            host = _mapping("spawners", name, spec).get("host", "local")
            if wrong is not None and isinstance(host, str) and host in wrong.hosts:
                raise PlaceError(wrong.hosts[host])
            if not isinstance(host, str) or host not in hosts:
                where = f"SessionManager.spawners[{name!r}]"
                raise PlaceError(f"{where}: no host {host!r}; {_known(host, hosts)}")
            rest = {k: v for k, v in spec.items() if k != "host"}
            place = _build(Spawner, "spawners", name, rest, parent)
            place.host = hosts[host]
            if problem := place.misconfigured():
                raise PlaceError(f"SessionManager.spawners[{name!r}]: {problem}")
            built[name] = place
    return built


@contextmanager
def _kept(name: str, problems: dict[str, str] | None) -> Iterator[None]:
    """Keep what is wrong with one place among `problems`; ``local`` nobody can do without."""
    try:
        yield
    except PlaceError as error:
        if problems is None or name == "local":
            raise
        problems[name] = str(error)


def _known(wanted: Any, names: Iterable[str], word: str = "known") -> str:
    """What there is instead of `wanted`."""
    close = difflib.get_close_matches(wanted, list(names), n=1) if isinstance(wanted, str) else []
    meant = f"did you mean {close[0]!r}? " if close else ""
    return f"{meant}{word}: {', '.join(sorted(names))}"


def _mapping(kind: str, name: str, spec: Any) -> Mapping[str, Any]:
    if not isinstance(spec, Mapping):
        raise PlaceError(f"SessionManager.{kind}[{name!r}]: {spec!r} is not a dict with a `class`")
    return spec


def _build(base: type[C], kind: str, name: str, spec: Mapping[str, Any], parent: Any) -> C:
    where = f"SessionManager.{kind}[{name!r}]"
    found = {e.name: e for e in entries(f"jupyter_sessions.{kind}")}
    wanted = _mapping(kind, name, spec).get("class")
    if not isinstance(wanted, str) or wanted not in found:
        raise PlaceError(f"{where}: no class {wanted!r}; {_known(wanted, found, 'installed')}")
    try:
        cls = found[wanted].load()
    except (ImportError, AttributeError) as error:
        raise PlaceError(f"{where}: {found[wanted].value} cannot be loaded: {error}") from error
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise PlaceError(f"{where}: {found[wanted].value} is not a {base.__name__}")
    traits = {k: v for k, v in spec.items() if k != "class"}
    there = cls.class_trait_names(config=True)
    if unknown := traits.keys() - set(there):
        trait = min(unknown)
        raise PlaceError(f"{where}: {cls.__name__} has no trait {trait!r}; {_known(trait, there)}")
    try:
        place = cls(parent=parent, name=name)
        for trait, value in traits.items():
            setattr(place, trait, value)
    except TraitError as error:
        raise PlaceError(f"{where}: {error}") from None
    return place
