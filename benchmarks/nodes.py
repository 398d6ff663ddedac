"""A spawner for `benchmarks.ssh`: starts on a host over SSH what is then reached as on a node."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from jupyter_sessions.hosts.local import LocalHost
from jupyter_sessions.routes import Address
from tests.gated import GatedSpawner


class NodeSpawner(GatedSpawner):
    """Its host is a node of this network: the connection to it is for starting only."""

    def connect(self, address: Address) -> AbstractAsyncContextManager[Address]:
        if self.reach == "direct" and self.way is not None:
            return self.way.connect(LocalHost(), address)
        return super().connect(address)
