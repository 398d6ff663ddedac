"""From a `Server` of jupyter-server-proxy to what a session runs: a definition as in ``app.yaml``.

Commands, variables and headers may be functions. They are called here, in Jupyter's process, once
for each start; what they return is data from then on.
"""

from __future__ import annotations

import inspect
import re
import string
from collections.abc import Mapping
from typing import Any

from ..runner import free_port
from .app import App, AppError, Start
from .servers import Server, text_map, texts

RELAY = ["{python}", "-P", "-m", "jupyter_sessions.apps.relay", "{socket}"]
"""The program that stands between the session's socket and a server that needs it."""
GONE = "raise SystemExit('The server that this app was is not defined any more.')"
NO_BASE = "\0"
"""Stands for Jupyter's base URL while a template is read: no argument can hold it."""


def listing(server: Server, name: str) -> dict[str, Any]:
    """`server` as an app called `name`, as far as people are told of it before it starts.

    Its command only says whether the server will listen on a TCP port.
    """
    port = [] if server.unix_socket or not server.command else ["{port}"]
    found: dict[str, Any] = {
        "name": name,
        "title": server.title,
        "category": server.category,
        "command": ["{python}", "-c", GONE, *port],
        # A raw server speaks no HTTP; the relay in front answers so, once the server is there.
        "ready": {"timeout": server.timeout, "codes": [405] if server.raw else "any"},
        "prefix": "keep" if server.absolute_url else "strip",
        "open_in": "browser" if server.open_in_browser else "lab",
    }
    if server.open_path:
        found["open_path"] = literal(server.open_path)
    if server.page:
        found["jupyter_page"] = server.page
    if not server.launcher:
        found["launcher"] = False
    if paths := {k: v for k, v in server.paths.items() if k.startswith("/")}:
        found["paths"] = paths
    if isinstance(server.command, list) and server.command and "{" not in server.command[0]:
        program = server.command[0]
        install = f"It needs the program {program}, which is not there."
        found["requires"] = [{"program": program, "install": install}]
    return found


def definition(server: Server, listed: Mapping[str, Any], start: Start) -> Mapping[str, Any]:
    """What the session of `start` runs. Called in a thread, once for each attempt.

    Raises
    ------
    AppError
        If a function of the server fails, or what it returns does not make sense.
    """
    made = _Definition(server, start)
    found = {
        **listed,
        "command": made.command(),
        "env": made.environment(),
        "request_headers": made.headers(),
        **made.fixed(),
    }
    App.from_definition(found)
    return found


class _Definition:
    """What one start of a server takes.

    A function that asks for the port gets one that is free, and the server has to take it. All
    else is filled in where the server runs: functions get ``{unix_socket}`` and ``{base_url}`` as
    they are, and what they return is a template, as there.
    """

    def __init__(self, server: Server, start: Start) -> None:
        self._server = server
        self._start = start
        asked = any(_asks_port(v) for v in (server.command, server.environment, server.headers))
        headers = server.headers if isinstance(server.headers, Mapping) else {}
        asked = asked or any("{port}" in value for value in headers.values())
        self._port = 0
        if not server.unix_socket:
            self._port = server.port or (free_port() if asked else 0)
        self._relayed = server.raw

    def command(self) -> list[str]:
        server = self._server
        rendered = [self._render(e) for e in texts("command", self._value(server.command))]
        if not rendered:
            self._relayed = True
            if not server.port and not isinstance(server.unix_socket, str):
                raise AppError("command: it has none, and neither a port nor a socket's path")
        if not self._relayed:
            return rendered
        raw = ["--raw"] if server.raw else []
        to = self._socket() if server.unix_socket else str(self._port or "{port}")
        return [*RELAY, "--to", to, *raw, *(["--", *rendered] if rendered else [])]

    def environment(self) -> dict[str, str]:
        variables = text_map("environment", self._value(self._server.environment))
        return {self._render(k): self._render(v) for k, v in variables.items()}

    def headers(self) -> dict[str, str]:
        """Literal: the gateway fills in nothing."""
        server, prefix = self._server, self._start.prefix.rstrip("/")
        here = {} if server.absolute_url else {"X-Forwarded-Context": prefix}
        here |= {} if server.absolute_url else {"X-ProxyContextPath": prefix}
        given = text_map("request_headers_override", self._value(server.headers))
        for name, value in given.items():
            text = self._render(value)
            if "{socket}" in text:
                raise AppError(f"request_headers_override: {name}: no path of a socket can be here")
            filled = text.replace("{port}", str(self._port))
            here[name] = filled.replace("{{", "{").replace("}}", "}")
        return here

    def fixed(self) -> dict[str, Any]:
        """Where it listens whatever the runner says."""
        if self._relayed:
            return {}
        if isinstance(self._server.unix_socket, str):
            return {"socket": self._server.unix_socket}
        return {"port": self._port} if self._port else {}

    def _value(self, value: Any) -> Any:
        """What `value` is, or what it returns for the arguments that it asks for."""
        if not callable(value):
            return value
        unix = bool(self._server.unix_socket)
        known = {
            "port": self._port,
            "unix_socket": "{unix_socket}" if unix else "",
            "base_url": "{base_url}",
        }
        parameters = inspect.signature(value).parameters.values()
        names = [p.name for p in parameters if p.name in known or p.default is p.empty]
        kinds = {p.kind for p in parameters}
        unknown = [n for n in names if n not in known]
        if unknown and not kinds & VARIADIC:
            raise AppError(f"its function asks for {unknown[0]}; it can get {', '.join(known)}")
        try:
            return value(*(known[n] for n in names if n in known))
        except (Exception, SystemExit) as error:  # somebody else's code
            raise AppError(f"{error}" if str(error) else repr(error)) from error

    def _render(self, text: str) -> str:
        """A template of jupyter-server-proxy as one of ours."""
        fields = {
            "port": "0" if self._server.unix_socket else self._own_port(),
            "unix_socket": self._socket() if self._server.unix_socket else "",
            "base_url": NO_BASE,
        }
        if NO_BASE in text:
            raise AppError(f"{text!r} has a NUL character, which no command line can hold")
        result = ""
        try:
            for before, name, form, conversion in string.Formatter().parse(text):
                result += literal(before)
                if name is not None:
                    if name not in fields or form or conversion:
                        known = ", ".join(f"{{{n}}}" for n in fields)
                        raise AppError(f"{text!r}: there is no field {{{name}}}; there are {known}")
                    result += fields[name]
        except AppError:
            raise
        except ValueError as error:
            raise AppError(f"{text!r}: {error}") from None
        return self._based(result)

    def _own_port(self) -> str:
        # The runner would listen for its own port, which is the relay's server's here.
        return str(self._port) if self._port and self._relayed else "{port}"

    def _socket(self) -> str:
        """Where the server itself listens, behind the relay if there is one."""
        if isinstance(self._server.unix_socket, str):
            return literal(self._server.unix_socket)
        return "{socket}.raw" if self._relayed else "{socket}"

    def _based(self, text: str) -> str:
        """`text` with the server's old place below Jupyter's base URL replaced by the session's."""
        start, name = self._start, re.escape(self._server.name)
        prefix = literal(start.prefix.rstrip("/"))
        base_url = literal(start.base_url)
        text = re.sub(rf"{NO_BASE}/*{name}(?![\w.~%-])", lambda _: prefix, text)
        text = text.replace(NO_BASE, base_url)
        # Some take the base URL from the hub's variables. Only a whole value is sure to be it.
        if start.base_url != "/" or self._server.absolute_url:
            old = re.escape(f"{base_url}{self._server.name}")
            text = re.sub(
                rf"\A([^=/]*=)?{old}(/?)\Z", lambda m: f"{m[1] or ''}{prefix}{m[2]}", text
            )
        return text


VARIADIC = {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}


def _asks_port(value: Any) -> bool:
    return callable(value) and "port" in inspect.signature(value).parameters


def literal(text: str) -> str:
    """`text` as a template that stands for just itself."""
    return text.replace("{", "{{").replace("}", "}}")
