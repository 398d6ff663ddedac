"""What a running app says of itself in its status file, as far as it is in order."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Link:
    """A further place that an app offers to open; `path` is below the session's URL."""

    title: str
    path: str


@dataclass(frozen=True, slots=True)
class Told:
    """What a running app says of itself, in its status file.

    Parameters
    ----------
    message
        A sentence for people: "Loading data, 40 %".
    ready
        False if it is not to be used yet, whatever answers.
    open_path
        Where it is opened below its URL, instead of where its definition says; None if it does
        not say.
    links
        Further places.
    """

    message: str = ""
    ready: bool | None = None
    open_path: str | None = None
    links: tuple[Link, ...] = ()


NOTHING = Told()
"""What an app says that has written nothing."""
