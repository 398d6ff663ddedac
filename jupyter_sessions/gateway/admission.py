"""Who may use a session: asked of Jupyter's own machinery, before anything else happens."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from jupyter_server.auth.decorator import allow_unauthenticated
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

    def redirect(self, url: str, permanent: bool = False, status: int | None = None) -> None:
        raise _Login(url)


@dataclass(frozen=True, slots=True)
class Admission:
    """The user's request is allowed.

    Parameters
    ----------
    token
        Jupyter's token: the one in the URL if that let the user in, else the server's.
    reserved
        Names of the login cookies, in lower case.
    """

    token: str
    reserved: frozenset[str]
    _handler: _Gatekeeper = field(repr=False)

    def cookies(self) -> tuple[str, ...]:
        """Set-Cookie fields with which Jupyter wants to answer this request."""
        return _cookies(self._handler)

    def ensure_xsrf_cookie(self) -> None:
        """See to it that the browser has an XSRF token for our REST API."""
        _ = self._handler.xsrf_token


async def admit(
    application: web.Application,
    request: httputil.HTTPServerRequest,
    *,
    upgrade: bool,
    navigation: bool,
) -> Admission:
    """Authenticate and authorize `request`; raises Refused."""
    method = request.method or ""
    asked = copy.copy(request)
    if method not in web.RequestHandler.SUPPORTED_METHODS:
        asked.method = "POST"  # what Jupyter has no name for counts as a change
    handler = _Gatekeeper(application, asked)
    try:
        await handler.prepare()
        user = handler.current_user
        if user is None:
            if navigation:
                _log_in(handler)
            raise web.HTTPError(403)
        action = "execute" if upgrade else "read" if method in SAFE_METHODS else "write"
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
    return Admission(_token(handler), _login_cookies(handler), handler)


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
