"""Whether an app answers: one small HTTP request, made by the manager until it does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Container

from .routes import Address

REQUEST = "GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\nConnection: close\r\n\r\n"


async def problem(address: Address, path: str, codes: Container[int], *, timeout: float = 5) -> str:
    """What keeps the app at `address` from being ready; empty if it is ready.

    Parameters
    ----------
    path
        The path to ask for, percent-encoded.
    codes
        The HTTP status codes that mean ready.
    timeout
        Seconds to wait for the status line.
    """
    try:
        async with asyncio.timeout(timeout):
            status = await _status(address, path)
    except TimeoutError:
        return "it accepts connections but does not answer"
    except OSError as error:
        return f"no connection: {error.strerror or error}"
    except ValueError:
        return "it does not speak HTTP"
    return "" if status in codes else f"it answers HTTP {status} to {path}"


async def _status(address: Address, path: str) -> int:
    """The status code of the answer; ValueError if there is none."""
    if address.scheme == "unix":
        reader, writer = await asyncio.open_unix_connection(address.path)
        host = "localhost"
    else:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        host = f"{address.host}:{address.port}"
    try:
        writer.write(REQUEST.format(path=path, host=host).encode("latin-1"))
        await writer.drain()
        line = await reader.readline()
        version, _, rest = line.partition(b" ")
        if not version.startswith(b"HTTP/1."):
            raise ValueError(line)
        return int(rest[:3])
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
