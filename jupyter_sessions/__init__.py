"""Sibling sessions for Jupyter: launch, proxy and keep applications under the Jupyter URL."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0.dev0"


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Called by Jupyter Server. Imported late: the CLI and the runner need no server."""
    from .extension import SessionsExtension

    return [{"module": "jupyter_sessions", "app": SessionsExtension}]
