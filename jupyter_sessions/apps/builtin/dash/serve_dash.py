"""Runs a Dash script as ``python FILE`` would, but on a Unix socket: ``serve_dash.py SOCKET FILE``.

The script's own ``app.run(…)`` runs the app, with its debugging tools if it wants them. Where it
listens is ours to say. A script that leaves that to gunicorn, and runs nothing, is run as well.
"""

from __future__ import annotations

import functools
import inspect
import os
import runpy
import sys
from typing import Any


def main() -> None:
    path, file = sys.argv[1:]
    try:
        import dash
    except ImportError as error:
        sys.exit(f"Dash cannot be imported by {sys.executable}: {error}")
    dash.Dash.run = on_socket(dash.Dash.run, path)
    sys.argv[:] = [file]
    sys.path[0] = os.path.dirname(file)  # noqa: PTH120 - as Python itself sets it
    found = runpy.run_path(file, run_name="__main__")
    apps = [value for value in found.values() if isinstance(value, dash.Dash)]
    if not apps:
        sys.exit(f"{file} has ended, and there is no Dash app in it: app = Dash(__name__)")
    app = found.get("app")
    (app if isinstance(app, dash.Dash) else apps[0]).run()


def on_socket(run: Any, path: str) -> Any:
    """``Dash.run``, which listens at `path` whatever else it is told."""
    signature = inspect.signature(run)
    rest = next(p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD)

    @functools.wraps(run)
    def wrapped(app: Any, *args: Any, **options: Any) -> None:
        bound = signature.bind(app, *args, **options)
        if not type(app.server).__module__.startswith("flask"):
            sys.exit("Only Dash apps on Flask can be run here; this one is on another backend.")
        bound.arguments.update(host=f"unix://{path}", port=1, proxy=None)
        # The reloader would start a second process; a session is restarted instead.
        flask = {**bound.arguments.get(rest, {}), "use_reloader": False, "threaded": True}
        flask.pop("ssl_context", None)
        bound.arguments[rest] = flask
        run(*bound.args, **bound.kwargs)

    return wrapped


if __name__ == "__main__":
    main()
