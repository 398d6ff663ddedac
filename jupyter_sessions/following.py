"""Following a log until the session that writes it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

LAST_LOOK = 1.0
"""Seconds to look for a last line in the log of a session that has ended."""


async def until(stream: AsyncIterator[bytes], end: asyncio.Task[Any]) -> AsyncGenerator[bytes]:
    """What comes from `stream` until `end` is done, and what is still there then.

    `end` is cancelled, and the stream closed, when the reader goes away.
    """
    reader: asyncio.Task[bytes] | None = None
    try:
        while True:
            if reader is None:
                reader = asyncio.ensure_future(anext(stream))
            ended = end.done()
            waited = {reader} if ended else {reader, end}
            await asyncio.wait(
                waited,
                return_when=asyncio.FIRST_COMPLETED,
                timeout=LAST_LOOK if ended else None,
            )
            if reader.done():
                try:
                    chunk = reader.result()
                except StopAsyncIteration:
                    return
                reader = None
                yield chunk
            elif ended:
                return
    finally:
        tasks = [end, *([reader] if reader is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if isinstance(stream, AsyncGenerator):
            async with aclosing(stream):
                pass
