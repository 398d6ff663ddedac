"""What every spawner must do, as tests: subclass `SpawnerContract` and run pytest.

::

    from jupyter_sessions.testing import SpawnerContract

    class TestMine(SpawnerContract):
        @asynccontextmanager
        async def spawner(self):
            yield MySpawner(name="mine", host=LocalHost())

The app that it starts is a Python program of the standard library. Tests whose premise a spawner
cannot provide say so and are skipped; nothing else may be.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .errors import SpawnerError, Unreachable
from .routes import Address
from .session import Handle, Report, Status, new_id
from .spawners.base import Launch, Spawner

try:
    import pytest
except ImportError as error:
    raise ImportError(
        "jupyter_sessions.testing needs pytest: python -m pip install pytest"
    ) from error

PAUSE = 0.1
"""Seconds between two questions about the same thing."""

HOSTILE: Mapping[str, str] = {
    "command": "$(touch x) `touch x` ; touch x | touch x & touch x",
    "quotes": '\'"\\\' "$HOME" %s %n !! ~ * ?',
    "lines": "first\n#SBATCH --wrap=touch\r\n#$ -N x\n\nlast\n",
    "template": "{socket} {{value}} {} ${socket} <%= 1 %>",
    "dashes": "--help",
    "unicode": "Grüße 漢字 \u202e\u200b",
    "nothing": "",
    "spaces": "  two  \t three  ",
}
"""Values that have to reach the app as they are."""

APP = r"""
import json, os, socket, sys, threading
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingMixIn, UnixStreamServer
from urllib.parse import parse_qs, urlparse

class Handler(BaseHTTPRequestHandler):
    def address_string(self):
        return "client"

    def log_message(self, *_):
        pass

    def do_GET(self):
        url = urlparse(self.path)
        asked = parse_qs(url.query)
        if url.path == "/say":
            print(asked["line"][0], flush=True)
        told = {"argv": sys.argv[2:], "env": dict(os.environ), "cwd": os.getcwd()}
        told["pid"] = os.getpid()
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        if url.path == "/exit":
            os._exit(int(asked["code"][0]))

class Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128

for number in range(1, 4):
    print("line %d" % number, flush=True)
Server(sys.argv[1], Handler).serve_forever()
"""
"""Listens at the Unix socket ``argv[1]`` and tells in JSON what it was started with."""


async def ask(address: Address, path: str = "/") -> dict[str, Any]:
    """What the suite's app at `address` (as `Spawner.connect` gives it) says."""
    if address.scheme == "unix":
        reader, writer = await asyncio.open_unix_connection(address.path)
    else:
        reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        answer = await reader.read()
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200"), answer
    told: dict[str, Any] = json.loads(body)
    return told


def marked(session_id: str) -> list[int]:
    """The living processes of this machine that carry the marker of the session."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment = (entry / "environ").read_bytes()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if f"={session_id}.".encode() in environment and state not in "ZX":
            found.append(int(entry.name))
    return [pid for pid in found if pid != os.getpid()]


class SpawnerContract:
    """The contract. Override `spawner`, and below it what your backend does otherwise.

    Attributes
    ----------
    patience
        Seconds that a start, an end or an answer may take.
    resources
        What each launch asks for, by the spawner's `options_schema`.
    """

    patience = 60.0
    resources: Mapping[str, Any] = {}

    def spawner(self) -> AbstractAsyncContextManager[Spawner]:
        """A spawner as it is configured, its host set. Entered within each test's event loop."""
        raise NotImplementedError("A subclass of SpawnerContract has to define spawner().")

    def unreachable(self, spawner: Spawner) -> AbstractAsyncContextManager[None]:
        """Cut `spawner` off from its backend while the context is entered; sessions run on."""
        pytest.skip("this backend cannot be cut off")

    def remains(self, launch: Launch) -> list[Any]:
        """What still exists of an attempt after its end: processes, jobs, containers …."""
        return list(marked(launch.session_id))

    def working_directory(self) -> str:
        """A folder that exists where apps run, without symbolic links in its path."""
        return "/"

    # What the tests are made of ------------------------------------------------------------------

    @pytest.fixture(autouse=True)
    def _store(self) -> Any:
        # Not tmp_path: the names of Unix sockets have to be short.
        self.store = Path(tempfile.mkdtemp(prefix="js-"))
        yield
        shutil.rmtree(self.store, ignore_errors=True)

    def launch(self, **changes: Any) -> Launch:
        """One attempt of a session with the suite's app; `changes` to its fields."""
        session_id = new_id()
        launch = Launch(
            session_id=session_id,
            attempt=1,
            name='A session\'s "name"\n$(touch x)',
            directory=str(self.store / session_id / "attempts" / "1"),
            argv=("{python}", "-c", "{program}", "{socket}", "{value}"),
            fields={"program": APP, "value": "plain", "app_dir": "", "state_dir": ""},
            cwd=self.working_directory(),
            stop_grace=2,
            resources=self.resources,
        )
        return replace(launch, **changes)

    def run(self, test: Callable[[Spawner], Coroutine[Any, Any, None]]) -> None:
        """Run `test` with a spawner, in an event loop of its own."""

        async def go() -> None:
            async with self.spawner() as spawner:
                await test(spawner)

        asyncio.run(go())

    async def start(self, spawner: Spawner, launch: Launch) -> Handle:
        """Start an attempt; the last handle, as it comes back from the store."""
        handle: Handle = {}
        async for yielded in spawner.start(launch):
            handle = stored(yielded)
        assert handle, "start() yielded no handle"
        return handle

    async def report(self, spawner: Spawner, handle: Handle, *wanted: Status) -> Report:
        """The spawner's report once it is one of `wanted`."""
        seen: object = None
        try:
            async with asyncio.timeout(self.patience):
                while True:
                    seen = report = (await spawner.poll({"s": handle})).get("s")
                    if report is not None and report.status in wanted:
                        return report
                    assert report is None or report.status is not Status.ENDED, report
                    await asyncio.sleep(PAUSE)
        except TimeoutError:
            raise AssertionError(f"not {wanted} within {self.patience} s: {seen}") from None

    @asynccontextmanager
    async def running(
        self, spawner: Spawner, launch: Launch
    ) -> AsyncIterator[tuple[Handle, Address]]:
        """An attempt that listens, and a way to it; ended, and seen to be gone, afterwards."""
        handle = await self.start(spawner, launch)
        try:
            report = await self.report(spawner, handle, Status.ALIVE)
            assert report.address is not None, report
            async with spawner.connect(report.address) as address:
                yield handle, address
        finally:
            await self.end(spawner, handle, launch)

    async def end(self, spawner: Spawner, handle: Handle, launch: Launch) -> Report:
        """Stop an attempt as the manager does, and wait until nothing is left of it."""
        await spawner.stop(handle)
        report = await self.report(spawner, handle, Status.ENDED)
        await self.gone(launch)
        return report

    async def gone(self, launch: Launch) -> None:
        """Wait until nothing is left of an attempt."""
        left: list[Any] = []
        try:
            async with asyncio.timeout(self.patience):
                while left := await asyncio.to_thread(self.remains, launch):  # noqa: ASYNC110
                    await asyncio.sleep(PAUSE)
        except TimeoutError:
            raise AssertionError(f"left behind: {left}") from None

    # The contract --------------------------------------------------------------------------------

    def test_it_says_what_can_be_asked_of_it(self) -> None:
        async def test(spawner: Spawner) -> None:
            schema = stored(spawner.options_schema())
            assert schema["type"] == "object"
            assert isinstance(schema.get("properties", {}), dict)
            assert await spawner.available() == ""

        self.run(test)

    def test_a_session_starts_answers_and_leaves_nothing_behind(self) -> None:
        async def test(spawner: Spawner) -> None:
            launch = self.launch()
            async with self.running(spawner, launch) as (handle, address):
                assert (await ask(address))["argv"] == ["plain"]
                report = await self.report(spawner, handle, Status.ALIVE)
                assert report.host, "a report says on which machine it runs"
                assert report.started is not None, "a report says since when it runs"

        self.run(test)

    def test_another_process_can_go_on_with_the_handle(self) -> None:
        async def test(spawner: Spawner) -> None:
            launch = self.launch()
            handle = await self.start(spawner, launch)
            async with self.spawner() as other:
                report = await self.report(other, handle, Status.ALIVE)
                assert report.address is not None
                async with other.connect(report.address) as address:
                    assert (await ask(address))["argv"] == ["plain"]
                await self.end(other, handle, launch)

        self.run(test)

    def test_what_was_started_is_found_without_its_handle_and_runs_once(self) -> None:
        async def test(spawner: Spawner) -> None:
            launch = self.launch()
            async with self.running(spawner, launch) as (_, address):
                pid = (await ask(address))["pid"]
                found = await spawner.find(launch)
                # As the manager does after a crash: look for it, else start it.
                again = await self.start(spawner, launch) if found is None else stored(found)
                report = await self.report(spawner, again, Status.ALIVE)
                assert report.address is not None
                async with spawner.connect(report.address) as address:
                    assert (await ask(address))["pid"] == pid
                await self.end(spawner, again, launch)

        self.run(test)

    def test_what_was_not_started_is_not_found(self) -> None:
        async def test(spawner: Spawner) -> None:
            assert await spawner.find(self.launch()) is None

        self.run(test)

    def test_what_is_not_known_gives_no_report(self) -> None:
        async def test(spawner: Spawner) -> None:
            launch = self.launch()
            async with self.running(spawner, launch) as (handle, _):
                reports = await spawner.poll({"known": handle, "foreign": {"x": 1}, "empty": {}})
                assert set(reports) == {"known"}
            assert await spawner.poll({}) == {}

        self.run(test)

    def test_a_start_that_was_given_up_can_be_stopped_after_each_handle(self) -> None:
        async def test(spawner: Spawner) -> None:
            steps = 1
            while True:
                launch = self.launch()
                taken = 0
                handle: Handle = {}
                async with aclosing(spawner.start(launch)) as handles:  # type: ignore[type-var]
                    async for yielded in handles:
                        handle, taken = stored(yielded), taken + 1
                        if taken == steps:
                            break
                # As the manager does for a start that a crash cut short.
                found = await spawner.find(launch)
                await self.end(spawner, handle if found is None else stored(found), launch)
                if taken < steps:
                    return
                steps += 1

        self.run(test)

    def test_stopping_twice_is_harmless(self) -> None:
        async def test(spawner: Spawner) -> None:
            launch = self.launch()
            handle = await self.start(spawner, launch)
            await asyncio.gather(spawner.stop(handle), spawner.stop(handle))
            await self.end(spawner, handle, launch)
            await self.end(spawner, handle, launch)

        self.run(test)

    @pytest.mark.parametrize("code", [0, 3])
    def test_the_exit_code_of_an_app_is_known(self, code: int) -> None:
        async def test(spawner: Spawner) -> None:
            launch = self.launch()
            handle = await self.start(spawner, launch)
            report = await self.report(spawner, handle, Status.ALIVE)
            assert report.address is not None
            async with spawner.connect(report.address) as address:
                with suppress(AssertionError, OSError):  # last words can get lost on a long way
                    await ask(address, f"/exit?code={code}")
            report = await self.report(spawner, handle, Status.ENDED)
            assert report.exit_code == code, report
            await self.end(spawner, handle, launch)

        self.run(test)

    def test_an_app_that_cannot_be_started_says_so(self) -> None:
        async def test(spawner: Spawner) -> None:
            launch = self.launch(argv=("/no/such/program", "{socket}"))
            try:
                handle = await self.start(spawner, launch)
            except SpawnerError as error:
                refusal = error.message
                assert refusal
                return
            report = await self.report(spawner, handle, Status.ENDED)
            assert report.exit_code != 0
            assert report.message
            await self.end(spawner, handle, launch)

        self.run(test)

    def test_the_log_has_the_last_lines_and_what_is_added(self) -> None:
        async def test(spawner: Spawner) -> None:
            async with self.running(spawner, self.launch()) as (handle, address):
                await self.logged(spawner, handle, b"line 3", lines=50, follow=False)
                logs = spawner.logs(handle, lines=1000, follow=False)
                whole = b"".join([chunk async for chunk in logs])
                lines = [line for line in whole.splitlines() if line.startswith(b"line ")]
                assert lines == [b"line 1", b"line 2", b"line 3"]
                logs = spawner.logs(handle, lines=2, follow=False)
                last = b"".join([chunk async for chunk in logs])
                assert last.splitlines() == whole.splitlines()[-2:]
                follower = asyncio.create_task(
                    self.logged(spawner, handle, b"a new line", lines=0, follow=True)
                )
                await asyncio.sleep(PAUSE)
                await ask(address, "/say?line=" + quote("a new line"))
                await follower

        self.run(test)

    async def logged(
        self, spawner: Spawner, handle: Handle, wanted: bytes, *, lines: int, follow: bool
    ) -> None:
        """Read the log until `wanted` is in it."""
        seen = b""
        try:
            async with asyncio.timeout(self.patience):
                while wanted not in seen:
                    chunks = spawner.logs(handle, lines=lines, follow=follow)
                    async with aclosing(chunks):  # type: ignore[type-var]
                        async for chunk in chunks:
                            seen += chunk
                            if wanted in seen:
                                return
                    await asyncio.sleep(PAUSE)
        except TimeoutError:
            raise AssertionError(f"{wanted!r} is not in the log: {seen!r}") from None

    @pytest.mark.parametrize("kind", list(HOSTILE))
    def test_what_people_type_reaches_the_app_as_data(self, kind: str) -> None:
        value = HOSTILE[kind]

        async def test(spawner: Spawner) -> None:
            launch = self.launch(env={"TYPED": "{value}"})
            launch = replace(launch, fields={**launch.fields, "value": value})
            async with self.running(spawner, launch) as (_, address):
                told = await ask(address)
                assert told["argv"] == [value]
                assert told["env"]["TYPED"] == value
                assert told["cwd"] == launch.cwd

        self.run(test)

    def test_jupyters_secrets_do_not_reach_the_app(self, monkeypatch: pytest.MonkeyPatch) -> None:
        secrets = ("JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN", "JUPYTER_TOKEN")
        for name in secrets:
            monkeypatch.setenv(name, "a-secret")

        async def test(spawner: Spawner) -> None:
            async with self.running(spawner, self.launch()) as (_, address):
                assert "a-secret" not in (await ask(address))["env"].values()

        self.run(test)

    def test_who_does_not_answer_is_not_dead(self) -> None:
        async def test(spawner: Spawner) -> None:
            launch = self.launch()
            handle = await self.start(spawner, launch)
            await self.report(spawner, handle, Status.ALIVE)
            async with self.unreachable(spawner):
                with suppress(Unreachable):
                    assert "s" not in await spawner.poll({"s": handle})
                with pytest.raises(Unreachable):
                    await spawner.stop(handle)
            async with self.running_again(spawner, handle, launch) as address:
                assert (await ask(address))["argv"] == ["plain"]

        self.run(test)

    @asynccontextmanager
    async def running_again(
        self, spawner: Spawner, handle: Handle, launch: Launch
    ) -> AsyncIterator[Address]:
        """A way to an attempt that was started before; ended afterwards."""
        report = await self.report(spawner, handle, Status.ALIVE)
        assert report.address is not None
        async with spawner.connect(report.address) as address:
            yield address
        await self.end(spawner, handle, launch)

    def test_a_changed_time_limit_is_taken_note_of(self) -> None:
        async def test(spawner: Spawner) -> None:
            launch = self.launch(timeout=600.0)
            async with self.running(spawner, launch) as (handle, address):
                await spawner.limit(handle, 900.0)
                await spawner.limit(handle, None)
                await spawner.note(handle, "A note.")
                for _ in range(2):
                    await spawner.ready(handle)
                assert (await ask(address))["argv"] == ["plain"]

        self.run(test)


def stored(handle: Any) -> Any:
    """`handle` as it comes back from the store. Fails if it is not JSON."""
    copy = json.loads(json.dumps(handle, allow_nan=False))
    assert copy == handle, f"not plain JSON: {handle}"
    return copy
