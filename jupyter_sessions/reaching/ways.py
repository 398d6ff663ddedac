"""`Reach`: how a server gets to apps on nodes that it shares no machine with.

A way is chosen by the trait `reach` of a spawner whose sessions run on nodes. Each is a class:
what it adds to a launch, and how it opens a way to what the runner has reported.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar

from traitlets import TraitError
from traitlets.config import Configurable

from .. import gate
from ..errors import SpawnerError, Unreachable
from ..hosts.base import Host, LeadsBack
from ..routes import Address
from .entrance import Entrance, Where
from .identity import directory_of, identities, name_of
from .relaying import AT_SOCKET, Relay

INHERITED = ("user", "identity_file", "config_file", "ciphers", "connect_timeout", "keepalive")
"""Traits of an SSH host that hold for the nodes behind it."""
RELAYED = (
    "A relay of ours runs on the host for it, as its SSH server listens for nodes at its loopback"
    " only: `GatewayPorts clientspecified` in its sshd_config makes that needless."
)
CALL_SECONDS = 10.0
"""Seconds that a gate may take to call: it looks each second where to, through a file server."""


class Reach(ABC):
    """One way to nodes.

    Holds no state per session, only the processes that ways need while they are open.
    """

    name: ClassVar[str] = ""

    @property
    def note(self) -> str:
        """What administrators may want to know of how it is done, while a way is open."""
        return ""

    async def gate(self, keys: Path, directory: str) -> Mapping[str, Any]:
        """What the runner is told under ``gate``; empty if this way needs none.

        Called before an attempt is prepared, each time that this is tried.

        Parameters
        ----------
        keys
            The attempt's directory in the store of this machine: made, and its keys kept there.
        directory
            The attempt's directory on the host that submits, and on the node.

        Raises
        ------
        SpawnerError
            If keys cannot be made.
        """
        return {}

    def located(self, address: Address, node: str, keys: str) -> Address:
        """What the runner on `node` reported, so that `connect` finds all it needs in it."""
        return replace(address, node=node, path=keys if address.scheme == "gate" else address.path)

    @abstractmethod
    def connect(self, host: Host, address: Address) -> AbstractAsyncContextManager[Address]:
        """A way to `address`, as `located` gave it, kept open while the context is entered.

        Called by `Spawner.connect`.

        Parameters
        ----------
        host
            The spawner's: the one that submits.

        Raises
        ------
        Unreachable
            If the way cannot be opened now.
        """


class Ssh(Reach):
    """Through the SSH server of the node; nothing else listens on its network.

    Each node is an SSH host of its own while a way to it is open, reached through the spawner's
    host if that is one. The user logs in there as on that host.

    Parameters
    ----------
    parent
        The spawner: where the hosts get their configuration and their log from.
    traits
        Of these hosts, by name: ``{"options": ["StrictHostKeyChecking=accept-new"]}``.
    addresses
        What this side calls nodes, by name, where it is not what they call themselves.
    """

    name = "ssh"

    def __init__(
        self,
        parent: Configurable,
        traits: Mapping[str, Any] | None = None,
        addresses: Mapping[str, str] | None = None,
    ) -> None:
        self._parent = parent
        self._traits = traits or {}
        self._addresses = addresses or {}
        self._nodes: dict[str, Host] = {}
        self._users: dict[str, int] = {}

    @asynccontextmanager
    async def connect(self, host: Host, address: Address) -> AsyncIterator[Address]:
        if not address.node:
            raise Unreachable("It is not known on which node the session runs.")
        self._users[address.node] = self._users.get(address.node, 0) + 1
        try:
            node = self._nodes.get(address.node) or await self._node(host, address.node)
            async with node.connect(replace(address, node="")) as here:
                yield here
        finally:
            self._users[address.node] -= 1
            if not self._users[address.node]:
                del self._users[address.node]
                if (unused := self._nodes.pop(address.node, None)) is not None:
                    await unused.close()

    async def _node(self, host: Host, name: str) -> Host:
        jump = await host.jump()
        known = self._nodes.get(name)
        if known is None:
            known = self._nodes[name] = self._make(host, name, jump)
        return known

    def _make(self, host: Host, name: str, jump: Sequence[str]) -> Host:
        (found,) = entry_points(group="jupyter_sessions.hosts", name="ssh")
        node: Host = found.load()(parent=self._parent, name=name)
        inherited = {n: getattr(host, n) for n in INHERITED if host.has_trait(n)}
        traits = {**inherited, **self._traits, "address": self._addresses.get(name, name)}
        traits["options"] = [*jump, *traits.get("options", ())]
        try:
            for trait, value in traits.items():
                setattr(node, trait, value)
        except TraitError as error:
            raise Unreachable(f"The node {name} cannot be reached by SSH: {error}.") from None
        return node


class _Gated(Reach):
    """What the ways through a gate have in common."""

    relay: Relay

    async def gate(self, keys: Path, directory: str) -> Mapping[str, Any]:
        return await asyncio.to_thread(self._gate, keys, directory)

    def _gate(self, keys: Path, directory: str) -> Mapping[str, Any]:
        files = identities(keys, directory)
        known = {"reach": self.name, "name": name_of(keys), **self.settings()}
        return {**known, "files": files}

    def settings(self) -> Mapping[str, Any]:
        """What the gate has to know besides; see ``gate``."""
        return {}

    async def known(self, address: Address) -> tuple[str, str]:
        """The name of the gate, and the attempt's directory on the host."""
        keys = Path(address.path or "/nonexistent")
        try:
            return await asyncio.to_thread(lambda: (name_of(keys), directory_of(keys)))
        except OSError as error:
            raise Unreachable(
                f"The keys of the way to {address.node or 'the node'} cannot be read:"
                f" {error.strerror}."
            ) from error


class Direct(_Gated):
    """The gate listens on the node's network, and this side dials it.

    Parameters
    ----------
    interface
        Where it listens: see `gate.own_address`.
    ports
        The first and the last port that it may listen at; (0, 0) for any.
    addresses
        What this side calls nodes, by name, where it is not what they call themselves.
    """

    name = "direct"

    def __init__(
        self,
        interface: str = "",
        ports: tuple[int, int] = (0, 0),
        addresses: Mapping[str, str] | None = None,
    ) -> None:
        self._interface = interface
        self._ports = ports
        self._addresses = addresses or {}
        self.relay = Relay()

    def settings(self) -> Mapping[str, Any]:
        return {"interface": self._interface, "ports": list(self._ports)}

    @asynccontextmanager
    async def connect(self, host: Host, address: Address) -> AsyncIterator[Address]:
        name, _ = await self.known(address)
        there = Address.tcp(self._addresses.get(address.node, address.host), address.port)
        async with (
            host.connect(there) as near,
            self.relay.way(name, address.path, near) as here,
        ):
            yield here


class Dial(_Gated):
    """The gate listens nowhere: it dials this side, which listens for it.

    Parameters
    ----------
    listen
        The address of the machine that is dialled where it listens; empty for all.
    ports
        The first and the last port that it may listen at; (0, 0) for any.
    addresses
        What nodes call that machine, tried in order; its own if empty.
    back
        The host that is dialled in place of this machine, and leads back to it.
    """

    name = "dial"

    def __init__(
        self,
        listen: str = "",
        ports: tuple[int, int] = (0, 0),
        addresses: Sequence[str] = (),
        back: LeadsBack | None = None,
        log: logging.Logger | None = None,
    ) -> None:
        self._addresses = addresses
        everywhere = "0.0.0.0"  # noqa: S104 - who calls has to prove who it is
        self.relay = Relay((listen or everywhere, *ports) if back is None else AT_SOCKET)
        self._server = f"{re.sub(r'[^A-Za-z0-9]', '-', socket.gethostname())[:40]}-{os.getpid()}"
        self._told: dict[tuple[str, Host], int] = {}
        self._telling = asyncio.Lock()
        self._entrance: Entrance | None = None
        if back is not None:
            at = "" if listen == everywhere else listen
            log = log or logging.getLogger(__name__)
            self._entrance = Entrance(back, at, ports, addresses, self._moved, log)

    @property
    def note(self) -> str:
        entrance = self._entrance
        return RELAYED if entrance is not None and entrance.relayed else ""

    @asynccontextmanager
    async def connect(self, host: Host, address: Address) -> AsyncIterator[Address]:
        name, directory = await self.known(address)
        async with AsyncExitStack() as stack:
            listens = await stack.enter_async_context(self.relay.running())
            assert listens is not None  # noqa: S101 - it was made to listen
            if self._entrance is not None:
                await stack.enter_async_context(self._entrance.opened(listens.path))
            self._told[directory, host] = self._told.get((directory, host), 0) + 1
            stack.push_async_callback(self._untell, directory, host)
            where = await self._tell(directory, host, listens.port)
            try:
                way = self.relay.way(name, address.path, None, CALL_SECONDS)
                here = await stack.enter_async_context(way)
            except Unreachable as error:
                dialled = ", ".join("{}:{}".format(*each) for each in where)
                raise Unreachable(f"{error.message} It was told to dial {dialled}.") from error
            yield here

    async def _tell(self, directory: str, host: Host, port: int = 0) -> Where:
        """Say where the gate of an attempt is to dial; what was said.

        Parameters
        ----------
        port
            Of this machine, if that is what it dials.
        """
        async with self._telling:  # what is said last has to be what is true last
            if self._entrance is not None:
                where = self._entrance.where
            else:
                where = [(own, port) for own in self._addresses or _own_addresses()]
            told = {"directory": directory, "name": self._server, "addresses": where}
            await host.runner("dial", told)
            return where

    async def _untell(self, directory: str, host: Host) -> None:
        self._told[directory, host] -= 1
        if self._told[directory, host]:
            return
        del self._told[directory, host]
        # The gate tries in vain if this cannot be told, now and then, until its end.
        with contextlib.suppress(SpawnerError):
            told = {"directory": directory, "name": self._server, "addresses": None}
            await host.runner("dial", told)

    async def _moved(self) -> None:
        """Tell all gates of the new place."""
        for directory, host in list(self._told):
            with contextlib.suppress(SpawnerError):  # lost again, and told again then
                await self._tell(directory, host)


def _own_addresses() -> list[str]:
    try:
        return [gate.own_address("")]
    except gate.GateError as error:
        raise Unreachable(f"{error} Configure what nodes call this machine.") from None
