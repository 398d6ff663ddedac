"""Sessions of this machine behind gates, as if they were on a node."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from jupyter_sessions.reaching.ways import Reach
from jupyter_sessions.routes import Address
from jupyter_sessions.session import Handle, Report
from jupyter_sessions.spawners.base import Launch, runner_payload
from jupyter_sessions.spawners.process import ProcessSpawner


class GatedSpawner(ProcessSpawner):
    """Starts the runner with a gate, and reaches the app through it.

    Its directories are not in the store, as on a host that does not share its home.
    """

    def __init__(self, way: Reach, nodes: Path, **traits: Any) -> None:
        super().__init__(**traits)
        self.way = way
        self.nodes = nodes

    async def start(self, launch: Launch) -> AsyncIterator[Handle]:
        directory = await self._directory(launch)
        handle = {"directory": directory, "keys": launch.directory}
        yield handle
        payload = runner_payload(await self.placed(launch), directory)
        gate = await self.way.gate(Path(launch.directory), directory)
        yield handle | await self.host.runner("start", {**payload, "gate": gate})

    async def find(self, launch: Launch) -> Handle | None:
        found = await super().find(launch)
        return None if found is None else {**found, "keys": launch.directory}

    async def poll(self, handles: Mapping[str, Handle]) -> Mapping[str, Report]:
        reports = await super().poll(handles)
        return {sid: self._located(report, handles[sid]) for sid, report in reports.items()}

    def _located(self, report: Report, handle: Handle) -> Report:
        if report.address is None:
            return report
        address = self.way.located(report.address, report.host, str(handle["keys"]))
        return replace(report, address=address)

    def connect(self, address: Address) -> AbstractAsyncContextManager[Address]:
        return self.way.connect(self.host, address)

    async def _directory(self, launch: Launch) -> str:
        return str(self.nodes / f"{launch.session_id}.{launch.attempt}")
