"""The one place that reads a clock.

Time is a parameter everywhere below the outermost loops. Those ask a `Clock`; in production it follows the database's clock, so
that all hosts agree on what is due, and runs on the monotonic clock between two looks at it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from newsletter.core.database import Connection, Database
from newsletter.core.queries import Queries

QUICK = 0.5
"""Seconds that a look at the database's clock may take to be believed; a slower one may be wrong by half of what it took."""

_sql = Queries("core")


@_sql.statement
async def database_time(db: Connection) -> datetime: ...


class Clock(Protocol):
    """Where the outermost loops get the time from; tests bring one that they can move."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""


class DatabaseClock:
    """The database's time: a base plus the monotonic time since, refreshed by its owner about once a minute."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._base = datetime.now(UTC)
        self._read_at = monotonic()
        self._took = math.inf

    def now(self) -> datetime:
        return self._base + timedelta(seconds=self._monotonic() - self._read_at)

    async def refresh(self, db: Database) -> None:
        """Ask the database once; half of the round trip is taken for the way back.

        On a connection that is there already: waiting for one is no part of the round trip. A slow answer is passed over where
        the last one that counted was quicker.
        """
        async with db.transaction() as connection:
            before = self._monotonic()
            base = await database_time(connection)
            after = self._monotonic()
        if after - before <= max(QUICK, self._took):
            self._base, self._read_at, self._took = base, (before + after) / 2, after - before
