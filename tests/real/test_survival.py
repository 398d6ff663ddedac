"""Kill the Jupyter server with three sessions running; kill one app meanwhile; start it again."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable

from playwright.sync_api import BrowserContext, Page, expect

from ..processes import marked
from . import desktop, vscode
from .server import TOKEN, Home, JupyterServer, wait


def app_pid(home: Home, session_id: str) -> int:
    path = home.store / "sessions" / session_id / "1" / "connection.json"
    return int(json.loads(path.read_text())["pid"])


def test_two_of_three_are_as_they_were_and_one_has_ended(
    home: Home, log_in: Callable[[JupyterServer], Page], context: BrowserContext
) -> None:
    vscode.configure(home.path)
    (home.work / "note.txt").write_text("saved\n")
    first = JupyterServer(home)
    editor, screen, files = (first.start(a) for a in ("code-server", "desktop", "files"))
    code = log_in(first)
    code.goto(first.origin + editor["url"])
    vscode.wait_for_workbench(code)
    vscode.open_file(code, code, "note.txt")
    code.keyboard.press("Control+Home")
    code.keyboard.type("not saved ")
    expect(vscode.editor(code)).to_contain_text("not")
    window = context.new_page()
    window.goto(first.origin + screen["url"])
    desktop.wait_for_desktop(window)
    proof = home.work / "alive"
    # A variable of the shell in the window: gone if the window were a new one.
    desktop.type_in_terminal(window, window, f"kept=yes; touch {proof}", proof)
    before = {s["id"]: marked(s["id"]) for s in (editor, screen)}
    wait(lambda: "not saved saved" in vscode.backups(home.path), 30, "VS Code's backup")

    first.kill()
    os.kill(app_pid(home, files["id"]), signal.SIGKILL)
    second = JupyterServer(home, port=first.port)
    try:
        assert {s["id"] for s in second.get("jupyter-sessions/v1/sessions")["sessions"]} == {
            s["id"] for s in (editor, screen, files)
        }
        ended = wait(
            lambda: (s := second.session(files["id"]))["state"] == "failed" and s, 60, "the end"
        )
        assert ended["attempt"] == 1
        assert ended["ended"]
        assert "signal 9" in ended["message"].lower() or "SIGKILL" in ended["message"]

        code.goto(f"{second.origin}/?token={TOKEN}", wait_until="commit")
        code.goto(second.origin + editor["url"])
        vscode.wait_for_workbench(code)
        expect(vscode.editor(code)).to_contain_text("not\xa0saved\xa0saved", timeout=30_000)
        assert (home.work / "note.txt").read_text() == "saved\n"

        window.goto(second.origin + screen["url"])
        desktop.wait_for_desktop(window)
        proof = home.work / "still-yes"
        desktop.type_in_terminal(window, window, f"touch {home.work}/still-$kept", proof)

        for session_id, pids in before.items():
            runner_and_app = [p for p in pids if p in marked(session_id)]
            assert runner_and_app[:2] == sorted(pids)[:2]
            assert second.session(session_id)["attempt"] == 1
    finally:
        home.cli("stop", "--all")
        second.stop()
    assert [pid for s in (editor, screen, files) for pid in marked(s["id"])] == []
