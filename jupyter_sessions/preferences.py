"""`Preferences`: what people chose for an app before, and their presets; a file per app.

::

    <data dir>/jupyter_sessions/preferences/<app>.json     0600, in a directory of mode 0700

Kept beside the sessions, under the same rules: replaced by rename, under a lock that all servers
take. What is in there may be stale: an app's options change, and nobody rewrites these files. Who
reads them checks the values (``forms.py``). All methods block for a few system calls.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .errors import CorruptRecord, InvalidRequest, NotFound
from .store import lock, private_directory, store_errors, write_atomically
from .validation import check_choices, check_name

VERSION = 1
"""The schema of the files. A reader refuses a newer one rather than guess."""
LARGEST = 256 * 1024
"""Bytes that the file of one app may have."""
PRESETS = 100
"""Presets that an app may have: a menu with more is of no use."""

Choices = Mapping[str, Any]
"""``spawner``, ``options``, ``resources``, ``timeout``: each may be missing."""


@dataclass(frozen=True, slots=True)
class AppPreferences:
    """What is kept for one app."""

    remembered: Choices = field(default_factory=dict)
    presets: Mapping[str, Choices] = field(default_factory=dict)


class Preferences:
    """The preferences of one user.

    Parameters
    ----------
    root
        The store's directory. The names of apps given to the methods have to be checked: they
        become names of files.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def _directory(self) -> Path:
        return self._root / "preferences"

    def read(self, app: str) -> AppPreferences:
        """What is kept for `app`; nothing if there is no file.

        Raises
        ------
        CorruptRecord
            The message names the file, which stays as it is.
        StoreError
        """
        path = self._directory / f"{app}.json"
        with store_errors("read", path):
            try:
                with path.open("rb") as file:
                    content = file.read(LARGEST + 1)
            except FileNotFoundError:
                return AppPreferences()
        try:
            return _load(content)
        except (ValueError, RecursionError) as error:
            raise CorruptRecord(
                f"The preferences of {app} cannot be read ({path}: {error})."
                " Mend the file, or move it away."
            ) from None

    def remember(self, app: str, choices: Any) -> None:
        """Keep what somebody chose last for `app`.

        Raises
        ------
        InvalidRequest, CorruptRecord, StoreError
            What was kept before is still there.
        """
        checked = check_choices(choices)
        self._change(app, lambda kept: replace(kept, remembered=checked))

    def forget(self, app: str) -> None:
        """Keep no longer what was chosen last; harmless if nothing is kept."""
        self._change(app, lambda kept: replace(kept, remembered={}))

    def save_preset(self, app: str, name: str, choices: Any) -> None:
        """Keep `choices` under `name`, in place of what had that name.

        Raises
        ------
        InvalidRequest, CorruptRecord, StoreError
        """
        name, checked = check_name(name, "preset"), check_choices(choices)

        def save(kept: AppPreferences) -> AppPreferences:
            if name not in kept.presets and len(kept.presets) >= PRESETS:
                raise InvalidRequest.field(
                    "preset", f"there are {PRESETS} presets already: delete some first"
                )
            return replace(kept, presets={**kept.presets, name: checked})

        self._change(app, save)

    def delete_preset(self, app: str, name: str) -> None:
        """Forget the preset `name`.

        Raises
        ------
        InvalidRequest, NotFound, CorruptRecord, StoreError
        """
        name = check_name(name, "preset")

        def delete(kept: AppPreferences) -> AppPreferences:
            preset(kept.presets, name)
            return replace(kept, presets={n: c for n, c in kept.presets.items() if n != name})

        self._change(app, delete)

    def _change(self, app: str, change: Callable[[AppPreferences], AppPreferences]) -> None:
        """Apply `change` to what is kept now, under a lock that all servers take."""
        private_directory(self._root)
        path = private_directory(self._directory) / f"{app}.json"
        with self._locked(path):
            before = self.read(app)
            after = change(before)
            if after == before:
                return
            content = json.dumps(
                {
                    "version": VERSION,
                    "remembered": after.remembered,
                    "presets": after.presets,
                },
                indent=1,
            )
            if len(content) > LARGEST:
                raise InvalidRequest(
                    f"That is too much to keep: {LARGEST} bytes for each app. Delete some presets."
                )
            with store_errors("write", path):
                write_atomically(path, content + "\n")

    @contextlib.contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        lock_path = path.with_name(f".{path.stem}.lock")
        with store_errors("lock", lock_path):
            descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with store_errors("lock", lock_path):
                lock(descriptor, lock_path)
            yield
        finally:
            os.close(descriptor)


def preset(presets: Mapping[str, Choices], name: str) -> Choices:
    """The preset `name` of `presets`.

    Raises
    ------
    NotFound
    """
    if name not in presets:
        known = ", ".join(presets) or "none"
        raise NotFound(f"There is no preset {name!r}; there are: {known}.")
    return presets[name]


def _load(content: bytes) -> AppPreferences:
    """What `Preferences._change` wrote; ValueError if it is anything else."""
    if len(content) > LARGEST + 1:  # the line's end
        raise ValueError(f"it is larger than {LARGEST} bytes")
    data = json.loads(content)
    if not isinstance(data, dict):
        raise ValueError("it is not a JSON object")
    if data.get("version") != VERSION:
        raise ValueError(f"this release reads version {VERSION}, not {data.get('version')!r}")
    presets = data.get("presets")
    if not isinstance(presets, dict):
        raise ValueError("presets: it is not an object")
    try:
        return AppPreferences(
            check_choices(data.get("remembered")),
            {name: check_choices(choices) for name, choices in presets.items()},
        )
    except InvalidRequest as error:
        raise ValueError(error.message) from None
