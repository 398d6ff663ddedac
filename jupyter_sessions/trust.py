"""`Trust`: which apps of projects somebody has looked at, and let run.

::

    <data dir>/jupyter_sessions/trusted/<key>.json     0600, in a directory of mode 0700

As with Jupyter's notebooks, trust is for content: a digest of it is kept, with the user and not in
the project, so that whatever comes with a project cannot say that it is trusted. Unlike a
notebook's, it holds for one project: the same few lines that start ``./run.sh`` run something else
in another.
"""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from .store import private_directory, store_errors, write_atomically

KEPT = 20
"""Digests that are kept of one app: who switches between branches is not asked each time."""
LARGEST = 64 * 1024

TrustState = Literal["trusted", "changed", "new"]
"""``changed``: it was trusted with another content."""


class Trust:
    """What one user trusts. All methods block for a few system calls.

    Parameters
    ----------
    root
        The store's directory.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def state(self, project: Path, name: str, digest: str) -> TrustState:
        """Whether the app `name` of `project` may run with the content of `digest`.

        A file that cannot be read trusts nothing.
        """
        known = self._digests(self._path(project, name))
        if digest in known:
            return "trusted"
        return "changed" if known else "new"

    def trust(self, project: Path, name: str, digest: str) -> None:
        """Let it run from now on.

        Raises
        ------
        StoreError
        """
        path = self._path(project, name)
        private_directory(self._root)
        private_directory(path.parent)
        others = [d for d in self._digests(path) if d != digest]
        content: dict[str, Any] = {
            "project": str(project),
            "name": name,
            "digests": [*others, digest][-KEPT:],
            "trusted": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with store_errors("write", path):
            write_atomically(path, json.dumps(content, indent=1) + "\n")

    def revoke(self, project: Path, name: str) -> None:
        """Trust none of its contents any more; harmless if none was trusted.

        Raises
        ------
        StoreError
        """
        path = self._path(project, name)
        with store_errors("delete", path):
            path.unlink(missing_ok=True)

    def _path(self, project: Path, name: str) -> Path:
        whole = os.fsencode(project) + b"\0" + name.encode()
        return self._root / "trusted" / f"{hashlib.sha256(whole).hexdigest()}.json"

    def _digests(self, path: Path) -> list[str]:
        try:
            # Whoever can write here is this user: `trust` made the directory.
            with path.open("rb") as file:
                found = json.loads(file.read(LARGEST))["digests"]
            return [d for d in found if isinstance(d, str)]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return []
