"""Keeping promises: each in short batches, each batch a transaction of its own, and a record of the whole run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from gettext import NullTranslations

from newsletter.core.database import Database
from newsletter.core.promises import Kept, Promise
from newsletter.privacy import store

BATCH = 500
"""Rows that one transaction removes at most, so that nobody waits long for a lock."""


class Retention:
    """All promises of this installation."""

    def __init__(self, db: Database, promises: Sequence[Promise]) -> None:
        self._db = db
        self.promises = promises

    def sentences(self, words: NullTranslations) -> list[str]:
        """What the privacy page says, in the order of declaration."""
        return [promise.sentence(words) for promise in self.promises]

    async def keep(self, promise: Promise, *, now: datetime) -> Kept:
        """Remove all that is due at `now` and record the run. Stopped half-way, the next run goes on."""
        removed = 0
        oldest: datetime | None = None
        while True:
            async with self._db.transaction() as connection:
                batch = await promise.keep(connection, now, BATCH)
            removed += batch.removed
            oldest = min((moment for moment in (oldest, batch.oldest) if moment), default=None)
            if batch.removed < BATCH:
                break
        await store.record_run(
            self._db, promise=promise.name, started_at=now, finished_at=now, removed=removed, oldest_due=oldest
        )
        return Kept(removed, oldest)

    async def latest_runs(self) -> dict[str, store.Run]:
        """By promise."""
        return {run.promise: run for run in await store.latest_runs(self._db)}
