"""The desktop's filter for viewers: what a client says reaches the VNC server, or does not."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from itertools import pairwise
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_sessions.apps.folders import BUILTIN


@pytest.fixture(scope="module")
def module() -> Iterator[ModuleType]:
    """The script beside the app, as it finds itself."""
    folder = str(BUILTIN / "desktop")
    sys.path.insert(0, folder)
    try:
        import view_only  # type: ignore[import-not-found]

        yield view_only
    finally:
        sys.path.remove(folder)


HELLO = b"RFB 003.008\n\x01\x01"
KEY = struct.pack("!BBxxI", 4, 1, ord("x"))
POINTER = struct.pack("!BBHH", 5, 1, 10, 20)
TEXT = struct.pack("!B3xI", 6, 5) + b"\x04\x05\x00\x03\x06"
EXTENDED_TEXT = struct.pack("!B3xi", 6, -8) + b"\x00\x00\x00\x01abcd"
SIZE = struct.pack("!BxHHBx", 251, 800, 600, 1) + bytes(16)
QEMU_KEY = struct.pack("!BBHII", 255, 0, 1, 0x61, 0x1E)
AUDIO_ON = struct.pack("!BBH", 255, 1, 0)
AUDIO_FORMAT = struct.pack("!BBHBBI", 255, 1, 2, 0, 2, 44100)
XVP = struct.pack("!BxBB", 250, 1, 2)
DROPPED = [
    KEY,
    POINTER,
    TEXT,
    EXTENDED_TEXT,
    SIZE,
    QEMU_KEY,
    AUDIO_ON,
    AUDIO_FORMAT,
    XVP,
]
FORMAT = b"\0" + bytes(19)
ASK = struct.pack("!BBHHHH", 3, 1, 0, 0, 640, 480)
STREAM = struct.pack("!BBHHHH", 150, 1, 0, 0, 640, 480)
FENCE = struct.pack("!B3xIB", 248, 1, 3) + b"\x04\x05\x06"
PLAIN_ENCODINGS = struct.pack("!BxH3i", 2, 3, 7, 0, -223)
PASSED = [FORMAT, ASK, STREAM, FENCE, PLAIN_ENCODINGS]


@pytest.mark.parametrize("message", PASSED)
def test_what_asks_for_pictures_passes(module: ModuleType, message: bytes) -> None:
    assert module.ViewOnly().feed(HELLO + message) == HELLO + message


@pytest.mark.parametrize("message", DROPPED)
def test_input_does_not_pass_and_what_follows_does(module: ModuleType, message: bytes) -> None:
    assert module.ViewOnly().feed(HELLO + message + ASK + message + ASK) == HELLO + ASK + ASK


def test_a_viewer_cannot_have_the_desktop_alone(module: ModuleType) -> None:
    assert module.ViewOnly().feed(b"RFB 003.008\n\x01\x00") == HELLO
    assert module.ViewOnly().feed(b"RFB 003.003\n\x00") == b"RFB 003.003\n\x01"


def test_extensions_that_carry_input_are_not_asked_for(module: ModuleType) -> None:
    asked = [7, -316, -1063131698, -309, -258, -313]
    message = struct.pack("!BxH6i", 2, 6, *asked)
    passed = module.ViewOnly().feed(HELLO + message)[len(HELLO) :]
    assert passed == struct.pack("!BxH2i", 2, 2, 7, -313)


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1",
        b"RFB 004.000\n",
        b"RFB 003.008\n\x02",  # VNC's own login
        b"RFB 003.008\n\x00",
        HELLO + b"\x01",  # no message has this number
        HELLO + b"\xfd\x01\x00\x00",  # pointers with pressure
        HELLO + b"\xff\x07\x00\x00",
        HELLO + b"\xff\x01\x00\x03",
    ],
)
def test_what_is_not_known_ends_it(module: ModuleType, said: bytes) -> None:
    with pytest.raises(module.Refused):
        module.ViewOnly().feed(said)


@given(
    st.lists(st.sampled_from([*PASSED, *DROPPED]), max_size=30),
    st.lists(st.integers(0, 2000), max_size=40),
)
def test_however_it_is_cut_the_same_passes(
    module: ModuleType, messages: list[bytes], cuts: list[int]
) -> None:
    said = HELLO + b"".join(messages)
    places = sorted({0, len(said), *(cut for cut in cuts if cut < len(said))})
    viewer = module.ViewOnly()
    passed = b"".join(viewer.feed(said[a:b]) for a, b in pairwise(places))
    assert passed == HELLO + b"".join(m for m in messages if m in PASSED)


def test_a_large_text_is_not_kept(module: ModuleType) -> None:
    viewer = module.ViewOnly()
    viewer.feed(HELLO + struct.pack("!B3xI", 6, 50_000_000))
    for _ in range(500):
        assert viewer.feed(bytes(100_000)) == b""
        assert len(viewer._given) < 70_000
    assert viewer.feed(ASK) == ASK
