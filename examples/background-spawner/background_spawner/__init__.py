"""Sessions that only get the processor time that nobody else wants."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from traitlets import Unicode

from jupyter_sessions.session import Handle
from jupyter_sessions.spawners.base import Launch
from jupyter_sessions.spawners.process import ProcessSpawner

IO = {"idle": "3", "normal": "2"}


class BackgroundSpawner(ProcessSpawner):
    """Runs each app below ``chrt --idle`` and ``ionice``, on any host that has them.

    Everything else (the supervisor, logs, limits, the way to the app) is that of `process`.
    """

    chrt = Unicode("chrt", help="The program of util-linux: a name or a path.").tag(config=True)

    async def start(self, launch: Launch) -> AsyncIterator[Handle]:
        io = IO[launch.resources.get("io", "idle")]
        before = (self.chrt, "--idle", "0", "ionice", "-c", io)
        async for handle in super().start(replace(launch, argv=(*before, *launch.argv))):
            yield handle

    async def available(self) -> str:
        there = await self.host.have([("program", self.chrt), ("program", "ionice")])
        return "" if all(there) else "chrt and ionice are missing: install util-linux."

    def options_schema(self) -> dict[str, Any]:
        io = {"type": "string", "title": "Disk", "enum": list(IO), "default": "idle"}
        return {"type": "object", "properties": {"io": io}}
