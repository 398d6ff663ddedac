"""Where commands run and how to reach what listens there: this machine, or over SSH.

A spawner knows *what* to do (start the runner, ask the queue); its host knows *where*. So every
spawner works on every host, and neither knows the other's class.
"""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from traitlets import MetaHasTraits, Unicode
from traitlets.config import LoggingConfigurable

from ..routes import Address


class AbstractConfigurableMeta(ABCMeta, MetaHasTraits):
    """Lets a class be abstract and have traits."""


class Host(LoggingConfigurable, metaclass=AbstractConfigurableMeta):
    """One machine that sessions can run on.

    A host keeps no state per session. All methods raise `Unreachable` when the machine does not
    answer: nothing is known then.
    """

    name = Unicode(help="The name it is configured under; set by the manager.")

    @abstractmethod
    async def runner(self, verb: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Call a verb of ``runner.py`` on the host: its docstring lists them.

        Called by spawners for all that concerns processes there.

        Raises
        ------
        SpawnerError
            If the runner refused; the message is its sentence.
        Unreachable
            If the host did not answer.
        """

    @abstractmethod
    async def is_directory(self, path: str) -> bool:
        """Whether `path` (absolute) is a directory that the user may enter."""

    @abstractmethod
    async def is_file(self, path: str) -> bool:
        """Whether `path` (absolute) is a file that the user may read."""

    @abstractmethod
    async def has(self, kind: str, name: str) -> bool:
        """Whether something that an app requires is there.

        Parameters
        ----------
        kind
            ``program`` (on the user's PATH, or the path of an executable), ``python`` (a module
            that the Python of ``{python}`` can import) or ``file`` (with ``~``,
            ``$VARIABLES`` and ``{prefix}``, the folder of that Python's installation).
        """

    @abstractmethod
    def attempt_directory(self, local: Path, session_id: str, attempt: int) -> str:
        """Where the runner keeps an attempt's files on the host.

        Parameters
        ----------
        local
            The attempt's directory in the store, for hosts that see the same files.
        """

    @abstractmethod
    def follow(self, path: str, lines: int, follow: bool) -> AsyncIterator[bytes]:
        """The last `lines` lines of a log file there, and what is added to it if `follow`.

        A file that is not there yet is waited for if `follow`, and empty if not. ``path + ".1"``
        is the older part of a log that was rotated.
        """

    @abstractmethod
    def connect(self, address: Address) -> AbstractAsyncContextManager[Address]:
        """A way to `address` from this machine, kept open while the context is entered."""
