"""Whether an app answers: one small HTTP request, made by the manager until it does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Container, Mapping
from types import MappingProxyType

from .routes import Address

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


async def problem(
    address: Address,
    path: str,
    codes: Container[int],
    headers: Mapping[str, str] = NO_HEADERS,
    *,
    timeout: float = 5,
) -> str:
    """What keeps the app at `address` from being ready; empty if it is ready.

    Parameters
    ----------
    path
        The path to ask for, percent-encoded.
    codes
        The HTTP status codes that mean ready.
    headers
        What the request says besides.
    timeout
        Seconds to wait for the status line.
    """
    try:
        async with asyncio.timeout(timeout):
            status = await _status(address, path, headers)
    except TimeoutError:
        return "it accepts connections but does not answer"
    except OSError as error:
        return f"no connection: {error.strerror or error}"
    except ValueError:
        return "it does not speak HTTP"
    shown = path.partition("?")[0]  # there may be a secret behind it
    return "" if status in codes else f"it answers HTTP {status} to {shown}"


async def _status(address: Address, path: str, headers: Mapping[str, str]) -> int:
    """The status code of the answer; ValueError if there is none."""
    if address.scheme == "unix":
        reader, writer = await asyncio.open_unix_connection(address.path)
        host = "localhost"
    else:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        host = f"{address.host}:{address.port}"
    try:
        fields = {"Host": host, "Accept": "*/*"}
        fields = {n: v for n, v in fields.items() if n.lower() not in map(str.lower, headers)}
        fields |= {**headers, "Connection": "close"}
        lines = [f"GET {path} HTTP/1.1", *(f"{n}: {v}" for n, v in fields.items())]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
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
