"""Sessions as plain processes of the user, each under its own runner, on any host."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from traitlets import default

from ..routes import Address
from ..session import Handle, Report, Status
from .base import Launch, Spawner, Usage, runner_payload, runner_usage, told_of

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

STATUSES = {
    "starting": Status.STARTING,
    "alive": Status.ALIVE,
    "ended": Status.ENDED,
    # Only started ones are asked about: somebody took its files away. Its runner ends it then.
    "absent": Status.ENDED,
}


class ProcessSpawner(Spawner):
    """Starts ``runner.py`` on its host; the runner starts and supervises the app.

    The handle is the attempt's directory on the host. The runner locks it, so that an attempt
    cannot run twice, however often it is started; and it looks for a ``stop`` file there first, so
    that one that starts late cannot outlive its session.
    """

    @default("poll_interval")
    def _poll_interval(self) -> float:
        return self.host.poll_interval

    async def start(self, launch: Launch) -> AsyncIterator[Handle]:
        directory = await self._directory(launch)
        yield {"directory": directory}
        payload = runner_payload(await self.placed(launch), directory)
        nice = LOW if launch.resources.get("priority") == "low" else 0
        yield await self.host.runner("start", {**payload, "nice": nice})

    async def find(self, launch: Launch) -> Handle | None:
        payload = {
            "session": launch.session_id,
            "attempt": launch.attempt,
            "directory": await self._directory(launch),
        }
        handle: Handle | None = (await self.host.runner("find", payload))["handle"]
        return handle

    async def poll(self, handles: Mapping[str, Handle]) -> Mapping[str, Report]:
        directories = {sid: str(h["directory"]) for sid, h in handles.items() if "directory" in h}
        answer = await self.host.runner("poll", {"directories": list(directories.values())})
        statuses: dict[str, Any] = answer["statuses"]
        reports = {sid: _report(statuses[d]) for sid, d in directories.items() if d in statuses}
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

    async def _directory(self, launch: Launch) -> str:
        return await self.host.attempt_directory(
            Path(launch.directory), launch.session_id, launch.attempt
        )


def _report(status: Mapping[str, Any]) -> Report | None:
    """The runner's answer about one directory as a report; None if it does not know."""
    try:
        return _read(status) if status["status"] in STATUSES else None
    except (ArithmeticError, LookupError, OSError, TypeError, ValueError):
        return None  # its files were tampered with: the other sessions go on


def _read(status: Mapping[str, Any]) -> Report:
    end: Mapping[str, Any] = status.get("exit") or {}
    address = status.get("address")
    told = told_of(status.get("told") or {})
    return Report(
        status=STATUSES[status["status"]],
        address=None if address is None else Address.from_json(address),
        exit_code=end.get("exit_code"),
        reason=end.get("reason", "files_lost" if status["status"] == "absent" else ""),
        message=end.get("message", status.get("message") or told.message),
        host=status.get("hostname") or "",
        started=_time(status.get("started")),
        told=told,
    )


def _time(epoch: float | None) -> datetime | None:
    return None if epoch is None else datetime.fromtimestamp(epoch, UTC)
