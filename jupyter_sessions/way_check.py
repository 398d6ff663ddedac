"""`WayCheck`: which of the ways to a spawner's nodes work, tried with one small job."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import secrets
import shutil
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .errors import SpawnerError, Unreachable
from .reaching import probe
from .reaching.nodes import ReachesNodes
from .reaching.ways import Reach
from .routes import Address
from .session import Handle, Report, Status, new_id
from .spawners.base import Launch, Spawner
from .store import private_directory

GATED = ("direct", "dial")
BEYOND = ("ssh", *GATED)
"""The ways beside `host`, which all spawners have."""
PAUSE = 0.2
START_SECONDS = 60.0
"""Seconds that the app may take to listen once its job runs."""
TELL_SECONDS = 40.0
"""Seconds that the app may take to tell of its gates: the log passes a file server."""
WAY_SECONDS = 20.0
STOP_SECONDS = 60.0
LIFE = 600.0
"""Seconds after which the app ends if nobody is left who could end it."""
LEFT_SECONDS = 7 * 24 * 3600.0
"""Seconds after which nothing can come of the files of a check that was killed."""
LINES = 50


class _NoAnswer(Exception):
    """The job cannot be asked. The message says why."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way, and how it went.

    Parameters
    ----------
    name
        As the trait `reach` has it.
    configured
        Whether the spawner's sessions are reached by it.
    works
        Whether the app answered.
    message
        The same as a sentence, with the reason if it does not work.
    """

    name: str
    configured: bool
    works: bool
    message: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a check has found out.

    Parameters
    ----------
    node
        Where the job ran; empty if it did not.
    problem
        Why nothing is known of the ways; empty if it is.
    left
        What could not be cleaned up, and why; empty if nothing is left.
    """

    spawner: str
    node: str = ""
    problem: str = ""
    ways: tuple[Way, ...] = ()
    left: str = ""

    @property
    def works(self) -> bool:
        """Whether sessions can be reached as the spawner is configured."""
        return any(way.works and way.configured for way in self.ways)

    def describe(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        return {**asdict(self), "works": self.works, "ways": [asdict(way) for way in self.ways]}


class WayCheck:
    """Starts one job, asks its app by each way, and leaves nothing behind.

    The spawner itself is not changed: the job is that of a copy which adds no gate of its own, so
    that a way that is configured wrongly says no more than that it does not work.

    Parameters
    ----------
    spawner
        Whose nodes they are.
    folder
        Where the check keeps its files while it runs: in the data directory, as sessions' files.
    resources
        What the job asks for, complete: fits the spawner's `options_schema`.
    wait
        Seconds that the job may wait in the queue.
    """

    def __init__(
        self, spawner: Spawner, folder: Path, resources: Mapping[str, Any], wait: float
    ) -> None:
        self._name = spawner.name
        self._reach = spawner.reach if isinstance(spawner, ReachesNodes) else "host"
        self._spawner = _copy(spawner)
        self._resources = resources
        self._wait = wait
        self._word = secrets.token_hex(16)
        self._id = new_id()
        self._folder = folder / self._id
        self._wrong: dict[str, str] = {}

    async def run(self) -> Found:
        """Check all ways. Takes as long as the job waits, and a minute or two at the most."""
        try:
            await self._spawner.host.home()  # as long as the login takes: nobody waits for a form
        except SpawnerError as error:
            return Found(self._name, problem=error.message)
        if why := await self._spawner.available():
            return Found(self._name, problem=why)
        for path in (self._folder.parents[1], self._folder.parent, self._folder):
            await asyncio.to_thread(private_directory, path)
        await asyncio.to_thread(_sweep, self._folder.parent)
        found, left = Found(self._name), ""
        handle: Handle = {}
        launch: Launch | None = None
        try:
            launch = await self._launch()
            async for handle in self._spawner.start(launch):  # noqa: B007 - the last one counts
                pass
            report = await self._until_alive(handle)
            ways = await self._ways(report, handle)
            found = replace(found, node=report.host, ways=ways)
        except (_NoAnswer, SpawnerError) as error:
            found = replace(found, problem=str(error))
        finally:
            left = await self._clean(launch, handle)
        return replace(found, left=left)

    # The job -------------------------------------------------------------------------------------

    async def _launch(self) -> Launch:
        launch = Launch(
            session_id=self._id,
            attempt=1,
            name="jupyter sessions spawners check",
            directory=str(self._folder / "1"),
            argv=(
                *("{python}", "-I", "-S", "-c", "{program}"),
                *("{socket}", "{directory}", "{asked_file}", "{runner}"),
            ),
            fields={},
            cwd="/",
            stop_grace=2,
            timeout=LIFE,
            resources=self._resources,
        )
        directory = await self._spawner.attempt_directory(launch)
        gates = {}
        for name in GATED if isinstance(self._spawner, ReachesNodes) else ():
            try:
                gates[name] = await self._gate(name, f"{directory}/{name}")
            except SpawnerError as error:
                self._wrong[name] = str(error)
        asked = json.dumps({"word": self._word, "gates": gates})
        program = await asyncio.to_thread(Path(probe.__file__).read_text, encoding="utf-8")
        fields: dict[str, str | list[str] | None] = {
            "program": program,
            "directory": directory,
            "app_dir": "",
            "state_dir": "",
        }
        return replace(launch, fields=fields, secrets={"asked": asked})

    async def _gate(self, name: str, directory: str) -> dict[str, Any]:
        """What the app needs to start a gate."""
        assert isinstance(self._spawner, ReachesNodes)  # noqa: S101
        way = self._spawner.way_of(name)
        assert way is not None  # noqa: S101
        settings = dict(await way.gate(self._folder / name, directory))
        files = settings.pop("files")
        return {"settings": settings, "files": files}

    async def _until_alive(self, handle: Handle) -> Report:
        """The report of the app once it listens.

        Raises
        ------
        _NoAnswer
            If its job does not start in time, or ends before.
        """
        end, begun, word = time.monotonic() + self._wait, False, ""
        while True:
            report = None
            try:
                report = (await self._spawner.poll({self._id: handle})).get(self._id)
            except Unreachable as error:
                word = error.message
            if report is not None:
                word = report.message
                if report.status is Status.ALIVE and report.address is not None:
                    return report
                if report.status is Status.ENDED:
                    why = report.message or report.reason or f"code {report.exit_code}"
                    last = await self._last_line(handle)
                    raise _NoAnswer(f"The check's job ended before it could be asked: {why}{last}")
                if report.status is Status.STARTING and not begun:
                    begun, end = True, max(end, time.monotonic() + START_SECONDS)
            if time.monotonic() > end:
                what = "The check's app did not listen" if begun else "The queue did not start it"
                seconds = START_SECONDS if begun else self._wait
                said = f": {word.rstrip('.')}" if word else ""
                raise _NoAnswer(f"{what} within {seconds:g} s{said}. Nothing is known of the ways.")
            await asyncio.sleep(max(PAUSE, min(self._spawner.poll_interval, 1)))

    async def _last_line(self, handle: Handle) -> str:
        """What the app has said last, as a sentence."""
        lines = [line.strip() for line in (await self._log(handle)).splitlines()]
        said = [line for line in lines if line and not line.startswith("[jupyter-sessions]")]
        return f" Its last words: {said[-1]}" if said else ""

    async def _log(self, handle: Handle) -> str:
        content = b""
        with contextlib.suppress(SpawnerError):
            async for chunk in self._spawner.logs(handle, lines=LINES, follow=False):
                content += chunk
        return content.decode("utf-8", "replace")

    # The ways ------------------------------------------------------------------------------------

    async def _ways(self, report: Report, handle: Handle) -> tuple[Way, ...]:
        assert report.address is not None  # noqa: S101
        ways = [await self._try("host", self._spawner.connect(report.address))]
        if not isinstance(self._spawner, ReachesNodes):
            return tuple(ways)
        told = await self._told(handle)
        for name in BEYOND:
            gate = told.get(name, {})
            if name in self._wrong or "error" in gate:
                why = self._wrong.get(name) or str(gate["error"])
                ways.append(Way(name, name == self._reach, False, why))
                continue
            way = self._spawner.way_of(name)
            assert way is not None  # noqa: S101
            address = report.address
            if name in GATED:
                address = Address("gate", host=gate["host"], port=gate["port"])
            address = way.located(address, report.host, str(self._folder / name))
            ways.append(await self._try(name, way.connect(self._spawner.host, address), way))
        return tuple(ways)

    async def _told(self, handle: Handle) -> Mapping[str, Any]:
        """What the app says of its gates, by the name of a way."""
        end = time.monotonic() + TELL_SECONDS
        while time.monotonic() < end:
            for line in (await self._log(handle)).splitlines():
                if line.startswith(self._word):
                    told: dict[str, Any] = json.loads(line[len(self._word) :])
                    return told
            await asyncio.sleep(PAUSE)
        why = {"error": f"The job's log did not tell of its gate within {TELL_SECONDS:g} s."}
        return dict.fromkeys(GATED, why)

    async def _try(
        self, name: str, way: AbstractAsyncContextManager[Address], reach: Reach | None = None
    ) -> Way:
        """Whether the app answers by `way`, which `reach` opens."""
        configured = name == self._reach
        begun = time.monotonic()
        try:
            async with asyncio.timeout(WAY_SECONDS), way as address:
                opened = time.monotonic()
                await self._ask(address)
                note = "" if reach is None else reach.note
        except TimeoutError:
            return Way(name, configured, False, f"No answer within {WAY_SECONDS:g} s.")
        except SpawnerError as error:
            return Way(name, configured, False, error.message)
        except (OSError, _NoAnswer) as error:
            why = getattr(error, "strerror", None) or str(error)
            return Way(name, configured, False, f"Nothing of the check's answers there: {why}.")
        now = time.monotonic()
        spans = [f"{math.ceil(1000 * span)} ms" for span in (opened - begun, now - opened)]
        message = f"It works: open after {spans[0]}, an answer took {spans[1]}."
        return Way(name, configured, True, f"{message} {note}".strip())

    async def _ask(self, address: Address) -> None:
        """Raises OSError if nobody is there, and _NoAnswer if it is somebody else."""
        if address.scheme == "unix":
            reader, writer = await asyncio.open_unix_connection(address.path)
        else:
            reader, writer = await asyncio.open_connection(address.host, address.port)
        try:
            writer.write(b"?")
            await writer.drain()
            if (answer := await reader.read(len(self._word))) != self._word.encode():
                raise _NoAnswer("the connection was closed" if not answer else "another program")
        finally:
            writer.close()

    # Afterwards ----------------------------------------------------------------------------------

    async def _clean(self, launch: Launch | None, handle: Handle) -> str:
        """End the job and remove all files; what is left, as a sentence."""
        if launch is not None and handle:
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._end(launch, handle)
                    await self._spawner.forget(self._id)
            except (TimeoutError, SpawnerError) as error:
                why = str(error) or f"it did not end within {STOP_SECONDS:g} s"
                job = f" ({handle['job']})" if handle.get("job") else ""
                return (
                    f"The check's job{job} may still be there: {why.rstrip('.')}. It ends by itself"
                    f" at the latest {LIFE:g} s after its start; its files are in {self._folder}."
                )
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            self._folder.parent.rmdir()  # unless another check runs
        return ""

    async def _end(self, launch: Launch, handle: Handle) -> None:
        """Stop the job until it has ended, as the manager does."""
        with contextlib.suppress(Unreachable):
            handle = await self._spawner.find(launch) or handle
        while True:
            with contextlib.suppress(Unreachable):
                await self._spawner.stop(handle)
                report = (await self._spawner.poll({self._id: handle})).get(self._id)
                if report is not None and report.status is Status.ENDED:
                    return
            await asyncio.sleep(max(PAUSE, min(self._spawner.poll_interval, 1)))


def _sweep(folder: Path) -> None:
    """Remove what checks that were killed have left in `folder`."""
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # another check does the same
            if path.lstat().st_mtime < time.time() - LEFT_SECONDS:
                shutil.rmtree(path)


def _copy(spawner: Spawner) -> Spawner:
    """Another spawner with the same configuration, whose sessions get no gate."""
    copy = type(spawner)(parent=spawner.parent, name=spawner.name)
    copy.host = spawner.host
    for trait in spawner.traits(config=True):
        setattr(copy, trait, getattr(spawner, trait))
    if isinstance(copy, ReachesNodes):
        copy.reach = "host"
    return copy
