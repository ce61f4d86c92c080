"""Keeping promises: each in short batches, each batch a transaction of its own with the record of what it removed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from gettext import NullTranslations

from newsletter.core.clock import Clock
from newsletter.core.database import Database
from newsletter.core.promises import Kept, Promise
from newsletter.privacy import store

JOB = "keep:"
"""What the job of a promise is called, before the promise's name."""

BATCH = 500
"""Rows that one transaction removes at most, so that nobody waits long for a lock."""


class Retention:
    """All promises of this installation."""

    def __init__(self, db: Database, clock: Clock, promises: Sequence[Promise]) -> None:
        self._db = db
        self._clock = clock
        self.promises = promises

    def sentences(self, words: NullTranslations) -> list[str]:
        """What the privacy page says, in the order of declaration."""
        return [promise.sentence(words) for promise in self.promises]

    async def keep(self, promise: Promise, *, now: datetime, before_each: Callable[[], Awaitable[None]] | None = None) -> Kept:
        """Remove all that is due at `now`, and record what was removed. Stopped half-way, the next run goes on.

        `before_each` is called before each batch; what it raises ends the run there.
        """
        done = Kept(0)
        while True:
            if before_each is not None:
                await before_each()
            batch = await self._keep_batch(promise, now)
            oldest = min((moment for moment in (done.oldest, batch.oldest) if moment), default=None)
            done = Kept(done.removed + batch.removed, oldest)
            if batch.removed < BATCH:
                return done

    async def _keep_batch(self, promise: Promise, now: datetime) -> Kept:
        """Nothing goes without its record, nor is anything recorded that stayed. When a job last ran stands in table `job`."""
        async with self._db.transaction() as connection:
            batch = await promise.keep(connection, now, BATCH)
            if batch.removed:
                await store.record_batch(
                    connection,
                    promise=promise.name,
                    started_at=now,
                    finished_at=max(now, self._clock.now()),  # The clock may be set back a little in between.
                    removed=batch.removed,
                    oldest_due=batch.oldest,
                )
        return batch

    async def latest_runs(self) -> dict[str, store.Run]:
        """By promise, where there was something to remove."""
        return {run.promise: run for run in await store.latest_runs(self._db)}
