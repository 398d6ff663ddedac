"""The example of a spawner in its own package: installed, and tested by its own tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real  # it installs a package
EXAMPLE = Path(__file__).parents[1] / "examples" / "background-spawner"


def test_the_example_can_be_installed_and_holds_the_contract(tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    install = ["-m", "pip", "install", "-q", "--no-deps", "--prefix", str(prefix), str(EXAMPLE)]
    subprocess.run([sys.executable, *install], check=True, timeout=200)
    (packages,) = prefix.glob("lib/python3*/site-packages")
    env = {**os.environ, "PYTHONPATH": str(packages), "PYTEST_ADDOPTS": ""}
    offered = (
        "from jupyter_sessions.places import build_hosts, build_spawners\n"
        "made = build_spawners({'spare': {'class': 'background'}}, build_hosts({}, None), None)\n"
        "print(type(made['spare']).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", offered], env=env, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.strip() == "BackgroundSpawner", done.stderr
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider"]
    command += [f"--rootdir={EXAMPLE}", str(EXAMPLE / "tests")]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
