"""`Link`: the connection to one host, held by an OpenSSH client that all servers of a user share.

The client (the *master*) is a process of its own. It listens at a control socket in a private
directory, ends by itself some seconds after the last who used it has gone, and so outlives
neither a server that was killed nor a command line. Each `Link` holds one connection to it, its
*lease*, which keeps the master alive and tells at once when it dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import logging
import os
import shlex
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from .. import runner
from ..errors import Unreachable
from ..routes import Address
from .base import Completed
from .client import Client
from .complaints import LATE
from .mux import Channel, Mux, MuxLost, MuxRefused, connected, open_mux

LINGER = 10
"""Seconds that a master lives on after the last who used it."""
MISSED = 4
"""Keepalives without an answer after which the link counts as lost."""
GREETING = 4.0
"""Seconds that a master may take to answer at its socket; after that it hangs."""
FIRST_PAUSE, LAST_PAUSE = 0.5, 15.0
"""Seconds between attempts to connect: they begin close together and thin out."""
REFUSED_PAUSE = 0.2
"""Seconds before a session that was refused (``MaxSessions``) is asked for again."""
LONGEST_SOCKET = 60
"""Bytes of the directory's path: names in it, and what OpenSSH adds to them, need room too."""

T = TypeVar("T")
_numbers = itertools.count(1)


def control_directory() -> str:
    """The private directory of control sockets: a short path, on this machine's own disk."""
    runtime = os.environ.get("XDG_RUNTIME_DIR") or "/nowhere"
    candidates = [f"{runtime}/jupyter-sessions"] if Path(runtime).is_dir() else []
    candidates.append(f"/tmp/jupyter-sessions-{os.geteuid()}")  # noqa: S108 - 0700, and checked
    trouble = ""
    for path in candidates:
        if len(os.fsencode(path)) <= LONGEST_SOCKET:
            try:
                runner.make_directory(path)
            except (OSError, runner.RunnerError) as error:
                trouble = str(error)
            else:
                return path
    raise Unreachable(f"There is no place for the sockets of SSH: {trouble}")


class Link:
    """One host's connection, as one server uses it.

    Parameters
    ----------
    max_sessions
        Commands at a time; below the ``MaxSessions`` of the SSH server.

    Attributes
    ----------
    lost
        Set once the connection that there is now is lost; another for each connection.
    """

    def __init__(self, client: Client, max_sessions: int, log: logging.Logger) -> None:
        self.client = client
        self._log = log
        self._directory = ""
        self._slots = asyncio.Semaphore(max_sessions)
        self._lock = asyncio.Lock()
        self._lease: Mux | None = None
        self.lost = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._healing: asyncio.Task[None] | None = None
        self._forwards: dict[str, Address] = {}
        self._missing: set[str] = set()
        self._trouble: tuple[float, Unreachable] | None = None
        self._pause = FIRST_PAUSE
        self._closed = False

    # What it is for -------------------------------------------------------------------------

    async def run(self, command: str, stdin: bytes, timeout: float) -> Completed:
        """Run `command`, which the user's shell there reads. Its code is -1 if a signal ended it.

        Raises
        ------
        Unreachable
            If the host does not answer within `timeout` seconds, connecting not included.
        """
        async with self.session(command, timeout) as (mux, channel):
            try:
                async with asyncio.timeout(timeout):
                    channel.stdin.write(stdin)
                    with contextlib.suppress(OSError):
                        await channel.stdin.drain()
                    channel.stdin.close()
                    out, err = await asyncio.gather(channel.stdout.read(), channel.stderr.read())
                    code = await mux.exit_code()
            except TimeoutError:
                raise self._silent(timeout) from None
            return Completed(-1 if code is None else code, out, err)

    @asynccontextmanager
    async def session(self, command: str, timeout: float) -> AsyncIterator[tuple[Mux, Channel]]:
        """A command that runs for as long as the context is entered.

        Parameters
        ----------
        timeout
            Seconds that it may take to begin.
        """
        async with self._slots:
            await self.ensure()
            end = time.monotonic() + timeout
            async with contextlib.AsyncExitStack() as stack:
                while True:
                    try:
                        async with asyncio.timeout_at(asyncio.get_running_loop().time() + timeout):
                            mux = await stack.enter_async_context(self._open())
                            channel = await stack.enter_async_context(mux.session(command))
                        break
                    except TimeoutError:
                        raise self._silent(timeout) from None
                    except MuxLost as error:
                        raise self._gone(str(error)) from error
                    except MuxRefused as error:
                        await stack.aclose()
                        if time.monotonic() > end:
                            raise self._refused(str(error)) from error
                        await asyncio.sleep(REFUSED_PAUSE)
                yield mux, channel

    async def forward(self, there: Address) -> str:
        """A Unix socket of this machine that leads to `there`; it stays the same until `cancel`.

        Raises
        ------
        Unreachable
        """
        await self.ensure()
        here = f"{self._directory}/{self.client.key}.{os.getpid()}.{next(_numbers)}"
        await self._forward(here, there)
        self._forwards[here] = there
        return here

    async def cancel(self, here: str) -> None:
        """Give up what `forward` made. Harmless if the link is down."""
        there = self._forwards.pop(here, None)
        self._missing.discard(here)
        if there is not None and self._lease is not None:
            with contextlib.suppress(Unreachable, MuxRefused, MuxLost, TimeoutError, OSError):
                async with asyncio.timeout(GREETING), self._open() as mux:
                    await mux.cancel(here, there)
        _remove(here)

    async def jump(self) -> str:
        """A command that leads to another machine's SSH server through this connection.

        It is a value of OpenSSH's ``ProxyCommand``: a shell reads it, and ``%h``, ``%p``.

        Raises
        ------
        Unreachable
        """
        await self.ensure()
        control = f"{self._directory}/{self.client.key}"
        options = ["-oControlMaster=no", f"-oControlPath={control.replace('%', '%%')}"]
        ours = shlex.join(["ssh", *options, "-oBatchMode=yes", *self.client.options])
        return f"{ours.replace('%', '%%')} -W [%h]:%p -- {shlex.quote(self.client.address)}"

    async def close(self) -> None:
        """Leave. The master ends when nobody else uses it."""
        self._closed = True
        for here in list(self._forwards):
            await self.cancel(here)
        tasks = [task for task in (self._healing, self._watch) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._lease is not None:
            self._lease.close()
            self._lease = None
            self.lost.set()

    def is_connected(self) -> bool:
        return self._lease is not None

    # Connecting -----------------------------------------------------------------------------

    async def ensure(self) -> None:
        """Be connected.

        Raises
        ------
        Unreachable
            If that is not possible now; at once if it was tried a moment ago.
        """
        if self.is_connected():
            return
        async with self._lock:
            if self.is_connected():
                return
            if self._trouble is not None and time.monotonic() < self._trouble[0]:
                before = self._trouble[1]
                raise Unreachable(before.message, reason=before.reason)
            try:
                await self._connect()
            except Unreachable as error:
                self._trouble = (time.monotonic() + self._pause, error)
                self._pause = min(2 * self._pause, LAST_PAUSE)
                self._heal()
                raise
            self._trouble, self._pause = None, FIRST_PAUSE

    async def _connect(self) -> None:
        self._directory = await asyncio.to_thread(control_directory)
        control = f"{self._directory}/{self.client.key}"
        async with self._alone(f"{control}.lock"):
            await asyncio.to_thread(_sweep, self._directory, self.client.key)
            lease = await self._present(control)
            if lease is None:
                await self._start(control)
                lease = await self._present(control)
                if lease is None:
                    raise Unreachable(self.client.explain("It ended right after the login."))
        self._lease, self.lost = lease, asyncio.Event()
        self._watch = asyncio.create_task(self._await_loss(lease), name="ssh-lease")
        self._missing = set(self._forwards)
        await self._restore()

    async def _restore(self) -> None:
        """Make again what was forwarded before; what is left of it waits for `_try_again`."""
        lease = self._lease
        for here in list(self._missing):
            if (there := self._forwards.get(here)) is None:
                continue
            try:
                await self.ask(partial(Mux.forward, here=here, there=there))
            except MuxRefused as error:
                self._log.warning("%s", self._refused(str(error)).message)
                continue
            except Unreachable as error:
                self._log.warning("%s", error.message)
                break
            if self._lease is not lease:
                return
            self._missing.discard(here)
        self._heal()

    async def _present(self, control: str) -> Mux | None:
        """A connection to the master that there is, if it is of any use."""
        try:
            mux = await connected(control, GREETING)
            try:
                async with asyncio.timeout(GREETING):
                    pid = await mux.pid()
                await asyncio.to_thread(_remember, f"{control}.pid", pid)
            except BaseException:
                mux.close()
                raise
        except (FileNotFoundError, ConnectionRefusedError):
            pass  # nobody, or a socket that a killed one has left
        except TimeoutError:
            self._log.warning("SSH to %s: its connection hangs and is ended.", self.client.name)
            await asyncio.to_thread(_end, f"{control}.pid")
        except (MuxLost, MuxRefused, OSError) as error:
            self._log.warning("SSH to %s: %s: %s", self.client.name, control, error)
        else:
            return mux
        _remove(control)
        return None

    async def _start(self, control: str) -> None:
        """Start a master; when this returns, it is connected and logged in."""
        options = {
            "ControlMaster": "yes",
            "ControlPath": control.replace("%", "%%"),
            "ControlPersist": LINGER,
            "ExitOnForwardFailure": "no",
            "StreamLocalBindMask": "0177",
            "StreamLocalBindUnlink": "yes",
        }
        # Connecting, and as long again for logging in.
        seconds = 2 * self.client.connect_timeout + 1
        try:
            code, stderr = await self.client.ssh("-fNT", options, seconds)
        except TimeoutError:
            raise Unreachable(self.client.explain(LATE)) from None
        if code != 0:
            raise Unreachable(await self.client.why(stderr))

    @asynccontextmanager
    async def _alone(self, path: str) -> AsyncIterator[None]:
        """Nobody else of this user starts a master for this host meanwhile."""
        end = time.monotonic() + 2 * self.client.connect_timeout + 5
        while (descriptor := _locked(path)) is None:
            if time.monotonic() > end:
                raise Unreachable(
                    f"Another server has tried to connect to {self.client.name} for long."
                )
            await asyncio.sleep(0.05)
        try:
            yield
        finally:
            os.close(descriptor)

    # Losing it ------------------------------------------------------------------------------

    async def _await_loss(self, lease: Mux) -> None:
        await lease.lost()
        self._drop(lease)

    def _drop(self, lease: Mux) -> None:
        """The master is gone, or is not to be waited for: what is left of it is not used again."""
        if self._lease is not lease:
            return
        if self._watch is not None and self._watch is not asyncio.current_task():
            self._watch.cancel()
        lease.close()
        self._lease = None
        self.lost.set()
        self._log.info("SSH to %s: the connection was lost.", self.client.name)
        self._heal()

    def _heal(self) -> None:
        """Connect again by itself, if somebody's forwards wait for that."""
        healing = self._healing is not None and not self._healing.done()
        if self._forwards and not self._closed and not healing:
            self._healing = asyncio.create_task(self._try_again(), name="ssh-heal")

    async def _try_again(self) -> None:
        pause = FIRST_PAUSE
        while self._forwards and not self._closed and (self._lease is None or self._missing):
            if self._lease is not None:
                # The host is there, and what was forwarded is not: it was busy, or has refused.
                await asyncio.sleep(pause)
                pause = min(2 * pause, LAST_PAUSE)
                await self._restore()
                continue
            try:
                await self.ensure()
            except Unreachable:
                # The pause since the last attempt, whoever made it, has to pass.
                until = self._trouble[0] if self._trouble is not None else 0
                await asyncio.sleep(max(0.05, until - time.monotonic()))

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Mux]:
        """A connection to the master for one request."""
        lease = self._lease
        try:
            async with open_mux(f"{self._directory}/{self.client.key}", GREETING) as mux:
                yield mux
        except (FileNotFoundError, ConnectionRefusedError) as error:
            if lease is not None:
                self._drop(lease)
            raise self._gone(str(error)) from error

    async def ask(self, what: Callable[[Mux], Awaitable[T]]) -> T:
        """The master's answer to one request.

        Raises
        ------
        MuxRefused
        Unreachable
        """
        try:
            async with asyncio.timeout(2 * GREETING), self._open() as mux:
                return await what(mux)
        except TimeoutError:
            raise self._silent(2 * GREETING) from None
        except MuxLost as error:
            raise self._gone(str(error)) from error

    async def _forward(self, here: str, there: Address) -> None:
        try:
            await self.ask(lambda mux: mux.forward(here, there))
        except MuxRefused as error:
            raise self._refused(str(error)) from error

    def _silent(self, seconds: float) -> Unreachable:
        """Nobody has answered. If that is because the master hangs, it is replaced."""
        if self._lease is not None:
            asyncio.ensure_future(self._examine(self._lease))  # noqa: RUF006 - short, ends itself
        return Unreachable(f"{self.client.name} has not answered within {seconds:g} s.")

    async def _examine(self, lease: Mux) -> None:
        try:
            async with asyncio.timeout(2 * GREETING), self._open() as mux:
                await mux.pid()
        except (TimeoutError, MuxLost, MuxRefused):
            self._drop(lease)
        except Unreachable:
            return

    def _gone(self, why: str) -> Unreachable:
        return Unreachable(f"The connection to {self.client.name} was lost ({why}).")

    def _refused(self, why: str) -> Unreachable:
        if "open refused" in why or "open failed" in why:
            return Unreachable(
                f"{self.client.name} refuses further sessions of the connection ({why}): lower"
                " `max_sessions` of the host below the `MaxSessions` of its SSH server."
            )
        return Unreachable(f"{self.client.name} refuses: {why}.")


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        Path(path).unlink()


def _remember(path: str, pid: int) -> None:
    """Keep which process the master is: one that hangs can no longer be asked."""
    with contextlib.suppress(OSError):
        runner.write_json(path, {"pid": pid, "started": runner.start_time(pid)}, keep=False)


def _end(path: str) -> None:
    """Kill the master that `_remember` has noted, if it is still the same process."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        noted = runner.read_json(path)
        if runner.start_time(int(noted["pid"])) == noted["started"]:
            os.kill(int(noted["pid"]), signal.SIGKILL)


def _locked(path: str) -> int | None:
    """The lock file `path`, open, if nobody else has it. Closing it gives it up."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), Path(path).stat()):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)  # somebody has it, or has removed it meanwhile
    return None


def _sweep(directory: str, key: str) -> None:
    """Remove what servers that were killed, and masters that have ended, have left.

    Parameters
    ----------
    key
        Of the connection whose lock the caller holds.
    """
    _sweep_forwards(directory, key)
    for path in Path(directory).glob("*.lock"):
        if path.stem == key or (descriptor := _locked(str(path))) is None:
            continue
        try:
            if not _listens(f"{directory}/{path.stem}"):
                _sweep_forwards(directory, path.stem)
                for suffix in ("", ".pid", ".lock"):  # last: until then it is ours
                    _remove(f"{directory}/{path.stem}{suffix}")
        finally:
            os.close(descriptor)


def _sweep_forwards(directory: str, key: str) -> None:
    for path in Path(directory).glob(f"{key}.*.*"):
        pid = path.name.split(".")[1]
        if pid.isdigit() and runner.start_time(int(pid)) is None:
            path.unlink(missing_ok=True)


def _listens(path: str) -> bool:
    """Whether there is a process behind the control socket, be it one that hangs."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:  # its queue is full
            return True
    return True
