"""Voilà on a Unix socket: ``serve_voila.py SOCKET [argument of voila] … NOTEBOOK``.

Voilà itself only listens on ports. Everything else is its own.
"""

from __future__ import annotations

import sys


def main() -> None:
    path, arguments = sys.argv[1], sys.argv[2:]
    try:
        from tornado.httpserver import HTTPServer
        from tornado.ioloop import IOLoop
        from tornado.netutil import bind_unix_socket
        from voila.app import Voila
    except ImportError as error:
        sys.exit(f"Voilà cannot be imported by {sys.executable}: {error}")

    class SocketVoila(Voila):  # type: ignore[misc]
        """Voilà, listening at `path`."""

        def listen(self) -> None:
            """Serve until it is told to stop, as `Voila.listen` does."""
            server = HTTPServer(self.app, xheaders=True)
            server.add_socket(bind_unix_socket(path, mode=0o600))
            self.ioloop = IOLoop.current()
            try:
                self.ioloop.start()
            except KeyboardInterrupt:
                pass
            finally:
                self.stop()

    SocketVoila.launch_instance(argv=["--no-browser", *arguments])


if __name__ == "__main__":
    main()
