"""The last word about an attempt."""

import os
import signal
import time
from typing import List, Optional

from .files import Json


def end(reason: str, message: str, status: Optional[int], left: List[int]) -> Json:
    """The content of an ``exit.json``. `status` is the app's, as wait() gave it."""
    code: Optional[int] = None
    number: Optional[int] = None
    if status is not None and os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
    elif status is not None:
        code = os.WEXITSTATUS(status)
    if reason == "exited" and number is not None:
        names = {int(known): known.name for known in signal.Signals}
        message = f"The app was killed by signal {number} ({names.get(number, 'real-time')})."
    elif reason == "exited":
        message = f"The app ended with code {code}."
    elif reason in ("stopped", "timeout"):
        message = "Stopped." if reason == "stopped" else "Stopped: its time was up."
    if left:
        message += " These processes could not be ended: {}.".format(", ".join(map(str, left)))
    return {
        "exit_code": code,
        "signal": number,
        "reason": reason,
        "message": message,
        "ended": time.time(),
        "left": left,
    }
