"""An app for tests: writes down each start, and answers each request with what it saw of it."""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import signal
import socketserver
import subprocess
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

CHILD = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "w").close()
while True: time.sleep(1000)
"""


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode("latin-1")
        seen = {
            "pid": os.getpid(),
            "method": self.command,
            "path": self.path,
            "headers": list(self.headers.items()),
            "body": body,
            "environment": dict(os.environ),
        }
        content = json.dumps(seen).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def log_message(self, *args: object) -> None:
        pass

    def address_string(self) -> str:
        return "socket"


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("socket", "state", "delay", "exit", "children"):
        parser.add_argument(f"--{name}")
    parser.add_argument("words", nargs="*")
    args = parser.parse_args()
    state = pathlib.Path(args.state)
    with (state / "starts").open("a") as file:
        file.write(f"{os.getpid()}\n")
    print("echo is here", *args.words, flush=True)
    if int(args.exit) >= 0:
        print("echo goes away", flush=True)
        sys.exit(int(args.exit))
    if args.children == "true":
        for name in ("setsid", "stubborn"):
            subprocess.Popen(
                [sys.executable, "-c", CHILD, state / name], start_new_session=name == "setsid"
            )
    time.sleep(float(args.delay))
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    Server(args.socket, Echo).serve_forever()


main()
