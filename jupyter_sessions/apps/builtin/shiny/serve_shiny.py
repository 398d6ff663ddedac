"""Serves a Shiny for Python app on a Unix socket: ``serve_shiny.py SOCKET FILE``.

``shiny run`` knows hosts and ports only; `shiny.run_app` passes the rest on to uvicorn.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    path, file = sys.argv[1:]
    try:
        import shiny
    except ImportError as error:
        sys.exit(f"Shiny cannot be imported by {sys.executable}: {error}")
    directory, name = os.path.split(file)
    # Without a limit it would wait for open pages when it is asked to end.
    shiny.run_app(name, app_dir=directory, dev_mode=False, uds=path, timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
