"""What Prometheus reads of the sessions."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from jupyter_sessions.gateway import Metrics
from jupyter_sessions.monitoring import SessionCollector

from .conftest import Api


class _Gateway:
    def metrics(self) -> dict[str, Metrics]:
        idle = Metrics()
        busy = Metrics(requests=3, bytes_in=10, bytes_out=2**40, open_upgrades=1)
        busy.last_activity = 1795258799.25
        return {"idle": idle, "busy": busy}


def test_each_session_has_its_counts() -> None:
    registry = CollectorRegistry()
    registry.register(SessionCollector(_Gateway()))
    lines = generate_latest(registry).decode().splitlines()
    assert 'jupyter_sessions_requests_total{session="busy"} 3.0' in lines
    assert 'jupyter_sessions_requests_total{session="idle"} 0.0' in lines
    assert 'jupyter_sessions_bytes_out_total{session="busy"} 1.099511627776e+12' in lines
    assert 'jupyter_sessions_open_upgrades{session="busy"} 1.0' in lines
    assert 'jupyter_sessions_last_activity{session="busy"} 1.79525879925e+09' in lines
    assert not any(
        line.startswith('jupyter_sessions_last_activity{session="idle"') for line in lines
    )


async def test_they_stand_among_jupyters_own(
    api: Api, http_server_client: Any, jp_auth_header: dict[str, str]
) -> None:
    session = await api.start()

    async def get(path: str) -> str:
        url = f"{api.base_url}{path}"
        answer = await http_server_client.fetch(url, headers=jp_auth_header)
        return str(answer.body.decode())

    await get(f"sessions/{session.id}/")
    assert f'jupyter_sessions_requests_total{{session="{session.id}"}} 1.0' in await get("metrics")
