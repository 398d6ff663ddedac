"""What a page of an app refers to, and whether that is still the app: for ``apps test``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Literal
from urllib.parse import urldefrag, urljoin, urlsplit

Place = Literal["inside", "escapes", "elsewhere", "none"]
"""Below the session's URL; at Jupyter's, but not below it; at another server; no URL at all."""

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
FOLLOWED = {"a": "href", "form": "action"}
_CSS = re.compile(r"""url\(\s*["']?([^"')]+)""")
_SOCKET = re.compile(r"""new\s+WebSocket\(\s*["'`]([^"'`$]+)["'`]|["'`](wss?://[^"'`$\s]+)["'`]""")
_CALL = re.compile(r"""\b(?:fetch|EventSource|WebSocket|importScripts)\(\s*["'`](/[^"'`]*)["'`]""")


@dataclass(frozen=True, slots=True)
class Reference:
    """Something that a page names.

    Parameters
    ----------
    element
        ``<script src>``: as people are told of it.
    url
        Complete.
    written
        As it stands in the page.
    loaded
        Whether a browser fetches it by itself.
    """

    element: str
    url: str
    written: str
    loaded: bool


class _Page(HTMLParser):
    def __init__(self, url: str) -> None:
        super().__init__(convert_charrefs=True)
        self.base = url
        self.found: list[Reference] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "base" and given.get("href"):
            self._add(tag, "href", given["href"], loaded=False)
            self.base = urljoin(self.base, given["href"] or "")
            return
        attribute = LOADED.get(tag) or FOLLOWED.get(tag)
        if attribute is not None:
            self._add(tag, attribute, given.get(attribute), loaded=tag in LOADED)

    def _add(self, tag: str, attribute: str, value: str | None, *, loaded: bool) -> None:
        if value:
            url = urldefrag(urljoin(self.base, value.strip())).url
            self.found.append(Reference(f"<{tag} {attribute}>", url, value.strip(), loaded))


def references(html: str, url: str) -> list[Reference]:
    """All that the page `html`, which came from `url`, refers to."""
    page = _Page(url)
    page.feed(html)
    page.close()
    return page.found


def style_references(css: str, url: str) -> list[Reference]:
    """All that the style sheet `css` refers to."""
    found = _CSS.findall(css)
    return [Reference("url()", urljoin(url, f), f, True) for f in found]


def websockets(text: str, url: str) -> Iterator[str]:
    """The websockets that a page or a script names as a whole, complete."""
    scheme = "wss" if urlsplit(url).scheme == "https" else "ws"
    for named in _SOCKET.finditer(text):
        target = urlsplit(urljoin(url, named[1] or named[2]))
        plain = {"http": "ws", "https": "wss"}.get(target.scheme, target.scheme)
        yield target._replace(scheme=plain if plain in ("ws", "wss") else scheme).geturl()


def rooted_calls(text: str) -> list[str]:
    """Paths from the root that a script asks for: behind a prefix they are somebody else's."""
    return _CALL.findall(text)


def place(url: str, session: str) -> Place:
    """Where `url` is, as seen from the session at `session`, a complete URL with a slash."""
    parts, own = urlsplit(url), urlsplit(session)
    if parts.scheme not in ("http", "https", "ws", "wss"):
        return "none"  # data:, javascript:, mailto:
    if parts.netloc != own.netloc:
        return "elsewhere"
    return "inside" if f"{parts.path}/".startswith(own.path) else "escapes"
