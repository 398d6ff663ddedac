"""Service directories, and services that run already, as people see them in JupyterLab."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from .lab import Lab, forget_all, prepare, window
from .server import Home, JupyterServer, free_port, wait

TESTS = Path(__file__).parents[1]
CONFIG = """
c.SessionManager.service_directories = [{services!r}]
c.SessionManager.services = {{
    "grafana": {{"title": "Grafana", "url": "http://localhost:{port}/grafana/",
                "description": "Plots of the cluster"}},
}}
"""


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module", autouse=True)
def configuration(home: Home, port: int) -> None:
    prepare(home)
    text = CONFIG.format(services=str(TESTS / "services"), port=port)
    (home.path / ".jupyter" / "jupyter_server_config.py").write_text(text)


@pytest.fixture
def lab(browser: Browser, server: JupyterServer) -> Iterator[Lab]:
    with window(browser, server) as opened:
        yield opened.open()
    forget_all(server)


def test_a_service_directory_is_a_tile_with_a_form_and_says_how_far_it_is(
    lab: Lab, home: Home, results: Path
) -> None:
    expect(lab.tile("File Server")).to_be_visible()
    lab.page.screenshot(path=results / "services-launcher.png")
    lab.tile("Inputs").click()
    dialog = lab.dialog
    expect(dialog.get_by_label("Environment")).to_have_value("base")
    expect(dialog.get_by_label("Password")).to_have_attribute("type", "password")
    dialog.get_by_label("Install it?").uncheck()
    expect(dialog.get_by_label("Environment")).to_have_count(0)
    expect(dialog.get_by_label("Command")).to_be_visible()
    lab.page.screenshot(path=results / "services-form.png")
    dialog.get_by_role("button", name="Cancel").click()

    lab.server.post("jupyter-sessions/v1/sessions", {"app": "stepwise", "name": "Steps"})
    lab.show_panel()
    card = lab.expect_card("Steps", "Starting")
    expect(card).to_contain_text("Installing packages")
    card.get_by_text("Steps").dblclick()
    expect(lab.tab).to_contain_text("Installing packages")
    job = next(home.store.rglob("job/service.json"))
    said = json.loads(job.read_text())
    job.write_text(json.dumps({**said, "JOB_STATUS": "Waiting for a license, 3rd in line"}))
    expect(lab.tab).to_contain_text("Waiting for a license, 3rd in line")
    expect(card).to_contain_text("3rd in line")
    lab.page.screenshot(path=results / "services-waiting.png")
    why = "The license server lic1 is full."
    job.write_text(json.dumps({**said, "JOB_STATUS": "Failed", "ERROR_MESSAGE": why}))
    expect(lab.tab.get_by_role("button", name="Start again")).to_be_visible()
    expect(lab.tab).to_contain_text(why)
    lab.page.screenshot(path=results / "services-failed.png")
    assert lab.errors == []


def test_a_service_that_is_away_says_so_until_it_is_back(
    lab: Lab, port: int, results: Path
) -> None:
    session = lab.server.post("jupyter-sessions/v1/sessions", {"app": "grafana"})
    lab.show_panel()
    card = lab.expect_card("Grafana", "Starting")
    expect(card).to_contain_text(f"http://localhost:{port} does not answer: Connection refused.")
    lab.page.screenshot(path=results / "services-away.png")
    argv = [sys.executable, str(TESTS / "proxied" / "service.py"), "--port", str(port)]
    service = subprocess.Popen(argv)
    try:
        card = lab.expect_card("Grafana", "Running")
        card.get_by_text("Grafana").dblclick()
        expect(lab.tab.frame_locator("iframe").locator("body")).to_contain_text("/grafana/")
    finally:
        service.terminate()
        service.wait(10)
    # Whoever fails to connect lets it look at once.
    lab.server.request("GET", lab.server.origin + session["url"])
    expect(card).to_contain_text("does not answer: Connection refused.")
    lab.page.screenshot(path=results / "services-lost.png")
    wait(lambda: lab.server.session(session["id"])["state"] == "running", 5, "it stays")
    assert lab.errors == []
