"""An app for tests that refuses whatever does not carry its secrets.

Opened with the right query, it sets a cookie and leads to itself without the query, as many apps
do; without that cookie its page is refused. It prints its secrets, and tells them, too.
"""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import sys

from tornado import web, websocket

PORT, TOKEN = int(sys.argv[1]), pathlib.Path(sys.argv[2]).read_text()
KEY = os.environ["GUARDED_KEY"]


class Guard(web.RequestHandler):
    def prepare(self) -> None:
        if self.request.headers.get("Authorization") != f"token {TOKEN}":
            raise web.HTTPError(401)
        if self.get_cookie("key") != KEY:
            raise web.HTTPError(401)


class Page(Guard):
    def get(self) -> None:
        if self.get_query_argument("pass", "") == TOKEN:
            self.set_cookie("inside", "1")
            self.redirect("./")
            return
        if self.get_cookie("inside") != "1":
            raise web.HTTPError(403)
        self.write({"cookies": list(self.cookies), "query": self.request.query})


class Data(Guard):
    def get(self) -> None:
        self.write({"query": self.request.query})


class Echo(Guard, websocket.WebSocketHandler):
    def on_message(self, message: str | bytes) -> None:
        self.write_message(message)


async def main() -> None:
    print("My secrets are", TOKEN, "and", KEY, flush=True)
    sys.stdout.write(f"In two pieces: {TOKEN[:10]}")
    sys.stdout.flush()
    await asyncio.sleep(0.2)
    print(TOKEN[10:], flush=True)
    told = {"message": f"I am {TOKEN}", "links": [{"title": KEY, "path": f"a/{KEY}"}]}
    pathlib.Path(os.environ["SESSION_STATUS_FILE"]).write_text(json.dumps(told))
    handlers = [("/", Page), ("/data", Data), ("/echo", Echo)]
    web.Application(handlers, log_function=lambda _: None).listen(PORT, "127.0.0.1")
    await asyncio.Event().wait()


asyncio.run(main())
