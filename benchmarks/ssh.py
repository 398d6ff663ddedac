"""The way to an app on another machine: the gateway over our tunnel, beside a bare ``ssh -L``.

``python -m benchmarks.ssh [--rounds N] [--seconds S] [--output FILE]``, as root: the other machine
is made of namespaces, so that no network limits what is measured. All ways lead to one nginx
there, and are measured one after the other, all of them in each round.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.client import Endpoint
from benchmarks.measures.http import wrk
from tests.real.far import FarMachine
from tests.real.server import TOKEN, Home, JupyterServer, free_port, wait

SMALL, LARGE = 100, 256 * 1024 * 1024
NGINX = """\
{user} daemon off; worker_processes 1; error_log stderr; pid {dir}/nginx.pid;
events {{ worker_connections 256; }}
http {{ access_log off; sendfile on; keepalive_requests 1000000; keepalive_timeout 600;
 client_body_temp_path {dir}/a; proxy_temp_path {dir}/b; fastcgi_temp_path {dir}/c;
 uwsgi_temp_path {dir}/d; scgi_temp_path {dir}/e;
 server {{ listen unix:{socket}; root {dir}/web; }} }}
"""
START = """\
import os, sys
socket, directory = sys.argv[1:]
os.makedirs(directory + "/web", exist_ok=True)
for name, size in (("index.html", 1), ("small", %d), ("large", %d)):
    with open(directory + "/web/" + name, "wb") as file:
        file.truncate(size)
with open(directory + "/nginx.conf", "w") as file:
    user = "user root;" if os.geteuid() == 0 else ""
    file.write(%r.format(dir=directory, socket=socket, user=user))
os.execv("/usr/sbin/nginx", ["nginx", "-e", "stderr", "-c", directory + "/nginx.conf"])
"""
PROGRAM = (START % (SMALL, LARGE, NGINX)).replace("{", "{{").replace("}", "}}")
APP = {
    "title": "nginx",
    "command": ["{python}", "-c", PROGRAM, "{socket}", "{session_dir}"],
}


@dataclass(frozen=True)
class Way:
    """What leads to the app."""

    name: str
    endpoint: Endpoint


@contextmanager
def ways(far: FarMachine) -> Iterator[list[Way]]:
    """All ways to one session there, and one to a session of this machine."""
    home = Home()
    jupyter = home.path / ".jupyter"
    jupyter.mkdir()
    spec = {"class": "ssh", "address": "far", "config_file": str(far.config)}
    (jupyter / "jupyter_server_config.py").write_text(
        f"c.SessionManager.hosts = {{'far': {spec!r}}}\n"
        "c.SessionManager.spawners = {'far': {'class': 'process', 'host': 'far'}}\n"
        f"c.SessionManager.apps = {{'bench': {APP!r}}}\n"
    )
    with ExitStack() as stack:
        stack.callback(home.remove)
        server = JupyterServer(home)
        session = server.start("bench", spawner="far")
        here = server.start("bench")
        base = "/home/ada/.local/share/jupyter-sessions/sessions"
        path = f"{base}/{session['id']}/1/socket"
        found = []
        for name, ciphers in (
            ("`ssh -L`, as it comes", ()),
            ("`ssh -L` with AES-GCM", ("-oCiphers=aes128-gcm@openssh.com",)),
        ):
            port = free_port()
            stack.callback(tunnel(far, port, path, ciphers).terminate)
            wait(lambda port=port: listens(port), 20, name)  # type: ignore[misc]
            found.append(Way(name, Endpoint("127.0.0.1", port, "")))
        # As a browser that has logged in: to a token alone Jupyter answers with a new login.
        headers = {"Authorization": f"token {TOKEN}", "Cookie": login(server)}
        for name, each in (("the gateway, over SSH", session), ("the gateway, this machine", here)):
            prefix = each["url"].rstrip("/")
            found.append(Way(name, Endpoint("127.0.0.1", server.port, prefix, headers)))
        yield found


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


def measure(way: Way, seconds: float) -> dict[str, float]:
    """Requests a second at one connection and at sixteen, and bytes a second of a large file."""
    way.endpoint.check("/small", SMALL)
    figures = {}
    for connections in (1, 16):
        load = wrk(way.endpoint, "/small", size=SMALL, connections=connections, seconds=seconds)
        figures[f"requests_{connections}"] = load.per_second
    figures["download"] = download(way.endpoint)
    return figures


def download(endpoint: Endpoint) -> float:
    connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=120)
    buffer, length, began = bytearray(1024 * 1024), 0, time.perf_counter()
    connection.request("GET", f"{endpoint.prefix}/large", headers=dict(endpoint.headers))
    answer = connection.getresponse()
    while count := answer.readinto(buffer):
        length += count
    connection.close()
    assert length == LARGE, (answer.status, length)
    return length / (time.perf_counter() - began)


def table(rounds: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """The medians, as a table in Markdown."""

    def median(name: str, figure: str) -> float:
        return statistics.median(each[figure] for each in rounds[name])

    lines = [
        "| way | GET 100 B, 1 connection | 16 connections | 256 MiB |",
        "|---|---|---|---|",
    ]
    for name in rounds:
        one, many = median(name, "requests_1"), median(name, "requests_16")
        lines.append(
            f"| {name} | {1000 / one:.2f} ms | {many:,.0f}/s"
            f" | {median(name, 'download') / 1e6:,.0f} MB/s |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--output", type=Path, help="where to write the table")
    parser.add_argument("--remark", default="", help="a sentence on the machine, for the table")
    arguments = parser.parse_args()
    far = FarMachine()
    rounds: dict[str, list[dict[str, Any]]] = {}
    try:
        with ways(far) as found:
            for number in range(arguments.rounds):
                for way in found:
                    figures = measure(way, arguments.seconds)
                    rounds.setdefault(way.name, []).append(figures)
                    print(number + 1, way.name, json.dumps(figures), flush=True)
    finally:
        far.stop()
    text = table(rounds)
    print(text)
    if arguments.output:
        day = datetime.now(UTC).date()
        remark = f" {arguments.remark}" if arguments.remark else ""
        arguments.output.write_text(
            f"# Sessions over SSH, {day}\n\n`python -m benchmarks.ssh`: medians of"
            f" {arguments.rounds} rounds, all ways in each.{remark}\n\n{text}\n"
        )


if __name__ == "__main__":
    main()
