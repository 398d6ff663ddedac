"""Gates and relays with real processes and real TLS: `gate` and `reaching/`."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import json
import os
import random
import signal
import ssl
import stat
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from jupyter_sessions import gate, runner
from jupyter_sessions.errors import SpawnerError, Unreachable
from jupyter_sessions.hosts.local import LocalHost
from jupyter_sessions.reaching import front
from jupyter_sessions.reaching.identity import NAMES, identities, name_of
from jupyter_sessions.reaching.ways import Dial, Direct, Reach
from jupyter_sessions.routes import Address
from jupyter_sessions.spawners.base import Spawner
from jupyter_sessions.testing import SpawnerContract

from .gated import GatedSpawner

PATIENCE = 40
WAYS: dict[str, Callable[[], Reach]] = {
    "direct": lambda: Direct(interface="lo"),
    "dial": lambda: Dial(listen="127.0.0.1", addresses=["127.0.0.1"]),
}

ECHO = """
import asyncio, sys

async def serve(reader, writer):
    try:
        await speak(reader, writer)
    finally:
        # Or it is open until somebody collects the garbage: whoever has gone sends no line.
        writer.close()

async def speak(reader, writer):
    greeting = await reader.readline()
    if greeting == b"send\\n":
        for _ in range(4096):
            writer.write(b"x" * 65536)
            await writer.drain()
    elif greeting == b"break\\n":
        writer.transport.abort()
    elif greeting == b"count\\n":
        count = 0
        while data := await reader.read(65536):
            count += len(data)
        writer.write(b"%d" % count)
    else:
        writer.write(greeting)
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
    await asyncio.sleep(0)

async def main():
    server = await asyncio.start_unix_server(serve, sys.argv[1], backlog=16)
    await server.serve_forever()

asyncio.run(main())
"""
"""Speaks after a line that says how: sends much, breaks off, counts, or repeats what comes."""


async def until(what: Callable[[], Any]) -> Any:
    """The first true answer of `what`."""
    async with asyncio.timeout(PATIENCE):
        while not (answer := what()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return answer


class Node:
    """An attempt with a gate, in a directory of its own."""

    def __init__(self, root: Path, way: Reach) -> None:
        self.program = ECHO
        self.directory = root / "node"
        self.keys = root / "store"
        self.way = way
        self.host = LocalHost()

    async def start(self) -> None:
        told = await self.way.gate(self.keys, str(self.directory))
        payload = {
            "session": "gated",
            "attempt": os.getpid(),
            "directory": str(self.directory),
            "argv": ["{python}", "-c", "{program}", "{socket}"],
            "fields": {"program": self.program},
            "cwd": "/",
            "stop": {"argv": None, "grace": 1},
            "gate": told,
        }
        await self.host.runner("start", payload)
        await until((self.directory / "connection.json").exists)

    @property
    def address(self) -> Address:
        told = json.loads((self.directory / "connection.json").read_text())["address"]
        return self.way.located(Address.from_json(told), "a-node", str(self.keys))

    @asynccontextmanager
    async def way_in(self) -> AsyncIterator[str]:
        async with self.way.connect(self.host, self.address) as here:
            assert here.scheme == "unix"
            yield here.path

    def gate_pid(self) -> int:
        return int(json.loads((self.directory / "gate.json").read_text())["pid"])

    def stop(self) -> dict[str, Any]:
        return runner.stop({"directory": str(self.directory), "wait": 10})


@asynccontextmanager
async def a_node(root: Path, way: str | Reach) -> AsyncIterator[Node]:
    node = Node(root, WAYS[way]() if isinstance(way, str) else way)
    await node.start()
    try:
        yield node
    finally:
        await asyncio.to_thread(node.stop)


async def talk(path: str, data: bytes = b"hello\n") -> bytes:
    """What comes back for `data`, after which we close our sending side."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(data)
        writer.write_eof()
        return await reader.read()
    finally:
        writer.close()


def lives(pid: int) -> bool:
    return runner.process(pid) is not None


class GatedContract(SpawnerContract):
    way: str

    @asynccontextmanager
    async def spawner(self) -> AsyncIterator[Spawner]:
        yield GatedSpawner(
            name="gated",
            host=LocalHost(),
            nodes=str(self.store / "nodes"),
            reach=self.way,
            node_interface="lo",
            dial_listen="127.0.0.1",
            dial_addresses=["127.0.0.1"],
        )


class TestDirect(GatedContract):
    way = "direct"


class TestDial(GatedContract):
    way = "dial"


both = pytest.mark.parametrize("way", list(WAYS))


GREETER = """
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(128)
while True:
    connection, _ = listener.accept()
    connection.sendall(b"first")
    connection.close()
"""


@both
async def test_an_app_that_speaks_first_is_heard(short_path: Path, way: str) -> None:
    node = Node(short_path, WAYS[way]())
    node.program = GREETER
    await node.start()
    try:
        async with node.way_in() as path:
            for _ in range(50):
                reader, writer = await asyncio.open_unix_connection(path)
                assert await reader.read() == b"first"
                writer.close()
    finally:
        await asyncio.to_thread(node.stop)


@both
async def test_half_closed_connections_and_large_transfers(short_path: Path, way: str) -> None:
    async with a_node(short_path, way) as node, node.way_in() as path:
        big = b"echo\n" + os.urandom(9_000_000)
        assert await talk(path, big) == big
        assert await talk(path, b"count\n" + bytes(5_000_000)) == b"5000000"


@both
async def test_a_thousand_connections_at_once(short_path: Path, way: str) -> None:
    async with a_node(short_path, way) as node, node.way_in() as path:
        opened = []
        for number in range(1000):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"%d\n" % number)
            opened.append((number, reader, writer))
        async with asyncio.timeout(PATIENCE):
            for number, reader, _ in opened:
                assert await reader.readline() == b"%d\n" % number
        for pid in (node.gate_pid(), node.way.relay.pid):  # type: ignore[attr-defined]
            assert resident(pid) < 180_000  # Python 3.11 alone would take 300 MB for it
        for _, _, writer in opened:
            writer.close()
        assert await talk(path) == b"hello\n"


class Counted(LocalHost):
    """A host that counts the connections that are made through it."""

    made = 0

    @asynccontextmanager
    async def connect(self, address: Address) -> AsyncIterator[Address]:
        async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await reader.read(65536):
                    writer.write(data)
                    await writer.drain()
            writer.close()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.made += 1
            there, back = await asyncio.open_connection(address.host, address.port)
            await asyncio.gather(pump(reader, back), pump(there, writer))

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            yield Address.tcp("127.0.0.1", server.sockets[0].getsockname()[1])


async def test_connections_one_after_the_other_share_few_handshakes(short_path: Path) -> None:
    async with a_node(short_path, "direct") as node:
        host = Counted(name="counted")
        async with node.way.connect(host, node.address) as here:
            for number in range(200):
                word = b"%d\n" % number
                assert (
                    await talk(here.path, word + b"x" * number * 100) == word + b"x" * number * 100
                )
        assert host.made <= 4 * gate.SPARE


async def test_a_link_that_a_slow_reader_had_is_as_good_for_the_next(short_path: Path) -> None:
    async with a_node(short_path, "direct") as node:
        host = Counted(name="counted")
        async with node.way.connect(host, node.address) as here:
            big = b"echo\n" + os.urandom(3_000_000)
            for _ in range(20):
                reader, writer = await asyncio.open_unix_connection(here.path, limit=1024)
                writer.write(big)
                writer.write_eof()
                got = b""
                while data := await reader.read(100_000):
                    got += data
                    await asyncio.sleep(0)
                assert got == big
                writer.close()
                assert await talk(here.path) == b"hello\n"
        assert host.made <= 4 * gate.SPARE


def resident(pid: int) -> int:
    """KiB of memory."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0])


def port_of(node: Node, way: str) -> tuple[str, int]:
    """Where strangers on the network find what listens, and the process that does."""
    if way == "direct":
        return "127.0.0.1", node.address.port
    told = json.loads(next(node.directory.glob("dial-*")).read_text())
    host, port = told["addresses"][0]
    return str(host), int(port)


@both
async def test_who_only_knocks_costs_little_and_keeps_nobody_out(
    short_path: Path, way: str
) -> None:
    """A scan, garbage, beginnings of handshakes, and a thousand who never say anything."""
    async with a_node(short_path, way) as node, node.way_in() as path:
        assert await talk(path) == b"hello\n"
        pid = node.gate_pid() if way == "direct" else node.way.relay.pid  # type: ignore[attr-defined]
        host, port = port_of(node, way)
        before = resident(pid)
        opened = []
        said = (
            b"",
            b"GET / HTTP/1.1\r\n\r\n",
            bytes(5),
            b"\x16\x03\x01\x02\x00\x01",
            os.urandom(99),
        )
        for number in range(1000):
            _, writer = await asyncio.open_connection(host, port)
            writer.write(said[number % len(said)])
            opened.append(writer)
        async with asyncio.timeout(PATIENCE):
            # More at once than there are links in advance: some have to come through the door.
            answers = await asyncio.gather(*(talk(path, b"%d\n" % n) for n in range(60)))
        assert answers == [b"%d\n" % n for n in range(60)]
        # Each handshake needs some hundred KiB: a thousand of them would be more than that.
        assert resident(pid) - before < 50_000
        for writer in opened:
            writer.close()
        assert await talk(path) == b"hello\n"
        assert b"Traceback" not in (node.directory / "log").read_bytes()


@both
async def test_clocks_may_differ_by_days(short_path: Path, way: str) -> None:
    for name, days in (("early", -3), ("late", 3)):
        root = short_path / name
        root.mkdir()
        dated(root / "store", str(root / "node"), days)
        async with a_node(root, way) as node, node.way_in() as path:
            assert await talk(path) == b"hello\n"


def dated(keys: Path, directory: str, days: int) -> None:
    """Make the keys of an attempt, of a clock that differs: valid for one day, some days away."""
    identities(keys, directory)
    begin = datetime.now(UTC) + timedelta(days=days)
    for name in NAMES:
        key = serialization.load_pem_private_key((keys / f"{name}.pem").read_bytes(), None)
        old = x509.load_pem_x509_certificate((keys / f"{name}.crt").read_bytes())
        made = x509.CertificateBuilder(old.issuer, old.subject, old.public_key())
        made = made.serial_number(old.serial_number)
        made = made.not_valid_before(begin).not_valid_after(begin + timedelta(days=1))
        for extension in old.extensions:
            made = made.add_extension(extension.value, extension.critical)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        new = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        start = (keys / f"{name}.pem").read_bytes().partition(b"-----BEGIN CERTIFICATE")[0]
        (keys / f"{name}.crt").write_bytes(new)
        (keys / f"{name}.pem").write_bytes(start + new)


@both
async def test_connections_that_are_cut_at_any_moment_leave_nothing(
    short_path: Path, way: str
) -> None:
    async with a_node(short_path, way) as node, node.way_in() as path:
        chance = random.Random(7)

        async def one(number: int) -> None:
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(chance.choice([b"send\n", b"count\n", b"echo\n", b"break\n", b""]))
            writer.write(bytes(chance.choice([0, 10, 300_000])))
            with contextlib.suppress(OSError, TimeoutError):
                if chance.random() < 0.5:
                    # Some wait for us to say more.
                    await asyncio.wait_for(reader.read(chance.choice([1, 100_000])), 0.1)
                if chance.random() < 0.3:
                    writer.write_eof()
            writer.transport.abort() if chance.random() < 0.7 else writer.close()

        async with asyncio.timeout(PATIENCE):
            for _ in range(10):
                await asyncio.gather(*(one(n) for n in range(30)))
            assert await asyncio.gather(*(talk(path) for _ in range(20))) == [b"hello\n"] * 20
        pids = (node.gate_pid(), node.way.relay.pid)  # type: ignore[attr-defined]
        # What is kept are idle links; nothing waits for who has gone.
        async with asyncio.timeout(PATIENCE):
            while any(len(os.listdir(f"/proc/{pid}/fd")) > 70 for pid in pids):  # noqa: ASYNC110
                await asyncio.sleep(0.05)


@both
async def test_a_slow_reader_holds_up_the_app_and_fills_no_memory(
    short_path: Path, way: str
) -> None:
    async with a_node(short_path, way) as node, node.way_in() as path:
        reader, writer = await asyncio.open_unix_connection(path, limit=1024)
        writer.write(b"send\n")
        assert await talk(path) == b"hello\n"  # others are not held up
        relay = node.way.relay.pid  # type: ignore[attr-defined]
        for pid in (relay, node.gate_pid()):
            status = Path(f"/proc/{pid}/status").read_text()
            assert int(status.split("VmRSS:")[1].split()[0]) < 100_000
        got = 0
        while data := await reader.read(1 << 20):
            got += len(data)
        assert got == 4096 * 65536
        writer.close()


@both
async def test_a_connection_that_the_app_breaks_off_breaks_here(short_path: Path, way: str) -> None:
    async with a_node(short_path, way) as node, node.way_in() as path:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"break\n")
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        assert await talk(path) == b"hello\n"


@both
async def test_a_gate_that_is_killed_is_replaced_and_ends_with_its_runner(
    short_path: Path, way: str
) -> None:
    async with a_node(short_path, way) as node, node.way_in() as path:
        address, pid = node.address, node.gate_pid()
        os.kill(pid, signal.SIGKILL)
        await until(lambda: node.gate_pid() != pid)
        assert node.address == address, "whoever knows the way still does"
        async with asyncio.timeout(PATIENCE):
            while await talk(path) != b"hello\n":  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert "another one is started" in (node.directory / "log").read_text()
        runner_pid = json.loads((node.directory / "runner.json").read_text())["pid"]
        pid = node.gate_pid()
        os.kill(runner_pid, signal.SIGKILL)
        await until(lambda: not lives(pid))


@both
async def test_a_relay_that_is_killed_is_replaced_at_the_same_socket(
    short_path: Path, way: str
) -> None:
    async with a_node(short_path, way) as node:
        relay = node.way.relay  # type: ignore[attr-defined]
        async with node.way_in() as path:
            first = relay.pid
            os.kill(first, signal.SIGKILL)
            async with asyncio.timeout(PATIENCE):
                while True:
                    with contextlib.suppress(OSError):
                        if await talk(path) == b"hello\n":
                            break
                    await asyncio.sleep(0.05)
            assert relay.pid not in (None, first)
            last = relay.pid
        assert relay.pid is None
        assert not lives(last)
        assert not Path(path).parent.exists()
        assert not list(node.directory.glob("dial-*"))


@both
async def test_whoever_leaves_before_there_is_another_relay_does_not_wait(
    short_path: Path, way: str
) -> None:
    async with a_node(short_path, way) as node:
        relay = node.way.relay  # type: ignore[attr-defined]
        async with asyncio.timeout(PATIENCE):
            async with node.way_in():
                reader = relay._process.stdout
                os.kill(relay.pid, signal.SIGKILL)
                await until(reader.at_eof)
                await asyncio.sleep(0)  # who reads has seen it, too
            assert relay.pid is None


async def test_two_servers_are_dialled_and_one_that_comes_again(short_path: Path) -> None:
    async with a_node(short_path, "dial") as node:
        async with node.way_in() as first:
            other = WAYS["dial"]()
            other._server = "another"  # type: ignore[attr-defined]
            async with other.connect(node.host, node.address) as second:
                assert [await talk(first), await talk(second.path)] == [b"hello\n"] * 2
        async with node.way_in() as again:
            assert await talk(again) == b"hello\n"


def impostor(keys: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if keys is not None:
        context.load_cert_chain(keys / "reach.pem")
    return context


@pytest.mark.parametrize("who", ["nobody", "another session", "the gate itself"])
async def test_who_does_not_have_the_key_does_not_get_in(short_path: Path, who: str) -> None:
    async with a_node(short_path, "direct") as node:
        identities(short_path / "other", "/other")
        keys = {"nobody": None, "another session": short_path / "other"}.get(who, node.keys)
        context = impostor(keys)
        if who == "the gate itself":
            context.load_cert_chain(node.keys / "gate.pem")
        address = node.address
        answer = b""
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(
                address.host, address.port, ssl=context, server_hostname=name_of(node.keys)
            )
            writer.write(bytes([gate.OPEN, 0, 0, 0]))
            async with asyncio.timeout(PATIENCE):
                answer = await reader.read(100)
            writer.close()
        assert answer == b""
        # And plain HTTP to it gets nothing but TLS's own refusal.
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        with contextlib.suppress(OSError):
            async with asyncio.timeout(PATIENCE):
                assert b"HTTP" not in await reader.read()
        writer.close()
        async with node.way_in() as path:
            assert await talk(path) == b"hello\n"


async def test_an_impostor_of_the_gate_is_not_believed(short_path: Path) -> None:
    async with a_node(short_path, "direct") as node:
        identities(short_path / "other", "/other")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(short_path / "other" / "gate.pem")
        reached: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            reached.append(await reader.read(100))
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
            port = server.sockets[0].getsockname()[1]
            there = Address("gate", host="127.0.0.1", port=port, path=str(node.keys), node="n")
            with pytest.raises(Unreachable, match=r"cannot be opened: .*certificate"):
                async with node.way.connect(node.host, there):
                    pass
        assert reached in ([], [b""])


@pytest.mark.parametrize("who", ["nobody", "another session", "a wrong name"])
async def test_who_dials_without_the_key_is_not_taken_for_the_gate(
    short_path: Path, who: str
) -> None:
    async with a_node(short_path, "dial") as node, node.way_in() as path:
        identities(short_path / "other", "/other")
        context = impostor(None)
        if who != "nobody":
            context.load_cert_chain(short_path / "other" / "gate.pem")
        name = "gwrong" if who == "a wrong name" else name_of(node.keys)
        told = json.loads(next(node.directory.glob("dial-*")).read_text())
        host, port = told["addresses"][0]
        answer, opened = b"", []
        for _ in range(10):  # as many as would be taken first
            with contextlib.suppress(OSError):
                opened.append(
                    await asyncio.open_connection(host, port, ssl=context, server_hostname=name)
                )
        for _ in range(10):
            assert await talk(path) == b"hello\n"
        for reader, writer in opened:
            with contextlib.suppress(OSError):
                async with asyncio.timeout(PATIENCE):
                    answer += await reader.read(100)
            writer.close()
        assert answer == b""


async def test_a_gate_that_cannot_listen_says_why(short_path: Path) -> None:
    way = Direct(interface="no-such0")
    node = Node(short_path, way)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.0):
            await node.start()
    told = await way.gate(node.keys, str(node.directory))
    payload = {
        "session": "gated",
        "attempt": os.getpid(),
        "directory": str(node.directory),
        "argv": ["{python}", "-c", "{program}", "{socket}"],
        "fields": {"program": ECHO},
        "cwd": "/",
        "gate": told,
    }
    await node.host.runner("start", payload)
    await until((node.directory / "exit.json").exists)
    outcome = json.loads((node.directory / "exit.json").read_text())
    assert outcome["reason"] == "start_failed"
    assert "no network interface 'no-such0', only lo (127.0.0.1)" in outcome["message"]


async def test_a_gate_that_does_not_answer_is_unreachable(short_path: Path) -> None:
    identities(short_path, "/nowhere")
    there = Address("gate", host="127.0.0.1", port=runner.free_port(), path=str(short_path))
    with pytest.raises(Unreachable, match=r"cannot be opened: 127\.0\.0\.1:\d+: "):
        async with Direct().connect(LocalHost(), there):
            pass
    with pytest.raises(Unreachable, match="keys of the way to the node cannot be read"):
        async with Direct().connect(LocalHost(), Address("gate", host="127.0.0.1", port=1)):
            pass


async def test_keys_are_private_made_once_and_in_no_launch(short_path: Path) -> None:
    async with a_node(short_path, "direct") as node:
        first = identities(node.keys, "/elsewhere")
        assert identities(node.keys, "/elsewhere") == first
        assert stat.S_IMODE(node.keys.stat().st_mode) == 0o700
        for folder in (node.keys, node.directory):
            for path in folder.glob("*.pem"):
                assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert not (node.directory / "reach.pem").exists(), "the node does not need our key"
        assert "PRIVATE KEY" not in (node.directory / "launch.json").read_text()
        command = Path(f"/proc/{node.gate_pid()}/cmdline").read_bytes()
        assert b"PRIVATE" not in command


async def test_without_openssl_people_are_told(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(short_path))
    with pytest.raises(SpawnerError, match="The program openssl is needed"):
        await Direct().gate(short_path / "keys", "/nowhere")


def test_the_front_is_python_3_6_of_the_standard_library() -> None:
    tree = ast.parse(Path(front.__file__).read_text(), feature_version=(3, 6))
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert names <= set(sys.stdlib_module_names) | {"gate"}  # the front's, sent with it


async def test_a_front_keeps_what_comes_before_it_has_gone_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    find = loop.getaddrinfo

    async def slow(*args: Any, **more: Any) -> Any:
        await asyncio.sleep(0.3)
        return await find(*args, **more)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(len(content)))
        await writer.drain()
        writer.close()

    content = os.urandom(3_000_000)
    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        behind = server.sockets[0].getsockname()[1]
        asked = {"host": "127.0.0.1", "ports": [0], "port": behind}
        async with await front.listen(loop, asked) as before:
            where = before.sockets[0].getsockname()
            reader, writer = await asyncio.open_connection(*where)
            monkeypatch.setattr(loop, "getaddrinfo", slow)
            writer.write(content)
            async with asyncio.timeout(PATIENCE):
                assert await reader.read(-1) == content
            writer.close()
