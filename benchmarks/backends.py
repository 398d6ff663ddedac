"""The two apps behind every proxy, alone or as sessions: ``web`` and ``native``.

    python -m benchmarks.backends KIND WORKSPACE (--port PORT | --socket PATH)

becomes that server. ``web`` is nginx with content of known sizes, ``native`` is
``native/backend.c``: websockets, uploads and slow streams.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

from benchmarks.client import Endpoint
from benchmarks.processes import running, wait_until
from benchmarks.workspace import ROOT, Workspace, free_port, tool

Kind = Literal["web", "native"]
KINDS: tuple[Kind, ...] = get_args(Kind)

NGINX = """\
daemon off;
worker_processes 1;
worker_rlimit_nofile {files};
{user}
pid {directory}/pid;
error_log stderr warn;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_requests 1000000000;
    tcp_nodelay on;
{http}
}}
"""
CONNECTIONS = 8192

CONTENT = """\
    default_type application/octet-stream;
    open_file_cache max=100;
    server {{
        listen {listen} backlog=4096;
        root {content};
        location = / {{ return 200 "ok"; }}
        location /assets/ {{ return 200 "{small}"; }}
        location = /100B {{ return 200 "{small}"; }}
        location = /1MB {{ sendfile on; }}
        location = /large {{ sendfile on; }}
    }}
"""

SIZES = {"100B": 100, "10KB": 10 << 10, "1MB": 1 << 20}
"""Bytes of what ``web`` serves at these paths."""
LARGE = 1 << 30
"""Bytes at ``/large`` of ``web``: all zeros, a file without blocks on the disk."""


def nginx_argv(directory: Path, http: str) -> list[str]:
    """How to start nginx with `http` as its configuration."""
    config = directory / "nginx.conf"
    config.write_text(
        NGINX.format(
            directory=directory,
            http=http,
            connections=CONNECTIONS,
            files=2 * CONNECTIONS,
            # Our directories are closed to the user that root's nginx would become.
            user="user root root;" if os.geteuid() == 0 else "",
        )
    )
    return [tool("nginx"), "-e", "stderr", "-p", str(directory), "-c", str(config)]


def write_content(space: Workspace) -> Path:
    """The files that ``web`` serves."""
    content = space.directory("content")
    for name, size in SIZES.items():
        (content / name).write_bytes(os.urandom(size))
    with (content / "large").open("w+b", buffering=0) as large:
        large.truncate(LARGE)
        piece = bytearray(1 << 20)
        while large.readinto(piece):  # so that the first who is measured finds it in memory
            pass
    return content


def argv(kind: Kind, space: Workspace, *, port: str | None, socket: str | None) -> list[str]:
    """The server `kind` itself, which listens at `port` or at the Unix socket `socket`."""
    if kind == "native":
        place = ["--port", str(port)] if port else ["--socket", str(socket)]
        return [str(space.backend), *place]
    listen = f"127.0.0.1:{port}" if port else f"unix:{socket}"
    directory = Path(tempfile.mkdtemp(prefix="web-", dir=space.path))
    http = CONTENT.format(listen=listen, content=space.path / "content", small="x" * 100)
    return nginx_argv(directory, http)


def command(kind: Kind, space: Workspace, python: str) -> list[str]:
    """What becomes that server, once ``--port`` or ``--socket`` is added."""
    return [python, "-m", __spec__.name, kind, str(space.path)]


@contextlib.contextmanager
def backends(space: Workspace) -> Iterator[dict[Kind, Endpoint]]:
    """Both, each at a TCP port."""
    with contextlib.ExitStack() as stack:
        found: dict[Kind, Endpoint] = {}
        for kind in KINDS:
            endpoint = Endpoint("127.0.0.1", free_port())
            log = space.log(f"backend-{kind}")
            start = argv(kind, space, port=str(endpoint.port), socket=None)
            process = stack.enter_context(running(start, log=log))
            wait_until(endpoint.answers, f"the backend {kind}", process)
            found[kind] = endpoint
        yield found


def app_definition(kind: Kind, space: Workspace, python: str, *, unix: bool) -> dict[str, object]:
    """An ``app.yaml`` that runs the server `kind` in a session."""
    place = ["--socket", "{socket}"] if unix else ["--port", "{port}"]
    return {
        "name": app_name(kind, unix=unix),
        "title": f"Benchmark: {kind}",
        "command": [*command(kind, space, python), *place],
        "env": {"PYTHONPATH": str(ROOT)},
        "ready": {"path": "/", "codes": [200]},
    }


def app_name(kind: Kind, *, unix: bool) -> str:
    return f"benchmark-{kind}-{'unix' if unix else 'tcp'}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("workspace", type=Path)
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--port")
    place.add_argument("--socket")
    args = parser.parse_args()
    start = argv(args.kind, Workspace(args.workspace), port=args.port, socket=args.socket)
    os.execv(start[0], start)  # noqa: S606


if __name__ == "__main__":
    main()
