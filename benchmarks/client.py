"""Requests of the benchmark itself: to check, to time single ones, to move much at once."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

TIMEOUT = 30.0
"""Seconds without a byte after which a server is given up."""


class Unable(Exception):
    """A product cannot do what is measured. This is a result, and goes into the table."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    content: bytes


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go.

    Parameters
    ----------
    prefix
        Before each path.
    headers
        Sent with each request.
    """

    host: str
    port: int
    prefix: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        return f"http://{self.host}:{self.port}"

    def url(self, path: str) -> str:
        return f"{self.origin}{self.prefix}{path}"

    def request(
        self,
        path: str,
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT)
        try:
            fields = {**self.headers, **(headers or {})}
            connection.request(method, self.prefix + path, body, fields)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def answers(self) -> bool:
        """Whether anything is there that speaks HTTP."""
        return bool(self.request("/").status)

    def check(self, path: str, size: int) -> None:
        """See to it that `path` is answered with so many bytes; raises Unable."""
        answer = self.request(path)
        if answer.status != 200 or len(answer.content) != size:
            raise Unable(f"HTTP {answer.status}, {len(answer.content)} bytes for {path}")

    def head(self, path: str, *, method: str = "GET", **headers: str) -> bytes:
        """The head of a request, as bytes. A header's name has underscores for hyphens."""
        fields = {"Host": f"{self.host}:{self.port}", **self.headers}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [
            f"{method} {self.prefix}{path} HTTP/1.1",
            *(f"{k}: {v}" for k, v in fields.items()),
        ]
        return "\r\n".join((*lines, "", "")).encode("latin-1")

    def connect(self) -> socket.socket:
        connection = socket.create_connection((self.host, self.port), timeout=TIMEOUT)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


def read_head(connection: socket.socket) -> tuple[int, int | None, bytes]:
    """The status, the Content-Length and the bytes after the head of an answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := connection.recv(65536)):
            raise Unable("the connection was closed without an answer")
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    length = None
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return int(head.split(b" ", 2)[1]), length, rest


def arrivals(endpoint: Endpoint, path: str, **headers: str) -> Iterator[tuple[int, bytes]]:
    """The pieces of an answer and when each came (ns, monotonic), until it is complete."""
    with endpoint.connect() as connection:
        connection.sendall(endpoint.head(path, Connection="close", **headers))
        status, _length, rest = read_head(connection)
        if status != 200:
            raise Unable(f"HTTP {status}")
        while True:
            if rest:
                yield time.monotonic_ns(), rest
            if not (rest := connection.recv(65536)):
                return
