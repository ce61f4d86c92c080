"""The one place that reads a clock.

Time is a parameter everywhere below the outermost loops. Those ask a `Clock`; in production it follows the database's clock, so
that all hosts agree on what is due, and runs on the monotonic clock between two looks at it.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from newsletter.core.database import Connection
from newsletter.core.queries import Queries

_sql = Queries("core")


@_sql.statement
async def database_time(db: Connection) -> datetime: ...


class Clock(Protocol):
    """Where the outermost loops get the time from; tests bring one that they can move."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""


class DatabaseClock:
    """The database's time: a base plus the monotonic time since, refreshed by its owner about once a minute."""

    def __init__(self) -> None:
        self._base = datetime.now(UTC)
        self._read_at = time.monotonic()

    def now(self) -> datetime:
        return self._base + timedelta(seconds=time.monotonic() - self._read_at)

    async def refresh(self, db: Connection) -> None:
        """Ask the database once; half of the round trip is taken for the way back."""
        before = time.monotonic()
        base = await database_time(db)
        self._base, self._read_at = base, (before + time.monotonic()) / 2
