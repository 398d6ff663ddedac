"""The app never sees a credential of ours, however it is spelled; its own it always gets."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

import pytest

from tests.gateway.conftest import Put
from tests.gateway.harness import TOKEN, Server, Wire
from tests.gateway.strict import Message
from tests.gateway.torture import HOST, PLACES, TARGET, Client, Recorder, arrive, requests

LOGIN_COOKIE = "username-localhost-8888"
REQUESTS = 5000  # at each of the two servers
CONNECTIONS = 6
BATCH = 8


@dataclass(frozen=True)
class Secrets:
    """What Jupyter gave to this browser."""

    login: str
    xsrf: str = "2|deadbeef|0123456789abcdef|1700000000"

    def seen_in(self, text: str) -> list[str]:
        plain = text + unquote_plus(text, "latin-1")
        return [s for s in (TOKEN, self.login, self.xsrf, LOGIN_COOKIE) if s in plain]


async def log_in(server: Server) -> Secrets:
    """A token request is answered with the login cookie."""
    line = f"GET {TARGET}/log-in?token={TOKEN} HTTP/1.1".encode()
    async with await Client.to(server.port) as client:
        answer = await client.ask(b"\r\n".join([line, HOST, b"", b""]))
    cookies = [c for c in answer.all("set-cookie") if c.startswith(f"{LOGIN_COOKIE}=")]
    return Secrets(cookies[0].split(";")[0].partition("=")[2].strip('"'))


@dataclass
class Request:
    number: int
    data: bytes
    method: str


@dataclass
class Maker:
    """Makes requests with credentials in them, and something of the app's own."""

    secrets: Secrets
    random: random.Random

    def request(self, number: int) -> Request:
        rng = self.random
        method = rng.choice(["GET", "GET", "GET", "HEAD", "POST", "PUT", "OPTIONS", "DELETE"])
        token, header, cookie = rng.choice(
            [(True, False, False), (False, True, False), (False, False, True), (True, True, True)]
        )
        lines = [self.cookies(number, login=cookie), f"X-Mine: {number}"]
        if header:
            word = rng.choice(["token", "Token", "bearer", "BEARER"])
            name = rng.choice(["Authorization", "authorization", "AUTHORIZATION"])
            lines.append(f"{name}: {word}{rng.choice([' ', '  ', chr(9)])}{TOKEN}")
        if rng.random() < 0.3:
            lines.append(f"{rng.choice(['X-XSRFToken', 'x-xsrftoken'])}: {self.secrets.xsrf}")
        if rng.random() < 0.3:
            lines.append(f"Referer: http://localhost:8888/lab?{self.query(number, True)}")
        if rng.random() < 0.2:
            lines.append("Connection: X-Other, cookie-x")
        body = rng.randbytes(rng.randrange(20)) if method in ("POST", "PUT") else b""
        if body:
            lines.append(f"Content-Length: {len(body)}")
        rng.shuffle(lines)
        first = f"{method} {TARGET}/app?{self.query(number, token)} HTTP/1.1"
        text = "\r\n".join([first, HOST.decode(), *lines, "", ""])
        return Request(number, text.encode("latin-1") + body, method)

    def query(self, number: int, token: bool) -> str:
        rng = self.random
        parts = [f"q={number}", *rng.choices(["a=b", "", "token", "x=%5E", "mytoken=1"], k=2)]
        if token:
            parts += [self.token() for _ in range(rng.choice([1, 1, 1, 2]))]
        rng.shuffle(parts)
        return "&".join(parts)

    def token(self) -> str:
        """A parameter that Jupyter takes for its token."""
        pad = self.random.choices(
            ["", "+", "%20", "%09", "%0A", "%0d", "%C2%A0", "%E2%80%83"],
            [9, 1, 1, 1, 1, 1, 1, 1],
            k=2,
        )
        return f"{self.escape('token')}={pad[0]}{self.escape(TOKEN)}{pad[1]}"

    def escape(self, text: str) -> str:
        form = self.random.choice(["{}", "{}", "%{:02x}", "%{:02X}"])
        if form == "{}":
            return text
        share = self.random.random()
        return "".join(form.format(ord(c)) if self.random.random() < share else c for c in text)

    def cookies(self, number: int, *, login: bool) -> str:
        rng = self.random
        secret = self.secrets.login
        ours = []
        if login:
            value = rng.choice([secret, f'"{secret}"', f" {secret} ", f'"{secret}" '])
            ours.append(rng.choice(["{}={}", " {} ={}", "{}= {}"]).format(LOGIN_COOKIE, value))
        if rng.random() < 0.5:
            ours.append(f"_xsrf={self.secrets.xsrf}")
        if rng.random() < 0.2:
            ours.append(
                rng.choice(["jupyterhub-session-id", "USERNAME-localhost-8888"]) + "=" + secret
            )
        mine = [f"mine={number}", *rng.choices(["a=b=c", "user=x", 'q="1"', "x", "_xsrf2=1"], k=2)]
        both = ours + mine
        rng.shuffle(both)
        return "Cookie: " + rng.choice(["; ", ";", " ; "]).join(both)


@dataclass
class Listener:
    """An app that keeps what it sees, by the number that the request carries."""

    seen: dict[int, Message] = field(default_factory=dict)
    raw: list[bytes] = field(default_factory=list)

    async def __call__(self, wire: Wire) -> None:
        async for request in requests(wire):
            if number := request.get("x-mine"):
                assert int(number) not in self.seen
                self.seen[int(number)] = request
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


async def _talk(server: Server, maker: Maker, numbers: range, admitted: set[int]) -> None:
    """Send requests over a few connections, many at a time."""
    left = [maker.request(number) for number in numbers]
    while left:
        async with await Client.to(server.port) as client:
            for _ in range(maker.random.randrange(1, 6)):
                batch = [
                    left.pop() for _ in range(min(len(left), maker.random.randrange(1, BATCH)))
                ]
                await client.send(b"".join(request.data for request in batch))
                for request in batch:
                    answer = await client.answer(request.method)
                    assert answer is not None
                    assert answer.status in (200, 403)
                    if answer.status == 200:
                        admitted.add(request.number)
                    elif answer.get("connection") == "close":
                        left += batch[batch.index(request) + 1 :]
                        break
                else:
                    continue
                break


async def test_the_app_never_sees_a_credential_of_ours(server: Server, put: Put) -> None:
    seed = random.randrange(2**32)
    listener = Listener()
    await put("app", listener)
    secrets = await log_in(server)
    admitted: set[int] = set()
    share = REQUESTS // CONNECTIONS
    try:
        async with asyncio.TaskGroup() as tasks:
            for n in range(CONNECTIONS):
                maker = Maker(secrets, random.Random(f"{seed} {n}"))
                numbers = range(n * share + 1, (n + 1) * share + 1)
                tasks.create_task(_talk(server, maker, numbers, admitted))
        for number, passed in listener.seen.items():
            text = "\n".join([passed.said, *(f"{n}: {v}" for n, v in passed.fields)])
            assert not secrets.seen_in(text), text
            assert f"q={number}" in passed.first.decode().split(" ")[1].partition("?")[2].split("&")
            assert f"mine={number}" in [c.strip() for c in (passed.get("cookie") or "").split(";")]
            assert passed.get("authorization") is None
        assert set(listener.seen) == admitted
        assert len(admitted) > 0.9 * REQUESTS
    except BaseException as error:
        error.add_note(f"seed: {seed}")
        raise


SPELLINGS = [
    "token={}", "%74oken={}", "tok%65n={}", "%74%6F%6b%65%6E={}", "token=+{}+", "token=%20{}",
    "token={}%09", "token=%0d%0a{}", "token=%C2%A0{}", "token={}&token={}", "token=&token={}",
    "token={}&token=", "a=b&token={}&c=d", "&&token={}&&", "token={}&",
    "token=%01{}", "token={}%00", "token=%1F%01{}%02", "token=+%1B{}",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_spellings_of_the_token(server: Server, put: Put, place: str, spelling: str) -> None:
    """In the URL, where it lets the user in, and in the Referer of the request after it."""
    recorder = Recorder()
    await put("app", recorder)
    query = spelling.replace("{}", TOKEN)
    login = f"Authorization: token {TOKEN}".encode() if query.endswith("token=") else b"X: y"
    fields = [HOST, login, f"Referer: http://localhost:8888/x?{query}".encode(), b"", b""]
    async with await Client.to(server.port) as client:
        line = f"GET {TARGET}/case?{query} HTTP/1.1".encode()
        await arrive(client, place, b"\r\n".join([line, *fields]))
        answer = await client.answer()
        assert answer is not None
        assert answer.status == 200
    passed = recorder.requests[-1]
    assert TOKEN not in unquote_plus(passed.said)
    assert TOKEN not in unquote_plus(passed.get("referer") or "")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "body",
    [
        f"token={TOKEN}".encode(),
        f"Authorization: token {TOKEN}\r\n\r\n".encode(),
    ],
)
async def test_a_body_is_the_apps_own_and_lets_nobody_in(
    server: Server, put: Put, place: str, body: bytes
) -> None:
    recorder = Recorder()
    await put("app", recorder)
    form = b"Content-Type: application/x-www-form-urlencoded"
    line = f"POST {TARGET}/case HTTP/1.1".encode()
    length = b"Content-Length: %d" % len(body)
    async with await Client.to(server.port) as client:
        await arrive(client, place, b"\r\n".join([line, HOST, form, length, b"", b""]) + body)
        answer = await client.answer()
        assert answer is not None
        assert answer.status == 403
        assert await client.rest() == b""
    assert all("/case" not in request.said for request in recorder.requests)
