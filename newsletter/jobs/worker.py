"""A worker process: sign-up requests, single mails, campaigns and the schedule, each in a loop of its own.

A loop does what there is to do, then waits for a hint (NOTIFY) or its pause, whichever comes first. A database that is gone
for a while ends no loop: it waits and goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from newsletter.core.clock import Clock
from newsletter.core.database import Database
from newsletter.core.errors import DatabaseUnavailable, NewsletterError
from newsletter.core.logs import get_logger
from newsletter.delivery.outbox import Outbox
from newsletter.jobs.schedule import Schedule
from newsletter.jobs.sending import RUNS, CampaignSending
from newsletter.privacy.asking import Asking
from newsletter.subscribing.joining import Joining

POLL = 1.0
"""Seconds between two looks for work when no hint came."""
TICK = 5
"""Seconds between two looks at the schedule."""
PRESENT_EVERY = 5.0
"""Seconds between two signs of life to the other workers."""
DRAIN = 10.0
"""Seconds that a stopping worker takes to finish what it has begun."""

log = get_logger(__name__)


class Worker:
    """`run` until stopped; `run_campaigns_once` and its like are the steps, for tests and for other loops.

    `beside`: schedules of jobs that must not wait for a long sweep of the others.
    """

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        name: str,
        joining: Joining,
        asking: Asking,
        outbox: Outbox,
        schedule: Schedule,
        sending: CampaignSending,
        beside: Sequence[Schedule] = (),
    ) -> None:
        self._db = db
        self._clock = clock
        self._name = name
        self._joining = joining
        self._asking = asking
        self._outbox = outbox
        self._schedules = [schedule, *beside]
        self._sending = sending
        self._stopping = asyncio.Event()
        self._hints: dict[str, asyncio.Event] = {}
        self._ticking: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; then finishes what has begun, for ten seconds at most, and begins nothing more."""
        scheduler = AsyncIOScheduler(timezone="UTC")
        for schedule in self._schedules:
            every = IntervalTrigger(seconds=TICK)
            scheduler.add_job(self._tick, every, [schedule], coalesce=True, max_instances=1, misfire_grace_time=None)
        loops = [
            asyncio.create_task(self._send_single_mails()),
            asyncio.create_task(self._loop("requests", self.run_requests_once)),
            *(asyncio.create_task(self._loop(f"campaigns {number}", self.run_campaigns_once)) for number in range(1, RUNS + 1)),
        ]
        beside = [asyncio.create_task(self._listen()), asyncio.create_task(self._be_present())]
        scheduler.start()
        log.info("worker_started", worker=self._name)
        try:
            await stop.wait()
        finally:
            self._stop()
            scheduler.pause()  # Shutting it down would cut off the tick that is at work.
            begun = [*loops, *self._ticking]
            _, late = await asyncio.wait(begun, timeout=DRAIN)
            for task in (*late, *beside):
                task.cancel()
            await asyncio.gather(*begun, *beside, return_exceptions=True)
            scheduler.shutdown(wait=False)
            await asyncio.gather(self._sending.close(), self._outbox.close(), return_exceptions=True)
            log.info("worker_stopped", worker=self._name, drained=not late)

    def _stop(self) -> None:
        self._stopping.set()
        for schedule in self._schedules:
            schedule.stop()
        self._sending.stop()
        self._wake("")

    async def run_requests_once(self) -> bool:
        """Decide on one sign-up, and on one request for a link to somebody's data; true when there was any."""
        now = self._clock.now()
        signed_up = await self._joining.process_once(now=now)
        return await self._asking.process_once(now=now) or signed_up

    async def run_campaigns_once(self) -> bool:
        """Work on one batch of a campaign; true when there was one."""
        return await self._sending.run_once()

    async def _send_single_mails(self) -> None:
        await self._loop("outbox", self._outbox.run_once)
        await self._outbox.finish()

    async def _be_present(self) -> None:
        while True:
            try:
                await self._sending.be_present()
            except NewsletterError as error:
                log.warning("not_present", reason=str(error))
            await asyncio.sleep(PRESENT_EVERY)

    async def _tick(self, schedule: Schedule) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._ticking.add(task)
        task.add_done_callback(self._ticking.discard)
        try:
            await schedule.run_due()
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
