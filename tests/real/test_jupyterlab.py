"""A JupyterLab behind a session's URL, beside the one that it was started from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from ..processes import marked
from .server import Home, JupyterServer, wait


@pytest.fixture(scope="module", params=["/", "/user/ada%40x/"], ids=["root", "escaped"])
def outer(request: pytest.FixtureRequest) -> Iterator[JupyterServer]:
    # Each with a home of its own: JupyterLab keeps its layout there, with the open tabs.
    home = Home()
    made = JupyterServer(home, base_url=request.param)
    yield made
    made.stop()
    home.remove()


def kernels(session_id: str) -> list[int]:
    """The session's processes that are kernels."""
    found = []
    for pid in marked(session_id):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"ipykernel" in command:
            found.append(pid)
    return found


def test_a_notebook_and_a_terminal_run_in_it_and_end_with_it(
    outer: JupyterServer, log_in: Callable[[JupyterServer], Page], results: Path
) -> None:
    folder = outer.home.work / "a b"
    folder.mkdir()
    session = outer.start("jupyterlab", options={"folder": str(folder)})
    below = f"{outer.base_url}sessions/{session['id']}/"
    assert session["url"] == f"{below}lab"
    page = log_in(outer)
    sockets: list[str] = []
    page.on("websocket", lambda opened: sockets.append(opened.url))
    page.goto(outer.origin + session["url"])
    launcher = page.locator(".jp-Launcher")
    expect(launcher).to_be_visible(timeout=60_000)

    launcher.locator("[data-category=Notebook]").first.click()
    # The circle above the notebook is "idle" before there is a kernel, and what is run is lost.
    expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=60_000)
    notebook = page.locator(".jp-NotebookPanel")
    notebook.locator(".cm-content").first.click()
    page.keyboard.type("import os; print(6*7, os.getcwd())")
    page.keyboard.press("Shift+Enter")
    output = notebook.locator(".jp-OutputArea-output").first
    expect(output).to_have_text(f"42 {folder}\n", timeout=30_000)
    page.keyboard.press("Control+s")
    page.get_by_role("button", name="Rename and Save").click()
    file = folder / "Untitled.ipynb"
    wait(lambda: f"42 {folder}" in file.read_text(), 30, "the notebook to be saved")
    page.screenshot(path=results / "jupyterlab.png")

    page.get_by_role("button", name="New Launcher (").click()
    launcher.get_by_text("Terminal", exact=True).click()
    page.locator(".jp-Terminal .xterm-helper-textarea").focus()
    proof = folder / "typed"
    page.keyboard.type(f"touch '{proof}'\n")
    wait(proof.exists, 30, "the typed command to be run")

    of_kernels = [url for url in sockets if "/api/kernels/" in url]
    assert len(of_kernels) == 1
    _status, content = outer.request("GET", f"{below}api/kernels")
    assert [k["id"] in of_kernels[0] for k in json.loads(content)] == [True]
    assert len(kernels(session["id"])) == 1
    assert outer.get("api/kernels") == []

    # Its layout is its own: in a shared one it would close the outer Lab's tabs.
    layouts = outer.home.store / "sessions" / session["id"] / "state" / "workspaces"
    wait(lambda: any(layouts.glob("*")), 20, "the layout to be saved")

    outer.post(f"jupyter-sessions/v1/sessions/{session['id']}/stop")
    wait(lambda: outer.session(session["id"])["state"] == "stopped", 30, "the end")
    assert marked(session["id"]) == []
