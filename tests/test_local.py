"""`hosts/local.py`: what is asked of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_sessions.hosts.local import CHUNK, LocalHost

OLDER, NEWER = b"a\n" * CHUNK, b"b\rc\n" + b"d" * (2 * CHUNK) + b"\ne"


async def test_a_module_whose_package_fails_in_its_own_way_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fails_on_import.py").write_text("raise RuntimeError")
    monkeypatch.syspath_prepend(tmp_path)
    assert not await LocalHost().has("python", "fails_on_import.module")


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
