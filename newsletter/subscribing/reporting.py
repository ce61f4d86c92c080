"""What operators see of lists: how large they are, what came and went, which words they asked with.

Nothing here reads millions of rows for a page: a small list is counted as it is looked at, a large one by a job every few
minutes, and growth is in the depersonalised counts of each day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from newsletter.core.database import Connection, Database
from newsletter.core.keys import id_parts
from newsletter.subscribing import lists_store
from newsletter.subscribing.lists import MailingList, all_lists, list_by_slug
from newsletter.subscribing.lists_store import KnownSize
from newsletter.subscribing.views import Month, UsedWording

EXACT = 1000
"""Up to so many readers of a list in a state are counted at each look."""
MONTHS = 12
"""That a chart goes back, with the one that has begun."""
MOST_WORDINGS = 50
PARTS = 32
"""That all ids are counted in, one after the other."""


@dataclass(frozen=True)
class Size:
    """Readers of a list. `counted_at`: since when that may have changed; None: it is so now. `is_least`: there are more."""

    confirmed: int = 0
    pending: int = 0
    unsubscribed: int = 0
    counted_at: datetime | None = None
    is_least: bool = False


@dataclass(frozen=True)
class ListLine:
    """A list among others. What was confirmed and unsubscribed is that of the month that has begun (UTC)."""

    list: MailingList
    size: Size
    confirmed: int
    unsubscribed: int


@dataclass(frozen=True)
class Curve:
    """How many readers a list had at the end of each month, reckoned back from those of today; the last is today's."""

    list: MailingList
    size: Size
    readers: Sequence[int]


@dataclass(frozen=True)
class ListReport:
    """One list. `months` holds each of the last twelve, the oldest first."""

    list: MailingList
    size: Size
    months: Sequence[Month]
    wordings: Sequence[UsedWording]
    shares_sender_with: Sequence[str]
    """Short names of the sender's other lists."""

    @property
    def confirmed(self) -> int:
        return sum(each.confirmed for each in self.months)

    @property
    def unsubscribed(self) -> int:
        return sum(each.unsubscribed for each in self.months)


class ListReports:
    """Use cases that change nothing but what `count` remembers."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def lines(self, *, now: datetime) -> list[ListLine]:
        """All lists, in the order of their numbers."""
        known = await sizes_at_hand(self._db)
        grown = {row.list_id: row for row in await lists_store.growth(self._db, since=now.date().replace(day=1))}
        return [
            ListLine(
                each,
                known.get(each.list_id, Size()),
                grown[each.list_id].confirmed if each.list_id in grown else 0,
                grown[each.list_id].unsubscribed if each.list_id in grown else 0,
            )
            for each in await all_lists(self._db)
        ]

    async def report(self, slug: str, *, now: datetime) -> ListReport:
        """Raises `NotFound`."""
        found = await list_by_slug(self._db, slug)
        since = _months_back(now.date(), MONTHS - 1)
        others = [row for row in await lists_store.senders(self._db) if row.sender_id == found.sender.sender_id]
        return ListReport(
            found,
            await self.size(found.list_id),
            _each_month(await lists_store.list_months(self._db, list_id=found.list_id, since=since), since),
            await lists_store.list_wordings(self._db, list_id=found.list_id, size=MOST_WORDINGS),
            [slug for row in others for slug in row.slugs if slug != found.slug],
        )

    async def curves(self, *, most: int, now: datetime) -> tuple[list[date], list[Curve]]:
        """The months of a year, and the largest lists that are open; at most so many."""
        known, since = await sizes_at_hand(self._db), _months_back(now.date(), MONTHS - 1)
        open_lists = [each for each in await all_lists(self._db) if not each.closed]
        largest = sorted(open_lists, key=lambda each: -known.get(each.list_id, Size()).confirmed)[:most]
        curves = []
        for each in largest:
            months = _each_month(await lists_store.list_months(self._db, list_id=each.list_id, since=since), since)
            size = known.get(each.list_id, Size())
            curves.append(Curve(each, size, _reckoned_back(size.confirmed, months)))
        return [_months_back(since, -number) for number in range(MONTHS)], curves

    async def size(self, list_id: int) -> Size:
        return (await sizes_at_hand(self._db, list_id)).get(list_id, Size())

    async def count(self, *, now: datetime) -> None:
        """Counts every subscription, for a job, not for a page; part by part, so that no statement takes long for millions."""
        totals: dict[int, Counter[str]] = {}
        for first_id, last_id in id_parts(PARTS):
            for row in await lists_store.count_part(self._db, first_id=first_id, last_id=last_id):
                here = {"confirmed": row.confirmed, "pending": row.pending, "unsubscribed": row.unsubscribed}
                totals.setdefault(row.list_id, Counter()).update(here)
        await lists_store.keep_sizes(
            self._db,
            list_ids=list(totals),
            confirmed=[each["confirmed"] for each in totals.values()],
            pending=[each["pending"] for each in totals.values()],
            unsubscribed=[each["unsubscribed"] for each in totals.values()],
            now=now,
        )


async def sizes_at_hand(db: Connection, list_id: int | None = None) -> dict[int, Size]:
    """Of that list, or of all."""
    return {row.list_id: _size(row) for row in await lists_store.known_sizes(db, list_id=list_id, most=EXACT + 1)}


def _size(row: KnownSize) -> Size:
    states = [
        _number(row.confirmed, row.counted_confirmed),
        _number(row.pending, row.counted_pending),
        _number(row.unsubscribed, row.counted_unsubscribed),
    ]
    confirmed, pending, unsubscribed = (number for number, _ in states)
    is_exact = all(exact for _, exact in states)
    return Size(
        confirmed,
        pending,
        unsubscribed,
        counted_at=None if is_exact else row.counted_at,
        is_least=not is_exact and row.counted_at is None,
    )


def _number(live: int, counted: int | None) -> tuple[int, bool]:
    """And whether it is exact. What has grown beyond since it was counted is at least so much."""
    if live <= EXACT:
        return live, True
    return max(EXACT, counted or 0), False


def _reckoned_back(readers: int, months: Sequence[Month]) -> list[int]:
    """Who deleted everything without unsubscribing is in no month's count, so that it may be a few short further back."""
    ends = [readers]
    for month in reversed(months[1:]):
        ends.append(max(0, ends[-1] - month.confirmed + month.unsubscribed))
    return ends[::-1]


def _months_back(day: date, months: int) -> date:
    """The first of the month so many before."""
    years, month = divmod(day.month - 1 - months, 12)
    return date(day.year + years, month + 1, 1)


def _each_month(rows: Sequence[Month], since: date) -> list[Month]:
    known = {row.month: row for row in rows}
    months = [_months_back(since, -number) for number in range(MONTHS)]
    return [known.get(month, Month(month, 0, 0, 0, 0, 0)) for month in months]
