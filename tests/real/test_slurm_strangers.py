"""What another user of a Slurm node gets of a session that runs there: nothing."""

from __future__ import annotations

import asyncio
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions.routes import Address
from jupyter_sessions.secrets import read

from ..managers import running
from .batch import until_ended, until_running
from .slurm import Slurm
from .slurm_sessions import QUICK, SMALL

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("configured")]
STRANGER = """
import os, socket, ssl, subprocess, sys
kind, *args = sys.argv[1:]
GET = b"GET / HTTP/1.0\\r\\n\\r\\n"


def asked(connection):
    connection.settimeout(5)
    connection.sendall(GET)
    while data := connection.recv(4096):
        print(data.decode("latin-1"))


try:
    if kind == "list":
        print(os.listdir(args[0]))
    elif kind == "read":
        print(open(args[0], "rb").read())
    elif kind == "unix":
        with socket.socket(socket.AF_UNIX) as plain:
            plain.connect(args[0])
            print("connected")
    elif kind == "tcp":
        with socket.create_connection((args[0], int(args[1])), 5) as plain:
            print("connected")
            asked(plain)
    elif kind == "tls":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if args[2:]:
            context.load_cert_chain(args[2], args[3])
        with socket.create_connection((args[0], int(args[1])), 5) as plain:
            with context.wrap_socket(plain) as secured:
                asked(secured)
except OSError as error:
    sys.stderr.write(repr(error))
"""
PYTHON = "/usr/bin/python3"


class Stranger:
    """Another user, with a shell on a node."""

    def __init__(self, slurm: Slurm, node: str) -> None:
        become = [
            "setpriv",
            "--reuid=nobody",
            "--regid=nogroup",
            "--clear-groups",
            "--no-new-privs",
        ]
        self._become = slurm.command(node, *become)

    def run(self, *argv: str) -> str:
        env = {"PATH": "/usr/bin:/bin"}
        done = subprocess.run(
            [*self._become, *argv], capture_output=True, text=True, cwd="/", env=env, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def tries(self, kind: str, *args: object) -> str:
        """What is got of a session; nothing, as it should be."""
        return self.run(PYTHON, "-I", "-c", STRANGER, kind, *map(str, args))


@pytest.mark.parametrize(("reach", "app"), [("host", "echo"), ("direct", "guarded")])
async def test_another_user_of_the_node_gets_nothing_of_a_session(
    slurm: Slurm, root: Path, reach: str, app: str
) -> None:
    # As homes often are: what is above the store is not what keeps others out.
    root.parent.chmod(0o755)
    traits: dict[str, Any] = {**QUICK, "reach": reach}
    resources = {**SMALL, "memory": 0.3}
    async with running(root, spawners={"hpc": traits}) as manager:
        session = await manager.create({"app": app, "spawner": "hpc", "resources": resources})
        session = await until_running(manager, session)
        assert session.attempt.address is not None
        stranger = Stranger(slurm, session.attempt.host)
        assert stranger.tries("list", root.parent) != "", "what is not ours can be seen"

        own = root / "sessions" / session.id
        for folder in (root, root / "sessions", own, own / "1"):
            assert stranger.tries("list", folder) == ""
        files = list((own / "1").iterdir())
        sockets = [path for path in files if stat.S_ISSOCK(path.stat().st_mode)]
        assert {"launch.json", "log", "runner.json"} <= {path.name for path in files}
        assert bool(sockets) == (app == "echo")
        for path in files:
            assert stranger.tries("unix" if path in sockets else "read", path) == "", path

        commands = stranger.run("ps", "-eww", "-o", "pid,args")
        assert "supervise" in commands
        names = session.app_definition.get("secrets", [])
        secrets = await asyncio.to_thread(read, manager.store, session, names)
        assert len(secrets) == (2 if app == "guarded" else 0)
        assert not any(value in commands for value in secrets.values())
        for pid in (line.split()[0] for line in commands.splitlines()[1:]):
            assert stranger.tries("read", f"/proc/{pid}/environ") == ""

        if reach == "direct":
            knocks(stranger, session.attempt.address, root.parent)
        await manager.stop(session.id)
        await until_ended(manager, session)


def knocks(stranger: Stranger, address: Address, folder: Path) -> None:
    """The stranger at the gate: in plain text, without a key, and with a key of its own."""
    place = (address.host, address.port)
    assert stranger.tries("tcp", *place).split() == ["connected"]
    key, cert = folder / "key", folder / "cert"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    made += ["-nodes", "-subj", "/CN=x", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(made, check=True, capture_output=True)
    for path in (key, cert):
        path.chmod(0o644)
        assert stranger.tries("read", path) != ""
    for keys in ((), (cert, key)):
        assert stranger.tries("tls", *place, *keys) == ""
