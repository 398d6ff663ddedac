"""Which tests stay with the same worker of pytest-xdist, and which come first."""

from __future__ import annotations

from typing import Any

from xdist.scheduler import LoadScopeScheduling

REAL = "tests/real/"
APART = frozenset(
    f"{REAL}test_{name}.py" for name in ("isolation", "neighbours", "old_python", "pbs", "wheel")
)
"""Real ones that neither browse nor make network interfaces."""


def room(nodeid: str) -> str:
    """What the tests have in common that stay with one worker.

    A file's tests share what is slow to start. Real ones make network interfaces and take them
    away, and a browser that loads a page beside that gives up with ERR_NETWORK_CHANGED.
    """
    file = nodeid.partition("::")[0]
    return REAL if file.startswith(REAL) and file not in APART else file


class Rooms(LoadScopeScheduling):
    """Gives each worker one room after the other, in the order of the workers' collections."""

    def __init__(self, config: Any, log: Any) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # not by numbers, which say nothing of the time

    def _split_scope(self, nodeid: str) -> str:
        return room(nodeid)
