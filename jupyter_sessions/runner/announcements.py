"""What a runner writes down about its app, for all who ask."""

import contextlib
import os
from typing import Any, Optional, Tuple

from .files import Json, write_json
from .masks import Mask


class Announcements:
    """Writes ``started.json``, ``connection.json`` and ``told.json`` when there is news.

    A disk that is full must not stop the app: what was there stays, and the next call tries again.
    """

    def __init__(self, directory: str, mask: Mask) -> None:
        self._directory = directory
        self._mask = mask
        self._announced: Optional[Tuple[Any, ...]] = None
        self._told: Json = {}

    def of_app(self, facts: Json, is_ready: bool, address: Optional[Json]) -> None:
        """Write `facts` down, and `address` if the app is ready."""
        news = (tuple(facts.items()), is_ready, address)
        if news == self._announced:
            return
        with contextlib.suppress(OSError):
            self._write("started.json", facts)
            if is_ready:
                self._write("connection.json", dict(facts, address=address))
            self._announced = news

    def of_told(self, told: Json) -> None:
        """Write down what the app tells of itself, without secrets."""
        told = self._mask.json(told)
        if told == self._told:
            return
        with contextlib.suppress(OSError):
            self._write("told.json", told, keep=False)
            self._told = told

    def _write(self, name: str, content: Json, keep: bool = True) -> None:
        write_json(os.path.join(self._directory, name), content, keep=keep)
