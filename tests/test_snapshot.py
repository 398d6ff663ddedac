"""`apps/snapshot.py`: what is read of a folder is what its digest is of, and nothing else."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_sessions.apps import snapshot
from jupyter_sessions.apps.snapshot import NotSafe, Snapshot, read_snapshot


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "place" / "app"
    (path / "sub").mkdir(parents=True)
    (path / "app.yaml").write_text("name: app")
    (path / "run.sh").write_text("#!/bin/sh\n")
    (path / "run.sh").chmod(0o755)
    (path / "sub" / "page.html").write_text("<p>")
    return path


def read(folder: Path) -> Snapshot:
    return read_snapshot(folder.parent.parent, folder.parts[-2:])


def test_what_was_read_is_written_again(folder: Path, tmp_path: Path) -> None:
    (folder / "sub" / "same.sh").symlink_to("../run.sh")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_bytes(b"x")
    found = read(folder)
    copy = tmp_path / "copy"
    found.write(copy)
    files = {str(p.relative_to(copy)): p for p in copy.rglob("*") if p.is_file()}
    assert sorted(files) == ["app.yaml", "run.sh", "sub/page.html", "sub/same.sh"]
    assert not any(p.is_symlink() for p in copy.rglob("*"))
    assert files["sub/same.sh"].read_text() == "#!/bin/sh\n"
    modes = {name: stat.S_IMODE(p.stat().st_mode) for name, p in files.items()}
    assert modes == {
        "app.yaml": 0o600,
        "run.sh": 0o700,
        "sub/page.html": 0o600,
        "sub/same.sh": 0o700,
    }
    assert stat.S_IMODE((copy / "sub").stat().st_mode) == stat.S_IMODE(copy.stat().st_mode) == 0o700
    assert read_snapshot(tmp_path, ("copy",)).digest == found.digest
    with pytest.raises(FileExistsError):
        found.write(copy)


CHANGES: dict[str, Callable[[Path], object]] = {
    "a byte": lambda p: (p / "sub" / "page.html").write_text("<q>"),
    "a permission": lambda p: (p / "app.yaml").chmod(0o755),
    "another name": lambda p: (p / "run.sh").rename(p / "run2.sh"),
    "a file more": lambda p: (p / "sub" / "new").touch(),
    "a file less": lambda p: (p / "run.sh").unlink(),
    "bytes from one file to the next": lambda p: (
        (p / "app.yaml").write_text("name: app#!/bin/sh\n"),
        (p / "run.sh").write_text(""),
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_change_changes_the_digest(folder: Path, change: Callable[[Path], object]) -> None:
    before = read(folder).digest
    assert read(folder).digest == before
    change(folder)
    assert read(folder).digest != before


def make_folders(path: Path, number: int) -> None:
    for n in range(number):
        (path / f"f{n}").mkdir()


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a link out": (lambda p: (p / "x").symlink_to("/etc/passwd"), "x is a link to /etc/passwd"),
    "a link up": (lambda p: (p / "x").symlink_to("../../other"), "x is a link to ../../other"),
    "a link back in": (lambda p: (p / "x").symlink_to("../app/run.sh"), "x is a link"),
    "a link to a folder": (lambda p: (p / "x").symlink_to("sub"), "x is a link to sub"),
    "a link to nothing": (lambda p: (p / "x").symlink_to("none"), "x is a link to none"),
    "a link to itself": (lambda p: (p / "x").symlink_to("x"), "x is a link to x"),
    "a pipe": (lambda p: os.mkfifo(p / "sub" / "pipe"), "sub/pipe is a named pipe"),
    "a large file": (lambda p: os.truncate(p / "run.sh", 11 << 20), "bytes, with run.sh"),
    "many files": (
        lambda p: [(p / f"f{n}").write_text("") for n in range(snapshot.MOST_FILES)],
        "more than 500 files",
    ),
    "many folders": (
        lambda p: make_folders(p, snapshot.MOST_ENTRIES),
        "more than 2000 files and folders",
    ),
    "deep folders": (
        lambda p: p.joinpath(*["d"] * (snapshot.DEEPEST_FOLDER + 2)).mkdir(parents=True),
        "deeper than 12",
    ),
}


@pytest.mark.parametrize(("make", "says"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_taken_along_is_named(
    folder: Path, make: Callable[[Path], object], says: str
) -> None:
    make(folder)
    with pytest.raises(NotSafe, match=says):
        read(folder)


def test_the_folder_itself_and_those_above_it_are_no_links(folder: Path, tmp_path: Path) -> None:
    (folder.parent / "other").symlink_to("app")
    with pytest.raises(NotSafe, match="other is a link"):
        read(folder.parent / "other")
    (tmp_path / "elsewhere").symlink_to("place")
    with pytest.raises(NotSafe, match="elsewhere is a link"):
        read_snapshot(tmp_path, ("elsewhere", "app"))
