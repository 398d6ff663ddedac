"""The configured hosts and spawners, built from traits through entry points."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, TypeVar

from traitlets import TraitError
from traitlets.config import LoggingConfigurable

from .hosts.base import Host
from .spawners.base import Spawner

C = TypeVar("C", bound=LoggingConfigurable)


class PlaceError(ValueError):
    """The configuration of a host or spawner is wrong; the message names the trait."""


def build_hosts(configured: Mapping[str, Mapping[str, Any]], parent: Any) -> dict[str, Host]:
    """The hosts by name: ``local``, and those `configured`."""
    specs: dict[str, Mapping[str, Any]] = {"local": {"class": "local"}, **configured}
    return {name: _build(Host, "hosts", name, spec, parent) for name, spec in specs.items()}


def build_spawners(
    configured: Mapping[str, Mapping[str, Any]], hosts: Mapping[str, Host], parent: Any
) -> dict[str, Spawner]:
    """The spawners by name: ``local``, and those `configured`, each on its host."""
    here = {"class": "process", "title": "This machine"}
    specs: dict[str, Mapping[str, Any]] = {"local": here, **configured}
    built = {}
    for name, spec in specs.items():
        host = _mapping("spawners", name, spec).get("host", "local")
        if not isinstance(host, str) or host not in hosts:
            known = ", ".join(sorted(hosts))
            raise PlaceError(f"SessionManager.spawners[{name!r}]: no host {host!r}; known: {known}")
        rest = {k: v for k, v in spec.items() if k != "host"}
        built[name] = _build(Spawner, "spawners", name, rest, parent)
        built[name].host = hosts[host]
    return built


def _mapping(kind: str, name: str, spec: Any) -> Mapping[str, Any]:
    if not isinstance(spec, Mapping):
        raise PlaceError(f"SessionManager.{kind}[{name!r}]: {spec!r} is not a dict with a `class`")
    return spec


def _build(base: type[C], kind: str, name: str, spec: Mapping[str, Any], parent: Any) -> C:
    where = f"SessionManager.{kind}[{name!r}]"
    found = {e.name: e for e in entry_points(group=f"jupyter_sessions.{kind}")}
    wanted = _mapping(kind, name, spec).get("class")
    if not isinstance(wanted, str) or wanted not in found:
        raise PlaceError(f"{where}: no class {wanted!r}; installed: {', '.join(sorted(found))}")
    try:
        cls = found[wanted].load()
    except (ImportError, AttributeError) as error:
        raise PlaceError(f"{where}: {found[wanted].value} cannot be loaded: {error}") from error
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise PlaceError(f"{where}: {found[wanted].value} is not a {base.__name__}")
    traits = {k: v for k, v in spec.items() if k != "class"}
    if unknown := traits.keys() - cls.class_trait_names(config=True):
        raise PlaceError(f"{where}: {cls.__name__} has no trait {min(unknown)!r}")
    try:
        place = cls(parent=parent, name=name)
        for trait, value in traits.items():
            setattr(place, trait, value)
    except TraitError as error:
        raise PlaceError(f"{where}: {error}") from None
    return place
