"""What a client that may only look may say to a VNC server: `ViewOnly`.

It stands between the two and reads the client's side of the protocol, so that being view-only does
not depend on the client. Formats: RFC 6143 and the extensions in the community's RFB protocol
document, as far as TigerVNC knows them. What is not known ends the connection.
"""

from __future__ import annotations

import struct
from collections.abc import Generator

# What tells the client that it may send what we could not tell the length of, or should not pass.
REFUSED_ENCODINGS = {
    -316,  # extended mouse buttons: longer pointer events
    -1063131698,  # extended clipboard
    -309,  # xvp: shut down, reboot
    -258,  # QEMU's key events
}

NONE = 1
"""The security type without a login, the only one that our server offers."""


class Refused(Exception):
    """The client said what a viewer has no business to say."""


class ViewOnly:
    """Takes the bytes that a client sends, and gives those that the server may see.

    Asking for pictures and saying in which form passes. Keys, pointer, clipboard and sizes of the
    screen do not, and neither does the wish to have the desktop alone.
    """

    def __init__(self) -> None:
        self._given = bytearray()
        self._passed = bytearray()
        self._reader = self._messages()
        self._wanted = next(self._reader)

    def feed(self, data: bytes) -> bytes:
        """What of `data`, and of what was given before, is to be passed on now.

        Raises
        ------
        Refused
            Nothing may pass any more: close the connection.
        """
        self._given += data
        while len(self._given) >= self._wanted:
            taken = bytes(self._given[: self._wanted])
            del self._given[: self._wanted]
            self._wanted = self._reader.send(taken)
        passed = bytes(self._passed)
        self._passed.clear()
        return passed

    def _messages(self) -> Generator[int, bytes, None]:
        """The protocol as a reader: yields how many bytes it needs next, and is sent them."""
        version = yield 12
        if version not in (b"RFB 003.003\n", b"RFB 003.007\n", b"RFB 003.008\n"):
            raise Refused("no version of RFB")
        self._passed += version
        if version != b"RFB 003.003\n":  # there the server chooses, and has one choice
            security = yield 1
            if security[0] != NONE:
                raise Refused("an unknown security type")
            self._passed += security
        yield 1  # ClientInit: whether others may stay
        self._passed += b"\1"
        while True:
            kind = (yield 1)[0]
            if kind == 0:  # SetPixelFormat
                self._passed += b"\0" + (yield 19)
            elif kind == 2:
                head = yield 3
                (count,) = struct.unpack("!xH", head)
                codes = struct.unpack(f"!{count}i", (yield 4 * count) if count else b"")
                kept = [code for code in codes if code not in REFUSED_ENCODINGS]
                self._passed += struct.pack(f"!BxH{len(kept)}i", 2, len(kept), *kept)
            elif kind in (3, 150):  # FramebufferUpdateRequest, EnableContinuousUpdates
                self._passed += bytes([kind]) + (yield 9)
            elif kind == 248:  # ClientFence
                head = yield 8
                self._passed += b"\xf8" + head + ((yield head[7]) if head[7] else b"")
            else:
                yield from self._skip(kind)

    def _skip(self, kind: int) -> Generator[int, bytes, None]:
        """Read one message that is not passed on."""
        if kind == 4:  # KeyEvent
            yield 7
        elif kind == 5:  # PointerEvent
            yield 5
        elif kind == 6:  # ClientCutText; a negative length is that of the extended clipboard
            (length,) = struct.unpack("!3xi", (yield 7))
            length = abs(length)
            while length:
                part = min(length, 65536)
                yield part
                length -= part
        elif kind == 250:  # xvp
            yield 3
        elif kind == 251:  # SetDesktopSize
            head = yield 7
            if head[5]:
                yield 16 * head[5]
        elif kind == 255:  # QEMU: keys; sound, which is a viewer's, but nobody's here
            (kind_of_qemu, operation) = struct.unpack("!BH", (yield 3))
            yield from self._skip_qemu(kind_of_qemu, operation)
        else:
            raise Refused(f"an unknown message, {kind}")

    def _skip_qemu(self, kind: int, operation: int) -> Generator[int, bytes, None]:
        if kind == 0:
            yield 8
        elif (kind, operation) == (1, 2):
            yield 6
        elif kind != 1 or operation > 2:
            raise Refused("an unknown message of QEMU's")
