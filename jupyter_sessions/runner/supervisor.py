"""The loop of a runner: one app, from its start to its end."""

import contextlib
import os
import time
from typing import Dict, List, Optional, Set, Tuple

from .announcements import Announcements
from .children import Children
from .endpoint import Endpoint, remove_endpoint
from .environment import base_fields
from .errors import StartError
from .files import Json
from .gatekeeper import Gatekeeper
from .hooks import Hooks
from .limits import Limit
from .log import Log
from .masks import Mask
from .meter import Meter
from .outcome import end
from .templates import expand_argv, names_in, to_bytes
from .told import StatusFile

TICK = 1.0  # seconds between looks at the directory
PORT_TRIES = 4  # the first port and three others


class Supervisor:
    """Starts the app of one attempt, waits for what comes, and ends it. Lives in a runner only."""

    def __init__(self, directory: str, launch: Json) -> None:
        self._directory = directory
        self._launch = launch
        self._secrets: Dict[str, str] = launch.get("secrets") or {}
        self.mask = Mask(self._secrets.values())
        self._log = Log(directory, launch, self.mask)
        self._grace = float((launch.get("stop") or {}).get("grace") or 0)
        self._env: Dict[str, Optional[str]] = launch.get("env") or {}
        self._nice = int(launch.get("nice") or 0)
        self._meter = Meter(directory)
        self._status = StatusFile(directory, self._log.say)
        self._limit = Limit(directory, launch)
        self._announcements = Announcements(directory, self.mask)
        self._endpoint = Endpoint(directory, launch)
        self._gatekeeper: Optional[Gatekeeper] = None
        self._ready = False
        self._missing = 0  # looks in a row at a directory that is not there
        self._children = Children(directory, launch, self._log)
        self._hooks = Hooks(directory, launch, self._children, self._log)

    def run(self) -> Json:
        """Run the app to its end, whatever that is. Returns the content of ``exit.json``."""
        reason, message = "start_failed", ""
        head = str((self._launch.get("log") or {}).get("head") or "")
        self._log.write(self.mask.text(head).encode("utf-8", "replace"))
        for _ in range(PORT_TRIES):
            message = "Another process took the app's port, again and again. Start it once more."
            try:
                self._start_app()
                reason = self._watch()
                reason, message = self._failure(reason, message)
            except StartError as error:
                reason, message = "start_failed", str(error)
            if reason in ("stopped", "timeout"):
                self._log.say("Stopping." if reason == "stopped" else "Stopping: its time is up.")
                self._hooks.stop()
            left = self._children.sweep(2.0 if reason == "port_taken" else self._grace)
            early = reason == "exited" and not self._ready
            if not (early and self._endpoint.is_port_taken()) and reason != "port_taken":
                break
            self._log.say(f"Another process took port {self._endpoint.port}.")
            reason = "start_failed"
            if self._launch.get("port"):
                port = self._endpoint.port
                message = f"Another process has port {port}, and the app knows no other."
                break
        left = self._hooks.clean() or left
        app = self._children.app
        status = self._children.statuses.get(app) if app is not None else None
        outcome = end(reason, self.mask.text(message), status, left)
        self._children.end_output()
        if self._children.errors is not self._children.output:
            outcome["error"] = self._children.errors.last_line()
        self._log.say(outcome["message"])
        return outcome

    def never_run(self) -> Json:
        """Do what follows the end of an app that was stopped before it began."""
        return end("stopped", "", None, self._hooks.clean())

    def give_up(self) -> List[int]:
        """End everything after an error of the runner's own. Returns the pids that remain."""
        left = self._children.sweep(self._grace)
        with contextlib.suppress(Exception):
            left = self._hooks.clean() or left
        return left

    def clean_up(self) -> None:
        """Remove the endpoint. Called when nothing runs any more."""
        remove_endpoint(self._directory, self._endpoint.temporary)

    def _failure(self, reason: str, message: str) -> Tuple[str, str]:
        """Why the app ended, if it said so itself; perhaps with its last breath."""
        if reason == "exited":
            self._status.look()
        failed = self._status.told.get("failed")
        if failed and reason in ("exited", "app_failed"):
            return "app_failed", str(failed)
        return reason, message

    # Starting

    def _start_app(self) -> None:
        launch = self._launch
        self._status.begin()
        self._announcements.of_told(self._status.told)
        self._limit.check()
        used: Set[str] = set()
        for template in launch["argv"] + [v for v in self._env.values() if v is not None]:
            used |= names_in(template)
        fields = base_fields(self._directory, launch)
        for name, value in self._secrets.items():
            self._write_secret(fields[name + "_file"], value)
        listener = self._endpoint.make(used, fields)
        self._children.fields = fields
        try:
            argv = expand_argv(launch["argv"], fields)
            pass_fds = (listener.fileno(),) if listener else ()
            self._children.app, self._ready = None, False
            if self._gatekeeper is not None:
                self._gatekeeper.close()
                self._gatekeeper = None
            self._children.app = self._children.start(argv, pass_fds, self._nice)
        finally:
            if listener:
                # The app's alone, so that nobody connects to a queue that nobody serves.
                listener.close()
        self._log.say(f"Started {os.fsdecode(argv[0])}, process {self._children.app}.")
        self._announce()

    def _write_secret(self, path: str, value: str) -> None:
        """Make a file with a secret, and nothing else in it."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(to_bytes(value))
        except OSError as error:
            raise StartError(f"A secret cannot be written: {error.strerror}.") from error

    # While it runs

    def _watch(self) -> str:
        """Wait for the app's end or for a reason to end it; say which."""
        tick = probe = 0.0
        delay = 0.01
        while True:
            now = time.monotonic()
            if now >= tick:
                self._look()
                tick = now + TICK
            if now >= self._meter.due:
                self._meter.sample(self._children.mark)
            if self._children.is_asked_to_stop:
                return "stopped"
            if self._status.told.get("failed"):
                return "app_failed"
            if self._children.is_app_over():
                return "exited"
            if self._limit.left <= 0:
                self._limit.look()  # it may have been extended since the last look
                if self._limit.left <= 0:
                    return "timeout"
            if not self._ready and now >= probe:
                if not self._probe():
                    return "port_taken"
                # Soon at first, so that a fast app shows fast; rarely for one that takes minutes.
                delay = min(delay * 1.3, 0.5)
                probe = time.monotonic() + delay
            due = min(tick, self._meter.due)
            due = due if self._ready else min(due, probe)
            self._children.turn(max(0.0, min(due - time.monotonic(), self._limit.left)))

    def _look(self) -> None:
        """Look for what the verbs wrote into the directory."""
        try:
            # Listing it, unlike asking for one name, makes an NFS client ask its server.
            names = os.listdir(self._directory)
        except FileNotFoundError:
            self._missing += 1
            if self._missing >= 10:
                # Somebody removed it: nobody could find, reach or stop this app again.
                self._children.is_asked_to_stop = True
            return
        except OSError:
            return
        self._missing = 0
        if "stop" in names:
            self._children.is_asked_to_stop = True
        if "ready" in names:
            self._hooks.after()
        if "limit.json" in names:
            self._limit.look()
        self._status.look()
        self._announcements.of_told(self._status.told)
        if self._gatekeeper is not None and self._ready:  # before that, each probe does
            self._gatekeeper.tend()
        self._announce()

    def _announce(self) -> None:
        """Write what is new about the app into the directory."""
        facts: Json = {
            "started": self._limit.started,
            "pid": self._children.app,
            "deadline": self._limit.deadline,
            "temporary": self._endpoint.temporary,
        }
        keeper = self._gatekeeper
        address = self._endpoint.address if keeper is None else keeper.address
        self._announcements.of_app(facts, self._ready, address)

    # Readiness

    def _is_held(self) -> bool:
        """Whether the app says that it is not ready, whatever listens."""
        return self._status.told.get("ready") is False

    def _probe(self) -> bool:
        """See whether the app listens (`_ready`). False if somebody else does in its place."""
        if self._is_held():
            return True  # the next look may tell otherwise
        listens = self._endpoint.look(self._status.told, self._children.members)
        if self._launch.get("reports_port"):
            self._children.fields["port"] = self._endpoint.port
        if listens is None:
            return False
        self._ready = listens
        if self._ready:
            # It may have said a moment ago that it is not, and only then begun to listen.
            self._status.look()
            self._announcements.of_told(self._status.told)
            self._ready = not self._is_held()
        behind = self._endpoint.address
        if self._ready and behind is not None and self._launch.get("gate"):
            # Nobody gets there but through the gate: it has to be open, too.
            if self._gatekeeper is None:
                self._gatekeeper = Gatekeeper(self._directory, behind, self._children, self._log)
            self._gatekeeper.tend()
            self._ready = self._gatekeeper.address is not None
        if self._ready:
            self._log.say("The app listens." if behind else "The app runs.")
            self._announce()
        return True
