"""The process that holds upgraded connections: it goes on, goes down, and goes away."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import ssl
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import psutil
import pytest
from tornado import httputil

from jupyter_sessions.gateway import helper as helper_module
from jupyter_sessions.gateway import relay
from jupyter_sessions.gateway.credentials import Bystander, Credentials
from jupyter_sessions.gateway.helper import Helper
from jupyter_sessions.gateway.traffic import Traffic
from tests.gateway.conftest import Put
from tests.gateway.harness import Server
from tests.gateway.test_upgrade import shout, upgraded
from tests.live import PATIENCE

_REQUEST = httputil.HTTPServerRequest(
    start_line=httputil.RequestStartLine("GET", "/sessions/app/", "HTTP/1.1"),
    headers=httputil.HTTPHeaders({"Host": "localhost"}),
    connection=Bystander(None),
)


def _process(server: Server) -> psutil.Process:
    assert server.gateway.helper is not None
    return psutil.Process(server.gateway.helper.pid)


# The other path has no helper.
fast = pytest.mark.parametrize("server", ["fast"], indirect=True)


@fast
async def test_a_busy_jupyter_holds_up_no_open_connection(server: Server, put: Put) -> None:
    await put("app", shout)
    async with upgraded(server) as wire:
        _process(server)
        assert await wire.reader.readexactly(6) == b"hello "
        busy = asyncio.Event()
        loop = asyncio.get_running_loop()
        release = threading.Event()

        def block() -> None:
            loop.call_soon_threadsafe(busy.set)
            release.wait(PATIENCE)  # as a notebook that is saved does

        server.loop.call_soon_threadsafe(block)
        await busy.wait()
        try:
            async with asyncio.timeout(PATIENCE / 2):
                for _ in range(20):
                    await wire.send(b"x")
                    assert await wire.reader.readexactly(1) == b"X"
        finally:
            release.set()


@fast
async def test_a_helper_that_dies_is_replaced(server: Server, put: Put) -> None:
    await put("app", shout)
    async with upgraded(server) as wire:
        before = _process(server)
        before.send_signal(signal.SIGKILL)
        await wire.closed()
        await server.until(lambda: not server.gateway.metrics()["app"].open_upgrades)
        async with upgraded(server) as again:
            assert await again.reader.readexactly(6) == b"hello "
            assert _process(server).pid != before.pid
    assert any("helper process has died" in line for line in server.log)


async def test_it_ends_with_its_server() -> None:
    async with _helper() as helper:
        assert await _joined(helper)
        process = psutil.Process(helper.pid)
        await helper.close()
        assert not process.is_running()
        assert helper.pid is None


async def test_one_that_hangs_holds_up_no_shutdown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helper_module, "_END_SECONDS", 0.1)
    async with _helper() as helper:
        assert await _joined(helper)
        process = psutil.Process(helper.pid)
        process.suspend()
        async with asyncio.timeout(PATIENCE):
            await helper.close()
        assert not process.is_running()


async def test_it_sees_nothing_of_jupyters_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "secret")
    async with _helper() as helper:
        assert await _joined(helper)
        process = psutil.Process(helper.pid)
        assert "secret" not in str(process.environ()) + str(process.cmdline())
        assert {c.fd for c in process.net_connections("inet")} == set()


async def test_no_process_can_be_started(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    async with _helper() as helper:
        assert not await _joined(helper)
        assert not await _joined(helper)
    assert caplog.text.count("no helper process") == 1


async def test_one_that_dies_at_once_is_done_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    caplog.set_level(logging.WARNING)
    async with _helper() as helper:
        for count in range(1, 4):
            await _joined(helper)
            await _until(lambda: helper.pid is None)
            assert caplog.text.count("has died") == count
        assert not await _joined(helper)


async def test_no_end_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many pairs are closed at once, and whatever the helper is doing."""
    monkeypatch.setattr(helper_module, "_BUFFER", 4096)
    async with _helper() as helper:
        traffic = Traffic(ssl.create_default_context())
        async with AsyncExitStack() as stack:
            for _ in range(50):
                await _join(helper, traffic, stack)
            process = psutil.Process(helper.pid)
            process.suspend()
            traffic.close()
            process.resume()
            await _until(lambda: not traffic.metrics.open_upgrades)


async def test_much_said_at_once_stays_here() -> None:
    async with _helper() as helper:
        assert not await _joined(helper, b"x" * relay.PACKET)


async def test_no_more_descriptors_can_be_had() -> None:
    """What the helper cannot take is closed, and said to be."""
    async with _helper() as helper:
        traffic = Traffic(ssl.create_default_context())
        assert await _joined(helper, traffic=traffic)
        await _until(lambda: not traffic.metrics.open_upgrades)
        process = psutil.Process(helper.pid)
        process.rlimit(psutil.RLIMIT_NOFILE, (process.num_fds(),) * 2)
        assert not await _joined(helper, traffic=traffic)
        await _until(lambda: not traffic.metrics.open_upgrades)


@asynccontextmanager
async def _helper() -> AsyncIterator[Helper]:
    helper = Helper(logging.getLogger("test-helper"))
    try:
        yield helper
    finally:
        await helper.close()


async def _joined(helper: Helper, said: bytes = b"hello", traffic: Traffic | None = None) -> bool:
    """Whether `helper` takes two sockets and passes on what was said."""
    client, ours = socket.socketpair()
    app, its = socket.socketpair()
    client.setblocking(False)
    with client, app:
        with ours, its:
            if not await helper.ready():
                return False
            if not helper.adopt(
                ours.fileno(),
                its.fileno(),
                to_client=said,
                to_app=b"",
                traffic=traffic or Traffic(ssl.create_default_context()),
                credentials=Credentials(_REQUEST, "app", upgrade=True),
                websocket=True,
            ):
                return False
        try:
            return await asyncio.get_running_loop().sock_recv(client, 100) == said
        except ConnectionError:
            return False


async def _join(helper: Helper, traffic: Traffic, stack: AsyncExitStack) -> None:
    """Give `helper` two sockets whose other ends stay open until the end of `stack`."""
    client, ours = socket.socketpair()
    app, its = socket.socketpair()
    for end in (client, app):
        stack.enter_context(end)
    with ours, its:
        assert await helper.ready()
        adopt = partial(
            helper.adopt,
            ours.fileno(),
            its.fileno(),
            to_client=b"",
            to_app=b"",
            traffic=traffic,
            credentials=Credentials(_REQUEST, "app", upgrade=True),
            websocket=False,
        )
        await _until(adopt)  # there may be no room for a moment


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
