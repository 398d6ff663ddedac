"""Stands in front of a server of this session that speaks TLS: without it, at another port.

``python -I tls_front.py PORT`` listens at a free port of 127.0.0.1, writes its number to its
output, and passes on to PORT. Standard library only, Python 3.6 or later; ``service_runner.py``
starts it.

The certificate is not looked at: on this machine's loopback it proves nothing, and most such
servers made theirs themselves. What counts is whose process listens, and that is asked of the
kernel for each connection.
"""

import asyncio
import contextlib
import os
import ssl
import sys
from typing import List  # noqa: F401 - in a comment

CHUNK = 65536


def ours(port: int) -> bool:
    """Whether only processes of this user listen on `port`, as far as the kernel tells."""
    lines = []  # type: List[str]
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError), open("/proc/net/" + name) as file:
            lines += file.readlines()[1:]
    rows = [line.split() for line in lines]
    listening = [r for r in rows if r[3] == "0A" and int(r[1].rpartition(":")[2], 16) == port]
    return all(int(row[7]) == os.geteuid() for row in listening)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until one side has said all; then the connection is over, as TLS has no half ends."""
    try:
        while True:
            data = await reader.read(CHUNK)
            if not data:
                return
            writer.write(data)
            await writer.drain()
    except OSError:
        return
    finally:
        writer.close()


async def pass_on(
    port: int,
    context: ssl.SSLContext,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """One connection, both ways."""
    if not ours(port):
        writer.close()
        return
    try:
        there, back = await asyncio.open_connection("localhost", port, ssl=context)
    except OSError:
        writer.close()
        return
    await asyncio.gather(pump(reader, back), pump(there, writer))


def main(port: int) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await pass_on(port, context, reader, writer)

    server = loop.run_until_complete(asyncio.start_server(accept, "127.0.0.1", 0))
    sys.stdout.write("{}\n".format(server.sockets[0].getsockname()[1]))
    sys.stdout.flush()
    loop.run_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
