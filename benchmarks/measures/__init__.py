"""All measures, by the name that ``--only`` takes."""

from collections.abc import Sequence

from benchmarks.figures import Measure
from benchmarks.measures import api, apps, bulk, http, idle, keystrokes, streams, websocket

GROUPS: dict[str, Sequence[Measure]] = {
    "http": http.MEASURES,
    "bulk": bulk.MEASURES,
    "streams": streams.MEASURES,
    "websocket": websocket.MEASURES,
    "typing": keystrokes.MEASURES,
    "api": api.MEASURES,
    "idle": idle.MEASURES,
    "apps": apps.MEASURES,
}
