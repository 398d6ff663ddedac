"""A Jupyter extension that keeps the server's loop busy, as careless code in a server does.

``POST <base_url>benchmark/block/<how>``: the loop is held for one second at a time, with a short
break between, until ``off``.

- ``python``: bytecode, which other threads may interrupt;
- ``c``: one long call into C, which holds the interpreter's lock from beginning to end.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.serverapp import ServerApp
from tornado import web

HOLD = 1.0
BREAK = 0.1
"""Seconds."""


class Blocker:
    """Holds the loop up, over and over."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._text = ""

    def set(self, how: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if how == "c" and not self._text:
            self._text = text_that_takes(HOLD)
        if how != "off":
            self._again(how)

    def _again(self, how: str) -> None:
        if how == "python":
            deadline = time.monotonic() + HOLD
            while time.monotonic() < deadline:
                pass
        else:
            json.loads(self._text)
        self._timer = asyncio.get_running_loop().call_later(BREAK, self._again, how)


def text_that_takes(seconds: float) -> str:
    """JSON that takes about so long to read: the C code in `json` does nothing else meanwhile."""
    count = 100_000
    while True:
        text = json.dumps([1] * count)
        began = time.monotonic()
        json.loads(text)
        took = time.monotonic() - began
        if took > 0.8 * seconds:
            return text
        count = int(count * min(10, seconds / took))


class BlockHandler(JupyterHandler):
    """Starts and ends it."""

    def initialize(self, blocker: Blocker) -> None:
        self._blocker = blocker

    @web.authenticated
    def post(self, how: str) -> None:
        self.set_status(204)
        self.finish()
        asyncio.get_running_loop().call_soon(self._blocker.set, how)


def _load_jupyter_server_extension(server: ServerApp) -> None:
    rule: tuple[str, type[JupyterHandler], dict[str, Any]] = (
        f"{server.base_url}benchmark/block/(python|c|off)",
        BlockHandler,
        {"blocker": Blocker()},
    )
    server.web_app.add_handlers(".*$", [rule])  # type: ignore[no-untyped-call]
