"""Autobahn's suite finds the same through the gateway as at the app itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

from jupyter_sessions.routes import Address, Route
from tests.gateway.autobahn import Autobahn, python2
from tests.gateway.harness import TOKEN, Server

# Large messages (9) and all kinds of compression (12, 13) take minutes, slow typing (5, 6) seconds.
SLOW = ["5.19", "5.20", "6.4.*", "9.*", "12.*", "13.*"]


async def _echo(socket: ServerConnection) -> None:
    try:
        async for message in socket:
            await socket.send(message)
    except ConnectionClosedError:
        return


@pytest.mark.real
async def test_autobahn_sees_no_difference(server: Server, tmp_path: Path) -> None:
    python = python2()
    if python is None:
        pytest.skip("Autobahn's suite needs a Python 2.7")
    autobahn = Autobahn.install(python)
    async with serve(
        _echo, "127.0.0.1", 0, max_size=None, compression=None, ping_interval=None,
        extensions=[ServerPerMessageDeflateFactory()],
    ) as app:  # fmt: skip
        port = next(iter(app.sockets)).getsockname()[1]
        route = Route("app", server.url("app", ""), Address.tcp("127.0.0.1", port))
        server.table.found["app"] = route
        through = f"ws://127.0.0.1:{server.port}{server.url('app')}?token={TOKEN}"
        urls = {"direct": f"ws://127.0.0.1:{port}/", "gateway": through}
        found = await autobahn.run(tmp_path, urls, SLOW)
    del server.table.found["app"]
    assert len(found["direct"]) > 200
    assert found["gateway"] == found["direct"]
    await server.until(lambda: server.gateway.metrics()["app"].open_upgrades == 0)
    await server.call(lambda: server.gateway.forget_session("app"))
