"""TensorBoard on a Unix socket: ``serve_tensorboard.py SOCKET [argument of tensorboard] …``.

Its command line knows ports only; its servers can be replaced.
"""

from __future__ import annotations

import sys
from typing import Any


def main() -> None:
    path, arguments = sys.argv[1], sys.argv[2:]
    try:
        from tensorboard import default, main_lib, program
        from werkzeug.serving import make_server
    except ImportError as error:
        sys.exit(f"TensorBoard cannot be imported by {sys.executable}: {error}")

    class SocketServer(program.TensorBoardServer):  # type: ignore[misc]
        """Werkzeug, listening at `path`."""

        def __init__(self, wsgi_app: Any, flags: Any) -> None:
            self._server = make_server(f"unix://{path}", 0, wsgi_app, threaded=True)

        def serve_forever(self) -> None:
            """Serve until the process ends."""
            self._server.serve_forever()

        def get_url(self) -> str:
            """What TensorBoard says about where it is: it wants a host and a port there."""
            return "http://localhost:0/"

        def print_serving_message(self) -> None:
            """Say where it is; it could not be opened at the URL above."""
            sys.stderr.write(f"TensorBoard listens at {path}\n")

    main_lib.global_init()
    board = program.TensorBoard(default.get_plugins(), server_class=SocketServer)
    board.configure(["tensorboard", *arguments])
    sys.exit(board.main())


if __name__ == "__main__":
    main()
