"""``jupyter sessions apps …`` as people use it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from jupyter_sessions.cli.checks import AppTest
from jupyter_sessions.cli.page import place, references, rooted_calls, style_references, websockets
from jupyter_sessions.cli.trial import trial

from .helpers import write_app
from .live import PATIENCE, Commands, Home, eventually
from .proxied.packages import install_example
from .test_project_apps import write_project_app

SERVER = """
import base64, hashlib, http.server, socketserver, sys

PAGES = {pages!r}

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        key = self.headers.get("Sec-WebSocket-Key")
        if key and self.path == "/live":
            digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
            self.send_response(101)
            self.send_header("Connection", "Upgrade")
            self.send_header("Upgrade", "websocket")
            self.send_header("Sec-WebSocket-Accept", base64.b64encode(digest).decode())
            self.end_headers()
            self.rfile.read(1)
            self.close_connection = True
            return
        status, kind, content = PAGES.get(self.path, (404, "text/plain", "no"))
        self.send_response(status)
        self.send_header("Location" if status == 302 else "Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content.encode())

    def address_string(self):
        return "somebody"

with socketserver.ThreadingUnixStreamServer(sys.argv[1], Handler) as server:
    server.serve_forever()
"""
HTML, CSS, JS = "text/html", "text/css", "text/javascript"
Pages = dict[str, tuple[int, str, str]]
GOOD: Pages = {
    "/": (302, "start", ""),
    "/start": (200, HTML, "<link href=a.css><script src='a.js'></script><a href='x'>x</a>"),
    "/a.css": (200, CSS, "b {background: url(p.png)}"),
    "/p.png": (200, "image/png", "x"),
    "/a.js": (200, JS, "new WebSocket('live'); fetch('data')"),
}


def an_app(home: Home, pages: Pages, name: str = "pages") -> None:
    """An app that serves these pages."""
    path = write_app(
        home.config,
        name,
        command=["{python}", "{app_dir}/serve.py", "{socket}"],
        ready={"codes": "any"},
    )
    path.with_name("serve.py").write_text(SERVER.format(pages=pages))


def verdicts(cli: Commands, code: int) -> dict[str, tuple[str, str]]:
    checked = json.loads(cli("apps", "test", "pages", "--json", code=code).out)
    assert checked["works"] is (code == 0)
    return {c["name"]: (c["verdict"], c["message"]) for c in checked["checks"]}


# The list and the definitions -------------------------------------------------------------------


def test_the_list_is_what_apps_prints_with_and_without_its_name(cli: Commands) -> None:
    assert cli("apps").out == cli("apps", "list").out
    assert cli.json("apps") == cli.json("apps", "list")
    assert json.loads(cli("apps", "--json", "list").out) == cli.json("apps")


def test_show_prints_what_counts_and_what_it_replaces(cli: Commands, home: Home) -> None:
    write_app(home.config, "files", command=["x", "{socket}"], title="Mine")
    shown = cli("apps", "show", "files").out
    assert f"# {home.config}/jupyter_sessions/apps/files/app.yaml" in shown
    assert "builtin/files/app.yaml" in shown
    assert yaml.safe_load(shown)["title"] == "Mine"
    described = cli.json("apps", "show", "files")
    assert described["definition"]["command"] == ["x", "{socket}"]
    assert [r["problem"] for r in described["replaces"]] == [""]
    assert "Did you mean" in cli("apps", "show", "flies", code=3).err


def test_show_and_check_know_the_apps_of_projects(cli: Commands, home: Home) -> None:
    project = home.path / "project"
    file = write_project_app(project) / "app.yaml"
    inside = ("--cwd", str(project))
    assert "trust project:dash" in cli("apps", "show", "project:dash", *inside, code=4).err
    assert "0 errors" in cli("apps", "check", "project:dash", *inside).err
    cli("apps", "trust", "project:dash", "--yes", *inside)
    shown = cli("apps", "show", "project:dash", *inside).out
    assert f"# {file}" in shown
    assert yaml.safe_load(shown)["title"] == "Dash"
    file.write_text(file.read_text() + "colour: red\n")
    found = json.loads(cli("apps", "check", "project:dash", "--json", *inside, code=2).out)
    assert [(f["app"], f["origin"]) for f in found] == [("project:dash", str(file))]
    assert found[0]["line"] == len(file.read_text().splitlines())
    for action in ("show", "check"):
        assert "app.yaml" in cli("apps", action, "project:none", *inside, code=3).err


def test_show_says_what_a_server_of_somebody_elses_ignores(cli: Commands, home: Home) -> None:
    home.environment["PYTHONPATH"] = str(install_example(home.path / "site"))
    shown = cli("apps", "show", "asking").out
    assert "made when it starts" in shown
    assert "rewrite_response is ignored" in shown
    assert "command" not in yaml.safe_load(shown)
    assert "say" in cli("apps", "new", "mine", "--from", "asking", code=2).err


# New --------------------------------------------------------------------------------------------


def test_a_new_app_is_fine_at_once_and_works(cli: Commands, home: Home) -> None:
    made = cli("apps", "new", "my-app")
    folder = home.config / "jupyter_sessions" / "apps" / "my-app"
    names = ["README.md", "app.yaml", "icon.svg", "serve.py"]
    assert made.out.split() == [str(folder / name) for name in names]
    first = (folder / "app.yaml").read_text().splitlines()[0]
    schema = Path(first.partition("=file://")[2])
    assert json.loads(schema.read_text()) == json.loads(cli("apps", "schema").out)
    done = cli("apps", "check", "my-app")
    assert (done.out, "0 errors, 0 warnings" in done.err) == ("", True)
    assert "exists" in cli("apps", "new", "my-app", "--json", code=4).err
    checked = cli("apps", "test", "my-app", "-o", "greeting=<b>&")
    assert "works" in checked.err
    assert "failed" not in checked.out


def test_a_new_app_from_another_is_the_same_with_another_name(cli: Commands, home: Home) -> None:
    place = home.path / "elsewhere"
    made = cli.json("apps", "new", "mine", "--from", "echo", "--directory", str(place))
    assert str(place / "mine" / "echo.py") in made["files"]
    copy = yaml.safe_load((place / "mine" / "app.yaml").read_text())
    before = cli.json("apps", "show", "echo")["definition"]
    assert copy == before | {"name": "mine"}
    assert "mine" not in {a["name"] for a in cli.json("apps")}
    assert "0 errors" in cli("apps", "check", str(place / "mine")).err


def test_a_new_app_from_the_configuration_is_written_out(cli: Commands, home: Home) -> None:
    settings = home.config / "jupyter_server_config.py"
    settings.write_text("c.SessionManager.apps = {'conf': {'command': ['x', '{socket}']}}\n")
    cli("apps", "new", "mine", "--from", "conf")
    assert cli.json("apps", "show", "mine")["definition"] == {
        "name": "mine",
        "title": "conf",
        "command": ["x", "{socket}"],
    }


@pytest.mark.parametrize("name", ["Mine", "-a", "../x", "a/b", "a b", "a\n", ""])
def test_a_name_that_cannot_be_is_refused(cli: Commands, home: Home, name: str) -> None:
    folder = home.config / "jupyter_sessions" / "apps"
    before = sorted(folder.iterdir())
    assert "name" in cli("apps", "new", "--", name, code=2).err
    assert sorted(folder.iterdir()) == before


# Check ------------------------------------------------------------------------------------------


def test_check_says_where_what_is_wrong(cli: Commands, home: Home) -> None:
    path = write_app(home.config, "bad", command="x {socket}")
    text = path.read_text()
    line = next(n for n, t in enumerate(text.splitlines(), 1) if t.startswith("command"))
    done = cli("apps", "check", "bad", code=2)
    assert done.out.startswith(f"{path}:{line}:1: error: command: ")
    assert cli("apps", "check", str(path), code=2).out == done.out
    (found, *_) = json.loads(cli("apps", "check", "bad", "--json", code=2).out)
    assert (found["app"], found["line"], found["level"]) == ("bad", line, "error")
    everything = cli("apps", "check", code=2)
    assert "port" in everything.out  # a warning about another app
    assert "1 errors" in everything.err
    cli("apps", "check", "nothing", code=3)
    cli("apps", "check", "port")  # warnings only


# Test -------------------------------------------------------------------------------------------


def test_an_app_that_works_passes_every_check(cli: Commands, home: Home) -> None:
    an_app(home, GOOD)
    found = verdicts(cli, 0)
    assert {name: verdict for name, (verdict, _) in found.items()} == {
        "start": "ok",
        "page": "ok",
        "links": "ok",
        "content": "ok",
        "scripts": "ok",
        "websocket": "ok",
        "stop": "ok",
    }
    assert "1 redirects" in found["page"][1]
    assert "3 scripts" in found["content"][1]
    assert "/live opens" in found["websocket"][1]
    assert cli.json("list", "--all") == []  # it was somewhere else


BAD: list[tuple[Pages, str, str, str]] = [
    ({"/start": (200, HTML, "<script src=/a.js></script>")}, "links", "failed", "/a.js"),
    ({"/start": (200, HTML, "<form action=/send>")}, "links", "failed", "/send"),
    ({"/start": (200, HTML, "<base href=/>")}, "links", "failed", "<base href> /"),
    ({"/a.css": (200, CSS, "b {background: url('/p.png')}")}, "links", "failed", "/p.png"),
    ({"/start": (200, HTML, "<a href=/home>")}, "links", "warning", "/home"),
    (
        {"/start": (200, HTML, "<script src=https://cdn.test/x.js></script>")},
        "links",
        "warning",
        "cdn.test",
    ),
    ({"/a.js": (500, JS, "")}, "content", "failed", "a.js: HTTP 500"),
    ({"/a.js": (200, JS, "fetch('/data')")}, "scripts", "warning", "/data"),
    ({"/a.js": (200, JS, "new WebSocket('/live')")}, "websocket", "failed", "/live"),
    ({"/a.js": (200, JS, "new WebSocket('dead')")}, "websocket", "failed", "404"),
    ({"/a.js": (200, JS, "x('wss://other.test/y')")}, "websocket", "skipped", "of its own"),
    ({"/": (302, "//other.test/", "")}, "page", "failed", "to another server"),
    ({"/": (302, "/", "")}, "page", "failed", "10 times"),
    ({"/start": (403, HTML, "")}, "page", "failed", "HTTP 403"),
    ({"/start": (200, "application/json", "{}")}, "links", "skipped", "not a page"),
]


async def test_what_does_not_work_behind_a_prefix_is_found(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, home.environment[name])
    for number, (change, *_) in enumerate(BAD):
        an_app(home, {**GOOD, **change}, f"pages-{number}")
    wrong = []
    async with trial([]) as server:  # one for all of them: it takes seconds to start
        for number, (_, name, verdict, says) in enumerate(BAD):
            checks = [c async for c in AppTest(server, {"app": f"pages-{number}"}).run()]
            found = next(c for c in checks if c.name == name)
            if found.verdict != verdict or says not in found.message:
                wrong.append((number, found))
            assert checks[-1].name == "stop"
            assert {c.verdict for c in checks if c.name in ("start", "stop")} == {"ok"}
    assert wrong == []


def test_an_app_that_does_not_start_shows_its_log(cli: Commands, home: Home) -> None:
    write_app(home.config, "pages", command=["{python}", "-c", "print('no licence')", "{socket}"])
    message = verdicts(cli, 1)["start"][1]
    assert "ended with code 0 before it was ready" in message
    assert "no licence" in message


def test_an_interrupted_test_leaves_nothing(cli: Commands, home: Home) -> None:
    write_app(home.config, "pages", command=["{python}", "-c", "import time; time.sleep(999)"])
    command = ["apps", "test", "pages"]

    def ours() -> Iterator[int]:
        for entry in os.listdir("/proc"):
            try:
                words = Path("/proc", entry, "cmdline").read_bytes().split(b"\0")
                environment = Path("/proc", entry, "environ").read_bytes()
            except (OSError, ValueError):
                continue
            if b"import time; time.sleep(999)" in words and str(home.path).encode() in environment:
                yield int(entry)

    with cli.popen(*command) as process:
        eventually(lambda: list(ours()))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
    eventually(lambda: not list(ours()))
    assert process.returncode == 130


# What a page refers to --------------------------------------------------------------------------

URL = "http://h:1/base/sessions/abc/a/page"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h:1/base/sessions/abc/x", "inside"),
        ("http://h:1/base/sessions/abc", "inside"),
        ("ws://h:1/base/sessions/abc/x", "inside"),
        ("http://h:1/base/sessions/abcd/x", "escapes"),
        ("http://h:1/", "escapes"),
        ("http://h:2/base/sessions/abc/", "elsewhere"),
        ("data:image/png;base64,x", "none"),
        ("javascript:void(0)", "none"),
    ],
)
def test_where_a_reference_leads(url: str, expected: str) -> None:
    assert place(url, "http://h:1/base/sessions/abc/") == expected


def test_references_are_read_as_a_browser_does() -> None:
    html = "<base href='../b/'><img src=p.png><a name=x><a href='#y'><link href='../c&amp;d'>"
    found = [(r.element, r.url) for r in references(html, URL)]
    assert found == [
        ("<base href>", "http://h:1/base/sessions/abc/b/"),
        ("<img src>", "http://h:1/base/sessions/abc/b/p.png"),
        ("<a href>", "http://h:1/base/sessions/abc/b/"),
        ("<link href>", "http://h:1/base/sessions/abc/c&d"),
    ]
    (style,) = style_references("a{b:url( 'x.png')}", URL)
    assert style.url == "http://h:1/base/sessions/abc/a/x.png"
    assert rooted_calls("fetch('/a'); fetch(`b`); new EventSource( \"/c\" )") == ["/a", "/c"]
    assert list(websockets("new WebSocket('s'); new WebSocket(url); f('ws://x/y')", URL)) == [
        "ws://h:1/base/sessions/abc/a/s",
        "ws://x/y",
    ]
