"""Sessions on another machine, reached by SSH: as used in a browser, and when things break."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from jupyter_sessions.errors import Unreachable
from jupyter_sessions.hosts.base import Host
from jupyter_sessions.hosts.ssh import SshHost
from jupyter_sessions.places import build_hosts
from jupyter_sessions.routes import Address

from ..managers import running, stop
from . import desktop, vscode
from .far import FarMachine
from .lab import prepare, window
from .overssh import apart, configure, masters, settings, sockets, trouble
from .server import Home, JupyterServer, wait

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make another machine")

KEPT = "/home/ada/.local/share/jupyter-sessions"


@pytest.fixture(scope="module")
def far() -> Iterator[FarMachine]:
    machine = FarMachine()
    user = "/home/ada/.local/share/code-server/User/settings.json"
    machine.write(user, json.dumps(vscode.SETTINGS))
    yield machine
    machine.stop()


@pytest.fixture(scope="module")
def home(far: FarMachine) -> Iterator[Home]:
    made = Home()
    configure(made, far)
    yield made
    made.remove()


def answers(server: JupyterServer, session: dict[str, Any]) -> bool:
    return server.request("GET", session["url"])[0] == 200


def test_vs_code_edits_files_of_the_other_machine(
    server: JupyterServer,
    far: FarMachine,
    log_in: Callable[[JupyterServer], Page],
    results: Path,
) -> None:
    session = server.start("code-server", spawner="far", cwd="work")
    assert session["host"] == far.name
    assert session["cwd"] == "/home/ada/work"
    page = log_in(server)
    page.goto(server.origin + session["url"])
    vscode.wait_for_workbench(page)
    vscode.open_terminal(page, page)
    page.keyboard.type("echo on-$(hostname)-as-$(id -un) | tee proof")
    page.keyboard.press("Enter")
    where = f"on-{far.name}-as-ada"
    expect(page.locator(".terminal-wrapper.active .xterm-rows")).to_contain_text(where)
    page.screenshot(path=results / "code-server-over-ssh.png")
    assert far.run("cat", "/home/ada/work/proof").strip() == where

    # The connection dies, and the websocket with it: VS Code makes another through the next.
    for pid in masters(server.home):
        os.kill(pid, signal.SIGKILL)
    wait(lambda: masters(server.home), 20, "another connection")
    page.keyboard.type("echo again-$((40+2))")
    page.keyboard.press("Enter")
    rows = page.locator(".terminal-wrapper.active .xterm-rows")
    expect(rows).to_contain_text("again-42", timeout=60_000)
    now = server.session(session["id"])
    assert (now["state"], now["attempt"]) == ("running", 1)
    stop_and_remove(server, far, session)


def test_a_desktop_of_the_other_machine(
    server: JupyterServer,
    far: FarMachine,
    log_in: Callable[[JupyterServer], Page],
    results: Path,
) -> None:
    session = server.start("desktop", spawner="far", options={"window_manager": "openbox"})
    page = log_in(server)
    page.goto(server.origin + session["url"])
    desktop.wait_for_desktop(page)
    wait(lambda: desktop.window_is_drawn(page), 30, "a window with a prompt")
    page.mouse.click(*desktop.centre(page))
    page.keyboard.type("hostname > typed", delay=20)
    page.keyboard.press("Enter")
    wait(lambda: far.files("/home/ada/typed"), 20, "the typed command")
    page.screenshot(path=results / "desktop-over-ssh.png")
    assert far.run("cat", "/home/ada/typed").strip() == far.name
    stop_and_remove(server, far, session)


def test_the_form_asks_for_a_folder_there(
    server: JupyterServer, far: FarMachine, browser: Browser, results: Path
) -> None:
    prepare(server.home)
    with window(browser, server) as lab:
        lab.open()
        lab.page.get_by_role("button", name="Files", exact=True).first.click()
        lab.dialog.get_by_role("radio", name="Far").check()
        lab.dialog.get_by_role("button", name="Advanced").click()
        folder = lab.dialog.get_by_label("Working directory")
        expect(folder).to_have_value("")
        expect(folder).to_have_attribute("placeholder", "Your home on far")
        expect(lab.dialog.get_by_label("Folder", exact=True)).to_have_value("")
        folder.fill("nowhere")
        start = lab.dialog.get_by_role("button", name="Start", exact=True)
        start.click()
        expect(lab.dialog).to_contain_text("is not a directory on far that you may enter")
        lab.page.screenshot(path=results / "form-over-ssh.png")
        folder.fill("work")
        start.click()
        expect(lab.dialog).to_have_count(0)
        lab.frame()  # it is shown
        (session,) = server.get("jupyter-sessions/v1/sessions")["sessions"]
        assert (session["cwd"], session["options"]["folder"]) == ("/home/ada/work",) * 2
        assert lab.errors == []
    stop_and_remove(server, far, session)


def test_a_service_directory_runs_on_the_other_machine(
    server: JupyterServer, far: FarMachine
) -> None:
    session = server.start("fileserver", spawner="far", options={"fs_directory": "/home/ada"})
    far.write("/home/ada/there.txt", far.name)
    status, content = server.request("GET", f"{session['url'].partition('?')[0]}there.txt")
    assert (status, content.decode()) == (200, far.name)
    stop_and_remove(server, far, session)
    assert far.run("cat", "/home/ada/cancelled").strip() == "cancelled"


def test_a_check_starts_something_there_and_leaves_nothing(home: Home, far: FarMachine) -> None:
    before = far.files(f"{KEPT}/sessions")
    told = json.loads(home.cli("spawners", "check", "far", "--json"))
    assert [(way["name"], way["works"]) for way in told["ways"]] == [("host", True)], told
    assert (told["node"], told["problem"], told["left"]) == (far.name, "", "")
    assert far.files(f"{KEPT}/sessions") == before
    assert not (home.store / "checks").exists()


def stop_and_remove(server: JupyterServer, far: FarMachine, session: dict[str, Any]) -> None:
    """End and forget a session; see that nothing of it is left there."""
    assert far.processes(f"={session['id']}.")
    assert far.files(f"{KEPT}/sessions/{session['id']}")
    server.home.cli("rm", session["id"])
    wait(lambda: not far.processes(f"={session['id']}."), 20, "its processes to end")
    wait(lambda: session["id"] not in far.files(f"{KEPT}/sessions"), 20, "its files to go")
    wait(lambda: not (server.home.store / "sessions" / session["id"]).exists(), 20, "its record")


# -- When things break ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(server: JupyterServer) -> dict[str, Any]:
    """A session that runs there."""
    session: dict[str, Any] = server.start("files", spawner="far")
    assert answers(server, session)
    return session


@contextlib.contextmanager
def master_hangs(server: JupyterServer) -> Iterator[None]:
    (pid,) = masters(server.home)
    os.kill(pid, signal.SIGSTOP)
    yield


@contextlib.contextmanager
def master_is_killed(server: JupyterServer) -> Iterator[None]:
    (pid,) = masters(server.home)
    os.kill(pid, signal.SIGKILL)
    yield


@pytest.mark.parametrize("break_it", [master_is_killed, master_hangs])
def test_a_connection_that_dies_here_is_made_again(
    server: JupyterServer,
    files: dict[str, Any],
    break_it: Callable[[JupyterServer], AbstractContextManager[None]],
) -> None:
    before = masters(server.home), sockets(server.home)
    with break_it(server):
        wait(lambda: masters(server.home) not in ([], before[0]), 40, "another connection")
        wait(lambda: answers(server, files), 20, "the app, through it")
    assert sockets(server.home) == before[1]  # the same ways, made again
    assert len(masters(server.home)) == 1
    session = wait(lambda: reachable(server, files), 20, "the next look")
    assert (session["state"], session["attempt"]) == ("running", 1)


def test_a_way_that_is_not_there_again_at_once_comes_later(far: FarMachine) -> None:
    async def greeting(path: str) -> bytes:
        reader, writer = await asyncio.open_unix_connection(path)
        line = await reader.readline()
        writer.close()
        return line

    async def busy() -> list[bytes]:
        host = build_hosts({"far": settings(far)}, None)["far"]
        assert isinstance(host, SshHost)
        link, failures = host.link, [0]
        ask = link.ask

        async def slow(what: Any) -> Any:
            if failures[0]:
                failures[0] -= 1
                raise Unreachable("far has not answered within 8 s.")
            return await ask(what)

        link.ask = slow  # type: ignore[method-assign]
        try:
            async with host.connect(Address.tcp(far.address, 22)) as here, asyncio.timeout(40):
                before = await greeting(here.path)
                failures[0], lost = 2, link.lost
                os.kill(await ask(lambda mux: mux.pid()), signal.SIGKILL)
                await lost.wait()
                while True:
                    with contextlib.suppress(OSError):
                        if after := await greeting(here.path):
                            return [before, after]
                    await asyncio.sleep(0.1)
        finally:
            await host.close()

    before, after = apart(busy)
    assert before.startswith(b"SSH-2.0")
    assert before == after


@pytest.mark.parametrize("kind", ["silent", "cut"])
def test_a_host_that_is_away_changes_nothing(
    server: JupyterServer, far: FarMachine, files: dict[str, Any], kind: str
) -> None:
    began = time.monotonic()
    with getattr(far, kind)():
        away = wait(lambda: unreachable(server, files), 40, "that to be noticed")
        noticed = time.monotonic() - began
        assert (away["state"], away["attempt"]) == ("running", 1)
        status, page = server.request("GET", files["url"])
        assert (status, b"far" in page) in ((502, False), (503, True), (503, False))
        described = server.get("jupyter-sessions/v1/spawners")
        (place,) = [s for s in described if s["name"] == "far"]
        assert not place["available"]
        print(f"{kind}: noticed after {noticed:.1f} s: {place['unavailable_reason']}")
    session = wait(lambda: reachable(server, files), 60, "it to heal")
    assert (session["state"], session["attempt"]) == ("running", 1)
    wait(lambda: answers(server, files), 20, "the app")


def test_a_start_while_the_host_is_away_says_so_and_a_restart_waits(
    server: JupyterServer, far: FarMachine
) -> None:
    session = server.start("files", spawner="far")
    url = f"jupyter-sessions/v1/sessions/{session['id']}"
    server.post(f"{url}/stop")
    wait(lambda: server.session(session["id"])["state"] == "stopped", 30, "it to stop")
    with far.cut():
        for pid in masters(server.home):
            os.kill(pid, signal.SIGKILL)
        body = {"app": "files", "spawner": "far"}
        status, content = server.request("POST", "/jupyter-sessions/v1/sessions", body)
        assert (status, json.loads(content)["reason"]) == (503, "unreachable")
        assert "far" in json.loads(content)["message"]
        server.post(f"{url}/restart")
        waiting = wait(
            lambda: (s := server.session(session["id"]))["unreachable_since"] and s, 40, "it to say"
        )
        assert (waiting["state"], waiting["attempt"]) == ("created", 2)
        assert "far" in waiting["message"]
    again = server.wait_until_running(session["id"])
    assert again["attempt"] == 2
    stop_and_remove(server, far, session)


def unreachable(server: JupyterServer, session: dict[str, Any]) -> Any:
    now = server.session(session["id"])
    return now if now["unreachable_since"] else None


def reachable(server: JupyterServer, session: dict[str, Any]) -> Any:
    now = server.session(session["id"])
    return None if now["unreachable_since"] else now


def test_a_log_is_followed_and_its_reader_leaves_nothing_there(
    server: JupyterServer, far: FarMachine, files: dict[str, Any]
) -> None:
    command = [sys.executable, "-m", "jupyter", "sessions", "logs", "--follow", files["id"]]
    with (
        subprocess.Popen(
            command, env=server.home.env, stdout=subprocess.PIPE, text=True, cwd=server.home.work
        ) as reader,
        contextlib.ExitStack() as cleaning,
    ):
        cleaning.callback(reader.kill)  # or a test that fails waits for it
        assert reader.stdout is not None
        assert "Started /opt/venv/bin/python" in reader.stdout.readline()
        assert far.run("pgrep", "-fc", "remote.py follow").strip() == "1"
        far.run("sh", "-c", f"echo 'one more line' >> {KEPT}/sessions/{files['id']}/1/log")
        for line in reader.stdout:
            if "one more line" in line:
                break
        reader.send_signal(signal.SIGINT)
        reader.wait(20)
    wait(lambda: not far.run("pgrep", "-f", "remote.py follow", check=False), 20, "it to end")


def test_a_session_whose_record_is_lost_is_found_there_and_ended(
    server: JupyterServer, far: FarMachine
) -> None:
    session = server.start("files", spawner="far")
    assert far.processes(f"={session['id']}.")
    (server.home.store / "sessions" / session["id"] / "session.json").write_text("{")
    status, content = server.request("DELETE", f"/jupyter-sessions/v1/sessions/{session['id']}")
    assert status == 204, content
    assert not far.processes(f"={session['id']}.")
    assert session["id"] not in far.files(f"{KEPT}/sessions")


def test_strange_names_are_names_and_nothing_else(server: JupyterServer, far: FarMachine) -> None:
    name = "/home/ada/$(touch x);`touch x`\n{socket} \u00e9'\""
    far.run("install", "-d", "-o", "ada", name)
    session = server.start("files", spawner="far", cwd=name)
    assert answers(server, session)
    assert session["cwd"] == name
    assert not far.run("find", "/home", "-name", "x")
    stop_and_remove(server, far, session)


def test_a_folder_that_is_not_there_is_an_error_of_its_field(server: JupyterServer) -> None:
    body = {"app": "files", "spawner": "far", "cwd": str(server.home.work)}
    status, content = server.request("POST", "/jupyter-sessions/v1/sessions", body)
    answer = json.loads(content)
    assert (status, answer["errors"][0]["field"]) == (400, "cwd")
    assert "on far" in answer["message"]


@pytest.mark.parametrize(
    ("write", "when"), [(1, "before"), (1, "after"), (2, "before"), (3, "after")]
)
def test_a_server_killed_in_a_start_leaves_no_orphan_and_no_second_run(
    far: FarMachine, short_path: Path, write: int, when: str
) -> None:
    spawner = {"class": "process", "host": "far"}
    traits = {"hosts": {"far": settings(far)}, "spawners": {"far": spawner}}
    root, request = short_path / "store", {"app": "files", "spawner": "far"}
    driver = str(Path(__file__).parents[1] / "drivers" / "manager_that_dies.py")
    command = [sys.executable, driver, str(root), str(write), when, json.dumps([traits, request])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as dying:
        assert dying.stdout is not None
        session_id = dying.stdout.readline().strip()
        assert dying.wait(60) == -signal.SIGKILL

    async def finish() -> None:
        async with running(root, **traits) as manager, asyncio.timeout(90):
            session = await manager.wait_for(session_id, lambda s: s.state == "running" or s.ended)
            assert (session.state, session.attempt.number) == ("running", 1)
            log = f"{KEPT}/sessions/{session_id}/1/log"
            assert far.run("grep", "-c", "] Started ", log).strip() == "1"
            assert len(far.processes(f"={session_id}.1")) == 2  # the runner and the app
            assert (await stop(manager, session)).state == "stopped"
            await manager.delete(session_id)

    apart(finish)
    assert not far.processes(f"={session_id}.")
    assert session_id not in far.files(f"{KEPT}/sessions")


# -- What is said when it cannot work ------------------------------------------------------------


def test_a_key_that_is_not_known_or_has_changed(far: FarMachine, short_path: Path) -> None:
    known = short_path / "known_hosts"
    options = [f"UserKnownHostsFile={known}"]
    assert "not known yet: run `ssh" in trouble(far, options=options)
    other = short_path / "key"
    subprocess.run(["ssh-keygen", "-qt", "ed25519", "-N", "", "-f", str(other)], check=True)
    known.write_text(f"{far.address} {other.with_suffix('.pub').read_text()}")
    assert "key of far has changed" in trouble(far, options=options)


def test_a_login_that_asks_for_a_password(far: FarMachine) -> None:
    said = trouble(far, options=["IdentityFile=/nonexistent", "PubkeyAuthentication=no"])
    assert "without a password, passphrase or second factor" in said
    assert "password" in said.partition("(")[2]


def test_a_port_without_a_server_and_a_name_without_a_host(far: FarMachine) -> None:
    assert "refuses connections" in trouble(far, port=9)
    assert "There is no host nowhere.invalid" in trouble(far, address="nowhere.invalid")


def test_a_host_without_python_or_with_an_old_one(far: FarMachine) -> None:
    assert "There is no python9 on far" in trouble(far, inside=True, python="python9")
    old = "#!/bin/sh\nexec /usr/bin/python3 -c 'import sys; sys.version_info = (3, 5, 3); '\"$2\"\n"
    far.write("/home/ada/old", old)
    far.run("chmod", "755", "/home/ada/old")
    assert "is Python 3.5.3; 3.6 or later is needed" in trouble(
        far, inside=True, python="/home/ada/old"
    )


def test_more_commands_than_the_server_allows_wait(far: FarMachine) -> None:
    async def many() -> list[int]:
        host: Host = build_hosts({"far": settings(far, max_sessions=25)}, None)["far"]
        try:
            done = await asyncio.gather(*(host.run(["sleep", "0.3"]) for _ in range(25)))
            return [completed.code for completed in done]
        finally:
            await host.close()

    assert apart(many) == [0] * 25


def test_at_the_end_nothing_is_left_here_or_there(
    server: JupyterServer, far: FarMachine, files: dict[str, Any]
) -> None:
    stop_and_remove(server, far, files)
    assert len(masters(server.home)) == 1
    server.stop()
    wait(lambda: not masters(server.home), 40, "the connection to end")
    assert sockets(server.home) == []
    assert far.files(f"{KEPT}/sessions") == []
    wait(lambda: not far.processes("JUPYTER_SESSIONS_"), 20, "its processes to end")
    wait(lambda: not far.run("pgrep", "-u", "ada", check=False), 20, "the login to end")
