"""What people install: the wheel has the front end in it, and needs no Node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VENDORED = "jupyter_sessions/apps/builtin/terminal/page/vendor"
SHARED = "data/share/jupyter/labextensions/jupyter-sessions/"


def files() -> list[str]:
    """What git would put into a checkout: tracked, or new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built of a copy in which the front end is already built, as in a source distribution."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in files():
        copy = folder / "source" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy)
    for built in ("jupyter_sessions/labextension", VENDORED):
        shutil.copytree(ROOT / built, folder / "source" / built)
    # Nothing but Python and what Python needs: no Node, no npm.
    path = os.pathsep.join(
        part for part in ("/usr/bin", "/bin") if not (Path(part) / "node").exists()
    )
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "-w", folder, "."],
        cwd=folder / "source",
        env={**os.environ, "PATH": path},
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl"))


def test_it_contains_the_production_bundle_and_nothing_of_the_builder(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    shared = {name.partition(SHARED)[2]: data for name, data in content.items() if SHARED in name}
    assert {"package.json", "install.json"} <= shared.keys()
    assert any(name.startswith("static/remoteEntry.") for name in shared)
    assert "schemas/jupyter-sessions/plugin.json" in shared
    assert json.loads(shared["package.json"])["jupyterlab"]["_build"]["load"] in {
        name for name in shared if name.startswith("static/")
    }
    assert [name for name in content if name.endswith((".map", ".ts", ".tsx"))] == []
    home = str(Path.home()).encode()
    told = [n for n, data in content.items() if str(ROOT).encode() in data or home + b"/" in data]
    assert told == []
    assert f"{VENDORED}/xterm.mjs" in content
    # Once: JupyterLab finds it in share/.
    assert [name for name in content if name.startswith("jupyter_sessions/labextension")] == []


def test_installed_it_is_there_for_jupyterlab(wheel: Path, tmp_path: Path) -> None:
    subprocess.run(
        # --ignore-installed, or it would take away the one under test.
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"),
            *("--ignore-installed", "--prefix", str(tmp_path), str(wheel)),
        ],
        check=True,
    )
    listed = subprocess.run(
        [sys.executable, "-m", "jupyter", "labextension", "list"],
        env={**os.environ, "JUPYTER_PATH": str(tmp_path / "share/jupyter"), "HOME": str(tmp_path)},
        capture_output=True,
        check=True,
        text=True,
    )
    assert f"{tmp_path}/share/jupyter/labextensions" in listed.stdout + listed.stderr
    assert "jupyter-sessions v" in listed.stdout + listed.stderr
    assert (tmp_path / "etc/jupyter/jupyter_server_config.d/jupyter_sessions.json").is_file()
