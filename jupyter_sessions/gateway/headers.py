"""What passes between browser and app: pure functions on header fields.

Our credentials never reach the app, the app's cookies never reach beyond its own prefix, and what
concerns one connection only (RFC 9110, 7.6.1) stays on it.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from jupyter_sessions.gateway.framing import Body, Headers, ResponseHead, tokens, values
from jupyter_sessions.gateway.urls import (
    public_location,
    referer_without_token,
    scoped_path,
)
from jupyter_sessions.routes import Route

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_HOP_BY_HOP = frozenset(
    [
        "connection",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
)
# Set anew on every request; `expect` was answered by us.
_REPLACED = frozenset({"host", "content-length", "expect"})
_FRAMING = frozenset({"connection", "content-length", "transfer-encoding", "upgrade"})
_CREDENTIALS = frozenset({"authorization", "x-xsrftoken"})
_FORWARDED = re.compile(r"x-forwarded(-.*)?|forwarded|x-real-ip|x-scheme")
# On these depends who may pass, and where to.
_DECIDING = frozenset({"cookie", "host", "origin", "sec-websocket-origin"})
# Kept inside the session's prefix.
_SCOPED = frozenset({"content-location", "location", "service-worker-allowed", "set-cookie"})
# These would change how the browser treats the whole origin, Jupyter included.
_ORIGIN_WIDE = frozenset({"alt-svc", "clear-site-data", "strict-transport-security"})

_COOKIE_PREFIX = re.compile(r"__(?:host|secure)-")
_RESERVED_PREFIXES = ("username-", "jupyterhub-", "jupyter-")


class Kind(enum.Enum):
    """What a header field means to us."""

    PLAIN = enum.auto()
    """Passes as it is, whatever else the message says."""
    DROPPED = enum.auto()
    """Never passes, and decides nothing."""
    LENGTH = enum.auto()
    """The Content-Length."""
    SPECIAL = enum.auto()
    """Decides something, or is changed."""
    RARE = enum.auto()
    """Changes how the message is to be read."""


@dataclass(frozen=True, slots=True)
class Caller:
    """What the gateway knows about the request it passes on.

    Parameters
    ----------
    host
        The Host header, kept.
    address, protocol
        The client's, as far as we can tell.
    prefix
        The session's prefix as the client wrote it.
    reserved
        Further names of Jupyter's login cookies, in lower case.
    token
        Our token, if it came in the URL or might stand in the Referer.
    trusted
        True if the peer is a proxy whose X-Forwarded fields count.
    """

    host: str
    address: str
    protocol: str
    prefix: str
    reserved: frozenset[str] = frozenset()
    token: str = ""
    trusted: bool = False


def request_kind(name: str, value: str) -> Kind:
    """What a field of a request means to `request_headers` and all that come before it."""
    key = name.lower().replace("_", "-")
    if key == "content-length":
        return Kind.DROPPED if "_" in name else Kind.LENGTH
    if key == "connection":
        return Kind.DROPPED if value.lower() == "keep-alive" else Kind.RARE
    if key in ("expect", "transfer-encoding", "upgrade"):
        return Kind.RARE
    if key in _HOP_BY_HOP:
        return Kind.DROPPED
    if key in _DECIDING or key in _CREDENTIALS or _FORWARDED.fullmatch(key):
        return Kind.SPECIAL
    if key.startswith("sec-fetch-") or (key == "referer" and "?" in value):
        return Kind.SPECIAL
    return Kind.PLAIN


def answer_kind(name: str, value: str) -> Kind:
    """What a field of an app's answer means to `response_headers` and to the framing."""
    key = name.lower()
    if key == "content-length":
        return Kind.LENGTH
    if key == "connection":
        return Kind.SPECIAL if value.lower() in ("keep-alive", "close") else Kind.RARE
    if key == "transfer-encoding":
        return Kind.SPECIAL
    if key in _HOP_BY_HOP or key in _ORIGIN_WIDE:
        return Kind.DROPPED
    return Kind.SPECIAL if key in _SCOPED else Kind.PLAIN


def is_reserved(name: str, extra: Collection[str] = ()) -> bool:
    """True if the cookie `name` is Jupyter's or JupyterHub's own."""
    plain = name.strip().lower()
    bare = _COOKIE_PREFIX.sub("", plain, count=1)
    if bare == "_xsrf" or bare.startswith(_RESERVED_PREFIXES):
        return True
    return any(plain == e or plain.startswith(f"{e}-oauth-state") for e in extra)


def app_cookies(value: str, reserved: Collection[str] = (), replaced: Collection[str] = ()) -> str:
    """A Cookie field without our cookies and those `replaced`; the others exactly as they came."""
    named = [(c.partition("=")[0], c) for c in value.split(";")]
    kept = [
        c for name, c in named if not is_reserved(name, reserved) and name.strip() not in replaced
    ]
    return ";".join(kept).strip()


def wants_upgrade(version: str, headers: Headers, body: Body) -> bool:
    """True if the client asks to leave HTTP. With a body we may, and do, ignore that."""
    return (
        version == "HTTP/1.1"
        and body == 0
        and "upgrade" in tokens(headers, "connection")
        and bool(tokens(headers, "upgrade"))
    )


def request_headers(
    headers: Headers, caller: Caller, route: Route, *, body: Body, upgrade: bool
) -> Headers:
    """The header fields of the request to the app."""
    dropped = _HOP_BY_HOP | _REPLACED | _CREDENTIALS | tokens(headers, "connection")
    result: Headers = [("Host", caller.host)] if caller.host else []
    cookies = []
    for name, value in headers:
        # Apps behind CGI-like interfaces see X_Forwarded_For and X-Forwarded-For as one.
        key = name.lower().replace("_", "-")
        if key in dropped or _FORWARDED.fullmatch(key):
            continue
        if key == "cookie":
            value = app_cookies(value, caller.reserved, route.cookies)
            if value and route.cookies:
                cookies.append(value)  # to be one field with those that are added
            if not value or route.cookies:
                continue
        elif key == "referer":
            value = referer_without_token(value, caller.token)
        result.append((name, value))
    if route.cookies:
        cookies += [f"{name}={value}" for name, value in route.cookies.items()]
        result.append(("Cookie", "; ".join(cookies)))
    result += _forwarded(headers, caller)
    if upgrade:
        result += [("Connection", "Upgrade")]
        result += [("Upgrade", value) for value in values(headers, "upgrade")]
    elif body == "chunked":
        result.append(("Transfer-Encoding", "chunked"))
    elif lengths := values(headers, "content-length"):
        result.append(("Content-Length", lengths[0]))
    return _override(result, route.request_headers)


def _forwarded(headers: Headers, caller: Caller) -> Headers:
    chain, host = [caller.address], caller.host
    if caller.trusted:
        chain = [*values(headers, "x-forwarded-for"), caller.address]
        host = next(iter(values(headers, "x-forwarded-host")), host)
    return [
        ("X-Forwarded-For", ", ".join(chain)),
        ("X-Forwarded-Proto", caller.protocol),
        ("X-Forwarded-Host", host),
        ("X-Forwarded-Prefix", caller.prefix),
    ]


def response_headers(head: ResponseHead, caller: Caller, route: Route) -> Headers:
    """The header fields of the app's answer, as the browser gets them."""
    dropped = _HOP_BY_HOP | _ORIGIN_WIDE | tokens(head.headers, "connection")
    if head.status < 200 or head.status == 204:
        dropped |= {"content-length"}
    else:
        # Without it the body would have no end, whatever Connection says.
        dropped -= {"content-length"}
    hosts = own_hosts(caller, route)
    result: Headers = []
    for name, value in head.headers:
        key = name.lower()
        if key in dropped:
            continue
        if key == "set-cookie":
            cookie = scoped_cookie(value, caller, strip=route.strip, base=route.base)
            if cookie is None:
                continue
            value = cookie
        elif key == "service-worker-allowed":
            value = scoped_path(value, caller.prefix, strip=route.strip, base=route.base)
        elif key in ("location", "content-location") and route.strip:
            value = public_location(value, caller.prefix, hosts, route.base)
        result.append((name, value))
    return _override(result, route.response_headers)


def own_hosts(caller: Caller, route: Route) -> set[str]:
    """The hosts that an app may mean itself by in a redirect."""
    hosts = {caller.host.lower(), *route.own_hosts}
    # One that it was told instead of ours.
    hosts |= {v.lower() for n, v in route.request_headers.items() if n.lower() == "host" and v}
    if route.address.port:
        port = route.address.port
        hosts |= {f"{h}:{port}" for h in (route.address.host, "localhost", "127.0.0.1")}
    return hosts


def scoped_cookie(value: str, caller: Caller, *, strip: bool, base: str = "") -> str | None:
    """A Set-Cookie field confined to the session's prefix; None if its name is reserved.

    ``__Host-`` cookies require ``Path=/``; the browser refuses them rather than share them.
    """
    pair, *attributes = value.split(";")
    if is_reserved(pair.partition("=")[0], caller.reserved):
        return None
    path = ""
    kept = []
    for attribute in attributes:
        name, _, content = attribute.partition("=")
        match name.strip().lower():
            case "path":
                path = content.strip()
            case "domain":
                pass
            case _:
                kept.append(attribute)
    scoped = scoped_path(path, caller.prefix, strip=strip, base=base)
    return ";".join([pair, *kept, f" Path={scoped}"])


def overridden(changes: Mapping[str, str | None]) -> frozenset[str]:
    """The names, in lower case, of the fields that a route sets or removes."""
    return frozenset(name.lower() for name in changes) - _FRAMING


def _override(headers: Headers, changes: Mapping[str, str | None]) -> Headers:
    names = overridden(changes)
    if not names:
        return headers
    kept = [(n, v) for n, v in headers if n.lower() not in names]
    added = [(n, v) for n, v in changes.items() if v is not None and n.lower() in names]
    return kept + added


def is_foreign(
    method: str,
    headers: Headers,
    *,
    host: str,
    protocol: str,
    upgrade: bool,
    allow_origin: str = "",
    allow_origin_pat: str | re.Pattern[str] | None = None,
) -> bool:
    """True if the request comes from a page of another origin and must be refused.

    Inside a session XSRF tokens are the app's business, so this is what keeps other sites from
    acting with the user's cookies. Navigation from elsewhere (a link) is allowed.
    """
    if allow_origin == "*":
        return False
    origins = values(headers, "origin") or values(headers, "sec-websocket-origin")
    unsafe = upgrade or method not in SAFE_METHODS
    if origins and len(origins) == 1:
        origin = origins[0].lower()
        if _same_origin(origin, host, protocol):
            return False
        if allow_origin and origin == allow_origin.lower():
            return False
        if allow_origin_pat and re.fullmatch(allow_origin_pat, origin):
            return False
    if origins and unsafe:
        return True
    site = next(iter(values(headers, "sec-fetch-site")), "")
    if site == "same-site":
        return unsafe
    if site != "cross-site":
        return False
    mode = values(headers, "sec-fetch-mode")
    destination = values(headers, "sec-fetch-dest")
    return not (
        method in ("GET", "HEAD")
        and not upgrade
        and mode == ["navigate"]
        and destination == ["document"]
    )


def _same_origin(origin: str, host: str, protocol: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    if not host or parts.scheme not in ("http", "https"):
        return False
    if protocol == "https" and parts.scheme == "http":
        return False
    default = ":443" if parts.scheme == "https" else ":80"
    return parts.netloc.removesuffix(default) == host.lower().removesuffix(default)


def serialize(first: str, headers: Headers) -> bytes:
    """A head on the wire. Raises ValueError if something in it would break out of its line."""
    lines = [first, *(f"{name}: {value}" for name, value in headers)]
    if any("\r" in line or "\n" in line or "\0" in line for line in lines):
        raise ValueError("a header field contains a line break")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
