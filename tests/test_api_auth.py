"""Who may use the REST API: every URL of the server's own table, with every method."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from jupyter_server.auth import AllowAllAuthorizer
from jupyter_server.serverapp import ServerApp

from .conftest import Api
from .endpoints import Endpoint, endpoints
from .test_api import is_a

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}


class Refusing(AllowAllAuthorizer):
    """Says no to all that is ours, and remembers what it was asked."""

    asked: list[tuple[str, str]] = []

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        self.asked.append((action, resource))
        return False


@pytest.fixture
def urls(api: Api, jp_serverapp: ServerApp) -> list[Endpoint]:
    found = list(endpoints(jp_serverapp.web_app))
    assert len(found) >= 11
    return found


async def cookies(api: Api) -> str:
    """What a browser sends that has logged in."""
    answer = await api("GET", "spawners")
    return "; ".join(c.partition(";")[0] for c in answer.headers.get_list("Set-Cookie"))


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": ""}, {"Authorization": "token wrong"}, {"Cookie": "username=forged"}],
    ids=["nothing", "empty", "wrong token", "forged cookie"],
)
async def test_who_is_not_logged_in_is_refused_with_every_method(
    api: Api, urls: list[Endpoint], headers: dict[str, str]
) -> None:
    for url in urls:
        for method in METHODS:
            answer = await api(method, url.path, headers=headers)
            assert answer.status == 403, (method, url)
            if method != "HEAD":
                is_a("Error", answer.json)
    assert (await api("GET", "no-such-url", headers=headers)).status == 403


async def test_options_tells_strangers_nothing(api: Api, urls: list[Endpoint]) -> None:
    # Jupyter answers CORS preflights itself, and they carry no credentials.
    for url in urls:
        answer = await api("OPTIONS", url.path, headers={})
        assert (answer.status, answer.body) == (200, b"")


async def test_a_cookie_alone_changes_nothing(api: Api, urls: list[Endpoint]) -> None:
    cookie = await cookies(api)
    for url in urls:
        for method in UNSAFE.intersection(url.methods):
            answer = await api(method, url.path, {"app": "echo"}, headers={"Cookie": cookie})
            assert answer.status == 403, (method, url)
            assert "_xsrf" in answer.json["message"]
    assert await api.manager.sessions() == ([], [])


async def test_a_cookie_with_its_xsrf_token_is_let_in(api: Api) -> None:
    headers = {"Cookie": f"{await cookies(api)}; _xsrf=abc", "X-XSRFToken": "abc"}
    answer = await api("POST", "sessions", {"app": "echo"}, headers=headers)
    assert answer.status == 201


async def test_another_site_cannot_use_the_cookie(api: Api, urls: list[Endpoint]) -> None:
    headers = {"Cookie": await cookies(api), "Origin": "https://evil.example"}
    for url in urls:
        for method in url.methods:
            if method != "OPTIONS":
                answer = await api(method, url.path, headers=headers)
                assert answer.status in (403, 404), (method, url)
                assert "Access-Control-Allow-Origin" not in answer.headers


class TestAnAuthorizer:
    @pytest.fixture
    def jp_server_config(self) -> dict[str, Any]:
        Refusing.asked = []
        app = {"jpserver_extensions": {"jupyter_sessions": True}, "authorizer_class": Refusing}
        return {"ServerApp": app}

    async def test_is_asked_about_every_request_and_obeyed(
        self, api: Api, urls: list[Endpoint]
    ) -> None:
        for url in urls:
            for method in set(url.methods) - {"OPTIONS"}:
                Refusing.asked.clear()
                answer = await api(method, url.path, {"app": "echo"} if method in UNSAFE else None)
                assert answer.status == 403, (method, url)
                action = "write" if method in UNSAFE else "read"
                assert Refusing.asked == [(action, "jupyter_sessions")], (method, url)
        assert await api.manager.sessions() == ([], [])


async def test_polling_is_not_activity(api: Api, jp_serverapp: ServerApp) -> None:
    before = jp_serverapp.web_app.settings.get("api_last_activity")
    await asyncio.gather(*(api("GET", path) for path in ("sessions", "apps", "spawners")))
    assert jp_serverapp.web_app.settings.get("api_last_activity") == before
