"""The gateway's side of the helper process: starts it, hands it sockets, hears what it counted."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import subprocess
import sys
import time
from logging import Logger
from pathlib import Path

from jupyter_sessions.gateway import relay
from jupyter_sessions.gateway.credentials import Credentials
from jupyter_sessions.gateway.traffic import Traffic

_PROGRAM = Path(relay.__file__)
_BUFFER = 4 * 1024 * 1024
# A helper that does not live this long was of no use; after so many, we do without.
_SHORT_SECONDS = 10.0
_TRIES = 3
# How long it may take to start, and when to try again to tell it something.
_START_SECONDS = 10.0
# How long it may take to end; what it does then is close sockets.
_END_SECONDS = 3.0
_AGAIN_SECONDS = 0.02


def is_possible() -> bool:
    """True if this system can hand sockets to another process, in the way that we do."""
    return sys.platform == "linux"


class RelayedSplice:
    """A pair of sockets that the helper has."""

    __slots__ = ("_credentials", "_helper", "_number", "traffic")

    def __init__(
        self, helper: Helper, number: int, traffic: Traffic, credentials: Credentials
    ) -> None:
        self._helper = helper
        self._number = number
        self._credentials = credentials
        self.traffic = traffic
        traffic.active.add(self)
        traffic.metrics.open_upgrades += 1
        traffic.metrics.touch()

    def ended(self) -> None:
        """Both sockets are closed."""
        self.traffic.active.discard(self)
        self.traffic.metrics.open_upgrades -= 1

    def abort(self) -> None:
        self._helper.end(self._number)

    @property
    def broken(self) -> bool:
        return False  # the helper hears of it

    def credentials(self, *, young: bool = False) -> Credentials:
        return self._credentials


class Helper:
    """The process that runs `relay`, while there is one."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._started = 0.0
        self._failures = 0
        self._numbers = itertools.count(1)
        self._pairs: dict[int, RelayedSplice] = {}
        self._unsent: set[int] = set()
        self._running: asyncio.Event | None = None

    @property
    def pid(self) -> int | None:
        """The process, if it runs."""
        return None if self._process is None else self._process.pid

    async def ready(self) -> bool:
        """Whether there is a helper that does its work; start one if there is none."""
        if not self._ensure():
            return False
        assert self._running is not None  # noqa: S101 - see `_ensure`
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_SECONDS):
                await self._running.wait()
        return self._control is not None and self._running.is_set()

    def adopt(
        self,
        client: int,
        app: int,
        *,
        to_client: bytes,
        to_app: bytes,
        traffic: Traffic,
        credentials: Credentials,
        websocket: bool,
    ) -> bool:
        """Let the helper join two sockets, after it has written what each is to get first.

        Only after `ready`. False if it cannot; then nothing has happened. The descriptors stay the
        caller's, to close.
        """
        if len(to_client) + len(to_app) > relay.PACKET // 2 or self._control is None:
            return False
        number = next(self._numbers)
        packet = relay.HEAD.pack(relay.OPEN, number)
        packet += relay.OPENING.pack(websocket, len(to_client)) + to_client + to_app
        try:
            socket.send_fds(self._control, [packet], [client, app])
        except OSError:  # full, or gone: the reader finds out
            return False
        self._pairs[number] = RelayedSplice(self, number, traffic, credentials)
        return True

    def end(self, number: int) -> None:
        """Close a pair. It is gone once the helper says so, or has gone itself."""
        self._unsent.add(number)
        self._send_ends()

    def _send_ends(self) -> None:
        """Say what is to be closed, as much of it as there is room for."""
        while self._unsent and self._control is not None:
            number = self._unsent.pop()
            try:
                self._control.send(relay.HEAD.pack(relay.CLOSE, number))
            except BlockingIOError:
                self._unsent.add(number)
                asyncio.get_running_loop().call_later(_AGAIN_SECONDS, self._send_ends)
                return
            except OSError:  # gone, and all pairs with it: the reader finds out
                return

    async def close(self) -> None:
        """End the helper, and all connections that it has. Called at the server's shutdown."""
        process = self._stop()
        if process is not None:
            await asyncio.to_thread(_end, process)

    def _ensure(self) -> bool:
        if self._process is not None:
            return True
        if self._failures >= _TRIES:
            return False
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            for end in (ours, its):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(_PROGRAM), str(its.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[its.fileno()],
                    env=_environment(),
                )
            except OSError as error:
                self._failures = _TRIES
                self._log.warning("Websockets stay within Jupyter: no helper process (%s)", error)
                ours.close()
                return False
        ours.setblocking(False)
        self._control = ours
        self._running = asyncio.Event()
        self._started = time.monotonic()
        asyncio.get_running_loop().add_reader(ours.fileno(), self._hear)
        return True

    def _hear(self) -> None:
        assert self._control is not None  # noqa: S101 - else there is no reader
        try:
            packet = self._control.recv(relay.PACKET)
        except BlockingIOError:
            return
        except ConnectionError:
            packet = b""
        if not packet:
            self._lost()
            return
        assert self._running is not None  # noqa: S101 - see `_ensure`
        self._running.set()
        _, count = relay.HEAD.unpack_from(packet)
        now = time.time()
        for index in range(count):
            start = relay.HEAD.size + index * relay.COUNT.size
            number, received, sent, active, ended = relay.COUNT.unpack_from(packet, start)
            pair = self._pairs.get(number)
            if pair is None:
                continue
            metrics = pair.traffic.metrics
            metrics.bytes_in += received
            metrics.bytes_out += sent
            if active:
                metrics.last_activity = now
            if ended:
                del self._pairs[number]
                pair.ended()

    def _lost(self) -> None:
        """The helper has died. What it had is closed; the next upgrade starts another one."""
        count = len(self._pairs)
        if time.monotonic() - self._started < _SHORT_SECONDS:
            self._failures += 1
        process = self._stop()
        if process is not None:
            # It has closed its end, so it is about to be gone.
            loop = asyncio.get_running_loop()
            loop.run_in_executor(None, _end, process)
        self._log.warning("The helper process has died, and %d open connections with it", count)

    def _stop(self) -> subprocess.Popen[bytes] | None:
        process, self._process = self._process, None
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            self._control.close()
            self._control = None
        if self._running is not None:
            self._running.set()  # there is nothing to wait for
        self._unsent.clear()
        for pair in list(self._pairs.values()):
            pair.ended()
        self._pairs.clear()
        return process


def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a helper that knows that it is to end; kill one that hangs, or was suspended."""
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _environment() -> dict[str, str]:
    """Nothing but what a Python may need to be found and loaded."""
    return {k: v for k, v in os.environ.items() if k in ("LD_LIBRARY_PATH", "LANG", "PATH")}


def duplicate(transport: asyncio.Transport) -> int:
    """Another descriptor of the transport's socket."""
    return os.dup(transport.get_extra_info("socket").fileno())
