"""VS Code in a page, as its users handle it: by keyboard."""

from __future__ import annotations

import json
import re
from pathlib import Path

from playwright.sync_api import Frame, Locator, Page, expect

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
    """Run a command of the palette."""
    page.keyboard.press("F1")
    page.keyboard.type(command)
    frame.get_by_role("option", name=re.compile(f"^{command}, ")).first.click()


def open_terminal(page: Page, frame: Page | Frame) -> None:
    run(page, frame, "Terminal: Create New Terminal")
    expect(frame.locator(".terminal-wrapper.active .xterm-rows")).to_contain_text(
        "work", timeout=60_000
    )


def terminal_text(frame: Page | Frame) -> str:
    return frame.locator(".terminal-wrapper.active .xterm-rows").inner_text().replace("\xa0", " ")
