"""A service that somebody else runs, for tests of attaching: below ``/grafana``, with websockets.

``service.py [--port N | --socket PATH] [--cert FILE]`` answers requests with what it saw of them,
and sends messages back with the path that it was asked for.
"""

from __future__ import annotations

import argparse
import json
import ssl
from http import HTTPStatus
from typing import Any

from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve, unix_serve


def answer(connection: ServerConnection, request: Request) -> Response | None:
    if "Upgrade" in request.headers:
        return None
    if request.path.endswith("/moved"):
        return reply(302, "", Location=f"http://{request.headers['X-Own']}/grafana/there")
    if request.path.endswith("/cookie"):
        return reply(200, "{}", **{"Set-Cookie": "a=1; Path=/grafana/x"})
    headers = {name.lower(): value for name, value in request.headers.raw_items()}
    return reply(200, json.dumps({"path": request.path, "headers": headers}))


def reply(status: int, body: str, **headers: str) -> Response:
    given = Headers({"Content-Length": str(len(body)), "Connection": "close", **headers})
    return Response(status, HTTPStatus(status).phrase, given, body.encode())


def echo(connection: ServerConnection) -> None:
    assert connection.request is not None
    for message in connection:
        connection.send(f"{connection.request.path} {message!r}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--socket")
    parser.add_argument("--cert")
    args = parser.parse_args()
    tls = None
    if args.cert:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(args.cert)
    options: dict[str, Any] = {
        "process_request": answer,
        "ssl": tls,
        "subprotocols": ["dcv"],
    }
    made = (
        unix_serve(echo, args.socket, **options)
        if args.socket
        else serve(echo, "localhost", args.port, **options)
    )
    with made as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
