"""How the promises stand: what is due, what is overdue, when each was last kept, and what will go on which day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from newsletter.core.database import Database
from newsletter.core.promises import Promise
from newsletter.privacy import store
from newsletter.privacy.rules import RightsRequest
from newsletter.privacy.service import JOB

_DAY = timedelta(days=1)


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
        found: list[Forecast] = []
        counted = dict.fromkeys((promise.name for promise in self._promises), 0)
        for number in range(days):
            day = now.date() + number * _DAY
            end = now.replace(hour=0, minute=0, second=0, microsecond=0) + (number + 1) * _DAY
            for promise in self._promises:
                until_then = (await promise.due(self._db, end)).due
                if until_then > counted[promise.name]:
                    found.append(Forecast(day, promise.name, until_then - counted[promise.name]))
                    counted[promise.name] = until_then
        return found
