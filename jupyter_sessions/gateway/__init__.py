"""The reverse proxy: ``<base_url>sessions/<id>/…``, and nothing else.

Read in this order: `router` (what becomes of a request), `http` (how it streams), `upgrade` (what
follows a 101), then the pure `framing`, `headers` and `urls`, and `upstream` and `client`, the two
ends. No host or port ever comes from a URL.
"""

from jupyter_sessions.gateway.gateway import Gateway, Tuning
from jupyter_sessions.gateway.traffic import Metrics

__all__ = ["Gateway", "Metrics", "Tuning"]
