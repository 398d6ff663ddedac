"""SSH as people have it: configurations, jump hosts, agents, shells, homes and disks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_sessions.errors import Unreachable
from jupyter_sessions.hosts.base import Host
from jupyter_sessions.places import build_hosts

from ..managers import running, stop
from .far import USER, FarMachine
from .overssh import apart, settings, trouble
from .server import Home, wait

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make another machine")

KEPT = "/home/ada/.local/share/jupyter-sessions"
Configure = Callable[..., str]


@pytest.fixture(scope="module")
def far() -> Iterator[FarMachine]:
    machine = FarMachine()
    yield machine
    machine.stop()


@pytest.fixture(scope="module")
def behind(far: FarMachine) -> Iterator[FarMachine]:
    """A machine that is reached from `far` alone."""
    machine = FarMachine(behind=far)
    yield machine
    machine.stop()


@pytest.fixture(autouse=True)
def runtime(monkeypatch: pytest.MonkeyPatch, short_path: Path) -> Path:
    """Where the connections of a test are: nobody else uses them."""
    path = short_path / "run"
    path.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return path


@pytest.fixture
def configuration(far: FarMachine, short_path: Path) -> Configure:
    """Writes a configuration of OpenSSH's client; a machine's account is under its name."""

    def write(text: str, key: Path | str = far.base / "user_key") -> str:
        path = short_path / "ssh_config"
        path.write_text(
            f"{text}\nHost far\n  HostName {far.address}\nHost *\n  User {USER}\n"
            f"  UserKnownHostsFile {far.known_hosts}\n  GlobalKnownHostsFile /dev/null\n"
            + (f"  IdentityFile {key}\n  IdentitiesOnly yes\n" if key else "")
        )
        return str(path)

    return write


def runs(far: FarMachine, root: Path, **traits: Any) -> dict[str, Any]:
    """A session there that has run, answered, and ended; nothing of it is left."""
    spawner = {"class": "process", "host": "far"}

    async def go() -> dict[str, Any]:
        configured = {"hosts": {"far": settings(far, **traits)}, "spawners": {"far": spawner}}
        async with running(root, **configured) as manager, asyncio.timeout(120):
            session = await manager.create({"app": "files", "spawner": "far"})
            seen = await manager.wait_for(session.id, lambda s: s.state == "running" or s.ended)
            assert seen.state == "running", seen.attempt.message
            assert (await stop(manager, session)).state == "stopped"
            await manager.delete(session.id)
            return {"host": seen.attempt.host, "cwd": seen.cwd}

    return apart(go)


def check(home: Home, ssh: Path, name: str) -> dict[str, Any]:
    """What ``jupyter sessions spawners check`` finds, with `ssh` as the user's ``~/.ssh``."""
    command = 'mount --bind "$0" ~root/.ssh && exec jupyter sessions spawners check "$1" --json'
    (Path("~root").expanduser() / ".ssh").mkdir(mode=0o700, exist_ok=True)
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", command, str(ssh), name],
        env=home.env,
        cwd=home.work,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# -- The user's own configuration ----------------------------------------------------------------

HOSTILE = """
  ControlMaster auto
  ControlPath ~/.ssh/mine-%C
  ControlPersist 60
  RemoteCommand tmux attach || tmux
  RequestTTY force
  ForwardX11 yes
  ForwardAgent yes
  LocalForward {base}/forwarded localhost:80
  RemoteForward 18081 localhost:80
  ExitOnForwardFailure yes
  PermitLocalCommand yes
  LocalCommand touch {base}/local-command
  VisualHostKey yes
  LogLevel DEBUG1
  SessionType none
  StdinNull yes
  Compression yes
  BatchMode no
  StrictHostKeyChecking ask
  ServerAliveInterval 0
"""


@pytest.mark.parametrize("name", ["node", "node.cluster", "settled"])
def test_what_people_have_in_their_ssh_folder_is_all_that_is_needed(
    far: FarMachine, behind: FarMachine, short_path: Path, name: str
) -> None:
    home, ssh = Home(), short_path / "ssh"
    (ssh / "conf.d").mkdir(parents=True)
    (ssh / "known_hosts").write_text(
        f"{far.address} {(far.base / 'host_key.pub').read_text()}"
        f"the-node {(behind.base / 'host_key.pub').read_text()}"
    )
    (ssh / "conf.d" / "nodes").write_text(
        f'Match host "*.cluster"\n  User {USER}\n'
        f"Host node node.cluster\n  HostName {behind.address}\n  HostKeyAlias the-node\n"
        f"  IdentityFile {behind.base}/user_key\n"
        f"Host node\n  User {USER}\n  ProxyJump gate\n"
        "Host node.cluster\n  ProxyCommand ssh -W %h:%p gate\n"
    )
    (ssh / "config").write_text(
        "Include conf.d/*\nHost gate settled\n"
        f"  HostName {far.address}\n  User {USER}\n  IdentityFile {far.base}/user_key\n"
        f"Host settled\n{HOSTILE.format(base=short_path)}"
    )
    for path in ssh.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    home.env["XDG_RUNTIME_DIR"] = os.environ["XDG_RUNTIME_DIR"]
    (home.path / ".ssh").symlink_to(ssh)  # where Include looks, by $HOME
    config = home.path / ".jupyter" / "jupyter_server_config.py"
    config.parent.mkdir()
    spec = {"class": "ssh", "address": name, "python": "/opt/venv/bin/python"}
    config.write_text(
        f"c.SessionManager.hosts = {{'it': {spec!r}}}\n"
        "c.SessionManager.spawners = {'it': {'class': 'process', 'host': 'it'}}\n"
    )
    try:
        found = check(home, ssh, name="it")
    finally:
        home.remove()
    assert (found["works"], found["left"]) == (True, ""), found
    assert found["node"] == (far if name == "settled" else behind).name
    assert sorted(p.name for p in ssh.iterdir()) == ["conf.d", "config", "known_hosts"]
    assert not (short_path / "forwarded").exists()
    assert not (short_path / "local-command").exists()


def test_a_connection_of_the_users_own_is_neither_used_nor_ended(
    far: FarMachine, configuration: Configure, short_path: Path
) -> None:
    theirs = short_path / "theirs"
    config = configuration(
        f"Host far\n  ControlMaster auto\n  ControlPath {theirs}\n  ControlPersist yes"
    )
    ssh = ["ssh", "-F", config]
    subprocess.run([*ssh, "far", "true"], check=True, stderr=subprocess.DEVNULL)
    alive = [*ssh, "-O", "check", "far"]
    try:
        before = subprocess.run(alive, capture_output=True, check=True).stderr
        assert runs(far, short_path / "store", config_file=config)["host"] == far.name
        assert subprocess.run(alive, capture_output=True, check=True).stderr == before
    finally:
        subprocess.run([*ssh, "-O", "exit", "far"], capture_output=True, check=False)


JUMPS = {
    "name": ("Host gate\n  HostName nowhere.invalid", "there is no host gate|nowhere.invalid"),
    "refused": ("Host gate\n  HostName {far}\n  Port 9", "the jump host gate refuses connections"),
    "unknown": (
        "Host gate\n  HostName {far}\n  UserKnownHostsFile /dev/null",
        "the key of the jump host gate is not known yet: run `ssh -F .* node`",
    ),
    "password": (
        "Host gate\n  HostName {far}\n  PubkeyAuthentication no",
        "the jump host gate does not let you in without a password.*ssh-copy-id",
    ),
    "closed": (
        "Host gate\n  HostName {far}\nHost node\n  Port 9",
        r"the jump host gate does not reach it \(Connection refused\)",
    ),
    "command": (
        "Host node\n  ProxyCommand no-such-program %h %p",
        "`ProxyCommand` failed .*no-such-program",
    ),
}


@pytest.mark.parametrize(("text", "says"), JUMPS.values(), ids=JUMPS)
def test_what_is_wrong_on_the_way_is_said_of_whom_it_is_wrong(
    far: FarMachine, behind: FarMachine, configuration: Configure, text: str, says: str
) -> None:
    node = f"Host node\n  HostName {behind.address}\n  ProxyJump gate\n"
    config = configuration(f"{text.format(far=far.address)}\n{node}")
    said = trouble(far, address="node", config_file=config)
    assert said.startswith("On the way to far: ")
    assert re.search(says, said), said


# -- Keys and agents -----------------------------------------------------------------------------


class Agent:
    """An ssh-agent at `path`, with a key that is nowhere else."""

    def __init__(self, far: FarMachine, path: Path, *options: str) -> None:
        self.path = path
        key = path.with_name("key")
        self._process = subprocess.Popen(
            ["ssh-agent", "-D", "-a", str(path)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait(path.exists, 20, "the agent")
        subprocess.run(["ssh-keygen", "-qt", "ed25519", "-N", "", "-f", str(key)], check=True)
        authorized = far.base / "authorized_keys"
        authorized.write_text(authorized.read_text() + key.with_suffix(".pub").read_text())
        env = {**os.environ, "SSH_AUTH_SOCK": str(path)}
        subprocess.run(["ssh-add", "-q", *options, str(key)], env=env, check=True)
        key.unlink()
        key.with_suffix(".pub").unlink()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        self.path.unlink(missing_ok=True)


@pytest.fixture
def agents(far: FarMachine, short_path: Path) -> Iterator[Callable[..., Agent]]:
    before, made = (far.base / "authorized_keys").read_text(), []

    def start(*options: str) -> Agent:
        made.append(Agent(far, short_path / "agent", *options))
        return made[-1]

    yield start
    for agent in made:
        agent.stop()
    (far.base / "authorized_keys").write_text(before)


def test_an_agent_has_the_key_goes_away_and_comes_back(
    far: FarMachine,
    configuration: Configure,
    agents: Callable[..., Agent],
    monkeypatch: pytest.MonkeyPatch,
    short_path: Path,
) -> None:
    agent = agents()
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent.path))
    config = configuration("", key="")

    async def go() -> None:
        host: Host = build_hosts({"far": settings(far, config_file=config)}, None)["far"]
        try:
            assert (await host.run(["hostname"])).stdout.decode().strip() == far.name
            agent.stop()
            assert await host.available() == ""  # who is in stays in
            await asyncio.to_thread(hang_up, short_path)
            await told(host, f"does not answer at {agent.path}")
            with pytest.raises(Unreachable):
                await host.run(["true"])
            await asyncio.to_thread(agents)
            await told(host, "")
        finally:
            await host.close()

    apart(go)


async def told(host: Host, what: str) -> None:
    """Wait until the host says `what` of itself; nothing, if that is empty."""
    async with asyncio.timeout(60):
        while True:
            said = await host.available()
            if what in said and bool(said) == bool(what):
                return
            await asyncio.sleep(0.1)


def hang_up(runtime: Path) -> None:
    """End the connections whose control sockets are below `runtime`."""
    command = ["pkill", "-KILL", "-f", f"ControlPath={runtime}/"]
    subprocess.run(command, check=True)


def test_an_agent_that_wants_to_ask_is_named(
    far: FarMachine,
    configuration: Configure,
    agents: Callable[..., Agent],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agents("-c").path))
    said = trouble(far, config_file=configuration("", key=""))
    assert "that did not sign: it wants to ask you first (`ssh-add -c`" in said


def test_a_key_with_a_passphrase_is_named(
    far: FarMachine, configuration: Configure, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = short_path / "locked"
    subprocess.run(["ssh-keygen", "-qt", "ed25519", "-N", "secret", "-f", str(key)], check=True)
    authorized = far.base / "authorized_keys"
    before = authorized.read_text()
    authorized.write_text(before + key.with_suffix(".pub").read_text())
    try:
        said = trouble(far, config_file=configuration("", key=key))
    finally:
        authorized.write_text(before)
    assert f"Your key {key} has a passphrase" in said
    assert "Jupyter has no agent" in said
    assert "secret" not in said


# -- Shells and start-up files -------------------------------------------------------------------


@pytest.fixture
def account(far: FarMachine) -> Iterator[Callable[..., None]]:
    """Changes the account there for the test."""
    far.run("cp", "-a", "/home/ada/.bashrc", "/tmp/bashrc")
    yield far.account
    far.account()
    far.run("cp", "-a", "/tmp/bashrc", "/home/ada/.bashrc")
    far.run("rm", "-rf", "/home/ada/.local")


@pytest.mark.parametrize("shell", ["/usr/bin/fish", "/bin/tcsh", "/bin/dash"])
def test_any_login_shell_will_do(
    far: FarMachine,
    configuration: Configure,
    account: Callable[..., None],
    short_path: Path,
    shell: str,
) -> None:
    account(shell=shell)
    found = runs(far, short_path / "store", config_file=configuration(""))
    assert found["host"] == far.name


HARMLESS = {
    "chatty": 'for i in `seq 2000`; do echo "=== {welcome} $i ==="; done; echo err >&2\n',
    "terminal": "stty erase ^H; tput clear; mesg n\n",
    "strict": "set -euo pipefail\n",
    "slow": "sleep 3\n",
}


@pytest.mark.parametrize("text", HARMLESS.values(), ids=HARMLESS)
def test_start_up_files_may_be_slow_and_say_a_lot(
    far: FarMachine,
    configuration: Configure,
    account: Callable[..., None],
    short_path: Path,
    text: str,
) -> None:
    far.write("/home/ada/.bashrc", text)
    found = runs(far, short_path / "store", config_file=configuration(""))
    assert found["host"] == far.name


@pytest.mark.parametrize(
    ("shell", "text", "said"),
    [
        ("/bin/bash", "echo hi; exit 0\n", "code 0; hi"),
        ("/bin/bash", "echo 'Use the other node' >&2; exit 3\n", "code 3; Use the other node"),
        ("/bin/bash", "read -p 'Project? ' project\n", "code 1; TypeError"),
        ("/usr/sbin/nologin", "", "code 1; This account is currently not available."),
    ],
)
def test_a_shell_that_does_not_run_commands_is_named(
    far: FarMachine,
    configuration: Configure,
    account: Callable[..., None],
    shell: str,
    text: str,
    said: str,
) -> None:
    account(shell=shell)
    far.write("/home/ada/.bashrc", text)
    sentence = trouble(far, inside=True, config_file=configuration(""))
    assert f"Your login shell on far did not run /opt/venv/bin/python ({said}" in sentence
    assert "far /opt/venv/bin/python --version` has to work in a terminal" in sentence


@pytest.mark.parametrize("umask", ["0000", "0077"])
def test_what_is_kept_there_is_private_whatever_the_umask(
    far: FarMachine,
    configuration: Configure,
    account: Callable[..., None],
    short_path: Path,
    umask: str,
) -> None:
    far.write("/home/ada/.bashrc", f"umask {umask}\n")
    runs(far, short_path / "store", config_file=configuration(""))
    assert far.run("stat", "-c", "%a", "/home/ada/.local", "/home/ada/.local/share", KEPT) == (
        "700\n700\n700\n"
    )


# -- Homes and disks -----------------------------------------------------------------------------


def test_a_home_may_have_any_name(
    far: FarMachine, configuration: Configure, account: Callable[..., None], short_path: Path
) -> None:
    name = '/home/it\'s a "home" $(touch x)'
    account(home=name)
    found = runs(far, short_path / "store", config_file=configuration(""))
    assert found["cwd"] == name
    assert far.files(f"{name}/.local/share/jupyter-sessions/sessions") == []
    assert not far.run("find", "/home", "/tmp", "-name", "x")


@contextlib.contextmanager
def mounted(far: FarMachine, options: str) -> Iterator[None]:
    """Another file system below the home, of which `options` say how it is."""
    place = "/home/ada/.local"
    far.run("rm", "-rf", place)
    far.run("install", "-d", "-o", USER, place)
    far.run("mount", "-t", "tmpfs", "-o", f"uid={4242},mode=0700,{options}", "disk", place)
    try:
        yield
    finally:
        far.run("umount", "-l", place)


@pytest.mark.parametrize(
    ("options", "why"), [("size=64k", "no space left on device"), ("ro", "read-only file system")]
)
def test_a_disk_that_takes_nothing_is_a_sentence(
    far: FarMachine, configuration: Configure, options: str, why: str
) -> None:
    config = configuration("")
    with mounted(far, options):
        said = trouble(far, inside=True, config_file=config)
        assert said.startswith(f"Nothing can be kept on far in {KEPT}: {why}.")
        assert "`directory`" in said
        assert not far.run("find", "/home/ada/.local", "-type", "f")  # nor the half of one


def test_a_home_without_a_right_to_write_is_a_sentence(
    far: FarMachine, configuration: Configure, account: Callable[..., None]
) -> None:
    account(home="/srv/nobody")
    far.run("chown", "root", "/srv/nobody")
    said = trouble(far, inside=True, config_file=configuration(""))
    assert "Nothing can be kept on far in /srv/nobody/.local" in said
    assert ": permission denied." in said


def test_no_place_to_execute_from_is_needed(
    far: FarMachine, configuration: Configure, short_path: Path
) -> None:
    for place in ("/tmp", "/home"):
        far.run("mount", "-o", "remount,noexec", place)
    try:
        assert runs(far, short_path / "store", config_file=configuration(""))["host"] == far.name
    finally:
        for place in ("/tmp", "/home"):
            far.run("mount", "-o", "remount,exec", place)


# -- Networks ------------------------------------------------------------------------------------


def test_an_address_that_swallows_packets_is_a_timeout(
    far: FarMachine, configuration: Configure
) -> None:
    hole = "198.51.100.1"
    subprocess.run(["ip", "route", "add", hole, "via", far.address], check=True)
    try:
        config = configuration(f"Host far\n  HostName {hole}")
        said = trouble(far, config_file=config, connect_timeout=2)
    finally:
        subprocess.run(["ip", "route", "del", hole], check=True)
    assert "far does not answer: it is down, or a firewall" in said


def test_a_login_that_hangs_is_told_from_a_host_that_does_not_answer(
    far: FarMachine,
    configuration: Configure,
    agents: Callable[..., Agent],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agent = agents()
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent.path))
    agent._process.send_signal(19)
    try:
        said = trouble(far, config_file=configuration("", key=""), connect_timeout=8)
    finally:
        agent._process.send_signal(18)
    assert "far answers, but the login does not end" in said
