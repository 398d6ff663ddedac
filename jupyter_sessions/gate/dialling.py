"""For nodes that may dial, but not be dialled."""

import asyncio
import contextlib
import json
import os
import ssl
from typing import Any, Callable, Dict

from .links import OPEN_SECONDS, Json, Link
from .tls import tls_context

SPARE = 8  # links that whoever dials keeps open in advance
LOOK = 1.0  # seconds between looks at the directory


class Dialler:
    """Dials the servers that the files ``dial-*.json`` name, and keeps links to them in advance.

    Parameters
    ----------
    make
        Makes a link of a name of such a file. Who owns it calls `add` and `remove`.
    """

    def __init__(
        self, loop: Any, directory: str, settings: Json, make: Callable[[str], Link]
    ) -> None:
        self._loop = loop
        self._directory = directory
        self._name = str(settings.get("name") or "")
        self._make = make
        self._wanted: Dict[str, asyncio.Event] = {}
        self._idle: Dict[Link, str] = {}
        self._answered: Dict[str, str] = {}

    def add(self, link: Link) -> None:
        """A link is there, and nobody uses it, yet or any more."""
        if link.dialled in self._wanted:
            self._idle[link] = link.dialled
        else:  # nobody is there any more who would want it
            link.close()

    def remove(self, link: Link) -> None:
        """A link that may have been spare is not any more: another takes its place."""
        name = self._idle.pop(link, None)
        if name in self._wanted:
            self._wanted[name].set()

    async def run(self) -> None:
        """Look for servers to dial, for ever."""
        prefix, suffix = "dial-", ".json"
        tasks: Dict[str, Any] = {}
        while True:
            with contextlib.suppress(OSError):
                # Listing, unlike asking for a name, makes an NFS client ask its server.
                names = {
                    name
                    for name in os.listdir(self._directory)
                    if name.startswith(prefix) and name.endswith(suffix)
                }
                for name in names - set(tasks):
                    self._wanted[name] = asyncio.Event()
                    tasks[name] = self._loop.create_task(self._keep(name))
                for name in set(tasks) - names:
                    tasks.pop(name).cancel()
                    del self._wanted[name]
                    for link in [spare for spare, of in self._idle.items() if of == name]:
                        link.close()
            await asyncio.sleep(LOOK)

    async def _keep(self, name: str) -> None:
        """Keep spare links to one server."""
        context = tls_context(self._directory, "gate", "reach", server=False)
        pause = 0.1
        while True:
            wanted = self._wanted[name]
            wanted.clear()
            spare = list(self._idle.values()).count(name)
            missing = SPARE - spare if spare else 4 * SPARE  # many want one at once
            made = await asyncio.gather(*(self._dial(name, context) for _ in range(missing)))
            if all(made):
                pause = 0.1
                await wanted.wait()
            else:
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, 5.0)

    async def _dial(self, name: str, context: ssl.SSLContext) -> bool:
        try:
            with open(os.path.join(self._directory, name), "rb") as file:
                addresses = json.loads(file.read().decode("utf-8"))["addresses"]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        # What answered last time comes first: the others may not answer at all.
        answered = self._answered.get(name)
        addresses.sort(key=lambda address: address[0] != answered)
        for host, port in addresses:
            patience = OPEN_SECONDS / (1 if host == answered else len(addresses))
            try:
                opening = self._loop.create_connection(
                    lambda: self._make(name),
                    host,
                    port,
                    ssl=context,
                    server_hostname=self._name,
                )
                _, link = await asyncio.wait_for(opening, patience)
            except (OSError, asyncio.TimeoutError):
                continue
            if link.made:
                self._answered[name] = host
                return True
        return False
