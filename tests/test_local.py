"""`hosts/local.py`: what is asked of this machine, and the commands that run on it."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from jupyter_sessions.errors import SpawnerError, Unreachable
from jupyter_sessions.hosts.base import Completed
from jupyter_sessions.hosts.local import LocalHost
from jupyter_sessions.hosts.remote import CHUNK

from .processes import living

OLDER, NEWER = b"a\n" * CHUNK, b"b\rc\n" + b"d" * (2 * CHUNK) + b"\ne"


async def test_a_module_whose_package_fails_in_its_own_way_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fails_on_import.py").write_text("raise RuntimeError")
    monkeypatch.syspath_prepend(tmp_path)
    assert not await LocalHost().has("python", "fails_on_import.module")


async def test_many_things_are_one_question(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    wanted = [
        ("program", "sh"),
        ("program", "no-such-program"),
        ("python", "json"),
        ("file", "{prefix}"),
        ("readable", str(tmp_path / "f")),
        ("readable", str(tmp_path)),
        ("directory", str(tmp_path)),
        ("directory", str(tmp_path / "f")),
    ]
    answer = [True, False, True, True, True, False, True, False]
    assert await LocalHost().have(wanted) == answer
    assert await LocalHost().have([]) == []


@pytest.mark.parametrize("lines", [0, 1, 2, 3, 4, 5, 6, CHUNK, 3 * CHUNK])
@pytest.mark.parametrize("end", [b"", b"\n"])
async def test_the_last_lines_are_those_of_both_parts_of_a_log(
    tmp_path: Path, lines: int, end: bytes
) -> None:
    log = tmp_path / "log"
    log.write_bytes(NEWER + end)
    log.with_name("log.1").write_bytes(OLDER)
    found = b"".join([c async for c in LocalHost().follow(str(log), lines, follow=False)])
    expected = [*OLDER.splitlines(keepends=True), *(NEWER + end).splitlines(keepends=True)]
    assert found == b"".join(expected[-lines:] if lines else [])


async def test_a_command_gets_its_arguments_input_and_variables_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JPY_API_TOKEN", "secret")
    script = 'printf \'%s|%s|%s|\' "$1" "$A" "$JPY_API_TOKEN"; cat; echo bad >&2; exit 3'
    argv = ["sh", "-c", script, "sh", "$(touch x)\n"]
    done = await LocalHost().run(argv, stdin=b"\0in", env={"A": "ä\udcff"})
    assert done == Completed(3, b"$(touch x)\n|\xc3\xa4\xff||\0in", b"bad\n")


async def test_a_command_that_reads_no_input_is_fine() -> None:
    assert await LocalHost().run(["true"], stdin=b"x" * 10_000_000) == Completed(0, b"", b"")


@pytest.mark.parametrize("argv", [["no-such-program"], ["/etc/passwd"], ["a\0b"]])
async def test_a_command_that_is_not_there_is_named(argv: list[str]) -> None:
    with pytest.raises(SpawnerError, match="cannot be run") as caught:
        await LocalHost().run(argv)
    assert not isinstance(caught.value, Unreachable)


async def test_a_command_that_takes_too_long_is_ended_with_all_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    argv = ["sh", "-c", f"echo $$ > {pids}; sleep 600 & echo $! >> {pids}; wait"]
    with pytest.raises(Unreachable, match=r"sh has not answered within 3 s"):
        await LocalHost().run(argv, timeout=3)
    end = time.monotonic() + 20
    while any(living(int(pid)) for pid in pids.read_text().split()):
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


async def test_this_machine_has_the_runner_and_the_apps_where_they_are(tmp_path: Path) -> None:
    host = LocalHost()
    answer = await host.run([sys.executable, "-I", "-S", await host.runner_file(), "nonsense"])
    assert answer.code == 1
    assert b"supervise" in answer.stdout
    assert await host.send(tmp_path) == str(tmp_path)
    assert await host.attempt_directory(tmp_path / "1", "k", 1) == str(tmp_path / "1")
    assert await host.state_directory(tmp_path / "state", "k") == str(tmp_path / "state")
    assert os.path.isabs(await host.runner_file())  # noqa: PTH117
