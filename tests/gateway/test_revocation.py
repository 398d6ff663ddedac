"""What was allowed once: for how long it holds, and what becomes of open connections after it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from jupyter_server.auth import AllowAllAuthorizer, Authorizer, IdentityProvider, User
from tornado import web

from tests.gateway.conftest import PATHS, Put
from tests.gateway.harness import LOGIN, SECRET, TOKEN, Server, Wire, echo, request, seen
from tests.gateway.test_admission import setting
from tests.gateway.test_upgrade import shout, upgraded

fast = pytest.mark.parametrize("server", ["fast"], indirect=True)
SECONDS = PATHS["fast"].cache_seconds


class _Authorizer(Authorizer):
    """Says what it is told to say. Pretends to be one that looks at nothing but the user."""

    __module__ = AllowAllAuthorizer.__module__
    allows: bool | Exception = True
    asked = 0

    async def is_authorized(self, handler: Any, user: User, action: str, resource: str) -> bool:
        self.asked += 1
        if isinstance(self.allows, Exception):
            raise self.allows
        return self.allows


class _Curious(IdentityProvider):
    """Looks at a field of its own, as a site's own class may."""

    asked = 0

    async def get_user(self, handler: Any) -> User | None:
        self.asked += 1
        return User("ada") if handler.request.headers.get("X-Ada") == "yes" else None


def _authorizer(server: Server) -> _Authorizer:
    return _Authorizer(identity_provider=server.app.identity_provider)


async def _get(wire: Wire, target: str, *fields: tuple[str, str], login: bool = True) -> int:
    await wire.send(request(target, fields=fields, login=login))
    return (await wire.reply()).status


# The cache


@fast
async def test_a_yes_holds_for_a_while(server: Server, put: Put) -> None:
    await put("app", echo)
    authorizer = _authorizer(server)
    with setting(server, authorizer=authorizer):
        async with await server.connect() as wire:
            start = time.monotonic()
            for _ in range(10):
                assert await _get(wire, server.url("app")) == 200
            assert authorizer.asked <= 1 + (time.monotonic() - start) / SECONDS
            authorizer.allows = False
            async with asyncio.timeout(SECONDS + 5):
                while await _get(wire, server.url("app")) == 200:
                    pass
            # A no is not remembered for a moment.
            authorizer.allows = True
            assert await _get(wire, server.url("app")) == 200


async def test_it_is_one_sessions_one_actions_and_one_logins(server: Server, put: Put) -> None:
    await put("app", echo)
    await put("other", echo)
    authorizer = _authorizer(server)
    with setting(server, authorizer=authorizer):
        async with await server.connect() as wire:
            assert await _get(wire, server.url("app")) == 200
            authorizer.allows = False
            assert await _get(wire, server.url("other")) == 403
        async with await server.connect() as wire:
            await wire.send(request(server.url("app"), "POST", [("Content-Length", "0")]))
            assert (await wire.reply()).status == 403
        async with await server.connect() as wire:
            mine = ("Cookie", f"{LOGIN}; more=1")
            assert await _get(wire, server.url("app"), mine) == 403


async def test_whoever_looks_at_more_is_always_asked(server: Server, put: Put) -> None:
    await put("app", echo)
    with setting(server, identity_provider=_Curious(parent=server.app)):
        async with await server.connect() as wire:
            for _ in range(3):
                assert await _get(wire, server.url("app"), ("X-Ada", "yes")) == 200
            assert await _get(wire, server.url("app"), ("X-Ada", "no")) == 403


async def test_a_token_in_the_url_is_looked_at(server: Server, put: Put) -> None:
    await put("app", echo)
    no_cookie = [("Authorization", f"token {TOKEN}")]
    async with await server.connect() as wire:
        assert await _get(wire, server.url("app"), *no_cookie, login=False) == 200
        assert await _get(wire, server.url("app", "/?token=no"), *no_cookie, login=False) == 403
    async with await server.connect() as wire:
        assert await _get(wire, server.url("app"), *no_cookie, login=False) == 200
        assert await _get(wire, server.url("app", "/?t%6fken=no"), *no_cookie, login=False) == 403


async def test_two_addresses_are_two_people(server: Server, put: Put) -> None:
    await put("app", echo)
    authorizer = _authorizer(server)
    with setting(server, authorizer=authorizer):
        for number in (1, 2, 1, 2):
            address = (f"127.0.0.{number}", 0)
            streams = await asyncio.open_connection("127.0.0.1", server.port, local_addr=address)
            async with Wire(*streams) as wire:
                for _ in range(2):
                    await wire.send(request(server.url("app")))
                    passed = seen(await wire.reply())
                    assert passed.get("x-forwarded-for") == address[0]
        assert authorizer.asked >= 2


async def test_what_a_proxy_said_of_one_request_is_not_said_of_the_next(
    server: Server, put: Put
) -> None:
    await put("app", echo)
    async with await server.connect(port=server.trusted_port) as wire:
        for fields in ([("X-Forwarded-Proto", "https")], [], [("X-Scheme", "https")], []):
            await wire.send(request(server.url("app"), fields=fields))
            passed = seen(await wire.reply())
            assert passed.get("x-forwarded-proto") == ("https" if fields else "http")


class _Slow(_Authorizer):
    """Takes its time, as JupyterHub does."""

    __module__ = AllowAllAuthorizer.__module__
    answers: asyncio.Event

    async def is_authorized(self, handler: Any, user: User, action: str, resource: str) -> bool:
        self.asked += 1
        await self.answers.wait()
        return True


@fast
async def test_what_is_revoked_while_it_is_asked_about_is_not_kept(
    server: Server, put: Put
) -> None:
    await put("app", echo)
    authorizer = _Slow(identity_provider=server.app.identity_provider)
    authorizer.answers = await server.call(asyncio.Event)
    with setting(server, authorizer=authorizer):
        async with await server.connect() as one, await server.connect() as two:
            for wire in (one, two):
                await wire.send(request(server.url("app")))
            await server.until(lambda: authorizer.asked == 2)
            await server.call(lambda: server.gateway.close_session("app"))
            await server.call(authorizer.answers.set)
            for wire in (one, two):
                assert (await wire.reply()).status == 200
            asked = authorizer.asked
            assert await _get(one, server.url("app")) == 200
            assert authorizer.asked == asked + 1


@pytest.mark.parametrize("change", ["close_session", "forget_session"])
async def test_a_change_of_the_session_counts_at_once(
    server: Server, put: Put, change: str
) -> None:
    await put("app", echo)
    async with await server.connect() as wire:
        for _ in range(2):
            assert await _get(wire, server.url("app")) == 200
        del server.table.found["app"]
        await server.call(lambda: getattr(server.gateway, change)("app"))
        assert await _get(wire, server.url("app")) == 404


# Open connections


async def _streams(wire: Wire) -> None:
    """Agrees to an upgrade, or answers without an end."""
    seen = await wire.head()
    if seen.get("upgrade"):
        await wire.send(b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: thing/2\r\n\r\n")
    else:
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
    await wire.reader.read()


async def _open(server: Server, *, upgrade: bool, warm: bool = False) -> Wire:
    wire = await server.connect()
    fields = [("Connection", "Upgrade"), ("Upgrade", "thing/2")] if upgrade else []
    if warm:
        assert await _get(wire, f"{server.base}api") == 200
    await wire.send(request(server.url("app"), fields=fields))
    assert (await wire.head()).status == (101 if upgrade else 200)
    return wire


@pytest.mark.parametrize("upgrade", [True, False])
async def test_who_may_no_longer_is_cut_off(server: Server, put: Put, upgrade: bool) -> None:
    await put("app", _streams)
    authorizer = _authorizer(server)
    with setting(server, authorizer=authorizer):
        async with await _open(server, upgrade=upgrade) as wire:
            authorizer.allows = web.HTTPError(503)
            asked = authorizer.asked
            await server.until(lambda: authorizer.asked > asked + 1)  # and nobody could tell
            assert _open_connections(server) == 1
            authorizer.allows = False
            async with asyncio.timeout(20):
                await wire.closed()
        await server.until(lambda: _open_connections(server) == 0)


@pytest.mark.parametrize("upgrade", [True, False])
async def test_logout_cuts_off_what_that_login_opened(
    server: Server, put: Put, upgrade: bool
) -> None:
    await put("app", _streams)
    name = "username-localhost-8888"
    other = web.create_signed_value(SECRET, name, '{"username": "eve"}').decode()
    async with (
        await _open(server, upgrade=upgrade) as wire,
        await server.connect() as stays,
        await server.connect() as leaves,
    ):
        await stays.send(request(server.url("app"), fields=[("Cookie", f"{name}={other}")]))
        assert (await stays.head()).status == 200
        logout = request(f"{server.base}logout", login=False, fields=[("Cookie", f"x=1; {LOGIN}")])
        await leaves.send(logout)
        await leaves.head()
        async with asyncio.timeout(20):
            await wire.closed()
        await server.until(lambda: _open_connections(server) == 1)


async def test_a_logout_of_nobody_closes_nothing(server: Server, put: Put) -> None:
    await put("app", shout)
    async with upgraded(server) as wire, await server.connect() as leaves:
        logout = request(f"{server.base}logout", login=False, fields=[("Cookie", "_xsrf=1; x=2")])
        await leaves.send(logout)
        await leaves.head()
        await wire.send(b"x")
        assert await wire.reader.readexactly(7) == b"hello X"


def _open_connections(server: Server) -> int:
    metrics = server.gateway.metrics()["app"]
    return metrics.open_upgrades + metrics.open_requests
