"""A package for jupyter-server-proxy, as people publish them: it knows nothing of this project.

Between them its servers have every key that jupyter-server-proxy documents. It is installed for
the time of a test by ``packages.install``, which puts it on the path under its own name.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SERVER = os.environ.get("EXAMPLE_SERVER", str(HERE / "server.py"))


def setup_plain() -> dict[str, Any]:
    """All that can be said without a function."""
    return {
        "command": [sys.executable, SERVER, "--port", "{port}", "--url={base_url}plain/", "{{x}}"],
        "environment": {"EXAMPLE_PORT": "{port}", "EXAMPLE_URL": "{base_url}"},
        "timeout": 30,
        "absolute_url": False,
        "mappath": {"/": "/index.html", "/a b": "/c d?e=f"},
        "launcher_entry": {
            "enabled": True,
            "title": "Plain Example",
            "icon_path": str(HERE / "icon.svg"),
            "path_info": "plain/start?x={y}",
            "category": "Examples",
        },
        "new_browser_tab": False,
        "request_headers_override": {"X-Port": "{port}", "X-Url": "{base_url}plain"},
        "update_last_activity": True,
        "progressive": True,
    }


def setup_asking() -> dict[str, Any]:
    """Functions for all that may be one."""

    def command(port: int, unix_socket: str, base_url: str) -> list[str]:
        assert port + 1 > 1
        assert unix_socket == ""
        told = f"--url={base_url}asking/"
        return [sys.executable, SERVER, f"--port={port:d}", "--again", "{port}", told]

    def environment(port: int) -> dict[str, str]:
        return {"EXAMPLE_PORT": str(port)}

    return {
        "command": command,
        "environment": environment,
        "timeout": 30.0,
        "absolute_url": True,
        "mappath": lambda path: path,
        "rewrite_response": [lambda response: None],
        "request_headers_override": lambda port: {"X-Port": str(port)},
        "update_last_activity": lambda handler: False,
        "launcher_entry": {"enabled": False},
    }


def setup_socket() -> dict[str, Any]:
    """A Unix socket, which its function is asked for."""

    def command(port: int, unix_socket: str) -> list[str]:
        assert port == 0
        return [sys.executable, SERVER, *(["--socket=" + unix_socket] if unix_socket else [])]

    return {"command": command, "unix_socket": True, "timeout": 30, "launcher_entry": {}}


def setup_raw() -> dict[str, Any]:
    return {
        "command": [sys.executable, SERVER, "--raw", "--socket", "{unix_socket}"],
        "unix_socket": True,
        "raw_socket_proxy": True,
        "timeout": 30,
        "launcher_entry": {"title": "Raw", "path_info": "rawpage"},
    }


def setup_raw_port() -> dict[str, Any]:
    return {
        "command": [sys.executable, SERVER, "--raw", "--port", "{port}"],
        "raw_socket_proxy": True,
        "timeout": 30,
    }


def setup_failing() -> dict[str, Any]:
    """Its program is looked for when it starts, and is not there."""

    def command() -> list[str]:
        raise FileNotFoundError("Can not find rserver in PATH")

    return {"command": command}


def setup_missing() -> dict[str, Any]:
    raise RuntimeError("vncserver executable not found, please install a VNC server")
