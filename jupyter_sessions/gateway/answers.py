"""An app's answer on its way to the client: bytes in, bytes out, and no connection in sight."""

from __future__ import annotations

from jupyter_sessions.gateway.framing import MAX_HEAD, BadMessage, Body
from jupyter_sessions.gateway.grants import Grant
from jupyter_sessions.gateway.lines import Reader
from jupyter_sessions.gateway.upstream import MAX_INFORMATIONAL, Chunks, NoAnswer, Truncated


class AnswerStream:
    """Translates one answer.

    Parameters
    ----------
    grant
        What was decided about the request.
    reader
        Takes heads of answers apart.
    method
        The request's.
    """

    # There is one of these for each request: what is set here need not be set there.
    started = False
    """True once its head has come."""
    complete = False
    reusable = False
    """True if the app's connection can take another request, once this is complete."""
    broken: NoAnswer | None = None
    """Why it will never be complete, if it will not."""
    extra = b""
    """Lines for the head, to be set before it comes."""
    _part = b""
    _skipped = 0
    _body: Body = 0
    _chunks: Chunks | None = None

    def __init__(self, grant: Grant, reader: Reader, method: str) -> None:
        self._grant = grant
        self._reader = reader
        self._method = method

    def feed(self, data: bytes) -> bytes:
        """What the client gets for `data` of the app. Raises BadMessage."""
        head = b""
        if not self.started:
            head, data = self._read_head(data)
            if not self.started:
                return b""
        body = self._body
        metrics = self._grant.traffic.metrics
        if isinstance(body, int):
            size = len(data)
            if size > body:
                data, size = data[:body], body
                self.reusable = False
            if size == body:
                self.complete = True
            else:
                self._body = body - size
            metrics.bytes_out += size
            return head + data if head else data
        if self._chunks is not None:
            try:
                data = self._chunks.feed(data)
            except Truncated as error:
                self.broken = error
                return head
            self.complete = self._chunks.complete
            if self._chunks.surplus:
                self.reusable = False
        metrics.bytes_out += len(data)
        piece = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        return b"%b%b%b" % (head, piece, b"0\r\n\r\n" if self.complete else b"")

    def end(self, error: Exception | None) -> bytes:
        """What the client gets when the app hangs up. Raises NoAnswer if that is too early."""
        if error is not None:
            raise NoAnswer("The connection to the app broke.") from error
        if not self.started:
            raise NoAnswer("The app closed the connection without an answer.")
        if self._body != "close":
            raise Truncated("The app's answer broke off.")
        self.complete = True
        return b"0\r\n\r\n"

    def _read_head(self, data: bytes) -> tuple[bytes, bytes]:
        """The client's head, and what follows it."""
        if self._part:
            data = self._part + data
            self._part = b""
        while True:
            end = data.find(b"\r\n\r\n")
            if end > MAX_HEAD or (end < 0 and len(data) > MAX_HEAD):
                raise BadMessage("the head is larger than 64 KB")
            if end < 0:
                self._part = data
                return b"", b""
            head = self._grant.answer(self._reader, data[:end], self._method)
            data = data[end + 4 :]
            if head.status >= 200:
                break
            self._skipped += 1
            if head.status == 101:
                raise BadMessage("it switches protocols without being asked")
            if self._skipped == MAX_INFORMATIONAL:
                raise BadMessage("there are too many informational answers")
        self.started = True
        self.reusable = head.keep_alive
        self._body = head.body
        if head.body == "chunked":
            self._chunks = Chunks()
        return b"%b%b\r\n" % (head.wire, self.extra), data
