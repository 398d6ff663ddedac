"""`ownership.py`: a server is alive if its very process is, or if its heart beats elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions import runner
from jupyter_sessions.errors import StoreError
from jupyter_sessions.ownership import LEASE, Ownership


@pytest.fixture
def us(tmp_path: Path) -> Ownership:
    ownership = Ownership(tmp_path / "js")
    ownership.beat()
    return ownership


@pytest.fixture
def pid() -> Iterator[int]:
    """A process that lives until the test ends."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.kill()


def another(us: Ownership, *, beaten: float = 0, **changes: Any) -> dict[str, Any]:
    """Another server that wrote its file `beaten` seconds before ours."""
    owner = {**us.me.to_json(), "id": "another", **changes}
    path = us._path.with_name("another.json")
    path.write_text(json.dumps(owner))
    ours = us._path.stat().st_mtime
    os.utime(path, (ours - beaten, ours - beaten))
    return owner


ELSEWHERE: dict[str, Any] = {"hostname": "elsewhere", "boot_id": "b", "pid": 1, "started": 1}


def test_we_are_alive_and_mine(us: Ownership) -> None:
    assert us.alive(us.me.to_json())
    assert us.mine(us.me.to_json())
    assert not us.mine(None)
    assert not us.alive(None)


def test_we_are_alive_before_the_first_beat(tmp_path: Path) -> None:
    ownership = Ownership(tmp_path)
    assert ownership.alive(ownership.me.to_json())


def test_two_servers_of_one_process_are_two_owners(us: Ownership) -> None:
    other = Ownership(us._path.parents[1])
    other.beat()
    assert us.alive(other.me.to_json())
    assert not us.mine(other.me.to_json())
    other.leave()
    assert not us.alive(other.me.to_json())


def test_alive_is_the_same_pid_with_the_same_start_time(us: Ownership, pid: int) -> None:
    started = runner.start_time(pid)
    assert us.alive(another(us, pid=pid, started=started))
    assert not us.alive(another(us, pid=pid, started=(started or 0) - 1))  # the pid was reused


def test_a_dead_pid_is_a_dead_owner(us: Ownership) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = another(us, pid=process.pid, started=runner.start_time(process.pid))
    assert us.alive(owner)
    process.kill()
    process.communicate()
    assert not us.alive(owner)


@pytest.mark.parametrize(
    "elsewhere",
    [ELSEWHERE, {"boot_id": "another boot"}, {"pid_ns": "pid:[1]"}],
    ids=["another host", "another boot", "another container"],
)
@pytest.mark.parametrize(("beaten", "alive"), [(0, True), (LEASE - 1, True), (LEASE + 1, False)])
def test_where_pids_say_nothing_the_heartbeat_does(
    us: Ownership, elsewhere: dict[str, Any], beaten: float, alive: bool
) -> None:
    assert us.alive(another(us, beaten=beaten, **elsewhere)) is alive


def test_without_a_heart_of_our_own_nothing_is_known_of_others(us: Ownership) -> None:
    owner = another(us, beaten=LEASE + 1, **ELSEWHERE)
    us._path.unlink()
    assert us.alive(owner)


def test_who_left_is_dead_on_any_machine(us: Ownership) -> None:
    for changes in ({}, ELSEWHERE):
        owner = another(us, **changes)
        us._path.with_name("another.json").unlink()
        assert not us.alive(owner)


def test_leaving_sweeps_the_dead_and_spares_the_living(us: Ownership) -> None:
    far = us._path.with_name("far.json")
    far.write_text(json.dumps({**us.me.to_json(), **ELSEWHERE, "id": "far"}))
    us._path.with_name("broken.json").write_text("[]")
    another(us, pid=2**22 + 1)
    us.leave()
    us.leave()
    assert sorted(p.name for p in us._path.parent.iterdir()) == ["broken.json", "far.json"]


def test_a_beat_renews_the_file_or_writes_it_again(us: Ownership) -> None:
    os.utime(us._path, (1, 1))
    us.beat()
    assert us._path.stat().st_mtime > 1
    us._path.unlink()
    us.beat()
    assert json.loads(us._path.read_text()) == us.me.to_json()
    assert us._path.stat().st_mode & 0o777 == 0o600


IDS: list[dict[str, Any]] = [{"id": "a\0b"}, {"id": "a" * 999}, {"id": None}, {"id": []}]


@pytest.mark.parametrize(
    "wrong", [{"pid": "x"}, {"pid": None}, {}, *IDS, *({**ELSEWHERE, **wrong} for wrong in IDS)]
)
def test_a_senseless_owner_is_dead(us: Ownership, wrong: dict[str, Any]) -> None:
    assert not us.alive({**us.me.to_json(), "id": "x", **wrong})
    assert not us.alive(wrong)


def test_a_store_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "js").write_text("")
    with pytest.raises(StoreError):
        Ownership(tmp_path / "js").beat()
