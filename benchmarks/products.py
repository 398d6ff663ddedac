"""What is compared: proxies in front of the same backends, each as its users start it."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial

from benchmarks.backends import KINDS, Kind, app_definition, app_name, nginx_argv
from benchmarks.client import Endpoint
from benchmarks.jupyter import STANDARD, UVLOOP, Jupyter, jupyter, sessions
from benchmarks.processes import NotStarted, ProcessTree, running, wait_until
from benchmarks.workspace import Workspace, free_port, tool

LIKE_A_LOGIN = "username-127-0-0-1-8888=2|1:0|10:1700000000|24:username|" + 360 * "x"
"""A Cookie of the length that Jupyter's has, for those that have no login."""

Backends = Mapping[Kind, Endpoint]


@dataclass(frozen=True, slots=True)
class Product:
    """One of what is compared, as it runs.

    Parameters
    ----------
    endpoints
        Where the backends are reached through it.
    cookies
        What a browser sends to it.
    tree
        Its processes; none if there is nothing between.
    jupyter
        The server that it is part of, if any.
    """

    name: str
    endpoints: Mapping[Kind, Endpoint]
    cookies: str = LIKE_A_LOGIN
    tree: ProcessTree | None = None
    jupyter: Jupyter | None = None

    @property
    def web(self) -> Endpoint:
        return self.endpoints["web"]

    @property
    def native(self) -> Endpoint:
        return self.endpoints["native"]


@contextlib.contextmanager
def direct(name: str, space: Workspace, behind: Backends) -> Iterator[Product]:
    yield Product(name, behind)


PROXY = """\
    map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
    upstream web {{ server {web}; keepalive 128; keepalive_requests 1000000000; }}
    upstream native {{ server {native}; keepalive 128; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        client_max_body_size 0;
        proxy_request_buffering off;
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
        location /web/ {{ proxy_pass http://web/; }}
        location /native/ {{
            client_body_buffer_size 128k;
            proxy_pass http://native/;
            proxy_buffers 8 64k;
            proxy_buffer_size 64k; # what websockets are passed on in
            proxy_busy_buffers_size 128k;
        }}
    }}
"""


@contextlib.contextmanager
def nginx(name: str, space: Workspace, behind: Backends) -> Iterator[Product]:
    """As a reverse proxy: one worker, no authentication, connections to the backends kept."""
    front = Endpoint("127.0.0.1", free_port())
    addresses = {kind: f"{at.host}:{at.port}" for kind, at in behind.items()}
    argv = nginx_argv(space.directory(name), PROXY.format(port=front.port, **addresses))
    log = space.log(name)
    with running(argv, log=log) as process:
        wait_until(front.answers, name, process)
        yield Product(name, _prefixed(front), tree=ProcessTree(process.pid))


@contextlib.contextmanager
def configurable_http_proxy(name: str, space: Workspace, behind: Backends) -> Iterator[Product]:
    """JupyterHub's proxy: no authentication."""
    front = Endpoint("127.0.0.1", free_port())
    api = Endpoint("127.0.0.1", free_port())
    argv = [
        tool("configurable-http-proxy"),
        f"--ip={front.host}",
        f"--port={front.port}",
        f"--api-ip={api.host}",
        f"--api-port={api.port}",
        "--no-include-prefix",
        "--log-level=warn",
    ]
    log = space.log(name)
    with running(argv, log=log) as process:
        wait_until(api.answers, name, process)
        for kind, backend in behind.items():
            target = json.dumps({"target": backend.origin}).encode()
            answer = api.request(f"/api/routes/{kind}", method="POST", body=target)
            if answer.status != 201:
                raise NotStarted(f"{name}: HTTP {answer.status} for a route")
        yield Product(name, _prefixed(front), tree=ProcessTree(process.pid))


@contextlib.contextmanager
def jupyter_server_proxy(name: str, space: Workspace, behind: Backends) -> Iterator[Product]:
    with jupyter(space, name, extension="jupyter_server_proxy") as server:
        front = server.endpoint
        endpoints = {
            kind: replace(front, prefix=f"/proxy/{at.port}") for kind, at in behind.items()
        }
        yield Product(name, endpoints, server.login_cookies(), server.tree, server)


@contextlib.contextmanager
def jupyter_sessions(
    name: str,
    space: Workspace,
    behind: Backends,
    *,
    unix: bool = False,
    launcher: tuple[str, ...] = STANDARD,
    **traits: object,
) -> Iterator[Product]:
    """Ours. The backends are sessions of their own, of the same programs as the others'."""
    apps = tuple(app_definition(kind, space, sys.executable, unix=unix) for kind in KINDS)
    config = {"SessionsExtension": traits}
    with sessions(space, name, apps, launcher=launcher, config=config) as (server, paths):
        endpoints = {
            kind: replace(server.endpoint, prefix=paths[app_name(kind, unix=unix)])
            for kind in KINDS
        }
        yield Product(name, endpoints, server.login_cookies(), server.tree, server)


def _prefixed(front: Endpoint) -> dict[Kind, Endpoint]:
    return {kind: replace(front, prefix=f"/{kind}") for kind in KINDS}


Start = Callable[[str, Workspace, Backends], AbstractContextManager[Product]]

PRODUCTS: dict[str, Start] = {
    "direct": direct,
    "nginx": nginx,
    "chp": configurable_http_proxy,
    "jsp": jupyter_server_proxy,
    "sessions": jupyter_sessions,
    "sessions-unix": partial(jupyter_sessions, unix=True),
    "sessions-uvloop": partial(jupyter_sessions, launcher=UVLOOP),
    "sessions-uncached": partial(jupyter_sessions, auth_cache_seconds=0.0),
    "sessions-plain": partial(jupyter_sessions, takeover=False, helper=False),
}

TITLES = {
    "direct": "direct",
    "nginx": "nginx",
    "chp": "configurable-http-proxy",
    "jsp": "jupyter-server-proxy",
    "sessions": "jupyter_sessions",
    "sessions-unix": "… Unix socket",
    "sessions-uvloop": "… uvloop",
    "sessions-uncached": "… cache off",
    "sessions-plain": "… no takeover, no helper",
}
