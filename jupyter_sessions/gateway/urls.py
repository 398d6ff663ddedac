"""URLs of sessions: pure functions on raw paths, queries, locations and cookie paths.

Nothing here decodes what it hands on: what follows the prefix reaches the app as it came.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import quote, unquote, unquote_plus

NO_PATHS: Mapping[str, str] = MappingProxyType({})
_ID = re.compile(r"[a-z0-9][a-z0-9-]{1,62}")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")
_ABSOLUTE = re.compile(r"(?:https?:)?//([^/?#\\]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Target:
    """What a request for a session addresses.

    Parameters
    ----------
    session_id
        The id in the URL.
    prefix
        The session's public path as the client wrote it, without a trailing slash.
    rest
        The raw path after the prefix: empty, or starting with a slash.
    query
        The raw query, or None if there was no question mark.
    """

    session_id: str
    prefix: str
    rest: str
    query: str | None

    def upstream_path(
        self, prefix: str, *, token: str = "", paths: Mapping[str, str] = NO_PATHS
    ) -> str:
        """The request target for the app.

        Parameters
        ----------
        prefix
            What goes before it.
        token
            Ours, which is removed from it.
        paths
            See `Route.paths`.
        """
        query = self.query
        if query and token:
            query = without_token(query, token)
        path = prefix + renamed(self.rest or "/", paths)
        return path if query is None else f"{path}{'&' if '?' in path else '?'}{query}"


class SessionUrls:
    """Tells which request targets are under ``<base_url>sessions/<id>``."""

    def __init__(self, base_url: str) -> None:
        self._segments = ["", *(unquote(s) for s in base_url.split("/") if s), "sessions"]

    def match(self, uri: str) -> Target | None:
        """The session that the raw request target `uri` is about.

        Each segment is compared decoded, so that ``/a@b/`` and ``/a%40b/`` are the same, but an
        encoded slash or a dot segment never is: such a path belongs to somebody else.
        """
        path, mark, query = uri.partition("?")
        count = len(self._segments)
        parts = path.split("/", count + 1)
        if len(parts) <= count or not _ID.fullmatch(parts[count]):
            return None
        for part, segment in zip(parts, self._segments, strict=False):
            if part != segment and unquote(part) != segment:
                return None
        prefix = "/".join(parts[: count + 1])
        return Target(parts[count], prefix, path[len(prefix) :], query if mark else None)


def renamed(path: str, paths: Mapping[str, str]) -> str:
    """The raw `path` as the app knows it; see `Route.paths`. The rest stays as it came."""
    if not paths or (name := paths.get(unquote(path))) is None:
        return path
    return quote(name, safe="/:?#[]@!$&'()*+,;=-._~")


def without_token(query: str, token: str) -> str | None:
    """`query` without parameters ``token=<token>``; None if nothing else was in it."""

    def ours(parameter: str) -> bool:
        name, _, value = parameter.partition("=")
        # As tornado reads an argument, which takes control bytes for spaces.
        given = _CONTROL.sub(" ", unquote_plus(value)).strip()
        return unquote_plus(name) == "token" and given == token

    parameters = query.split("&")
    kept = [p for p in parameters if not ours(p)]
    if len(kept) == len(parameters):
        return query
    return "&".join(kept) or None


def referer_without_token(referer: str, token: str) -> str:
    """`referer` without ``token=<token>`` in its query."""
    address, mark, query = referer.partition("?")
    if not mark or not token:
        return referer
    kept = without_token(query, token)
    return address if kept is None else f"{address}?{kept}"


def public_location(value: str, prefix: str, own_hosts: Collection[str], base: str = "") -> str:
    """A redirect of an app that does not know its prefix, as the browser must see it.

    Absolute paths, and URLs of one of `own_hosts`, become paths under `prefix`; relative ones and
    those of other hosts stay as they are. `base` is what the prefix stands for: see `Route.base`.
    """
    path = value
    if match := _ABSOLUTE.match(value):
        if match[1].lower() not in own_hosts:
            return value
        path = value[match.end() :]
        if not path.startswith("/"):
            path = "/" + path
    if not path.startswith("/"):
        return value
    return path if within(path, prefix) else prefix + _below(path, base)


def _below(path: str, base: str) -> str:
    """The absolute `path` as seen from `base`, if it is there; with a slash at its beginning."""
    if not base or not within(path, base):
        return path
    rest = path[len(base) :]
    return rest if rest.startswith("/") else f"/{rest}"


def within(path: str, prefix: str) -> bool:
    """True if the absolute `path` is `prefix` itself or below it."""
    return path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/", "?", "#")


def scoped_path(path: str, prefix: str, *, strip: bool, base: str = "") -> str:
    """The path that an app chose for a cookie or service worker, confined to `prefix`."""
    if path.startswith("/"):
        if within(path, prefix):
            return path if path != prefix else prefix + "/"
        if strip:
            return prefix + _below(path, base)
    return prefix + "/"
