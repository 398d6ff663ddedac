"""Servers that are defined for jupyter-server-proxy: `Server`, with all keys that it documents.

They come from entry points `jupyter_serverproxy_servers` and from ``c.ServerProxy.servers``, and
are read without jupyter-server-proxy. ``docs/apps.md`` says what becomes of each key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard, TypeVar
from urllib.parse import unquote

from .app import AppError

Strings = list[str] | Callable[..., Any]
"""A command, or what returns one."""
StringMap = Mapping[str, str] | Callable[..., Any]
"""Variables or headers, or what returns them."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server, its keys checked.

    Parameters
    ----------
    name
        Its name there: the part of its old URL.
    command
        Empty if the server is started by somebody else.
    timeout
        Seconds until its first answer.
    absolute_url
        Whether it gets paths with its prefix.
    port
        0 for any.
    unix_socket
        A path, True for any, or False for a TCP port.
    paths
        `mappath`, if that is a dictionary.
    title, category, icon, open_path, launcher
        Of the `launcher_entry`.
    page
        The path of its page, with slashes at both ends, if that is none of the server's own but one
        that its package adds to Jupyter.
    open_in_browser
        `new_browser_tab`.
    raw
        `raw_socket_proxy`.
    ignored
        A sentence for each key that has no effect here, though somebody set it.
    """

    name: str
    command: Strings
    environment: StringMap
    timeout: float
    absolute_url: bool
    port: int
    unix_socket: str | bool
    paths: Mapping[str, str]
    headers: StringMap
    title: str
    category: str
    icon: Path | None
    open_path: str
    page: str
    launcher: bool
    open_in_browser: bool
    raw: bool
    ignored: tuple[str, ...]


def read_server(name: str, value: Any) -> Server:
    """The server called `name` that `value` defines: a dictionary, or a `ServerProcess`.

    Keys that jupyter-server-proxy does not know are passed over, as there.

    Raises
    ------
    AppError
        Naming the key.
    """
    keys = _Keys(_as_mapping(value, "it"))
    entry = _Keys(_as_mapping(keys.get("launcher_entry", object, {}), "launcher_entry"))
    mappath = keys.get("mappath", (Mapping, Callable), {})
    icon = entry.get("icon_path", (str, Path), "")
    path = entry.get("path_info", str, f"{name}/")
    ignored = []
    if keys.get("rewrite_response", object, None):
        ignored.append("rewrite_response is ignored: answers pass as they come.")
    if callable(mappath):
        ignored.append("mappath is ignored, as it is a function.")
    open_path, page = _opening(name, path)
    command = keys.get("command", (list, tuple, Callable), [])
    return Server(
        name=name,
        command=command if callable(command) else texts("command", command),
        environment=_map(keys, "environment"),
        timeout=float(keys.get("timeout", (int, float), 5.0)),
        absolute_url=keys.get("absolute_url", bool, False),
        port=_port(keys.get("port", int, 0)),
        unix_socket=keys.get("unix_socket", (bool, str, type(None)), None) or False,
        paths={} if callable(mappath) else _paths(mappath),
        headers=_map(keys, "request_headers_override"),
        title=entry.get("title", str, "") or name,
        category=entry.get("category", str, "") or "Other",
        icon=Path(icon) if str(icon) else None,
        open_path=open_path,
        page=page,
        launcher=entry.get("enabled", bool, True),
        open_in_browser=keys.get("new_browser_tab", bool, True),
        raw=keys.get("raw_socket_proxy", bool, False),
        ignored=tuple(ignored),
    )


def _opening(name: str, path_info: str) -> tuple[str, str]:
    """Where the session of the server `name` opens, and the page of Jupyter's that is there."""
    own, slash, below = path_info.lstrip("/").partition("/")
    if own == name or not own:
        return below, ""
    path, mark, query = f"{own}{slash}{below}".partition("?")
    # As packages do, so that the page's relative URLs are the same as there.
    path = f"{path.rstrip('/')}/"
    return f"{path}{mark}{query}", f"/{unquote(path)}"


def texts(key: str, value: Any) -> list[str]:
    """`value` as a list of strings; AppError on `key` if it is none."""
    if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
        raise AppError(f"{key}: {value!r} is not a list of strings")
    return list(value)


def text_map(key: str, value: Any) -> dict[str, str]:
    """`value` as a dictionary of strings; AppError on `key` if it is none."""
    if not _is_text_map(value):
        raise AppError(f"{key}: {value!r} is not a dictionary of strings")
    return dict(value)


def _is_text_map(value: Any) -> TypeGuard[Mapping[str, str]]:
    return isinstance(value, Mapping) and all(
        isinstance(k, str) and isinstance(v, str) for k, v in value.items()
    )


class _Keys:
    """A definition's keys, each of which must be of the type that is documented."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given

    def get(self, key: str, kind: Any, default: Any) -> Any:
        value = self._given.get(key, default)
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if isinstance(value, bool) and not {bool, object} & set(kinds):
            kinds = ()  # True is no number here, though it is one in Python
        if not isinstance(value, kinds):
            raise AppError(f"{key}: {value!r} has the wrong type")
        return value


def _as_mapping(value: Any, what: str) -> Mapping[str, Any]:
    """A dictionary, or an object with traits, as `ServerProcess` and `LauncherEntry` are."""
    if isinstance(value, Mapping):
        return value
    if callable(getattr(value, "trait_values", None)):
        values: Mapping[str, Any] = value.trait_values()
        return values
    raise AppError(f"{what} is no dictionary but {value!r}")


def _map(keys: _Keys, key: str) -> StringMap:
    value = keys.get(key, (Mapping, Callable), {})
    return value if callable(value) else text_map(key, value)


def _port(port: int) -> int:
    if not 0 <= port <= 65535:
        raise AppError(f"port: {port} is no port")
    return port


def _paths(value: Any) -> dict[str, str]:
    return {k: v if v.startswith("/") else f"/{v}" for k, v in text_map("mappath", value).items()}
