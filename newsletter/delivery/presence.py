"""Which workers there are, so that they can share what a relay allows."""

from __future__ import annotations

from datetime import timedelta

from newsletter.core.clock import Clock
from newsletter.core.database import Database
from newsletter.delivery import store
from newsletter.delivery.lanes import Lanes

PRESENT_FOR = timedelta(seconds=15)
"""After which a worker that fell silent leaves its share to the others."""


class Presence:
    """One worker's sign of life, and its share of the connections in its lanes."""

    def __init__(self, db: Database, clock: Clock, lanes: Lanes, *, worker: str) -> None:
        self._db = db
        self._clock = clock
        self._lanes = lanes
        self._worker = worker

    async def show(self) -> None:
        """Here we are; take the share that follows from who else is."""
        now = self._clock.now()
        found = await store.be_present(self._db, worker=self._worker, until=now + PRESENT_FOR, now=now)
        self._lanes.share(workers=found.workers, before=found.before)

    async def leave(self) -> None:
        """The others need not wait until we are missed."""
        await store.leave(self._db, worker=self._worker)
