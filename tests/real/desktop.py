"""The Linux desktop in a page, as its users handle it: by mouse and keyboard."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image
from playwright.sync_api import Frame, Page, expect

from .server import wait


def wait_for_desktop(frame: Page | Frame) -> None:
    """Until the picture of the screen is there."""
    expect(frame.locator("#screen canvas")).to_be_visible(timeout=60_000)
    expect(frame.locator("#status")).to_be_hidden(timeout=60_000)


def picture(frame: Page | Frame) -> Image.Image:
    """The screen of the desktop as it is shown now."""
    shot = frame.locator("#screen canvas").screenshot()
    return Image.open(io.BytesIO(shot)).convert("RGB")


def centre(frame: Page | Frame) -> tuple[float, float]:
    """A place on the page: it is inside the window that a bare desktop begins with."""
    box = frame.locator("#screen canvas").bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def window_is_drawn(frame: Page | Frame) -> bool:
    """Whether there is a white window with a line of dark text on it."""
    shot = picture(frame).convert("L")  # what the screen sends is compressed: not quite white
    counts = shot.crop((50, 62, shot.width // 2, shot.height // 2)).histogram()
    return sum(counts[240:]) > sum(counts) / 2 and sum(counts[:80]) > 20


def type_in_terminal(page: Page, frame: Page | Frame, text: str, proof: Path) -> None:
    """Type a command into the terminal that a bare desktop begins with, until it was run."""
    wait(lambda: window_is_drawn(frame), 30, "a window with a prompt")
    page.mouse.click(*centre(frame))
    page.keyboard.type(text, delay=20)
    page.keyboard.press("Enter")
    wait(proof.exists, 20, "the typed command to be run")
