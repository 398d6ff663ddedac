"""The keys of one attempt's gate: made here, known to its two ends, forgotten with the attempt."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from ..errors import SpawnerError

CONFIG = b"""\
[req]
distinguished_name = name
x509_extensions = extensions
[name]
[extensions]
basicConstraints = critical, CA:TRUE
"""
"""A file of its own: what the system's says of certificates is meant for others."""
OPENSSL = (
    *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
    *("-nodes", "-batch", "-days", "3650", "-config", "/dev/stdin", "-keyout", "/dev/stdout"),
)
END = b"-----END PRIVATE KEY-----\n"
NAMES = ("gate", "reach")


def identities(keys: Path, directory: str) -> Mapping[str, str]:
    """What the node's end of a gate needs, by file name. The files of both ends are in `keys`.

    Called in a thread before an attempt is prepared, each time that this is tried: the first keys
    count.

    Parameters
    ----------
    keys
        The attempt's directory in the store; made with mode 0700 if need be.
    directory
        The attempt's directory on the host, which is kept with the keys.

    Raises
    ------
    SpawnerError
        If keys cannot be made.
    """
    if not (keys / "reach.pem").exists():  # the last of them to be written
        keys.mkdir(0o700, parents=True, exist_ok=True)
        _write(keys / "reach.json", json.dumps({"directory": directory}).encode())
        for name in NAMES:
            key, certificate = _make(name)
            _write(keys / f"{name}.crt", certificate)
            _write(keys / f"{name}.pem", key + certificate)
    return {name: (keys / name).read_text() for name in ("gate.pem", "reach.crt")}


def directory_of(keys: Path) -> str:
    """The attempt's directory on the host. Raises OSError if there are no keys."""
    return str(json.loads((keys / "reach.json").read_text())["directory"])


def name_of(folder: Path) -> str:
    """What the gate with the keys in `folder` calls itself when it dials: it is no secret.

    Raises OSError if there are no keys.
    """
    return "g" + hashlib.sha256((folder / "gate.crt").read_bytes()).hexdigest()[:31]


def _make(name: str) -> tuple[bytes, bytes]:
    """A new private key and a certificate for it, as PEM."""
    try:
        done = subprocess.run(
            [*OPENSSL, "-subj", f"/CN={name}"], input=CONFIG, capture_output=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SpawnerError(
            f"Keys for the way to the node cannot be made: {error}. The program openssl is needed.",
            reason="no_program",
        ) from error
    start, end, rest = done.stdout.partition(END)
    if done.returncode != 0 or not end or b"BEGIN CERTIFICATE" not in rest:
        why = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no output"]
        raise SpawnerError(f"Keys for the way to the node cannot be made: {why[-1]}")
    return start + end, rest


def _write(path: Path, content: bytes) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
