"""Where commands run and how to reach what listens there: this machine, or over SSH.

A spawner knows *what* to do (start the runner, ask the queue); its host knows *where*. So every
spawner works on every host, and neither knows the other's class.
"""

from __future__ import annotations

import asyncio
from abc import ABCMeta, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from traitlets import Float, MetaHasTraits, Unicode
from traitlets.config import LoggingConfigurable

from ..routes import Address


class AbstractConfigurableMeta(ABCMeta, MetaHasTraits):
    """Lets a class be abstract and have traits."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that has ended: its exit code (negative: the signal that killed it) and output."""

    code: int
    stdout: bytes
    stderr: bytes


class LeadsBack(Protocol):
    """A host whose connection serves in both directions: what dials the host can end up here."""

    name: str

    def listening(
        self, host: str, ports: Sequence[int], here: str
    ) -> AbstractAsyncContextManager[tuple[int, asyncio.Event]]:
        """Have the host listen, while the context is entered, and lead who comes to a socket here.

        Gives the port, and an event that is set once the connection to the host is lost: from then
        on it listens no more.

        Parameters
        ----------
        host
            The address of the host to listen at; empty for all. The host may decide otherwise.
        ports
            Tried in order; 0 is for any.
        here
            The path of a Unix socket of this machine.

        Raises
        ------
        Unreachable
            If the host does not answer, or does not want to.
        """

    def program(
        self, source: str, payload: Mapping[str, Any], beat: float
    ) -> AbstractAsyncContextManager[tuple[dict[str, Any], asyncio.Task[None]]]:
        """Run a Python program on the host while the context is entered.

        Its first argument is a mark. A line of JSON, `payload`, comes to it on stdin; it answers
        with a line that begins with the mark and goes on with JSON, ``error`` in it if it failed.
        After that an empty line comes each `beat` seconds, until the end of stdin; so the program
        knows when to end, whatever became of this machine.

        Gives the answer, and a task that ends when the program does.

        Raises
        ------
        SpawnerError
            With what it said under ``error``.
        Unreachable
        """


class Host(LoggingConfigurable, metaclass=AbstractConfigurableMeta):
    """One machine that sessions can run on.

    A host keeps no state per session. All methods raise `Unreachable` when the machine does not
    answer: nothing is known then.
    """

    name = Unicode(help="The name it is configured under; set by the manager.")
    poll_interval = Float(
        0.25,
        min=0.05,
        help="""Seconds between two looks at the processes of this host, all of them at once.""",
    ).tag(config=True)

    @property
    def same_files(self) -> bool:
        """Whether it sees this machine's files, under the same paths."""
        return True

    async def available(self) -> str:
        """Why nothing can be done here now, as a sentence; empty if all is well.

        Called whenever a form is shown: answers within a few seconds, whatever the host does.
        """
        return ""

    async def close(self) -> None:
        """Give up what reaches the host. Called when the server ends; sessions run on."""

    # What runs there ------------------------------------------------------------------------

    @abstractmethod
    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout: float = 30,
        env: Mapping[str, str | None] | None = None,
    ) -> Completed:
        """Run one command there, to its end. No shell reads any of `argv`.

        Called by spawners that talk to a scheduler or a container engine by its commands.

        Parameters
        ----------
        timeout
            Seconds, after which the command is killed.
        env
            Set on top of the user's environment there, which has none of Jupyter's own variables.
            None takes variables out of it: all whose names match, as in ``SQUEUE_*``.

        Raises
        ------
        SpawnerError
            If there is no such program.
        Unreachable
            If the host, or the command, did not answer in time.
        """

    @abstractmethod
    async def runner(self, verb: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Call a verb of ``runner`` on the host: see `runner.VERBS`.

        Called by spawners for all that concerns processes there.

        Raises
        ------
        SpawnerError
            If the runner refused; the message is its sentence.
        Unreachable
            If the host did not answer.
        """

    @abstractmethod
    async def runner_file(self) -> str:
        """The absolute path of what Python runs as the runner there; it is put there if need be.

        Called by spawners whose jobs run it themselves. One content has one path, in a directory
        of the user's with mode 0700.
        """

    # What is there --------------------------------------------------------------------------

    @abstractmethod
    async def have(self, wanted: Sequence[tuple[str, str]]) -> list[bool]:
        """Whether each of `wanted` is there: pairs of a kind and a name.

        The kinds are ``program`` (on the user's PATH, or the path of an executable), ``python``
        (a module that the Python of ``{python}`` can import), ``file`` (with ``~``,
        ``$VARIABLES`` and ``{prefix}``, the folder of that Python's installation), and, by
        absolute paths, ``readable`` (a file that the user may read) and ``directory`` (one that
        the user may enter).
        """

    async def has(self, kind: str, name: str) -> bool:
        """Whether one thing is there: see `have`."""
        return (await self.have([(kind, name)]))[0]

    async def is_directory(self, path: str) -> bool:
        """Whether `path` (absolute) is a directory that the user may enter."""
        return await self.has("directory", path)

    async def is_file(self, path: str) -> bool:
        """Whether `path` (absolute) is a file that the user may read."""
        return await self.has("readable", path)

    async def home(self) -> str:
        """The user's home there: where folders begin, if it does not see this machine's files."""
        return str(Path.home())

    # Where things are kept ------------------------------------------------------------------

    @abstractmethod
    async def send(self, folder: Path) -> str:
        """An app's `folder` of this machine as an absolute path on the host.

        It is copied there once for each content, if the host does not see the same files.
        """

    @abstractmethod
    async def attempt_directory(self, local: Path, session_id: str, attempt: int) -> str:
        """Where the runner keeps an attempt's files on the host.

        Parameters
        ----------
        local
            The attempt's directory in the store, for hosts that see the same files.
        """

    @abstractmethod
    async def state_directory(self, local: Path, session_id: str) -> str:
        """Where a session's app keeps on the host what is to outlive a restart of the session.

        Parameters
        ----------
        local
            That directory in the store, for hosts that see the same files.
        """

    async def forget(self, session_id: str, before: int | None = None) -> None:
        """Remove what is kept there of a session that has ended. Harmless twice.

        Called before its record is removed. A host that sees the store has nothing of its own.

        Parameters
        ----------
        before
            Only attempts with a number below that; everything if None.

        Raises
        ------
        SpawnerError
            If something of it still runs.
        Unreachable
        """

    @abstractmethod
    def follow(self, path: str, lines: int, follow: bool) -> AsyncIterator[bytes]:
        """The last `lines` lines of a log file there, and what is added to it if `follow`.

        A file that is not there yet is waited for if `follow`, and empty if not. ``path + ".1"``
        is the older part of a log that was rotated.
        """

    # How it is reached ----------------------------------------------------------------------

    @abstractmethod
    def connect(self, address: Address) -> AbstractAsyncContextManager[Address]:
        """A way to `address` from this machine, kept open while the context is entered."""

    @property
    def back(self) -> LeadsBack | None:
        """What leads from the host to this machine; None if they are one, or nothing does."""
        return None

    async def jump(self) -> list[str]:
        """Options of OpenSSH's client that lead, through this host, to machines behind it.

        Raises
        ------
        Unreachable
            If the host does not answer.
        """
        return []
