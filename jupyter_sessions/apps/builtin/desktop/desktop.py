"""A Linux desktop behind one Unix socket: X server, session bus, window manager, web page.

Standard library only, apart from `websockify`. There is no TCP port anywhere: the X server speaks
VNC on a Unix socket beside ours, and websockify joins the two. X's own sockets have fixed places
that other users can reach; a cookie made for this start keeps them out.

With ``--program`` there is one program that fills the screen, and no desktop around it.

It ends when the X server, the window manager, websockify or that program ends, with the exit code
of the first of them; on TERM it takes them all down.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn
from urllib.parse import quote

# Beside this script.
import display  # type: ignore[import-not-found]
import ending  # type: ignore[import-not-found]
import single  # type: ignore[import-not-found]
import window_manager  # type: ignore[import-not-found]

HERE = Path(__file__).parent

X_SERVERS = ("Xtigervnc", "Xvnc")

WINDOW_MANAGERS: Mapping[str, str] = {
    "xfce": "startxfce4",
    "mate": "mate-session",
    "lxqt": "startlxqt",
    "openbox": "openbox",
    "jwm": "jwm",
    "icewm": "icewm-session",
    "fluxbox": "fluxbox",
}
"""The fullest first: `auto` takes the first that is installed."""

BARE = {"openbox", "jwm", "icewm", "fluxbox"}
"""These show an empty screen; a terminal tells a newcomer that the desktop is alive."""

QUALITY: Mapping[str, tuple[int, int]] = {"low": (2, 8), "balanced": (6, 2), "high": (9, 1)}
"""JPEG's quality and the compression that the page asks for, 0 to 9 each."""

WINDOW_MANAGER_WAIT = 10.0
"""Seconds to wait for the window manager before the first window is opened."""

TERMINALS = ("x-terminal-emulator", "xterm", "urxvt", "konsole", "xfce4-terminal")

NOVNC_PLACES = (
    "$NOVNC_HOME",
    f"{sys.prefix}/share/novnc",
    "$VIRTUAL_ENV/share/novnc",
    "$CONDA_PREFIX/share/novnc",
    "~/.local/share/novnc",
    "~/node_modules/@novnc/novnc",
    "/usr/local/share/novnc",
    "/usr/share/novnc",
    "/usr/local/lib/node_modules/@novnc/novnc",
    "/usr/lib/node_modules/@novnc/novnc",
    "/opt/noVNC",
)
"""Where noVNC may be, the first that is wins. Kept in step with `requires` in app.yaml."""

X_TIMEOUT = 30
"""Seconds for the X server to name its display."""

TERM_TIMEOUT = 2
"""Seconds that each stage of the shutdown gets before it is killed."""


class Stopped(BaseException):
    """TERM or INT arrived."""


@dataclass
class Desktop:
    """The processes of one desktop, in the order they were started."""

    env: dict[str, str]
    processes: list[tuple[str, subprocess.Popen[bytes]]] = field(default_factory=list)

    def start(
        self, name: str, argv: Sequence[str], pass_fds: Sequence[int] = ()
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(argv, env=self.env, stdin=subprocess.DEVNULL, pass_fds=pass_fds)
        self.processes.append((name, process))
        return process

    def wait(self, names: set[str]) -> tuple[str, int]:
        """Wait until one of these has ended; its name and its exit code as a shell counts it."""
        while True:
            # Without reaping it: that is Popen's business.
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            ended = [(name, p) for name, p in self.processes if p.poll() is not None]
            for name, process in ended:
                if name in names:
                    code = process.returncode
                    return name, code if code >= 0 else 128 - code
            self.processes = [item for item in self.processes if item not in ended]
            if not ended:  # a process that we inherited by accident
                time.sleep(0.1)

    def stop(self) -> None:
        """End them all, the newest first, so that nobody loses what they stand on."""
        while self.processes:
            _, process = self.processes.pop()
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(TERM_TIMEOUT)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="Run a Linux desktop on a Unix socket.")
    parser.add_argument("--socket", required=True, type=Path, help="where the web page is served")
    parser.add_argument("--directory", required=True, type=Path, help="private, for our files")
    parser.add_argument("--geometry", default="1280x800", help="WIDTHxHEIGHT")
    parser.add_argument("--resize", choices=["true", "false"], default="true")
    parser.add_argument("--window-manager", choices=["auto", *WINDOW_MANAGERS], default="auto")
    parser.add_argument("--quality", choices=list(QUALITY), default="balanced")
    parser.add_argument("--program", default="", help="fills the screen; split into words")
    parser.add_argument("arguments", nargs="*", help="further ones of the program, as they are")
    given = parser.parse_args()
    program = words(given.program, given.arguments)

    x_server = first(X_SERVERS) or fail("Xtigervnc is not installed.")
    novnc = find_novnc() or fail("noVNC is not installed, or not where $NOVNC_HOME says.")
    manager, manager_path = find_window_manager(given.window_manager, alone=bool(program))

    desktop = Desktop(environment(given.directory))
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        code = run(desktop, given, x_server, novnc, manager, manager_path, program)
    except Stopped:
        code = 0
    finally:
        # A second TERM must not cut the cleaning short; the runner's KILL will, if need be.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        desktop.stop()
        for beside in (".vnc", ".bus"):
            beside_socket(given.socket, beside).unlink(missing_ok=True)
        given.socket.unlink(missing_ok=True)
    sys.exit(code)


def run(
    desktop: Desktop,
    given: argparse.Namespace,
    x_server: str,
    novnc: Path,
    manager: str,
    manager_path: str,
    program: Sequence[str],
) -> int:
    """Start everything and wait for an end; the exit code."""
    # Sockets stand beside ours: that place is private, and its path is short enough for one.
    vnc = beside_socket(given.socket, ".vnc")
    web = make_web_folder(given.directory, novnc)
    quality, compression = QUALITY[given.quality]
    settings = {
        "quality": quality,
        "compression": compression,
        "resize": given.resize == "true",
        "alone": bool(program),
    }
    (web / "settings.json").write_text(json.dumps(settings))
    cookie = display.make_cookie(Path(desktop.env["XAUTHORITY"]))

    name = start_x(desktop, x_server, vnc, given.geometry)
    desktop.env["DISPLAY"] = name
    ending.note(given.directory, desktop=os.getpid(), display=name)
    say(f"The X server runs on display {name}.")

    start_bus(desktop, beside_socket(given.socket, ".bus"))
    if tint := shutil.which("xsetroot"):
        desktop.start("background", [tint, "-solid", "#33475b"])
    alone = single.COMMANDS.get(manager) if program else None
    running = desktop.start(
        "window manager", alone(manager_path, given.directory) if alone else [manager_path]
    )
    ending.note(given.directory, desktop=os.getpid(), display=name, manager=running.pid)
    say(f"The window manager is {manager}.")
    first_window = program or (terminal_command() if manager in BARE else None)
    if first_window:
        window_manager.wait(name, cookie, WINDOW_MANAGER_WAIT)
        desktop.start("program" if program else "terminal", first_window)

    log = given.directory / "websockify.log"
    desktop.start(
        "websockify",
        [
            *(sys.executable, str(HERE / "proxy.py")),
            *(f"--listen={given.socket}", f"--target={vnc}", f"--web={web}", f"--log={log}"),
        ],
    )
    tell({"links": [{"title": "View only", "path": "view/"}]})
    ended, code = desktop.wait({"X server", "window manager", "websockify", "program"})
    if ended == "websockify":
        code = code or 1  # it never ends of its own will, and calls every end a success
        with suppress(OSError):
            say("\n".join(log.read_text(errors="replace").splitlines()[-10:]))
    say(f"The {ended} ended with exit code {code}.")
    return code


def environment(directory: Path) -> dict[str, str]:
    """The environment of the desktop's programs: ours, without another desktop's traces."""
    strange = {
        "DBUS_SESSION_BUS_ADDRESS",
        "DESKTOP_SESSION",
        "DISPLAY",
        "SESSION_MANAGER",
        "WAYLAND_DISPLAY",
        "XDG_CURRENT_DESKTOP",
        "XDG_SESSION_DESKTOP",
        "XDG_SESSION_ID",
    }
    env = {name: value for name, value in os.environ.items() if name not in strange}
    return env | {"XAUTHORITY": str(directory / "Xauthority"), "XDG_SESSION_TYPE": "x11"}


def start_x(desktop: Desktop, x_server: str, vnc: Path, geometry: str) -> str:
    """Start the X server and return the display it chose, once it accepts clients."""
    vnc.unlink(missing_ok=True)
    readable, writable = os.pipe()
    with os.fdopen(readable, "rb", buffering=0) as pipe:
        process = desktop.start(
            "X server",
            [
                x_server,
                *("-displayfd", str(writable)),
                *("-auth", desktop.env["XAUTHORITY"]),
                *("-rfbunixpath", str(vnc), "-rfbunixmode", str(0o600), "-rfbport", "-1"),
                *("-SecurityTypes", "None"),  # the socket's folder is private
                # Not "local" too: binding that abstract socket is what keeps two servers that
                # start at once from taking the same display (-displayfd uses no lock file).
                *("-nolisten", "tcp"),
                *("-geometry", geometry, "-depth", "24"),
                *("-desktop", f"Desktop on {socket.gethostname()}"),
                "-AlwaysShared",
                "-noreset",
            ],
            pass_fds=[writable],
        )
        os.close(writable)
        number = b""
        deadline = time.monotonic() + X_TIMEOUT
        while not number.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                fail(f"The X server did not start within {X_TIMEOUT} s.")
            if not (chunk := pipe.read(16)):
                fail(f"The X server ended with exit code {process.wait()}.")
            number += chunk
    return f":{number.decode().strip()}"


def start_bus(desktop: Desktop, path: Path) -> None:
    """Start a session bus, if there is one to start; on a socket of ours, not in /tmp."""
    if (program := shutil.which("dbus-daemon")) is None:
        return
    path.unlink(missing_ok=True)
    address = "unix:path=" + quote(str(path)).replace("~", "%7e")
    desktop.start("bus", [program, "--session", "--nofork", "--nopidfile", f"--address={address}"])
    deadline = time.monotonic() + 5
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    if path.exists():
        desktop.env["DBUS_SESSION_BUS_ADDRESS"] = address


def make_web_folder(directory: Path, novnc: Path) -> Path:
    """A folder with our page and, under it, the parts of noVNC that the page uses."""
    web = directory / "web"
    shutil.rmtree(web, ignore_errors=True)
    shutil.copytree(HERE / "page", web)
    for part in ("core", "vendor"):
        if (novnc / part).is_dir():
            (web / "novnc").mkdir(exist_ok=True)
            (web / "novnc" / part).symlink_to((novnc / part).resolve())
    # The same page once more: by its place it knows that it may only look.
    (web / "view").mkdir()
    for entry in [*web.iterdir(), web / "settings.json"]:
        if entry.name != "view":
            (web / "view" / entry.name).symlink_to(f"../{entry.name}")
    return web


def find_novnc() -> Path | None:
    for place in NOVNC_PLACES:
        path = Path(os.path.expandvars(place)).expanduser()
        # Not pathlib's is_file: it raises where a folder above may not be entered.
        if os.path.isfile(path / "core" / "rfb.js"):  # noqa: PTH113
            return path
    return None


def find_window_manager(wanted: str, *, alone: bool) -> tuple[str, str]:
    """The name and the program of the window manager to use.

    For one program `alone`, those first that show nothing else.
    """
    plain = [*single.COMMANDS, *sorted(BARE)] if alone else []
    for name in dict.fromkeys([*plain, *WINDOW_MANAGERS]):
        program = WINDOW_MANAGERS[name]
        if wanted in {"auto", name} and (path := shutil.which(program)):
            return name, path
    return fail(
        "No desktop environment and no window manager is installed."
        if wanted == "auto"
        else f"{WINDOW_MANAGERS[wanted]} is not installed."
    )


def words(text: str, further: Sequence[str]) -> list[str]:
    """A program and its arguments; nothing if there is none."""
    try:
        argv = [*shlex.split(text), *further]
    except ValueError as problem:
        fail(f"The program cannot be split into words: {problem}.")
    if not argv:
        return []
    name = str(Path(argv[0]).expanduser()) if argv[0].startswith("~") else argv[0]
    return [shutil.which(name) or fail(f"There is no program {argv[0]!r}."), *argv[1:]]


def terminal_command() -> list[str] | None:
    if (terminal := first(TERMINALS)) is None:
        return None
    xterm = shutil.which("xterm")
    if xterm and Path(terminal).resolve().name in {"xterm", "uxterm", "lxterm"}:
        # Its own default font is of 1984.
        return [xterm, "-fa", "Monospace", "-fs", "11", "-geometry", "96x28+40+40"]
    return [terminal]


def first(programs: Sequence[str]) -> str | None:
    return next((path for name in programs if (path := shutil.which(name))), None)


def beside_socket(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def say(sentence: str) -> None:
    sys.stderr.write(sentence + "\n")


def tell(status: Mapping[str, object]) -> None:
    """Write the session's status file, if there is one."""
    if path := os.environ.get("SESSION_STATUS_FILE"):
        with suppress(OSError):
            Path(path).write_text(json.dumps(status))


def fail(sentence: str) -> NoReturn:
    tell({"failed": sentence})
    sys.exit(sentence)


def stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise Stopped


if __name__ == "__main__":
    main()
