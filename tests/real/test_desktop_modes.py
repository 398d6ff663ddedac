"""The desktop's modes behind a session's URL: one program, view-only, clipboards, its end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from websockets.sync.client import ClientConnection, connect

from ..processes import marked
from . import desktop
from .server import TOKEN, Home, JupyterServer, wait

BASE = "/user/x/"


@pytest.fixture(scope="module")
def server(home: Home) -> Iterator[JupyterServer]:
    made = JupyterServer(home, base_url=BASE)
    yield made
    made.stop()


def traces(server: JupyterServer, session: Any) -> list[Path]:
    """The X server's files in /tmp."""
    match = re.search(r"on display :(\d+)", server.home.cli("logs", session["id"]))
    assert match is not None
    found = [Path(f"/tmp/.X11-unix/X{match[1]}"), Path(f"/tmp/.X{match[1]}-lock")]
    return [path for path in found if path.exists()]


def ended(server: JupyterServer, session: Any) -> Any:
    wait(lambda: server.session(session["id"])["state"] in ("stopped", "failed"), 40, "the end")
    assert marked(session["id"]) == []
    return server.session(session["id"])


def stop(server: JupyterServer, session: Any) -> None:
    """Stop a desktop; nothing of it is left."""
    left = traces(server, session)
    assert left
    server.post(f"jupyter-sessions/v1/sessions/{session['id']}/stop")
    ended(server, session)
    assert [path for path in left if path.exists()] == []
    assert not (server.home.path / ".vnc").exists()


# View only ---------------------------------------------------------------------------------------


class Viewer:
    """A VNC client of our own, which sends what it likes."""

    def __init__(self, server: JupyterServer, path: str) -> None:
        url = f"ws://127.0.0.1:{server.port}{path}"
        headers = {"Authorization": f"token {TOKEN}"}
        self._open = ExitStack()
        self.socket: ClientConnection = self._open.enter_context(
            connect(url, additional_headers=headers, max_size=None, compression=None)
        )
        self._given = b""
        self._read(12)
        self.socket.send(b"RFB 003.008\n")
        (count,) = self._read(1)
        assert self._read(count) == b"\1"
        self.socket.send(b"\1")
        assert self._read(4) == bytes(4)
        self.socket.send(b"\1")
        (length,) = struct.unpack("!20xI", self._read(24))
        self._read(length)  # the desktop's name

    def _read(self, count: int) -> bytes:
        while len(self._given) < count:
            data = self.socket.recv(30)
            assert isinstance(data, bytes)
            self._given += data
        taken, self._given = self._given[:count], self._given[count:]
        return taken

    def type_there(self, x: int, y: int, text: str) -> None:
        """Click at a place and type."""
        for buttons in (0, 1, 0):
            self.socket.send(struct.pack("!BBHH", 5, buttons, x, y))
        for sign in text:
            code = 0xFF0D if sign == "\n" else ord(sign)
            for down in (1, 0):
                self.socket.send(struct.pack("!BBxxI", 4, down, code))

    def close(self) -> None:
        self._open.close()

    def look(self) -> None:
        """Ask for a picture and get it: what was sent before has been read by then."""
        self.socket.send(struct.pack("!BxH2i", 2, 2, 0, -223))
        self.socket.send(struct.pack("!BBHHHH", 3, 0, 0, 0, 8, 8))
        while (kind := self._read(1)[0]) == 3:  # what was copied there
            (length,) = struct.unpack("!3xI", self._read(7))
            self._read(length)
        assert kind == 0


def test_a_viewer_sees_the_desktop_and_nothing_that_it_sends_arrives(
    server: JupyterServer,
    log_in: Callable[[JupyterServer], Page],
    context: BrowserContext,
    results: Path,
) -> None:
    session = server.start("desktop", options={"window_manager": "jwm"})
    assert wait(lambda: server.session(session["id"])["links"], 20, "the link") == [
        {"title": "View only", "url": f"{session['url']}view/"}
    ]
    work = server.home.work
    page = log_in(server)
    page.goto(server.origin + session["url"])
    desktop.wait_for_desktop(page)
    wait(lambda: desktop.window_is_drawn(page), 30, "a window with a prompt")

    viewing = context.new_page()
    viewing.goto(f"{server.origin}{session['url']}view/")
    desktop.wait_for_desktop(viewing)
    wait(lambda: desktop.window_is_drawn(viewing), 30, "the same window")
    expect(viewing.get_by_text("View only", exact=True)).to_be_visible()
    viewing.locator("#tools summary").click()
    expect(viewing.locator("#clipboard")).to_be_hidden()
    viewing.screenshot(path=results / "desktop-view-only.png")

    # The page sends nothing; a client that does is not heard. The third one shows that it would
    # have been, on the other path.
    for path, name in (("view/websockify", "seen"), ("websockify", "typed")):
        viewer = Viewer(server, session["url"] + path)
        viewer.type_there(300, 300, f"touch {work}/{name}\n")
        viewer.look()  # which it may
        if name == "typed":
            wait((work / name).exists, 20, "the typed command to be run")
        viewer.close()
    assert not (work / "seen").exists()

    # Whatever else is asked for as a path only looks, too.
    sly = Viewer(server, session["url"] + "websockify/")
    sly.type_there(300, 300, f"touch {work}/sly\n")
    sly.look()
    sly.close()
    desktop.type_in_terminal(page, page, f"touch {work}/last", work / "last")
    assert not (work / "sly").exists()
    stop(server, session)


# One program -------------------------------------------------------------------------------------


@pytest.mark.parametrize("manager", ["openbox", "jwm"])
def test_one_program_fills_the_screen_and_the_session_ends_with_it(
    server: JupyterServer,
    log_in: Callable[[JupyterServer], Page],
    results: Path,
    tmp_path: Path,
    manager: str,
) -> None:
    trap, proof = tmp_path / "trap", tmp_path / "proof"
    options = {
        "window_manager": manager,
        "program": "xterm -b 0 -bg white -fg black -fa Monospace -e sh -c",
        # $1 is given as it stands, and the exit code becomes the session's
        "arguments": [f'echo "$1" > {proof}; read line; exit 5', "x", f"$(touch {trap}) 'a  b'"],
        "quality": "high",
        "geometry": "900x700",
        "resize": False,
    }
    session = server.start("desktop", options=options)
    wait(lambda: proof.exists() and proof.read_text(), 30, "the program to run")
    assert proof.read_text() == f"$(touch {trap}) 'a  b'\n"
    assert not trap.exists()
    page = log_in(server)
    page.goto(server.origin + session["url"])
    desktop.wait_for_desktop(page)

    def filled() -> bool:
        shot = desktop.picture(page).convert("L")
        corners = [(4, 60), (shot.width - 24, 4), (4, shot.height - 40)]
        return all(shot.getpixel(place) > 230 for place in corners)  # type: ignore[operator]

    wait(filled, 30, "the window to fill the screen")
    canvas = page.locator("#screen canvas")
    assert (canvas.get_attribute("width"), canvas.get_attribute("height")) == ("900", "700")
    page.screenshot(path=results / f"desktop-{manager}.png")
    left = traces(server, session)
    page.mouse.click(*desktop.centre(page))
    page.keyboard.press("Enter")
    ended(server, session)
    assert [path for path in left if path.exists()] == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"program": "no-such-program"}, "There is no program 'no-such-program'."),
        ({"program": "xterm 'open"}, "The program cannot be split into words: No closing"),
    ],
)
def test_a_program_that_cannot_be_started_is_named(
    server: JupyterServer, options: dict[str, str], says: str
) -> None:
    made = server.post("jupyter-sessions/v1/sessions", {"app": "desktop", "options": options})
    wait(lambda: server.session(made["id"])["state"] == "failed", 30, "the failure")
    assert server.session(made["id"])["message"].startswith(says)


# Clipboards, and what is left --------------------------------------------------------------------


def test_what_is_copied_on_one_side_is_there_on_the_other(
    server: JupyterServer, log_in: Callable[[JupyterServer], Page]
) -> None:
    session = server.start("desktop", options={"window_manager": "openbox"})
    work = server.home.work
    page = log_in(server)
    page.goto(server.origin + session["url"])
    desktop.wait_for_desktop(page)
    text = f"yes COPIED | head -500; touch {work}/full"
    desktop.type_in_terminal(page, page, text, work / "full")
    box = page.locator("#screen canvas").bounding_box()
    assert box is not None

    def copied() -> bool:
        page.mouse.dblclick(box["x"] + 60, box["y"] + 200)  # on the word, once it is drawn
        page.wait_for_timeout(1000)  # a third click at once would take the whole line
        return page.locator("#clipboard").input_value() == "COPIED"

    wait(copied, 30, "the word in the panel")

    page.locator("#tools summary").click()
    page.locator("#clipboard").fill(f"touch '{work}/from outside é'")
    page.locator("#tools summary").click()
    page.mouse.click(box["x"] + 300, box["y"] + 200, button="middle")

    def ran() -> bool:
        page.keyboard.press("Enter")  # after the text, which comes when it is asked for
        return (work / "from outside é").exists()

    wait(ran, 20, "the pasted command to be run")
    stop(server, session)


@pytest.mark.parametrize("killed", [[b"tigervnc"], [b"desktop.py", b"tigervnc"]])
def test_what_was_killed_leaves_no_traces(server: JupyterServer, killed: list[bytes]) -> None:
    session = server.start("desktop", options={"window_manager": "openbox"})
    left = traces(server, session)
    assert left
    commands = {}
    for pid in marked(session["id"]):
        with contextlib.suppress(OSError):  # what helped it to start has ended
            commands[pid] = b" ".join(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:2])
    found = [[pid for pid, command in commands.items() if name in command] for name in killed]
    assert [len(pids) for pids in found] == [1] * len(killed)
    for (pid,) in found:
        with contextlib.suppress(ProcessLookupError):  # its supervisor was quicker
            os.kill(pid, signal.SIGKILL)
    ended(server, session)
    assert [path for path in left if path.exists()] == []
