"""A Linux desktop behind one Unix socket: X server, session bus, window manager, web page.

Standard library only, apart from the `websockify` program. There is no TCP port anywhere: the X
server speaks VNC on a Unix socket beside ours, and websockify joins the two. X's own sockets have
fixed places that other users can reach; a cookie made for this start keeps them out.

It ends when the X server, the window manager or websockify ends, with the exit code of the first
of them; on TERM it takes them all down.
"""

from __future__ import annotations

import argparse
import os
import secrets
import select
import shutil
import signal
import socket
import struct
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

import window_manager  # type: ignore[import-not-found]  # beside this script

PAGE = Path(__file__).parent / "page"

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

# websockify relies on fork, which newer Pythons do not use by default.
WEBSOCKIFY = """
import multiprocessing
multiprocessing.set_start_method("fork")
from websockify.websocketproxy import websockify_init
websockify_init()
"""


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
    parser.add_argument("--window-manager", choices=["auto", *WINDOW_MANAGERS], default="auto")
    given = parser.parse_args()

    x_server = first(X_SERVERS) or fail("Xtigervnc is not installed.")
    novnc = find_novnc() or fail("noVNC is not installed, or not where $NOVNC_HOME says.")
    manager, manager_path = find_window_manager(given.window_manager)

    desktop = Desktop(environment(given.directory))
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        code = run(desktop, given, x_server, novnc, manager, manager_path)
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
) -> int:
    """Start everything and wait for an end; the exit code."""
    # Sockets stand beside ours: that place is private, and its path is short enough for one.
    vnc = beside_socket(given.socket, ".vnc")
    web = make_web_folder(given.directory, novnc)
    cookie = make_cookie(Path(desktop.env["XAUTHORITY"]))

    display = start_x(desktop, x_server, vnc, given.geometry)
    desktop.env["DISPLAY"] = display
    say(f"The X server runs on display {display}.")

    start_bus(desktop, beside_socket(given.socket, ".bus"))
    if tint := shutil.which("xsetroot"):
        desktop.start("background", [tint, "-solid", "#33475b"])
    desktop.start("window manager", [manager_path])
    say(f"The window manager is {manager}.")
    if manager in BARE and (terminal := terminal_command()):
        window_manager.wait(display, cookie, WINDOW_MANAGER_WAIT)
        desktop.start("terminal", terminal)

    log = given.directory / "websockify.log"
    desktop.start(
        "websockify",
        [
            *(sys.executable, "-c", WEBSOCKIFY),
            f"--unix-listen={given.socket}",
            "--unix-listen-mode=0600",
            f"--unix-target={vnc}",
            f"--web={web}",
            "--file-only",
            "--heartbeat=30",  # proxies on the way close what is silent
            f"--log-file={log}",  # a line per request, which nobody wants in the session's log
        ],
    )
    name, code = desktop.wait({"X server", "window manager", "websockify"})
    if name == "websockify":
        code = code or 1  # it never ends of its own will, and calls every end a success
        with suppress(OSError):
            say("\n".join(log.read_text(errors="replace").splitlines()[-10:]))
    say(f"The {name} ended with exit code {code}.")
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


def make_cookie(path: Path) -> bytes:
    """Write an X authority file with a fresh cookie, for any display: ours is not known yet."""
    any_family, cookie = 0xFFFF, secrets.token_bytes(16)
    fields = (b"", b"", window_manager.COOKIE, cookie)
    entry = struct.pack(">H", any_family) + b"".join(
        struct.pack(">H", len(value)) + value for value in fields
    )
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(entry)
    return cookie


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
    shutil.copytree(PAGE, web)
    for part in ("core", "vendor"):
        if (novnc / part).is_dir():
            (web / "novnc").mkdir(exist_ok=True)
            (web / "novnc" / part).symlink_to((novnc / part).resolve())
    return web


def find_novnc() -> Path | None:
    for place in NOVNC_PLACES:
        path = Path(os.path.expandvars(place)).expanduser()
        if (path / "core" / "rfb.js").is_file():
            return path
    return None


def find_window_manager(wanted: str) -> tuple[str, str]:
    """The name and the program of the window manager to use."""
    for name, program in WINDOW_MANAGERS.items():
        if wanted in {"auto", name} and (path := shutil.which(program)):
            return name, path
    return fail(
        "No desktop environment and no window manager is installed."
        if wanted == "auto"
        else f"{WINDOW_MANAGERS[wanted]} is not installed."
    )


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


def fail(sentence: str) -> NoReturn:
    sys.exit(sentence)


def stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise Stopped


if __name__ == "__main__":
    main()
