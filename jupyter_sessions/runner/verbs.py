"""What can be asked of a runner."""

from typing import Callable, Dict

from .files import Json
from .starting import find, prepare, start
from .status import poll, usage
from .stopping import stop
from .telling import dial, limit, note, ready

VERBS: Dict[str, Callable[[Json], Json]] = {
    "start": start,
    "prepare": prepare,
    "poll": poll,
    "usage": usage,
    "stop": stop,
    "find": find,
    "ready": ready,
    "limit": limit,
    "note": note,
    "dial": dial,
}
"""Each takes a payload and gives an answer: see their docstrings."""
