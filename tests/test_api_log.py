"""``GET sessions/{id}/log``: the end of the log, and what is added to it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from .conftest import PATIENCE, Api


class Reader:
    """Reads an answer as it comes."""

    def __init__(self, api: Api, path: str) -> None:
        self.text = ""
        self._grown = asyncio.Event()
        self.answer = asyncio.create_task(
            api("GET", path, streaming_callback=self._more, headers=None)
        )

    def _more(self, chunk: bytes) -> None:
        self.text += chunk.decode()
        self._grown.set()

    async def until(self, text: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while text not in self.text:
                self._grown.clear()
                await self._grown.wait()


async def test_lines_are_the_last_ones(api: Api) -> None:
    session = await api.start("echo", options={"exit": 3})
    whole = await api("GET", f"sessions/{session.id}/log")
    assert whole.headers["Content-Type"] == "text/plain; charset=utf-8"
    lines = whole.text.splitlines(keepends=True)
    assert len(lines) > 2
    for number in (0, 1, 2, 100_000):
        answer = await api("GET", f"sessions/{session.id}/log?lines={number}")
        assert answer.text == "".join(lines[-number:] if number else [])
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


async def test_following_ends_when_the_session_ends(api: Api) -> None:
    session = await api.start()
    reader = Reader(api, f"sessions/{session.id}/log?follow=1")
    await reader.until("echo is here")
    assert not reader.answer.done()
    await api("POST", f"sessions/{session.id}/stop")
    async with asyncio.timeout(PATIENCE):
        answer = await reader.answer
    assert answer.status == 200
    ended = await api("GET", f"sessions/{session.id}/log")
    assert reader.text == ended.text


async def test_following_may_begin_before_there_is_anything(api: Api) -> None:
    session = await api.start("echo", wait=False)
    reader = Reader(api, f"sessions/{session.id}/log?follow=1")
    await reader.until("echo is here")
    await api("POST", f"sessions/{session.id}/stop")
    await reader.answer


async def test_following_ends_when_the_session_is_deleted(api: Api) -> None:
    session = await api.start()
    reader = Reader(api, f"sessions/{session.id}/log?follow=true")
    await reader.until("echo is here")
    await api("DELETE", f"sessions/{session.id}")
    async with asyncio.timeout(PATIENCE):
        await reader.answer


async def test_following_an_ended_session_ends_at_once(api: Api) -> None:
    session = await api.start("echo", options={"exit": 0})
    answer = await api("GET", f"sessions/{session.id}/log?follow=1")
    assert "echo goes away" in answer.text


async def test_a_reader_that_leaves_leaves_no_task_behind(api: Api, http_server: Any) -> None:
    session = await api.start()
    before = tasks()
    port = next(iter(http_server._sockets.values())).getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    token = api._headers["Authorization"]
    path = f"{api.base_url}jupyter-sessions/v1/sessions/{session.id}/log?follow=1"
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {token}\r\n\r\n".encode()
    )
    async with asyncio.timeout(PATIENCE):
        await reader.readuntil(b"echo is here")
        assert f"log-of-{session.id}" in tasks()
        writer.close()
        await writer.wait_closed()
        while tasks() - before:  # noqa: ASYNC110 - a task's end tells nobody
            await asyncio.sleep(0.01)


def tasks() -> set[str]:
    """The names of all tasks but the loop's steps, which come and go."""
    names = {task.get_name() for task in asyncio.all_tasks()}
    return {name for name in names if not name.startswith("session-")}


@pytest.mark.parametrize("timeout", [5])
async def test_a_log_goes_on_through_the_end_of_its_time(api: Api, timeout: float) -> None:
    session = await api.start("echo", timeout=timeout)
    answer = await api("GET", f"sessions/{session.id}/log?follow=1")
    assert "echo is here" in answer.text
    ended = await api.until_ended(session.id)
    assert (ended.state, ended.attempt.reason) == ("stopped", "timeout")
