"""Sessions as plain processes of the user, each under its own runner, on any host."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from traitlets import default

from ..session import Handle, Report
from .base import Launch, Spawner, Usage, runner_payload, runner_report, runner_usage

LOW = 10
"""Steps of niceness for a low priority: others' work then gets about nine tenths of a processor."""
PRIORITY: Mapping[str, Any] = {
    "type": "string",
    "title": "Priority",
    "description": "low: it gives way to other programs while the processors are busy.",
    "enum": ["normal", "low"],
    "default": "normal",
    "x-advanced": True,
}


class ProcessSpawner(Spawner):
    """Starts ``runner`` on its host; the runner starts and supervises the app.

    The handle is the attempt's directory on the host. The runner locks it, so that an attempt
    cannot run twice, however often it is started; and it looks for a ``stop`` file there first, so
    that one that starts late cannot outlive its session.
    """

    @default("poll_interval")
    def _poll_interval(self) -> float:
        return self.host.poll_interval

    async def start(self, launch: Launch) -> AsyncIterator[Handle]:
        directory = await self.attempt_directory(launch)
        yield {"directory": directory}
        payload = runner_payload(await self.placed(launch), directory)
        nice = LOW if launch.resources.get("priority") == "low" else 0
        yield await self.host.runner("start", {**payload, "nice": nice})

    async def find(self, launch: Launch) -> Handle | None:
        payload = {
            "session": launch.session_id,
            "attempt": launch.attempt,
            "directory": await self.attempt_directory(launch),
        }
        handle: Handle | None = (await self.host.runner("find", payload))["handle"]
        return handle

    async def poll(self, handles: Mapping[str, Handle]) -> Mapping[str, Report]:
        directories = {sid: str(h["directory"]) for sid, h in handles.items() if "directory" in h}
        answer = await self.host.runner("poll", {"directories": list(directories.values())})
        statuses: dict[str, Any] = answer["statuses"]
        reports = {
            sid: runner_report(statuses[d]) for sid, d in directories.items() if d in statuses
        }
        return {sid: report for sid, report in reports.items() if report is not None}

    async def stop(self, handle: Handle) -> None:
        await self.host.runner("stop", {"directory": handle["directory"], "wait": 1.0})

    async def ready(self, handle: Handle) -> None:
        await self.host.runner("ready", {"directory": handle["directory"]})

    async def limit(self, handle: Handle, timeout: float | None) -> None:
        await self.host.runner("limit", {"directory": handle["directory"], "timeout": timeout})

    async def note(self, handle: Handle, line: str) -> None:
        await self.host.runner("note", {"directory": handle["directory"], "line": line})

    async def usage(self, handles: Mapping[str, Handle]) -> Mapping[str, Usage]:
        return await runner_usage(self.host, handles)

    def options_schema(self) -> dict[str, Any]:
        return {"type": "object", "properties": {"priority": PRIORITY}}

    def logs(self, handle: Handle, *, lines: int, follow: bool) -> AsyncIterator[bytes]:
        return self.host.follow(f"{handle['directory']}/log", lines, follow)
