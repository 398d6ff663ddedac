"""A gate: the way to an app on a node whose network others use too. Both ends of it.

Standard library only, Python 3.6 or later, no import of the package: the text of this file is sent
to where the app runs. ``gate.py serve DIRECTORY ADDRESS`` is the node's end, a child of the app's
runner; Jupyter's end is ``reaching/relay.py``, a process that all sessions of a server share, so
that a busy Jupyter holds up no desktop.

::

    gateway ── Unix socket ── relay ══ TLS ══ gate ── Unix socket or loopback port ── app

**Who gets in.** Each attempt has two keys of its own with self-signed certificates, made by
Jupyter's side: ``gate`` and ``reach``. An end shows its own and takes the other's and nothing
else. Dates are not looked at: both are forgotten with the attempt, and clocks differ.

**Who dials** is all that the ways differ in. *direct*: the gate listens on the node's network, at
an address that `own_address` picks. *dial*: it listens nowhere, and dials where the files
``dial-*.json`` in its directory say, over and over while they are there. Whoever dials keeps
some links open that nobody uses yet, so that a connection costs no handshake.

**A link** carries one connection in frames: a byte that tells the kind, three of length, content.
The relay sends ``OPEN`` on an idle link, and the gate answers ``OPENED`` once it has reached the
app, or ``REFUSED``. Then both send ``DATA``, and ``END`` when their client or app closed its
sending side; a link that is lost without it broke, and is passed on as that. What is not taken
at one end stops the reading at the other.

The files of the gate, in the attempt's directory beside those of the runner, mode 0600:

=================== ======== =====================================================================
file                by       content
=================== ======== =====================================================================
``gate.pem``        prepare  the gate's key and certificate; ``reach.crt``: the other's certificate
``gate.json``       gate     ``host, port`` where it listens (empty and 0 if it dials), or ``error``
``dial-NAME.json``  dial     ``addresses``: ``[[host, port], …]`` of one server, tried in order
=================== ======== =====================================================================

``launch.json`` has ``gate``: ``reach`` (*direct* or *dial*), ``name`` (what it calls itself when it
dials), ``interface`` and ``ports`` (the first and the last, or 0, 0 for any) for *direct*.
"""

import asyncio
import contextlib
import fcntl
import ipaddress
import json
import os
import resource
import signal
import socket
import ssl
import struct
import sys
from typing import Any, Callable, Dict, List, Optional, Tuple

Json = Dict[str, Any]

OPEN, OPENED, REFUSED, DATA, END = range(1, 6)
HIGH_WATER = 256 * 1024  # bytes that may wait for a slow reader
SPARE = 8  # links that whoever dials keeps open in advance
OPEN_SECONDS = 10.0  # to reach an app, or the other end
LEAVE_SECONDS = 1.0  # to pass on last words
BACKLOG = 4096
LOOK = 1.0  # seconds between looks at the directory
NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME


class GateError(Exception):
    """The way cannot be opened. The message is a sentence for people."""


# -- Who may come in ------------------------------------------------------------------------------


def tls_context(directory: str, me: str, other: str, server: bool) -> ssl.SSLContext:
    """For connections between `me` and `other` (``gate``, ``reach``) alone.

    Raises OSError if a file is missing; ssl.SSLError, which is one, if it makes no sense.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the certificate itself is what is known
    context.verify_mode = ssl.CERT_REQUIRED
    if hasattr(ssl, "TLSVersion"):  # Python 3.7
        context.minimum_version = ssl.TLSVersion.TLSv1_2
    else:
        context.options |= ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1
    context.verify_flags |= NO_CHECK_TIME
    context.load_cert_chain(os.path.join(directory, me + ".pem"))
    context.load_verify_locations(os.path.join(directory, other + ".crt"))
    return context


def certificate(directory: str, other: str) -> bytes:
    """The only certificate that `other` may show."""
    with open(os.path.join(directory, other + ".crt")) as file:
        return ssl.PEM_cert_to_DER_cert(file.read())


# -- Joining two connections ----------------------------------------------------------------------


def hold(transport: Any) -> None:
    """Read nothing more for now. Harmless twice, which it is not in itself in Python 3.6."""
    with contextlib.suppress(RuntimeError, AttributeError):  # the latter of one that is closed
        transport.pause_reading()


def release(transport: Any) -> None:
    with contextlib.suppress(RuntimeError, AttributeError):
        transport.resume_reading()


def steady(transport: Any) -> None:
    """Small packets at once; a peer that went without a word is noticed within a minute."""
    connection = transport.get_extra_info("socket")
    if connection is None or connection.family == socket.AF_UNIX:
        return
    options = [(socket.IPPROTO_TCP, "TCP_NODELAY", 1), (socket.SOL_SOCKET, "SO_KEEPALIVE", 1)]
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        options.append((socket.IPPROTO_TCP, name, value))
    for level, name, value in options:
        with contextlib.suppress(OSError, AttributeError):
            connection.setsockopt(level, getattr(socket, name), value)


class Plain(asyncio.Protocol):
    """The end that speaks to a client (of the relay) or to the app (of the gate)."""

    def __init__(self, made: Optional[Callable[["Plain"], None]] = None) -> None:
        self.link = None  # type: Optional[Link]
        self._made = made
        self._early = []  # type: List[bytes]
        self.transport = None  # type: Any

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.set_write_buffer_limits(HIGH_WATER)
        steady(transport)
        hold(transport)  # until somebody is there to take what comes
        if self._made is not None:
            self._made(self)

    def join(self, link: "Link") -> None:
        """Pass on what comes to `link`, beginning with what Python 3.6 did not hold."""
        self.link = link
        early, self._early = self._early, []
        for data in early:
            self.data_received(data) if data else self.eof_received()
        release(self.transport)

    def data_received(self, data: bytes) -> None:
        if self.link is None:
            self._early.append(data)
        else:
            self.link.send(DATA, data)

    def eof_received(self) -> bool:
        if self.link is None:
            self._early.append(b"")
        else:
            self.link.end()
        return True  # the other direction may go on

    def connection_lost(self, exc: Optional[Exception]) -> None:
        if self.link is not None:
            self.link.close()

    def pause_writing(self) -> None:
        if self.link is not None:
            hold(self.link.transport)

    def resume_writing(self) -> None:
        if self.link is not None:
            release(self.link.transport)


class Link(asyncio.Protocol):
    """A TLS connection between gate and relay, for one connection to the app.

    Parameters
    ----------
    expected
        Gives the certificate that the other end must show, or None if nothing is expected.
    owner
        Has ``link_made``, ``link_lost`` and ``link_told`` (an idle link, the kind of a frame).
    dialled
        What for, if the owner wants to remember.
    """

    def __init__(
        self, expected: Callable[[Any], Optional[bytes]], owner: Any, dialled: str = ""
    ) -> None:
        self.dialled = dialled
        self._expected = expected
        self.owner = owner
        self.transport = None  # type: Any
        self.plain = None  # type: Optional[Plain]
        self._head = b""
        self._left = 0
        self._sent_end = self._got_end = self.closed = False
        self.made = self.lost = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        tls = transport.get_extra_info("ssl_object")
        expected = self._expected(tls)
        if expected is None or tls.getpeercert(True) != expected:
            self.abort()
            return
        transport.set_write_buffer_limits(HIGH_WATER)
        steady(transport)
        self.made = True
        self.owner.link_made(self)

    def join(self, plain: Plain) -> None:
        """From now on, what one end sends is for the other."""
        self.plain = plain
        plain.join(self)

    def send(self, kind: int, data: bytes = b"") -> None:
        if self.closed:
            return
        for start in range(0, len(data) or 1, 0xFFFFFF):
            piece = data[start : start + 0xFFFFFF]
            self.transport.write(struct.pack("!I", kind << 24 | len(piece)) + piece)

    def end(self) -> None:
        """The plain end will send no more."""
        if not self._sent_end and not self.closed:
            self._sent_end = True
            self.send(END)
        self._finish()

    def close(self) -> None:
        """Both ends; what was sent is still delivered to the other side."""
        if not self.closed:
            self.closed = True
            self.transport.close()

    def abort(self) -> None:
        """At once."""
        if not self.lost:
            self.closed = True
            with contextlib.suppress(AttributeError):  # Python 3.11's, closed a moment ago
                self.transport.abort()

    def data_received(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if self._left:
                piece, view = view[: self._left], view[self._left :]
                self._left -= len(piece)
                if self.plain is not None:
                    self.plain.transport.write(piece)
                continue
            missing = 4 - len(self._head)
            self._head, view = self._head + bytes(view[:missing]), view[missing:]
            if len(self._head) == 4:
                (head,), self._head = struct.unpack("!I", self._head), b""
                self._frame(head >> 24, head & 0xFFFFFF)

    def _frame(self, kind: int, length: int) -> None:
        if kind == DATA and self.plain is not None:
            self._left = length
        elif kind == END and self.plain is not None and not length:
            self._got_end = True
            with contextlib.suppress(OSError):
                self.plain.transport.write_eof()
            self._finish()
        elif kind in (OPEN, OPENED, REFUSED) and self.plain is None and not length:
            self.owner.link_told(self, kind)
        else:
            self.abort()

    def _finish(self) -> None:
        if self._sent_end and self._got_end:
            if self.plain is not None:
                self.plain.transport.close()
            self.close()

    def connection_lost(self, exc: Optional[Exception]) -> None:
        self.lost = self.closed = True
        if self.plain is not None:
            # Without its END the other side broke off: so does this one, as far as it has got.
            if self._got_end:
                self.plain.transport.close()
            else:
                self.plain.transport.abort()
        if self.made:
            self.owner.link_lost(self)

    def pause_writing(self) -> None:
        if self.plain is not None:
            hold(self.plain.transport)

    def resume_writing(self) -> None:
        if self.plain is not None:
            release(self.plain.transport)


# -- The node's end -------------------------------------------------------------------------------


def many_files() -> None:
    """Let this process have as many connections open as it may."""
    with contextlib.suppress(OSError, ValueError):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def own_addresses() -> List[Tuple[str, str]]:
    """The network interfaces of this machine and their IPv4 addresses."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):  # it has none
                request = struct.pack("256s", name.encode()[:15])
                answer = fcntl.ioctl(asking.fileno(), 0x8915, request)  # SIOCGIFADDR
                found.append((name, socket.inet_ntoa(answer[20:24])))
    return found


def own_address(wanted: str) -> str:
    """The address of this node on the network that Jupyter's side can reach.

    Parameters
    ----------
    wanted
        An interface (``ib0``), a network (``10.1.0.0/16``) or an address; empty for what the
        node's own name means here, else the way out of here, else the first there is.
    """
    addresses = own_addresses()
    others = [address for _, address in addresses if not address.startswith("127.")]
    if wanted:
        try:
            network = ipaddress.ip_network(wanted, strict=False)
        except ValueError:
            fitting = [address for name, address in addresses if name == wanted]
        else:
            fitting = [a for _, a in addresses if ipaddress.ip_address(a) in network]
        if not fitting:
            there = ", ".join("{} ({})".format(*found) for found in addresses)
            raise GateError(f"This node has no network interface {wanted!r}, only {there}.")
        return fitting[0]
    with contextlib.suppress(OSError):
        named = socket.gethostbyname(socket.gethostname())
        if named in others:
            return named
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect(("192.0.2.1", 9))  # nothing is sent
        outward = str(asking.getsockname()[0])
        if outward in others:
            return outward
    if not others:
        raise GateError("This node has no address but its loopback's.")
    return others[0]


class Gate:
    """The node's end: takes links that the relay opens, and joins them to the app."""

    def __init__(self, loop: Any, directory: str, settings: Json, app: Json) -> None:
        self._loop = loop
        self._directory = directory
        self._settings = settings
        self._app = app
        self._expected = certificate(directory, "reach")
        self._dialling = {}  # type: Dict[str, Any]
        self._idle = {}  # type: Dict[Link, str]
        self._opening = {}  # type: Dict[Any, None]
        self._busy = {}  # type: Dict[Link, None]
        self._answered = {}  # type: Dict[str, str]
        self.task = None  # type: Any

    def _link(self, dialled: str = "") -> Link:
        return Link(lambda _: self._expected, self, dialled)

    async def listen(self, port: int) -> Json:
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
        more = {"ssl_handshake_timeout": OPEN_SECONDS} if sys.version_info >= (3, 7) else {}
        low, high = self._settings.get("ports") or (0, 0)
        for number in [port] * bool(port) + (list(range(low, high + 1)) or [0]):
            with contextlib.suppress(OSError):
                server = await self._loop.create_server(
                    self._link, host, number, ssl=context, backlog=BACKLOG, **more
                )
                return {"host": host, "port": server.sockets[0].getsockname()[1]}
        raise GateError(f"No port of {low} to {high} is free on {host}.")

    def link_made(self, link: Link) -> None:
        if link.dialled:
            self._idle[link] = link.dialled

    def link_told(self, link: Link, kind: int) -> None:
        if kind != OPEN:
            link.abort()
            return
        self._used(link)
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

    # Dialling

    def _used(self, link: Link) -> None:
        """A link that was spare is not any more: another takes its place."""
        name = self._idle.pop(link, None)
        if name in self._dialling:
            self._dialling[name].set()

    def link_lost(self, link: Link) -> None:
        self._busy.pop(link, None)
        self._used(link)

    async def dial(self) -> None:
        """Look for servers to dial, for ever."""
        prefix, suffix = "dial-", ".json"
        tasks = {}  # type: Dict[str, Any]
        while True:
            with contextlib.suppress(OSError):
                # Listing, unlike asking for a name, makes an NFS client ask its server.
                names = {
                    name
                    for name in os.listdir(self._directory)
                    if name.startswith(prefix) and name.endswith(suffix)
                }
                for name in names - set(tasks):
                    self._dialling[name] = asyncio.Event()
                    tasks[name] = self._loop.create_task(self._keep(name))
                for name in set(tasks) - names:
                    tasks.pop(name).cancel()
                    del self._dialling[name]
                    for link in [spare for spare, of in self._idle.items() if of == name]:
                        link.close()
            await asyncio.sleep(LOOK)

    async def _keep(self, name: str) -> None:
        """Keep spare links to one server."""
        context = tls_context(self._directory, "gate", "reach", server=False)
        pause = 0.1
        while True:
            wanted = self._dialling[name]
            wanted.clear()
            spare = list(self._idle.values()).count(name)
            missing = SPARE - spare if spare else 4 * SPARE  # many want one at once
            made = await asyncio.gather(*(self._dial(name, context) for _ in range(missing)))
            if all(made):
                pause = 0.1
                await wanted.wait()
            else:
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, 5.0)

    async def _dial(self, name: str, context: ssl.SSLContext) -> bool:
        try:
            with open(os.path.join(self._directory, name), "rb") as file:
                addresses = json.loads(file.read().decode("utf-8"))["addresses"]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        # What answered last time comes first: the others may not answer at all.
        answered = self._answered.get(name)
        addresses.sort(key=lambda address: address[0] != answered)
        for host, port in addresses:
            patience = OPEN_SECONDS / (1 if host == answered else len(addresses))
            try:
                opening = self._loop.create_connection(
                    lambda: self._link(name),
                    host,
                    port,
                    ssl=context,
                    server_hostname=self._settings["name"],
                )
                _, link = await asyncio.wait_for(opening, patience)
            except (OSError, asyncio.TimeoutError):
                continue
            if link.made:
                self._answered[name] = host
                return True
        return False


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
        where = loop.run_until_complete(gate.listen(port))
    except (GateError, OSError, ValueError, KeyError) as error:
        write_json(told, {"error": str(error), "pid": os.getpid()})
        return 1
    if settings["reach"] == "dial":
        gate.task = loop.create_task(gate.dial())
    loop.add_signal_handler(signal.SIGTERM, gate.leave)
    loop.add_reader(0, lambda: loop.stop() if not os.read(0, 1024) else None)
    write_json(told, dict(where, pid=os.getpid()))
    loop.run_forever()
    return 0


def quiet(loop: Any, context: Json) -> None:
    """Whoever knocks and may not come in is not worth a traceback in the app's log."""
    error = context.get("exception")
    if not isinstance(error, (OSError, asyncio.TimeoutError)):
        loop.default_exception_handler(context)


def main(argv: List[str]) -> int:
    """``gate.py serve DIRECTORY ADDRESS``, the app's address as in ``connection.json``."""
    if len(argv) != 3 or argv[0] != "serve":
        sys.stderr.write("gate.py serve DIRECTORY ADDRESS\n")
        return 2
    return serve(argv[1], json.loads(argv[2]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
