"""nginx, the terminal and Notebook behind a session's URL, below a prefix as behind a hub."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from ..processes import marked
from .server import TOKEN, Home, JupyterServer, wait

BASE = "/user/x/"


@pytest.fixture(scope="module")
def server(home: Home) -> Iterator[JupyterServer]:
    made = JupyterServer(home, base_url=BASE)
    yield made
    made.stop()


def end(server: JupyterServer, session: Any) -> None:
    """Stop a session; nothing of it is left, and no socket of it stands anywhere in the home."""
    server.post(f"jupyter-sessions/v1/sessions/{session['id']}/stop")
    wait(lambda: server.session(session["id"])["state"] == "stopped", 30, "the end")
    assert marked(session["id"]) == []
    kept = server.home.store / "sessions" / session["id"]
    assert [path for path in kept.rglob("*") if path.is_socket()] == []


def ask(server: JupyterServer, path: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    """One answer as it comes: redirects are not followed."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", path, headers={"Authorization": f"token {TOKEN}"})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


# nginx -------------------------------------------------------------------------------------------


@pytest.fixture
def site(server: JupyterServer, tmp_path: Path) -> Path:
    folder = tmp_path / 'a "website" for $HOME; {x}'
    (folder / "part").mkdir(parents=True)
    (folder / "index.html").write_text(
        "<title>Front</title><link rel=stylesheet href=style.css>"
        "<p>Welcome</p><a href=part>part</a><script src=page.js></script>"
    )
    (folder / "style.css").write_text("p { color: rgb(1, 2, 3) }")
    (folder / "page.js").write_text("document.querySelector('p').textContent = 'scripted'")
    (folder / "part" / "index.html").write_text("<p>A part</p><a href=../data.bin>data</a>")
    (folder / "data.bin").write_bytes(bytes(range(256)) * 4096)
    (folder / ".secret").write_text("hidden")
    return folder


def test_nginx_serves_a_folder_and_its_redirects_stay_below_the_prefix(
    server: JupyterServer, log_in: Callable[[JupyterServer], Page], site: Path, results: Path
) -> None:
    session = server.start("nginx", options={"folder": str(site)})
    url = session["url"]
    assert url.startswith(f"{BASE}sessions/")
    status, headers, _ = ask(server, f"{url}part")
    assert (status, headers["Location"]) == (301, f"{url}part/")
    assert ask(server, f"{url}data.bin")[2] == (site / "data.bin").read_bytes()
    assert ask(server, f"{url}.secret")[0] == 404
    assert ask(server, f"{url}nothing/here")[0] == 404

    page = log_in(server)
    page.goto(server.origin + url)
    expect(page.locator("p")).to_have_css("color", "rgb(1, 2, 3)")
    expect(page.locator("p")).to_have_text("Welcome")  # no script has run
    page.get_by_role("link", name="part").click()  # a redirect, in the browser
    expect(page.locator("p")).to_have_text("A part")
    assert page.url == f"{server.origin}{url}part/"
    (site / "part" / "index.html").write_text("<p>Another part</p>")
    page.reload()
    expect(page.locator("p")).to_have_text("Another part")  # what stands there now
    page.screenshot(path=results / "nginx.png")
    end(server, session)


def test_nginx_pages_run_scripts_only_if_they_are_trusted_and_one_page_can_stand_for_all(
    server: JupyterServer, log_in: Callable[[JupyterServer], Page], site: Path
) -> None:
    options = {"folder": str(site), "pages": "trusted", "fallback": True, "hidden": True}
    session = server.start("nginx", options=options)
    page = log_in(server)
    page.goto(server.origin + session["url"])
    expect(page.locator("p")).to_have_text("scripted")
    assert ask(server, f"{session['url']}route/of/an/app")[2] == (site / "index.html").read_bytes()
    assert ask(server, f"{session['url']}.secret")[2] == b"hidden"
    end(server, session)


def test_nginx_says_which_folder_is_missing(server: JupyterServer) -> None:
    made = server.post(
        "jupyter-sessions/v1/sessions", {"app": "nginx", "options": {"folder": "/nowhere"}}
    )
    wait(lambda: server.session(made["id"])["state"] == "failed", 30, "the failure")
    assert "/nowhere is not a folder." in server.home.cli("logs", made["id"])


# The terminal ------------------------------------------------------------------------------------


def screen(page: Page) -> str:
    """The text in the terminal."""
    return page.locator(".xterm-rows").inner_text()


def test_a_terminal_runs_what_is_typed_and_shows_it_again_later(
    server: JupyterServer, log_in: Callable[[JupyterServer], Page], results: Path
) -> None:
    session = server.start("terminal")
    page = log_in(server)
    page.goto(server.origin + session["url"])
    expect(page.locator(".xterm-rows")).to_contain_text(re.compile(r"[#$] "), timeout=30_000)
    page.keyboard.type("echo $((6*7)) ünï; pwd; tput colors; stty size\n", delay=5)
    expect(page.locator(".xterm-rows")).to_contain_text("42 ünï", timeout=30_000)
    expect(page.locator(".xterm-rows")).to_contain_text(str(server.home.work))
    expect(page.locator(".xterm-rows")).to_contain_text("256")
    size = wait(lambda: re.findall(r"^(\d+) (\d+)\s*$", screen(page), re.M), 30, "the size")[-1]
    assert int(size[0]) > 30  # the window's, not a default of 24 x 80
    assert int(size[1]) > 100
    page.screenshot(path=results / "terminal.png")

    page.reload()
    expect(page.locator(".xterm-rows")).to_contain_text("42 ünï", timeout=30_000)
    page.keyboard.type("sleep 1000 & disown\n", delay=5)
    expect(page.locator(".xterm-rows")).to_contain_text("[1]")
    end(server, session)


def test_a_terminal_runs_one_command_without_a_shell_and_ends_with_it(
    server: JupyterServer, log_in: Callable[[JupyterServer], Page], tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    code = "import sys; print(sys.argv[1:]); input('go? '); sys.exit(7)"
    command = f"""python3 -c "{code}" '$(touch {trap})' "two words" ;touch {trap}"""
    session = server.start("terminal", options={"command": command})
    page = log_in(server)
    page.goto(server.origin + session["url"])
    shown = page.locator(".xterm-rows")
    expect(shown).to_contain_text("'two words', ';touch'", timeout=30_000)
    expect(shown).to_contain_text("go?")
    page.keyboard.type("\n")
    wait(lambda: server.session(session["id"])["state"] in ("stopped", "failed"), 30, "the end")
    assert server.session(session["id"])["exit_code"] == 7
    assert not trap.exists()
    assert marked(session["id"]) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"command": "echo 'open"}, "cannot be split into words"),
        ({"command": "no-such-program --help"}, "There is no program 'no-such-program'"),
        ({"shell": "/bin/nosh"}, "There is no program '/bin/nosh'"),
        ({"folder": "/nowhere"}, "/nowhere is not a folder"),
    ],
)
def test_a_terminal_says_why_it_does_not_start(
    server: JupyterServer, options: dict[str, str], says: str
) -> None:
    made = server.post("jupyter-sessions/v1/sessions", {"app": "terminal", "options": options})
    wait(lambda: server.session(made["id"])["state"] == "failed", 30, "the failure")
    assert says in server.home.cli("logs", made["id"])


# Notebook ----------------------------------------------------------------------------------------


def test_notebook_runs_a_cell_and_ends_with_its_kernel(
    server: JupyterServer, log_in: Callable[[JupyterServer], Page], results: Path
) -> None:
    folder = server.home.work / "notes"
    folder.mkdir()
    session = server.start("notebook", options={"folder": str(folder)})
    below = f"{BASE}sessions/{session['id']}/"
    assert session["url"] == f"{below}tree"
    page = log_in(server)
    page.goto(server.origin + session["url"])
    page.get_by_text("New", exact=True).click()
    with page.expect_popup() as opened:
        page.get_by_text("Python 3 (ipykernel)").first.click()
    notebook = opened.value
    notebook.set_default_timeout(60_000)
    assert notebook.url.startswith(f"{server.origin}{below}notebooks/")
    expect(notebook.locator(".jp-NotebookKernelStatus, .jp-NotebookPanel")).not_to_have_count(0)
    expect(notebook.locator(".jp-Notebook-ExecutionIndicator")).to_have_attribute(
        "data-status", "idle", timeout=60_000
    )
    notebook.locator(".cm-content").first.click()
    notebook.keyboard.type("import os; print(6*7, os.getcwd())")
    notebook.keyboard.press("Shift+Enter")
    output = notebook.locator(".jp-OutputArea-output").first
    expect(output).to_have_text(f"42 {folder}\n", timeout=60_000)
    notebook.screenshot(path=results / "notebook.png")
    end(server, session)
