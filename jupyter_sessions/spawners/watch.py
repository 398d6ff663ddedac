"""`Watch`: what became of the jobs of a batch spawner, learnt with few questions."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..errors import SpawnerError
from ..session import Handle, Report, Status
from .jobs import TOO_MUCH, Job, Phase, margin_of, report_of

if TYPE_CHECKING:
    from .batch import BatchSpawner

AGAIN = 1.0
"""Seconds between two queries when what is known cannot be all."""
LATELY = 60.0
"""Seconds after a submission or a stop in which the runners are looked at with each poll."""
TOLD = 30
"""Lines at the end of a job's output in which a scheduler may have said why it ended it."""
OUT_OF_MEMORY = re.compile(
    rb"exceeded (job )?memory limit|oom[-_]kill|job killed: \w*mem .* exceeded limit"
    rb"|cgroup mem\w* limit exceeded",
    re.IGNORECASE,
)


class Watch:
    """Asks the scheduler about all sessions at once, and looks at what their runners wrote.

    What it remembers was learnt last; nothing is decided by it that could not be learnt again.

    Parameters
    ----------
    spawner
        Whose jobs they are: has the traits, the host, and `BatchSpawner.query`.
    """

    def __init__(self, spawner: BatchSpawner) -> None:
        self._spawner = spawner
        self._jobs: dict[str, Job] = {}
        self._queried = self._looked = self._lively = float("-inf")
        self._reports: dict[str, Report] = {}
        self._about: set[str] = set()

    def stir(self) -> None:
        """Something has changed: what was learnt before is not worth keeping."""
        self._lively = time.monotonic()
        self._looked = self._queried = float("-inf")

    async def poll(self, handles: Mapping[str, Handle]) -> Mapping[str, Report]:
        """See `Spawner.poll`. Asks nobody while nothing starts or stops and nothing is due."""
        handles = {sid: handle for sid, handle in handles.items() if "directory" in handle}
        now = time.monotonic()
        lively = now - self._lively < LATELY
        about = {str(handle["directory"]) for handle in handles.values()}
        if (
            about == self._about
            and not lively
            and now - self._looked < self._spawner.query_interval
        ):
            return self._reports
        self._reports = dict(await self._look(handles))
        self._looked, self._about = now, about
        if any(r.status in (Status.STARTING, Status.ENDED) for r in self._reports.values()):
            self._lively = now
        return self._reports

    async def _look(self, handles: Mapping[str, Handle]) -> Mapping[str, Report]:
        """One look at all files, and one query if it is time, or if the files say something new.

        The query comes after, so that a job is never older news than what its runner wrote.
        """
        statuses = await self._statuses(handles)
        ids = {
            sid: str(status.get("job") or handles[sid].get("job") or "")
            for sid, status in statuses.items()
        }
        trouble: SpawnerError | None = None
        before = self._queried
        if self._due([i for i in ids.values() if i], statuses, ids):
            try:
                wanted = sorted({i for i in ids.values() if i})
                self._jobs = await self._ask(wanted)
                self._queried = time.monotonic()
            except SpawnerError as error:
                trouble, self._jobs, self._queried = error, {}, float("-inf")
        if self._queried != before:
            # What ended in between has written how since its files were looked at.
            ended = [sid for sid, s in statuses.items() if self._over(ids[sid]) and "exit" not in s]
            statuses |= await self._statuses({sid: handles[sid] for sid in ended})
        reports = {}
        for sid, status in statuses.items():
            report = self._report(handles[sid], ids[sid], status, self._queried != before)
            if report is not None:
                reports[sid] = await self._explained(handles[sid], ids[sid], report)
        if trouble is not None and not reports:
            raise trouble
        return reports

    async def _statuses(self, handles: Mapping[str, Handle]) -> dict[str, Mapping[str, Any]]:
        """What the runners wrote, by session."""
        directories = {sid: str(handle["directory"]) for sid, handle in handles.items()}
        if not directories:
            return {}
        asked = {"directories": list(directories.values())}
        told = (await self._spawner.host.runner("poll", asked))["statuses"]
        return {sid: told.get(path, {}) for sid, path in directories.items()}

    def _over(self, job_id: str) -> bool:
        job = self._jobs.get(job_id)
        return job is not None and job.phase in (Phase.ENDED, Phase.GONE)

    async def _ask(self, wanted: Sequence[str]) -> dict[str, Job]:
        spawner = self._spawner
        return dict(await spawner.silence.ask(spawner.query, wanted)) if wanted else {}

    def _due(
        self, wanted: Sequence[str], statuses: Mapping[str, Any], ids: Mapping[str, str]
    ) -> bool:
        age = time.monotonic() - self._queried
        if age >= self._spawner.query_interval:
            return True
        if age < AGAIN:
            return False
        if any(job_id not in self._jobs for job_id in wanted):
            return True
        for sid, status in statuses.items():
            job = self._jobs.get(ids[sid])
            waits = job is not None and job.phase is Phase.PENDING
            over = self._over(ids[sid])
            if (waits and status.get("ran")) or (not over and status.get("exit")):
                return True
        return False

    def _report(
        self, handle: Handle, job_id: str, status: Mapping[str, Any], fresh: bool
    ) -> Report | None:
        now = datetime.now(UTC)
        job = self._jobs.get(job_id)
        if not job_id:  # stopped before it was submitted: the runner's files are all there is
            job = Job(id="", phase=Phase.GONE) if status.get("exit") else None
        walltime, late = 0.0, self._spawner.queue_timeout
        if job is not None and job.ends is not None and job.started is not None:
            walltime = (job.ends - job.started).total_seconds()
        what = f"{self._spawner.system} job {job_id}"
        submitted = handle.get("submitted")
        waits = job is not None and job.phase is Phase.PENDING and not status.get("ran")
        if waits and late is not None and submitted and now.timestamp() - submitted > late:
            message = f"{what} waited in the queue for more than {late:g} s, and is cancelled."
            return Report(Status.ENDED, reason="queue_timeout", message=message)
        try:
            margin = margin_of(walltime, self._spawner.walltime_margin)
            brings = self._spawner.brings_output
            report = report_of(what, job, status, now, margin, fresh, brings)
        except (ArithmeticError, LookupError, OSError, TypeError, ValueError):
            return None  # its files were tampered with: the other sessions go on
        report = report and self._spawner.located(report, handle)
        return replace(report, again=False) if report and not self._spawner.resubmit else report

    async def _explained(self, handle: Handle, job_id: str, report: Report) -> Report:
        """An end that nobody has explained, with what the scheduler wrote into the job's output."""
        killed = report.exit_code is None and report.reason in ("failed", "exited", "completed")
        if report.status is not Status.ENDED or not killed:
            return report
        with contextlib.suppress(SpawnerError):
            output = self._spawner.output(handle)
            async for chunk in self._spawner.host.follow(output, TOLD, False):
                if OUT_OF_MEMORY.search(chunk):
                    message = f"{self._spawner.system} job {job_id} {TOO_MUCH}."
                    return replace(report, reason="out_of_memory", message=message)
        return report
