"""What is sent to clusters, on old Pythons: runner, verbs, and gate with TLS.

They are an older Debian's, unpacked by scripts/setup-pythons.sh, and those that pyenv has here.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions import runner
from jupyter_sessions.hosts import remote
from jupyter_sessions.hosts.local import LocalHost
from jupyter_sessions.reaching.ways import Dial, Direct, Reach
from jupyter_sessions.routes import Address

from ..attempts import Attempt, hello, marked, serve, wait_for
from ..attempts import attempt as attempt
from ..attempts import attempts as attempts

pytestmark = pytest.mark.real

PYTHONS = Path(sys.prefix, "share", "old-pythons")
NAMES = ["python3.6", "python3.7", "python3.9", "pypy3"]  # the last is Python 3.7
WAYS: dict[str, Callable[[], Reach]] = {
    "direct": lambda: Direct(interface="lo"),
    "dial": lambda: Dial(listen="127.0.0.1", addresses=["127.0.0.1"]),
}
MARK = "js-0123456789abcdef:"


def old_python(name: str) -> str:
    """The path of that Python."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    version = name.removeprefix("python")
    found = [PYTHONS / name, *sorted(pyenv.glob(f"versions/{version}.*/bin/python3"))]
    for path in found:
        if path.exists():
            return str(path)
    pytest.skip(f"there is no {name}: scripts/setup-pythons.sh unpacks two, pyenv may have others")


@pytest.mark.parametrize(
    ("name", "way"), [*((name, way) for name in NAMES[:3] for way in WAYS), ("pypy3", "dial")]
)
async def test_a_job_with_a_gate(attempt: Attempt, name: str, way: str, short_path: Path) -> None:
    reach = WAYS[way]()
    gate = await reach.gate(short_path, str(attempt.directory))
    tell = 'echo $SECRET; echo \'{"message": "half"}\' > $SESSION_STATUS_FILE; exec "$@"'
    launch = attempt.launch(
        ["sh", "-c", tell, "sh", *serve("socket")],
        copy=True,
        gate=gate,
        secrets={"word": "hush-hush"},
        env={"SECRET": "{word}"},
        hooks={"after": ["echo", "in use"], "clean": ["echo", "swept"], "timeout": 30},
        timeout=600,
    )
    runner.prepare(launch)
    program = str(attempt.directory / "runner.pyz")
    job = [old_python(name), "-I", "-S", program, "supervise", str(attempt.directory)]
    with subprocess.Popen(job, stdin=subprocess.DEVNULL) as supervisor:
        status = await asyncio.to_thread(attempt.wait, "alive", 60)
        assert status["told"] == {"message": "half"}
        assert status["deadline"] == pytest.approx(status["started"] + 600)
        address = reach.located(Address.from_json(status["address"]), "a-node", str(short_path))
        async with reach.connect(LocalHost(), address) as here:
            for _ in range(10):
                reader, writer = await asyncio.open_unix_connection(here.path)
                assert await reader.read() == b"hello"
                writer.close()
                await writer.wait_closed()
        runner.ready({"directory": str(attempt.directory)})
        await asyncio.to_thread(wait_for, lambda: "in use" in attempt.log)
        ended = await asyncio.to_thread(attempt.stop, 30)
        assert (ended["exit"]["reason"], ended["exit"]["left"]) == ("stopped", [])
        assert supervisor.wait(30) == 0
    assert "swept" in attempt.log
    assert "hush" not in attempt.log
    assert "***" in attempt.log
    assert not marked(attempt.mark)


@pytest.mark.parametrize("name", NAMES)
def test_the_verbs_as_a_host_over_ssh_runs_them(
    attempt: Attempt, name: str, short_path: Path
) -> None:
    interpreter = old_python(name)
    code = short_path / "code-1"
    files = {**runner.sources(), "remote.py": Path(remote.__file__).read_bytes()}
    for path, content in files.items():
        (code / path).parent.mkdir(parents=True, exist_ok=True)
        (code / path).write_bytes(content)

    def call(verb: str, **payload: Any) -> Any:
        done = subprocess.run(
            [interpreter, "-I", "-S", str(code / "remote.py"), verb, MARK],
            input=json.dumps(payload).encode() + b"\n",
            capture_output=True,
            check=True,
        )
        assert not done.stderr
        return json.loads(done.stdout.partition(MARK.encode())[2])

    directory = str(attempt.directory)
    handle = call("start", **attempt.launch(serve("socket"), fields={"text": "é"}))
    assert handle == call("start", **attempt.launch(serve("socket")))
    assert hello(attempt.wait("alive", 60)["address"]) == b"hello"
    assert call("poll", directories=[directory]) == {"statuses": {directory: attempt.status()}}
    wait_for(lambda: call("usage", directories=[directory])["usages"], 60)
    assert call("find", session=attempt.session, attempt=1, directory=directory) == {
        "handle": handle
    }
    call("limit", directory=directory, timeout=900)
    wait_for(lambda: attempt.status()["deadline"] is not None, 30)
    assert attempt.status()["deadline"] > time.time()
    call("note", directory=directory, line="Noted.")
    assert "Noted." in attempt.log
    assert call("stop", directory=directory, wait=30)["exit"]["left"] == []
