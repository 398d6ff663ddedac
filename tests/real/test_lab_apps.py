"""Apps that people bring, in JupyterLab: a broken one among others, and those of a project."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from playwright.sync_api import Browser, expect

from . import lab
from .lab import Lab
from .server import Home, JupyterServer
from .test_lab_accessibility import THEMES, violations

PAGE = """\
import sys
from http.server import BaseHTTPRequestHandler
from socketserver import UnixStreamServer

class Page(BaseHTTPRequestHandler):
    def address_string(self):
        return "browser"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(f"<h1>{sys.argv[2]}</h1>".encode())

with UnixStreamServer(sys.argv[1], Page) as server:
    server.serve_forever()
"""
ICON = '<svg xmlns="http://www.w3.org/2000/svg"><circle cx="12" cy="12" r="10" fill="#3a6"/></svg>'


def write_app(apps: Path, name: str, **fields: Any) -> Path:
    folder = apps / name
    folder.mkdir(parents=True, exist_ok=True)
    command = ["{python}", "{app_dir}/page.py", "{socket}", f"I am {name}"]
    definition = {"name": name, "title": name.title(), "command": command, **fields}
    (folder / "app.yaml").write_text(yaml.safe_dump(definition, sort_keys=False))
    (folder / "page.py").write_text(PAGE)
    (folder / "icon.svg").write_text(ICON)
    return folder


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    made = Home()
    lab.prepare(made)
    yield made
    made.remove()


@pytest.fixture
def window(browser: Browser, server: JupyterServer, home: Home) -> Iterator[Lab]:
    with lab.window(browser, server) as made:
        yield made
        lab.forget_all(server)
        assert made.errors == []


def test_a_broken_app_among_ten_is_one_named_error(window: Lab, home: Home, results: Path) -> None:
    apps = home.path / ".jupyter/jupyter_sessions/apps"
    for n in range(1, 10):
        write_app(apps, f"ten-{n}", title=f"Good {n}", category="Ten")
    broken = write_app(apps, "ten-10") / "app.yaml"
    broken.write_text("name: ten-10\ntitle: Ten\ncommand:\n  - run\n  - {socket}\n")
    window.open()
    for n in range(1, 10):
        expect(window.tile(f"Good {n}")).to_be_visible()
    tile = window.tile("ten-10")
    tile.scroll_into_view_if_needed()
    window.page.screenshot(path=results / "lab-broken-tile.png")
    tile.click()
    expect(window.dialog).to_contain_text(f"{broken}:5:5: command.1")
    window.page.screenshot(path=results / "lab-broken-app.png")
    window.page.keyboard.press("Escape")


@pytest.mark.parametrize("colours", THEMES)
def test_an_app_of_a_project_runs_once_it_is_trusted(
    window: Lab, home: Home, server: JupyterServer, results: Path, colours: str
) -> None:
    lab.theme(home, THEMES[colours])
    page, project = window.page, home.work / f"atlas-{colours}"
    place = write_app(project / ".jupyter-sessions/apps", "dash", title="Dashboard")
    (place / "odd.txt").write_text("not what it\u202e seems\n")
    window.open()
    expect(window.tile("VS Code")).to_be_visible()
    expect(window.tile("Dashboard")).to_have_count(0)
    page.get_by_role("listitem", name=re.compile(f"^Name: {project.name}")).dblclick()
    expect(window.tile("Dashboard")).to_be_visible()
    expect(page.get_by_role("heading", name="Project", exact=True)).to_be_visible()

    drawn = lab.drawn_late(window)
    window.tile("Dashboard").click()
    expect(window.dialog).to_contain_text("Trust “Dashboard”?")
    expect(window.dialog).to_contain_text('{python} {app_dir}/page.py {socket} "I am dash"')
    # By keyboard: Enter opens a file, and is no answer.
    file = window.dialog.locator("summary", has_text="odd.txt")
    file.focus()
    drawn()
    expect(file).to_be_focused()
    page.keyboard.press("Enter")
    expect(window.dialog.get_by_label("odd.txt")).to_contain_text("U+202E")
    assert violations(window, ".jp-sessions-trust .jp-Dialog-content") == []
    page.screenshot(path=results / f"lab-trust-{colours}.png")
    page.keyboard.press("Escape")
    expect(window.dialog).to_have_count(0)
    assert server.get("jupyter-sessions/v1/sessions")["sessions"] == []

    window.tile("Dashboard").click()
    window.dialog.get_by_role("button", name="Trust", exact=True).click()
    expect(window.frame().get_by_role("heading")).to_have_text("I am dash")

    # It has changed: what was trusted runs on, and the next start asks.
    (place / "page.py").write_text(PAGE + "\n# more\n")
    page.get_by_role("button", name="New Launcher").first.click()
    window.tile("Dashboard").click()
    expect(window.dialog).to_contain_text("It has changed since you trusted it.")
    page.keyboard.press("Escape")


def test_what_is_written_about_an_app_is_shown_on_demand(
    window: Lab, home: Home, results: Path
) -> None:
    folder = write_app(home.path / ".jupyter/jupyter_sessions/apps", "told", title="Told about")
    (folder / "README.md").write_text(
        "# Reads tables\n\nIt takes *no* options.\n\n"
        "<script>window.hurt = 1</script><img src=x onerror='window.hurt = 1'>\n"
    )
    (folder / "icon.svg").unlink()
    Image.new("RGB", (120, 120), "#a36").save(folder / "thumbnail.png")
    lab.configure(home, askBeforeStart="always")
    window.open()
    drawn = lab.drawn_late(window)
    window.tile("Told about").click()
    about = window.dialog.get_by_role("button", name="About this app")
    expect(about).to_have_attribute("aria-expanded", "false")
    about.focus()
    drawn()
    expect(about).to_be_focused()
    window.page.keyboard.press("Enter")
    text = window.dialog.get_by_role("region", name="About this app")
    expect(text.get_by_role("heading", name="Reads tables")).to_be_visible()
    expect(text.locator("em")).to_have_text("no")
    assert window.page.evaluate("typeof window.hurt") == "undefined"
    assert violations(window, ".jp-sessions-form-readme") == []
    window.page.screenshot(path=results / "lab-readme.png")
    about.click()
    expect(text).to_be_hidden()
    window.page.keyboard.press("Escape")
    lab.configure(home)


def test_long_lists_can_be_filtered_and_fixed_options_are_seen(
    window: Lab, home: Home, server: JupyterServer, results: Path
) -> None:
    lab.theme(home, THEMES["light"])
    names = [f"module-{n:02}" for n in range(40)]
    options = {
        "properties": {
            "module": {"type": "string", "title": "Module", "enum": names, "default": names[0]},
            "hours": {
                "type": "integer",
                "title": "Hours",
                "default": 4,
                "x-fixed": True,
                "x-unit": "h",
            },
            "kernel": {"type": "string", "title": "Kernel", "x-choices-from": "kernels"},
            "room": {"type": "string", "title": "Room", "x-choices-from": "spawner:rooms"},
        }
    }
    command = ["{python}", "{app_dir}/page.py", "{socket}", "{module} {hours} {kernel}"]
    write_app(
        home.path / ".jupyter/jupyter_sessions/apps",
        "found",
        title="Found out",
        options=options,
        command=command,
    )
    window.open().tile("Found out").click()
    dialog = window.dialog
    select = dialog.get_by_role("combobox", name="Module")
    expect(select.locator("option")).to_have_count(40)
    dialog.get_by_role("searchbox", name="Filter Module").fill("-37")
    expect(select.locator("option")).to_have_count(2)  # with the one that is chosen
    select.select_option(label="module-37")
    hours = dialog.get_by_label("Hours")
    assert hours.get_attribute("readonly") is not None
    expect(dialog).to_contain_text("it cannot be changed here")
    expect(dialog).to_contain_text("has no resource rooms")
    dialog.get_by_role("combobox", name="Kernel").select_option(label="Python 3 (ipykernel)")
    assert violations(window, ".jp-sessions-launch .jp-Dialog-content") == []
    window.page.screenshot(path=results / "lab-found-choices.png")
    dialog.get_by_role("button", name="Start", exact=True).click()
    expect(window.frame().get_by_role("heading")).to_have_text("module-37 4 python3")
