"""The Jupyter Server extension: it wires the parts together and has no logic of its own."""

from __future__ import annotations

import os

from jupyter_server.extension.application import ExtensionApp
from jupyter_server.serverapp import ServerApp
from traitlets import Bool, Float

from .api import NAMESPACE, handlers
from .apps.server_proxy import configured_servers, server_names
from .events import EventEmitter
from .gateway import Gateway, Tuning
from .locating import Locator
from .manager import SessionManager
from .monitoring import SessionCollector
from .old_urls import OldUrls
from .session import Session, State


class SessionsExtension(ExtensionApp):
    """Sibling sessions, under the Jupyter server's own URL."""

    name = "jupyter_sessions"
    extension_url = "/"
    load_other_extensions = True
    classes = [SessionManager]

    auth_cache_seconds = Float(
        5.0,
        min=0,
        help="""How long, in seconds, a request that Jupyter let pass stands for others with the
        same credentials. A logout, a stop or a revocation acts on open connections within this
        time too. 0 asks the identity provider for every request, which costs most of the speed.""",
    ).tag(config=True)
    takeover = Bool(
        True,
        help="""Serve connections that ask for sessions below tornado. Turn it off to find out
        whether that is to blame for something; it costs most of the speed.""",
    ).tag(config=True)
    helper = Bool(
        True,
        help="""Hand open websockets to a process of their own, so that desktops and terminals
        stay fluent while Jupyter is busy. It is started with the first websocket.""",
    ).tag(config=True)

    server_proxy_urls = Bool(
        False,
        help="""Lead the URLs that jupyter-server-proxy would serve, `<base_url><server>/…`, to a
        session of that server, and start one if none runs. Has no effect while
        jupyter-server-proxy is enabled itself.""",
    ).tag(config=True)

    manager: SessionManager
    gateway: Gateway
    collector: SessionCollector | None = None

    def initialize_settings(self) -> None:
        """Make the manager and the gateway. Nothing runs yet."""
        server = self._server()
        self.manager = SessionManager(
            parent=self,
            log=self.log,
            base_url=server.base_url,
            root_dir=server.root_dir,
            activity=lambda session_id: self.gateway.last_activity(session_id),
        )
        self.gateway = Gateway(
            locate=Locator(self.manager, self.manager.connections),
            base_url=server.base_url,
            log=self.log,
            api_url=f"{server.base_url}{NAMESPACE}/",
            trust_forwarded=server.trust_xheaders,
            tuning=Tuning(
                takeover=self.takeover,
                helper=self.helper,
                cache_seconds=self.auth_cache_seconds,
                recheck_seconds=self.auth_cache_seconds or 5.0,
            ),
        )
        self.settings["jupyter_sessions_manager"] = self.manager
        for problem in {*self.manager.wrong.hosts.values(), *self.manager.wrong.spawners.values()}:
            self.log.error("jupyter_sessions: %s. It cannot be used; the others can.", problem)
        if server.event_logger is not None:
            self.manager.observers.append(EventEmitter(server.event_logger, self.manager.describe))
        self.manager.observers.append(self._close_connections)

    def initialize_handlers(self) -> None:
        """Add the REST API and the gateway to the server's URLs."""
        self.handlers.extend(handlers())
        if self.server_proxy_urls and not self._is_enabled("jupyter_server_proxy"):
            servers = configured_servers(self.manager.config)
            self.handlers.extend(OldUrls(self.manager, server_names(servers)).handlers())
        web_app = self._server().web_app
        web_app.add_handlers(".*$", self.gateway.rules(web_app))  # type: ignore[no-untyped-call]

    async def _start_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        """Begin to look after sessions. Called by the server once its loop runs."""
        self.manager.public_url = public_url(serverapp)
        # A web application may be served by something else than the server's own.
        if (http_server := getattr(serverapp, "http_server", None)) is not None:
            self.gateway.serve_on(http_server)
        self.collector = SessionCollector(self.gateway)
        self.collector.register()
        await self.manager.start()

    async def stop_extension(self) -> None:
        """Leave the sessions to other servers, or to the next start. Called at shutdown."""
        if self.collector is not None:
            self.collector.unregister()
        await self.gateway.close()
        await self.manager.close()

    def _close_connections(self, before: Session | None, after: Session | None) -> None:
        """An observer: what no longer runs is no longer reachable."""
        if before is None or before.state is not State.RUNNING:
            return
        if after is None:
            self.gateway.forget_session(before.id)
        elif after.state is not State.RUNNING or after.attempt.number != before.attempt.number:
            self.gateway.close_session(after.id)

    def _is_enabled(self, extension: str) -> bool:
        found = self._server().extension_manager.extensions.get(extension)
        return found is not None and found.enabled

    def _server(self) -> ServerApp:
        assert self.serverapp is not None  # noqa: S101 - an extension is initialised by its server
        return self.serverapp


def public_url(server: ServerApp) -> str:
    """The URL at which people reach `server`; empty behind a hub that does not say its own."""
    if "JUPYTERHUB_SERVICE_PREFIX" in os.environ:
        return os.environ.get("JUPYTERHUB_PUBLIC_URL", "")
    return str(server.public_url)
