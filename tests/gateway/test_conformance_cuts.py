"""Connections that break, at every byte, on either side: nobody waits, and nothing is left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import psutil
import pytest

from tests.gateway.harness import App, Server, Wire
from tests.gateway.torture import Client, arrive, get, hang_up, head, requests, tcp_app

PLACES = ("first", "second")
ENDS = ("fin", "reset")
AT_ONCE = 40
BOUND = 10.0

OK = b"HTTP/1.1 200 OK\r\n"
FRAMES = b"\x82\x03one\x82\x03two\x82\x05three"


@dataclass(frozen=True)
class Exchange:
    """What the two sides say. The request's path tells the app where to break off."""

    request: Callable[[str], bytes]
    answer: bytes
    body: bytes
    after: bytes = b""
    """What the client says once it has the answer's head."""


def _post(path: str) -> bytes:
    return head(b"Content-Length: 10", first="POST {}" + path + " HTTP/1.1") + b"0123456789"


def _upgrade(path: str) -> bytes:
    return get(path, b"Connection: Upgrade", b"Upgrade: websocket")


EXCHANGES = {
    "length": Exchange(_post, OK + b"Content-Length: 10\r\n\r\n0123456789", b"0123456789"),
    "chunked": Exchange(
        get, OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\none\r\nb\r\ntwo\r\nthree!\r\n0\r\n\r\n",
        b"onetwo\r\nthree!",
    ),
    "upgrade": Exchange(
        _upgrade,
        b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + FRAMES,
        FRAMES,
        after=FRAMES,
    ),
}  # fmt: skip


async def breaking_app(wire: Wire) -> None:
    """Answers ``/<exchange>/<bytes>/<end>`` with so many bytes, ``/<exchange>/hold`` with none."""
    async for request in requests(wire):
        _, name, *rest = request.said.split(" ")[1].split("/")
        if name not in EXCHANGES:
            await wire.send(OK + b"Content-Length: 0\r\n\r\n")
        elif rest == ["hold"]:
            if name == "upgrade":
                await wire.send(EXCHANGES[name].answer)
            await wire.closed()
        else:
            await wire.send(EXCHANGES[name].answer[: int(rest[0])])
            hang_up(wire, reset=rest[1] == "reset")
            return


async def _app_breaks(server: Server, place: str, name: str, size: int, end: str) -> None:
    """What the client gets is a whole answer, an error, or visibly broken off."""
    exchange = EXCHANGES[name]
    async with await Client.to(server.port) as client:
        await arrive(client, place, exchange.request(f"/{name}/{size}/{end}"))
        answer = await client.answer()
        assert answer is not None
        begun = exchange.answer.index(b"\r\n\r\n") + 4 <= size
        # A reset may overtake what was sent before it.
        assert answer.status == (int(exchange.answer[9:12]) if begun else 503) or (
            end == "reset" and answer.status == 503
        )
        if answer.status == 101:
            assert exchange.body.startswith(await client.rest())
        elif answer.status == 200:
            whole = size == len(exchange.answer)
            assert answer.complete == (answer.body == exchange.body and not client.ended)
            assert whole or not answer.complete
            assert answer.complete or client.ended
            assert whole <= answer.complete or end == "reset"
        else:
            assert answer.complete


async def _client_breaks(server: Server, place: str, name: str, size: int, end: str) -> None:
    """That the app notices is checked for all at once, see `_all_over`."""
    exchange = EXCHANGES[name]
    data = exchange.request(f"/{name}/hold")
    async with await Client.to(server.port) as client:
        await arrive(client, place, data[:size])
        if size > len(data):
            answer = await client.answer()
            assert answer is not None
            assert answer.status == 101
            await client.send(exchange.after[: size - len(data)])
        if end == "reset":
            client.reset()


async def _each(cuts: Iterable[Awaitable[None]]) -> None:
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(cut: Awaitable[None]) -> None:
        async with limit:
            await cut

    async with asyncio.TaskGroup() as tasks:
        for cut in cuts:
            tasks.create_task(one(cut))


def _open_files() -> int:
    """Of this process, which is client, gateway and app, and of the gateway's helpers."""
    here = psutil.Process()
    return sum(p.num_fds() for p in [here, *here.children(recursive=True)])


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(BOUND):
        while not condition():  # noqa: ASYNC110 - a closed descriptor tells nobody
            await asyncio.sleep(0.005)


async def _all_over(server: Server, app: App, files: int) -> None:
    """Both ends of each exchange have ended, and the server answers as before."""

    def nothing_open() -> bool:
        metrics = server.gateway.metrics().get("app")
        return metrics is None or metrics.open_requests == metrics.open_upgrades == 0

    async with asyncio.timeout(BOUND):
        await server.until(nothing_open)
        assert (await server.fetch(server.url("app", "/next"))).status == 200
        await server.until(nothing_open)
        await server.call(lambda: server.gateway.forget_session("app"))  # what is kept
        await asyncio.gather(*app.tasks)
    await _until(lambda: _open_files() <= files)


async def _quiet(server: Server) -> int:
    """Open one of each kind, so that what is made once is there; the open files then."""
    for name in EXCHANGES:
        size = len(EXCHANGES[name].answer)
        await _app_breaks(server, "second", name, size, "fin")
    await server.until(lambda: server.gateway.metrics()["app"].open_upgrades == 0)
    await server.call(lambda: server.gateway.forget_session("app"))
    files = [_open_files()]

    def stable() -> bool:
        files.append(_open_files())
        return len(files) > 4 and len(set(files[-4:])) == 1

    await _until(stable)
    return files[-1]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", EXCHANGES)
async def test_an_app_that_breaks_off(server: Server, name: str, end: str, place: str) -> None:
    async with tcp_app(server, breaking_app) as app:
        files = await _quiet(server)
        sizes = range(len(EXCHANGES[name].answer) + 1)
        await _each(_app_breaks(server, place, name, size, end) for size in sizes)
        await _all_over(server, app, files)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", EXCHANGES)
async def test_a_client_that_breaks_off(server: Server, name: str, end: str, place: str) -> None:
    exchange = EXCHANGES[name]
    async with tcp_app(server, breaking_app) as app:
        files = await _quiet(server)
        size = len(exchange.request(f"/{name}/hold")) + len(exchange.after)
        await _each(_client_breaks(server, place, name, n, end) for n in range(size + 1))
        await _all_over(server, app, files)
