"""Nodes with networks, users and SSH servers of their own: each way to what listens there."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions.errors import Unreachable
from jupyter_sessions.hosts.local import LocalHost
from jupyter_sessions.hosts.ssh import SshHost
from jupyter_sessions.reaching.ways import Dial, Direct, Reach, Ssh
from jupyter_sessions.routes import Address
from jupyter_sessions.spawners.process import ProcessSpawner
from jupyter_sessions.testing import APP, ask

from .far import UID, USER, FarMachine
from .server import wait

pytestmark = pytest.mark.root
PYTHON = "/usr/bin/python3"
STRANGER = """
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), 5) as plain:
        with context.wrap_socket(plain) as tls:
            tls.sendall(bytes([1, 0, 0, 0]))
            print("answered" if tls.recv(100) else "closed")
except OSError as error:
    print("refused", error)
"""
"""Dials a gate without a key, and asks it to open the app."""


@pytest.fixture(scope="module")
def far() -> Iterator[FarMachine]:
    machine = FarMachine()
    yield machine
    machine.stop()


@pytest.fixture
def home(far: FarMachine) -> Iterator[Path]:
    """A folder that this machine and the node see, as a shared home."""
    path = Path(tempfile.mkdtemp(prefix="jsh-", dir="/var/tmp"))
    yield path
    shutil.rmtree(path)


@contextmanager
def job(far: FarMachine, home: Path, gate: Any, user: str = USER) -> Iterator[tuple[Path, Address]]:
    """What a batch system would run on the node: the runner, with an app and perhaps a gate."""
    directory = home / "attempt"
    payload = {
        "session": "reached",
        "attempt": 1,
        "directory": str(directory),
        "argv": ["{python}", "-c", "{program}", "{socket}"],
        "fields": {"program": APP},
        "cwd": "/",
        "stop": {"argv": None, "grace": 1},
        "gate": gate,
        "copy": True,
    }
    asyncio.run(LocalHost().runner("prepare", payload))
    runner = directory / "runner.pyz"
    for path in (home, *home.rglob("*")):
        shutil.chown(path, UID if user == USER else 0)
    command = [PYTHON, "-I", "-S", str(runner), "supervise", str(directory)]
    process = subprocess.Popen(far.command_of(user, *command))
    try:
        wait((directory / "connection.json").exists, 30, "the app on the node")
        told = json.loads((directory / "connection.json").read_text())["address"]
        yield directory, Address.from_json(told)
    finally:
        (directory / "stop").touch()
        process.wait(30)


async def told(way: Reach, address: Address) -> Any:
    async with way.connect(LocalHost(), address) as here:
        return (await ask(here))["cwd"]


@pytest.mark.parametrize("kind", ["direct", "dial"])
def test_through_a_gate_on_another_network_address(
    far: FarMachine, home: Path, short_path: Path, kind: str
) -> None:
    way: Reach = Direct() if kind == "direct" else Dial(addresses=[far.gateway])
    gate = asyncio.run(way.gate(short_path, str(home / "attempt")))
    # With a shared home both sides are one user, who writes here where the gate is to dial.
    user = USER if kind == "direct" else "root"
    with job(far, home, gate, user) as (_, reported):
        address = way.located(reported, far.name, str(short_path))
        assert asyncio.run(told(way, address)) == "/"
        if kind == "direct":
            assert address.host == far.address
            where = (address.host, str(address.port))
            for user in ("games", USER):  # even the user gets in by the key alone
                command = far.command_of(user, PYTHON, "-c", STRANGER, *where)
                said = subprocess.run(command, capture_output=True, text=True, check=False)
                assert said.stdout.startswith(("closed", "refused")), said


def test_through_the_ssh_server_of_the_node(far: FarMachine, home: Path) -> None:
    parent = ProcessSpawner(name="nodes")
    way = Ssh(parent, {"config_file": str(far.config)}, {far.name: "far"})
    with job(far, home, None) as (_, reported):
        address = way.located(reported, far.name, "")
        assert address.scheme == "unix"
        assert asyncio.run(told(way, address)) == "/"


def test_through_the_ssh_server_of_the_node_behind_a_login_node(
    far: FarMachine, home: Path
) -> None:
    async def go() -> None:
        login = SshHost(name="login", address="far", config_file=str(far.config))
        options = [f"UserKnownHostsFile={far.known_hosts}", f"IdentityFile={far.base}/user_key"]
        way = Ssh(ProcessSpawner(name="nodes"), {"options": options}, {far.name: far.address})
        try:
            address = way.located(reported, far.name, "")
            async with way.connect(login, address) as here:
                assert (await ask(here))["cwd"] == "/"
            assert not way._nodes
        finally:
            await login.close()

    with job(far, home, None) as (_, reported):
        asyncio.run(go())


def test_a_node_that_is_not_known_to_ssh_is_unreachable_with_a_sentence(far: FarMachine) -> None:
    way = Ssh(ProcessSpawner(name="nodes"), {"config_file": str(far.config)})
    address = Address("unix", path="/x", node="nowhere.invalid")
    with pytest.raises(Unreachable, match=r"nowhere\.invalid"):
        asyncio.run(told(way, address))
