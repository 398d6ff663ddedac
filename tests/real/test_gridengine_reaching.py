"""Sessions on the hosts of a real Grid Engine: each way to them, and what people see of them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from jupyter_sessions.options import OptionSchema
from jupyter_sessions.way_check import Found, WayCheck

from ..managers import running
from ..processes import marked
from . import desktop, vscode
from .batch import answer, begin, until_ended, until_running
from .gridengine import GridEngine, cell
from .lab import prepare, window
from .nodes import sshd
from .server import Home, JupyterServer, wait

pytestmark = pytest.mark.root
QUICK: dict[str, Any] = {"class": "gridengine", "query_interval": 1, "poll_interval": 0.3}
SESSIONS = "jupyter-sessions/v1/sessions"


@pytest.fixture(scope="module")
def engine() -> Iterator[GridEngine]:
    with cell() as made:
        yield made


@pytest.fixture(autouse=True)
def configured(engine: GridEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in engine.env.items():
        monkeypatch.setenv(name, value)


def left(engine: GridEngine, session_id: str) -> list[str]:
    """What there still is of a session: on the hosts, in the queue, among the master's files."""
    found = [f"process {pid}" for pid in marked(session_id)]  # those of the hosts, too
    if session_id in engine.run("qstat", "-xml", "-u", "*"):
        found.append("job")
    kept = (path for kind in ("active_jobs", "job_scripts") for path in engine.spool(kind))
    return found + [str(path) for path in kept]


@pytest.mark.parametrize("reach", ["direct", "dial"])
async def test_a_session_on_a_host_answers_and_leaves_nothing(
    engine: GridEngine, root: Path, reach: str
) -> None:
    traits = {**QUICK, "reach": reach, "dial_addresses": [f"{engine.nodes.net}.1"]}
    before = engine.listening()
    async with running(root, spawners={"ge": traits}) as manager:
        session = await until_running(manager, await begin(manager, "ge"))
        address = session.attempt.address
        assert address is not None
        assert address.node in engine.nodes.addresses
        if reach == "direct":
            assert address.host == engine.nodes.addresses[address.node]
        assert (await answer(manager, session))["environment"]["JOB_ID"]
    # A server that comes later finds it as well.
    async with running(root, spawners={"ge": traits}) as manager:
        assert await answer(manager, await manager.session(session.id))
        await manager.stop(session.id)
        await until_ended(manager, session)
        async with asyncio.timeout(30):
            while left(engine, session.id):  # noqa: ASYNC110 - the runner is the last to go
                await asyncio.sleep(0.2)
        directory = root / "sessions" / session.id
        assert [path.name for path in directory.rglob("*") if path.is_socket()] == []
        await manager.delete(session.id)
        async with asyncio.timeout(30):
            while directory.exists():  # noqa: ASYNC110 - its files go in their own time
                await asyncio.sleep(0.1)
    assert engine.listening() == before
    assert engine.temporary() == []


async def checked(engine: GridEngine, root: Path, traits: dict[str, Any], **asked: Any) -> Found:
    """What a check finds; fails if it leaves anything behind."""
    async with running(root, spawners={"ge": {**QUICK, **traits}}) as manager:
        spawner = manager.offers.spawner("ge")
        await spawner.available()  # asks what there is
        schema = OptionSchema(spawner.options_schema())
        resources = schema.check({"hours": 0.4, **asked}, "resources", {"cwd": "/"})
        check = WayCheck(spawner, root / "checks", resources, 60)
        found = await check.run()
        assert found.left == ""
        async with asyncio.timeout(30):
            while left(engine, check._id):  # noqa: ASYNC110 - Grid Engine tells nobody
                await asyncio.sleep(0.2)
    return found


async def test_a_check_says_which_ways_lead_to_a_host(engine: GridEngine, root: Path) -> None:
    with sshd(engine.nodes, "g1") as options:
        traits: dict[str, Any] = {
            "reach": "ssh",
            "dial_addresses": [f"{engine.nodes.net}.1"],
            "node_addresses": engine.nodes.addresses,
            "node_ssh": {"options": options},
        }
        found = await checked(engine, root, traits, queue="short.q")
        assert (found.node, found.problem) == ("g1", "")
        # The hosts here see the files of this machine, its sockets too.
        assert [(w.name, w.works) for w in found.ways] == [
            ("host", True), ("ssh", True), ("direct", True), ("dial", True),
        ], found  # fmt: skip
        assert found.works
        async with running(root, spawners={"ge": {**QUICK, **traits}}) as manager:
            asked = {"queue": "short.q", "hours": 0.4}
            session = await until_running(manager, await begin(manager, "ge", resources=asked))
            assert await answer(manager, session)
            await manager.stop(session.id)
            await until_ended(manager, session)
    # Nobody listens for SSH there, and there is no such network on the host.
    wrong = {**traits, "reach": "direct", "node_interface": "10.99.0.0/16"}
    wrong["node_ssh"] = {"options": ["Port=1"]}
    found = await checked(engine, root, wrong, queue="short.q")
    told = {way.name: way for way in found.ways}
    assert [name for name, way in told.items() if way.works] == ["host", "dial"]
    assert "no SSH server listens there" in told["ssh"].message
    assert "10.99.0.0/16" in told["direct"].message
    assert not found.works


# In a browser -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(engine: GridEngine) -> Iterator[Home]:
    made = Home()
    prepare(made)
    vscode.configure(made.path)
    made.env |= {**engine.env, "XDG_RUNTIME_DIR": str(made.path / "run")}
    (made.path / "run").mkdir(mode=0o700)
    # Grid Engine sets HOME by the user's account.
    quick = {**QUICK, "prologue": f"export HOME={made.path}"}
    spawners = {
        "hpc": {**quick, "title": "Cluster", "reach": "direct"},
        "dials": {**quick, "reach": "dial", "dial_addresses": [f"{engine.nodes.net}.1"]},
    }
    (made.path / ".jupyter/jupyter_server_config.py").write_text(
        f"c.SessionManager.spawners = {spawners!r}\n"
    )
    yield made
    made.remove()


def end(engine: GridEngine, server: JupyterServer, session: dict[str, Any]) -> None:
    """Stop and forget it; see that nothing of it is left."""
    server.home.cli("rm", session["id"])
    wait(lambda: not left(engine, session["id"]), 30, f"{session['id']} to go")
    assert engine.temporary() == []


def test_a_full_queue_opens_by_itself_for_vs_code(
    engine: GridEngine, server: JupyterServer, browser: Browser, results: Path
) -> None:
    """From JupyterLab's form, with what Grid Engine told, to a terminal on the host."""
    busy = ("qsub", "-terse", "-o", "/dev/null", "-j", "y", "-b", "y")
    blockers = [engine.run(*busy, "-q", "short.q@g1", "sleep", "300") for _ in range(2)]
    wait(lambda: engine.run("qstat", "-s", "r").count("short.q") == 2, 20, "a full queue")
    with window(browser, server) as lab:
        lab.open().tile("VS Code").click()
        lab.dialog.get_by_role("radio", name="Cluster", exact=True).check()
        queue = lab.dialog.get_by_label("Queue")
        expect(queue.locator("option")).to_contain_text(["all.q", "short.q"])
        queue.select_option(label="short.q")  # g1's alone
        lab.dialog.get_by_label("Hours").fill("0.4")
        lab.page.screenshot(path=results / "gridengine-form.png")
        lab.dialog.get_by_role("button", name="Start", exact=True).click()
        expect(lab.dialog).to_have_count(0)
        told = re.compile(r"^Grid Engine job \d+ waits for a free slot")
        sentence = lab.tab.get_by_role("status").filter(has_text=told)
        expect(sentence).to_be_visible(timeout=60_000)
        lab.show_panel()
        lab.expect_card("VS Code", "Queued")
        lab.page.screenshot(path=results / "gridengine-queue.png")

        (session,) = server.get(SESSIONS)["sessions"]
        engine.run("qdel", *blockers)
        session = server.wait_until_running(session["id"])
        assert session["host"] == "g1"
        frame = lab.frame()
        vscode.wait_for_workbench(frame)
        expect(lab.expect_card("VS Code", "Running")).to_contain_text("Cluster · g1")
        vscode.open_terminal(lab.page, frame)
        lab.page.keyboard.type("echo on-$(hostname)-as-$JOB_ID-of-$QUEUE")
        lab.page.keyboard.press("Enter")
        record = server.home.store / "sessions" / session["id"] / "session.json"
        job = json.loads(record.read_text())["attempt"]["handle"]["job"]
        screen = frame.locator(".terminal-wrapper.active .xterm-rows")
        expect(screen).to_contain_text(f"on-g1-as-{job}-of-short.q")
        lab.page.screenshot(path=results / "gridengine-vscode.png")
        assert lab.errors == []
    end(engine, server, session)


def test_a_desktop_of_a_host_that_dials(
    engine: GridEngine,
    server: JupyterServer,
    log_in: Callable[[JupyterServer], Page],
    results: Path,
) -> None:
    session = server.start(
        "desktop",
        spawner="dials",
        options={"window_manager": "openbox"},
        resources={"hours": 1, "cpus": 2},
    )
    page = log_in(server)
    page.goto(server.origin + session["url"])
    desktop.wait_for_desktop(page)
    proof = server.home.work / "typed"
    command = f"echo $(hostname) $NSLOTS > {proof}.part; mv {proof}.part {proof}"
    desktop.type_in_terminal(page, page, command, proof)
    page.screenshot(path=results / "gridengine-desktop.png")
    assert proof.read_text().split() == [session["host"], "2"]
    assert session["host"] in engine.nodes.addresses
    end(engine, server, session)
