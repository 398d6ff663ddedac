"""A project's own apps: ``.jupyter-sessions/apps/<name>/app.yaml`` in a folder and above it.

They are called ``project:<name>``, so that none of them can stand in for an app of this machine.
Whoever can write into the project writes them, and they run commands as whoever starts them: so
each is listed, and started only once that person has trusted it (``trust.py``). Until then nothing
of it is used but what describes it; its schemas, which could keep a processor busy, are not read.

What is trusted is what runs: a session has a copy of its own, made of the bytes whose digest was
compared, and keeps it over restarts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .apps.app import ICONS, NAME, App, AppError, check_outline
from .apps.deriving import Derived, derive
from .apps.folders import LARGEST, Broken
from .apps.marks import Marks
from .apps.snapshot import NotSafe, Snapshot, read_snapshot
from .errors import AppNotFound, Conflict, Untrusted
from .plain import NotPlain, parse_yaml
from .trust import Trust, TrustState

PLACE = (".jupyter-sessions", "apps")
PREFIX = "project:"
CATEGORY = "Project"
"""The heading of all of them: they cannot choose to stand among others."""
MOST_APPS = 50
"""Apps of one folder that are looked at."""
TEXT_SHOWN = 1_000_000
"""Bytes of files that are shown to somebody who is to trust them, all files together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectApp:
    """An app of a project, as it was when it was looked at.

    Parameters
    ----------
    name
        With `PREFIX`.
    project
        The project's folder, with all links resolved.
    place
        The file of its definition, for people.
    outline
        Its definition, of which only the outline was checked.
    """

    name: str
    project: Path
    place: str
    outline: Mapping[str, Any]
    snapshot: Snapshot
    state: TrustState

    @property
    def icon(self) -> tuple[bytes, str] | None:
        """Its icon and the icon's media type."""
        for name in ("icon.svg", "thumbnail.png"):
            if (content := self.snapshot.get(name)) is not None:
                return content, ICONS[Path(name).suffix]
        return None

    @property
    def readme(self) -> bytes | None:
        """What is written about it, if anything is."""
        return self.snapshot.get("README.md")

    @property
    def extends(self) -> str:
        """The name of the app of this machine that it extends; empty if it extends none."""
        return str(self.outline.get("extends", ""))

    @property
    def title(self) -> str:
        """What people call it; its name, if only the app that it extends has a title."""
        return str(self.outline.get("title", self.outline["name"]))

    def app(self, base: App | None = None) -> App:
        """The app, to be started: see `App.snapshot`.

        Parameters
        ----------
        base
            The app that it extends.

        Raises
        ------
        Untrusted
        AppNotFound
            If its definition is wrong.
        """
        if self.state != "trusted":
            raise Untrusted(self.refusal)
        try:
            if base is not None:
                app = derive(Derived(self.name, self.extends, self.outline, self.place), base)
            else:
                app = App.from_definition(self.outline, origin=self.place)
        except AppError as error:
            raise AppNotFound(f"The app {self.name!r} is broken: {self.place}: {error}") from None
        return replace(
            app,
            name=self.name,
            category=CATEGORY,
            project=str(self.project),
            # Whose command it is, its folder is {app_dir}.
            snapshot=self.snapshot if "command" in self.outline else None,
        )

    @property
    def notice(self) -> str:
        """What people should know before they start it."""
        return f"It comes from the project {self.project}, and was not trusted as it is now."

    @property
    def refusal(self) -> str:
        """Why it is not started."""
        changed = " It has changed since you trusted it." if self.state == "changed" else ""
        return (
            f"{self.title} comes from the project {self.project} and runs commands as"
            f" you.{changed} Look at it, and trust it first: `jupyter sessions apps trust"
            f" {self.name}`."
        )

    def describe_trust(self) -> dict[str, Any]:
        """What somebody has to see to trust it, as the REST API answers it."""
        left = TEXT_SHOWN
        files = []
        for file in self.snapshot.files:
            text = _text(file.content) if len(file.content) <= left else None
            left -= 0 if text is None else len(file.content)
            files.append(
                {
                    "path": file.path,
                    "size": len(file.content),
                    "executable": file.executable,
                    "text": text,
                }
            )
        return {
            "name": self.name,
            "title": self.title,
            "project": str(self.project),
            "origin": self.place,
            "state": self.state,
            "digest": self.snapshot.digest,
            "extends": self.extends,
            "command": list(self.outline.get("command", ())),
            "files": files,
        }


class ProjectApps:
    """The apps of the projects below a folder. All methods read files: call them in a thread.

    Parameters
    ----------
    root
        The folder, absolute: nothing above it is looked at.
    """

    def __init__(self, root: str, trust: Trust) -> None:
        self._root = Path(root)
        self._trust = trust

    def all(self, cwd: str) -> list[ProjectApp | Broken]:
        """Those of `cwd` (absolute) and of the folders above it; the nearest of each name.

        Never raises.
        """
        found: dict[str, ProjectApp | Broken] = {}
        for folder in self._folders(cwd):
            for name in _names(folder):
                if PREFIX + name not in found:
                    found[PREFIX + name] = self._read(folder, name)
        return [found[name] for name in sorted(found)]

    def find(self, name: str, cwd: str) -> ProjectApp:
        """The app `name` (with `PREFIX`) that counts in `cwd`.

        Raises
        ------
        AppNotFound
        """
        own = name.removeprefix(PREFIX)
        if NAME.fullmatch(own):
            for folder in self._folders(cwd):
                if own in _names(folder):
                    found = self._read(folder, own)
                    if isinstance(found, Broken):
                        where = f"{found.where}: {found.message}"
                        raise AppNotFound(f"The app {name!r} is broken: {where}")
                    return found
        raise AppNotFound(
            f"There is no app {name!r} in {cwd}, nor above it: a project's app is started in a"
            f" folder of its project, which has {'/'.join(PLACE)}/{own}/app.yaml."
        )

    def trust(self, name: str, cwd: str, digest: str) -> ProjectApp:
        """Trust the app as somebody saw it.

        Parameters
        ----------
        digest
            Of what that person saw.

        Raises
        ------
        AppNotFound, StoreError
        Conflict
            If it is not the same any more.
        """
        found = self.find(name, cwd)
        if found.snapshot.digest != digest:
            raise Conflict(
                f"{found.title} has changed since you looked at it: look again.",
                reason="changed",
            )
        self._trust.trust(found.project, name, digest)
        return replace(found, state="trusted")

    def revoke(self, name: str, cwd: str) -> None:
        """Trust the app no more; harmless if it is not trusted.

        Raises
        ------
        AppNotFound, StoreError
        """
        self._trust.revoke(self.find(name, cwd).project, name)

    def _folders(self, cwd: str) -> Iterator[Path]:
        """`cwd` and the folders above it, as far as they lie in the root."""
        folder = Path(cwd)
        if not folder.is_relative_to(self._root):
            return
        while True:
            yield folder
            if folder == self._root:
                return
            folder = folder.parent

    def _read(self, folder: Path, name: str) -> ProjectApp | Broken:
        path = Path(*PLACE, name)
        file = folder / path / "app.yaml"

        def broken(sentence: str, mark: tuple[int, int] = (0, 0)) -> Broken:
            return Broken(PREFIX + name, str(file), sentence, *mark)

        try:
            snapshot = read_snapshot(folder, path.parts)
        except NotSafe as error:
            return broken(str(error))
        except OSError as error:
            return broken(f"cannot be read: {error.strerror}")
        content = snapshot.get("app.yaml")
        if content is None:
            return broken("there is no such file")
        try:
            outline = parse_yaml(content, LARGEST)
            check_outline(outline)
            if outline["name"] != name:
                sentence = f"name: {outline['name']!r} is not the name of its folder, {name!r}"
                raise AppError(sentence, ("name",))
        except NotPlain as error:
            return broken(str(error), error.mark or (0, 0))
        except AppError as error:
            return broken(str(error), Marks.of_text(content).at(error.path))
        project = Path(os.path.realpath(folder))
        return ProjectApp(
            name=PREFIX + name,
            project=project,
            place=str(file),
            outline=outline,
            snapshot=snapshot,
            state=self._trust.state(project, PREFIX + name, snapshot.digest),
        )


def _names(folder: Path) -> list[str]:
    """The names of the apps that `folder` itself has."""
    try:
        with os.scandir(folder.joinpath(*PLACE)) as entries:
            names = [e.name for e, _ in zip(entries, range(1000), strict=False)]
    except OSError:
        return []
    return sorted(name for name in names if NAME.fullmatch(name))[:MOST_APPS]


def _text(content: bytes) -> str | None:
    """`content` as text; None if it is none."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text
