"""A worker process: sign-up requests, single mails, campaigns and the schedule, each in a loop of its own.

A loop does what there is to do, then waits for a hint (NOTIFY) or its pause, whichever comes first. A database that is gone
for a while ends no loop: it waits and goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from newsletter.campaigns.letter import Letter
from newsletter.campaigns.service import Campaigns
from newsletter.core.clock import Clock
from newsletter.core.database import Database
from newsletter.core.errors import DatabaseUnavailable, NewsletterError
from newsletter.core.logs import get_logger
from newsletter.delivery.batches import BatchRun, claim
from newsletter.delivery.outbox import Outbox
from newsletter.delivery.rules import LEASE
from newsletter.delivery.session import Courier
from newsletter.jobs.schedule import Schedule
from newsletter.subscribing.joining import Joining

POLL = 1.0
"""Seconds between two looks for work when no hint came."""
TICK = 5
"""Seconds between two looks at the schedule."""
DRAIN = 10.0
"""Seconds that a stopping worker takes to finish what it has begun."""

log = get_logger(__name__)


class Worker:
    """`run` until stopped; `run_campaigns_once` and its like are the steps, for tests and for other loops."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        name: str,
        joining: Joining,
        outbox: Outbox,
        schedule: Schedule,
        campaigns: Campaigns,
        courier: Courier,
        chunk: int,
        lease: timedelta = LEASE,
    ) -> None:
        self._db = db
        self._clock = clock
        self._name = name
        self._joining = joining
        self._outbox = outbox
        self._schedule = schedule
        self._campaigns = campaigns
        self._courier = courier
        self._chunk = chunk
        self._lease = lease
        self._stopping = asyncio.Event()
        self._hints: dict[str, asyncio.Event] = {}
        self._ticking: asyncio.Task[None] | None = None
        self._run: BatchRun | None = None
        self._letter: Letter | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; then finishes what has begun, for ten seconds at most, and begins nothing more."""
        scheduler = AsyncIOScheduler(timezone="UTC")
        scheduler.add_job(self._tick, IntervalTrigger(seconds=TICK), coalesce=True, max_instances=1, misfire_grace_time=None)
        loops = [
            asyncio.create_task(self._loop(name, step))
            for name, step in (
                ("requests", self.run_requests_once),
                ("outbox", self._outbox.run_once),
                ("campaigns", self.run_campaigns_once),
            )
        ]
        listening = asyncio.create_task(self._listen())
        scheduler.start()
        log.info("worker_started", worker=self._name)
        try:
            await stop.wait()
        finally:
            self._stop()
            scheduler.pause()  # Shutting it down would cut off the tick that is at work.
            begun = [*loops, self._ticking] if self._ticking else loops
            _, late = await asyncio.wait(begun, timeout=DRAIN)
            for task in (*late, listening):
                task.cancel()
            await asyncio.gather(*begun, listening, return_exceptions=True)
            scheduler.shutdown(wait=False)
            await asyncio.gather(self._courier.close(), self._outbox.close())
            log.info("worker_stopped", worker=self._name, drained=not late)

    def _stop(self) -> None:
        self._stopping.set()
        self._schedule.stop()
        if self._run:
            self._run.stop()
        self._wake("")

    async def run_requests_once(self) -> bool:
        """Decide on one sign-up request; true when there was one."""
        return await self._joining.process_once(now=self._clock.now())

    async def run_campaigns_once(self) -> bool:
        """Work on one batch until it is finished, put off or lost; true when there was one."""
        if self._courier.rest:  # Or every batch would be claimed only to be put off.
            return False
        batch = await claim(self._db, worker=self._name, lease=self._lease, now=self._clock.now())
        if batch is None:
            return False
        if self._letter is None or self._letter.campaign_id != batch.campaign_id:
            self._letter = await self._campaigns.letter(batch.campaign_id)
        self._run = BatchRun(self._db, self._clock, self._courier, self._letter, batch, size=self._chunk, lease=self._lease)
        if self._stopping.is_set():  # Since the batch was claimed.
            self._run.stop()
        try:
            await self._run.run()
        finally:
            self._run = None
        return True

    async def _tick(self) -> None:
        self._ticking = asyncio.current_task()
        try:
            await self._schedule.run_due()
        except DatabaseUnavailable as error:
            log.warning("database_unavailable", loop="schedule", reason=str(error))

    async def _loop(self, name: str, step: Callable[[], Awaitable[bool]]) -> None:
        hint = self._hints[name] = asyncio.Event()
        while not self._stopping.is_set():
            hint.clear()
            try:
                more = await step()
            except DatabaseUnavailable as error:
                log.warning("database_unavailable", loop=name, reason=str(error))
                more = False
            except Exception:
                log.exception("loop_failed", loop=name)
                more = False
            if not more and not self._stopping.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(hint.wait(), POLL)

    def _wake(self, _payload: str) -> None:
        for hint in self._hints.values():
            hint.set()

    async def _listen(self) -> None:
        """Hints make it quick; without them the loops look every second anyway."""
        while True:
            try:
                await self._db.listen("newsletter_work", self._wake)
            except NewsletterError as error:
                log.warning("not_listening", reason=str(error))
            await asyncio.sleep(POLL)
