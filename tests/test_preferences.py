"""`preferences.py`: what is kept for an app, by several servers at once, on disks that fail."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions.errors import CorruptRecord, InvalidRequest, NotFound, StoreError
from jupyter_sessions.preferences import LARGEST, PRESETS, AppPreferences, Preferences

CHOICES: dict[str, Any] = {
    "spawner": "local",
    "options": {"a": [1, {"b": None}], "\ud800": "é"},
    "resources": {"priority": "low"},
    "timeout": None,
}
WRITER = Path(__file__).with_name("drivers") / "preset_writer.py"


def path_of(root: Path) -> Path:
    return root / "preferences" / "demo.json"


def test_what_is_kept_is_read_again_by_another_server(tmp_path: Path) -> None:
    one, other = Preferences(tmp_path), Preferences(tmp_path)
    assert one.read("demo") == AppPreferences()
    one.remember("demo", CHOICES)
    one.save_preset("demo", " Big 日本 / % ", CHOICES)
    other.save_preset("demo", "Small", {})
    assert one.read("demo") == AppPreferences(CHOICES, {"Big 日本 / %": CHOICES, "Small": {}})
    assert other.read("other") == AppPreferences()
    other.save_preset("demo", "Small", {"timeout": 5, "spawner": None})
    assert one.read("demo").presets["Small"] == {"timeout": 5}
    other.forget("demo")
    other.delete_preset("demo", "Small")
    assert one.read("demo") == AppPreferences({}, {"Big 日本 / %": CHOICES})


def test_to_forget_what_is_not_there_is_harmless_but_a_preset_is_missed(tmp_path: Path) -> None:
    preferences = Preferences(tmp_path)
    preferences.forget("demo")
    assert not path_of(tmp_path).exists()
    with pytest.raises(NotFound, match="there are: none"):
        preferences.delete_preset("demo", "x")


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    Preferences(tmp_path / "js").remember("demo", CHOICES)
    path = path_of(tmp_path / "js")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert sorted(p.name for p in path.parent.iterdir()) == [".demo.lock", "demo.json"]


WRONG: list[tuple[Any, list[str]]] = [
    (None, []),
    ([], []),
    ("x", []),
    ({"options": []}, ["options"]),
    ({"resources": 1}, ["resources"]),
    ({"spawner": 1}, ["spawner"]),
    ({"timeout": "1h"}, ["timeout"]),
    ({"timeout": True}, ["timeout"]),
    ({"cwd": "/"}, ["cwd"]),
    ({"spawner": {}, "name": "x"}, ["spawner", "name"]),
]


@pytest.mark.parametrize(("choices", "fields"), WRONG)
def test_what_has_not_the_form_of_choices_is_refused(
    tmp_path: Path, choices: Any, fields: list[str]
) -> None:
    preferences = Preferences(tmp_path)
    keeping: list[Callable[[], None]] = [
        lambda: preferences.remember("demo", choices),
        lambda: preferences.save_preset("demo", "x", choices),
    ]
    for keep in keeping:
        with pytest.raises(InvalidRequest) as caught:
            keep()
        assert [e.field for e in caught.value.errors] == fields
    assert preferences.read("demo") == AppPreferences()


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\nb", "a\0b", "\ud800", "a\u202eb"])
def test_a_preset_has_a_name_that_can_be_shown(tmp_path: Path, name: str) -> None:
    preferences = Preferences(tmp_path)
    doings: list[Callable[[], None]] = [
        lambda: preferences.save_preset("demo", name, {}),
        lambda: preferences.delete_preset("demo", name),
    ]
    for do in doings:
        with pytest.raises(InvalidRequest) as caught:
            do()
        assert [e.field for e in caught.value.errors] == ["preset"]


def test_there_is_an_end_to_what_is_kept(tmp_path: Path) -> None:
    preferences = Preferences(tmp_path)
    preferences.remember("demo", {"options": {"a": 1}})
    before = path_of(tmp_path).read_bytes()
    with pytest.raises(InvalidRequest, match="too much"):
        preferences.save_preset("demo", "x", {"options": {"a": "x" * LARGEST}})
    assert path_of(tmp_path).read_bytes() == before
    for number in range(PRESETS):
        preferences.save_preset("demo", str(number), {})
    with pytest.raises(InvalidRequest, match="delete some first"):
        preferences.save_preset("demo", "one more", {})
    preferences.save_preset("demo", "0", {"timeout": 1})  # in place of another


CORRUPT = {
    "empty": b"",
    "no JSON": b"{",
    "not UTF-8": b"\xff",
    "no object": b"[]",
    "no version": b"{}",
    "a later version": b'{"version": 2, "remembered": {}, "presets": {}}',
    "no presets": b'{"version": 1, "remembered": {}}',
    "wrong choices": b'{"version": 1, "remembered": {"options": []}, "presets": {}}',
    "a wrong preset": b'{"version": 1, "remembered": {}, "presets": {"a": []}}',
    "nested": b"[" * 100_000,
    "huge": b" " * (LARGEST + 2),
}


@pytest.mark.parametrize("content", CORRUPT.values(), ids=CORRUPT)
def test_what_cannot_be_read_is_named_and_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    preferences, path = Preferences(tmp_path), path_of(tmp_path)
    path.parent.mkdir(mode=0o700)
    path.write_bytes(content)
    doings: list[Callable[[], Any]] = [
        lambda: preferences.read("demo"),
        lambda: preferences.remember("demo", {}),
        lambda: preferences.save_preset("demo", "x", {}),
        lambda: preferences.forget("demo"),
    ]
    for do in doings:
        with pytest.raises(CorruptRecord) as caught:
            do()
        assert str(path) in caught.value.message
    assert path.read_bytes() == content
    assert preferences.read("other") == AppPreferences()


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "preferences").write_text("in the way")
    with pytest.raises(StoreError, match="move it away"):
        Preferences(tmp_path).remember("demo", {})
    (tmp_path / "preferences").unlink()
    path_of(tmp_path).mkdir(parents=True)
    with pytest.raises(StoreError, match=r"Cannot read .*demo\.json"):
        Preferences(tmp_path).read("demo")


def test_servers_that_write_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    command = [sys.executable, str(WRITER), str(tmp_path)]
    writers = [subprocess.Popen([*command, name, "20"]) for name in ("a", "b", "c")]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    kept = json.loads(path_of(tmp_path).read_text())
    assert kept["presets"].keys() == {f"{name}-{n}" for name in "abc" for n in range(20)}
