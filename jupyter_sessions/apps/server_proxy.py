"""The source of apps that were made for jupyter-server-proxy; see `servers` and `serving`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

from traitlets.config.loader import Config, LazyConfigValue

from .app import App, AppError
from .defined import defined
from .folders import BUILTIN, Broken, Definition
from .packages import plugins
from .servers import Server, read_server
from .serving import definition, listing

GROUP = "jupyter_serverproxy_servers"


def configured_servers(config: Config) -> Any:
    """``c.ServerProxy.servers``, whichever way it was written: definitions by name."""
    servers = config.ServerProxy.get("servers", {})
    return servers.get_value({}) if isinstance(servers, LazyConfigValue) else servers


def server_proxy_apps(servers: Any) -> Iterator[Definition]:
    """The servers of packages, then those of the configuration, each as an app.

    Parameters
    ----------
    servers
        Those of the configuration; see `configured_servers`.
    """
    for plugin in plugins(GROUP):
        if plugin.problem:
            name = app_name(plugin.name) or plugin.name
            yield Broken(name, plugin.origin, plugin.problem, expected=True)
        else:
            yield _app(plugin.name, plugin.value, plugin.origin)
    if not isinstance(servers, Mapping):
        yield Broken("server-proxy", "ServerProxy.servers", f"{servers!r} is no dictionary")
        return
    for name, value in servers.items():
        given = str(getattr(value, "name", "") or name)
        yield _app(given, value, f"ServerProxy.servers[{name!r}]")


def server_names(servers: Any) -> dict[str, str]:
    """The names of apps by the names of their servers: the first part of their old URLs."""
    found = {p.name: app_name(p.name) for p in plugins(GROUP) if not p.problem}
    if isinstance(servers, Mapping):
        names = [str(getattr(v, "name", "") or n) for n, v in servers.items()]
        found |= {n: app_name(n) for n in names}
    return {name: app for name, app in found.items() if app}


def app_name(server: str) -> str:
    """What the app of a server is called: it may not have every character, nor a name of ours.

    Somebody who has both, say, `desktop` of this package and a server with that name can start
    either. Empty if nothing of the name is left.
    """
    name = re.sub(r"[^a-z0-9]+", "-", server.lower()).strip("-")[:50].rstrip("-")
    return f"{name}-proxy" if name in _builtin() else name


@lru_cache(1)
def _builtin() -> frozenset[str]:
    return frozenset(path.parent.name for path in BUILTIN.glob("*/app.yaml"))


def _app(name: str, value: Any, origin: str) -> Definition:
    own = app_name(name)
    try:
        if not own:
            raise AppError(f"its name, {name!r}, has no letter and no digit")
        server = read_server(name, value)
    except AppError as error:
        return Broken(own or name, origin, str(error))
    return _of_server(server, own, origin)


def _of_server(server: Server, name: str, origin: str) -> Definition:
    listed = listing(server, name)
    app = defined(listed, origin, name)
    if not isinstance(app, App):
        return app
    return replace(
        app,
        icon_file=server.icon,
        notice=" ".join(server.ignored),
        prepare=partial(definition, server, listed),
    )
