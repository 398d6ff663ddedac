"""A gate: the way to an app on a node whose network others use too. Both ends of it.

Standard library only, Python 3.6 or later, no import of the package around it: it is sent to where
the app runs together with ``runner``. ``runner.pyz gate DIRECTORY ADDRESS`` is the node's end, a
child of the app's runner; Jupyter's end is ``reaching/relay.py``, a process that all sessions of a
server share, so that a busy Jupyter holds up no desktop.

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
at one end stops the reading at the other. With the second ``END`` the link is idle again, and
carries another connection later: handshakes are what is dear about one.

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

The rooms, each importing from those before it: `tls` (who may come in), `links` (frames, and how
two connections are joined), `addresses`, `door` (what listens), `dialling`, `serving` (the node's
end as a program).
"""

from .addresses import GateError, own_address, own_addresses
from .dialling import SPARE
from .door import Door, listening
from .links import (
    BACKLOG,
    DATA,
    END,
    HIGH_WATER,
    OPEN,
    OPEN_SECONDS,
    OPENED,
    REFUSED,
    Json,
    Link,
    Plain,
    hold,
    many_files,
    quiet,
    release,
    steady,
)
from .tls import NO_CHECK_TIME, certificate, small_buffers, tls_context

__all__ = [
    "BACKLOG",
    "DATA",
    "END",
    "HIGH_WATER",
    "NO_CHECK_TIME",
    "OPEN",
    "OPENED",
    "OPEN_SECONDS",
    "REFUSED",
    "SPARE",
    "Door",
    "GateError",
    "Json",
    "Link",
    "Plain",
    "certificate",
    "hold",
    "listening",
    "many_files",
    "own_address",
    "own_addresses",
    "quiet",
    "release",
    "small_buffers",
    "steady",
    "tls_context",
]
