"""Secrets: what a definition may say of them, where they are kept, and where they do not show."""

from __future__ import annotations

import http.client
import json
import re
import socket
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
import websockets.sync.client
import yaml
from websockets.exceptions import InvalidStatus

from jupyter_sessions.apps.app import App, AppError
from jupyter_sessions.apps.checking import doubts
from jupyter_sessions.errors import StoreError
from jupyter_sessions.manager import SessionManager
from jupyter_sessions.readiness import problem
from jupyter_sessions.record import dump
from jupyter_sessions.routes import Address
from jupyter_sessions.runner.masks import Mask
from jupyter_sessions.secrets import injection, keep, read
from jupyter_sessions.session import Session, State
from jupyter_sessions.spawners.base import Launch
from jupyter_sessions.store import SessionStore

from .attempts import Attempt, python
from .core import APP, a_session
from .live import Home, LiveServer, eventually
from .managers import ENDED, running, start, stop

GUARDED = yaml.safe_load(Path(__file__).with_name("apps").joinpath("guarded/app.yaml").read_text())
SECRET = "a-secret-of-a-certain-length"


# -- The definition ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"command": ["x", "{token}"]}, "command: others could read the secret {token}"),
        ({"stop": {"command": ["x", "--t={token}"]}}, r"stop.command: others could read"),
        ({"open_path": "?token={token}"}, "open_path: others could read the secret {token}"),
        ({"secrets": ["port"]}, "secrets: port is a name with another meaning"),
        ({"secrets": ["status"]}, "secrets: status_file is a name with another meaning"),
        ({"secrets": ["a", "a_file"]}, "secrets: a_file is a name with another meaning"),
        ({"options": {"properties": {"token": {}}}}, "secrets: token is a name"),
        ({"options": {"properties": {"token_file": {}}}}, "secrets: token_file is a name"),
        ({"secrets": ["a-b"]}, "secrets.0: 'a-b' does not match"),
        ({"env": {"A": "{tokne}"}}, "env: there is no field {tokne}"),
        ({"request_headers": {"A": "{cwd}"}}, "request_headers: {cwd} is not a secret"),
        ({"auth": {"query": {"a": "{port}"}}}, "auth.query: {port} is not a secret"),
        ({"auth": {"cookies": {"a": "{x}"}}}, "auth.cookies: {x} is not a secret"),
        ({"auth": {"cookies": {"a": "b;c"}}}, "auth.cookies.a: 'b;c' does not match"),
        ({"secrets": [], "auth": {"query": {"a": "b"}}}, "auth: there are no secrets"),
    ],
)
def test_what_a_definition_must_not_say(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AppError, match=re.escape(sentence.replace("\\", ""))) as caught:
        App.from_definition({**APP, "secrets": ["token"], **fields})
    if "others could read" in sentence:
        assert "{token_file}" in str(caught.value)


def test_without_secrets_braces_mean_nothing_in_header_fields() -> None:
    app = App.from_definition({**APP, "request_headers": {"A": "{token} {{"}})
    assert injection(app, {}).headers == {"A": "{token} {{"}


def test_with_secrets_values_are_templates() -> None:
    headers = {"A": "token {token} {{}}", "Gone": None}
    auth = {"cookies": {"c": "x{token}"}, "query": {"a b": "{token}&"}}
    app = App.from_definition(
        {**APP, "secrets": ["token"], "request_headers": headers, "auth": auth}
    )
    added = injection(app, {"token": "T-{token}"})
    assert added.headers == {"A": "token T-{token} {}", "Gone": None}
    assert added.cookies == {"c": "xT-{token}"}
    assert added.query == {"a%20b": "T-%7Btoken%7D%26"}
    assert "T-" not in repr(added)
    path, fields = added.request("/x?y")
    assert path == "/x?y&a%20b=T-%7Btoken%7D%26"
    assert fields == {"A": "token T-{token} {}", "Cookie": "c=xT-{token}"}


@pytest.mark.parametrize(
    ("fields", "is_open"),
    [
        ({}, False),
        ({"env": {}, "command": ["x", "{port}"]}, True),  # it does not know them
        ({"request_headers": {}, "auth": {"cookies": {"a": "b"}}}, True),  # nothing carries them
        ({"request_headers": {}, "auth": {"query": {"a": "{token}"}}}, False),
        ({"command": ["x", "{port}"], "auth": {"query": {"a": "{token}"}}}, True),  # one, the other
    ],
)
def test_an_app_with_a_secret_of_its_own_has_no_open_port(
    fields: Mapping[str, Any], is_open: bool
) -> None:
    assert App.from_definition({**GUARDED, **fields}).has_open_port == is_open


def test_a_secret_that_leads_nowhere_is_doubtful() -> None:
    app = App.from_definition({**APP, "secrets": ["token"]})
    texts = [text for _, text in doubts(app) if text.startswith("secrets")]
    assert len(texts) == 2
    assert not [t for _, t in doubts(App.from_definition(GUARDED)) if t.startswith("secrets")]


# -- Where they are kept -------------------------------------------------------------------------


def test_each_attempt_has_its_own(tmp_path: Path) -> None:
    store = SessionStore(tmp_path / "store")
    session = store.create(a_session())
    values = keep(store, session, ["token", "key"])
    assert len({*values.values()}) == 2
    assert all(len(value) >= 43 for value in values.values())
    assert keep(store, session, ["token", "key"]) == values
    assert read(store, session, ["key", "token"]) == values
    path = store.directory(session.id) / "secrets.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    second = session.now(number=2)
    with pytest.raises(StoreError, match="restart it"):
        read(store, second, ["token"])
    assert not {*keep(store, second, ["token"]).values()} & {*values.values()}


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"attempt": 1}', '{"attempt": 1, "values": 2}']
)
def test_a_file_that_makes_no_sense_is_an_error_that_says_nothing_of_it(
    tmp_path: Path, content: str
) -> None:
    store = SessionStore(tmp_path / "store")
    session = store.create(a_session())
    (store.directory(session.id) / "secrets.json").write_text(content)
    with pytest.raises(StoreError, match="cannot be read") as caught:
        read(store, session, ["token"])
    assert caught.value.__cause__ is None


def test_a_launch_does_not_show_them() -> None:
    launch = Launch(
        session_id="a", attempt=1, name="a", directory="/a", argv=(), fields={}, cwd="/",
        secrets={"token": SECRET},
    )  # fmt: skip
    assert SECRET not in repr(launch)


# -- The runner ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", range(1, 40))
def test_a_secret_is_masked_however_the_stream_is_cut(size: int) -> None:
    mask = Mask([SECRET, "other-secret", ""])
    text = f"a {SECRET}{SECRET[:7]}\n{SECRET[:-1]} other-{SECRET}other-secret{SECRET[:5]}"
    data = text.encode()
    pieces = [mask.feed(data[n : n + size]) for n in range(0, len(data), size)]
    masked = b"".join([*pieces, mask.flush()]).decode()
    assert masked == text.replace("other-secret", "***").replace(SECRET, "***")


def test_structure_is_not_masked_but_what_it_holds() -> None:
    mask = Mask(["{}", 'a"b', "links"])
    told = {"message": 'say a"b', "ready": False, "port": 80, "x": [{"t links": "{}"}]}
    expected = {"message": "say ***", "ready": False, "port": 80, "x": [{"t ***": "***"}]}
    assert mask.json(told) == expected


def test_what_cannot_be_a_secret_is_not_held_back() -> None:
    mask = Mask([SECRET])
    assert mask.feed(b"password: ") == b"password: "
    assert mask.feed(b"a-sec") == b""
    assert mask.feed(b"ond\n") == b"a-second\n"


def test_an_app_gets_its_secret_by_environment_and_file_and_nobody_else_does(
    attempt: Attempt,
) -> None:
    program = """
import os, stat, sys, time
given = open(sys.argv[1]).read()
assert given == os.environ["TOKEN"]
assert stat.S_IMODE(os.stat(sys.argv[1]).st_mode) == 0o600
print("It is", given, flush=True)
os.write(1, given[:12].encode()); time.sleep(0.3); os.write(1, given[12:].encode() + b"\\n")
with open(os.environ["SESSION_STATUS_FILE"], "w") as file:
    file.write('{"failed": "I am %s", "links": [{"path": "%s"}]}' % (given, given))
time.sleep(600)
"""
    attempt.start(
        [*python(program), "{token_file}"], env={"TOKEN": "{token}"}, secrets={"token": SECRET}
    )
    end = attempt.end()
    assert (end["reason"], end["message"]) == ("app_failed", "I am ***")
    assert attempt.log.count("***") == 3
    told = ("log", "exit.json", "told.json", "started.json", "runner.json", "runner.log")
    for name in told:
        assert SECRET not in (attempt.directory / name).read_text(), name
    for path in {*attempt.directory.iterdir()} - {attempt.directory / "status.json"}:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_secret_is_no_field_of_a_command_line(attempt: Attempt) -> None:
    attempt.start(["echo", "{token}"], secrets={"token": SECRET})
    end = attempt.end()
    assert end["reason"] == "start_failed"
    assert "{token} in '{token}' is not a field" in end["message"]


async def test_the_readiness_request_carries_them(tmp_path: Path) -> None:
    import asyncio

    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 401 No\r\n\r\n")
        writer.close()

    path = str(tmp_path / "socket")
    async with await asyncio.start_unix_server(answer, path):
        fields = {"Authorization": "token s3cret", "host": "me"}
        trouble = await problem(Address.unix(path), "/?t=s3cret", [200], fields)
    assert trouble == "it answers HTTP 401 to /"
    assert asked == [
        b"GET /?t=s3cret HTTP/1.1\r\nAccept: */*\r\nAuthorization: token s3cret\r\nhost: me\r\n"
        b"Connection: close\r\n\r\n"
    ]


# -- The whole way -------------------------------------------------------------------------------


def values_of(manager: SessionManager, session: Session) -> list[str]:
    return [*read(manager.store, session, ["token", "key"]).values()]


def cmdlines() -> str:
    found = ""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += path.read_text(errors="replace")
        except OSError:
            continue
    return found


async def test_they_are_in_nothing_that_is_told(root: Path) -> None:
    events: list[str] = []
    async with running(root, open_ports="deny") as manager:
        manager.observers.append(
            lambda before, after: events.append(json.dumps(manager.describe(after or before)))  # type: ignore[arg-type]
        )
        session = await start(manager, app="guarded")
        assert session.state is State.RUNNING, session.attempt.message
        session = await manager.wait_for(session.id, lambda s: bool(s.attempt.message))
        first = values_of(manager, session)
        log = b"".join([chunk async for chunk in manager.logs(session.id)]).decode()
        assert "My secrets are *** and ***\nIn two pieces: ***\n" in log
        described = manager.describe(session)
        assert described["message"] == "I am ***"
        record = (root / "sessions" / session.id / "session.json").read_text()
        told = [log, record, str(dump(session)), json.dumps(described), cmdlines(), *events]
        await manager.restart(session.id)
        session = await manager.wait_for(
            session.id, lambda s: s.attempt.number == 2 and s.state in (State.RUNNING, *ENDED)
        )
        assert session.state is State.RUNNING, session.attempt.message
        assert not {*first} & {*values_of(manager, session)}
        await stop(manager, session)
        told += [str(dump(session))]
        assert not [value for value in first if any(value in text for text in told)]


class Browser:
    """One that keeps cookies, and follows redirects to the same server."""

    def __init__(self, server: LiveServer) -> None:
        self._server = server
        self._cookies: dict[str, str] = {}
        self.visited: list[str] = []

    def get(self, path: str, **more: str) -> tuple[int, bytes]:
        for _ in range(10):
            self.visited.append(path)
            parts = urlsplit(self._server.url)
            connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
            fields = {"Authorization": f"token {self._server.token}", **more}
            if self._cookies:
                fields["Cookie"] = "; ".join(f"{n}={v}" for n, v in self._cookies.items())
            connection.request("GET", path, headers=fields)
            answer = connection.getresponse()
            body = answer.read()
            for value in answer.headers.get_all("Set-Cookie") or []:
                name, _, rest = value.partition("=")
                self._cookies[name] = rest.partition(";")[0]
            connection.close()
            if answer.status not in (301, 302, 307):
                return answer.status, body
            path = re.sub(r"\./$", "", answer.headers["Location"]) or path
            path = path if path.startswith("/") else self.visited[-1] + path
        raise AssertionError(f"It goes round and round: {self.visited}")

    def echo(self, path: str, word: str) -> str:
        url = f"ws{self._server.url.removeprefix('http').rstrip('/')}{path}"
        fields = {"Authorization": f"token {self._server.token}"}
        with websockets.sync.client.connect(url, additional_headers=fields) as socket_:
            socket_.send(word)
            return str(socket_.recv(30))


def api(server: LiveServer, path: str, body: Any = None) -> Any:
    """What the REST API answers to a GET, or to a POST of `body`."""
    url = f"{server.url}jupyter-sessions/v1/sessions{path}"
    fields = {"Authorization": f"token {server.token}"}
    content = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, content, fields), timeout=60) as answer:
        return json.load(answer)


def running_again(server: LiveServer, session_id: str, attempt: int) -> dict[str, Any]:
    """The session, once its attempt of this number runs."""

    def there() -> dict[str, Any] | None:
        session: dict[str, Any] = api(server, f"/{session_id}")
        assert session["state"] != "failed", session
        here = session["attempt"] == attempt and session["state"] == "running"
        return session if here else None

    session = eventually(there)
    assert session is not None
    return session


@pytest.mark.parametrize("takeover", [True, False])
def test_an_app_that_refuses_everybody_else_is_used_as_any_other(
    home: Home, takeover: bool
) -> None:
    arguments = [f"--SessionsExtension.takeover={takeover}", "--SessionManager.open_ports=deny"]
    with LiveServer.start(home, *arguments) as server:
        eventually(lambda: answers(server))
        session_id = api(server, "", {"app": "guarded"})["id"]
        url = running_again(server, session_id, 1)["url"]
        use(server, url)
        kept = home.data / "jupyter_sessions" / "sessions" / session_id
        refused(json.loads((kept / "1" / "connection.json").read_text())["address"])
    with LiveServer.start(home, *arguments) as server:
        eventually(lambda: answers(server))
        use(server, url)
        api(server, f"/{session_id}/restart", {})
        running_again(server, session_id, 2)
        use(server, url)


def answers(server: LiveServer) -> bool:
    """Whether it listens: it says where a moment before it does."""
    try:
        return bool(server.get("api"))
    except URLError:
        return False


def use(server: LiveServer, url: str) -> None:
    """Open the app as a browser does, ask for data, and speak through a websocket."""
    browser = Browser(server)
    eventually(lambda: browser.get(f"{url}data")[0] != 503)
    assert browser.get(f"{url}data") == (200, b'{"query": ""}')
    browser.visited.clear()
    status, body = browser.get(url, Accept="text/html")
    assert (status, json.loads(body)) == (200, {"cookies": ["inside", "key"], "query": ""})
    assert browser.visited == [url, url]
    assert browser.echo(f"{url}echo", "hello") == "hello"


def refused(address: dict[str, Any]) -> None:
    """Whoever comes by the port itself does not get in."""
    with socket.create_connection((address["host"], address["port"])) as direct:
        direct.sendall(b"GET /data HTTP/1.0\r\n\r\n")
        assert b" 401 " in direct.makefile("rb").readline()
    with pytest.raises(InvalidStatus):
        websockets.sync.client.connect(f"ws://{address['host']}:{address['port']}/echo")
