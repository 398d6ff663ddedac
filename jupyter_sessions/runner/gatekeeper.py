"""The gate before an app: started, looked after, and started again if it dies."""

import contextlib
import json
import os
import subprocess
import sys
from typing import Optional

from .archive import PROGRAM
from .children import Children
from .environment import clean_environment
from .errors import StartError
from .files import Json, read_json
from .log import Log
from .processes import ATTEMPT


class Gatekeeper:
    """Keeps a gate open before an app; see ``gate``.

    Parameters
    ----------
    behind
        Where the app itself listens.
    """

    def __init__(self, directory: str, behind: Json, children: Children, log: Log) -> None:
        self._directory = directory
        self._behind = behind
        self._children = children
        self._log = log
        self._pid: Optional[int] = None
        self._life: Optional[int] = None
        self._trouble = ""
        self.address: Optional[Json] = None
        """Where the gate can be reached, once it has been open."""

    def tend(self) -> None:
        """See to it that there is a gate. Raises StartError if there cannot be one."""
        if self._pid is None:
            self._pid = self._start()
            return
        told: Json = {}
        with contextlib.suppress(OSError, ValueError):
            told = read_json(os.path.join(self._directory, "gate.json"))
        told = told if told.get("pid") == self._pid else {}
        trouble = str(told.get("error") or "")
        if "port" in told:
            self.address = {"scheme": "gate", "host": told["host"], "port": told["port"]}
        if not self._children.has_ended(self._pid):
            return
        if trouble and self.address is None:
            raise StartError(f"The way to the app cannot be opened. {trouble}")
        if trouble != self._trouble or not trouble:
            self._log.say(f"The gate has ended, another one is started. {trouble}".strip())
        self._trouble = trouble
        self._pid = self._start()

    def close(self) -> None:
        """Let the gate end, now that there is nothing behind it."""
        if self._life is not None:
            os.close(self._life)
            self._life = None

    def _start(self) -> int:
        """Start the gate; it ends with us, as it reads a pipe that only we can write to."""
        self.close()
        life, self._life = os.pipe()
        env = clean_environment()
        env[ATTEMPT.encode()] = self._children.mark.encode()
        command = [sys.executable, "-I", "-S", PROGRAM, "gate"]
        try:
            child = subprocess.Popen(
                [*command, self._directory, json.dumps(self._behind)],
                cwd="/",
                env=env,
                stdin=life,
                stdout=self._children.output.sink,
                stderr=self._children.output.sink,
                start_new_session=True,
            )
        finally:
            os.close(life)
        return self._children.take(child)
