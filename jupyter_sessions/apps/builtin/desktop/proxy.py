"""The desktop's web page, and websocket connections to its VNC server: websockify, with a rule.

A connection to ``/websockify`` may do all, a connection to any other path may only look; the page
``/view/`` opens ``/view/websockify``.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
from typing import Any

from view_only import Refused, ViewOnly  # type: ignore[import-not-found]  # beside this script
from websockify.websocketproxy import (  # type: ignore[import-untyped]
    ProxyRequestHandler,
    WebSocketProxy,
)

CONTROL = "/websockify"
HEARTBEAT = 30
"""Seconds between signs of life: proxies on the way close what is silent."""


class Handler(ProxyRequestHandler):  # type: ignore[misc]
    """One request, in a process of its own."""

    _filter: ViewOnly | None = None

    def new_websocket_client(self) -> None:
        if self.path.partition("?")[0] != CONTROL:
            self._filter = ViewOnly()
        super().new_websocket_client()

    def recv_frames(self) -> tuple[list[bytes], Any]:
        """What has come from the browser. Called whenever there is something."""
        received, closed = super().recv_frames()
        if self._filter is None:
            return received, closed
        try:
            passed = [self._filter.feed(data) for data in received]
        except Refused as refused:
            raise self.CClose(1008, f"View only: {refused}.") from None
        return [data for data in passed if data], closed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", required=True, help="the Unix socket to listen on")
    parser.add_argument("--target", required=True, help="the VNC server's Unix socket")
    parser.add_argument("--web", required=True, help="the folder of the page")
    parser.add_argument("--log", required=True, help="a line per request: nobody wants to see them")
    given = parser.parse_args()
    logging.basicConfig(filename=given.log, level=logging.INFO, format="%(message)s")
    # It relies on fork, which newer Pythons do not use by default.
    multiprocessing.set_start_method("fork")
    WebSocketProxy(
        Handler,
        unix_listen=given.listen,
        unix_listen_mode=0o600,
        unix_target=given.target,
        web=given.web,
        file_only=True,
        heartbeat=HEARTBEAT,
    ).start_server()


if __name__ == "__main__":
    main()
