"""An app for tests: writes that it runs into the file that its hooks write to, and serves."""

import os
import pathlib
import socketserver
import subprocess
import sys
from http.server import BaseHTTPRequestHandler

subprocess.run(["sh", "-c", os.environ["SESSION_COMMAND"]], check=True)
with pathlib.Path(sys.argv[2], "trace").open("a") as trace:
    trace.write(f"command {os.environ['SESSION_ATTEMPT']}\n")
names = sorted(f"{k}={v}" for k, v in os.environ.items() if k.startswith("SESSION_"))
pathlib.Path(sys.argv[2], "trace.command").write_text("\n".join(names))


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()

    def address_string(self) -> str:
        return "socket"


socketserver.ThreadingUnixStreamServer(sys.argv[1], Handler).serve_forever()
