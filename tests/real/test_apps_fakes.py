"""Apps that cannot be had here, as far as fakes go: RStudio, OpenVSCode Server, MATLAB.

The fakes in fakes/ do what the vendors document; matlab-proxy is the real one, without a MATLAB.
"""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from ..processes import marked
from .server import TOKEN, Home, JupyterServer, wait

BASE = "/user/x/"
FAKES = Path(__file__).parent / "fakes"


@pytest.fixture(scope="module")
def server(home: Home) -> Iterator[JupyterServer]:
    home.env["PATH"] = f"{FAKES}:{home.env['PATH']}"
    made = JupyterServer(home, base_url=BASE)
    yield made
    made.stop()


def end(server: JupyterServer, session: Any) -> None:
    server.post(f"jupyter-sessions/v1/sessions/{session['id']}/stop")
    wait(lambda: server.session(session["id"])["state"] == "stopped", 30, "the end")
    assert marked(session["id"]) == []


def test_rstudio_is_signed_in_to_below_its_prefix_and_its_console_answers(
    server: JupyterServer, log_in: Callable[[JupyterServer], Page]
) -> None:
    folder = server.home.work / "a = b"
    folder.mkdir()
    session = server.start("rstudio", options={"folder": str(folder)})
    url = f"{BASE}sessions/{session['id']}/"
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    places = []
    path = url
    while True:
        connection.request("GET", path, headers={"Authorization": f"token {TOKEN}"})
        answer = connection.getresponse()
        answer.read()
        places.append(path)
        if answer.status != 302 or len(places) == 2:
            break
        path = answer.headers["Location"]
    connection.close()
    assert places == [url, f"{url}auth-sign-in?appUri=%2F"]
    assert answer.headers["Location"] == url
    assert f"Path={url}" in answer.headers["Set-Cookie"]
    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"

    page = log_in(server)
    page.goto(server.origin + session["url"])
    assert page.url == server.origin + url
    page.get_by_label("Console").fill("6*7")
    page.get_by_label("Console").press("Enter")
    expect(page.locator("#output")).to_contain_text(f"> 6*7 in {folder}")
    end(server, session)
    # A restart begins with the same data, and with a key of its own.
    server.post(f"jupyter-sessions/v1/sessions/{session['id']}/restart")
    server.wait_until_running(session["id"])
    end(server, session)


def test_an_rserver_that_knows_less_is_asked_for_less(home: Home) -> None:
    old = Home()
    old.env |= {
        "PATH": f"{FAKES}:{old.env['PATH']}",
        "FAKE_RSERVER_WITHOUT": "auth-timeout-minutes auth-stay-signed-in-days server-pid-file",
    }
    try:
        made = json.loads(old.cli("start", "rstudio", "--wait", "--json"))
        assert made["state"] == "running"
        old.cli("stop", made["id"])
        old.env["FAKE_RSERVER_WITHOUT"] = "www-socket"
        answer = old.cli("start", "rstudio", "--wait", "--json", check=False)
        made = json.loads(answer)
        assert made["state"] == "failed"
        assert "does not know --www-socket" in old.cli("logs", made["id"])
    finally:
        old.remove()


def test_openvscode_server_shows_a_folder_and_its_connection_is_live(
    server: JupyterServer, log_in: Callable[[JupyterServer], Page]
) -> None:
    folder = server.home.work / "project ünï"
    folder.mkdir()
    session = server.start("openvscode-server", options={"folder": str(folder)})
    page = log_in(server)
    page.goto(server.origin + session["url"])
    expect(page.get_by_role("heading")).to_have_text(str(folder))
    expect(page.get_by_role("heading")).to_have_css("color", "rgb(3, 2, 1)")
    editor = page.get_by_label("Editor")
    expect(editor).to_be_enabled()
    editor.press_sequentially("typed")
    expect(page.locator("#output")).to_have_text("TYPED")
    end(server, session)


def test_matlab_proxy_asks_for_a_license_and_lets_nobody_else_in(
    server: JupyterServer, log_in: Callable[[JupyterServer], Page], results: Path
) -> None:
    session = server.start("matlab", options={"matlab_root": str(FAKES / "matlab")})
    page = log_in(server)
    page.goto(server.origin + session["url"])
    expect(page.get_by_text("Network License Manager")).to_be_visible(timeout=30_000)
    page.screenshot(path=results / "matlab.png")

    # Its server takes what is said there: it knows the license server's name afterwards.
    page.get_by_text("Network License Manager").click()
    page.get_by_role("textbox").last.fill("27000@license.invalid")
    page.get_by_role("button", name="Submit").click()
    below = f"{BASE}sessions/{session['id']}/"

    def known() -> bool:
        _, content = server.request("GET", f"{below}get_status")
        licensing = json.loads(content)["licensing"]
        return licensing is not None and licensing.get("type") == "nlm"

    wait(known, 30, "the license server to be known")

    # Another user of the machine, at the port itself.
    log = server.home.cli("logs", session["id"])
    assert "mwi-auth-token=***" in log
    match = re.search(r"127\.0\.0\.1:(\d+)", log)
    assert match is not None
    request = urllib.request.Request(
        f"http://127.0.0.1:{match[1]}{below}set_licensing_info", b"{}", method="PUT"
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    caught.value.close()
    assert caught.value.code == 403
    end(server, session)
