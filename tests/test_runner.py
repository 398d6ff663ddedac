"""The runner with real processes: `jupyter_sessions/runner/`."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions import runner
from jupyter_sessions.runner.meter import SAMPLES, Meter, consumption

from .attempts import APPS, SLEEP, Attempt, hello, lives, marked, python, serve, wait_for

SOURCE = Path(runner.PROGRAM)


def test_a_prepared_attempt_is_run_by_whoever_supervises_it(attempt: Attempt) -> None:
    state = attempt.directory.parent / "state"
    launch = attempt.launch(serve("socket"), make=[str(state)])
    assert runner.prepare(launch) == {"directory": str(attempt.directory)}
    assert runner.prepare(attempt.launch(SLEEP)) == {"directory": str(attempt.directory)}
    assert os.listdir(attempt.directory) == ["launch.json"]
    assert "make" not in attempt.read("launch.json")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (attempt.directory, state)}
    assert modes == {0o700}
    assert attempt.status()["status"] == "absent"
    job = [sys.executable, str(SOURCE), "supervise", str(attempt.directory)]
    with subprocess.Popen(job, stdin=subprocess.DEVNULL) as supervisor:
        assert hello(attempt.wait("alive")["address"]) == b"hello"  # what was prepared first
        attempt.stop()
        assert supervisor.wait(20) == 0


# -- Starting ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["socket", "fd", "port"])
def test_app_listens_and_answers(attempt: Attempt, kind: str) -> None:
    handle = attempt.start(serve(kind))
    assert handle["directory"] == str(attempt.directory)
    assert lives(handle["pid"])
    status = attempt.wait("alive")
    assert status["address"]["scheme"] == ("tcp" if kind == "port" else "unix")
    assert hello(status["address"]) == b"hello"
    assert status["started"] == pytest.approx(time.time(), abs=10)
    assert marked(attempt.mark) == [status["pid"]]
    assert attempt.read("started.json").items() <= attempt.read("connection.json").items()
    ended = attempt.stop()
    assert (ended["status"], ended["exit"]["reason"]) == ("ended", "stopped")
    assert ended["exit"]["signal"] == signal.SIGTERM
    assert ended["address"] is None
    wait_for(lambda: not lives(handle["pid"]))
    assert not (attempt.directory / "socket").exists()


def test_nobody_else_can_read_the_files(attempt: Attempt) -> None:
    attempt.start(serve("fd"))
    attempt.wait("alive")
    attempt.stop()
    assert stat.S_IMODE(attempt.directory.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in attempt.directory.iterdir()}
    assert set(modes.values()) == {0o600}, modes
    expected = {"launch.json", "runner.json", "started.json", "connection.json", "exit.json"}
    assert expected | {"lock", "log", "stop", "runner.log"} == set(modes)


def test_an_app_without_endpoint_is_alive_once_it_runs(attempt: Attempt) -> None:
    attempt.start(SLEEP)
    assert attempt.wait("alive")["address"] is None
    assert attempt.read("connection.json")["address"] is None


def test_fields_that_are_called_like_endpoints(attempt: Attempt) -> None:
    attempt.start(SLEEP, fields={"port": "80", "socket": "/no/such/socket"})
    assert attempt.wait("alive")["address"] is None


def test_an_app_that_does_not_listen_yet_is_starting(attempt: Attempt) -> None:
    program = (
        "import os, socket, sys, time\n"
        "while not os.path.exists(sys.argv[2]): time.sleep(.01)\n"
        "s = socket.create_server(('::1', int(sys.argv[1])), family=socket.AF_INET6)\n"
        "s.accept()[0].sendall(b'hello'); time.sleep(600)"
    )
    go = attempt.directory / "go"
    attempt.start(python(program, "{port}", "{session_dir}/go"))
    wait_for((attempt.directory / "started.json").exists)
    status = attempt.status()
    assert (status["status"], status["address"]) == ("starting", None)
    assert status["pid"] in marked(attempt.mark)
    go.touch()
    assert attempt.wait("alive")["address"]["host"] == "::1"  # "localhost", for some apps
    assert hello(attempt.status()["address"]) == b"hello"


@pytest.mark.parametrize("kind", ["socket", "fd"])
def test_socket_of_a_directory_with_a_long_name(
    attempts: Callable[[str], Attempt], kind: str
) -> None:
    attempt = attempts("s" * 100)
    attempt.start(serve(kind))
    path = Path(attempt.wait("alive")["address"]["path"])
    assert len(bytes(path)) <= 100
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert hello(attempt.status()["address"]) == b"hello"
    attempt.stop()
    assert not path.parent.exists()


def test_a_socket_that_was_bound_by_another_name(attempt: Attempt) -> None:
    program = (
        "import os, socket, sys\n"
        "os.chdir(os.path.dirname(sys.argv[1]))\n"
        "listener = socket.socket(socket.AF_UNIX); listener.bind('socket'); listener.listen()\n"
        "while True:\n"
        "    client = listener.accept()[0]\n"
        "    try: client.sendall(b'hello')\n"
        "    except OSError: pass\n"
        "    client.close()"
    )
    attempt.start(python(program, "{socket}"))
    assert hello(attempt.wait("alive")["address"]) == b"hello"


def test_a_stale_socket_is_removed(attempt: Attempt) -> None:
    attempt.directory.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(attempt.directory / "socket"))
    attempt.start(serve("socket"))
    assert hello(attempt.wait("alive")["address"]) == b"hello"


NASTY = ["{socket}", "$(touch x)", "`id`", "a\nb", "'\"", "{{x}}", "", "é\udcff", "-rf", "a b"]
DUMP = "import json, os, sys; json.dump([sys.argv[2:], dict(os.environ)], open(sys.argv[1], 'w'))"


def test_values_are_data(attempt: Attempt) -> None:
    out = attempt.directory / "out"
    attempt.start(
        python(
            DUMP, str(out), "{text}", "--x={text}", "{all}", "{gone}", "{{text}}", "{", '{"a":1}'
        ),
        fields={"text": "{socket}\n$(touch x)'\"{{", "all": NASTY, "gone": None},
        env={"TEXT": "<{text}>", "GONE": "{gone}", "HOME": None, "DIRECTORY": "{session_dir}"},
    )
    assert attempt.end()["exit_code"] == 0, attempt.log
    argv, env = json.loads(out.read_text())
    text = "{socket}\n$(touch x)'\"{{"
    assert argv == [text, f"--x={text}", *NASTY, "{text}", "{", '{"a":1}']
    assert env["TEXT"] == f"<{text}>"
    assert env["DIRECTORY"] == str(attempt.directory)
    assert "GONE" not in env
    assert "HOME" not in env


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"argv": ["sleep", "{seconds}"]}, "{seconds}"),
        ({"argv": SLEEP, "env": {"A": "{seconds}"}}, "{seconds}"),
        ({"argv": ["sleep", "-{list}"]}, "{list} is a list"),
        ({"argv": ["sleep", "a\0b"]}, "NUL"),
        ({"argv": ["{nothing}"]}, "empty"),
        ({"argv": ["no-such-program"]}, "no program no-such-program"),
        ({"argv": ["/etc/passwd"]}, "Permission denied"),
        ({"argv": SLEEP, "cwd": "/no/such/place"}, "/no/such/place"),
        ({"argv": SLEEP, "timeout": "soon"}, "time limit"),
    ],
)
def test_what_cannot_start_says_why(attempt: Attempt, change: Any, message: str) -> None:
    launch = attempt.launch([], fields={"list": ["a"], "nothing": None}) | change
    runner.start(launch)
    end = attempt.end()
    assert (end["reason"], end["exit_code"], end["signal"]) == ("start_failed", None, None)
    assert message in end["message"]
    assert end["message"] in attempt.log


@pytest.mark.parametrize(
    "session",
    ["../x", "a b", "", "a\n"],
)
def test_session_ids_that_are_none(attempt: Attempt, session: str) -> None:
    with pytest.raises(runner.RunnerError):
        runner.start(attempt.launch(SLEEP, session=session))
    assert not attempt.directory.exists()


def test_a_directory_that_is_not_safe(attempt: Attempt, tmp_path: Path) -> None:
    attempt.directory.parent.mkdir()
    attempt.directory.symlink_to(tmp_path)
    with pytest.raises(runner.RunnerError, match="not a directory of yours"):
        attempt.start(SLEEP)
    attempt.directory.unlink()
    attempt.directory.mkdir(mode=0o755)
    attempt.start(SLEEP)
    assert stat.S_IMODE(attempt.directory.stat().st_mode) == 0o700


def test_the_environment_has_none_of_jupyters_secrets(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = [
        "JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN", "JUPYTER_TOKEN", "CONFIGPROXY_AUTH_TOKEN",
        "JUPYTER_SERVER_URL", "JUPYTER_SERVER_ROOT", "JUPYTER_SESSIONS_ATTEMPT",
        "JUPYTER_SESSIONS_RUNNER", "JUPYTER_SESSIONS_OTHER",
    ]  # fmt: skip
    for name in secrets:
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", "kept")
    out = attempt.directory / "out"
    attempt.start(python(DUMP, str(out)), env={"JUPYTERHUB_USER": "given"})
    attempt.end()
    _, env = json.loads(out.read_text())
    assert "secret" not in env.values()
    assert env["JUPYTER_SESSIONS_ATTEMPT"] == attempt.mark
    assert env["JUPYTERHUB_USER"] == "given"
    assert env["JUPYTER_CONFIG_DIR"] == "kept"
    assert set(secrets) & set(env) == {"JUPYTER_SESSIONS_ATTEMPT"}


def test_the_app_inherits_nothing_odd(attempt: Attempt) -> None:
    # As a shell ignores it for what is in its background.
    before = signal.signal(signal.SIGQUIT, signal.SIG_IGN)
    try:
        attempt.start(["sh", "-c", "cat /proc/self/status; ls -l /proc/self/fd; umask; pwd"])
    finally:
        signal.signal(signal.SIGQUIT, before)
    attempt.end()
    status = dict(line.split(":\t", 1) for line in attempt.log.splitlines() if ":\t" in line)
    c_library = 0b11 << 31  # signals 32 and 33 are its own, and out of a program's reach
    assert int(status["SigBlk"], 16) & ~c_library == 0
    assert int(status["SigIgn"], 16) & ~c_library == 0
    fds = [line.split()[-3:] for line in attempt.log.splitlines() if " -> " in line]
    assert [fd for fd, _, _ in fds] == ["0", "1", "2", "3"]  # 3 is ls reading the directory
    assert fds[0][2] == "/dev/null"
    mask = os.umask(0)
    os.umask(mask)
    assert f"{mask:04o}" in attempt.log.splitlines()
    assert str(attempt.directory.parent) in attempt.log.splitlines()


def test_many_starts_make_one_app(attempt: Attempt) -> None:
    program = "echo started >> {session_dir}/count; exec sleep 600"
    with ThreadPoolExecutor(12) as pool:
        handles = list(pool.map(lambda _: attempt.start(["sh", "-c", program]), range(12)))
    assert all(handle == handles[0] for handle in handles)
    attempt.wait("alive")
    wait_for(lambda: runners(attempt) == [handles[0]["pid"]])
    assert (attempt.directory / "count").read_text() == "started\n"
    assert attempt.start(SLEEP) == handles[0]
    assert runner.find(attempt.launch([]))["handle"] == handles[0]
    attempt.stop()
    assert attempt.start(SLEEP) == handles[0]
    assert not marked(attempt.mark)


def runners(attempt: Attempt) -> list[int]:
    """The pids of all the runners that an attempt has."""
    wanted = str(attempt.directory).encode()
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"supervise" in command and wanted in command:
            found.append(int(path.name))
    return found


def test_the_runner_is_nobodys_child(attempt: Attempt) -> None:
    handle = attempt.start(SLEEP)
    found = runner.process(handle["pid"])
    assert found is not None
    assert found.ppid != os.getpid()
    assert found.pgid != os.getpgid(0)
    for fd in ("0", "1", "2"):
        target = Path(f"/proc/{handle['pid']}/fd/{fd}").readlink()
        assert target in (Path("/dev/null"), (attempt.directory / "runner.log"))


# -- Ending --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "code", "number", "message"),
    [
        ("exit 1", 1, None, "The app ended with code 1."),
        ("exit 0", 0, None, "The app ended with code 0."),
        ("kill -9 $$", None, 9, "The app was killed by signal 9 (SIGKILL)."),
        ("kill -40 $$", None, 40, "The app was killed by signal 40 (real-time)."),
    ],
)
def test_the_end_is_told_at_once(
    attempt: Attempt, script: str, code: int | None, number: int | None, message: str
) -> None:
    began = time.monotonic()
    attempt.start(["sh", "-c", f"echo hello; {script}"])
    end = attempt.end()
    assert time.monotonic() - began < 20  # 0.1 s on a machine with nothing else to do
    assert end.pop("ended") == pytest.approx(time.time(), abs=20)
    expected = {"exit_code": code, "signal": number, "reason": "exited", "message": message}
    assert end == {**expected, "left": []}
    assert attempt.wait("ended")["exit"]["exit_code"] == code
    assert "hello\n" in attempt.log


def test_stop_takes_all_that_escaped(attempt: Attempt) -> None:
    attempt.start(["{python}", str(APPS / "escape.py"), "{session_dir}/pids"])
    wait_for((attempt.directory / "pids").exists)
    pids = attempt.read("pids")
    # One that even the tree does not hold: a child of ours that kept the environment.
    env = dict(os.environ, JUPYTER_SESSIONS_ATTEMPT=attempt.mark)
    with subprocess.Popen(SLEEP, env=env) as outside:
        pids["outside"] = outside.pid
        assert all(map(lives, pids.values()))
        exit_ = attempt.stop()["exit"]
        assert {name for name, pid in pids.items() if lives(pid)} == set()
    assert (exit_["reason"], exit_["left"]) == ("stopped", [])
    assert not marked(attempt.mark)


def test_what_the_app_leaves_behind_goes_with_it(attempt: Attempt) -> None:
    attempt.start(["sh", "-c", "setsid sleep 600 & echo $!; exit 3"])
    assert attempt.end()["exit_code"] == 3
    assert not marked(attempt.mark)


def test_one_that_only_forks_is_caught(attempt: Attempt) -> None:
    program = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('walks', flush=True)\n"
        "end = time.monotonic() + 60\n"  # whatever happens to this test
        "while time.monotonic() < end:\n"
        "    if os.fork(): os._exit(0)"
    )
    launch = python(f"import os\nif os.fork(): os.wait(); import time; time.sleep(600)\n{program}")
    attempt.start(launch, stop={"argv": None, "grace": 0.2})
    wait_for(lambda: (attempt.directory / "log").exists() and "walks" in attempt.log)
    assert attempt.stop()["exit"]["left"] == []


def test_an_app_gets_one_term_and_its_time(attempt: Attempt) -> None:
    program = (
        "import signal, time\n"
        "seen = []\n"
        "signal.signal(signal.SIGTERM, lambda *_: seen.append(1))\n"
        "print('ready', flush=True)\n"
        "while not seen: time.sleep(.01)\n"
        "time.sleep(.5)\n"
        "print('x' * 1_000_000)\n"  # more than a pipe holds
        "print('TERM', len(seen), flush=True)\n"
        "raise SystemExit(7)"
    )
    attempt.start(python(program), stop={"argv": None, "grace": 10}, log={"max_bytes": 4_000_000})
    wait_for(lambda: (attempt.directory / "log").exists() and "ready" in attempt.log)
    assert attempt.stop()["exit"]["exit_code"] == 7
    assert "TERM 1\n" in attempt.log


def test_a_suspended_app_can_be_stopped_kindly(attempt: Attempt) -> None:
    attempt.start(["sh", "-c", "trap 'exit 4' TERM; echo ready; while :; do sleep .05; done"])
    wait_for(lambda: (attempt.directory / "log").exists() and "ready" in attempt.log)
    os.kill(attempt.status()["pid"], signal.SIGSTOP)
    assert attempt.stop()["exit"]["exit_code"] == 4


def test_an_app_that_is_suspended_while_it_is_stopped() -> None:
    program = "trap 'exit 4' TERM; echo ready; while :; do sleep .05; done"
    with subprocess.Popen(["sh", "-c", program], stdout=subprocess.PIPE) as app:
        assert app.stdout is not None
        app.stdout.readline()
        looks = 0

        def find() -> list[runner.Process]:
            nonlocal looks
            app.poll()
            found = runner.process(app.pid)
            looks += 1
            if looks == 1:  # after the look at the table, and before the signal
                os.kill(app.pid, signal.SIGSTOP)
            return [] if found is None else [found]

        assert runner.sweep(find, 10, time.sleep) == []
    assert app.returncode == 4


def test_stopping_twice_and_from_many_sides(attempt: Attempt) -> None:
    attempt.start(serve("socket"))
    attempt.wait("alive")
    with ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(lambda _: attempt.stop()["exit"], range(8)))
    assert ends[0]["reason"] == "stopped"
    assert ends == [ends[0]] * 8
    assert attempt.stop()["exit"] == ends[0]


def test_stopping_what_was_never_started(attempt: Attempt) -> None:
    assert attempt.status()["status"] == "absent"
    status = attempt.stop()
    assert (status["status"], status["exit"]["reason"]) == ("ended", "stopped")
    handle = attempt.start(["touch", str(attempt.directory / "ran")])
    assert handle["pid"] is None
    assert attempt.stop()["exit"] == status["exit"]
    assert not (attempt.directory / "ran").exists()


def test_a_runner_that_comes_after_stop_goes_away(attempt: Attempt) -> None:
    attempt.directory.mkdir(parents=True)
    (attempt.directory / "stop").touch()
    attempt.start(["touch", str(attempt.directory / "ran")])
    assert attempt.end()["reason"] == "stopped"
    assert not (attempt.directory / "ran").exists()


def test_starting_and_stopping_at_once_leaves_nothing(
    attempts: Callable[[str], Attempt],
) -> None:
    for number in range(12):
        attempt = attempts(f"race{number}")
        barrier = threading.Barrier(2)

        def stop(attempt: Attempt = attempt, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            attempt.stop(0)

        thread = threading.Thread(target=stop)
        thread.start()
        barrier.wait()
        attempt.start(SLEEP)
        thread.join()
        assert attempt.end()["reason"] == "stopped"
        assert not marked(attempt.mark)


def test_stop_runs_the_hook_first(attempt: Attempt) -> None:
    hook = ["sh", "-c", 'echo "$0 $1 $JUPYTER_SESSIONS_ATTEMPT $A" > said', "{socket}", "{field}"]
    attempt.start(
        serve("socket"),
        fields={"field": "f"},
        env={"A": "{field}a"},
        stop={"argv": hook, "grace": 5},
        cwd=str(attempt.directory.parent),
    )
    path = attempt.wait("alive")["address"]["path"]
    attempt.stop()
    assert (attempt.directory.parent / "said").read_text() == f"{path} f {attempt.mark} fa\n"


@pytest.mark.parametrize(
    ("hook", "said"),
    [(["false"], "failed"), (["no-such-program"], "no program"), (SLEEP, "longer than 0.3 s")],
)
def test_a_hook_that_fails_stops_nothing(attempt: Attempt, hook: list[str], said: str) -> None:
    attempt.start(serve("socket"), stop={"argv": hook, "grace": 0.3})
    attempt.wait("alive")
    assert attempt.stop()["exit"]["reason"] == "stopped"
    assert said in attempt.log


def test_signals_to_the_runner(attempt: Attempt) -> None:
    handle = attempt.start(SLEEP)
    attempt.wait("alive")
    os.kill(handle["pid"], signal.SIGHUP)
    assert attempt.status()["status"] == "alive"
    os.kill(handle["pid"], signal.SIGTERM)
    assert attempt.end()["reason"] == "stopped"


def test_the_stop_file_is_enough(attempt: Attempt) -> None:
    attempt.start(SLEEP)
    attempt.wait("alive")
    (attempt.directory / "stop").touch()
    assert attempt.end()["reason"] == "stopped"


def test_a_killed_runner(attempt: Attempt) -> None:
    handle = attempt.start(["sh", "-c", "setsid sleep 600 & exec sleep 600"])
    attempt.wait("alive")
    wait_for(lambda: len(marked(attempt.mark)) == 2)
    os.kill(handle["pid"], signal.SIGKILL)
    status = attempt.wait("ended")
    assert status["exit"]["reason"] == "runner_lost"
    assert len(marked(attempt.mark)) == 2
    # Nobody starts a second app beside what is left of the first.
    assert attempt.start(SLEEP)["pid"] == handle["pid"]
    exit_ = attempt.stop()["exit"]
    assert (exit_["reason"], exit_["exit_code"], exit_["left"]) == ("runner_lost", None, [])
    assert not marked(attempt.mark)
    assert attempt.stop()["exit"] == exit_


def test_a_session_inside_a_session_survives_it(attempts: Callable[[str], Attempt]) -> None:
    outer, inner = attempts("outer"), attempts("inner")
    request = outer.directory.parent / "request"
    request.parent.mkdir()
    request.write_text(json.dumps(inner.launch(serve("socket"))))
    outer.start(["sh", "-c", f"'{sys.executable}' '{SOURCE}' start < '{request}'; sleep 600"])
    pid = inner.wait("alive")["pid"]
    assert marked(outer.mark)
    outer.stop()
    assert not marked(outer.mark)
    assert marked(inner.mark) == [pid]
    assert hello(inner.wait("alive")["address"]) == b"hello"
    assert inner.stop()["exit"]["reason"] == "stopped"


def test_a_removed_directory_ends_the_app(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt.start(SLEEP)
    attempt.wait("alive")
    attempt.directory.rename(attempt.directory.with_name("moved"))
    assert marked(attempt.mark)
    wait_for(lambda: not marked(attempt.mark), 20)


# -- Time ----------------------------------------------------------------------------------------


def test_time_runs_out(attempt: Attempt) -> None:
    attempt.start(SLEEP, timeout=1)
    status = attempt.wait("alive")
    assert status["deadline"] == pytest.approx(status["started"] + 1)
    end = attempt.end()
    assert (end["reason"], end["message"]) == ("timeout", "Stopped: its time was up.")
    assert status["deadline"] <= end["ended"] < status["deadline"] + 20


def test_the_limit_can_be_moved(attempt: Attempt) -> None:
    attempt.start(serve("socket"), timeout=4)
    started = attempt.wait("alive")["started"]

    def change(timeout: float | None) -> None:
        runner.limit({"directory": str(attempt.directory), "timeout": timeout})
        wanted = None if timeout is None else pytest.approx(started + timeout)
        wait_for(lambda: attempt.status()["deadline"] == wanted)

    change(100)
    change(None)
    assert attempt.status()["address"] is not None
    wait_for(lambda: time.time() > started + 4.2)
    assert attempt.status()["status"] == "alive"
    runner.limit({"directory": str(attempt.directory), "timeout": 1})
    assert attempt.end()["reason"] == "timeout"


@pytest.mark.parametrize("timeout", ["1", True, [1]])
def test_limits_that_are_none(attempt: Attempt, timeout: Any) -> None:
    with pytest.raises(runner.RunnerError):
        runner.limit({"directory": str(attempt.directory), "timeout": timeout})


# -- The log -------------------------------------------------------------------------------------


def test_a_chatty_app_does_not_fill_the_disk(attempt: Attempt) -> None:
    limit = 100_000
    attempt.start(
        ["sh", "-c", "yes 'some words' | head -c 3000000; echo the end"], log={"max_bytes": limit}
    )
    assert attempt.end()["exit_code"] == 0
    sizes = [(attempt.directory / name).stat().st_size for name in ("log", "log.1")]
    assert limit / 2 <= sum(sizes) <= limit
    assert "the end\n" in attempt.log


def test_a_full_disk_does_not_stop_the_app(attempt: Attempt) -> None:
    attempt.directory.mkdir(parents=True)
    (attempt.directory / "log").symlink_to("/dev/full")
    attempt.start(["sh", "-c", "yes | head -c 3000000; exit 5"])
    assert attempt.end()["exit_code"] == 5


def test_notes(attempt: Attempt) -> None:
    attempt.start(SLEEP)
    attempt.wait("alive")
    runner.note({"directory": str(attempt.directory), "line": "Stops soon."})
    assert "\nStops soon.\n" in attempt.log


# -- Ports ---------------------------------------------------------------------------------------

LOSES_PORT = """
import os, socket, sys, time
ports = sys.argv[1] + "/ports"
with open(ports, "a") as file:
    print(sys.argv[2], file=file)
if len(open(ports).readlines()) == 1:
    while not os.path.exists(sys.argv[1] + "/taken"):
        time.sleep(.01)
    if sys.argv[3] == "waits":
        time.sleep(600)
    try:
        socket.create_server(("127.0.0.1", int(sys.argv[2])))
    except OSError:
        raise SystemExit(0)
listener = socket.create_server(("127.0.0.1", int(sys.argv[2])))
while True:
    listener.accept()[0].sendall(b"hello")
"""


@pytest.mark.parametrize("behaviour", ["waits", "exits"])
def test_a_port_that_somebody_else_takes(attempt: Attempt, behaviour: str) -> None:
    attempt.start(python(LOSES_PORT, "{session_dir}", "{port}", behaviour))
    ports = attempt.directory / "ports"
    port = int(
        wait_for(lambda: ports.exists() and ports.read_text().endswith("\n") and ports.read_text())
    )
    with socket.create_server(("127.0.0.1", port)):
        (attempt.directory / "taken").touch()
        address = attempt.wait("alive")["address"]
        assert address["port"] != port
        assert hello(address) == b"hello"
    assert f"Another process took port {port}." in attempt.log


# -- Who is who ----------------------------------------------------------------------------------


def test_a_pid_is_not_an_identity(attempt: Attempt) -> None:
    attempt.start(SLEEP)
    attempt.wait("alive")
    true = attempt.read("runner.json")
    with subprocess.Popen(SLEEP) as bystander:
        attempt.forge("runner.json", pid=bystander.pid, started=1)
        assert attempt.status()["exit"]["reason"] == "runner_lost"
        attempt.stop(0)
        assert lives(bystander.pid)
        bystander.kill()
    attempt.forge("runner.json", **true)


@pytest.mark.parametrize("key", ["boot_id", "pid_ns"])
def test_a_restarted_host(attempt: Attempt, key: str) -> None:
    handle = attempt.start(SLEEP)
    attempt.wait("alive")
    attempt.forge("runner.json", **{key: "another"})
    # The lock is held: what looks like a restart is another machine or container.
    assert attempt.status()["status"] == "unknown"
    os.kill(handle["pid"], signal.SIGKILL)
    status = attempt.wait("ended")
    assert status["exit"]["reason"] == "host_restarted"
    assert "restarted" in status["message"]
    assert attempt.stop()["exit"]["reason"] == "host_restarted"


def test_another_host(attempt: Attempt) -> None:
    attempt.start(serve("socket"), timeout=60)
    before = attempt.wait("alive")
    attempt.forge("runner.json", hostname="elsewhere", boot_id="another")
    status = attempt.status()
    assert (status["status"], status["hostname"]) == ("unknown", "elsewhere")
    assert "elsewhere" in status["message"]
    # It cannot be seen to live; what it wrote can be read, by who shares its files.
    assert before["address"]
    assert [status[k] for k in TOLD] == [before[k] for k in TOLD]
    # Even so the stop file reaches it.
    assert attempt.stop()["exit"]["reason"] == "stopped"


TOLD = ("address", "started", "deadline")


def test_a_host_that_changed_its_name(attempt: Attempt) -> None:
    attempt.start(SLEEP)
    attempt.wait("alive")
    attempt.forge("runner.json", hostname="laptop-at-home")
    assert attempt.status()["status"] == "alive"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": "x"}', "\udcff"])
@pytest.mark.parametrize("name", ["runner.json", "connection.json"])
def test_garbled_files(attempt: Attempt, name: str, text: str) -> None:
    attempt.start(serve("socket"))
    attempt.wait("alive")
    (attempt.directory / name).write_text(text, errors="surrogateescape")
    status = attempt.status()
    assert (status["status"], status["address"]) == ("unknown", None)
    assert status["message"]


def test_polling_is_cheap_and_each_for_itself(attempt: Attempt, tmp_path: Path) -> None:
    attempt.start(serve("socket"))
    attempt.wait("alive")
    directories = [str(attempt.directory)]
    for number in range(49):
        copy = tmp_path / f"copy{number}"
        copy.mkdir()
        for name in ("launch.json", "runner.json", "started.json", "connection.json"):
            (copy / name).write_bytes((attempt.directory / name).read_bytes())
        directories.append(str(copy))
    (tmp_path / "copy7" / "runner.json").write_text("?")
    began = time.thread_time()
    statuses = runner.poll({"directories": directories})["statuses"]
    assert time.thread_time() - began < 0.1
    states = [statuses[directory]["status"] for directory in directories]
    assert states.count("alive") == 49
    assert states[8] == "unknown"


def test_find(attempt: Attempt) -> None:
    request = {"session": attempt.session, "attempt": 1, "directory": str(attempt.directory)}
    assert runner.find(request) == {"handle": None}
    handle = attempt.start(SLEEP)
    attempt.wait("alive")
    assert runner.find(request) == {"handle": handle}
    hidden = attempt.directory.rename(attempt.directory.with_name("hidden"))
    assert runner.find(request) == {"handle": handle}  # by its marker
    hidden.rename(attempt.directory)
    attempt.stop()
    assert runner.find(request) == {"handle": handle}


# -- As a program --------------------------------------------------------------------------------


def call(verb: str, payload: Any, interpreter: str = "/usr/bin/python3") -> tuple[int, Any]:
    answer = subprocess.run(
        [interpreter, "-I", "-S", str(SOURCE), verb],
        input=payload if isinstance(payload, str) else json.dumps(payload),
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
    )
    assert answer.stderr == ""
    return answer.returncode, json.loads(answer.stdout)


@pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="no /usr/bin/python3")
def test_the_command_line(attempt: Attempt) -> None:
    directory = str(attempt.directory)
    code, handle = call("start", attempt.launch(serve("socket"), fields={"x": "é"}))
    assert code == 0
    assert lives(handle["pid"])
    assert hello(attempt.wait("alive")["address"]) == b"hello"
    assert call("poll", {"directories": [directory]}) == (
        0,
        {"statuses": {directory: attempt.status()}},
    )
    code, status = call("stop", {"directory": directory, "wait": 10})
    assert (code, status["status"]) == (0, "ended")


@pytest.mark.parametrize(
    ("verb", "payload"),
    [
        ("dance", {}),
        ("start", {}),
        ("poll", "{"),
        ("poll", []),
        ("limit", {"directory": "/no", "timeout": 1}),
    ],
)
def test_errors_on_the_command_line(verb: str, payload: Any) -> None:
    code, answer = call(verb, payload, sys.executable)
    assert code == 1
    assert list(answer) == ["error"]
    assert answer["error"]


def test_in_the_foreground_as_batch_jobs_do(attempt: Attempt) -> None:
    attempt.directory.mkdir(parents=True, mode=0o700)
    launch = attempt.launch(["sh", "-c", "exit 6"])
    (attempt.directory / "launch.json").write_text(json.dumps(launch))
    # The job may inherit the marker of the session that it was submitted from.
    env = dict(os.environ, JUPYTER_SESSIONS_ATTEMPT="outer.1")
    command = [sys.executable, "-I", "-S", str(SOURCE), "supervise", "1"]
    subprocess.run(command, cwd=attempt.directory.parent, env=env, check=True)
    assert attempt.read("exit.json")["exit_code"] == 6


# -- What is used --------------------------------------------------------------------------------

BUSY = """
import os, subprocess, sys, time
end = time.monotonic() + 600
subprocess.run([sys.executable, "-c", "sum(range(300_000))"])
kept = b"x" * 60_000_000
while time.monotonic() < end:
    pass
"""


def used(attempt: Attempt) -> dict[str, Any]:
    """What the runner says that the attempt uses; nothing while it has not said anything."""
    directory = str(attempt.directory)
    usage: dict[str, Any] = runner.usage({"directories": [directory, "/no/such"]})["usages"]
    return dict(usage.get(directory, {}))


def test_what_an_app_uses_is_sampled_soon_and_then_regularly(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt.start(python(BUSY))
    attempt.wait("alive")
    usage = wait_for(lambda: used(attempt))
    began = attempt.read("started.json")["started"]
    assert usage["samples"][0][0] > began + 1  # the first one comes after a moment
    at, cpu, memory = usage["samples"][-1]
    assert at <= time.time() + 0.05  # it is told in tenths
    # Other tests run beside this one: it gets a part of a processor.
    assert 0.1 < cpu <= (os.cpu_count() or 1)
    assert (usage["cpu"], usage["memory"], usage["processes"]) == (cpu, memory, 1)
    assert stat.S_IMODE((attempt.directory / "usage.json").stat().st_mode) == 0o600
    attempt.stop()


def test_what_is_used_counts_all_below_the_runner_and_the_ended_too() -> None:
    meter, mark = Meter("/nowhere"), "s.1"  # a sample that cannot be kept is no harm
    meter.sample(mark)
    program = "import os; kept = b'x' * 50_000_000; os.system('sleep 600')"
    busy = "import time\nwhile time.process_time() < 1: pass"
    before = consumption(os.getpid(), mark)
    with subprocess.Popen([sys.executable, "-c", program], start_new_session=True) as child:
        wait_for(lambda: consumption(os.getpid(), mark)[2] >= before[2] + 2)
        _, memory, count = consumption(os.getpid(), mark)
        assert count >= before[2] + 2
        assert memory - before[1] > 50_000_000
        os.killpg(child.pid, signal.SIGKILL)
    subprocess.run([sys.executable, "-c", busy], check=True)
    ticks, _, count = consumption(os.getpid(), mark)
    assert count == before[2]
    assert (ticks - before[0]) / os.sysconf("SC_CLK_TCK") >= 1


def test_another_session_below_is_not_counted() -> None:
    before = consumption(os.getpid(), "s.1")
    for marker in ({runner.ATTEMPT: "other.1"}, {runner.RUNNER: "other.1"}):
        with subprocess.Popen(SLEEP, env=dict(os.environ, **marker)) as child:
            wait_for(lambda: runner.marks(child.pid))
            assert consumption(os.getpid(), "s.1")[2] == before[2]
            child.kill()
    with subprocess.Popen(SLEEP, env=dict(os.environ, **{runner.ATTEMPT: "s.1"})) as child:
        wait_for(lambda: consumption(os.getpid(), "s.1")[2] == before[2] + 1)
        child.kill()


def test_only_so_many_samples_are_kept(tmp_path: Path) -> None:
    meter = Meter(str(tmp_path))
    for _ in range(SAMPLES + 5):
        meter.sample("s.1")
    usage = runner.usage({"directories": [str(tmp_path)]})["usages"][str(tmp_path)]
    assert len(usage["samples"]) == SAMPLES
    assert usage["samples"][-1][1:] == [usage["cpu"], usage["memory"]]
    times = [sample[0] for sample in usage["samples"]]
    assert times == sorted(times)
    assert [p.name for p in tmp_path.iterdir()] == ["usage.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_usage_that_cannot_be_read_is_left_out(attempt: Attempt, content: bytes) -> None:
    attempt.directory.mkdir(parents=True)
    (attempt.directory / "usage.json").write_bytes(content)
    assert used(attempt) == {}


def test_a_sample_without_the_kernels_lists_of_children_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with subprocess.Popen(SLEEP) as child:
        there = consumption(os.getpid(), "s.1")
        exists = os.path.exists
        monkeypatch.setattr(os.path, "exists", lambda p: "children" not in str(p) and exists(p))
        assert consumption(os.getpid(), "s.1")[2] == there[2] >= 1
        child.kill()


def niceness(pid: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, pid)


def test_an_app_may_be_nice_and_its_runner_and_stop_command_are_not(
    attempt: Attempt, tmp_path: Path
) -> None:
    hook = "import os, sys; open(sys.argv[1], 'w').write(str(os.nice(0)))"
    stop = {"argv": python(hook, str(tmp_path / "hook")), "grace": 5}
    handle = attempt.start(["sh", "-c", "sleep 600; true"], nice=7, stop=stop)
    status = attempt.wait("alive")
    own = niceness(0)
    assert niceness(status["pid"]) == own + 7
    wait_for(lambda: {niceness(pid) for pid in marked(attempt.mark)} == {own + 7})
    assert niceness(handle["pid"]) == own
    attempt.stop()
    assert (tmp_path / "hook").read_text() == str(own)
