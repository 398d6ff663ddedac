"""`ReachesNodes`: the traits of spawners whose sessions run on nodes, and what they come to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from traitlets import Bool, Dict, Enum, Instance, Int, List, TraitError, Tuple, Unicode, validate
from traitlets.config import LoggingConfigurable

from ..hosts.base import Host
from ..routes import Address
from ..session import Handle, Report
from .ways import Dial, Direct, Reach, Ssh


class ReachesNodes(LoggingConfigurable):
    """Beside `Spawner`, in front of it: reaches apps on nodes as the trait `reach` says.

    A spawner gives `gate_of`'s answer to the runner under ``gate``, keeps ``keys`` in its
    handles, and passes its reports through `located`.
    """

    host: Instance[Host]

    reach = Enum(
        ["host", "direct", "ssh", "dial"],
        "host",
        help="""How this server gets to apps on the nodes. `direct`: a gate beside the app listens
        on the node's network, with TLS and keys of the session's own. `dial`: the node accepts
        nothing, and the gate dials this server. `ssh`: through the SSH server of the node. `host`:
        the nodes are the host itself, or see its sockets.""",
    ).tag(config=True)
    node_interface = Unicode(
        help="""For `direct`: where gates listen on the nodes: an interface (`ib0`), or a network
        (`10.1.0.0/16`). Empty: at the address that the node's name stands for.""",
    ).tag(config=True)
    node_ports = Tuple(
        Int(min=0, max=65535),
        Int(min=0, max=65535),
        default_value=(0, 0),
        help="For `direct`: the first and the last port for gates; (0, 0) for any.",
    ).tag(config=True)
    node_addresses = Dict(
        Unicode(),
        help="""For `direct` and `ssh`: names or addresses by which this server (or the host that
        submits) knows the nodes, by what they call themselves, where these differ.""",
    ).tag(config=True)
    node_ssh = Dict(
        help="""For `ssh`: traits of the SSH hosts that the nodes are then:
        `{"options": ["StrictHostKeyChecking=accept-new"]}`. User, key and configuration file are
        those of the host that submits.""",
    ).tag(config=True)
    dial_through_host = Bool(
        True,
        help="""For `dial`, with a `host` over SSH: whether nodes dial that host, whose SSH
        connection leads them here. False: they dial this machine, past it.""",
    ).tag(config=True)
    dial_listen = Unicode(
        help="""For `dial`: the address of the machine that is dialled (this one, or the host) at
        which it listens for gates. Empty for all.""",
    ).tag(config=True)
    dial_ports = Tuple(
        Int(min=0, max=65535),
        Int(min=0, max=65535),
        default_value=(0, 0),
        help="""For `dial`: the first and the last port of that machine for gates; each server
        takes one. (0, 0) for any.""",
    ).tag(config=True)
    dial_addresses = List(
        Unicode(),
        help="""For `dial`: what nodes call that machine, tried in order. Empty: the address that
        its name stands for; of a host, the name and the addresses that it knows of itself.""",
    ).tag(config=True)

    @validate("node_ports", "dial_ports")
    def _check_ports(self, proposal: Any) -> Any:
        low, high = proposal["value"]
        if low > high:
            raise TraitError(f"{proposal['trait'].name}: the first port is above the last")
        return proposal["value"]

    @cached_property
    def way(self) -> Reach | None:
        """How nodes are reached; None if they are the host itself."""
        return self.way_of(self.reach)

    def way_of(self, reach: str) -> Reach | None:
        """The way of the name `reach`, as it is configured here."""
        ways: dict[str, Callable[[], Reach]] = {
            "direct": lambda: Direct(self.node_interface, self.node_ports, self.node_addresses),
            "dial": self._dial,
            "ssh": lambda: Ssh(self, self.node_ssh, self.node_addresses),
        }
        make = ways.get(reach)
        return None if make is None else make()

    def _dial(self) -> Dial:
        back = self.host.back if self.dial_through_host else None
        return Dial(self.dial_listen, self.dial_ports, self.dial_addresses, back, self.log)

    async def gate_of(self, keys: str, directory: str) -> Mapping[str, Any] | None:
        """What the runner is told under ``gate``; None if nothing.

        Parameters
        ----------
        keys
            The attempt's directory in the store, which the handle has under ``keys``.
        directory
            The attempt's directory on the host and the node.

        Raises
        ------
        SpawnerError
        """
        told = await self.way.gate(Path(keys), directory) if self.way is not None else {}
        return told or None

    def located(self, report: Report, handle: Handle) -> Report:
        """`report` with an address that `connect` can make something of."""
        if self.way is None or report.address is None:
            return report
        address = self.way.located(report.address, report.host, str(handle.get("keys") or ""))
        return replace(report, address=address)

    def connect(self, address: Address) -> AbstractAsyncContextManager[Address]:
        """See `Spawner.connect`."""
        if self.way is None:
            return self.host.connect(address)
        return self.way.connect(self.host, address)
