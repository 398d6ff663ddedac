"""The node's end."""

import asyncio
import contextlib
import json
import os
import signal
from typing import Any, Dict, Optional

from .addresses import GateError, own_address
from .dialling import Dialler
from .door import Door, listening
from .links import (
    OPEN,
    OPEN_SECONDS,
    OPENED,
    REFUSED,
    Json,
    Link,
    Plain,
    many_files,
    quiet,
)
from .tls import certificate, small_buffers, tls_context

LEAVE_SECONDS = 1.0  # to pass on last words


class Gate:
    """The node's end: takes links that the relay opens, and joins them to the app."""

    def __init__(self, loop: Any, directory: str, settings: Json, app: Json) -> None:
        self._loop = loop
        self._directory = directory
        self._settings = settings
        self._app = app
        self._expected = certificate(directory, "reach")
        self._dialler = Dialler(loop, directory, settings, self._link)
        self._opening: Dict[Any, None] = {}
        self._busy: Dict[Link, None] = {}
        self._task: Any = None
        self._door: Optional[Door] = None

    def _link(self, dialled: str = "") -> Link:
        return Link(lambda _: self._expected, self, dialled)

    def listen(self, port: int) -> Json:
        """Listen for the relay, if it is the relay that dials; what goes into ``gate.json``.

        Parameters
        ----------
        port
            The one that the gate before this one had, or 0.
        """
        if self._settings["reach"] != "direct":
            return {"host": "", "port": 0}
        context = tls_context(self._directory, "gate", "reach", server=True)
        host = own_address(str(self._settings.get("interface") or ""))
        low, high = self._settings.get("ports") or (0, 0)
        for number in [port] * bool(port) + (list(range(low, high + 1)) or [0]):
            with contextlib.suppress(OSError):
                listener = listening(host, number)
                self._door = Door(self._loop, listener, context, self._link)
                return {"host": host, "port": listener.getsockname()[1]}
        raise GateError(f"No port of {low} to {high} is free on {host}.")

    def link_made(self, link: Link) -> None:
        if link.dialled:
            self._dialler.add(link)

    def link_told(self, link: Link, kind: int) -> None:
        if kind != OPEN:
            link.abort()
            return
        self._dialler.remove(link)
        task = self._loop.create_task(self._open(link))
        self._opening[task] = None
        task.add_done_callback(self._opening.pop)

    async def _open(self, link: Link) -> None:
        try:
            plain = await asyncio.wait_for(self._to_app(), OPEN_SECONDS)
        except (OSError, asyncio.TimeoutError):
            link.send(REFUSED)
            link.close()
            return
        if link.lost:
            plain.transport.abort()
            return
        link.send(OPENED)
        link.join(plain)
        self._busy[link] = None

    def link_free(self, link: Link) -> None:
        self._busy.pop(link, None)
        self.link_made(link)

    def link_lost(self, link: Link) -> None:
        self._busy.pop(link, None)
        self._dialler.remove(link)

    def dial(self) -> None:
        """From now on dial whoever wants to be, if this is a gate that dials."""
        if self._settings["reach"] == "dial":
            self._task = self._loop.create_task(self._dialler.run())

    def leave(self) -> None:
        """Stop, once what an app that ends has said last is on its way."""
        end = self._loop.time() + LEAVE_SECONDS

        def look() -> None:
            if self._busy and self._loop.time() < end:
                self._loop.call_later(0.02, look)
            else:
                self._loop.stop()

        look()

    async def _to_app(self) -> Plain:
        app = self._app
        if app["scheme"] != "unix":
            _, plain = await self._loop.create_connection(Plain, app["host"], app["port"])
            return plain  # type: ignore[no-any-return]
        while True:
            _, plain = await self._loop.create_unix_connection(Plain, app["path"])
            try:
                plain.transport.get_extra_info("socket").getpeername()
            except OSError:
                # Its queue is full, which asyncio takes for a connection that is on its way.
                plain.transport.abort()
                await asyncio.sleep(0.02)
            else:
                return plain  # type: ignore[no-any-return]


def write_json(path: str, data: Json) -> None:
    """Put `data` into the file `path`, mode 0600, all at once."""
    temporary = f"{path}.{os.urandom(6).hex()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(json.dumps(data).encode())
    os.rename(temporary, path)


def serve(directory: str, app: Json) -> int:
    """Be the gate of the attempt in `directory` until stdin, the runner's end of a pipe, closes."""
    many_files()
    small_buffers()
    told = os.path.join(directory, "gate.json")
    port = 0
    with contextlib.suppress(OSError, ValueError, KeyError), open(told, "rb") as file:
        port = int(json.loads(file.read().decode("utf-8"))["port"])
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.set_exception_handler(quiet)
    try:
        with open(os.path.join(directory, "launch.json"), "rb") as file:
            settings = json.loads(file.read().decode("utf-8"))["gate"]
        gate = Gate(loop, directory, settings, app)
        where = gate.listen(port)
    except (GateError, OSError, ValueError, KeyError) as error:
        write_json(told, {"error": str(error), "pid": os.getpid()})
        return 1
    gate.dial()
    loop.add_signal_handler(signal.SIGTERM, gate.leave)
    loop.add_reader(0, lambda: loop.stop() if not os.read(0, 1024) else None)
    write_json(told, dict(where, pid=os.getpid()))
    loop.run_forever()
    return 0
