"""Connections that are made to a host over SSH, led back to this machine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from ..errors import Unreachable
from ..routes import Address
from .mux import MuxRefused
from .openssh import Link


@asynccontextmanager
async def listening(
    link: Link, host: str, ports: Sequence[int], here: str
) -> AsyncIterator[tuple[int, asyncio.Event]]:
    """Have the SSH server listen, while the context is entered: see `LeadsBack.listening`."""
    await link.ensure()
    lost = link.lost
    asked, port = await _listen(link, host, ports, here)
    try:
        yield port, lost
    finally:
        if not lost.is_set():
            with contextlib.suppress(Unreachable, MuxRefused):
                await link.ask(lambda mux: mux.unlisten(Address.tcp(host, asked), here))


async def _listen(link: Link, host: str, ports: Sequence[int], here: str) -> tuple[int, int]:
    """The port that was asked for, and the one that it is."""
    why = "no port to listen at"
    for port in ports:
        there = Address.tcp(host, port)
        try:
            return port, await link.ask(lambda mux, at=there: mux.listen(at, here))  # type: ignore[misc]
        except MuxRefused as error:
            why = str(error)
    raise Unreachable(
        f"The SSH server of {link.client.name} does not listen for connections from nodes ({why}):"
        " its `AllowTcpForwarding` has to be `yes` or `remote`, and `PermitListen` must allow the"
        " port."
    )
