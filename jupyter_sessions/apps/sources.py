"""Where apps come from, and in which order: a later source replaces what an earlier one has."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .app import App
from .attached import from_services
from .defined import defined
from .folders import BUILTIN, Broken, Definition, folders, read_app, read_folder
from .packages import Plugin, plugins
from .server_proxy import server_proxy_apps
from .service_directory import read_service, read_services

Source = Callable[[], Iterable[Definition]]
"""Gives the apps of one source as they are now. Called in a thread; never raises."""
GROUP = "jupyter_sessions.apps"
"""The group of the entry points by which packages bring apps."""


def all_sources(
    configured: Mapping[str, Any],
    servers: Any,
    services: Mapping[str, Any] = MappingProxyType({}),
    directories: Sequence[str] = (),
) -> list[Source]:
    """All sources, first to last.

    Parameters
    ----------
    configured
        The trait ``SessionManager.apps``.
    servers
        jupyter-server-proxy's, from the configuration (`configured_servers`); None leaves out
        those of packages too.
    services
        The trait ``SessionManager.services``.
    directories
        The trait ``SessionManager.service_directories``.
    """
    return [
        builtin,
        *([] if servers is None else [partial(server_proxy_apps, servers)]),
        from_packages,
        partial(read_services, directories),
        on_config_path,
        partial(from_services, services),
        partial(from_configuration, configured),
    ]


def builtin() -> Iterator[Definition]:
    """The apps of this package."""
    yield from read_folder(BUILTIN)


def on_config_path() -> Iterator[Definition]:
    """The apps in folders on Jupyter's configuration path, the user's last."""
    for folder in folders():
        yield from read_folder(folder)
        yield from read_services([folder])


def from_packages() -> Iterator[Definition]:
    """The apps that installed packages bring by entry points of `GROUP`."""
    for plugin in plugins(GROUP):
        yield from _of_plugin(plugin)


def from_configuration(configured: Mapping[str, Any]) -> Iterator[Definition]:
    """The apps of the trait ``SessionManager.apps``: definitions by name."""
    for name, definition in configured.items():
        origin = f"SessionManager.apps[{name!r}]"
        if not isinstance(definition, Mapping):
            yield Broken(str(name), origin, "is not a definition: a dict of an app.yaml's fields")
            continue
        title = {} if "extends" in definition else {"title": name}
        named = {"name": name, **title, **definition}
        if named["name"] != name:
            yield Broken(str(name), origin, f"name: {named['name']!r} is not the name it is under")
        else:
            yield defined(named, origin, str(name))


def _of_plugin(plugin: Plugin) -> Iterator[Definition]:
    if plugin.problem:
        yield Broken(plugin.name, plugin.origin, plugin.problem, expected=True)
        return
    try:
        yield from _of_value(plugin.value, plugin)
    except Exception as error:  # what it gives is somebody else's code: the other apps go on
        yield Broken(plugin.name, plugin.origin, f"{error!r}")


def _of_value(value: Any, plugin: Plugin, depth: int = 0) -> Iterator[Definition]:
    """The apps that an entry point gives, in any of the forms that it may give them."""
    match value:
        case App():
            found = defined(value.definition, plugin.origin, plugin.name, value.directory)
            yield replace(found, finders=value.finders) if isinstance(found, App) else found
        case Mapping():
            yield defined(value, plugin.origin, plugin.name)
        case str() | os.PathLike():
            yield from _of_folder(Path(value), plugin)
        case Iterable() if depth < 2:
            for item in value:
                yield from _of_value(item, plugin, depth + 1)
        case _:
            sentence = (
                f"{value!r} is no app: give a definition, a folder with app.yaml, an App,"
                " several of these, or a function that returns them"
            )
            yield Broken(plugin.name, plugin.origin, sentence)


def _of_folder(folder: Path, plugin: Plugin) -> Iterator[Definition]:
    """The app in `folder`, or those in the folders in it. Each keeps its file as its origin."""
    if not folder.is_absolute():
        yield Broken(plugin.name, plugin.origin, f"{folder} is not an absolute path")
    elif (found := read_app(folder / "app.yaml")) is not None:
        yield found
    elif (service := read_service(folder)) is not None:
        yield service
    elif not (several := [*read_folder(folder), *read_services([folder])]):
        yield Broken(plugin.name, plugin.origin, f"there is no app.yaml in {folder}")
    else:
        yield from several
