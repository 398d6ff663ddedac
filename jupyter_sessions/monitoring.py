"""What the gateway counted, at the server's ``/metrics``, beside what Jupyter counts of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .gateway import Metrics

_COUNTERS = {
    "requests": "Requests passed on to the app.",
    "failures": "Requests that the app did not answer properly.",
    "bytes_in": "Bytes of bodies and upgraded connections, to the app.",
    "bytes_out": "Bytes of bodies and upgraded connections, from the app.",
    "wait_seconds": "Time until the heads of the app's answers came, in all.",
}
_GAUGES = {
    "open_requests": "Requests that are being served.",
    "open_upgrades": "Websockets and other upgraded connections that are open.",
    "last_activity": "When more than a websocket's keepalive passed, in seconds since the epoch.",
}


class Source(Protocol):
    """Who counts: the gateway."""

    def metrics(self) -> Mapping[str, Metrics]: ...


class SessionCollector(Collector):
    """Gives Prometheus the counts of each session, with its id as the label ``session``."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        """Called by prometheus_client for each request to ``/metrics``."""
        counts = self._source.metrics()
        for kind, names in ((CounterMetricFamily, _COUNTERS), (GaugeMetricFamily, _GAUGES)):
            for name, text in names.items():
                family = kind(f"jupyter_sessions_{name}", text, labels=["session"])
                for session_id, metrics in counts.items():
                    if (value := getattr(metrics, name)) is not None:
                        family.add_metric([session_id], value)
                yield family

    def register(self) -> None:
        REGISTRY.register(self)

    def unregister(self) -> None:
        REGISTRY.unregister(self)
