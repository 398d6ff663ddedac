"""What sessions use, over REST: whoever owns them, and whatever a spawner cannot tell."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions.errors import Unreachable
from jupyter_sessions.hosts.local import LocalHost
from jupyter_sessions.session import Handle, State
from jupyter_sessions.spawners.base import ReportsUsage, Usage
from jupyter_sessions.spawners.process import ProcessSpawner
from jupyter_sessions.usage import usage_of

from .conftest import PATIENCE, Api
from .core import a_session
from .managers import running, start
from .test_api import is_a


async def told(api: Api, query: str = "") -> dict[str, Any]:
    answer = await api("GET", f"usage{query}")
    assert answer.status == 200
    for usage in answer.json["usage"].values():
        is_a("Usage", usage)
    found: dict[str, Any] = answer.json["usage"]
    return found


async def test_what_runs_is_told_and_what_has_ended_is_not(api: Api) -> None:
    ended = await api.start("echo", options={"exit": 0})
    session = await api.start("echo", options={"children": True})
    async with asyncio.timeout(PATIENCE):
        # The first sample may be of a time before it has started its children.
        while (  # noqa: ASYNC110
            usage := await told(api)
        ).get(session.id, {}).get("processes") != 3:
            await asyncio.sleep(0.05)
    assert usage.keys() == {session.id} - {ended.id}
    used = usage[session.id]
    assert used["processes"] == 3  # the app and its two children, not the runner
    assert used["memory"] > 1_000_000
    assert used["samples"][-1][1:] == [used["cpu"], used["memory"]]
    assert (await told(api, "?samples=0"))[session.id] == {**used, "samples": []}
    await api("POST", f"sessions/{session.id}/stop")
    await api.until_ended(session.id)
    assert await told(api) == {}


@pytest.mark.parametrize("samples", ["-1", "61", "x", "", "1.5", "9" * 50, "%D9%A1"])
async def test_a_wrong_number_of_samples_is_refused(api: Api, samples: str) -> None:
    answer = await api("GET", f"usage?samples={samples}")
    assert (answer.status, answer.fields) == (400, ["samples"])
    is_a("Error", answer.json)


async def test_another_servers_sessions_are_told_too(root: Path) -> None:
    async with running(root) as owner, running(root) as other:
        session = await start(owner)
        async with asyncio.timeout(PATIENCE):
            while session.id not in await other.usage():  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.05)
        shown = await other.session(session.id)
        assert not other.ledger.ownership.mine(shown.owner)
        await owner.delete(session.id)


# Spawners that cannot tell ----------------------------------------------------------------------

SAMPLES = tuple((float(n), n / 2, n) for n in range(5))
FULL = Usage(2.0, 4, 1, SAMPLES)
LOG = logging.getLogger(__name__)


class Telling:
    """A spawner, as far as this goes: answers, or fails as it is told to."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.problem = problem
        self.asked: list[set[str]] = []

    async def usage(self, handles: Mapping[str, Handle]) -> Mapping[str, Usage]:
        self.asked.append(set(handles))
        if self.problem is not None:
            raise self.problem
        return dict.fromkeys(handles, FULL)


async def test_one_that_fails_or_cannot_tell_takes_nothing_from_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    spawners: dict[str, Any] = {
        "good": Telling(),
        "away": Telling(Unreachable("no answer")),
        "late": Telling(TimeoutError()),
        "wrong": Telling(KeyError("x")),
        "silent": object(),
    }
    names = [*spawners, "unknown"]
    sessions = [a_session(State.RUNNING, spawner=n, handle={}, id=n) for n in names]
    sessions += [
        a_session(state, spawner="good", handle={})
        for state in set(State) - {State.RUNNING, State.STARTING}
    ]
    sessions.append(a_session(State.STARTING, spawner="good", handle=None))
    sessions.append(a_session(State.STARTING, spawner="good", handle={}, id="begins"))
    usage = await usage_of(sessions, spawners, LOG, 2)
    assert usage.keys() == {"good", "begins"}
    assert usage["good"]["samples"] == [[3.0, 1.5, 3], [4.0, 2.0, 4]]
    assert spawners["good"].asked == [{"good", "begins"}]  # once for all of them
    assert [r.message for r in caplog.records if r.levelno >= logging.WARNING] == [
        "The spawner wrong cannot tell what its sessions use"
    ]


FORGED: list[Any] = [
    {},
    {"samples": [[1, 2]]},
    {"cpu": "x", "memory": 1, "processes": 1, "samples": []},
    {"cpu": 1, "memory": None, "processes": 1, "samples": []},
    {"cpu": 1, "memory": 1, "processes": 1, "samples": 5},
    {"cpu": 1, "memory": 1e999, "processes": 1, "samples": []},
    {"cpu": float("nan"), "memory": 1, "processes": 1, "samples": []},
    {"cpu": 1, "memory": 1, "processes": 1, "samples": [[0, float("inf"), 0]]},
]


@pytest.mark.parametrize("content", FORGED)
async def test_a_file_that_no_runner_wrote_is_as_good_as_none(tmp_path: Path, content: Any) -> None:
    spawner = ProcessSpawner(host=LocalHost())
    assert isinstance(spawner, ReportsUsage)
    good = {"cpu": 0.5, "memory": 7, "processes": 1, "samples": [[1.5, 0.5, 7]]}
    for name, data in {"forged": content, "good": good}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "usage.json").write_text(json.dumps(data))
    handles = {name: {"directory": str(tmp_path / name)} for name in ("forged", "good", "none")}
    usage = await spawner.usage({**handles, "strange": {}})
    assert usage == {"good": Usage(0.5, 7, 1, ((1.5, 0.5, 7),))}
