"""A large file, down and up: how fast, and how much memory the proxy takes for it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from benchmarks.client import Unable, read_head
from benchmarks.figures import Figure, Measure, Run

PIECE = 1 << 20


@contextmanager
def _memory(run: Run, found: dict[str, float], key: str) -> Iterator[None]:
    """Note by how many MB the product's memory grows, at its highest."""
    if run.product.tree is None:
        yield
        return
    with run.product.tree.peak() as grown:
        yield
    found[key] = grown() / 1e6


def _timed(transfer: Callable[[], int]) -> float:
    """MB/s of what says how many bytes it has moved."""
    began = time.monotonic()
    size = transfer()
    return size / 1e6 / (time.monotonic() - began)


def download(run: Run) -> Mapping[str, float]:
    endpoint, size = run.product.web, run.scale.bulk

    def transfer() -> int:
        with endpoint.connect() as connection:
            connection.sendall(endpoint.head("/large", Range=f"bytes=0-{size - 1}"))
            status, length, rest = read_head(connection)
            if status != 206:
                raise Unable(f"HTTP {status}")
            got = _drain(connection, size - len(rest)) + len(rest)
        if length != size or got != size:
            raise Unable(f"{got} of {size} bytes came, of {length} that were announced")
        return size

    found: dict[str, float] = {}
    with _memory(run, found, "download_memory"):
        found["download"] = _timed(transfer)
    return found


def _drain(connection: socket.socket, size: int) -> int:
    """Read so many bytes, or until the end; returns how many came."""
    buffer = bytearray(PIECE)
    got = 0
    while got < size and (more := connection.recv_into(buffer)):
        got += more
    return got


def upload(run: Run) -> Mapping[str, float]:
    endpoint, size = run.product.native, run.scale.bulk
    piece = memoryview(bytes(PIECE))

    def transfer() -> int:
        with endpoint.connect() as connection:
            head = endpoint.head("/sink", method="POST", Content_Length=str(size))
            try:
                connection.sendall(head)
                for _ in range(size // PIECE):
                    connection.sendall(piece)
            except OSError as error:
                raise Unable(_refusal(connection, error)) from None
            status, length, rest = read_head(connection)
            while len(rest) < (length or 0) and (more := connection.recv(PIECE)):
                rest += more
        if status != 200 or json.loads(rest)["received"] != size:
            raise Unable(f"HTTP {status} {rest[:100].decode(errors='replace')}")
        return size

    found: dict[str, float] = {}
    with _memory(run, found, "upload_memory"):
        found["upload"] = _timed(transfer)
    return found


def _refusal(connection: socket.socket, error: OSError) -> str:
    """What a server said before it hung up, if anything."""
    try:
        return f"HTTP {read_head(connection)[0]}, and the connection was closed"
    except (OSError, Unable):
        return f"the connection was closed without an answer: {error.strerror or error}"


MEASURES = [
    Measure(
        (
            Figure("download", "large download", "MB/s"),
            Figure("download_memory", "memory growth by a download", "MB", "lower"),
        ),
        download,
        fresh=True,
    ),
    Measure(
        (
            Figure("upload", "large upload", "MB/s"),
            Figure("upload_memory", "memory growth by an upload", "MB", "lower"),
        ),
        upload,
        fresh=True,
    ),
]
