"""This machine."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

from .. import runner
from ..errors import SpawnerError, Unreachable
from ..routes import Address
from . import remote
from .base import Completed, Host
from .remote import CHUNK, FOLLOW_INTERVAL

WORKERS = ThreadPoolExecutor(16, thread_name_prefix="jupyter-sessions-runner")
"""Starting and stopping wait for facts: they must not take the threads that the store works in."""


class LocalHost(Host):
    """The machine that Jupyter runs on: the runner's verbs are called in this process."""

    async def runner(self, verb: str, payload: dict[str, Any]) -> dict[str, Any]:
        try:
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(WORKERS, runner.VERBS[verb], payload)
        except (runner.RunnerError, OSError) as error:
            raise SpawnerError(str(error)) from error
        return dict(answer)

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout: float = 30,
        env: Mapping[str, str | None] | None = None,
    ) -> Completed:
        try:
            child = await asyncio.create_subprocess_exec(
                *map(_bytes, argv),
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                env=remote.changed(runner.app_environment(), env or {}),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise SpawnerError(f"{argv[0]} cannot be run: {why}.", reason="no_program") from error
        try:
            async with asyncio.timeout(timeout):
                out, err = await child.communicate(stdin)
        except TimeoutError:
            raise Unreachable(f"{argv[0]} has not answered within {timeout:g} s.") from None
        finally:
            if child.returncode is None:  # cancelled, or too late
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                await child.wait()
        return Completed(child.returncode or 0, out, err)

    async def runner_file(self) -> str:
        return runner.PROGRAM

    async def have(self, wanted: Sequence[tuple[str, str]]) -> list[bool]:
        return await asyncio.to_thread(lambda: [HAS[kind](name) for kind, name in wanted])

    async def send(self, folder: Path) -> str:
        return str(folder)

    async def attempt_directory(self, local: Path, session_id: str, attempt: int) -> str:
        return str(local)

    async def state_directory(self, local: Path, session_id: str) -> str:
        return str(local)

    async def follow(self, path: str, lines: int, follow: bool) -> AsyncIterator[bytes]:
        log = await asyncio.to_thread(_open, path)
        while log is None:
            if not follow:
                return
            await asyncio.sleep(FOLLOW_INTERVAL)
            log = await asyncio.to_thread(_open, path)
        try:
            yield await asyncio.to_thread(remote.tail, path, log, lines)
            while True:
                if chunk := await asyncio.to_thread(log.read, CHUNK):
                    yield chunk
                elif not follow:
                    return
                elif (renewed := await asyncio.to_thread(remote.reopened, path, log)) is not None:
                    log.close()
                    log = renewed
                else:
                    await asyncio.sleep(FOLLOW_INTERVAL)
        finally:
            log.close()

    def connect(self, address: Address) -> AbstractAsyncContextManager[Address]:
        return nullcontext(address)


def _importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except Exception:  # the package around it is missing, or fails in its own way
        return False


def _is_file(name: str) -> bool:
    return remote.is_file(name, sys.prefix)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


HAS: Mapping[str, Callable[[str], bool]] = {
    "program": remote.is_program,
    "python": _importable,
    "file": _is_file,
    "readable": remote.is_readable,
    "directory": remote.is_directory,
}


def _open(path: str) -> BinaryIO | None:
    try:
        return remote.open_log(path)
    except OSError as error:
        raise SpawnerError(f"The log {path} cannot be read: {error.strerror}.") from error
