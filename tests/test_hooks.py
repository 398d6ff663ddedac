"""Hooks: before, after and clean, in order, once, and whatever is killed between them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions import runner
from jupyter_sessions.apps.app import App, AppError
from jupyter_sessions.apps.checking import doubts
from jupyter_sessions.launching import variables
from jupyter_sessions.manager import SessionManager
from jupyter_sessions.session import Session, State

from .attempts import SLEEP, Attempt, lives, python, wait_for
from .core import APP, a_session
from .forked import Forked
from .managers import ENDED, running, start, stop
from .processes import marked

DRIVER = Path(__file__).parent / "drivers" / "manager_that_dies.py"
SAY = ["sh", "-c", 'echo "$1" >> "$0"']


def trace(root: Path, session: Session | str) -> list[str]:
    """What ran of the app `hooked`, in order: ``before 1`` is that of the first attempt."""
    session_id = session if isinstance(session, str) else session.id
    path = root / "sessions" / session_id / "state" / "trace"
    return path.read_text().splitlines() if path.exists() else []


async def until(manager: SessionManager, what: Any) -> None:
    async with asyncio.timeout(40):
        while not what():  # noqa: ASYNC110 - what files say
            await asyncio.sleep(0.02)


async def log_of(manager: SessionManager, session: Session) -> str:
    return b"".join([chunk async for chunk in manager.logs(session.id)]).decode()


# -- The definition ------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["socket", "port", "fd", "session_dir", "status_file"])
def test_before_there_is_a_target_nobody_knows_what_is_there(field: str) -> None:
    with pytest.raises(AppError, match=r"hooks\.before: only the target knows"):
        App.from_definition({**APP, "hooks": {"before": ["x", f"{{{field}}}"]}})


@pytest.mark.parametrize("name", ["before", "after", "clean"])
def test_a_hook_has_the_fields_of_a_command_and_no_secret(name: str) -> None:
    with pytest.raises(AppError, match=rf"hooks\.{name}: there is no field"):
        App.from_definition({**APP, "hooks": {name: ["{nothing}"]}})
    with pytest.raises(AppError, match=rf"hooks\.{name}: others could read the secret"):
        App.from_definition({**APP, "secrets": ["token"], "hooks": {name: ["{token}"]}})


def test_a_script_that_is_missing_or_cannot_be_run_is_doubtful(tmp_path: Path) -> None:
    (tmp_path / "run.sh").touch(0o644)
    (tmp_path / "good.sh").touch(0o755)
    hooks = {
        "before": ["{app_dir}/none.sh", "{app_dir}/{cwd}"],
        "after": ["{app_dir}/run.sh"],
        "clean": ["{app_dir}/good.sh", "{app_dir}/run.sh", "{app_dir}/missing.txt"],
    }
    app = App.from_definition({**APP, "hooks": hooks}, directory=tmp_path)
    found = [(where, text) for where, text in doubts(app) if text.startswith("hooks")]
    assert [where for where, _ in found] == [
        ("hooks", "before", 0), ("hooks", "after", 0), ("hooks", "clean", 2)
    ]  # fmt: skip
    assert "none.sh" in found[0][1]
    assert "not executable" in found[1][1]


def test_the_environment_says_what_the_session_is() -> None:
    options = {"words": ["a b", "ü"], "some": 1.5, "on": True, "none": None, "id": "not this"}
    session = a_session(options=options, name="Mine", cwd="/data")
    found = variables(session)
    assert found == {
        "SESSION_ID": session.id,
        "SESSION_NAME": "Mine",
        "SESSION_ATTEMPT": "1",
        "SESSION_APP": "demo",
        "SESSION_URL": f"/sessions/{session.id}/",
        "SESSION_CWD": "/data",
        "SESSION_WORDS": json.dumps(["a b", "ü"]),
        "SESSION_SOME": "1.5",
        "SESSION_ON": "true",
    }


# -- The runner ----------------------------------------------------------------------------------


def said(attempt: Attempt) -> list[str]:
    path = attempt.directory.parent / "said"
    return path.read_text().split() if path.exists() else []


def hooks(attempt: Attempt, **more: Any) -> dict[str, Any]:
    said = str(attempt.directory.parent / "said")
    return {"after": [*SAY, said, "after"], "clean": [*SAY, said, "clean"], "timeout": 20} | more


def test_after_runs_once_when_the_app_is_in_use_and_clean_at_the_end(attempt: Attempt) -> None:
    attempt.start(SLEEP, hooks=hooks(attempt))
    attempt.wait("alive")
    for _ in range(2):
        runner.ready({"directory": str(attempt.directory)})
        wait_for(lambda: said(attempt))
    assert attempt.stop()["status"] == "ended"
    assert said(attempt) == ["after", "clean"]


@pytest.mark.parametrize(
    "argv", [["no-such-program"], ["false"], python("import os; os.kill(os.getpid(), 9)")]
)
def test_clean_runs_whatever_became_of_the_app(attempt: Attempt, argv: list[str]) -> None:
    attempt.start(argv, hooks=hooks(attempt))
    attempt.end()
    assert said(attempt) == ["clean"]


def test_clean_runs_if_it_was_stopped_before_it_began(attempt: Attempt) -> None:
    runner.prepare(attempt.launch(SLEEP, hooks=hooks(attempt)))
    (attempt.directory / "stop").touch()
    attempt.start(SLEEP)
    assert attempt.end()["reason"] == "stopped"
    assert said(attempt) == ["clean"]


def test_clean_finds_nothing_running_and_leaves_nothing(attempt: Attempt) -> None:
    program = "import subprocess; subprocess.Popen(['sleep', '600']); print('cleaned', flush=True)"
    attempt.start(SLEEP, hooks=hooks(attempt, clean=python(program)))
    app = attempt.wait("alive")["pid"]
    attempt.stop()
    assert "cleaned\n" in attempt.log
    assert not lives(app)


def test_hooks_that_fail_are_logged_and_decide_nothing(attempt: Attempt) -> None:
    bad = {"after": ["sh", "-c", "echo no; exit 3"], "clean": ["no-such-program"]}
    attempt.start(SLEEP, hooks=hooks(attempt, **bad))
    attempt.wait("alive")
    runner.ready({"directory": str(attempt.directory)})
    wait_for(lambda: "The after hook failed with code 3." in attempt.log)
    assert attempt.status()["status"] == "alive"
    assert attempt.stop()["exit"]["reason"] == "stopped"
    assert "The clean hook failed: There is no program no-such-program here." in attempt.log


def test_hooks_that_take_too_long_are_ended(attempt: Attempt) -> None:
    attempt.start(SLEEP, hooks={"after": SLEEP, "clean": SLEEP, "timeout": 0.5})
    attempt.wait("alive")
    runner.ready({"directory": str(attempt.directory)})
    wait_for(lambda: "The after hook took longer than 0.5 s." in attempt.log)
    attempt.stop()
    assert "The clean hook took longer than 0.5 s." in attempt.log


def test_clean_runs_without_a_runner_once_and_masked(attempt: Attempt) -> None:
    where = str(attempt.directory.parent / "said")
    clean = ["sh", "-c", 'echo clean >> "$0"; echo I know $KEY; exit 4', where]
    attempt.start(
        SLEEP,
        hooks=hooks(attempt, clean=clean),
        secrets={"key": "s3cret-key"},
        env={"KEY": "{key}"},
    )
    app = attempt.wait("alive")["pid"]
    os.kill(attempt.read("runner.json")["pid"], signal.SIGKILL)
    wait_for(lambda: attempt.status()["status"] == "ended")
    for _ in range(2):
        assert attempt.stop()["exit"]["reason"] == "runner_lost"
    assert said(attempt) == ["clean"]
    assert not lives(app)
    assert "I know ***\n" in attempt.log
    assert "The clean hook failed with code 4." in attempt.log


def test_a_clean_hook_that_has_run_does_not_run_again(attempt: Attempt) -> None:
    attempt.start(SLEEP, hooks=hooks(attempt))
    attempt.wait("alive")
    (attempt.directory / "clean.done").touch()
    attempt.stop()
    assert said(attempt) == []


# -- The whole way -------------------------------------------------------------------------------


async def test_they_run_in_order_and_know_their_session(root: Path) -> None:
    async with running(root) as manager:
        session = await start(manager, app="hooked", name="Mine", options={"words": ["a", "b c"]})
        assert session.state is State.RUNNING, session.attempt.message
        await until(manager, lambda: len(trace(root, session)) == 3)
        await stop(manager, session)
        log = await log_of(manager, session)
        directory = root / "sessions" / session.id / "1"
        for name in ("before", "command", "after", "stop", "clean"):
            known = (root / "sessions" / session.id / "state" / f"trace.{name}").read_text()
            assert f"SESSION_DIR={directory}\n" in f"{known}\n"
            for value in (
                "ATTEMPT=1", f"ID={session.id}", "APP=hooked", "NAME=Mine", 'WORDS=["a", "b c"]',
                f"URL=/sessions/{session.id}/", f"CWD={session.cwd}",
            ):  # fmt: skip
                assert f"SESSION_{value}" in known, name
    assert trace(root, session) == ["before 1", "command 1", "after 1", "stop 1", "clean 1"]
    before = (root / "sessions" / session.id / "state" / "trace.before.pwd").read_text()
    assert before.strip() == str(directory)
    for name in ("before", "after", "stop", "clean"):
        assert f"This is {name}, I know ***\n" in log


async def test_each_attempt_has_its_own(root: Path) -> None:
    async with running(root) as manager:
        session = await start(manager, app="hooked")
        await until(manager, lambda: len(trace(root, session)) == 3)
        await manager.restart(session.id)
        await until(manager, lambda: len(trace(root, session)) == 8)
        await stop(manager, session)
    second = [line for line in trace(root, session) if line.endswith("2")]
    assert second == ["before 2", "command 2", "after 2", "stop 2", "clean 2"]


async def test_a_failed_before_fails_the_session_with_its_last_word(root: Path) -> None:
    async with running(root) as manager:
        script = "echo There is no licence. >&2; echo bye, $PASSWORD; exit 3"
        session = await start(manager, app="hooked", options={"before": script})
        session = await manager.wait_for(session.id, lambda s: s.ended)
        assert (session.state, session.attempt.reason) == (State.FAILED, "before_failed")
        assert session.attempt.message == "There is no licence."
        log = await log_of(manager, session)
        lines = log.splitlines()
        assert {"This is before, I know ***", "bye, ***", "There is no licence."} <= {*lines}
    assert trace(root, session) == ["before 1"]


async def test_clean_runs_after_a_failed_start(root: Path) -> None:
    async with running(root) as manager:
        session = await start(manager, app="hooked", options={"command": "exit 1"})
        session = await manager.wait_for(session.id, lambda s: s.ended)
        assert session.state is State.FAILED
    assert trace(root, session) == ["before 1", "clean 1"]


async def test_a_session_is_stopped_while_before_runs(root: Path) -> None:
    async with running(root) as manager:
        session = await manager.create({"app": "hooked", "options": {"before": "sleep 600"}})
        await until(manager, lambda: trace(root, session))
        session = await stop(manager, session)
        assert session.state is State.STOPPED
        assert marked(f"{session.id}-before") == []
    assert trace(root, session) == ["before 1"]


async def test_a_server_that_dies_leaves_before_to_the_next_one(root: Path, tmp_path: Path) -> None:
    goes = tmp_path / "goes"
    program = f"while [ ! -e {goes} ]; do sleep 0.05; done"
    request = [{}, {"app": "hooked", "options": {"before": program}}]
    with Forked(DRIVER, [str(root), "1000", "after", json.dumps(request)]) as dying:
        session_id = (await asyncio.to_thread(dying.stdout.readline)).strip()
        async with asyncio.timeout(40):
            while not trace(root, session_id):  # noqa: ASYNC110 - what files say
                await asyncio.sleep(0.02)
        dying.kill()
    goes.touch()
    async with running(root) as manager:
        session = await manager.wait_for(session_id, lambda s: s.state in (State.RUNNING, *ENDED))
        assert session.state is State.RUNNING, session.attempt.message
        await until(manager, lambda: len(trace(root, session)) == 3)
        await stop(manager, session)
    assert trace(root, session) == ["before 1", "command 1", "after 1", "stop 1", "clean 1"]


async def test_a_before_whose_runner_was_killed_runs_again(root: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    program = f"[ -e {gone} ] || {{ touch {gone}; sleep 600; }}"
    async with running(root) as manager:
        session = await manager.create({"app": "hooked", "options": {"before": program}})
        await until(manager, gone.exists)
        before = root / "sessions" / session.id / "1" / "before"
        os.kill(json.loads((before / "runner.json").read_text())["pid"], signal.SIGKILL)
        session = await manager.wait_for(session.id, lambda s: s.state in (State.RUNNING, *ENDED))
        assert session.state is State.RUNNING, session.attempt.message
        await stop(manager, session)
    assert trace(root, session)[:3] == ["before 1", "before 1", "command 1"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("write", range(1, 6))
async def test_a_server_killed_at_a_write_runs_nothing_twice(
    root: Path, write: int, when: str
) -> None:
    request = json.dumps([{}, {"app": "hooked"}])
    with Forked(DRIVER, [str(root), str(write), when, request]) as dying:
        session_id = dying.stdout.readline().strip()
        assert await asyncio.to_thread(dying.wait, 60) == -signal.SIGKILL
    async with running(root) as manager:
        session = await manager.wait_for(session_id, lambda s: s.state in (State.RUNNING, *ENDED))
        assert session.state is State.RUNNING, session.attempt.message
        await until(manager, lambda: len(trace(root, session)) >= 3)
        await stop(manager, session)
    assert trace(root, session) == ["before 1", "command 1", "after 1", "stop 1", "clean 1"]
