"""The parts of a host over SSH that need no server: sentences, commands, the far end's verbs."""

from __future__ import annotations

import ast
import asyncio
import base64
import fcntl
import json
import os
import re
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions import runner
from jupyter_sessions.errors import InvalidRequest, SpawnerError, Unreachable
from jupyter_sessions.hosts import remote
from jupyter_sessions.hosts.complaints import LATE, explain
from jupyter_sessions.hosts.mux import Mux
from jupyter_sessions.hosts.openssh import LONGEST_SOCKET, _sweep, control_directory
from jupyter_sessions.hosts.ssh import SshHost
from jupyter_sessions.places import PlaceError, build_hosts
from jupyter_sessions.requests import folder
from jupyter_sessions.routes import Address

MARK = "js-0123456789abcdef:"


def host(**traits: Any) -> SshHost:
    found = build_hosts({"hpc": {"class": "ssh", "address": "login", **traits}}, None)["hpc"]
    assert isinstance(found, SshHost)
    return found


# -- What the client says ------------------------------------------------------------------------

SAID = {
    "unknown": (
        "No ED25519 host key is known for login and you have requested strict checking.\n"
        "Host key verification failed.\n",
        "not known yet: run `ssh login` once in a terminal",
    ),
    "changed": (
        "@@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n@@@@\n"
        "Host key for login has changed and you have requested strict checking.\n"
        "Host key verification failed.\n",
        "has changed.*ssh-keygen -R login",
    ),
    "password": (
        "ada@login: Permission denied (publickey,password,keyboard-interactive).\n",
        "without a password, passphrase or second factor .*publickey,password.*ssh-copy-id",
    ),
    "name": (
        "ssh: Could not resolve hostname login: Name or service not known\n",
        "There is no host login: check its name",
    ),
    "refused": (
        "ssh: connect to host login port 22: Connection refused\n",
        "no SSH server listens there",
    ),
    "silent": ("ssh: connect to host login port 22: Connection timed out\n", "does not answer"),
    "late": (LATE, "hpc answers, but the login does not end"),
    "route": ("ssh: connect to host login port 22: No route to host\n", "There is no way to hpc"),
    "closed": ("kex_exchange_identification: Connection closed by remote host\n", "before the"),
    "option": ("command-line: line 0: Bad configuration option: nonsense\n", "nonsense"),
    "key": ('Load key "/k": bad permissions\nlogin: Permission denied (publickey).\n', "others"),
    "cipher": (
        "Unable to negotiate with 10.0.0.1 port 22: no matching cipher found. Their offer: x\n",
        "share no algorithm",
    ),
    "other": ("one\nsomething new\n", "There is no connection to hpc: something new"),
    "nothing": ("", "it says nothing"),
}


@pytest.mark.parametrize(("said", "says"), SAID.values(), ids=SAID)
def test_what_the_client_says_becomes_what_to_do(said: str, says: str) -> None:
    sentence = explain(said, "hpc", "login", "ssh login")
    assert re.search(says, sentence)
    assert "hpc" in sentence or "login" in sentence or sentence.endswith(("nonsense", "others"))
    assert "\n" not in sentence


# -- What is configured --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trait", "value"),
    [
        ("address", "-oProxyCommand=touch x"),
        ("address", "a b"),
        ("address", "a;b"),
        ("address", ""),
        ("user", "ada$(id)"),
        ("user", "-x"),
        ("python", "python3; true"),
        ("python", "python3 -c x"),
        ("directory", "sessions"),
        ("directory", "~/a b"),
        ("directory", "/a'b"),
        ("options", ["nonsense"]),
        ("options", ["A=b\nc"]),
        ("port", 70000),
    ],
)
def test_what_a_shell_or_the_client_could_misread_is_refused(trait: str, value: Any) -> None:
    with pytest.raises(PlaceError, match=trait) as caught:
        build_hosts({"hpc": {"class": "ssh", "address": "login", trait: value}}, None)
    assert str(caught.value).startswith("SessionManager.hosts['hpc']: ")


def test_the_users_own_configuration_is_all_that_is_needed() -> None:
    client = host().link.client
    assert (client.name, client.address) == ("hpc", "login")
    assert not {"-F", "-l", "-p", "-i"} & set(client.options)


def test_what_is_configured_reaches_the_client() -> None:
    traits = {"user": "ada", "port": 2222, "identity_file": "/k", "config_file": "/c"}
    client = host(**traits, options=["ProxyJump=gate"], ciphers="").link.client
    assert " ".join(client.options).startswith("-F /c -p 2222 -l ada -i /k -oProxyJump=gate ")
    assert not any("Ciphers" in option for option in client.options)
    assert client.key != host().link.client.key
    remedy = client.explain("Host key verification failed.")
    assert "`ssh -F /c -p 2222 -l ada -i /k login`" in remedy


def test_a_command_needs_no_quotes_in_any_shell() -> None:
    command = host(python="~/miniforge3/bin/python3.12", directory="/scratch/a@b")._far_command(
        "poll", MARK
    )
    assert re.fullmatch(r"exec [\w ~/.:@-]+", command)
    assert command.endswith(f"/remote.py poll {MARK}")


async def test_an_app_with_tls_of_its_own_is_refused_before_anything_is_opened() -> None:
    with pytest.raises(SpawnerError, match="TLS"):
        async with host().connect(Address("tls", host="127.0.0.1", port=1)):
            raise AssertionError


def test_sockets_have_a_private_place_with_a_short_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_path: Path
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_path))
    assert control_directory() == f"{short_path}/jupyter-sessions"
    assert stat.S_IMODE((short_path / "jupyter-sessions").stat().st_mode) == 0o700
    long = tmp_path / ("x" * 60)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    assert len(control_directory()) <= LONGEST_SOCKET
    assert control_directory() == f"/tmp/jupyter-sessions-{os.geteuid()}"


async def test_a_connection_that_is_closed_while_somebody_waits_leaves_its_number_free() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    mux = Mux(ours)
    waiting = asyncio.create_task(mux.lost())
    await asyncio.sleep(0)
    number = ours.fileno()
    mux.close()
    again, other = socket.socketpair()
    assert number in (again.fileno(), other.fileno())
    if other.fileno() == number:
        again, other = other, again
    again.setblocking(False)
    with theirs, other:
        second = Mux(again)
        told = asyncio.create_task(second.lost())
        await asyncio.sleep(0)  # it waits, and there is nothing yet
        other.close()
        await asyncio.wait_for(told, 5)
        second.close()
    waiting.cancel()


def test_what_ended_connections_have_left_goes_with_the_next_one(short_path: Path) -> None:
    run = short_path
    for key in ("one", "two", "mine"):
        (run / f"{key}.lock").touch()
        (run / f"{key}.pid").touch()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(run / key))
        if key == "two":
            listener.listen()
            master = listener
        else:
            listener.close()  # as a process that was killed leaves it
    (run / "new.lock").touch()  # of one that is being made
    (run / "bare.lock").touch()
    for name in (f"mine.{os.getpid()}.1", "mine.999999999.1", "one.999999999.2"):
        (run / name).touch()
    with (run / "new.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _sweep(str(run), "mine")
    master.close()
    left = ["mine", "mine.lock", "mine.pid", "new.lock", "two", "two.lock", "two.pid"]
    assert sorted(os.listdir(run)) == sorted([*left, f"mine.{os.getpid()}.1"])


# -- Folders there -------------------------------------------------------------------------------


class Elsewhere(SshHost):
    """A fake: a host that has one folder, and a home of its own."""

    async def home(self) -> str:
        return "/home/ada"

    async def is_directory(self, path: str) -> bool:
        return path in ("/home/ada", "/home/ada/work", "/scratch")


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("", "/home/ada"),
        ("work", "/home/ada/work"),
        ("~", "/home/ada"),
        ("~/work/", "/home/ada/work"),
        ("work/..", "/home/ada"),
        ("/scratch", "/scratch"),
    ],
)
async def test_folders_begin_at_the_home_there(given: str, found: str, tmp_path: Path) -> None:
    assert await folder(given, str(tmp_path), Elsewhere(name="hpc")) == found


@pytest.mark.parametrize("given", ["nowhere", "/", "~root", "~ada", "a\0b", "\ud800"])
async def test_a_folder_that_is_not_there_is_named_with_its_host(
    given: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidRequest, match="on hpc") as caught:
        await folder(given, str(tmp_path), Elsewhere(name="hpc"))
    assert [error.field for error in caught.value.errors] == ["cwd"]


async def test_a_host_that_sees_our_files_has_folders_as_this_machine(tmp_path: Path) -> None:
    shared = Elsewhere(name="hpc", shared_home=True)
    assert await folder("work", "/home/ada", shared) == "/home/ada/work"
    assert await folder("", "/scratch", shared) == "/scratch"
    with pytest.raises(InvalidRequest, match=r"cwd: 'work' is not a directory that you may enter"):
        await folder("work", str(tmp_path), shared)


# -- The far end ---------------------------------------------------------------------------------


@pytest.fixture
def there(short_path: Path) -> Path:
    """The far end's files, as they are put on a host."""
    code = short_path / "kept" / "code-1"
    code.mkdir(parents=True)
    files = {**runner.sources(), "remote.py": Path(remote.__file__).read_bytes()}
    for name, content in files.items():
        (code / name).parent.mkdir(exist_ok=True)
        (code / name).write_bytes(content)
    return short_path / "kept"


def call(there: Path, verb: str, **payload: Any) -> Any:
    """What a verb answers, run as a host runs it."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(there / "code-1" / "remote.py"), verb, MARK],
        input=json.dumps(payload).encode() + b"\n",
        capture_output=True,
        check=True,
    )
    _, found, answer = done.stdout.partition(MARK.encode())
    assert found, done.stderr
    return json.loads(answer)


def test_it_runs_on_an_old_python() -> None:
    ast.parse(Path(remote.__file__).read_text(), feature_version=(3, 6))


def test_it_says_what_is_there(there: Path, tmp_path: Path) -> None:
    wanted = [
        ("program", "sh"),
        ("program", "no-such"),
        ("python", "pytest"),  # which only the packages' folder has, and -S leaves that out
        ("python", "no_such.module"),
        ("file", "{prefix}/bin/python"),
        ("directory", str(tmp_path)),
        ("readable", str(tmp_path)),
    ]
    answer = call(there, "have", wanted=wanted)
    assert answer == {"there": [True, False, True, False, True, True, False]}


def test_it_runs_commands_without_a_shell(there: Path) -> None:
    argv = ["sh", "-c", "printf '%s' \"$1$A\"; cat; exit 4", "sh", "$(touch x)\n"]
    payload = {"env": {"A": "b"}, "timeout": 20, "stdin": base64.b64encode(b"\0").decode()}
    answer = call(there, "run", argv=argv, **payload)
    assert (answer["code"], base64.b64decode(answer["stdout"])) == (4, b"$(touch x)\nb\0")
    assert "missing" in call(there, "run", argv=["no-such"], **payload)
    payload["timeout"] = 0.2
    assert call(there, "run", argv=["sleep", "600"], **payload) == {"late": True}


def test_folders_are_kept_once(there: Path) -> None:
    files = [["a.py", 0o755, base64.b64encode(b"x").decode()], ["b/c", 0o644, ""]]
    assert call(there, "receive", name="app1", files=None) == {"path": None}
    path = call(there, "receive", name="app1", files=files)["path"]
    assert path == str(there / "apps" / "app1")
    assert (there / "apps" / "app1" / "a.py").read_bytes() == b"x"
    modes = [stat.S_IMODE(p.stat().st_mode) for p in sorted((there / "apps").rglob("*"))]
    assert modes == [0o700, 0o700, 0o700, 0o600]
    assert call(there, "receive", name="app1", files=None) == {"path": path}
    assert os.listdir(there / "apps") == ["app1"]


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/../../x"])
def test_nothing_is_kept_outside_its_folder(there: Path, name: str) -> None:
    answer = call(there, "receive", name="app1", files=[[name, 0o644, ""]])
    assert "not inside" in answer["error"]
    assert "error" in call(there, "receive", name=name, files=[])
    assert os.listdir(there / "apps") == []


def test_what_has_ended_is_forgotten_and_what_runs_is_not(there: Path) -> None:
    directory = there / "sessions" / "kabc" / "2"
    launch = {"version": 1, "session": "kabc", "attempt": 2, "argv": ["sleep", "600"]}
    launch |= {"fields": {}, "env": {}, "cwd": "/", "make": [str(directory.parent / "state")]}
    handle = call(there, "start", directory=str(directory), **launch)
    assert handle["pid"]
    (directory.parent / "1").mkdir()
    assert call(there, "forget", session="kabc", before=2) == {}
    assert sorted(os.listdir(directory.parent)) == ["2", "state"]
    assert "still runs" in call(there, "forget", session="kabc", before=None)["error"]
    assert call(there, "stop", directory=str(directory), wait=15)["status"] == "ended"
    assert call(there, "forget", session="kabc", before=None) == {}
    assert call(there, "forget", session="kabc", before=None) == {}
    assert os.listdir(there / "sessions") == []
    assert "error" in call(there, "forget", session="../sessions", before=None)


def test_copies_that_nobody_has_used_for_long_go(there: Path) -> None:
    def copy(name: str, days: float) -> Path:
        path = there / name
        path.mkdir(parents=True)
        (path / "a.py").write_text("x")
        os.utime(path, (time.time() - days * 24 * 3600,) * 2)
        return path

    old, young, running = copy("code-old", 50), copy("code-young", 20), copy("code-running", 40)
    used, unused, wanted = copy("apps/used", 40), copy("apps/unused", 40), copy("apps/wanted", 40)
    half = copy("apps/wanted.0123456789ab", 40)
    attempt = there / "sessions" / "klong" / "1"
    attempt.mkdir(parents=True)
    (attempt / "launch.json").write_text(json.dumps({"fields": {"app_dir": str(used)}}))
    os.utime(attempt / "launch.json", (time.time() - 40 * 24 * 3600,) * 2)
    os.utime(there / "code-1", (0, 0))  # what runs is in use
    assert call(there, "receive", name="wanted", files=None) == {"path": str(wanted)}
    ended = there / "sessions" / "kabc" / "1"
    ended.mkdir(parents=True)
    with (there / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # somebody starts a session at that very moment
        assert call(there, "forget", session="kabc", before=None) == {}
        assert all(path.exists() for path in (old, young, running, used, unused, wanted, half))
    ended.mkdir(parents=True)
    assert call(there, "forget", session="kabc", before=None) == {}
    left = [path.name for path in (old, young, running, used, unused, wanted, half)]
    left = [name for name in left if list(there.rglob(name))]
    assert left == ["code-young", "code-running", "used", "wanted"]
    assert (there / "code-1" / "remote.py").exists()


@pytest.mark.parametrize("payload", [{}, {"wanted": 5}, {"wanted": [["magic", "x"]]}])
def test_a_wrong_payload_is_an_answer_too(there: Path, payload: dict[str, Any]) -> None:
    assert "payload is wrong" in call(there, "have", **payload)["error"]


def test_a_log_is_followed_over_a_rotation_until_the_reader_goes(
    there: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-I", "-S", str(there / "code-1" / "remote.py"), "follow", MARK]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as follower:
        assert follower.stdin is not None
        assert follower.stdout is not None
        payload = {"path": str(log), "lines": 1, "follow": True}
        follower.stdin.write(json.dumps(payload).encode() + b"\n")
        follower.stdin.flush()
        assert follower.stdout.readline() == f"{MARK}{{}}\n".encode()
        log.write_bytes(b"zero\none\n")  # it was not there yet
        assert follower.stdout.readline() == b"one\n"
        with log.open("ab") as more:
            more.write(b"two\n")
        assert follower.stdout.readline() == b"two\n"
        log.rename(tmp_path / "log.1")
        log.write_bytes(b"three\n")
        assert follower.stdout.readline() == b"three\n"
        follower.stdin.close()
        assert follower.wait(20) == 0


async def test_a_host_without_a_client_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, short_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(short_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_path))
    place = host()
    with pytest.raises(Unreachable, match="apt install openssh-client"):
        await place.home()
    began = time.monotonic()
    assert "openssh-client" in await place.available()  # at once: it was tried a moment ago
    assert time.monotonic() - began < 2
    await place.close()
