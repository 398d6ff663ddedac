"""Serves a Streamlit app on a Unix socket: ``serve_streamlit.py SOCKET FILE``.

``streamlit run`` of today knows ports only; `streamlit.starlette.App` is the same app for any ASGI
server to run. Older releases lack it, and have an address that is a socket instead.
"""

from __future__ import annotations

import os
import sys

SETTINGS = {
    "browser.gatherUsageStats": False,
    "server.headless": True,
    # Whatever config.toml says: the prefix is gone when a request gets here.
    "server.baseUrlPath": "",
}


def main() -> None:
    path, file = sys.argv[1:]
    sys.argv[:] = [file]
    try:
        from streamlit import config
    except ImportError as error:
        sys.exit(f"Streamlit cannot be imported by {sys.executable}: {error}")
    sys.path[0] = os.path.dirname(file)  # noqa: PTH120 - as `streamlit run` sets it
    try:
        from streamlit.starlette import App
    except ImportError:
        before(path, file)
        return
    import uvicorn

    for name, value in SETTINGS.items():
        config.set_option(name, value)
    uvicorn.run(
        App(file),
        uds=path,
        ws_max_size=int(config.get_option("server.maxMessageSize")) * 10**6,
        access_log=False,
        # Without a limit it would wait for open pages when it is asked to end.
        timeout_graceful_shutdown=1,
    )


def before(path: str, file: str) -> None:
    """Run it by a Streamlit whose server is tornado's."""
    from streamlit.web.cli import main as streamlit

    flags = [f"--{name}={str(value).lower()}" for name, value in SETTINGS.items()]
    streamlit(["run", f"--server.address=unix://{path}", *flags, file])


if __name__ == "__main__":
    main()
