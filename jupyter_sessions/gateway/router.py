"""From a request's head to what becomes of it: match, authenticate, authorize, locate."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from logging import Logger
from typing import Any
from urllib.parse import quote, unquote

from tornado import httputil, routing, web

from jupyter_sessions.gateway.admission import Admission, Admissions, Refused
from jupyter_sessions.gateway.framing import BadMessage, Body, Headers, check_request
from jupyter_sessions.gateway.headers import Caller, is_foreign, wants_upgrade
from jupyter_sessions.gateway.opening import is_first, is_page, mark, may_open, with_query
from jupyter_sessions.gateway.pages import (
    Answer,
    Pages,
    login,
    redirect,
    refusal,
    wants_page,
)
from jupyter_sessions.gateway.urls import NO_PATHS, SessionUrls, Target
from jupyter_sessions.routes import Locate, Route


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A request's head, checked."""

    request: httputil.HTTPServerRequest
    target: Target
    method: str
    headers: Headers
    body: Body
    upgrade: bool

    @property
    def page(self) -> bool:
        """True if errors are answered with a page."""
        return wants_page(self.method, self.headers, upgrade=self.upgrade)


@dataclass(frozen=True, slots=True)
class Passage:
    """A request that may pass: where to, and what is known about it."""

    route: Route
    caller: Caller
    path: str
    admission: Admission
    cookies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Inward:
    """A request that may pass, but not to the app: Jupyter itself answers it, by `delegate`."""

    delegate: httputil.HTTPMessageDelegate


class SessionMatcher(routing.Matcher):
    """Matches what is under ``<base_url>sessions/<id>``, on the raw path."""

    def __init__(self, urls: SessionUrls) -> None:
        self._urls = urls

    def match(self, request: httputil.HTTPServerRequest) -> dict[str, Any] | None:
        target = self._urls.match(request.uri or "")
        return None if target is None else {"session": target}


class LogoutWatch(routing.Matcher):
    """Matches nothing; tells of requests that log somebody out, whoever it is that answers them."""

    def __init__(self, base_url: str, tell: Callable[[str], None]) -> None:
        self._path = f"{base_url}logout"
        self._tell = tell

    def match(self, request: httputil.HTTPServerRequest) -> dict[str, Any] | None:
        if unquote(request.path) == unquote(self._path):
            self._tell(request.headers.get("Cookie", ""))
        return None


class SessionRouter(routing.Router):
    """The rule's target: makes the delegate that serves a request, below any RequestHandler."""

    # ServerWebApplication.add_handlers looks for methods that forgot to authenticate.
    SUPPORTED_METHODS = ()

    def __init__(
        self,
        serve: Callable[[httputil.HTTPServerRequest, Target], httputil.HTTPMessageDelegate],
    ) -> None:
        self._serve = serve

    def find_handler(
        self, request: httputil.HTTPServerRequest, **kwargs: Any
    ) -> httputil.HTTPMessageDelegate:
        return self._serve(request, kwargs["session"])


def inquire(request: httputil.HTTPServerRequest, target: Target) -> Inquiry:
    """Check the head of `request`; raises BadMessage."""
    method = request.method or ""
    headers = list(request.headers.get_all())
    body = check_request(method, request.uri or "", request.version, headers)
    upgrade = wants_upgrade(request.version, headers, body)
    return Inquiry(request, target, method, headers, body, upgrade)


class Chooser:
    """Decides about requests of one web application."""

    def __init__(
        self,
        application: web.Application,
        admissions: Admissions,
        locate: Locate,
        pages: Pages,
        log: Logger,
        *,
        trust_forwarded: bool,
    ) -> None:
        self._application = application
        self._admissions = admissions
        self._locate = locate
        self._pages = pages
        self._log = log
        self._trusted = trust_forwarded

    async def choose(self, inquiry: Inquiry) -> Answer | Passage | Inward:
        """Let the request pass, or answer it."""
        request = inquiry.request
        settings = self._application.settings
        if is_foreign(
            inquiry.method,
            inquiry.headers,
            host=request.host,
            protocol=request.protocol,
            upgrade=inquiry.upgrade,
            allow_origin=settings.get("allow_origin", ""),
            allow_origin_pat=settings.get("allow_origin_pat"),
        ):
            return refusal(403, "Requests from other sites are refused.", "foreign_origin")
        try:
            admission = await self._admit(inquiry)
            return await self._find(inquiry, admission)
        except Refused as refused:
            return self._refuse(refused, inquiry)

    async def _admit(self, inquiry: Inquiry, *, fresh: bool = False) -> Admission:
        return await self._admissions.admit(
            inquiry.request,
            inquiry.target.session_id,
            upgrade=inquiry.upgrade,
            navigation=inquiry.page,
            fresh=fresh,
        )

    def _refuse(self, refused: Refused, inquiry: Inquiry) -> Answer:
        if refused.unavailable:
            self._log.warning("The identity provider failed: %s", refused.__cause__)
            title = "The login service does not answer"
            return self._pages.failure(
                503, title, refused.message, "login_unavailable", page=inquiry.page, retry=True
            )
        if refused.login:
            answer = login(refused.login)
        elif inquiry.page:
            answer = self._pages.failure(
                403, "Not allowed", refused.message, "forbidden", page=True
            )
        else:
            answer = refusal(403, refused.message, "forbidden")
        return answer.with_cookies(refused.cookies)

    async def _find(self, inquiry: Inquiry, admission: Admission) -> Answer | Passage | Inward:
        target = inquiry.target
        found = await self._locate.locate(target.session_id)
        if found is None:
            answer = self._pages.not_found(target.session_id, page=inquiry.page)
            return answer.with_cookies(admission.cookies())
        if not target.rest and inquiry.method in ("GET", "HEAD") and not inquiry.upgrade:
            answer = redirect(target.upstream_path(target.prefix, token=admission.token))
            return answer.with_cookies(admission.cookies())
        if not isinstance(found, Route):
            if inquiry.page:
                if admission.expires:  # what is remembered cannot set cookies
                    admission = await self._admit(inquiry, fresh=True)
                admission.ensure_xsrf_cookie()
            answer = self._pages.waiting(found, page=inquiry.page)
            return answer.with_cookies(admission.cookies())
        request = inquiry.request
        if is_page(found, target.rest) and inquiry.method == "GET" and not inquiry.upgrade:
            return self._inward(request, target, found.page)
        caller = Caller(
            host=request.headers.get("Host", ""),
            address=peer(getattr(request.connection, "context", None)) or request.remote_ip or "",
            protocol=request.protocol,
            prefix=target.prefix,
            reserved=admission.reserved,
            token=admission.token,
            trusted=self._trusted,
        )
        prefix = found.base if found.strip else found.prefix
        paths = NO_PATHS if inquiry.upgrade else found.paths
        path = target.upstream_path(prefix, token=admission.token, paths=paths)
        cookies = admission.cookies()
        if (
            inquiry.method == "GET"
            and inquiry.page
            and may_open(found, target.rest)
            and is_first(inquiry.headers, caller)
        ):
            path = with_query(path, found.query)
            cookies = (*cookies, mark(caller))
        return Passage(found, caller, path, admission, cookies)

    def _inward(self, request: httputil.HTTPServerRequest, target: Target, page: str) -> Inward:
        """`request` for `page` below Jupyter's base URL."""
        inner = copy.copy(request)
        base = target.prefix.rpartition("/")[0].rpartition("/")[0]
        inner.path = f"{base}{quote(page)}"
        inner.uri = inner.path if target.query is None else f"{inner.path}?{target.query}"
        return Inward(self._application.find_handler(inner))


def peer(context: Any) -> str:
    """The address at the other end, which `remote_ip` is not if tornado believed a proxy."""
    address = getattr(context, "address", None)
    return str(address[0]) if isinstance(address, tuple) else ""


__all__ = [
    "BadMessage",
    "Chooser",
    "Inquiry",
    "Inward",
    "LogoutWatch",
    "Passage",
    "SessionMatcher",
    "SessionRouter",
    "inquire",
    "peer",
]
