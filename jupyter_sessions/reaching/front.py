"""What stands on a login node for Jupyter's machine: finds out where nodes can dial, and relays.

Standard library only, Python 3.6 or later: `program`, the text of this file and of what it needs of
``gate``, is sent to the host, and run there as ``python -c TEXT MARK`` for as long as somebody is
at the other end of its stdin. `entrance.Entrance` is who speaks to it.

The SSH server of the host already listens at a port, for connections that it leads to Jupyter's
machine; but it does so at the loopback unless ``GatewayPorts`` says otherwise, and then nodes get
nowhere. In that case this program listens on the network in its place. What passes is TLS between a
gate and Jupyter's machine: there is nothing to read here, and whoever else connects gets no byte of
it.

The first line on stdin is JSON: ``port``, where the SSH server listens; ``host``, the address to
listen at, empty for all; ``ports``, a list of those to try. The answer is one line, the mark and
JSON: ``port``; ``names``, what this machine calls itself; ``relayed``, whether this program has to
stay. It ends with stdin, or when that was silent for a minute: a machine that was switched off
closes nothing.
"""

import asyncio
import contextlib
import json
import os
import socket
import sys
from typing import Any, Dict, List, Optional

if __package__:
    from .. import gate
else:
    import gate  # type: ignore[import-not-found,no-redef,unused-ignore]

Json = Dict[str, Any]

ROOMS = ("addresses.py", "links.py")  # of `gate`; they import nothing else of it
SILENCE = 60.0  # seconds without a word after which nobody is there
CONNECT_SECONDS = 5.0  # to reach what listens on this machine


def own_names() -> List[str]:
    """What other machines may call this one, the likeliest first; no loopback is among it."""
    host = socket.gethostname()
    found = [] if host.startswith("localhost") else [host]
    with contextlib.suppress(gate.GateError):
        found.append(gate.own_address(""))
        found += [address for _, address in gate.own_addresses()]
    return [name for name in dict.fromkeys(found) if not name.startswith("127.")]


def is_open(host: str, port: int) -> bool:
    """Whether something listens there, and not at the loopback alone."""
    with contextlib.suppress(OSError):
        address = socket.gethostbyname(host)
        if not address.startswith("127."):
            socket.create_connection((address, port), CONNECT_SECONDS).close()
            return True
    return False


class End(asyncio.Protocol):
    """One of two connections of which each passes on what the other receives."""

    def __init__(self, other: Optional["End"] = None) -> None:
        self.other = other
        self.transport = None  # type: Any

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.set_write_buffer_limits(gate.HIGH_WATER)
        gate.steady(transport)
        if self.other is not None:
            self.other.other = self

    def data_received(self, data: bytes) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def connection_lost(self, exc: Optional[Exception]) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()

    def pause_writing(self) -> None:
        if self.other is not None:
            gate.hold(self.other.transport)

    def resume_writing(self) -> None:
        if self.other is not None:
            gate.release(self.other.transport)


class FromNode(End):
    """A connection that a node has made: the way on from here is opened for it."""

    def __init__(self, loop: Any, port: int) -> None:
        super().__init__()
        self._loop, self._port = loop, port
        self._early = []  # type: List[bytes]

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        gate.hold(transport)
        self._loop.create_task(self._go_on())

    def data_received(self, data: bytes) -> None:
        if self.other is None or self._early:
            self._early.append(data)  # in its turn, once there is somewhere to go
            # Held before the loop had begun to read, which it then did all the same.
            gate.release(self.transport)
            gate.hold(self.transport)
        else:
            super().data_received(data)

    async def _go_on(self) -> None:
        connecting = self._loop.create_connection(lambda: End(self), "localhost", self._port)
        try:
            await asyncio.wait_for(connecting, CONNECT_SECONDS)
        except (OSError, asyncio.TimeoutError):
            self.transport.abort()
            return
        if self.transport.is_closing():
            self.other.transport.abort()  # type: ignore[union-attr]
            return
        for data in self._early:
            super().data_received(data)
        self._early = []
        gate.release(self.transport)


async def listen(loop: Any, asked: Json) -> Any:
    """A server that listens for nodes. Raises OSError if no port is free."""
    host = asked["host"] or "0.0.0.0"  # noqa: S104 - who gets through has to prove it
    for port in asked["ports"]:
        with contextlib.suppress(OSError):
            return await loop.create_server(
                lambda: FromNode(loop, asked["port"]), host, port, backlog=gate.BACKLOG
            )
    raise OSError("no port of those that are allowed is free on {}".format(host))


def program() -> str:
    """The text of all that runs there."""
    folder, parts = os.path.dirname(os.path.abspath(gate.__file__)), []
    for path in (*(os.path.join(folder, name) for name in ROOMS), __file__):
        with open(path, encoding="utf-8") as file:
            parts.append(file.read())
    begin = "import sys, types\ngate = sys.modules['gate'] = types.ModuleType('gate')\n"
    rooms = "".join(f"exec({part!r}, gate.__dict__)\n" for part in parts[:-1])
    return begin + rooms + parts[-1]


class Watch:
    """Ends the loop when nobody is left at the other end of stdin."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        loop.add_reader(0, self._heard)
        self._end = loop.call_later(SILENCE, loop.stop)

    def _heard(self) -> None:
        self._end.cancel()
        if os.read(0, 1024):
            self._end = self._loop.call_later(SILENCE, self._loop.stop)
        else:
            self._loop.stop()


def main(mark: str) -> None:
    asked = json.loads(sys.stdin.buffer.readline().decode("utf-8"))
    names = own_names()
    there = [asked["host"]] if asked["host"] else names
    told = {"port": asked["port"], "names": names, "relayed": False}  # type: Json
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.set_exception_handler(gate.quiet)
    if not any(is_open(name, asked["port"]) for name in there):
        gate.many_files()
        told["relayed"] = True
        try:
            server = loop.run_until_complete(listen(loop, asked))
            told["port"] = server.sockets[0].getsockname()[1]
        except OSError as error:
            told = {"error": "Nodes cannot dial this host: {}.".format(error)}
    print(mark + json.dumps(told), flush=True)
    if told.get("relayed"):
        Watch(loop)
        loop.run_forever()


if __name__ == "__main__":
    main(sys.argv[1])
