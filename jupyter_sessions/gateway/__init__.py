"""The reverse proxy: ``<base_url>sessions/<id>/…``, and nothing else.

Read in this order: `router` (what becomes of a request), `http` (how it streams), then the pure
`framing`, `headers` and `urls`, and `upstream` and `client`, the two ends. What makes it fast comes
on top: `lanes` and `lane` (connections taken over from tornado) with `lines`, `grants` and
`answers`; `upgrade` (what follows a 101) with `helper` and `relay`. `admission` and `watch` say who
may pass, and for how long. No host or port ever comes from a URL.
"""

from jupyter_sessions.gateway.gateway import Gateway, Tuning
from jupyter_sessions.gateway.traffic import Metrics

__all__ = ["Gateway", "Metrics", "Tuning"]
