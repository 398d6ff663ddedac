"""Who may use a session: asked of Jupyter's own machinery, before anything else happens.

A yes is remembered for a few seconds, if it depends on nothing but the credentials that it is
remembered with. A no never is.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, NoReturn

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.auth.identity import LegacyIdentityProvider
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import ensure_async
from tornado import httputil, web

from jupyter_sessions.gateway.headers import SAFE_METHODS

AUTH_RESOURCE = "jupyter_sessions"


class Refused(Exception):
    """The request is not allowed.

    Parameters
    ----------
    message
        A sentence for people.
    login
        Where a browser can log in, if that would help.
    unavailable
        True if nobody could tell, because the identity provider did not answer.
    """

    def __init__(
        self,
        message: str,
        *,
        login: str = "",
        unavailable: bool = False,
        cookies: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.login = login
        self.unavailable = unavailable
        self.cookies = cookies


class _Login(Exception):
    def __init__(self, url: str) -> None:
        self.url = url


@allow_unauthenticated
def _never_called(self: JupyterHandler) -> NoReturn:
    raise AssertionError("this handler is not routed")


class _Gatekeeper(JupyterHandler):
    """Never routed: made for one request, to ask Jupyter who sent it."""

    # `prepare` looks for the method's function to tell whether anonymous users may call it. We let
    # it pass them in any case and look at `current_user`, as its answer depends on a setting.
    get = head = post = put = delete = patch = options = _never_called

    def check_xsrf_cookie(self) -> None:
        """Nothing: within a session this is the app's business, see `headers.is_foreign`."""

    def set_default_headers(self) -> None:
        """Nothing: no answer of this handler's is ever written."""

    def redirect(self, url: str, permanent: bool = False, status: int | None = None) -> None:
        raise _Login(url)


@dataclass(eq=False, slots=True)
class Admission:
    """The user's request is allowed.

    Parameters
    ----------
    token
        Jupyter's token: the one in the URL if that let the user in, else the server's.
    reserved
        Names of the login cookies, in lower case.
    logins
        The login cookies that came with the request, as they came.
    general
        True if nothing but the credentials decided, so that to ask again with the same ones is to
        ask the same.
    expires
        Until when it holds for further requests (`time.monotonic`); 0.0 if only for this one.
    """

    token: str
    reserved: frozenset[str]
    logins: frozenset[str]
    general: bool
    expires: float = 0.0
    _handler: _Gatekeeper | None = field(default=None, repr=False)

    def cookies(self) -> tuple[str, ...]:
        """Set-Cookie fields with which Jupyter wants to answer this request."""
        return () if self._handler is None else _cookies(self._handler)

    def ensure_xsrf_cookie(self) -> None:
        """See to it that the browser has an XSRF token for our REST API."""
        if self._handler is not None:
            _ = self._handler.xsrf_token


class Admissions:
    """Who may use the sessions of one web application.

    Parameters
    ----------
    application
        Jupyter's.
    seconds
        How long a yes holds; 0 remembers none.
    """

    # More than one server's users have browsers, and what each keeps is small.
    LIMIT = 1024

    def __init__(self, application: web.Application, seconds: float) -> None:
        self._application = application
        self._seconds = seconds
        self._known: dict[tuple[str | None, ...], Admission] = {}
        self._names: set[str] = set()
        self._epoch = 0

    async def admit(
        self,
        request: httputil.HTTPServerRequest,
        session_id: str,
        *,
        upgrade: bool,
        navigation: bool = False,
        fresh: bool = False,
    ) -> Admission:
        """Authenticate and authorize `request`; raises Refused.

        `fresh` asks Jupyter in any case. `navigation` sends a browser to the login page.
        """
        now = time.monotonic()
        action = _action(request, upgrade=upgrade)
        key = self._key(request, session_id, action) if self._seconds else None
        if key is not None and not fresh:
            known = self._known.get(key)
            if known is not None and known.expires > now:
                return known
        epoch = self._epoch
        admission = await admit(self._application, request, action=action, navigation=navigation)
        self._names |= admission.reserved
        if key is None or fresh or admission.cookies() or not admission.general:
            return admission
        if epoch != self._epoch:  # something was revoked while we asked
            return admission
        known = self._known.get(key)
        if known is not None and known.expires > now:
            return known  # somebody asked the same, and was quicker
        if len(self._known) >= self.LIMIT:
            self._known = {k: v for k, v in self._known.items() if v.expires > now}
        if len(self._known) >= self.LIMIT:
            self._drop(list(self._known))
        admission = Admission(
            admission.token, admission.reserved, admission.logins, True, now + self._seconds
        )
        self._known[key] = admission
        return admission

    def logins(self, cookie: str) -> frozenset[str]:
        """Those of the cookies of a Cookie field that may be logins."""
        return _logins(cookie, self._names)

    def revoke(self, cookies: frozenset[str]) -> None:
        """Forget what was allowed to these login cookies, and what was built on that."""
        self._drop([key for key, known in self._known.items() if known.logins & cookies])

    def forget(self, session_id: str) -> None:
        """Forget what was allowed about a session: its end, or who may use it, has changed."""
        self._drop([key for key in self._known if key[0] == session_id])

    def _drop(self, keys: list[tuple[str | None, ...]]) -> None:
        self._epoch += 1
        for key in keys:
            self._known.pop(key).expires = 0.0

    @staticmethod
    def _key(
        request: httputil.HTTPServerRequest, session_id: str, action: str
    ) -> tuple[str | None, ...] | None:
        if "token" in request.query_arguments:
            return None
        headers = request.headers
        credentials = (headers.get(name) for name in ("Cookie", "Authorization", "Host"))
        return (session_id, action, request.remote_ip, request.protocol, *credentials)


def _logins(cookie: str, names: Collection[str]) -> frozenset[str]:
    sent = (c.strip() for c in cookie.split(";"))
    return frozenset(c for c in sent if c.partition("=")[0].strip().lower() in names)


def _action(request: httputil.HTTPServerRequest, *, upgrade: bool) -> str:
    return "execute" if upgrade else "read" if request.method in SAFE_METHODS else "write"


def _is_general(handler: _Gatekeeper) -> bool:
    """True if only credentials decide: so it is with what Jupyter and JupyterHub bring along.

    Any other identity provider or authorizer may look at whatever it likes.
    """
    if isinstance(handler.identity_provider, LegacyIdentityProvider):
        return False
    judges = [type(judge).__module__ for judge in (handler.identity_provider, handler.authorizer)]
    # The deprecated way to authenticate, which `prepare` still heeds.
    judges.append(handler.get_current_user.__module__)
    known = ("jupyter_server.auth.", "jupyter_server.base.", "jupyterhub.")
    return all(module.startswith(known) for module in judges)


async def admit(
    application: web.Application,
    request: httputil.HTTPServerRequest,
    *,
    action: str,
    navigation: bool,
) -> Admission:
    """Authenticate and authorize `request`; raises Refused."""
    method = request.method or ""
    if method not in web.RequestHandler.SUPPORTED_METHODS:
        request = copy.copy(request)
        request.method = "POST"  # what Jupyter has no name for counts as a change
    handler = _Gatekeeper(application, request)
    try:
        await handler.prepare()
        user = handler.current_user
        if user is None:
            if navigation:
                _log_in(handler)
            raise web.HTTPError(403)
        if not await ensure_async(
            handler.authorizer.is_authorized(handler, user, action, AUTH_RESOURCE)
        ):
            raise Refused(f"You are not allowed to {action} sessions.", cookies=_cookies(handler))
    except _Login as login:
        raise Refused("Log in first.", login=login.url, cookies=_cookies(handler)) from None
    except web.HTTPError as error:
        if error.status_code >= 500:
            raise Refused("The login service does not answer.", unavailable=True) from error
        message = "Log in to Jupyter to use this session."
        raise Refused(message, cookies=_cookies(handler)) from None
    reserved = _login_cookies(handler)
    logins = _logins(request.headers.get("Cookie", ""), reserved)
    general = _is_general(handler)
    return Admission(_token(handler), reserved, logins, general, _handler=handler)


_log_in: Callable[[web.RequestHandler], Any] = web.authenticated(lambda handler: None)
"""Redirects to the login page, as every page of Jupyter does."""


def _token(handler: _Gatekeeper) -> str:
    if handler.token_authenticated and (token := handler.get_query_argument("token", "")):
        return token
    return handler.token or ""


def _login_cookies(handler: _Gatekeeper) -> frozenset[str]:
    provider = handler.identity_provider
    names = {provider.get_cookie_name(handler)}
    if hub_auth := getattr(provider, "hub_auth", None):
        names.add(hub_auth.cookie_name)
    return frozenset(name.lower() for name in names if name)


def _cookies(handler: _Gatekeeper) -> tuple[str, ...]:
    # tornado keeps them here until the handler answers, which ours never does.
    morsels = getattr(handler, "_new_cookie", {}).values()
    return (
        *handler._headers.get_list("Set-Cookie"),
        *(morsel.OutputString(None) for morsel in morsels),
    )
