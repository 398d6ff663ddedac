"""What the tests of the REST API share besides fixtures."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tornado.httputil import HTTPHeaders

import jupyter_sessions
from jupyter_sessions.api import NAMESPACE

from .processes import marked

API = f"{NAMESPACE}/"
DOCUMENT: dict[str, Any] = yaml.safe_load(
    Path(jupyter_sessions.__file__).with_name("openapi.yaml").read_text(encoding="utf-8")
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response of the REST API."""

    status: int
    headers: HTTPHeaders
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def fields(self) -> list[str]:
        """The fields that an error is about."""
        return [error["field"] for error in self.json["errors"]]


def write_app(config_dir: Path, name: str, **fields: Any) -> Path:
    """An ``app.yaml`` below Jupyter's config directory."""
    path = config_dir / "jupyter_sessions" / "apps" / name / "app.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"name": name, "title": name.title(), **fields}))
    return path


def kill_sessions(data_dir: Path) -> None:
    """End whatever still runs of the sessions in the store below `data_dir`."""
    sessions = data_dir / "jupyter_sessions" / "sessions"
    for directory in list(sessions.iterdir()) if sessions.is_dir() else ():
        for pid in marked(directory.name):
            os.kill(pid, signal.SIGKILL)
