"""How the promises stand: what is due, what is overdue, when each was last kept, and what will go on which day."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from newsletter.core.database import Database
from newsletter.core.promises import Promise
from newsletter.privacy import store
from newsletter.privacy.rules import RightsRequest
from newsletter.privacy.service import JOB

_DAY = timedelta(days=1)
_GOOD_FOR = timedelta(minutes=10)
"""A forecast for a page is made anew after that: of a million people it takes seconds."""


@dataclass(frozen=True)
class Standing:
    """Of one promise."""

    promise: str
    deadline_s: int
    due: int
    """Rows whose deadline has passed and that are still there."""
    overdue: int
    """Of these, how many are there for longer than their job could need."""
    oldest_overdue_s: int
    """For how long the first of those has been due; 0 when there is none."""
    last_run: datetime | None
    removed: int
    """In the last run."""
    next_run: datetime | None
    """None before the first worker has started."""


@dataclass(frozen=True)
class Forecast:
    """What will be removed on a day, of what is there now."""

    day: date
    promise: str
    removed: int


@dataclass(frozen=True)
class RequestFigures:
    """Of the register: what waits for an answer."""

    open: int
    overdue: int
    refused: int
    """By the relay: nobody has had the mail."""


class Outlook:
    """Over all promises of this installation. Reads, and changes nothing."""

    def __init__(self, db: Database, promises: Sequence[Promise]) -> None:
        self._db = db
        self._promises = promises
        self._looking = asyncio.Lock()
        self._lately: tuple[datetime, int, list[Forecast]] = (datetime.min.replace(tzinfo=UTC), 0, [])

    async def standings(self, *, now: datetime) -> list[Standing]:
        """In the order of declaration."""
        runs = {run.promise: run for run in await store.job_runs(self._db, prefix=JOB)}
        return [await self._standing(promise, runs.get(promise.name), now) for promise in self._promises]

    async def _standing(self, promise: Promise, run: store.JobRun | None, now: datetime) -> Standing:
        due = await promise.due(self._db, now)
        late = await promise.due(self._db, now - promise.grace) if due.due else due
        return Standing(
            promise=promise.name,
            deadline_s=int(promise.deadline.total_seconds()),
            due=due.due,
            overdue=late.due,
            oldest_overdue_s=int((now - due.oldest).total_seconds()) if late.due and due.oldest else 0,
            last_run=run.last_run if run else None,
            removed=run.removed if run else 0,
            next_run=run.next_run if run else None,
        )

    async def alarming(self, *, now: datetime) -> list[RightsRequest]:
        """Requests that somebody has to look at now: overdue, or written on the page and refused by the relay."""
        return [each for each in await store.rights_requests(self._db) if each.mail == "refused" or each.is_overdue(now)]

    async def requests(self, *, now: datetime) -> RequestFigures:
        found = await store.rights_requests(self._db)
        return RequestFigures(
            open=len(found),
            overdue=sum(each.is_overdue(now) for each in found),
            refused=sum(each.mail == "refused" for each in found),
        )

    async def forecast(self, *, days: int, now: datetime) -> list[Forecast]:
        """Day by day (UTC), what is due now with today's. What comes in from now on is not in it."""
        found: list[tuple[int, int, Forecast]] = []
        for order, promise in enumerate(self._promises):
            for number, removed in await self._days_of(promise, days, now):
                found.append((number, order, Forecast(now.date() + number * _DAY, promise.name, removed)))
        return [each for _, _, each in sorted(found, key=lambda each: each[:2])]

    async def forecast_lately(self, *, days: int, now: datetime) -> tuple[datetime, list[Forecast]]:
        """The same for a page, where a figure of some minutes ago will do; with when it was made."""
        async with self._looking:
            made_at, of, found = self._lately
            if of != days or not timedelta(0) <= now - made_at < _GOOD_FOR:
                self._lately = made_at, of, found = now, days, await self.forecast(days=days, now=now)
        return made_at, found

    async def _days_of(self, promise: Promise, days: int, now: datetime) -> list[tuple[int, int]]:
        """Numbers of the days on which something goes, with how much. A stretch that has nothing costs one question, not one
        for each of its days."""

        async def until_end_of(number: int) -> int:
            end = now.replace(hour=0, minute=0, second=0, microsecond=0) + (number + 1) * _DAY
            return (await promise.due(self._db, end)).due

        async def between(first: int, last: int, before: int, after: int) -> list[tuple[int, int]]:
            if after <= before:
                return []
            if first == last:
                return [(first, after - before)]
            middle = (first + last) // 2
            there = await until_end_of(middle)
            return [*await between(first, middle, before, there), *await between(middle + 1, last, there, after)]

        return await between(0, days - 1, 0, await until_end_of(days - 1)) if days else []
