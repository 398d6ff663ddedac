"""A server for tests: at a port or a socket, it answers what it saw, or is no HTTP server at all.

``server.py [--port N | --socket PATH] [--raw]``: raw, it sends back what it gets in capitals.
"""

from __future__ import annotations

import argparse
import json
import os
import socketserver
import sys
from http.server import BaseHTTPRequestHandler


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.endswith("/moved"):
            self.answer(302, b"", Location="/elsewhere")
            return
        seen = {
            "path": self.path,
            "headers": {k.lower(): v for k, v in self.headers.items()},
            "argv": sys.argv[1:],
            "environment": dict(os.environ),
        }
        self.answer(200, json.dumps(seen).encode())

    def answer(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass

    def address_string(self) -> str:
        return "somebody"


class Capitals(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(4096):
            self.request.sendall(data.upper())


class Tcp(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class Unix(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--socket")
    parser.add_argument("--raw", action="store_true")
    args, _rest = parser.parse_known_args()
    handler = Capitals if args.raw else Echo
    print("the server is here", flush=True)
    if args.socket:
        Unix(args.socket, handler).serve_forever()
    else:
        Tcp(("127.0.0.1", args.port), handler).serve_forever()


if __name__ == "__main__":
    main()
