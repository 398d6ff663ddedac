"""How the gateway reaches a running session, and nothing else about it.

This is the whole vocabulary that the manager and the gateway share: the gateway imports this
module and ``errors``, nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol


@dataclass(frozen=True, slots=True)
class Address:
    """Where something listens, as seen from where the address is used.

    Either a Unix socket (`path`) or a TCP port (`host`, `port`), the latter with or without TLS.

    Or a *gate* on a node (see ``gate``), which only `Spawner.connect` can make something of:
    `host` and `port`, empty and 0 if the gate dials, and `path`, the folder of this machine that
    has the keys to it.

    `node` is the machine behind the spawner's host where all this is, as its scheduler calls it;
    empty if it is the host itself.
    """

    scheme: Literal["unix", "tcp", "tls", "gate"]
    path: str = ""
    host: str = ""
    port: int = 0
    node: str = ""

    @classmethod
    def unix(cls, path: str) -> Address:
        return cls("unix", path=path)

    @classmethod
    def tcp(cls, host: str, port: int) -> Address:
        return cls("tcp", host=host, port=port)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Address:
        """Read what `to_json` wrote (and the runner's ``connection.json``)."""
        node = str(data.get("node") or "")
        if data.get("scheme") != "gate" and "path" in data:
            return cls("unix", path=str(data["path"]), node=node)
        schemes: dict[Any, Literal["tls", "gate"]] = {"tls": "tls", "gate": "gate"}
        return cls(
            schemes.get(data.get("scheme"), "tcp"),
            path=str(data.get("path") or ""),
            host=str(data["host"]),
            port=int(data["port"]),
            node=node,
        )

    def to_json(self) -> dict[str, Any]:
        told: dict[str, Any] = {"scheme": self.scheme}
        if self.scheme != "unix":
            told |= {"host": self.host, "port": self.port}
        optional = {"path": self.path, "node": self.node}
        return told | {name: value for name, value in optional.items() if value}

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.scheme == "unix" else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Route:
    """A running session, as far as the gateway is concerned.

    Parameters
    ----------
    session_id
        The session's id, for metrics and for closing its connections when it ends.
    prefix
        The public URL path of the session without a trailing slash: ``/user/ada/sessions/k3x…``.
    address
        Where the app listens.
    strip
        True if `prefix` is removed from the path before the app sees it (and put back into
        ``Location`` and cookie paths); False if the app was told its prefix and keeps it.
    base
        What takes the place of `prefix` in paths for the app, without a trailing slash: it serves
        the session below that. Empty for an app that is all the session's, or keeps its prefix.
    own_hosts
        Hosts, in lower case and with their ports, by which the app may mean itself in a redirect,
        besides the one that it is asked for.
    request_headers
        Set on every request to the app, after everything else; a value of None removes the header.
    response_headers
        The same for the app's answers.
    cookies
        Cookies of every request to the app, in place of the client's of these names.
    query
        Parameters, percent-encoded, that the app is opened with: at the path `opens` by somebody
        who navigates there. They are the app's to see, and never the browser's.
    opens
        The path, decoded, below `prefix` at which it is opened; begins with a slash.
    paths
        Paths below `prefix`, decoded, that the app knows by another name, and that name. Not for
        upgrades.
    page
        The path, decoded, below `prefix` at which a page stands that is not the app's but
        Jupyter's: what is there below the base URL. Empty if there is none.
    """

    session_id: str
    prefix: str
    address: Address
    strip: bool = True
    base: str = ""
    own_hosts: frozenset[str] = frozenset()
    request_headers: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    response_headers: Mapping[str, str | None] = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    opens: str = "/"
    page: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A session that cannot be proxied now: not yet running, or ended.

    Parameters
    ----------
    session
        The session as the REST API answers it (``id``, ``name``, ``state``, ``message``,
        ``reason``, ``exit_code``, ``url``, ``actions``, …): what the waiting page shows.
    ended
        True if it will not become ready by itself.
    log_tail
        The last lines of the app's log, if there are any.
    """

    session: Mapping[str, Any]
    ended: bool
    log_tail: str = ""


class Locate(Protocol):
    """Who finds the session that an id in a URL stands for. The manager is one."""

    async def locate(self, session_id: str) -> Route | Waiting | None:
        """The route to it, why it cannot be reached now, or None if there is no such session.

        Called by the gateway for each request, after authentication. Must not block.
        """
        ...
