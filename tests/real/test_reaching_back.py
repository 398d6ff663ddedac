"""Nodes that reach the login node and not Jupyter's machine dial it, over a real SSH server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions.hosts.openssh import Link
from jupyter_sessions.hosts.ssh import SshHost
from jupyter_sessions.manager import SessionManager
from jupyter_sessions.options import OptionSchema
from jupyter_sessions.reaching.ways import Dial
from jupyter_sessions.session import Session
from jupyter_sessions.spawners.batch import BatchSpawner
from jupyter_sessions.way_check import Found, WayCheck

from ..managers import running
from ..processes import marked
from .batch import answer, begin, until_ended, until_running
from .login import NAME, LoginNode, login_machine
from .slurm import Slurm, cluster

pytestmark = pytest.mark.root
PATIENCE = 60
SMALL = {"memory": 0.3, "hours": 1}
SETTINGS: dict[str, dict[str, str]] = {
    "loopback": {"GatewayPorts": "no"},
    "network": {"GatewayPorts": "clientspecified"},
}
"""Of the login node's SSH server. The first is what OpenSSH comes with."""


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    with cluster() as made:
        yield made


@pytest.fixture
def login(slurm: Slurm) -> Iterator[LoginNode]:
    with login_machine(slurm, Path(tempfile.mkdtemp(prefix="jsl-", dir="/var/tmp"))) as made:
        yield made


def traits(login: LoginNode, **more: Any) -> dict[str, Any]:
    often = {"query_interval": 1, "poll_interval": 0.3}
    spawner = {"class": "slurm", "host": "login", "reach": "dial", **often, **more}
    return {"hosts": {"login": login.host}, "spawners": {"hpc": spawner}}


def dial_of(manager: SessionManager) -> Dial:
    spawner = manager.offers.spawner("hpc")
    assert isinstance(spawner, BatchSpawner)
    assert isinstance(spawner.way, Dial)
    return spawner.way


def link_of(manager: SessionManager) -> Link:
    host = manager.offers.spawner("hpc").host
    assert isinstance(host, SshHost)
    return host.link


async def again(manager: SessionManager, session: Session) -> None:
    """Wait until the session answers."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                async with asyncio.timeout(5):
                    await answer(manager, session)
                    return
            except (OSError, AssertionError, TimeoutError):
                await asyncio.sleep(0.1)


async def ended(manager: SessionManager, session: Session, login: LoginNode) -> None:
    """Stop the session; nothing of it is left, and nothing on the login node."""
    await manager.stop(session.id)
    await until_ended(manager, session)
    async with asyncio.timeout(PATIENCE):
        while marked(session.id) or login.programs() or login.listeners():  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def tcp_listeners(pid: int) -> list[str]:
    told = subprocess.run(["ss", "-Htlnp"], capture_output=True, text=True, check=True).stdout
    return [line for line in told.splitlines() if f"pid={pid}," in line]


@pytest.mark.parametrize("kind", SETTINGS)
async def test_nodes_dial_the_login_node_and_nobody_listens_here(
    login: LoginNode, root: Path, kind: str
) -> None:
    login.start(**SETTINGS[kind])
    async with running(root, **traits(login)) as manager:
        session = await until_running(manager, await begin(manager, "hpc", resources=SMALL))
        await answer(manager, session)
        dial = dial_of(manager)
        assert dial.relay.pid is not None
        assert tcp_listeners(dial.relay.pid) == []
        assert dial._entrance is not None
        assert dial._entrance.where[0][0] == NAME
        assert dial._entrance.relayed == (kind == "loopback")
        assert len(login.relays()) == (1 if kind == "loopback" else 0)
        port = dial._entrance.where[0][1]
        listeners = login.listeners()
        assert f"0.0.0.0:{port}" in listeners
        if kind == "loopback":
            loopback = [each for each in listeners if each.startswith("127.0.0.1:")]
            assert len(loopback) == 1
        await ended(manager, session, login)


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize("victim", ["sshd", "master", "relays"])
async def test_it_heals_after_what_carries_it_has_died(
    login: LoginNode, root: Path, kind: str, victim: str
) -> None:
    login.start(**SETTINGS[kind])
    async with running(root, **traits(login)) as manager:
        session = await until_running(manager, await begin(manager, "hpc", resources=SMALL))
        await answer(manager, session)
        dial = dial_of(manager)
        if victim == "sshd":
            login.stop()
            with pytest.raises((OSError, AssertionError, TimeoutError)):
                async with asyncio.timeout(2):
                    await answer(manager, session)
            login.start(**SETTINGS[kind])
        elif victim == "master":
            link = link_of(manager)
            async with link._open() as mux:
                os.kill(await mux.pid(), signal.SIGKILL)
        else:
            assert dial.relay.pid is not None
            os.kill(dial.relay.pid, signal.SIGKILL)
            for pid in login.pids():
                with contextlib.suppress(OSError):  # some are there for a moment only
                    if b"stream.readline" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        os.kill(pid, signal.SIGKILL)
        await again(manager, session)
        # What was there before the loss is not there any more.
        expected = 1 if kind == "loopback" else 0
        async with asyncio.timeout(PATIENCE):
            while len(login.relays()) != expected:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        await ended(manager, session, login)


async def test_two_servers_do_not_disturb_each_other(login: LoginNode, root: Path) -> None:
    login.start()
    more = traits(login, dial_ports=(40100, 40103))
    async with running(root, **more) as first:
        session = await until_running(first, await begin(first, "hpc", resources=SMALL))
        await answer(first, session)
        async with running(root, **more) as second:
            # One process cannot be two servers by its number alone.
            dial_of(second)._server = "another"
            known = await second.session(session.id)
            await answer(second, known)
            ports = {dial_of(m)._entrance.where[0][1] for m in (first, second)}  # type: ignore[union-attr]
            assert len(ports) == 2
            assert ports < set(range(40100, 40104))
            await answer(first, session)
        await answer(first, session)
        async with asyncio.timeout(PATIENCE):
            while len(login.relays()) != 1:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        await ended(first, session, login)


async def checked(login: LoginNode, root: Path, **more: Any) -> Found:
    async with running(root, **traits(login, **more)) as manager:
        spawner = manager.offers.spawner("hpc")
        await spawner.available()
        schema = OptionSchema(spawner.options_schema())
        resources = schema.check({**SMALL}, "resources", {"cwd": "/"})
        found = await WayCheck(spawner, root / "checks", resources, 60).run()
        assert found.left == ""
        return found


async def test_a_check_tells_of_the_relay_and_what_saves_it(login: LoginNode, root: Path) -> None:
    login.start()
    told = {way.name: way for way in (await checked(login, root)).ways}
    assert told["dial"].works, told
    assert "`GatewayPorts clientspecified`" in told["dial"].message
    login.stop()
    login.start(GatewayPorts="yes")
    told = {way.name: way for way in (await checked(login, root)).ways}
    assert told["dial"].works, told
    assert "GatewayPorts" not in told["dial"].message
    login.stop()
    login.start(AllowTcpForwarding="local")
    found = await checked(login, root)
    told = {way.name: way for way in found.ways}
    assert not told["dial"].works
    assert not found.works
    assert "`AllowTcpForwarding` has to be `yes` or `remote`" in told["dial"].message
    login.stop()
    login.start()
    told = {way.name: way for way in (await checked(login, root, dial_addresses=["n2"])).ways}
    assert not told["dial"].works
    assert re.search(r"has not called yet. It was told to dial n2:\d+\.", told["dial"].message)
