"""GET requests, as many as go."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from benchmarks.backends import SIZES
from benchmarks.client import Endpoint, Unable
from benchmarks.figures import Figure, Measure, Run, has_jupyter
from benchmarks.jupyter import HEADERS
from benchmarks.workspace import HERE, tool

CONNECTIONS = (1, 16, 64)
BROWSER_CONNECTIONS = 16
SMALL = SIZES["100B"]
LONGEST_HEAD = 2000


@dataclass(frozen=True, slots=True)
class Load:
    requests: int
    seconds: float

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


def wrk(
    endpoint: Endpoint,
    path: str,
    *,
    size: int,
    connections: int,
    seconds: float,
    script: str = "summary",
    arguments: Sequence[str] = (),
) -> Load:
    """Ask for `path`, whose answer has `size` bytes, over and over. Raises Unable."""
    headers = [
        part for name, value in endpoint.headers.items() for part in ("-H", f"{name}: {value}")
    ]
    argv = [tool("wrk"), "-t1", f"-c{connections}", f"-d{round(seconds)}s", "--timeout", "10s"]
    argv += ["-s", str(HERE / "wrk" / f"{script}.lua"), *headers, endpoint.url(path)]
    done = subprocess.run([*argv, "--", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unable(f"wrk: {(done.stdout + done.stderr).strip()}")
    found = json.loads(done.stdout.splitlines()[-1])
    if found["errors"]:
        raise Unable(f"{found['errors']} of {found['requests']} requests failed")
    # wrk counts what is 4xx or 5xx. An answer that is no error and not ours has another length.
    # At the end there are bytes of answers that are not complete.
    complete, answers = found["requests"], found["requests"] + connections
    if not complete * size <= found["bytes"] <= answers * (size + LONGEST_HEAD):
        raise Unable(f"{complete} answers with {found['bytes']} bytes")
    return Load(found["requests"], found["seconds"])


def get(name: str, connections: int, run: Run) -> Mapping[str, float]:
    endpoint, size = run.product.web, SIZES[name]
    endpoint.check(f"/{name}", size)
    load = wrk(endpoint, f"/{name}", size=size, connections=connections, seconds=run.scale.seconds)
    endpoint.check(f"/{name}", size)
    return {f"get_{name}_{connections}": load.per_second}


def browser(run: Run) -> Mapping[str, float]:
    """Small files as a page asks for them: large heads, no two alike, a login cookie."""
    product = run.product
    endpoint = Endpoint(product.web.host, product.web.port, product.web.prefix)
    logged_in = Endpoint(endpoint.host, endpoint.port, endpoint.prefix, {"Cookie": product.cookies})
    logged_in.check("/assets/1", SMALL)
    before = product.tree.cpu_seconds() if product.tree else 0.0
    load = wrk(
        endpoint,
        "/assets/1",
        size=SMALL,
        connections=BROWSER_CONNECTIONS,
        seconds=run.scale.seconds,
        script="browser",
        arguments=(endpoint.prefix, endpoint.origin, product.cookies),
    )
    found = {"get_browser": load.per_second}
    if product.tree is not None:
        cpu = product.tree.cpu_seconds() - before
        found["cpu_browser"] = cpu / load.requests * 1e6
    return found


def token_alone(run: Run) -> Mapping[str, float]:
    """As programs ask that have no cookie: Jupyter answers each with a login of its own."""
    endpoint = replace(run.product.web, headers=HEADERS)
    endpoint.check("/100B", SMALL)
    load = wrk(
        endpoint,
        "/100B",
        size=SMALL,
        connections=BROWSER_CONNECTIONS,
        seconds=run.scale.seconds,
    )
    return {"get_token": load.per_second}


MEASURES = [
    *(
        Measure(
            (
                Figure(
                    f"get_{name}_{connections}",
                    f"GET {name}, connections: {connections}",
                    "requests/s",
                ),
            ),
            partial(get, name, connections),
        )
        for name in SIZES
        for connections in CONNECTIONS
    ),
    Measure(
        (
            Figure(
                "get_browser",
                f"GET 100B with a browser's headers, connections: {BROWSER_CONNECTIONS}",
                "requests/s",
            ),
            Figure("cpu_browser", "processor time of such a request", "µs", "lower"),
        ),
        browser,
    ),
    Measure(
        (
            Figure(
                "get_token",
                f"GET 100B with a token and no cookie, connections: {BROWSER_CONNECTIONS}",
                "requests/s",
            ),
        ),
        token_alone,
        has_jupyter,
    ),
]
