"""A machine that is reached by SSH: through OpenSSH's client, as its user has configured it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from traitlets import Bool, Float, Int, List, TraitError, Unicode, default, validate

from ..errors import SpawnerError, Unreachable
from ..routes import Address
from . import remote
from .back import listening
from .base import Completed, Host
from .client import Client, arguments
from .mux import Channel
from .openssh import MISSED, Link
from .sending import LOADER, PLACE_PROGRAM, code, read_folder

HAVE_SECONDS = 10.0
"""Seconds that an answer about programs there is good for."""
SHOWN_WITHIN = 3.0
"""Seconds that people wait to see whether it can be used; after that it goes on connecting."""
FOLLOWERS = 4
"""Logs that are followed at a time: each takes one of the connection's sessions."""
PATIENCE: Mapping[str, float] = {"poll": 10, "usage": 10, "stop": 45}
"""Seconds that a verb may take there; 30 if it is not named. A stop waits for the app's grace."""

PLACE = r"(~/|/)[\w.@+/-]*"
PROGRAM = r"[\w.~/][\w.@+~/-]*"
TARGET = r"[\w.:%\[][\w.:%@\[\]+-]*"
OPTION = r"[A-Za-z]+=[^\n\r\0]+"


class SshHost(Host):
    """A machine that is reached by SSH.

    Logging in, keys, agents, jump hosts and the like are OpenSSH's business, by the user's own
    ``~/.ssh/config`` and what is configured here. Nothing has to be installed there but Python.
    """

    address = Unicode(
        help="The host's name, as after `ssh`: one of `~/.ssh/config`, of the network, or an IP."
    ).tag(config=True)
    user = Unicode(help="The account there. What `~/.ssh/config` says, if empty.").tag(config=True)
    port = Int(0, min=0, max=65535, help="The port there. What `~/.ssh/config` says, if 0.").tag(
        config=True
    )
    identity_file = Unicode(
        help="The private key to use. What `~/.ssh/config` and the agent offer, if empty."
    ).tag(config=True)
    config_file = Unicode(
        help="OpenSSH's configuration to use, in place of the user's and the machine's."
    ).tag(config=True)
    options = List(
        Unicode(), help='Further options of OpenSSH: `["ProxyJump=gate.example.org"]`.'
    ).tag(config=True)
    python = Unicode(
        "python3",
        help="""The Python there, 3.6 or later: a name on the PATH of `ssh HOST env`, or a path.
        Apps see it as `{python}`, and find the programs beside it.""",
    ).tag(config=True)
    directory = Unicode(
        "~/.local/share/jupyter-sessions",
        help="Where sessions are kept there: a directory of the user's own, made with mode 0700.",
    ).tag(config=True)
    shared_home = Bool(
        False,
        help="""Whether it sees this machine's files, the user's home above all, under the same
        paths. Folders are then chosen as for this machine, and logs lie in the store here.""",
    ).tag(config=True)
    connect_timeout = Float(
        10, min=1, help="Seconds that connecting may take, and again that logging in may."
    ).tag(config=True)
    keepalive = Int(
        2,
        min=0,
        help=f"""Seconds between questions to the host whether it is still there. Connections to
        a host that leaves {MISSED} without an answer are given up and made again. 0: it is
        never asked, and a link that went silent may hang for many minutes.""",
    ).tag(config=True)
    ciphers = Unicode(
        "^aes128-gcm@openssh.com,aes256-gcm@openssh.com",
        help="""OpenSSH's `Ciphers`. AES-GCM first: it is the fastest where processors have AES.
        Empty: what `~/.ssh/config` says.""",
    ).tag(config=True)
    max_sessions = Int(
        8,
        min=1,
        help="""Commands at a time. Must be below `MaxSessions` of the SSH server, which is 10
        unless somebody changed it.""",
    ).tag(config=True)

    @default("poll_interval")
    def _poll_interval(self) -> float:
        return 2.0

    @validate("address", "user", "python", "directory")
    def _plain(self, proposal: Any) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        patterns = {"python": PROGRAM, "directory": PLACE}
        return _fit(name, value, patterns.get(name, TARGET), empty=name == "user")

    @validate("options")
    def _options(self, proposal: Any) -> Any:
        return [_fit("options", option, OPTION) for option in proposal["value"]]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._far: dict[str, str] = {}
        self._placing: asyncio.Lock = asyncio.Lock()
        self._known: dict[tuple[str, str], tuple[float, bool]] = {}
        self._followers = asyncio.Semaphore(FOLLOWERS)
        self._greeting: asyncio.Task[str] | None = None

    @property
    def same_files(self) -> bool:
        return self.shared_home

    @cached_property
    def link(self) -> Link:
        """The connection. Made when it is first needed."""
        if not self.address:
            raise SpawnerError(f"SessionManager.hosts[{self.name!r}] has no `address`.")
        parts: list[str] = []
        if self.config_file:
            parts += ["-F", os.path.expanduser(self.config_file)]  # noqa: PTH111 - text for ssh
        if self.port:
            parts += ["-p", str(self.port)]
        if self.user:
            parts += ["-l", self.user]
        if self.identity_file:
            parts += ["-i", os.path.expanduser(self.identity_file)]  # noqa: PTH111
        alive = [f"ServerAliveInterval={self.keepalive}", f"ServerAliveCountMax={MISSED}"]
        ciphers = [f"Ciphers={self.ciphers}"] if self.ciphers else []
        parts += arguments([*self.options, *alive, *ciphers])
        client = Client(self.name or self.address, self.address, tuple(parts), self.connect_timeout)
        return Link(client, self.max_sessions, self.log)

    async def close(self) -> None:
        if self._greeting is not None:
            self._greeting.cancel()
        if "link" in self.__dict__:
            await self.link.close()

    async def available(self) -> str:
        if self._greeting is None or self._greeting.done():
            self._greeting = asyncio.create_task(self._greet(), name=f"ssh-greet-{self.name}")
        await asyncio.wait([self._greeting], timeout=SHOWN_WITHIN)
        if not self._greeting.done():
            return f"{self.name} has not answered yet: it is tried again by itself."
        return self._greeting.result()

    async def _greet(self) -> str:
        try:
            await self.link.ensure()
            await self._placed()
        except SpawnerError as error:
            return error.message
        return ""

    # What runs there ------------------------------------------------------------------------

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout: float = 30,
        env: Mapping[str, str | None] | None = None,
    ) -> Completed:
        payload = {
            "argv": list(argv),
            "env": dict(env or {}),
            "timeout": timeout,
            "stdin": base64.b64encode(stdin).decode(),
        }
        # The command's own time counts there; the way to it comes on top.
        answer = await self._call("run", payload, timeout + 5)
        if "missing" in answer:
            raise SpawnerError(
                f"{argv[0]} cannot be run on {self.name}: {answer['missing']}.",
                reason="no_program",
            )
        if "late" in answer:
            raise Unreachable(f"{argv[0]} has not answered on {self.name} within {timeout:g} s.")
        out, err = (base64.b64decode(answer[key]) for key in ("stdout", "stderr"))
        return Completed(int(answer["code"]), out, err)

    async def runner(self, verb: str, payload: dict[str, Any]) -> dict[str, Any]:
        return await self._call(verb, payload, PATIENCE.get(verb, 30))

    async def runner_file(self) -> str:
        return f"{(await self._placed())['code']}/runner/__main__.py"

    # What is there --------------------------------------------------------------------------

    async def have(self, wanted: Sequence[tuple[str, str]]) -> list[bool]:
        now = time.monotonic()
        self._known = {k: v for k, v in self._known.items() if v[0] > now}
        if unknown := [pair for pair in dict.fromkeys(wanted) if pair not in self._known]:
            there = (await self._call("have", {"wanted": unknown}, 30))["there"]
            found = dict(zip(unknown, map(bool, there), strict=True))
            # People make folders and files, and use them at once.
            lasting = {k: v for k, v in found.items() if k[0] in ("program", "python", "file")}
            until = time.monotonic() + HAVE_SECONDS
            self._known |= {pair: (until, answer) for pair, answer in lasting.items()}
        else:
            found = {}
        return [found[p] if p in found else self._known[p][1] for p in wanted]

    async def home(self) -> str:
        return (await self._placed())["home"]

    # Where things are kept ------------------------------------------------------------------

    async def send(self, folder: Path) -> str:
        files = await asyncio.to_thread(read_folder, folder)
        digest = hashlib.sha256(json.dumps(files).encode()).hexdigest()
        payload: dict[str, Any] = {"name": digest[:16], "files": None}
        answer = await self._call("receive", payload, 30)
        if answer["path"] is None:
            answer = await self._call("receive", {**payload, "files": files}, 120)
        return str(answer["path"])

    async def attempt_directory(self, local: Path, session_id: str, attempt: int) -> str:
        if not self.shared_home:
            return await self._session(session_id, str(attempt))
        # This machine has made the folder that it is in.
        if local.parent.is_dir() and not await self.is_directory(str(local.parent)):
            raise SpawnerError(
                f"{self.name} does not see the files of this machine: there is no {local.parent}."
                " Remove its `shared_home`, or name a folder for Jupyter's data that both share.",
                reason="not_shared",
            )
        return str(local)

    async def state_directory(self, local: Path, session_id: str) -> str:
        return str(local) if self.shared_home else await self._session(session_id, "state")

    async def _session(self, session_id: str, name: str) -> str:
        return f"{(await self._placed())['base']}/sessions/{session_id}/{name}"

    async def forget(self, session_id: str, before: int | None = None) -> None:
        if not self.shared_home:
            await self._call("forget", {"session": session_id, "before": before}, 30)

    async def follow(self, path: str, lines: int, follow: bool) -> AsyncIterator[bytes]:
        payload = {"path": path, "lines": lines, "follow": follow}
        if not follow:
            # All that there is comes at once, and ends.
            mark, line = _input(payload)
            done = await self._command("follow", mark, line, 30)
            _, rest = self._answer(mark, done)
            yield rest
            return
        await self._placed()
        async with self._followers:
            mark, line = _input(payload)
            async with self.link.session(self._far_command("follow", mark), 30) as (_, channel):
                channel.stdin.write(line)
                await self._skip_greeting(mark, channel.stdout)
                while chunk := await channel.stdout.read(remote.CHUNK):
                    yield chunk
        raise Unreachable(f"The connection to {self.name} was lost while its log was read.")

    async def _skip_greeting(
        self, mark: str, stdout: asyncio.StreamReader, otherwise: str = "did not give the log"
    ) -> dict[str, Any]:
        """Read up to the end of the answer's line; raise what it says, or `otherwise`."""
        try:
            await stdout.readuntil(mark.encode())
            answer: dict[str, Any] = json.loads(await stdout.readline())
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            raise Unreachable(f"{self.name} {otherwise}.") from None
        if "error" in answer:
            raise self._failed(answer)
        return answer

    # How it is reached ----------------------------------------------------------------------

    def connect(self, address: Address) -> AbstractAsyncContextManager[Address]:
        return self._tunnel(address)

    @property
    def back(self) -> SshHost:
        return self

    def listening(
        self, host: str, ports: Sequence[int], here: str
    ) -> AbstractAsyncContextManager[tuple[int, asyncio.Event]]:
        """See `LeadsBack.listening`."""
        return listening(self.link, host, ports, here)

    @asynccontextmanager
    async def program(
        self, source: str, payload: Mapping[str, Any], beat: float
    ) -> AsyncIterator[tuple[dict[str, Any], asyncio.Task[None]]]:
        """See `LeadsBack.program`."""
        mark, line = _input(dict(payload))
        command = f"exec {self.python} -I -S -c '{LOADER}' {mark}"
        async with self.link.session(command, 30) as (_, channel):
            channel.stdin.write(repr(source).encode() + b"\n" + line)
            told = await self._skip_greeting(mark, channel.stdout, "did not run a program of ours")
            task = asyncio.create_task(_beat(channel, beat), name="ssh-program")
            try:
                yield told, task
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def jump(self) -> list[str]:
        return [f"ProxyCommand={await self.link.jump()}"]

    @asynccontextmanager
    async def _tunnel(self, address: Address) -> AsyncIterator[Address]:
        if address.scheme in ("tls", "gate"):
            raise SpawnerError("An app that speaks TLS itself cannot be reached through SSH.")
        here = await self.link.forward(address)
        try:
            yield Address.unix(here)
        finally:
            await self.link.cancel(here)

    # The far end ----------------------------------------------------------------------------

    async def _call(self, verb: str, payload: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Call a verb of ``remote.py`` there."""
        mark, line = _input(payload)
        done = await self._command(verb, mark, line, timeout)
        return self._answer(mark, done)[0]

    async def _command(self, verb: str, mark: str, line: bytes, timeout: float) -> Completed:
        await self._placed()
        done = await self.link.run(self._far_command(verb, mark), line, timeout)
        gone = (b"can't open file" in done.stderr) or (b"No module named" in done.stderr)
        if mark.encode() not in done.stdout and gone:
            self._far.clear()  # somebody has cleaned up there
            await self._placed()
            done = await self.link.run(self._far_command(verb, mark), line, timeout)
        return done

    def _far_command(self, verb: str, mark: str) -> str:
        # All of it is ours or the administrator's, and needs no quotes in any shell.
        return f"exec {self.python} -I -S {self.directory}/{code()[0]}/remote.py {verb} {mark}"

    async def _placed(self) -> dict[str, str]:
        """Where things are there, once our files have been put there."""
        if self._far:
            return self._far
        async with self._placing:
            if not self._far:
                name, files = code()
                mark, _ = _input({})
                payload = {"mark": mark, "directory": self.directory, "name": name, "files": files}
                program = repr(PLACE_PROGRAM).encode() + b"\n"
                line = json.dumps(payload).encode() + b"\n"
                command = f"exec {self.python} -c '{LOADER}'"
                done = await self.link.run(command, program + line, 30)
                answer, _ = self._answer(mark, done)
                if "old" in answer:
                    raise SpawnerError(
                        f"{self.python} on {self.name} is Python {answer['old']}; 3.6 or later is"
                        " needed: set `python` of the host to one that is.",
                        reason="no_python",
                    )
                if "unusable" in answer:
                    raise SpawnerError(
                        f"Nothing can be kept on {self.name} in {answer['unusable']}:"
                        f" {answer['why'].lower()}. Mend that, or set `directory` of the host to"
                        " a place there that you may write.",
                        reason="no_directory",
                    )
                self._far = {key: str(value) for key, value in answer.items()}
        return self._far

    def _answer(self, mark: str, done: Completed) -> tuple[dict[str, Any], bytes]:
        """What the far end has said, and what came after that line."""
        _, found, rest = done.stdout.partition(mark.encode())
        if not found:
            raise self._no_answer(done)
        line, _, rest = rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise self._failed(answer)
        return answer, rest

    def _failed(self, answer: Mapping[str, Any]) -> SpawnerError:
        """The error that the far end has told."""
        if answer.get("full"):
            return SpawnerError(
                f"There is no space left on {self.name}, on its disk or in your quota, for what"
                f" sessions write there ({answer['error']}): make room, or set `directory` of the"
                " host to a place that has some.",
                reason="no_space",
            )
        return SpawnerError(str(answer["error"]))

    def _no_answer(self, done: Completed) -> SpawnerError:
        """Why a command there has ended without a word."""
        said = (done.stderr or done.stdout).decode("utf-8", "replace").strip()
        last = said.splitlines()[-1][:300] if said else ""
        if done.code == -1:
            return Unreachable(f"The connection to {self.name} was lost.")
        if done.code == 127 or "not found" in last:
            return SpawnerError(
                f"There is no {self.python} on {self.name}: install Python 3.6 or later there, or"
                " set `python` of the host to where it is.",
                reason="no_python",
            )
        return SpawnerError(
            f"Your login shell on {self.name} did not run {self.python} (code {done.code};"
            f" {last or 'it says nothing'}). `{self.link.client.command} {self.python} --version`"
            " has to work in a terminal, and without questions: a start-up file that ends, replaces"
            " the shell, or reads its input is in the way."
        )


def _fit(name: str, value: str, pattern: str, *, empty: bool = False) -> str:
    if not (empty and not value) and not re.fullmatch(pattern, value):
        raise TraitError(f"{name}: {value!r} is not of the form {pattern}")
    return value


async def _beat(channel: Channel, seconds: float) -> None:
    """Tell a program that somebody is here, each so many seconds, until it ends."""
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                if not await channel.stdout.read(remote.CHUNK):
                    return
        channel.stdin.write(b"\n")


def _input(payload: dict[str, Any]) -> tuple[str, bytes]:
    """A mark that nobody knows, and `payload` as a line of input."""
    return f"js-{secrets.token_hex(8)}:", json.dumps(payload).encode() + b"\n"
