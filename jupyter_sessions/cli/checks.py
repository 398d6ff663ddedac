"""The checks of ``jupyter sessions apps test``: does an app work behind a prefix?"""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal
from urllib.parse import urljoin, urlsplit

from tornado.httpclient import HTTPClientError, HTTPRequest, HTTPResponse
from tornado.websocket import WebSocketError, websocket_connect

from ..errors import SpawnerError
from .page import Reference, place, references, rooted_calls, style_references, websockets
from .trial import BASE, Trial

REDIRECTS = 10
MOST = 60
"""How many of a page's scripts, styles and pictures are fetched."""
PAUSE = 0.1
TAIL = 20

Verdict = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried, and how it went."""

    name: str
    verdict: Verdict
    message: str

    def describe(self) -> dict[str, str]:
        """As ``--json`` prints it."""
        return asdict(self)


class AppTest:
    """One app, tried in a session of a test server."""

    def __init__(self, server: Trial, request: Mapping[str, Any]) -> None:
        self._server = server
        self._request = request
        self._prefix = ""

    async def run(self) -> AsyncIterator[Check]:
        """Each check when it is done. Later ones are left out if there is nothing to look at.

        Raises
        ------
        SpawnerError
            If the server refuses to start the app, or does not answer.
        """
        made = await self._server.api("sessions", "POST", dict(self._request))
        session = await self._settled(made["id"])
        self._prefix = urljoin(self._server.origin, f"{BASE}sessions/{made['id']}/")
        if session["state"] != "running":
            log = await self._server.text(f"sessions/{made['id']}/log?lines={TAIL}")
            yield Check("start", "failed", f"{session['message']}\n{log}".rstrip())
            return
        yield Check("start", "ok", "It runs and answers.")
        first = urljoin(self._server.origin, session["url"])
        answer, check = await self._open(first)
        yield check
        if answer is not None:
            async for found in self._look_at(answer):
                yield found
        yield await self._stop(made["id"])

    async def _settled(self, session_id: str) -> Any:
        while True:
            session = await self._server.api(f"sessions/{session_id}")
            if session["state"] in ("running", "failed", "stopped"):
                return session
            await asyncio.sleep(PAUSE)

    async def _open(self, url: str) -> tuple[HTTPResponse | None, Check]:
        """The page that `url` leads to."""
        way = [url]
        for _ in range(REDIRECTS):
            answer = await self._server.fetch(url)
            location = answer.headers.get("Location")
            if answer.code not in (301, 302, 303, 307, 308) or location is None:
                break
            url = urljoin(url, location)
            way.append(url)
            if (where := place(url, self._prefix)) != "inside":
                words = {"elsewhere": "to another server", "escapes": "out of the session"}
                message = f"It redirects {words.get(where, 'nowhere')}: {location}"
                return None, Check("page", "failed", message)
        else:
            return None, Check("page", "failed", f"It redirects {REDIRECTS} times: {way[-1]}")
        steps = f" after {len(way) - 1} redirects" if len(way) > 1 else ""
        if answer.code >= 400:
            return None, Check("page", "failed", f"HTTP {answer.code} at {self._short(url)}{steps}")
        kind = answer.headers.get("Content-Type", "no type").partition(";")[0]
        return answer, Check("page", "ok", f"HTTP {answer.code}, {kind}{steps}.")

    async def _look_at(self, answer: HTTPResponse) -> AsyncIterator[Check]:
        url, kind = answer.request.url, answer.headers.get("Content-Type", "")
        if "html" not in kind:
            yield Check("links", "skipped", "It is not a page of HTML.")
            return
        page = _text(answer)
        found = references(page, url)
        texts = {url: page}
        problems: list[str] = []
        queue = [r for r in found if r.loaded and place(r.url, self._prefix) == "inside"]
        seen: set[str] = set()
        for reference in queue:
            if reference.url in seen or len(seen) >= MOST:
                continue
            seen.add(reference.url)
            got = await self._server.fetch(reference.url)
            if got.code >= 400:
                problems.append(f"{reference.element} {reference.written}: HTTP {got.code}")
                continue
            content = got.headers.get("Content-Type", "")
            if "javascript" in content:
                texts[reference.url] = _text(got)
            elif "css" in content:
                below = style_references(_text(got), reference.url)
                found += below
                queue += [r for r in below if place(r.url, self._prefix) == "inside"]
        yield self._links(found)
        fine = f"{len(seen)} scripts, styles and pictures were fetched."
        yield _verdict("content", problems, fine if seen else "The page needs nothing else.")
        yield self._calls(texts)
        yield await self._websocket(texts)

    def _links(self, found: list[Reference]) -> Check:
        """Whether what the page refers to stays below its URL."""
        out = [r for r in found if place(r.url, self._prefix) == "escapes"]
        if loaded := [r for r in out if r.loaded or r.element != "<a href>"]:
            message = f"{_listed(loaded)}: out of the session, as the app does not know its prefix."
            return Check("links", "failed", f"{message} Try `prefix: keep` and {{base_url}}.")
        if out:
            return Check("links", "warning", f"{_listed(out)}: out of the session.")
        hosts = {urlsplit(r.url).netloc for r in found if place(r.url, self._prefix) == "elsewhere"}
        if hosts and any(r.loaded for r in found):
            return Check("links", "warning", f"It needs other servers: {', '.join(sorted(hosts))}")
        return Check("links", "ok", f"{len(found)} references, all below its URL.")

    def _calls(self, texts: Mapping[str, str]) -> Check:
        """Whether scripts ask for paths from the root, as far as they say so in one piece."""
        own = urlsplit(self._prefix).path
        calls = {c for text in texts.values() for c in rooted_calls(text) if not c.startswith(own)}
        if calls:
            message = (
                f"Scripts may ask for paths out of the session: {', '.join(sorted(calls)[:5])}"
            )
            return Check("scripts", "warning", message)
        return Check("scripts", "ok", "No script names a path out of the session.")

    async def _websocket(self, texts: Mapping[str, str]) -> Check:
        named = [u for url, text in texts.items() for u in websockets(text, url)]
        # Bundles name all sorts of servers that nobody asks: only this app's count.
        own = {u: place(u, self._prefix) for u in dict.fromkeys(named)}
        for url, where in own.items():
            if where == "escapes":
                return Check("websocket", "failed", f"{url} is out of the session.")
            if where == "inside":
                return await self._connect(url)
        return Check("websocket", "skipped", "No script names one of its own in one piece.")

    async def _connect(self, url: str) -> Check:
        try:
            request = HTTPRequest(url, headers=self._server.headers, connect_timeout=20)
            connection = await websocket_connect(request)
        except (HTTPClientError, WebSocketError, OSError) as error:
            return Check("websocket", "failed", f"{self._short(url)}: {error}")
        connection.close()
        return Check("websocket", "ok", f"{self._short(url)} opens.")

    async def _stop(self, session_id: str) -> Check:
        await self._server.api(f"sessions/{session_id}/stop", "POST")
        session = await self._ended(session_id)
        if session["state"] == "stopped":
            return Check("stop", "ok", "It ends when it is asked to.")
        return Check("stop", "failed", str(session["message"]))

    async def _ended(self, session_id: str) -> Any:
        while True:
            session = await self._server.api(f"sessions/{session_id}")
            if session["ended"] is not None:
                return session
            await asyncio.sleep(PAUSE)

    def _short(self, url: str) -> str:
        """`url` without what all of them have."""
        path = urlsplit(url)
        rest = path.path.removeprefix(urlsplit(self._prefix).path)
        return f"/{rest}" + (f"?{path.query}" if path.query else "")


def _verdict(name: str, problems: list[str], fine: str) -> Check:
    return Check(name, "failed", "; ".join(problems[:5])) if problems else Check(name, "ok", fine)


def _listed(found: list[Reference]) -> str:
    names = dict.fromkeys(f"{r.element} {r.written}" for r in found)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(list(names)[:3]) + more


def _text(answer: HTTPResponse) -> str:
    _, _, charset = answer.headers.get("Content-Type", "").partition("charset=")
    try:
        codec = codecs.lookup(charset.strip(" \"'")).name if charset else "utf-8"
    except LookupError:
        codec = "utf-8"
    return answer.body.decode(codec, "replace")


__all__ = ["AppTest", "Check", "SpawnerError"]
