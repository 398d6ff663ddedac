"""One program behind Xpra's HTML5 client, on one Unix socket. Standard library only.

X server, session bus and Xpra are started here, each in the foreground, so that their sockets are
where we say, nothing of the machine's or the user's configuration opens a port, and the X server's
traces in /tmp are gone at the end whichever way that came. The session ends with the program.
"""

from __future__ import annotations

import argparse
import os
import secrets
import select
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn
from urllib.parse import quote

X_TIMEOUT = 30
"""Seconds for the X server to name its display."""

TERM_TIMEOUT = 3
"""Seconds that each process gets to end before it is killed."""

QUALITY = {
    "auto": [],
    "low": ["--quality=30", "--min-quality=10"],
    "high": ["--quality=95", "--min-quality=80"],
    "lossless": ["--quality=100", "--min-quality=100"],
}

LARGEST_SCREEN = "5760x2560x24+32"
"""Of all clients together; a window can be anywhere on it."""


class Stopped(BaseException):
    """TERM or INT arrived."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Run one program in Xpra on a Unix socket.")
    parser.add_argument("--socket", required=True, type=Path)
    parser.add_argument("--directory", required=True, type=Path, help="private, for our files")
    parser.add_argument("--program", required=True, help="with its arguments; split into words")
    parser.add_argument("--dpi", type=int, default=96)
    parser.add_argument("--quality", choices=list(QUALITY), default="auto")
    parser.add_argument(
        "--clipboard", choices=["both", "to-server", "to-client", "off"], default="both"
    )
    given = parser.parse_args()
    argv = words(given.program)
    for needed in ("xpra", "Xvfb"):
        if shutil.which(needed) is None:
            sys.exit(f"{needed} is not installed.")

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    session = Session(given)
    try:
        code = session.run(argv)
    except Stopped:
        code = 0
    finally:
        # A second TERM must not cut the cleaning short; the runner's KILL will, if need be.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        session.end()
    sys.exit(code)


class Session:
    """The processes of one session, and what they leave behind."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._given = given
        self._directory: Path = given.directory / "xpra"
        self._directory.mkdir(mode=0o700, exist_ok=True)
        self._bus = given.socket.with_name(given.socket.name + ".bus")
        self._processes: list[subprocess.Popen[bytes]] = []
        self._display = ""
        strange = {"DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "SESSION_MANAGER", "WAYLAND_DISPLAY"}
        self._env = {name: value for name, value in os.environ.items() if name not in strange}
        nothing = self._directory / "conf"
        nothing.mkdir(exist_ok=True)
        self._env |= {
            "XAUTHORITY": str(self._directory / "Xauthority"),
            # Neither Debian's configuration, which runs Xsession, nor a user's, which may open
            # ports: all that counts stands in the command.
            "XPRA_SYSTEM_CONF_DIRS": str(nothing),
            "XPRA_USER_CONF_DIRS": str(nothing),
        }

    def run(self, argv: list[str]) -> int:
        """Start everything and wait for Xpra's end, which the program's end brings about."""
        self._start_x()
        self._start_bus()
        given = self._given
        given.socket.unlink(missing_ok=True)
        xpra = self._start(
            [
                *("xpra", "start", self._display, "--use-display=yes", "--daemon=no"),
                f"--bind={given.socket}",
                *("--socket-permissions=600", f"--socket-dir={self._directory}"),
                f"--socket-dirs={self._directory}",
                *(
                    "--html=on",
                    "--mdns=no",
                    "--fake-xinerama=",  # Xpra 3 takes "no" for yes, and leaves files in the home
                    "--ssh-upgrade=no",
                    "--rfb-upgrade=0",
                ),
                *("--systemd-run=no", "--dbus-launch=", "--dbus-proxy=no", "--dbus-control=no"),
                *("--pulseaudio=no", "--speaker=off", "--microphone=off", "--webcam=no"),
                *("--printing=no", "--file-transfer=no", "--open-files=no", "--open-url=no"),
                *("--notifications=no", "--mmap=no", "--sharing=yes", "--lock=no"),
                "--start-new-commands=no",  # or a page could run anything
                f"--dpi={given.dpi}",
                f"--clipboard={'no' if given.clipboard == 'off' else 'yes'}",
                f"--clipboard-direction={given.clipboard.replace('off', 'disabled')}",
                *QUALITY[given.quality],
                *("--exit-with-children=yes", "--terminate-children=yes"),
                f"--start-child={shlex.join(argv)}",  # which Xpra splits again
            ]
        )
        return xpra.wait()

    def _start_x(self) -> None:
        cookie = Path(self._env["XAUTHORITY"])
        write_cookie(cookie)
        readable, writable = os.pipe()
        with os.fdopen(readable, "rb", buffering=0) as pipe:
            server = self._start(
                [
                    *("Xvfb", "-displayfd", str(writable), "-auth", str(cookie)),
                    *("-screen", "0", LARGEST_SCREEN, "-dpi", str(self._given.dpi)),
                    *("+extension", "Composite", "-nolisten", "tcp", "-noreset"),
                ],
                pass_fds=(writable,),
            )
            os.close(writable)
            number = b""
            deadline = time.monotonic() + X_TIMEOUT
            while not number.endswith(b"\n"):
                left = deadline - time.monotonic()
                if left <= 0 or not select.select([pipe], [], [], left)[0]:
                    sys.exit(f"The X server did not start within {X_TIMEOUT} s.")
                if not (chunk := pipe.read(16)):
                    sys.exit(f"The X server ended with exit code {server.wait()}.")
                number += chunk
        self._display = f":{number.decode().strip()}"
        self._env["DISPLAY"] = self._display
        sys.stderr.write(f"The X server runs on display {self._display}.\n")

    def _start_bus(self) -> None:
        """Start a session bus, if there is one to start; on a socket of ours, not in /tmp."""
        if (program := shutil.which("dbus-daemon")) is None:
            return
        self._bus.unlink(missing_ok=True)
        address = "unix:path=" + quote(str(self._bus)).replace("~", "%7e")
        self._start([program, "--session", "--nofork", "--nopidfile", f"--address={address}"])
        deadline = time.monotonic() + 5
        while not self._bus.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        if self._bus.exists():
            self._env["DBUS_SESSION_BUS_ADDRESS"] = address

    def _start(self, argv: list[str], pass_fds: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(argv, env=self._env, stdin=subprocess.DEVNULL, pass_fds=pass_fds)
        self._processes.append(process)
        return process

    def end(self) -> None:
        """End all processes, the newest first, and remove what they left."""
        for process in reversed(self._processes):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(TERM_TIMEOUT)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        for path in (self._bus, self._given.socket):
            path.unlink(missing_ok=True)
        if self._display:
            remove_display(self._display.lstrip(":"))


def write_cookie(path: Path) -> None:
    """Write an X authority file with a fresh cookie, for any display: ours is not known yet."""
    any_family, cookie = 0xFFFF, secrets.token_bytes(16)
    fields = (b"", b"", b"MIT-MAGIC-COOKIE-1", cookie)
    entry = struct.pack(">H", any_family) + b"".join(
        struct.pack(">H", len(value)) + value for value in fields
    )
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(entry)


def remove_display(number: str) -> None:
    """Remove the socket and the lock of an X server that has ended.

    Not those of another one that took the number meanwhile: its socket accepts connections, and
    the process that its lock names lives.
    """
    place = Path(f"/tmp/.X11-unix/X{number}")  # noqa: S108
    with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(place))
        except ConnectionRefusedError:
            place.unlink()
    lock = Path(f"/tmp/.X{number}-lock")  # noqa: S108
    with suppress(OSError, ValueError):
        pid = int(lock.read_text())
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            lock.unlink()


def words(text: str) -> list[str]:
    """`text` as a program and its arguments."""
    try:
        argv = shlex.split(text)
    except ValueError as problem:
        sys.exit(f"The program cannot be split into words: {problem}.")
    if not argv:
        sys.exit("No program is named.")
    name = argv[0]
    found = shutil.which(str(Path(name).expanduser()) if name.startswith("~") else name)
    if found is None:
        sys.exit(f"There is no program {name!r}.")
    return [found, *argv[1:]]


def stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise Stopped


if __name__ == "__main__":
    main()
