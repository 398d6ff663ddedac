"""What another user of the machine, and what an app, gets to see."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from .server import TOKEN, JupyterServer

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")

TRY = """
import os, socket, sys
for path in sys.argv[1:]:
    try:
        if path.endswith("/"):
            os.listdir(path)
        else:
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(path)
        print(path)
    except OSError:
        pass
"""


def reachable_by_another_user(*paths: str) -> list[str]:
    done = subprocess.run(
        ["/usr/bin/python3", "-c", TRY, *paths],
        user="nobody",
        group="nogroup",
        extra_groups=[],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
        env={"PATH": "/usr/bin:/bin"},
    )
    return done.stdout.split()


@pytest.mark.root
def test_another_user_reaches_neither_the_directory_nor_the_socket(
    server: JupyterServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    server.home.path.chmod(0o755)  # as homes often are: ours is not what keeps others out
    session = server.start("files")
    store = server.home.store
    directory = store / "sessions" / session["id"] / "1"
    for path in (store, store / "sessions", directory.parent, directory):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    address = json.loads((directory / "connection.json").read_text())["address"]["path"]
    assert stat.S_ISSOCK(Path(address).stat().st_mode)
    open_directory = tmp_path_factory.mktemp("open")
    for parent in (open_directory, *open_directory.parents[:-2]):
        parent.chmod(0o755)
    # What shows that the check can succeed at all.
    with socket.socket(socket.AF_UNIX) as control:
        control.bind(str(open_directory / "s"))
        control.listen()
        (open_directory / "s").chmod(0o666)
        paths = [f"{store}/", f"{directory}/", address, f"{open_directory}/", f"{open_directory}/s"]
        assert reachable_by_another_user(*paths) == paths[3:]


def test_an_app_gets_nothing_of_jupyters_secrets(server: JupyterServer) -> None:
    apps = server.home.path / ".jupyter/jupyter_sessions"
    apps.mkdir(parents=True)
    (apps / "apps").symlink_to(Path(__file__).parents[1] / "apps")
    session = server.start("echo")
    status, content = server.request("GET", f"{session['url']}?token={TOKEN}&x=1")
    assert status == 200
    assert TOKEN not in content.decode()
    seen = json.loads(content)
    assert seen["path"] == "/?x=1"
    names = {name.lower() for name, _ in seen["headers"]}
    assert names.isdisjoint({"authorization", "cookie"})
    for name in seen["environment"]:
        assert not name.startswith(("JUPYTERHUB_", "JPY_", "JUPYTER_TOKEN"))
    commands = subprocess.run(
        ["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True
    )
    of_the_session = [c for c in commands.stdout.splitlines() if session["id"] in c]
    assert of_the_session != []
    assert [c for c in of_the_session if TOKEN in c] == []
