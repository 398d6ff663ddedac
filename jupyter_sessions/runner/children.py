"""What a runner has started: what it prints, how it ended, and all that came of it."""

import contextlib
import os
import select
import signal
import subprocess
import time
from typing import Any, Dict, List, Optional, Tuple

from .environment import attempt_environment, base_fields
from .errors import StartError
from .files import Json
from .log import Log, Output
from .masks import Mask
from .processes import Process, mark_of, members, sweep
from .templates import to_bytes

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


def _heed_all() -> None:
    """Ignore no signal that somebody above us ignores: the app would, too.

    A shell does so with SIGQUIT for what it starts in the background, Jupyter for one. Python
    ignores two on its own account, and no child of it does.
    """
    for number in set(signal.Signals) - {signal.SIGPIPE, signal.SIGXFSZ}:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


class Children:
    """The processes of one attempt. Lives in the runner only.

    One thread, one loop: every wait goes through `turn`, which drains what is printed, so that
    the app never blocks on a full pipe, not even while it is being stopped.

    Parameters
    ----------
    log
        Where goes what they print.
    """

    def __init__(self, directory: str, launch: Json, log: Log) -> None:
        self._directory = directory
        self._launch = launch
        self.mark = mark_of(launch)
        self.fields = base_fields(directory, launch)
        """What their templates may mention."""
        self.app: Optional[int] = None
        """The app's pid, once it is started; of its process group, too."""
        self.statuses: Dict[int, Optional[int]] = {}
        """Of each that was started how it ended, as wait() gives it; None while it runs."""
        self.is_asked_to_stop = False
        secrets = (launch.get("secrets") or {}).values()
        self.output = Output(log, Mask(secrets))
        self.errors = Output(log, Mask(secrets)) if launch.get("tells_error") else self.output
        """Where the app's stderr goes: a pipe of its own, if its last line is to be told."""
        self._wake, wake = os.pipe()
        for fd in (self._wake, wake):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wake)
        for number in SIGNALS:
            # SIGHUP too gets a handler, not SIG_IGN, which the app would inherit.
            signal.signal(number, self._on_signal)
        _heed_all()
        signal.pthread_sigmask(signal.SIG_SETMASK, [])

    def _on_signal(self, number: int, _: Any) -> None:
        asked = number in (signal.SIGTERM, signal.SIGINT)
        self.is_asked_to_stop = self.is_asked_to_stop or asked

    def start(self, argv: List[bytes], pass_fds: Tuple[int, ...] = (), nice: int = 0) -> int:
        """Start a command line of the app's author. Raises StartError."""
        env = attempt_environment(self._directory, self._launch, self.fields)
        cwd = self._launch.get("cwd") or os.path.expanduser("~")
        if not os.path.isdir(to_bytes(cwd)):
            raise StartError(f"The working directory {cwd} does not exist.")
        try:
            child = subprocess.Popen(
                argv,
                cwd=to_bytes(cwd),
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=self.output.sink,
                stderr=self.errors.sink,
                pass_fds=pass_fds,
                start_new_session=True,
                # In the child, before the app begins; safe, as the runner has one thread.
                preexec_fn=(lambda: os.nice(nice)) if nice else None,
            )
        except OSError as error:
            program, why = os.fsdecode(argv[0]), error.strerror
            if isinstance(error, FileNotFoundError) and not os.path.exists(argv[0]):
                raise StartError(f"There is no program {program} here.") from None
            raise StartError(f"{program} could not be run: {why}.") from error
        return self.take(child)

    def take(self, child: Any) -> int:
        """See to a ``Popen``, too; its pid."""
        self.statuses[child.pid] = None
        child.returncode = 0  # `_reap` waits for all children; Popen must not try to
        return int(child.pid)

    def has_ended(self, pid: int) -> bool:
        return self.statuses[pid] is not None

    def is_app_over(self) -> bool:
        return self.app is None or self.has_ended(self.app)

    def members(self) -> List[Process]:
        """All living processes of the attempt."""
        return members(self.mark, os.getpid(), self.app)

    # Waiting

    def turn(self, timeout: float) -> bool:
        """Wait for output, a signal or the end of a child; then take what is there.

        Returns whether a child ended.
        """
        sources = {self.output.source, self.errors.source, self._wake}
        select.select(sources, [], [], timeout)
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake, 4096)
        self.drain()
        return self._reap()

    def drain(self) -> None:
        for output in {self.output, self.errors}:
            output.drain()

    def end_output(self) -> None:
        """Write what was held back, as nothing more comes."""
        for output in {self.output, self.errors}:
            output.end()

    def _reap(self) -> bool:
        """Take leave of children that ended, the adopted ones too; say whether there were any."""
        reaped = False
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                reaped = True
                if pid in self.statuses:
                    self.statuses[pid] = status
        return reaped

    def pause(self, seconds: float) -> bool:
        """Wait so long, or until a child ends; say whether one did."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.turn(max(0.0, end - time.monotonic())):
                return True
        return False

    def sweep(self, grace: float) -> List[int]:
        """End all that lives; see `processes.sweep`."""
        left = sweep(self.members, grace, self.pause, self.app)
        self.turn(0)
        return left
