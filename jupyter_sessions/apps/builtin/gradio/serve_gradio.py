"""Runs a Gradio script as ``python FILE`` would, but on a Unix socket.

``serve_gradio.py SOCKET PREFIX FILE``

The script's own ``demo.launch(…)`` serves, with what it says about access, looks and files. Where
it listens is ours to say, and nothing is shared with gradio.live. A script that launches nothing
has the demo in it launched.
"""

from __future__ import annotations

import functools
import inspect
import os
import runpy
import sys
from typing import Any

OURS = frozenset({"path", "root_path", "server_name", "server_port", "ssr_mode", "node_port"})
KEPT = ("max_threads", "state_session_capacity")
"""What `launch` keeps with the demo, and mounting one does not know."""


def main() -> None:
    path, prefix, file = sys.argv[1:]
    try:
        import gradio
    except ImportError as error:
        sys.exit(f"Gradio cannot be imported by {sys.executable}: {error}")
    serve = Serve(gradio, path, prefix)
    gradio.Blocks.launch = serve.instead_of(gradio.Blocks.launch)
    sys.argv[:] = [file]
    sys.path[0] = os.path.dirname(file)  # noqa: PTH120 - as Python itself sets it
    found = runpy.run_path(file, run_name="__main__")
    if serve.waiting is None and not serve.served:
        demos = [value for value in found.values() if isinstance(value, gradio.Blocks)]
        if not demos:
            sys.exit(f"{file} has ended, and there is no demo in it: with gr.Blocks() as demo: …")
        demo = found.get("demo")
        (demo if isinstance(demo, gradio.Blocks) else demos[0]).launch()
    if serve.waiting is not None:
        serve.waiting()


class Serve:
    """What takes the place of ``Blocks.launch``.

    Parameters
    ----------
    waiting
        Serves the demo that was launched with ``prevent_thread_lock``: once the script has ended.
    served
        Whether a demo has been served.
    """

    def __init__(self, gradio: Any, path: str, prefix: str) -> None:
        self._mount = gradio.mount_gradio_app
        self._path = path
        self._prefix = prefix.rstrip("/")
        self.waiting: Any = None
        self.served = False

    def instead_of(self, launch: Any) -> Any:
        """A method like `launch`, with the same parameters."""
        signature = inspect.signature(launch)
        known = inspect.signature(self._mount).parameters.keys() - OURS

        @functools.wraps(launch)
        def wrapped(demo: Any, *args: Any, **options: Any) -> tuple[Any, str, str]:
            given = dict(signature.bind(demo, *args, **options).arguments)
            for name in KEPT:
                if given.get(name) is not None:
                    setattr(demo, name, given[name])
            if given.get("share"):
                sys.stderr.write("share=True is ignored: the session is not published.\n")
            passed = {k: v for k, v in given.items() if k in known and k != "app"}
            app = self._app(demo, passed)
            if given.get("prevent_thread_lock"):
                self.waiting = self.waiting or functools.partial(self._run, app)
            else:
                self._run(app)
            return app, f"{self._prefix}/", ""

        return wrapped

    def _app(self, demo: Any, options: Any) -> Any:
        from fastapi import FastAPI

        demo.is_running = True
        return self._mount(FastAPI(), demo, path="/", root_path=self._prefix, **options)

    def _run(self, app: Any) -> None:
        import uvicorn

        self.served = True
        # Without the limit it would wait for open pages when it is asked to end.
        uvicorn.run(app, uds=self._path, log_level="warning", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
