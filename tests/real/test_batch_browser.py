"""Sessions of a real Slurm in a browser: on nodes with networks of their own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from ..processes import marked
from . import desktop, vscode
from .lab import prepare, window
from .server import BIN, Home, JupyterServer, wait
from .slurm import Slurm, cluster, login_node

pytestmark = pytest.mark.root
OFTEN = {"query_interval": 1, "poll_interval": 0.3}
SESSIONS = "jupyter-sessions/v1/sessions"


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    with cluster() as made:
        yield made


@pytest.fixture(scope="module")
def home(slurm: Slurm) -> Iterator[Home]:
    made = Home()
    prepare(made)
    vscode.configure(made.path)
    made.env |= {**slurm.env, "XDG_RUNTIME_DIR": str(made.path / "run")}
    (made.path / "run").mkdir(mode=0o700)
    with login_node(slurm, made.path / "login", HOME=str(made.path)) as login:
        hosts = {"login": {**login, "python": str(BIN / "python")}}
        on_slurm = {"class": "slurm", **OFTEN}
        there = {"host": "login", "python": str(BIN / "python"), "reach": "ssh"}
        spawners: dict[str, Any] = {
            "hpc": {**on_slurm, "title": "Cluster", "reach": "direct"},
            "dials": {**on_slurm, "reach": "dial", "dial_addresses": [f"{slurm.net}.1"]},
            "behind": {**on_slurm, **there, "node_addresses": slurm.nodes},
        }
        (made.path / ".jupyter/jupyter_server_config.py").write_text(
            f"c.SessionManager.hosts = {hosts!r}\nc.SessionManager.spawners = {spawners!r}\n"
        )
        yield made
        made.remove()


def job_of(server: JupyterServer, session_id: str) -> str:
    """The id that the scheduler gave to a session."""
    record = server.home.store / "sessions" / session_id / "session.json"
    return str(json.loads(record.read_text())["attempt"]["handle"]["job"])


def end(server: JupyterServer, session: dict[str, Any]) -> None:
    """Stop and forget it; see that nothing of it is left."""
    server.home.cli("rm", session["id"])
    wait(lambda: not marked(session["id"]), 30, "its processes to end")


def test_a_queue_is_told_in_the_tab_which_opens_by_itself(
    slurm: Slurm, server: JupyterServer, browser: Browser, results: Path
) -> None:
    """From JupyterLab's form, with partitions that Slurm told, to VS Code on the node."""
    busy = ("sbatch", "--parsable", "-o", "/dev/null", "--exclusive", "-t", "5", "-w", "n1")
    blocker = slurm.run(*busy, "--wrap", "sleep 300")
    with window(browser, server) as lab:
        lab.open().tile("VS Code").click()
        lab.dialog.get_by_role("radio", name="Cluster", exact=True).check()
        partition = lab.dialog.get_by_label("Partition")
        expect(partition.locator("option")).to_contain_text(["debug", "urgent", "gpu"])
        partition.select_option(label="gpu")  # n1's alone
        lab.dialog.get_by_label("Memory").fill("2")
        lab.dialog.get_by_label("Hours").fill("1")
        lab.page.screenshot(path=results / "slurm-form.png")
        lab.dialog.get_by_role("button", name="Start", exact=True).click()
        expect(lab.dialog).to_have_count(0)
        told = re.compile(r"^Slurm job \d+ waits: \w+; expected start (\S+ )?\d\d:\d\d$")
        sentence = lab.tab.get_by_role("status").filter(has_text=told)
        expect(sentence).to_be_visible(timeout=60_000)
        lab.show_panel()
        card = lab.expect_card("VS Code", "Queued")
        expect(card).to_contain_text("expected start")
        expect(card.get_by_text("Cluster", exact=True)).to_be_visible()
        lab.page.screenshot(path=results / "slurm-queue.png")

        (session,) = server.get(SESSIONS)["sessions"]
        slurm.run("scancel", blocker)
        session = server.wait_until_running(session["id"])
        assert session["host"] == "n1"
        frame = lab.frame()
        vscode.wait_for_workbench(frame)
        expect(lab.expect_card("VS Code", "Running")).to_contain_text("Cluster · n1")
        lab.page.screenshot(path=results / "slurm-vscode.png")
        vscode.open_terminal(lab.page, frame)
        lab.page.keyboard.type("echo on-$(hostname)-as-$SLURM_JOB_ID")
        lab.page.keyboard.press("Enter")
        where = f"on-n1-as-{job_of(server, session['id'])}"
        expect(frame.locator(".terminal-wrapper.active .xterm-rows")).to_contain_text(where)
        assert frame.url.startswith(server.origin + session["url"].partition("?")[0])
        assert lab.errors == []
    end(server, session)


@pytest.mark.parametrize("spawner", ["dials", "behind"])
def test_a_desktop_on_a_node(
    slurm: Slurm,
    server: JupyterServer,
    log_in: Callable[[JupyterServer], Page],
    results: Path,
    spawner: str,
) -> None:
    """One that dials, and one behind a login node."""
    session = server.start(
        "desktop",
        spawner=spawner,
        options={"window_manager": "openbox"},
        resources={"memory": 1, "hours": 1},
    )
    page = log_in(server)
    page.goto(server.origin + session["url"])
    desktop.wait_for_desktop(page)
    proof = server.home.work / f"typed-{spawner}"
    desktop.type_in_terminal(page, page, f"hostname > {proof}.part; mv {proof}.part {proof}", proof)
    page.screenshot(path=results / f"slurm-desktop-{spawner}.png")
    assert proof.read_text().strip() == session["host"]
    assert session["host"] in slurm.nodes
    end(server, session)


def test_a_notebook_on_a_node_behind_a_login_node(
    slurm: Slurm, server: JupyterServer, log_in: Callable[[JupyterServer], Page], results: Path
) -> None:
    resources = {"memory": 1, "hours": 1}
    session = server.start(
        "jupyterlab", spawner="behind", cwd=str(server.home.work), resources=resources
    )
    page = log_in(server)
    page.goto(server.origin + session["url"])
    launcher = page.locator(".jp-Launcher")
    expect(launcher).to_be_visible(timeout=60_000)
    launcher.locator("[data-category=Notebook]").first.click()
    # The circle above the notebook is "idle" before there is a kernel, and what is run is lost.
    expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=60_000)
    notebook = page.locator(".jp-NotebookPanel")
    notebook.locator(".cm-content").first.click()
    code = "import os, socket; print(socket.gethostname(), 'SSH_CONNECTION' in os.environ)"
    page.keyboard.type(code)
    page.keyboard.press("Shift+Enter")
    output = notebook.locator(".jp-OutputArea-output").first
    # Slurm passes on the environment of who submitted: that was a command over SSH.
    expect(output).to_have_text(f"{session['host']} True\n", timeout=30_000)
    page.screenshot(path=results / "slurm-notebook.png")
    assert session["host"] in slurm.nodes
    end(server, session)
