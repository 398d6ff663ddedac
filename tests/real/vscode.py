"""VS Code in a page, as its users handle it: by keyboard."""

from __future__ import annotations

import json
import re
from pathlib import Path

from playwright.sync_api import Frame, Locator, Page, expect

from .server import wait

SETTINGS = {
    "chat.disableAIFeatures": True,
    "files.autoSave": "off",
    "remote.autoForwardPorts": False,
    "security.workspace.trust.enabled": False,
    # Text that a test can read, in place of pixels.
    "terminal.integrated.gpuAcceleration": "off",
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "workbench.startupEditor": "none",
}


def configure(home: Path) -> None:
    """Settings of the user whose home this is."""
    path = home / ".local/share/code-server/User/settings.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(SETTINGS))


def editor(frame: Page | Frame) -> Locator:
    """The text of the open file."""
    return frame.locator(".editor-instance .view-lines")


def wait_for_workbench(frame: Page | Frame) -> None:
    expect(frame.locator(".monaco-workbench")).to_be_visible(timeout=60_000)
    expect(frame.locator(".explorer-folders-view")).to_be_visible(timeout=60_000)


def open_file(page: Page, frame: Page | Frame, name: str) -> None:
    """Open `name` from the tree, and put the cursor into it."""
    frame.get_by_role("treeitem", name=name).dblclick()
    expect(editor(frame)).to_be_visible()
    editor(frame).click()


def run(page: Page, frame: Page | Frame, command: str) -> None:
    """Run a command of the palette, once VS Code has it: its parts come one after the other."""
    option = frame.get_by_role("option", name=re.compile(f"^{command}, ")).first

    def is_offered() -> bool:
        # The palette lists what there is when it opens, and no more.
        page.keyboard.press("F1")
        try:
            expect(frame.locator(".quick-input-widget input").first).to_be_focused(timeout=5000)
            page.keyboard.type(command)
            expect(frame.get_by_role("option").first).to_be_visible(timeout=5000)
        except AssertionError:
            return False  # it does not listen to the keyboard yet
        if option.is_visible():
            return True
        page.keyboard.press("Escape")
        return False

    wait(is_offered, 60, f"VS Code to have the command {command!r}")
    option.click()


def backups(home: Path) -> str:
    """What VS Code keeps of files that are not saved: it writes that a while after the typing."""
    folder = home / ".local/share/code-server/User/Backups"
    return "".join(path.read_text() for path in folder.rglob("*") if path.is_file())


def open_terminal(page: Page, frame: Page | Frame) -> None:
    run(page, frame, "Terminal: Create New Terminal")
    expect(frame.locator(".terminal-wrapper.active .xterm-rows")).to_contain_text(
        "work", timeout=60_000
    )


def terminal_text(frame: Page | Frame) -> str:
    return frame.locator(".terminal-wrapper.active .xterm-rows").inner_text().replace("\xa0", " ")
