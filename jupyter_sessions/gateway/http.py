"""One request: from the client's connection (tornado) to the app's (asyncio), and back.

Both directions stream: a piece is read only when the piece before it has been written, so a slow
side holds up the other and nothing piles up in memory.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import aclosing, suppress
from logging import Logger
from typing import Any

from tornado import httputil
from tornado.iostream import StreamClosedError

from jupyter_sessions.gateway.client import Client
from jupyter_sessions.gateway.credentials import Credentials
from jupyter_sessions.gateway.framing import (
    BadMessage,
    ResponseHead,
    response_body,
    tokens,
    values,
)
from jupyter_sessions.gateway.headers import request_headers, response_headers, serialize
from jupyter_sessions.gateway.helper import Helper
from jupyter_sessions.gateway.lanes import Lanes
from jupyter_sessions.gateway.pages import Answer, Pages, refusal
from jupyter_sessions.gateway.router import Chooser, Inquiry, Inward, Passage, inquire
from jupyter_sessions.gateway.traffic import Traffic
from jupyter_sessions.gateway.upgrade import splice
from jupyter_sessions.gateway.upstream import NoAnswer, Upstream
from jupyter_sessions.gateway.urls import Target


class Exchange:
    """A request that was let through, and its answer.

    The request is pushed in by tornado (`upload`, `upload_done`); the answer is pulled from the
    app by `respond`, in a task, and may well be complete before the request is.
    """

    def __init__(
        self,
        client: Client,
        inquiry: Inquiry,
        passage: Passage,
        traffic: Traffic,
        pages: Pages,
        helper: Helper | None,
    ) -> None:
        self._client = client
        self._inquiry = inquiry
        self._passage = passage
        self._traffic = traffic
        self._pages = pages
        self._helper = helper
        self._upstream: Upstream | None = None
        self._repeat = b""
        self._aborted = False
        self.task: asyncio.Task[None] | None = None
        client.watch(self.abort)
        traffic.active.add(self)
        traffic.metrics.requests += 1
        traffic.metrics.open_requests += 1
        traffic.metrics.touch()

    # The request

    async def open(self) -> None:
        """Connect to the app and send the request's head."""
        inquiry, caller, route = self._inquiry, self._passage.caller, self._passage.route
        headers = request_headers(
            inquiry.headers, caller, route, body=inquiry.body, upgrade=inquiry.upgrade
        )
        head = serialize(f"{inquiry.method} {self._passage.path} HTTP/1.1", headers)
        # A kept connection may be dead without our knowing, which does not matter for what can be
        # repeated. Anything else gets a connection of its own.
        if inquiry.method in ("GET", "HEAD") and not inquiry.body and not inquiry.upgrade:
            self._upstream = self._traffic.pool.take(route.address)
            if self._upstream is not None:
                self._repeat = head
        if self._upstream is None:
            await self._connect()
        await self._send(head)

    @property
    def _app(self) -> Upstream:
        if self._upstream is None:
            raise NoAnswer("There is no connection to the app.")
        return self._upstream

    async def _connect(self) -> None:
        self._upstream = await self._traffic.pool.connect(self._passage.route.address)
        if self._aborted:
            self._upstream.abort()

    async def _send(self, head: bytes) -> None:
        try:
            await self._app.send(head)
        except NoAnswer:
            if not self._repeat:
                raise  # else `head` finds the same, and tries again

    async def upload(self, chunk: bytes) -> None:
        """Pass a piece of the body on; returns when the app is ready for the next."""
        if self._upstream is None:
            self._client.discard(len(chunk))
            return
        self._traffic.metrics.bytes_in += len(chunk)
        if self._inquiry.body == "chunked":
            chunk = b"%x\r\n%b\r\n" % (len(chunk), chunk)
        # If that fails, `respond` finds the same, or an answer that came before.
        with suppress(NoAnswer):
            await self._upstream.send(chunk)

    def upload_done(self) -> None:
        if self._inquiry.body == "chunked" and self._upstream is not None:
            self._upstream.write(b"0\r\n\r\n")

    # The answer

    async def head(self) -> ResponseHead:
        """Wait for the head of the answer."""
        started = time.monotonic()
        try:
            head = await self._app.head()
        except NoAnswer:
            if not self._repeat or self._app.answered:
                raise
            repeat, self._repeat = self._repeat, b""
            await self._connect()
            await self._send(repeat)
            head = await self._app.head()
        self._traffic.metrics.wait_seconds += time.monotonic() - started
        if head.status == 101 and not self._inquiry.upgrade:
            raise BadMessage("it switches protocols without being asked")
        return head

    async def respond(self, head: ResponseHead | None = None) -> None:
        """Pass the whole answer on, whose `head` may have come already."""
        try:
            await self._relay(head or await self.head())
        except StreamClosedError:
            pass  # the client has gone
        except Exception as error:
            answer = self.failure(error)
            if self._client.started:
                self._client.abort()
            else:
                self._client.reply(answer)
            if not isinstance(error, (NoAnswer, BadMessage)):
                raise
        finally:
            self.release()

    async def _relay(self, head: ResponseHead) -> None:
        upstream, client = self._app, self._client
        length = response_body(self._inquiry.method, head)
        headers = response_headers(head, self._passage.caller, self._passage.route)
        headers += [("Set-Cookie", cookie) for cookie in self._passage.cookies]
        await client.head(head.status, head.reason, headers, length)
        async with aclosing(upstream.body(length)) as pieces:
            async for piece in pieces:
                await client.write(piece)
                self._traffic.metrics.bytes_out += len(piece)
        if client.received and head.keep_alive and length != "close":
            self._traffic.pool.give(upstream)
            self._upstream = None
        client.complete()

    async def switch(self, head: ResponseHead) -> None:
        """The app agreed to leave HTTP: join the two connections. Only from `headers_received`."""
        upstream = self._app
        headers = response_headers(head, self._passage.caller, self._passage.route)
        headers.append(("Connection", "Upgrade"))
        headers += [("Upgrade", value) for value in values(head.headers, "upgrade")]
        headers += [("Set-Cookie", cookie) for cookie in self._passage.cookies]
        answer = serialize(f"HTTP/1.1 101 {head.reason}", headers)
        websocket = "websocket" in tokens(head.headers, "upgrade")
        inquiry = self._inquiry
        await splice(
            self._client.detach(),
            upstream,
            answer,
            self._traffic,
            credentials=Credentials(inquiry.request, inquiry.target.session_id, upgrade=True),
            websocket=websocket,
            helper=self._helper,
        )
        self._upstream = None
        self.release()

    # Ends

    def failure(self, error: Exception) -> Answer:
        """The answer when the app gave none."""
        self._traffic.metrics.failures += 1
        return failure(self._pages, error, page=self._inquiry.page)

    def release(self) -> None:
        """Let go of the connection to the app."""
        if self._upstream is not None:
            self._upstream.abort()
            self._upstream = None
        if self in self._traffic.active:
            self._traffic.active.discard(self)
            self._traffic.metrics.open_requests -= 1
            self._traffic.metrics.touch()

    def abort(self) -> None:
        """Close both ends: the client hung up, or the session ended."""
        self._aborted = True
        self._client.abort()
        if self.task is not None:
            self.task.cancel()
        self.release()  # a task that is cancelled before its first step does not

    @property
    def broken(self) -> bool:
        return self._client.broken

    def credentials(self, *, young: bool = False) -> Credentials:
        inquiry = self._inquiry
        return Credentials(inquiry.request, inquiry.target.session_id, upgrade=inquiry.upgrade)


def failure(pages: Pages, error: Exception, *, page: bool) -> Answer:
    """The answer when an app gave none that can be passed on."""
    match error:
        case NoAnswer():
            message = str(error)
        case BadMessage():
            message = f"The app's answer is not valid HTTP: {error}."
        case _:
            message = "The app's answer could not be passed on."
    return pages.unreachable(page=page, message=message)


class Door(httputil.HTTPMessageDelegate):
    """Takes a request for a session from tornado, and answers it or lets an `Exchange` do so.

    Parameters
    ----------
    traffic
        Gives the connections of the session with this id.
    spawn
        Starts a task that the gateway owns.
    lanes
        Who takes the connection over where it can; None if nobody does.
    helper
        Who gets upgraded connections where it can; None if nobody does.
    """

    def __init__(
        self,
        request: httputil.HTTPServerRequest,
        target: Target,
        *,
        chooser: Chooser,
        pages: Pages,
        log: Logger,
        traffic: Callable[[str], Traffic],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        lanes: Lanes | None,
        helper: Helper | None,
    ) -> None:
        self._request = request
        self._target = target
        self._chooser = chooser
        self._pages = pages
        self._log = log
        self._traffic = traffic
        self._spawn = spawn
        self._lanes = lanes
        self._helper = helper
        self._client = Client(request)
        self._exchange: Exchange | None = None
        self._inner: httputil.HTTPMessageDelegate | None = None

    # tornado waits for this before it reads the body, or asks for it with "100 Continue".
    async def headers_received(
        self,
        start_line: httputil.RequestStartLine | httputil.ResponseStartLine,
        headers: httputil.HTTPHeaders,
    ) -> None:
        try:
            inquiry = inquire(self._request, self._target)
        except BadMessage as error:
            message = f"This request is not valid HTTP: {error}."
            await self._client.refuse(refusal(400, message, "bad_request"), None)
            return
        try:
            answer = await self._serve(inquiry)
        except StreamClosedError:
            return
        except Exception:
            session_id = self._target.session_id
            self._log.warning("A request for session %s failed", session_id, exc_info=True)
            answer = self._pages.unreachable(page=inquiry.page)
        if isinstance(answer, Inward):
            self._inner = answer.delegate
            if (reading := self._inner.headers_received(start_line, headers)) is not None:
                await reading
            return
        if answer is None or self._client.gone:
            return
        if inquiry.body:
            await self._client.refuse(answer, inquiry.body)
        else:
            self._client.reply(answer)

    async def _serve(self, inquiry: Inquiry) -> Answer | Inward | None:
        """An answer of our own, who has it, or None if the app's is on its way."""
        choice = await self._chooser.choose(inquiry)
        if isinstance(choice, Answer | Inward):
            return choice
        if self._client.gone:
            return None
        traffic = self._traffic(choice.route.session_id)
        if self._lanes is not None and self._lanes.suits(inquiry):
            await self._lanes.take(self._client, inquiry, choice, traffic)
            return None
        exchange = Exchange(self._client, inquiry, choice, traffic, self._pages, self._helper)
        self._exchange = exchange
        head = None
        try:
            await exchange.open()
            if inquiry.upgrade:
                head = await exchange.head()
                if head.status == 101:
                    await exchange.switch(head)
                    return None
        except (NoAnswer, BadMessage) as error:
            exchange.release()
            return exchange.failure(error)
        except BaseException:
            exchange.release()
            raise
        if inquiry.body:
            self._client.expect_body()
        exchange.task = self._spawn(exchange.respond(head))
        return None

    async def data_received(self, chunk: bytes) -> None:
        if self._inner is not None:
            if (reading := self._inner.data_received(chunk)) is not None:
                await reading
        elif self._exchange is not None:
            await self._exchange.upload(chunk)

    def finish(self) -> None:
        if self._inner is not None:
            self._inner.finish()
            return
        if self._exchange is not None:
            self._exchange.upload_done()
        self._client.request_received()

    def on_connection_close(self) -> None:
        if self._inner is not None:
            self._inner.on_connection_close()
        elif self._exchange is not None:
            self._exchange.abort()
