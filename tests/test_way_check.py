"""Which ways lead to a spawner's nodes: `way_check.py`, ``jupyter sessions spawners check``."""

from __future__ import annotations

import ast
import asyncio
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jupyter_sessions.hosts.local import LocalHost
from jupyter_sessions.reaching import probe
from jupyter_sessions.session import Handle, Report, Status
from jupyter_sessions.spawners.base import Spawner
from jupyter_sessions.spawners.process import ProcessSpawner
from jupyter_sessions.testing import marked
from jupyter_sessions.way_check import Found, Way, WayCheck

from .gated import GatedSpawner
from .live import PATIENCE, Commands
from .test_jupyterhub_spawners import a_spawner


def a_node(root: Path, **traits: Any) -> GatedSpawner:
    """This machine as if it were a node: gates at its loopback, and nobody else's SSH server."""
    (root / "nodes").mkdir(mode=0o700)
    local = {"node_interface": "lo", "dial_addresses": ["127.0.0.1"], "dial_listen": "127.0.0.1"}
    elsewhere = {"node_ssh": {"options": ["Port=1"]}}
    return GatedSpawner(
        **{
            "name": "node",
            "host": LocalHost(),
            "nodes": str(root / "nodes"),
            **local,
            **elsewhere,
            **traits,
        }
    )


async def checked(spawner: Spawner, root: Path, wait: float = 60.0) -> Found:
    """What a check finds; fails if it leaves anything behind."""
    check = WayCheck(spawner, root / "checks", {}, wait)
    found = await check.run()
    assert found.left == ""
    assert marked(check._id) == []
    assert not (root / "checks").exists()
    return found


def by_name(found: Found) -> dict[str, Way]:
    assert found.problem == ""
    return {way.name: way for way in found.ways}


async def test_each_way_is_tried_and_nothing_is_left(short_path: Path) -> None:
    found = await checked(a_node(short_path, reach="direct"), short_path)
    ways = by_name(found)
    assert list(ways) == ["host", "ssh", "direct", "dial"]
    assert [name for name, way in ways.items() if way.works] == ["host", "direct", "dial"], ways
    assert [name for name, way in ways.items() if way.configured] == ["direct"]
    assert "refuses connections" in ways["ssh"].message
    assert found.works
    assert found.node
    assert list((short_path / "nodes").glob("*/*.pem")) == []


async def test_what_a_killed_check_has_left_goes_with_a_later_one(short_path: Path) -> None:
    checks = short_path / "checks"
    for name, days in (("long-ago", 8), ("lately", 6)):
        (checks / name / "1").mkdir(parents=True, mode=0o700)
        when = time.time() - days * 24 * 3600
        os.utime(checks / name, (when, when))
    checks.chmod(0o700)
    check = WayCheck(ProcessSpawner(name="local", host=LocalHost()), checks, {}, 60)
    assert (await check.run()).left == ""
    assert [path.name for path in checks.iterdir()] == ["lately"]


async def test_a_way_that_is_configured_wrongly_does_not_hide_the_others(short_path: Path) -> None:
    wrong = a_node(
        short_path, reach="direct", node_interface="nowhere0", dial_addresses=["192.0.2.1"]
    )
    found = await checked(wrong, short_path)
    ways = by_name(found)
    assert [name for name, way in ways.items() if way.works] == ["host"], ways
    assert "no network interface 'nowhere0'" in ways["direct"].message
    assert "its gate has not called yet" in ways["dial"].message
    assert not found.works
    assert wrong.reach == "direct", "the spawner itself is as it was"


async def test_without_openssl_there_are_no_gates(short_path: Path, monkeypatch: Any) -> None:
    spawner = a_node(short_path)
    monkeypatch.setenv("PATH", str(short_path))
    ways = by_name(await checked(spawner, short_path))
    assert [name for name, way in ways.items() if way.works] == ["host"], ways
    assert "openssl is needed" in ways["direct"].message
    assert "openssl is needed" in ways["dial"].message


class Queue(ProcessSpawner):
    """A queue in which everything waits until it is cancelled."""

    async def poll(self, handles: Mapping[str, Handle]) -> Mapping[str, Report]:
        reports = await super().poll(handles)
        waits = Report(Status.QUEUED, message="Job 7 waits: Priority.")
        return {s: r if r.status is Status.ENDED else waits for s, r in reports.items()}


async def test_a_queue_that_does_not_start_it_in_time_is_said(short_path: Path) -> None:
    found = await checked(Queue(name="full", host=LocalHost()), short_path, 0.5)
    assert found.problem == (
        "The queue did not start it within 0.5 s: Job 7 waits: Priority."
        " Nothing is known of the ways."
    )
    assert found.ways == ()
    assert not found.works


async def test_a_check_that_is_interrupted_cleans_up(short_path: Path) -> None:
    check = WayCheck(Queue(name="full", host=LocalHost()), short_path / "checks", {}, 600)
    task = asyncio.create_task(check.run())
    async with asyncio.timeout(PATIENCE):
        while len(marked(check._id)) < 2:  # noqa: ASYNC110 - the runner, and the app
            await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert marked(check._id) == []
    assert not (short_path / "checks").exists()


async def test_a_class_of_jupyterhub_is_checked(short_path: Path) -> None:
    spawner = a_spawner(
        short_path / "home", reach="dial", dial_addresses=["127.0.0.1"], node_interface="lo"
    )
    ways = by_name(await checked(spawner, short_path))
    assert ways["dial"].works
    assert ways["dial"].configured
    assert ways["direct"].works


async def test_a_job_that_ends_at_once_is_told_of(short_path: Path, monkeypatch: Any) -> None:
    broken = short_path / "probe.py"
    broken.write_text("raise SystemExit('no such thing here')")
    monkeypatch.setattr(probe, "__file__", str(broken))
    found = await checked(ProcessSpawner(name="local", host=LocalHost()), short_path)
    assert "ended before it could be asked" in found.problem
    assert "no such thing here" in found.problem


def test_people_and_programs_are_told(cli: Commands) -> None:
    done = cli("spawners", "check", "local")
    assert done.out.startswith("ok      host    It works: ")
    assert done.out.endswith("(as configured)\n")
    told = cli.json("spawners", "check", "local", "-r", "priority=low")
    (way,) = told["ways"]
    assert (way["name"], way["works"], told["works"], told["problem"]) == ("host", True, True, "")
    assert cli.json("list", "--all") == []
    assert not (cli.home.data / "jupyter_sessions" / "checks").exists()


def test_wrong_usage_of_a_check_is_said(cli: Commands) -> None:
    assert "no spawner 'x' here" in cli("spawners", "check", "x", code=3).err
    assert "resources.x" in cli("spawners", "check", "local", "-r", "x=1", code=2).err
    assert "usage" in cli("spawners", "check", code=2).err
    assert "local" in cli("spawners", "list").out


def test_the_app_is_python_3_6_of_the_standard_library() -> None:
    tree = ast.parse(Path(probe.__file__).read_text(), feature_version=(3, 6))
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert names <= set(sys.stdlib_module_names)
