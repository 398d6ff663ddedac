"""A folder as web pages behind a session's URL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Dialog, Page, expect

from .server import JupyterServer

NAMES = [
    "two  spaces.txt",
    "#1 100%25 a?b&c=d;e.txt",
    "<script>document.title = 'broken'<script>.txt",
    "<img src=x onerror=alert(1)>.txt",
    "ünï 日本 'one' \"two\".txt",
    "javascript:alert(1)",
]


def test_whatever_its_name_a_file_opens_and_downloads(
    server: JupyterServer, log_in: Callable[[JupyterServer], Page], results: Path
) -> None:
    folder = server.home.work / "<b>#1 50% ünï"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_text(f"the text of {name}")
    page = log_in(server)
    dialogs: list[Dialog] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog))
    session = server.start("files")
    page.goto(server.origin + session["url"])
    page.get_by_role("link", name=folder.name).click()
    expect(page.get_by_role("heading")).to_have_text(f"work/{folder.name}")
    expect(page).to_have_title(folder.name)
    page.screenshot(path=results / "files.png")
    listing = page.url

    for name in NAMES:
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.locator("pre")).to_have_text(f"the text of {name}")
        assert page.url.startswith(listing)
        page.go_back()
        with page.expect_download() as download:
            page.get_by_role("link", name=f"Download {name}", exact=True).click()
        assert Path(download.value.path()).read_text() == f"the text of {name}"
    expect(page).to_have_title(folder.name)
    assert dialogs == []

    server.post(f"jupyter-sessions/v1/sessions/{session['id']}/stop")
