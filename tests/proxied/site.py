"""A site for tests of proxies, with a page of each kind: ``site.py --port N``."""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
from typing import Any

from tornado import web, websocket

LARGE = b"x" * 3_000_000
ZIPPED = gzip.compress(b"hello " * 1000, mtime=0)


class Echo(web.RequestHandler):
    """Answers with what it saw, by any method."""

    SUPPORTED_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND")

    async def answer(self) -> None:
        seen = {
            "method": self.request.method,
            "uri": self.request.uri,
            "headers": {k.lower(): v for k, v in self.request.headers.get_all()},
            "body": self.request.body.decode("latin-1")[:100],
            "length": len(self.request.body),
        }
        self.write(seen)

    get = post = put = patch = delete = options = propfind = answer


class Pages(web.RequestHandler):
    """Answers that proxies have to pass on, or to translate."""

    def get(self, page: str) -> None:
        match page:
            case "gzip":
                self.set_header("Content-Encoding", "gzip")
                self.set_header("Vary", "Accept-Encoding")
                self.write(ZIPPED)
            case "large":
                self.write(LARGE)
            case "teapot":
                self.set_status(418, "I'm a teapot")
                self.write("short and stout")
            case "nothing":
                self.set_status(204)
            case "cookies":
                self.add_header("Set-Cookie", "a=1; Path=/")
                self.add_header("Set-Cookie", "b=2; HttpOnly")
            case "moved":
                self.redirect("/echo?a=%2F")
            case "moved-beside":
                self.redirect("echo")
            case "moved-away":
                self.redirect("https://example.org/x")


class Events(web.RequestHandler):
    """Sends the next event only once somebody has asked for it at ``/next``."""

    waiting: asyncio.Queue[None] = asyncio.Queue()

    async def get(self) -> None:
        self.set_header("Content-Type", "text/event-stream")
        for n in range(3):
            self.write(f"data: {n}\n\n")
            await self.flush()
            await self.waiting.get()


class Next(web.RequestHandler):
    def post(self) -> None:
        Events.waiting.put_nowait(None)


class Socket(websocket.WebSocketHandler):
    """Says what it was asked for, sends messages back, and closes as it is told to."""

    def check_origin(self, origin: str) -> bool:
        return True

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        return subprotocols[-1] if subprotocols else None

    def open(self, *args: str, **kwargs: str) -> None:
        self.write_message(json.dumps({"uri": self.request.uri}))

    def on_message(self, message: str | bytes) -> None:
        if message == "close":
            self.close(4001, "as asked")
            return
        self.write_message(message, binary=isinstance(message, bytes))


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    settings: dict[str, Any] = {"websocket_max_message_size": 64 << 20}
    application = web.Application(
        [("/events", Events), ("/next", Next), ("/socket", Socket),
         (r"/(gzip|large|teapot|nothing|cookies|moved|moved-beside|moved-away)", Pages),
         (".*", Echo)],
        **settings,
    )  # fmt: skip
    application.listen(parser.parse_args().port, "127.0.0.1", max_body_size=64 << 20)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
