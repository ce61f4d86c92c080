"""Jobs by the clock. Truth (last run, next run, lease) is in PostgreSQL: two workers never run a job twice, and a tick that
was missed is caught up by the next, because what is due stays due."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from newsletter.core.database import Database
from newsletter.core.errors import DatabaseUnavailable
from newsletter.core.logs import get_logger
from newsletter.jobs import store
from newsletter.privacy.service import Retention

LEASE = timedelta(minutes=10)
"""After which another worker may run a job whose worker fell silent."""

RETRY_AFTER = timedelta(minutes=1)
"""After a run that failed."""

log = get_logger(__name__)


@dataclass(frozen=True)
class Job:
    """Something to do every so often. `run` returns how many rows it removed or changed."""

    name: str
    every: timedelta
    run: Callable[[datetime], Awaitable[int]]


def retention_jobs(retention: Retention) -> list[Job]:
    """One job for each promise."""

    def job(index: int) -> Job:
        promise = retention.promises[index]

        async def run(now: datetime) -> int:
            return (await retention.keep(promise, now=now)).removed

        return Job(f"keep:{promise.name}", promise.every, run)

    return [job(index) for index in range(len(retention.promises))]


class Schedule:
    """Runs what is due, when ticked."""

    def __init__(self, db: Database, jobs: Sequence[Job], *, worker: str) -> None:
        self._db = db
        self._jobs = jobs
        self._worker = worker

    async def run_due(self, now: datetime) -> list[str]:
        """Run every job that is due and that nobody else runs; returns their names."""
        return [job.name for job in self._jobs if await self._run_if_due(job, now)]

    async def _run_if_due(self, job: Job, now: datetime) -> bool:
        await store.add_job(self._db, name=job.name, now=now)
        epoch = await store.claim_job(self._db, name=job.name, worker=self._worker, now=now, lease_until=now + LEASE)
        if epoch is None:
            return False
        problem: str | None = None
        try:
            changed = await job.run(now)
        except DatabaseUnavailable:
            raise
        except Exception as error:
            log.exception("job_failed", job=job.name)
            next_run_at, problem = now + RETRY_AFTER, type(error).__name__
        else:
            log.info("job_done", job=job.name, changed=changed)
            next_run_at = now + job.every
        await store.finish_job(self._db, name=job.name, epoch=epoch, now=now, next_run_at=next_run_at, error=problem)
        return True
