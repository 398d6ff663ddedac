"""Sessions of this machine behind gates, as if they were on a node."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from traitlets import Unicode

from jupyter_sessions.reaching.nodes import ReachesNodes
from jupyter_sessions.session import Handle, Report
from jupyter_sessions.spawners.base import Launch, runner_payload
from jupyter_sessions.spawners.process import ProcessSpawner


class GatedSpawner(ReachesNodes, ProcessSpawner):
    """Starts the runner with a gate, and reaches the app through it.

    Its directories are not in the store, as on a host that does not share its home.
    """

    nodes = Unicode().tag(config=True)

    async def start(self, launch: Launch) -> AsyncIterator[Handle]:
        directory = await self.attempt_directory(launch)
        handle = {"directory": directory, "keys": launch.directory}
        yield handle
        payload = runner_payload(await self.placed(launch), directory)
        gate = await self.gate_of(launch.directory, directory)
        yield handle | await self.host.runner("start", {**payload, "gate": gate})

    async def find(self, launch: Launch) -> Handle | None:
        found = await super().find(launch)
        return None if found is None else {**found, "keys": launch.directory}

    async def poll(self, handles: Mapping[str, Handle]) -> Mapping[str, Report]:
        reports = await super().poll(handles)
        return {sid: self.located(report, handles[sid]) for sid, report in reports.items()}

    async def attempt_directory(self, launch: Launch) -> str:
        return str(Path(self.nodes) / f"{launch.session_id}.{launch.attempt}")
