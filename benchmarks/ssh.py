"""The ways to an app on another machine: the gateway over each, beside a bare ``ssh -L``.

``python -m benchmarks.ssh [--rounds N] [--seconds S] [--only WAY] [--output FILE]``, as root: the
other machine is made of namespaces, so that no network limits what is measured. All ways lead to
the same two programs there, and are measured one after the other, all of them in each round.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import backends
from benchmarks.client import Endpoint
from benchmarks.measures import websocket
from benchmarks.measures.http import wrk
from benchmarks.workspace import ROOT, Workspace, workspace
from tests.real.far import FarMachine
from tests.real.server import TOKEN, Home, JupyterServer, free_port, wait

SMALL, LARGE, PIECE = backends.SIZES["100B"], 256 << 20, 1 << 20
MESSAGE, SOCKETS = 64 << 10, 4
PYTHON = "/opt/venv/bin/python"
APPS: Sequence[backends.Kind] = ("web", "native")
GATED: Mapping[str, Mapping[str, Any]] = {
    "direct": {"reach": "direct"},
    "dial": {"reach": "dial", "dial_through_host": False},
    "dial through the host": {"reach": "dial"},
}
"""How the gateway may reach what runs there, beside the tunnel of its host."""
COLUMNS = {
    "kept": ("GET 100 B, kept", "ms"),
    "new": ("POST, new connection", "ms"),
    "many": ("GET, 16 connections", "/s"),
    "echo": (f"websocket 64 KB, {SOCKETS}", "/s"),
    "download": ("256 MiB down", "MB/s"),
    "upload": ("256 MiB up", "MB/s"),
}
"""What is measured: its title and unit. Less is better where the unit is ms."""


@dataclass(frozen=True)
class Way:
    """What leads to the two programs."""

    name: str
    web: Endpoint
    native: Endpoint


@contextmanager
def ways(far: FarMachine, space: Workspace, only: str) -> Iterator[list[Way]]:
    """All ways to sessions there, and one to sessions of this machine."""
    home = Home()
    configure(home, far, space)
    with ExitStack() as stack:
        stack.callback(home.remove)
        server = JupyterServer(home)
        # As a browser that has logged in: to a token alone Jupyter answers with a new login.
        headers = {"Authorization": f"token {TOKEN}", "Cookie": login(server)}

        def sessions(spawner: str) -> dict[str, Any]:
            return {app: server.start(app, spawner=spawner) for app in APPS}

        def endpoints(spawner: str) -> dict[str, Endpoint]:
            prefixes = {app: s["url"].rstrip("/") for app, s in sessions(spawner).items()}
            place = "127.0.0.1", server.port
            return {app: Endpoint(*place, prefix, headers) for app, prefix in prefixes.items()}

        found = []
        there = sessions("far")
        base = "/home/ada/.local/share/jupyter-sessions/sessions"
        for name, options in (
            ("`ssh -L`, as it comes", ()),
            ("`ssh -L` with AES-GCM", ("-oCiphers=aes128-gcm@openssh.com",)),
        ):
            bare = {}
            for app in APPS:
                port = free_port()
                path = f"{base}/{there[app]['id']}/1/socket"
                stack.callback(tunnel(far, port, path, options).terminate)
                wait(lambda port=port: listens(port), 20, name)  # type: ignore[misc]
                bare[app] = Endpoint("127.0.0.1", port)
            found.append(Way(name, **bare))
        through = {"SSH": "far", **{name: name.replace(" ", "-") for name in GATED}}
        for name, spawner in {**through, "this machine": "local"}.items():
            if only in name:
                found.append(Way(f"the gateway, {name}", **endpoints(spawner)))
        yield found


def configure(home: Home, far: FarMachine, space: Workspace) -> None:
    """The host, a spawner for each way, the two apps."""
    jupyter = home.path / ".jupyter"
    jupyter.mkdir()
    host = {"class": "ssh", "address": "far", "config_file": str(far.config), "python": PYTHON}
    node = {"class": "bench-node", "host": "far", "nodes": "/home/ada"}
    spawners: dict[str, Any] = {"far": {"class": "process", "host": "far"}}
    for name, traits in GATED.items():
        called = [far.address] if traits.get("dial_through_host", True) else [far.gateway]
        spawners[name.replace(" ", "-")] = {**node, "dial_addresses": called, **traits}
    apps = {}
    for kind in APPS:
        app = backends.app_definition(kind, space, "{python}", unix=True)
        del app["name"]
        apps[kind] = {**app, "env": {"PYTHONPATH": str(space.path / "code")}}
    (jupyter / "jupyter_server_config.py").write_text(
        f"c.SessionManager.hosts = {{'far': {host!r}}}\n"
        f"c.SessionManager.spawners = {spawners!r}\nc.SessionManager.apps = {apps!r}\n"
    )
    # Spawners are found as those of packages are.
    package = space.directory("installed") / "bench-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: bench\nVersion: 1\n")
    (package / "entry_points.txt").write_text(
        "[jupyter_sessions.spawners]\nbench-node = benchmarks.nodes:NodeSpawner\n"
    )
    home.env["PYTHONPATH"] = f"{ROOT}:{package.parent}"


@contextmanager
def shared_workspace() -> Iterator[Workspace]:
    """One that the other machine's user sees, with what runs there."""
    before, tempfile.tempdir = tempfile.tempdir, "/var/tmp"  # noqa: S108 - /tmp is each its own
    try:
        with workspace() as space:
            tempfile.tempdir = before
            backends.write_content(space)
            code = space.directory("code") / "benchmarks"
            code.mkdir()
            for name in ("__init__", "backends", "client", "processes", "workspace"):
                (code / f"{name}.py").write_bytes((ROOT / f"benchmarks/{name}.py").read_bytes())
            space.path.chmod(0o1777)  # nginx of either user keeps its files there
            yield space
    finally:
        tempfile.tempdir = before


def tunnel(
    far: FarMachine, port: int, path: str, options: Sequence[str]
) -> subprocess.Popen[bytes]:
    forward = f"127.0.0.1:{port}:{path}"
    return subprocess.Popen(["ssh", "-F", str(far.config), *options, "-NL", forward, "far"])


def login(server: JupyterServer) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", f"/lab?token={TOKEN}")
    cookies = connection.getresponse().headers.get_all("Set-Cookie") or []
    connection.close()
    return "; ".join(cookie.partition(";")[0] for cookie in cookies)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def measure(way: Way, seconds: float, space: Workspace) -> dict[str, float]:
    """All that `COLUMNS` names."""
    way.web.check("/100B", SMALL)
    load = [
        wrk(way.web, "/100B", size=SMALL, connections=n, seconds=seconds).per_second
        for n in (1, 16)
    ]
    return {
        "kept": 1000 / load[0],
        "new": new_connections(way.native, seconds),
        "many": load[1],
        "echo": echoes(way.native, seconds, space),
        "download": moved(lambda: download(way.web)),
        "upload": moved(lambda: upload(way.native)),
    }


def new_connections(endpoint: Endpoint, seconds: float) -> float:
    """Milliseconds of a small POST, the median: for one the gateway never uses what it has kept."""
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        answer = endpoint.request("/sink", method="POST", body=b"x" * SMALL)
        assert answer.status == 200, answer
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times)


def echoes(endpoint: Endpoint, seconds: float, space: Workspace) -> float:
    argv = [str(space.load), f"--host={endpoint.host}", f"--port={endpoint.port}"]
    argv += [f"--path={endpoint.prefix}/echo", f"--size={MESSAGE}", f"--connections={SOCKETS}"]
    argv += [f"--header={name}: {value}" for name, value in endpoint.headers.items()]
    return websocket.load([*argv, f"--seconds={seconds}"])["per_second"]


def moved(transfer: Any) -> float:
    """MB/s of what moves `LARGE` bytes."""
    began = time.perf_counter()
    transfer()
    return LARGE / 1e6 / (time.perf_counter() - began)


def download(endpoint: Endpoint) -> None:
    connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=120)
    buffer, length = bytearray(PIECE), 0
    wanted = {"Range": f"bytes=0-{LARGE - 1}"}
    connection.request("GET", f"{endpoint.prefix}/large", headers={**endpoint.headers, **wanted})
    answer = connection.getresponse()
    while count := answer.readinto(buffer):
        length += count
    connection.close()
    assert length == LARGE, (answer.status, length)


def upload(endpoint: Endpoint) -> None:
    connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=120)
    fields = {**endpoint.headers, "Content-Length": str(LARGE)}
    pieces = (bytes(PIECE) for _ in range(LARGE // PIECE))
    connection.request("POST", f"{endpoint.prefix}/sink", pieces, fields)
    answer = connection.getresponse()
    received = json.loads(answer.read())["received"]
    connection.close()
    assert received == LARGE, (answer.status, received)


def table(rounds: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """The medians, and beside each how it compares with the first way, in Markdown."""
    medians = {
        name: {key: statistics.median(each[key] for each in figures) for key in COLUMNS}
        for name, figures in rounds.items()
    }
    first = next(iter(medians.values()))
    titles = [f"{title}, {unit}" for title, unit in COLUMNS.values()]
    lines = ["| way | " + " | ".join(titles) + " |", "|---" * (len(titles) + 1) + "|"]
    for name, figures in medians.items():
        cells = []
        for key, (_, unit) in COLUMNS.items():
            value = figures[key]
            shown = f"{value:.2f}" if unit == "ms" else f"{value:,.0f}"
            cells.append(f"{shown} ({value / first[key]:.2f} x)")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--only", default="", help="ways of the gateway whose name has this in it")
    parser.add_argument("--output", type=Path, help="where to write the table")
    parser.add_argument("--remark", default="", help="a sentence on the machine, for the table")
    arguments = parser.parse_args()
    rounds: dict[str, list[dict[str, float]]] = {}
    with ExitStack() as stack:
        far = FarMachine()
        stack.callback(far.stop)
        space = stack.enter_context(shared_workspace())
        found = stack.enter_context(ways(far, space, arguments.only))
        for number in range(arguments.rounds):
            for way in found:
                figures = measure(way, arguments.seconds, space)
                rounds.setdefault(way.name, []).append(figures)
                print(number + 1, way.name, json.dumps(figures), flush=True)
    text = table(rounds)
    print(text)
    if arguments.output:
        day = datetime.now(UTC).date()
        remark = f" {arguments.remark}" if arguments.remark else ""
        arguments.output.write_text(
            f"# Ways to another machine, {day}\n\n`python -m benchmarks.ssh`: medians of"
            f" {arguments.rounds} rounds, all ways in each; beside each, how many times the first"
            f" row's it is.{remark}\n\n{text}\n"
        )


if __name__ == "__main__":
    main()
