"""Answers requests with the path, the environment, and that of a shell that reads inputs.sh."""

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        script = (
            '. ./inputs.sh; exec "$0" -c "import json, os; print(json.dumps(dict(os.environ)))"'
        )
        bare = {"PATH": os.environ["PATH"]}
        read = subprocess.run(
            ["bash", "-c", script, sys.executable], stdout=subprocess.PIPE, env=bare, check=True
        )
        seen = {"path": self.path, "environment": dict(os.environ), "read": json.loads(read.stdout)}
        content = json.dumps(seen).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_args: object) -> None:
        pass


HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
