"""What is special about the path at which an app is opened.

A page of Jupyter's own may stand there (`Route.page`); and there an app gets its secret in a query,
unseen by the browser.

Apps that take a secret so set a cookie, and often lead to the same URL without it. So the browser
gets a mark of ours with that answer, for some seconds: a request that brings it, and a cookie of
the app besides, is not the first one, and passes as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote, unquote_plus

from jupyter_sessions.gateway.framing import Headers, values
from jupyter_sessions.gateway.headers import Caller, app_cookies
from jupyter_sessions.routes import Route

MARK = "jupyter-sessions-opened"
"""A cookie whose name is reserved: no app sees it."""
MARK_SECONDS = 5
"""How long a redirect may take; afterwards, opening it again logs in again."""


def may_open(route: Route, rest: str) -> bool:
    """Whether the raw path `rest`, below the session's prefix, is where the app is opened."""
    return bool(route.query) and unquote(rest) == route.opens


def is_page(route: Route, rest: str) -> bool:
    """Whether a page of Jupyter's own is at the raw path `rest`, below the session's prefix."""
    return bool(route.page) and unquote(rest) == route.page


def is_first(headers: Headers, caller: Caller) -> bool:
    """Whether a request to open the app was not just led back to where it came from."""
    cookies = values(headers, "cookie")
    marked = any(c.partition("=")[0].strip() == MARK for v in cookies for c in v.split(";"))
    return not (marked and any(app_cookies(value, caller.reserved) for value in cookies))


def with_query(path: str, added: Mapping[str, str]) -> str:
    """The request target `path` with the parameters `added`, in place of those of their names."""
    plain, _, query = path.partition("?")
    names = {unquote_plus(name) for name in added}
    kept = [p for p in query.split("&") if p and unquote_plus(p.partition("=")[0]) not in names]
    return f"{plain}?{'&'.join([*kept, *(f'{n}={v}' for n, v in added.items())])}"


def mark(caller: Caller) -> str:
    """The Set-Cookie field that says that the app was opened."""
    secure = "; Secure" if caller.protocol == "https" else ""
    return (
        f"{MARK}=1; Path={caller.prefix}/; Max-Age={MARK_SECONDS}; HttpOnly; SameSite=Lax{secure}"
    )
