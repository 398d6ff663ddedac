"""OpenSSH's client for one host: how it is started, and why it failed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import Unreachable
from .complaints import BY_PROXY, explain, explain_agent, explain_key, explain_route

ASKED = 4.0
"""Seconds that what connects to nothing may take: ``ssh -G``, ``ssh-add -l``."""
NO_SURPRISES: Mapping[str, object] = {
    "BatchMode": "yes",
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "LogLevel": "INFO",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    "RequestTTY": "no",
}
"""What people have in their configuration for terminals, and is in the way of programs."""


@dataclass(frozen=True, slots=True)
class Client:
    """How to start OpenSSH's client for a host.

    Parameters
    ----------
    name
        What people call the host.
    address
        What it is called for ``ssh``.
    options
        Arguments before the address.
    connect_timeout
        Seconds that connecting and logging in may take, each.
    """

    name: str
    address: str
    options: tuple[str, ...]
    connect_timeout: float

    @property
    def key(self) -> str:
        """What tells this connection from all others of the user."""
        text = json.dumps([self.address, self.options])
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def command(self) -> str:
        """What connects to the host in a terminal."""
        mine = [o for o in self.options if not o.startswith("-o")]
        return " ".join(["ssh", *mine, self.address])

    async def ssh(
        self, flags: str, options: Mapping[str, object], seconds: float, *command: str
    ) -> tuple[int, str]:
        """Its exit code and what it has written to stderr.

        Raises
        ------
        TimeoutError
            If it has not ended, or gone to the background, within `seconds`; it is killed.
        Unreachable
            If there is no such program.
        """
        limit = {"ConnectTimeout": max(1, round(self.connect_timeout))}
        # The first value of an option counts: ours stand before the administrator's.
        ours = arguments([f"{k}={v}" for k, v in {**options, **limit, **NO_SURPRISES}.items()])
        argv = ["ssh", flags, *ours, *self.options, "--", self.address, *command]
        code, _, stderr = await _run(argv, seconds, stdout=DEVNULL)
        return code, stderr

    def explain(self, stderr: str) -> str:
        return explain(stderr, self.name, self.address, self.command)

    async def why(self, stderr: str) -> str:
        """Why there is no connection, and the remedy: after a look at what OpenSSH keeps quiet.

        Parameters
        ----------
        stderr
            What the client has written.
        """
        found = ""
        with contextlib.suppress(TimeoutError, OSError, ValueError, Unreachable):
            if BY_PROXY in stderr:
                found = await self._route()
            elif "Permission denied" in stderr:
                found = await self._keys(stderr)
        return found or self.explain(stderr)

    async def _route(self) -> str:
        """What went wrong on the way; a master keeps to itself what its jump hosts say."""
        seconds = 2 * self.connect_timeout + 1
        options = {"ControlMaster": "no", "ControlPath": "none", "ControlPersist": "no"}
        code, said = await self.ssh("-T", options, seconds, "true")
        if code == 0 or BY_PROXY not in said:
            return ""
        settings = await self._settings()
        jump = settings.get("proxyjump", [""])[0]
        return explain_route(said, self.name, jump, self.command)

    async def _keys(self, stderr: str) -> str:
        """What is the matter with the keys here, if that can be seen from here."""
        settings = await self._settings()
        agent = settings.get("identityagent", ["SSH_AUTH_SOCK"])[0]
        if agent == "SSH_AUTH_SOCK":
            agent = os.environ.get("SSH_AUTH_SOCK", "")
        agent = "" if agent == "none" else _expanded(agent)
        code = await _keys_of(agent) if agent else 2
        if agent and (code not in (0, 1) or "agent refused" in stderr):
            return explain_agent(stderr, self.name, agent)
        files = map(_expanded, settings.get("identityfile", []))
        locked = [name for name in files if await asyncio.to_thread(_is_encrypted, name)]
        if locked and code != 0:
            return explain_key(stderr, self.name, locked[0], agent)
        return ""

    async def _settings(self) -> Mapping[str, Sequence[str]]:
        """What applies to the host, by OpenSSH's names in lower case."""
        argv = ["ssh", "-G", *self.options, "--", self.address]
        _, stdout, _ = await _run(argv, ASKED)
        found: dict[str, list[str]] = {}
        for line in stdout.splitlines():
            name, _, value = line.partition(" ")
            found.setdefault(name, []).append(value)
        return found


def arguments(options: Sequence[str]) -> tuple[str, ...]:
    """`options` (``Name=value``) as arguments of ``ssh``."""
    return tuple(f"-o{option}" for option in options)


def _expanded(path: str) -> str:
    return os.path.expanduser(path)  # noqa: PTH111 - as `ssh -G` tells it


async def _run(
    argv: Sequence[str],
    seconds: float,
    env: Mapping[str, str] | None = None,
    stdout: int = PIPE,
) -> tuple[int, str, str]:
    """The exit code of one of OpenSSH's programs, its stdout and stderr."""
    # No terminal, no window: whatever wants to ask somebody has to fail.
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "SSH_ASKPASS")
    kept = {k: v for k, v in os.environ.items() if k not in hidden}
    kept |= {"LC_ALL": "C", "SSH_ASKPASS_REQUIRE": "never", **(env or {})}
    try:
        child = await asyncio.create_subprocess_exec(
            *argv, stdin=DEVNULL, stdout=stdout, stderr=PIPE, env=kept, start_new_session=True
        )
    except OSError as error:
        raise Unreachable(
            f"There is no program `{argv[0]}` here ({error.strerror}): install OpenSSH's client"
            " (Debian and Ubuntu: `apt install openssh-client`)."
        ) from error
    try:
        async with asyncio.timeout(seconds):
            out, err = await child.communicate()
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()
    code = child.returncode if child.returncode is not None else -1
    return code, (out or b"").decode("utf-8", "replace"), err.decode("utf-8", "replace")


async def _keys_of(agent: str) -> int:
    """As ``ssh-add -l``: 0 if the agent has keys, 1 if it has none, 2 if it does not answer."""
    try:
        code, _, _ = await _run(["ssh-add", "-l"], ASKED, {"SSH_AUTH_SOCK": agent})
    except TimeoutError:
        return 2
    return code


def _is_encrypted(path: str) -> bool:
    """Whether the private key in the file `path` has a passphrase."""
    try:
        text = Path(path).read_text("ascii")
    except (OSError, ValueError):
        return False
    if "OPENSSH PRIVATE KEY" not in text:
        return "ENCRYPTED" in text
    body = "".join(line for line in text.splitlines() if not line.startswith("-"))
    magic = b"openssh-key-v1\0"
    content = base64.b64decode(body)
    return content.startswith(magic) and content[len(magic) + 4 :][:4] != b"none"
