"""What a command works with: the user's configuration, and a manager for its time."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from jupyter_core.application import JupyterApp

from ..manager import SessionManager
from . import servers


class SessionsCLI(JupyterApp):
    """Reads the configuration that the server reads, so that both know the same spawners."""

    name = "jupyter-server"
    config_file_name = "jupyter_server_config"
    classes = [SessionManager]


@contextlib.asynccontextmanager
async def manager(config: list[str]) -> AsyncIterator[SessionManager]:
    """A manager for the time of one command."""
    app = SessionsCLI()
    app.load_config_file()
    app.parse_command_line(config)
    server = servers.running()
    base_url = server.base_url if server else app.config.ServerApp.get("base_url", "/")
    base_url = "/" + "".join(f"{part}/" for part in str(base_url).split("/") if part)
    made = SessionManager(
        parent=app,
        log=app.log,
        base_url=base_url,
        root_dir=str(Path.cwd()),
        projects_in="/",  # no server says where to end: an app runs only once it is trusted
    )
    made.public_url = server.url if server else ""
    await made.start()
    try:
        yield made
    finally:
        await made.close()
