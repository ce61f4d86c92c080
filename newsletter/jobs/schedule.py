"""Jobs by the clock. Truth (last run, next run, lease) is in PostgreSQL: two workers never run a job twice, and a tick that
was missed is caught up by the next, because what is due stays due."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from newsletter.campaigns.reporting import SAMPLE_EVERY, Reporting
from newsletter.campaigns.scheduling import Scheduling
from newsletter.campaigns.writing import Writing
from newsletter.consent.withdrawal_log import WithdrawalLog
from newsletter.core.clock import Clock
from newsletter.core.database import Database
from newsletter.core.errors import Conflict, DatabaseError, DatabaseUnavailable, StatementTimeout
from newsletter.core.logs import get_logger
from newsletter.jobs import store
from newsletter.privacy.service import JOB, Retention
from newsletter.subscribing.reporting import ListReports

LEASE = timedelta(minutes=10)
"""After which another worker may run a job whose worker fell silent."""

RETRY_AFTER = timedelta(minutes=1)
"""After a run that failed."""

WRITE_EVERY = timedelta(seconds=4)
"""Less than a tick: withdrawals are written at each."""
WRITE_LEASE = timedelta(seconds=30)
"""Short, so that a worker that fell silent leaves a small gap. A lock in the database keeps two from writing at once."""

COUNT_EVERY = timedelta(minutes=5)
"""Readers of lists: measured on a busy machine, a million take less than a second."""
FORGET_EVERY = timedelta(minutes=5)
"""Who has a draft open: good for two minutes, and nobody's business later."""
START_EVERY = timedelta(seconds=4)
"""Less than a tick: a campaign that is due is started at the next."""

log = get_logger(__name__)

Renew = Callable[[], Awaitable[None]]
"""Called now and then by a job that takes long: the lease begins anew. Raises `Conflict` when another worker has the job."""


@dataclass(frozen=True)
class Job:
    """Something to do every so often. `run` is told when it began and returns how many rows it removed or changed."""

    name: str
    every: timedelta
    run: Callable[[datetime, Renew], Awaitable[int]]
    lease: timedelta = LEASE


def withdrawal_job(log: WithdrawalLog) -> Job:
    """Appends withdrawals to the file outside the database, and notices when that file knows more than the database."""

    async def run(now: datetime, renew: Renew) -> int:
        return await log.write(now=now, before_each=renew)

    return Job("write:withdrawals", WRITE_EVERY, run, WRITE_LEASE)


def sizes_job(reports: ListReports) -> Job:
    """Counts the readers of each list, so that no page has to."""

    async def run(now: datetime, _: Renew) -> int:
        await reports.count(now=now)
        return 0

    return Job("count:readers", COUNT_EVERY, run)


def campaign_jobs(scheduling: Scheduling, reporting: Reporting, writing: Writing) -> list[Job]:
    """Start what is due, note how it goes, forget who wrote. They take moments, and nobody is to wait for them."""

    async def start(now: datetime, renew: Renew) -> int:  # noqa: ARG001  done long before the lease ends
        return await scheduling.start_due(now=now)

    async def sample(now: datetime, renew: Renew) -> int:  # noqa: ARG001
        await reporting.sample(now=now)
        return 0  # Or the log would have a line for each.

    async def forget(now: datetime, renew: Renew) -> int:  # noqa: ARG001
        return await writing.forget_open(now=now)

    return [
        Job("campaigns:start", START_EVERY, start, WRITE_LEASE),
        Job("campaigns:progress", SAMPLE_EVERY - timedelta(seconds=1), sample, WRITE_LEASE),
        Job("campaigns:open", FORGET_EVERY, forget, WRITE_LEASE),
    ]


def report_job(reporting: Reporting) -> Job:
    """Looks at every delivery, which may take a while: for a schedule of its own."""

    async def run(now: datetime, renew: Renew) -> int:
        return await reporting.make_due(now=now, before_each=renew)

    return Job("campaigns:reports", START_EVERY, run)


def retention_jobs(retention: Retention) -> list[Job]:
    """One job for each promise."""

    def job(index: int) -> Job:
        promise = retention.promises[index]

        async def run(now: datetime, renew: Renew) -> int:
            return (await retention.keep(promise, now=now, before_each=renew)).removed

        return Job(f"{JOB}{promise.name}", promise.every, run)

    return [job(index) for index in range(len(retention.promises))]


class Schedule:
    """Runs what is due, when ticked. Asks the clock itself, since a job may take longer than a lease."""

    def __init__(self, db: Database, clock: Clock, jobs: Sequence[Job], *, worker: str) -> None:
        self._db = db
        self._clock = clock
        self._jobs = jobs
        self._worker = worker
        self._stopping = False

    def stop(self) -> None:
        """Begin no other job; the one at work is finished."""
        self._stopping = True

    async def run_due(self) -> list[str]:
        """Run every job that is due and that nobody else runs; returns their names."""
        if self._stopping:
            return []
        due = await store.due_jobs(self._db, names=[job.name for job in self._jobs], now=self._clock.now())
        return [job.name for job in self._jobs if job.name in due and not self._stopping and await self._run_if_due(job)]

    async def _run_if_due(self, job: Job) -> bool:
        now = self._clock.now()
        epoch = await store.claim_job(self._db, name=job.name, worker=self._worker, now=now, lease_until=now + job.lease)
        if epoch is None:
            return False
        try:
            changed = await job.run(now, self._renewal(job, epoch))
        except asyncio.CancelledError:
            await self._hand_back(job, epoch, "stopped")
            raise
        except Exception as error:
            if isinstance(error, DatabaseUnavailable) and not isinstance(error, StatementTimeout):
                await self._hand_back(job, epoch, type(error).__name__)
                raise  # What is due after it cannot be done either.
            log.exception("job_failed", job=job.name)
            await self._finish(job, epoch, self._clock.now() + RETRY_AFTER, type(error).__name__)
        else:
            if changed or job.every >= timedelta(
                minutes=1
            ):  # Or every few seconds a line would say that nothing was to be done.
                log.info("job_done", job=job.name, changed=changed)
            await self._finish(job, epoch, now + job.every, None)
        return True

    def _renewal(self, job: Job, epoch: int) -> Renew:
        async def renew() -> None:
            if not await store.renew_job(self._db, name=job.name, epoch=epoch, lease_until=self._clock.now() + job.lease):
                raise Conflict("Another worker runs this job by now.")

        return renew

    async def _hand_back(self, job: Job, epoch: int, why: str) -> None:
        """So that nobody has to wait for the lease to end; where the database cannot be told, they do."""
        try:
            await self._finish(job, epoch, self._clock.now() + min(RETRY_AFTER, job.every), why)
        except DatabaseError as error:
            log.warning("job_not_handed_back", job=job.name, reason=str(error))

    async def _finish(self, job: Job, epoch: int, next_run_at: datetime, error: str | None) -> None:
        now = self._clock.now()
        await store.finish_job(self._db, name=job.name, epoch=epoch, now=now, next_run_at=next_run_at, error=error)
