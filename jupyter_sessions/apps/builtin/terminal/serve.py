"""One terminal behind one Unix socket: a shell or a command, for all who open the page.

The page is xterm.js; terminado, which Jupyter's own terminals use, holds the other end. The
command starts with the session and not with the first page, and whoever opens the page later is
shown the last of its output. The session ends with the command, with its exit code.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import pwd
import shlex
import shutil
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

from terminado.management import SingleTermManager
from terminado.websocket import TermSocket
from tornado import netutil, web
from tornado.httpserver import HTTPServer

PAGE = Path(__file__).parent / "page"

CONTENT_POLICY = (
    "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; form-action 'none'"
)

LOGIN_SHELLS = {"ash", "bash", "csh", "dash", "fish", "ksh", "mksh", "sh", "tcsh", "zsh"}
"""These take ``-l``, which makes them read the user's profile: there, paths and modules are set."""

PING = 30
"""Seconds between signs of life on a connection: proxies on the way close what is silent."""


class OneTerminal(SingleTermManager):
    """The terminal of this session. Made once; its end is the end."""

    def __init__(self, argv: list[str], folder: str) -> None:
        super().__init__(shell_command=argv, term_settings={"cwd": folder})
        self.extra_env = {"COLORTERM": "truecolor", "COLUMNS": None, "LINES": None}
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def on_eof(self, terminal: Any) -> None:
        """Take note of the exit code, as a shell counts it. Called when the command has ended."""
        process = terminal.ptyproc
        super().on_eof(terminal)  # closes it, and waits for the process
        code = process.exitstatus if process.signalstatus is None else 128 + process.signalstatus
        if not self.ended.done():
            self.ended.set_result(code if code is not None else 0)


class Socket(TermSocket):
    """A page's connection."""

    def get_compression_options(self) -> dict[str, Any]:
        return {}  # text from afar


class Page(web.StaticFileHandler):
    def set_extra_headers(self, path: str) -> None:
        self.set_header("Content-Security-Policy", CONTENT_POLICY)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-cache")


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve one terminal on a Unix socket.")
    parser.add_argument("--socket", required=True)
    parser.add_argument("--folder", required=True, help="where the command begins")
    parser.add_argument("--shell", default="", help="the user's own if there is none here")
    parser.add_argument("--command", default="", help="instead of a shell; split into words")
    given = parser.parse_args()
    argv = command(given.command) if given.command.strip() else shell(given.shell)
    folder = Path(given.folder).expanduser()
    if not folder.is_dir():
        fail(f"{folder} is not a folder.")
    sys.exit(asyncio.run(serve(given.socket, argv, str(folder))))


async def serve(path: str, argv: list[str], folder: str) -> int:
    """Run `argv` in a terminal until its end, or until TERM; the exit code."""
    terminals = OneTerminal(argv, folder)
    handlers: list[Any] = [
        ("/websocket", Socket, {"term_manager": terminals}),
        ("/(.*)", Page, {"path": PAGE, "default_filename": "index.html"}),
    ]
    application = web.Application(
        handlers, websocket_ping_interval=PING, websocket_ping_timeout=PING
    )
    server = HTTPServer(application)
    server.add_socket(netutil.bind_unix_socket(path, mode=0o600))
    terminals.get_terminal()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    waiting = asyncio.create_task(stopped.wait())
    ending: list[asyncio.Future[Any]] = [waiting, terminals.ended]
    await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
    server.stop()
    if terminals.ended.done():
        waiting.cancel()
        code = terminals.ended.result()
        sys.stderr.write(f"{argv[0]} ended with exit code {code}.\n")
        await asyncio.sleep(0.2)  # what it said last is still on its way to the pages
        return code
    await terminals.shutdown()  # HUP first, as when a window closes: shells ignore TERM
    return 0


def command(text: str) -> list[str]:
    """`text` as a program and its arguments."""
    try:
        argv = shlex.split(text)
    except ValueError as problem:
        fail(f"The command cannot be split into words: {problem}.")
    if not argv:
        fail("The command is empty.")
    return [program(argv[0]), *argv[1:]]


def shell(name: str) -> list[str]:
    path = program(name or os.environ.get("SHELL") or pwd.getpwuid(os.getuid()).pw_shell or "sh")
    return [path, "-l"] if Path(path).name in LOGIN_SHELLS else [path]


def program(name: str) -> str:
    path = str(Path(name).expanduser()) if name.startswith("~") else name
    return shutil.which(path) or fail(f"There is no program {name!r}.")


def fail(sentence: str) -> NoReturn:
    sys.exit(sentence)


if __name__ == "__main__":
    main()
