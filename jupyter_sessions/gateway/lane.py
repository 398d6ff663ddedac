"""One client's connection, taken over from tornado: requests for sessions, one after the other.

What it does, `http.Exchange` does too, for connections that cannot be taken over; no answer tells
which of them gave it. What is not a plain request for a session goes back to tornado, byte by byte.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import time
from contextlib import suppress
from http.client import responses
from typing import TYPE_CHECKING, Any, cast

from jupyter_sessions.gateway.answers import AnswerStream
from jupyter_sessions.gateway.client import LINGER_BYTES, LINGER_SECONDS, RESET, is_broken
from jupyter_sessions.gateway.credentials import Credentials
from jupyter_sessions.gateway.framing import MAX_HEAD, BadMessage
from jupyter_sessions.gateway.grants import Grant
from jupyter_sessions.gateway.headers import serialize
from jupyter_sessions.gateway.lines import Head
from jupyter_sessions.gateway.router import Inquiry, Passage, peer
from jupyter_sessions.gateway.traffic import Traffic
from jupyter_sessions.gateway.upstream import HIGH_WATER, NoAnswer, Upstream

if TYPE_CHECKING:
    from jupyter_sessions.gateway.lanes import Key, Lanes

# A parameter that may be our token, however its name is written.
_MAYBE_TOKEN = re.compile(rb"[?&](?:token|[^=&]*%)")
# Where tornado sees the end of a head.
_END = re.compile(rb"\r?\n\r?\n")


class Lane(asyncio.Protocol):
    """A client's connection.

    Parameters
    ----------
    lanes
        All of them, and what they share.
    context
        tornado's, which knows where the connection came from.
    """

    def __init__(self, lanes: Lanes, context: Any) -> None:
        self.context = context
        self._peer = peer(context)
        self.used = time.monotonic()
        """When it last had something to do."""
        self.busy = True
        """True from the head of a request until its answer is complete."""
        self._lanes = lanes
        self._transport = cast(asyncio.Transport, None)
        self._ahead = b""
        self._paused = False
        self._full = False
        self._gone = False
        self._returning = False
        self._task: asyncio.Task[None] | None = None
        self._lingering: asyncio.TimerHandle | None = None
        self._linger_until = 0
        # The present request:
        self._grant = cast(Grant, None)
        self._method = ""
        self._inquiry: Inquiry | None = None
        self._head = b""
        self._repeat = b""
        self._upload = 0
        self._remembered = False
        self._closing = False
        # ... and its answer:
        self._app: Upstream | None = None
        self._answer = cast(AnswerStream, None)
        self._cookies: tuple[str, ...] = ()

    @property
    def idle(self) -> float:
        """For how many seconds it has had nothing to do."""
        busy = self.busy or self._transport.get_write_buffer_size()
        return 0.0 if busy else time.monotonic() - self.used

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(HIGH_WATER)

    def data_received(self, data: bytes) -> None:
        if not self.busy and not self._full:
            self._read(self._ahead + data if self._ahead else data)
        elif self._upload and self._app is not None:
            self._pass_up(data)
        else:
            self._keep(data)

    def eof_received(self) -> bool:
        self._leave()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    def pause_writing(self) -> None:
        self._full = True
        if self._app is not None:
            self._app.transport.pause_reading()

    def resume_writing(self) -> None:
        self._full = False
        if self._returning:
            # Not from here: the transport has not finished with what it is doing.
            asyncio.get_running_loop().call_soon(self._give_back)
        elif self._app is not None:
            self._app.transport.resume_reading()
        else:
            self._next()

    # The request

    def begin(self, inquiry: Inquiry, passage: Passage, traffic: Traffic, wire: bytes) -> None:
        """Serve the first request, whose head tornado has read: `wire` is what the app gets."""
        if self._gone:  # while it was being taken over
            return
        self._lanes.open.add(self)
        self._inquiry = inquiry
        self._cookies = passage.cookies
        self._send(Grant(passage, traffic), inquiry.method, wire, cast(int, inquiry.body))

    def feed(self, early: bytes) -> None:
        """What tornado had read beyond the head."""
        self._ahead = early + self._ahead

    def _read(self, data: bytes) -> None:
        """The beginning of a request."""
        end = data.find(b"\r\n\r\n")
        self._ahead = data
        if end < 0:
            if len(data) > MAX_HEAD or _END.search(data):
                self._give_back()
            return
        data, rest = data[:end], data[end + 4 :]
        lanes = self._lanes
        head = lanes.requests.read(data) if end <= MAX_HEAD else None
        if head is None or not head.first[1].startswith(lanes.prefix):
            self._give_back()
            return
        self._ahead = rest
        self._head = data
        self._inquiry = None
        self.busy = True
        now = self.used = time.monotonic()
        self._remembered = True
        ready = lanes.ready.get(head)
        if ready is not None and ready[0].holds(self._peer, now):
            self._send(*ready)
            return
        target = head.first[1]
        cut = target.find(b"/", len(lanes.prefix))
        if cut < 0 or (b"?" in target and _MAYBE_TOKEN.search(target)):
            self._task = lanes.spawn(self._decide(head, None))
            return
        key = (head.first[0], target[:cut], head.special, self._peer)
        grant = lanes.grants.get(key)
        if grant is None or not grant.holds(self._peer, now):
            self._task = lanes.spawn(self._decide(head, key))
            return
        if grant.opens(target):
            self._task = lanes.spawn(self._decide(head, None))
            return
        wire = grant.request(head, grant.path(target))
        ready = (grant, head.first[0].decode(), wire, head.length or 0)
        lanes.make_ready(head, ready)
        self._send(*ready)

    async def _decide(self, head: Head, key: Key | None) -> None:
        """Ask who may pass; remember the answer under `key` if it holds for others too."""
        lanes = self._lanes
        grant, path, cookies = None, b"", tuple[str, ...]()
        self._remembered = False
        with suppress(Exception):  # to happen again, and to be told of, in tornado's hands
            known = None if key is None else lanes.grants.get(key)
            if (
                known is not None
                and not known.opens(head.first[1])
                and await known.renew(lanes.admissions, head.first[1])
            ):
                grant, self._remembered = known, True
                path, cookies = grant.path(head.first[1]), grant.admission.cookies()
            elif (inquiry := self._asked()) is not None:
                choice = await lanes.chooser.choose(inquiry)
                if isinstance(choice, Passage):
                    traffic = lanes.traffic(choice.route.session_id)
                    grant = Grant(choice, traffic, head, inquiry)
                    path, cookies = choice.path.encode("latin-1"), choice.cookies
                    lanes.remember(key, grant)
        if self._gone:
            return
        if grant is None:
            self._ahead = self._head + b"\r\n\r\n" + self._ahead
            self._give_back()
            return
        self._cookies = cookies
        wire = grant.request(head, path)
        self._send(grant, head.first[0].decode(), wire, head.length or 0)

    def _send(self, grant: Grant, method: str, wire: bytes, length: int) -> None:
        self._grant = grant
        self._method = method
        self._upload = length
        self._closing = False
        self._answer = AnswerStream(grant, self._lanes.answers, method)
        traffic = grant.traffic
        traffic.active.add(self)
        metrics = traffic.metrics
        metrics.requests += 1
        metrics.open_requests += 1
        metrics.touch()
        # See `http.Exchange.open`.
        if not length and method in ("GET", "HEAD"):
            app = traffic.pool.take(grant.address)
            if app is not None:
                self._repeat = wire
                self._app = app
                app.receiver = self
                app.write(wire)
                return
        self._task = self._lanes.spawn(self._connect(wire))

    async def _connect(self, wire: bytes) -> None:
        try:
            app = await self._grant.traffic.pool.connect(self._grant.address)
        except NoAnswer as error:
            if not self._gone:
                self._unreached(error)
            return
        except Exception as error:
            if not self._gone:
                self._fail(error)
            raise
        if self._gone:
            app.abort()
            return
        self._app = app
        app.write(wire)
        if self._ahead and self._upload:
            ahead, self._ahead = self._ahead, b""
            self._pass_up(ahead)
        if not self._ahead:
            self._resume()
        app.attach(self)

    def _unreached(self, error: NoAnswer) -> None:
        """There is nobody at the address; if that was remembered, ask for the present one."""
        head = self._lanes.requests.read(self._head) if self._remembered else None
        if head is None:
            self._fail(error)
            return
        self._grant.traffic.generation += 1
        self._grant.traffic.metrics.requests -= 1
        self._settle()
        self._task = self._lanes.spawn(self._decide(head, None))

    def _pass_up(self, data: bytes) -> None:
        """Bytes of the body, and perhaps what follows it."""
        assert self._app is not None  # noqa: S101 - for the type checker
        if len(data) > self._upload:
            self._ahead += data[self._upload :]
            data = data[: self._upload]
        self._upload -= len(data)
        self._grant.traffic.metrics.bytes_in += len(data)
        self._app.write(data)

    def _keep(self, data: bytes) -> None:
        """Bytes that came before their time."""
        if self._lingering is not None:
            self._upload -= len(data)
            if self._upload <= 0 or self._upload < self._linger_until:
                self._transport.close()
            return
        self._ahead += data
        if len(self._ahead) > HIGH_WATER:
            self._pause()

    def _pause(self) -> None:
        self._paused = True
        self._transport.pause_reading()

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    # The answer

    def app_data(self, data: bytes) -> None:
        answer = self._answer
        fresh = not answer.started
        if fresh and (self._upload or self._cookies):
            answer.extra = self._extra()
        try:
            wire = answer.feed(data)
        except (BadMessage, ValueError) as error:
            self._fail(error)
            return
        if fresh and answer.started:
            self._grant.traffic.metrics.wait_seconds += time.monotonic() - self.used
        if wire:
            self._transport.write(wire)
        if answer.complete:
            self._done()
        elif answer.broken is not None:
            self._fail(answer.broken)

    def _extra(self) -> bytes:
        """Lines of our own for the answer's head."""
        self._closing = bool(self._upload)
        extra = b"Connection: close\r\n" if self._closing else b""
        for cookie in self._cookies:
            extra += b"Set-Cookie: %b\r\n" % cookie.encode("latin-1")
        return extra

    def app_ended(self, error: Exception | None) -> None:
        if self._repeat and self._app is not None and not self._app.answered:
            wire, self._repeat = self._repeat, b""
            self._release()
            self._task = self._lanes.spawn(self._connect(wire))
            return
        try:
            self._transport.write(self._answer.end(error))
        except NoAnswer as failure:
            self._fail(failure)
        else:
            self._done()

    def app_full(self) -> None:
        self._pause()

    def app_ready(self) -> None:
        self._resume()

    # Ends

    def _done(self) -> None:
        """The answer is complete."""
        app = self._app
        if app is not None and self._answer.reusable and not self._upload:
            app.receiver = None
            self._app = None
            if self._full:
                app.transport.resume_reading()
            self._grant.traffic.pool.give(app)
        self._settle()
        if self._closing:
            self._linger()
            return
        self.used = time.monotonic()
        self.busy = False
        self._cookies = ()
        self._inquiry = None
        if self._ahead or self._paused:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        if self.busy or self._full or self._gone:
            return
        if self._ahead:
            self._read(self._ahead)
        self._listen()

    def _listen(self) -> None:
        """Read on, unless enough lies here already."""
        if not (self._gone or self._returning) and len(self._ahead) <= HIGH_WATER:
            self._resume()

    def _settle(self) -> None:
        """Nothing of this request is open any more."""
        if self._app is not None:
            self._release()
        self._repeat = b""
        traffic = self._grant.traffic
        if self in traffic.active:
            traffic.active.remove(self)
            traffic.metrics.open_requests -= 1
            traffic.metrics.touch()

    def _release(self) -> None:
        if self._app is not None:
            self._app.receiver = None
            self._app.abort()
            self._app = None

    def _linger(self) -> None:
        """Close, but not before what the client still sends: see `client.LINGER_SECONDS`."""
        if not self._upload:
            self._transport.close()
            return
        loop = asyncio.get_running_loop()
        self._linger_until = self._upload - LINGER_BYTES
        self._lingering = loop.call_later(LINGER_SECONDS, self._transport.close)
        ahead, self._ahead = self._ahead, b""
        self._resume()
        if ahead:
            self._keep(ahead)

    def _fail(self, error: Exception) -> None:
        """The app gave no answer that could be passed on."""
        lanes, metrics = self._lanes, self._grant.traffic.metrics
        metrics.failures += 1
        # The way to the app may be another one now.
        self._grant.traffic.generation += 1
        started = self._answer.started
        self._settle()
        if started:
            self._reset()
            return
        inquiry = self._asked()
        answer = lanes.failure(error, page=inquiry is not None and inquiry.page)
        fields = [*answer.headers, ("Content-Length", str(len(answer.body)))]
        self._closing = bool(self._upload)
        if self._closing:
            fields.append(("Connection", "close"))
        wire = serialize(f"HTTP/1.1 {answer.status} {responses[answer.status]}", fields)
        self._transport.write(wire if self._method == "HEAD" else wire + answer.body)
        self._done()

    def _asked(self) -> Inquiry | None:
        """The present request; None if it is not valid after all."""
        if self._inquiry is None and self._head:
            self._inquiry = self._lanes.inquire(self._head, self.context)
        return self._inquiry

    def _reset(self) -> None:
        """End the connection so that an unfinished answer cannot pass for a whole one."""
        connection = self._transport.get_extra_info("socket")
        with socket.socket(fileno=os.dup(connection.fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._transport.abort()
        self._leave()

    def _leave(self) -> None:
        """The connection has gone, to the client's end or to tornado."""
        if self._gone:
            return
        self._gone = True
        self._lanes.open.discard(self)
        if self._lingering is not None:
            self._lingering.cancel()
        if self._task is not None:
            self._task.cancel()
        if self._method:
            self._settle()

    def abort(self) -> None:
        """Close both ends: the session ended, or the server does."""
        if self._gone:
            return
        if self._method and self._answer.started and self in self._grant.traffic.active:
            self._reset()
        else:
            self._transport.abort()
            self._leave()

    @property
    def broken(self) -> bool:
        return self._paused and is_broken(self._transport.get_extra_info("socket"))

    def credentials(self, *, young: bool = False) -> Credentials | None:
        asked = young or time.monotonic() - self.used >= self._lanes.patience
        inquiry = self._asked() if asked else None
        if inquiry is None:
            return None
        return Credentials(inquiry.request, inquiry.target.session_id, upgrade=False)

    def _give_back(self) -> None:
        """Let tornado read on from the head of the present request."""
        if self._gone:
            return
        self.busy = True
        self._transport.pause_reading()
        if self._transport.get_write_buffer_size():
            self._returning = True  # again, once the answer before it is on its way
            self._transport.set_write_buffer_limits(0)
            return
        connection = self._transport.get_extra_info("socket")
        same = socket.socket(fileno=os.dup(connection.fileno()))
        self._task = None
        self._leave()
        self._transport.abort()
        self._lanes.give_back(same, self._ahead, self.context)
