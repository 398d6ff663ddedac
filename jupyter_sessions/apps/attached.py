"""Services that run already, somewhere: ``SessionManager.services``, each as an app.

An administrator says where they are; nothing that a user gives ever becomes an address. A session
of such an app runs `relay` and nothing else: stopping it leaves the service alone.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from .app import ICONS, App, AppError
from .defined import defined
from .folders import Broken, Definition
from .serving import RELAY, literal

UNCHECKED = "Its certificate is not checked: whoever is between here and there can read along."


def from_services(services: Mapping[str, Any]) -> Iterator[Definition]:
    """The apps of the trait ``SessionManager.services``: services by name."""
    for name, given in services.items():
        origin = f"SessionManager.services[{name!r}]"
        try:
            yield _app(str(name), given, origin)
        except AppError as error:
            yield Broken(str(name), origin, str(error))


def _app(name: str, given: Any, origin: str) -> Definition:
    if not isinstance(given, Mapping):
        raise AppError('is not a dictionary with a url: {"url": "http://host:port/"}')
    kind = given.get("kind", "web")
    if not isinstance(kind, str) or kind not in KINDS:
        raise AppError(f"kind: {kind!r} is none; there are {', '.join(KINDS)}")
    known = KEYS | KINDS[kind].keys
    for key in given:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = (
                f"did you mean {close[0]!r}?" if close else f"known are {', '.join(sorted(known))}"
            )
            raise AppError(f"{key}: there is no such key; {hint}")
    place = _place(given.get("url"))
    if place.path and given.get("prefix") == "keep":
        raise AppError("url: a service that keeps whole paths (prefix) has no path of its own here")
    definition = {
        "name": name,
        "title": name,
        "category": "Services",
        "command": [*RELAY, "--to", literal(place.address), *_tls(given, place)],
        "ready": {"path": "/", "codes": "any"},
        "requires": [NEEDED],
        **({"base_path": place.path} if place.path else {}),
        **({"own_hosts": list(place.hosts)} if place.hosts else {}),
        **KINDS[kind].fields(given),
        **{key: given[key] for key in APPS_OWN & given.keys()},
    }
    app = defined(definition, origin, name)
    if not isinstance(app, App):
        return app
    unchecked = given.get("verify", True) is False and place.secure
    return replace(app, icon_file=_icon(given), notice=UNCHECKED if unchecked else "")


# Where it is ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a service is: the relay's address for it, and what belongs to paths and redirects."""

    address: str
    path: str = ""
    hosts: tuple[str, ...] = ()
    secure: bool = False


def _place(url: Any) -> _Place:
    if not isinstance(url, str) or not url:
        raise AppError("url: say where it is: http://host:port/path, https://… or unix:/path")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AppError(f"url: {url!r}: {error}") from None
    if parts.scheme == "unix":
        if parts.netloc or not parts.path.startswith("/") or parts.query or parts.fragment:
            raise AppError(f"url: {url!r}: a socket is unix: and an absolute path")
        return _Place(f"unix:{parts.path}")
    if parts.scheme not in ("http", "https"):
        raise AppError(f"url: {url!r}: it has to begin with http://, https:// or unix:/")
    if not parts.hostname or any(c.isspace() for c in parts.netloc):
        raise AppError(f"url: {url!r}: it names no host")
    if "@" in parts.netloc:
        raise AppError("url: no name and password here: give them in request_headers")
    if parts.query or parts.fragment:
        raise AppError(f"url: {url!r}: what comes after the path belongs into open_path")
    port = port or (443 if parts.scheme == "https" else 80)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return _Place(
        f"{parts.scheme}://{host}:{port}",
        parts.path.rstrip("/"),
        (f"{host}:{port}", *_plain_host(host, parts)),
        secure=parts.scheme == "https",
    )


def _plain_host(host: str, parts: SplitResult) -> tuple[str, ...]:
    """The host as it stands in URLs where the port is the scheme's own."""
    default = {"http": 80, "https": 443}[parts.scheme]
    return (host,) if parts.port in (None, default) else ()


def _tls(given: Mapping[str, Any], place: _Place) -> list[str]:
    verify, ca = given.get("verify", True), given.get("ca")
    if not isinstance(verify, bool):
        raise AppError(f"verify: {verify!r} is neither True nor False")
    if ca is not None and (not isinstance(ca, str | Path) or not Path(ca).is_absolute()):
        raise AppError(f"ca: {str(ca)!r} is not the absolute path of a file with certificates")
    if not place.secure and ("verify" in given or ca is not None):
        raise AppError(f"{'ca' if ca is not None else 'verify'}: this is for https:// only")
    if ca is not None and not verify:
        raise AppError("ca: nothing is checked by it while verify is False")
    if ca is not None:
        return ["--ca", literal(str(ca))]
    return [] if verify else ["--no-verify"]


def _icon(given: Mapping[str, Any]) -> Path | None:
    icon = given.get("icon")
    if icon is None:
        return None
    if not isinstance(icon, str | Path) or not Path(icon).is_absolute():
        raise AppError(f"icon: {str(icon)!r} is not the absolute path of a picture")
    if Path(icon).suffix.lower() not in ICONS:
        raise AppError(f"icon: {str(icon)!r} does not end with one of {', '.join(ICONS)}")
    return Path(icon)


# What it is -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of service: the keys of its own, and what it sets unless somebody says otherwise."""

    keys: frozenset[str]
    fields: Callable[[Mapping[str, Any]], dict[str, Any]]


def _web(_given: Mapping[str, Any]) -> dict[str, Any]:
    return {}


def _dcv(given: Mapping[str, Any]) -> dict[str, Any]:
    """NICE DCV (Amazon DCV): its page opens the session that stands after the ``#``."""
    session = given.get("session", "console")
    if not isinstance(session, str) or not re.fullmatch(r"[\w.-]+", session, re.ASCII):
        raise AppError(f"session: {session!r} is not the id of a DCV session")
    if urlsplit(str(given.get("url"))).scheme != "https":
        raise AppError("url: a DCV server is reached by https://, at port 8443 if it was not moved")
    return {
        "title": "DCV desktop",
        "category": "Desktops",
        "open_path": f"#{session}",
        "open_in": "browser",
    }


KINDS: Mapping[str, _Kind] = {
    "web": _Kind(frozenset(), _web),
    "dcv": _Kind(frozenset({"session"}), _dcv),
}
APPS_OWN = frozenset(
    {
        "title",
        "description",
        "category",
        "prefix",
        "open_path",
        "open_in",
        "launcher",
        "request_headers",
        "response_headers",
    }
)
"""The keys that mean what they mean in ``app.yaml``."""
KEYS = APPS_OWN | {"kind", "url", "verify", "ca", "icon"}
NEEDED = {
    "python": "jupyter_sessions",
    "install": "Attaching runs this package's relay: install jupyter_sessions there.",
}
