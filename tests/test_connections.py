"""`connections.py`: one way per session and address, and none is left open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from jupyter_sessions.connections import Connections
from jupyter_sessions.errors import Unreachable
from jupyter_sessions.routes import Address
from jupyter_sessions.session import State
from jupyter_sessions.spawners.base import Spawner

from .core import a_session

ONE, TWO = Address.unix("/1"), Address.unix("/2")


class Tunnels:
    """A spawner whose ways take as long as `gate` is shut."""

    def __init__(self) -> None:
        self.opened: list[Address] = []
        self.open: list[Address] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.opening = asyncio.Event()

    @asynccontextmanager
    async def connect(self, address: Address) -> AsyncIterator[Address]:
        self.opened.append(address)
        self.opening.set()
        await self.gate.wait()
        self.open.append(address)
        yield Address.tcp("127.0.0.1", len(self.opened))
        self.open.remove(address)


async def reach(connections: Connections, tunnels: Tunnels, there: Address) -> Address:
    session = a_session(State.RUNNING, id="k", address=there)
    return await connections.reach(session, cast(Spawner, tunnels))


async def test_a_way_is_opened_once_and_kept() -> None:
    connections, tunnels = Connections(), Tunnels()
    ways = await asyncio.gather(*(reach(connections, tunnels, ONE) for _ in range(5)))
    assert (len(set(ways)), tunnels.opened) == (1, [ONE])
    connections.drop("k")
    connections.drop("k")
    await connections.close()
    assert tunnels.open == []


async def test_a_new_address_is_a_new_way_and_closes_the_old() -> None:
    connections, tunnels = Connections(), Tunnels()
    await reach(connections, tunnels, ONE)
    await asyncio.gather(*(reach(connections, tunnels, TWO) for _ in range(5)))
    assert tunnels.opened == [ONE, TWO]
    await asyncio.sleep(0)
    assert tunnels.open == [TWO]
    await connections.close()
    assert tunnels.open == []


async def test_only_the_ways_that_are_still_needed_are_kept() -> None:
    connections, tunnels = Connections(), Tunnels()
    await reach(connections, tunnels, ONE)
    connections.keep({"k"})
    await asyncio.sleep(0)
    assert tunnels.open == [ONE]
    connections.keep({"another"})
    await connections.close()
    assert tunnels.open == []


async def test_what_is_dropped_while_it_opens_is_closed() -> None:
    connections, tunnels = Connections(), Tunnels()
    tunnels.gate.clear()
    tasks = [asyncio.create_task(reach(connections, tunnels, ONE)) for _ in range(2)]
    await tunnels.opening.wait()
    connections.drop("k")  # does not wait, and neither does the loop
    await asyncio.sleep(0)
    tunnels.gate.set()
    results: list[Any] = await asyncio.gather(*tasks, return_exceptions=True)
    await connections.close()
    assert tunnels.open == []
    assert isinstance(results[1], Unreachable)  # it came too late


async def test_a_way_that_fails_to_open_is_tried_again() -> None:
    connections, tunnels = Connections(), Tunnels()
    tunnels.gate.clear()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await reach(connections, tunnels, ONE)
    tunnels.gate.set()
    await reach(connections, tunnels, ONE)
    assert tunnels.open == [ONE]
    await connections.close()
    assert tunnels.open == []
