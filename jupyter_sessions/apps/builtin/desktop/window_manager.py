"""Whether a window manager runs: asked of the X server, in its own protocol.

A window that is opened a moment before the window manager is there is not drawn for seconds: its
toolkit waits for an answer that nobody gives. Standard library only, and little is needed: the
EWMH property ``_NET_SUPPORTING_WM_CHECK`` of the root window, which every window manager sets when
it is ready. Formats: X Window System Protocol, appendix B.
"""

from __future__ import annotations

import socket
import struct
import time

from display import COOKIE  # type: ignore[import-not-found]  # beside this script

INTERN_ATOM, GET_PROPERTY = 16, 20


def wait(display: str, cookie: bytes, seconds: float) -> bool:
    """Wait until a window manager runs; False if there is none within `seconds`.

    Parameters
    ----------
    display
        The display's name, ``:1``.
    cookie
        The 16 bytes that let us in.
    """
    deadline = time.monotonic() + seconds
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.settimeout(seconds)
            server.connect(f"/tmp/.X11-unix/X{display.lstrip(':')}")  # noqa: S108
            root = _enter(server, cookie)
            while not _runs(server, root):
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.02)
    except (OSError, EOFError):
        return False
    return True


def _runs(server: socket.socket, root: int) -> bool:
    name = b"_NET_SUPPORTING_WM_CHECK"
    size = 2 + len(name) // 4
    server.sendall(struct.pack("<BBHHH", INTERN_ATOM, 0, size, len(name), 0) + name)
    (atom,) = struct.unpack_from("<I", _read(server, 32), 8)
    server.sendall(struct.pack("<BBHIIIII", GET_PROPERTY, 0, 6, root, atom, 0, 0, 1))
    reply = _read(server, 32)
    (more,) = struct.unpack_from("<I", reply, 4)
    _read(server, 4 * more)
    (values,) = struct.unpack_from("<I", reply, 16)
    return bool(values)


def _enter(server: socket.socket, cookie: bytes) -> int:
    """Open the connection; the root window's id."""
    head = struct.pack("<BxHHHHxx", ord("l"), 11, 0, len(COOKIE), len(cookie))
    server.sendall(head + COOKIE + b"\0" * (-len(COOKIE) % 4) + cookie)
    status, _, _, size = struct.unpack("<BxHHH", _read(server, 8))
    setup = _read(server, 4 * size)
    if status != 1:
        raise OSError("the X server refuses the cookie")
    vendor, formats = struct.unpack_from("<H", setup, 16)[0], setup[21]
    root: int = struct.unpack_from("<I", setup, 32 + vendor + -vendor % 4 + 8 * formats)[0]
    return root


def _read(server: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size:
        if not (chunk := server.recv(size - len(content))):
            raise EOFError
        content += chunk
    return content
