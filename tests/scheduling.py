"""Which tests stay with the same worker of pytest-xdist."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

REAL = "tests/real/"


class Rooms(LoadScopeScheduling):
    """Keep the tests of a file with one worker, and all real ones with the same.

    A file's tests share what is slow to start. Real ones make network interfaces and take them
    away, and a browser that loads a page beside that gives up with ERR_NETWORK_CHANGED.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return REAL if file.startswith(REAL) else file
