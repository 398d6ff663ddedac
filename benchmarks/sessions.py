"""Many sessions at once: how long until all run, and what they cost the manager and each runner.

    python benchmarks/sessions.py [how many, 50 by default]

Prints one line of JSON. Times are of this machine and its load; compare within one run only.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import psutil

from jupyter_sessions.manager import SessionManager
from jupyter_sessions.session import ENDED, State


async def main(count: int) -> None:
    me = psutil.Process()
    with tempfile.TemporaryDirectory(prefix="js-") as root:
        manager = SessionManager(data_dir=f"{root}/js", root_dir="/")
        await manager.start()
        first = await manager.create({"app": "files"})
        await manager.wait_for(first.id, lambda s: s.state in (State.RUNNING, *ENDED))
        before, began = me.memory_info().rss, time.monotonic()
        sessions = await asyncio.gather(*(manager.create({"app": "files"}) for _ in range(count)))
        for session in sessions:
            now = await manager.wait_for(session.id, lambda s: s.state in (State.RUNNING, *ENDED))
            assert now.state is State.RUNNING, now.attempt.message
        started, after = time.monotonic() - began, me.memory_info().rss
        cpu, began = sum(me.cpu_times()[:2]), time.monotonic()
        await asyncio.sleep(10)
        idle = (sum(me.cpu_times()[:2]) - cpu) / (time.monotonic() - began)
        handle = now.attempt.handle or {}
        runner = psutil.Process(
            int(json.loads((Path(handle["directory"]) / "runner.json").read_text())["pid"])
        )
        own = runner.memory_full_info()
        result = {
            "sessions": count,
            "seconds_until_all_run": round(started, 2),
            "manager_kib_per_session": round((after - before) / 1024 / count, 1),
            "manager_cpu_share_while_all_run": round(idle, 4),
            "runner_private_kib": own.uss // 1024,
            "load": os.getloadavg()[0],
        }
        print(json.dumps(result))
        await asyncio.gather(*(manager.delete(s.id) for s in [first, *sessions]))
        await manager.close()


asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50))
