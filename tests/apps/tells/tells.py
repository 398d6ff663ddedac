"""An app for tests: writes its status file, by the argument first, then by what is posted to it."""

from __future__ import annotations

import os
import pathlib
import socketserver
import sys
from http.server import BaseHTTPRequestHandler

ADDRESS, STATUS, FIRST = sys.argv[1:]
assert os.environ["SESSION_STATUS_FILE"] == STATUS


class Tells(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        pathlib.Path(STATUS).write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
        self.do_GET()

    def address_string(self) -> str:
        return "socket"


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


pathlib.Path(STATUS).write_text(FIRST)
Server(ADDRESS, Tells).serve_forever()
