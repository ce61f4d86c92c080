"""What became of a campaign: its totals over time, why mails were not taken, and by which domains.

These figures take a look at every delivery, so they are made beside the pages by a job, at intervals that grow with what they
cost, and kept as sums when the deliveries are dropped. A domain with few readers is put together with others, and a sum under
five is not shown: it might be somebody in particular.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from newsletter.campaigns import reporting_store
from newsletter.campaigns.reporting_store import DomainRow, DueReport, Point
from newsletter.campaigns.service import Status
from newsletter.campaigns.watching import Progress
from newsletter.core.database import Connection, Database
from newsletter.core.errors import DatabaseError
from newsletter.core.keys import id_parts
from newsletter.core.logs import get_logger
from newsletter.delivery.reasons import explain, reason_of

SAMPLE_EVERY = timedelta(seconds=10)
MOST_POINTS = 240
"""Of one campaign's progress; beyond that every other goes."""

AT_LEAST = timedelta(seconds=20)
"""Between two reports of one campaign."""
TIMES_ITS_COST = 50
"""A report that takes a second is made every 50 seconds: they may take a fiftieth of the time."""
SETTLED_AFTER = timedelta(minutes=1)
"""What was in flight when a campaign ended is written by then: its last report is made."""
PUT_OFF = timedelta(minutes=10)
PARTS = 32
"""That a campaign's deliveries are counted in."""

FEWEST_READERS = 20
"""Of a domain that is named."""
FEWEST_SHOWN = 5
"""A sum that is shown."""
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

log = get_logger(__name__)


@dataclass(frozen=True)
class ReasonLine:
    """One group of those who were not taken. `count` None: under five."""

    state: str
    words: str
    next: str
    about_us: bool
    count: int | None


@dataclass(frozen=True)
class DomainLine:
    """One domain; of the last line, which stands for `domains` small ones, the name is empty. None: under five."""

    domain: str
    domains: int
    tried: int | None
    accepted: int | None
    deferred: int | None
    failed: int | None
    uncertain: int | None


@dataclass(frozen=True)
class Report:
    """`as_of`: when reasons and domains were counted; None: not yet."""

    as_of: datetime | None
    reasons: Sequence[ReasonLine]
    domains: Sequence[DomainLine]
    points: Sequence[Point]
    """Totals over time, oldest first."""


class Reporting:
    """What the worker notes, and what the pages show of it."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def sample(self, *, now: datetime) -> None:
        """Note the totals of every campaign that is under way, or has just ended, where they have changed."""
        await reporting_store.sample_progress(self._db, now=now, quiet_until=now - SAMPLE_EVERY)
        await reporting_store.thin_progress(self._db, most=MOST_POINTS)

    async def make_due(self, *, now: datetime, before_each: Callable[[], Awaitable[None]]) -> int:
        """Make the reports that are due; returns how many. One that cannot be made does not keep the others.

        What erasing folded goes after the last report, in a transaction of its own: the report's sees one snapshot, so that it
        could not be made while somebody is erased.
        """
        made = 0
        for due in await reporting_store.due_reports(self._db, now=now):
            await before_each()
            try:
                await self._make(due, now)
            except DatabaseError as error:
                log.warning("report_not_made", campaign_id=due.campaign_id, reason=str(error))
            else:
                made += 1
        await reporting_store.forget_folded(self._db)
        return made

    async def _make(self, due: DueReport, now: datetime) -> None:
        await reporting_store.put_off_report(self._db, campaign_id=due.campaign_id, next_at=now + PUT_OFF)
        began = time.perf_counter()
        async with self._db.transaction(snapshot=True) as db:
            await reporting_store.drop_reasons(db, campaign_id=due.campaign_id)
            for (state, name), count in (await self._counted(db, due)).items():
                await reporting_store.put_reason(db, campaign_id=due.campaign_id, state=state, reason=name, count=count)
            await reporting_store.drop_domains(db, campaign_id=due.campaign_id)
            await reporting_store.put_domains(db, campaign_id=due.campaign_id, fewest=FEWEST_READERS)
            await reporting_store.drop_parts(db, campaign_id=due.campaign_id)
            took = time.perf_counter() - began
            await reporting_store.finish_report(
                db, campaign_id=due.campaign_id, as_of=now, took=took, next_at=next_report(due.finished_at, took, now)
            )

    async def _counted(self, db: Connection, due: DueReport) -> Counter[tuple[str, str]]:
        """Readers by state and reason; by domain they are in the table of parts then.

        Part by part, so that no statement takes long for millions, and in one snapshot, so that who is erased meanwhile counts
        once.
        """
        of, week = due.campaign_id, due.week
        groups = await reporting_store.folded_reasons(db, campaign_id=of)
        for first, last in id_parts(PARTS):
            groups += await reporting_store.count_reasons(db, campaign_id=of, week=week, first_id=first, last_id=last)
            await reporting_store.count_domains(db, campaign_id=of, week=week, first_id=first, last_id=last)
        counted: Counter[tuple[str, str]] = Counter()
        for group in groups:
            reason = reason_of(group.state, code=group.code, status=group.status, paced=group.paced, hint=group.hint)
            counted[group.state, reason.value] += group.count
        return counted

    async def report(self, campaign_id: int, *, under_way: bool) -> Report:
        """What there is so far."""
        rows = await reporting_store.reasons(self._db, campaign_id=campaign_id)
        reasons = []
        for row in rows:
            told = explain(row.state, row.reason, under_way=under_way)
            reasons.append(ReasonLine(row.state, told.words, told.next, told.about_us, shown(row.count)))
        return Report(
            as_of=await reporting_store.report_made(self._db, campaign_id=campaign_id),
            reasons=reasons,
            domains=[_domain(row) for row in await reporting_store.domains(self._db, campaign_id=campaign_id)],
            points=await reporting_store.progress(self._db, campaign_id=campaign_id, since=_LONG_AGO),
        )


def next_report(finished_at: datetime | None, took: float, now: datetime) -> datetime | None:
    """When to make it again; None: this was the last."""
    if finished_at is not None:
        settled = finished_at + SETTLED_AFTER
        return None if now >= settled else settled
    return now + max(AT_LEAST, timedelta(seconds=took * TIMES_ITS_COST))


def shown(count: int) -> int | None:
    """None for what is not shown: one to four. Nobody is hidden behind a nought."""
    return None if 0 < count < FEWEST_SHOWN else count


def _domain(row: DomainRow) -> DomainLine:
    return DomainLine(
        row.domain,
        row.domains,
        shown(row.tried),
        shown(row.accepted),
        shown(row.deferred),
        shown(row.failed),
        shown(row.uncertain),
    )


def up_to_now(points: Sequence[Point], progress: Progress, finished_at: datetime | None = None) -> Sequence[Point]:
    """With the totals of this moment at the end, where they are not those that were noted last.

    They are noted every few seconds: a page that shows both would contradict itself. What came in when a campaign had ended
    already belongs to its end.
    """
    totals = {
        name: getattr(progress, name) for name in ("attempting", "accepted", "deferred", "failed", "uncertain", "skipped")
    }
    at = finished_at or progress.at
    if not points:
        return [Point(at, **totals)]
    latest = replace(points[-1], **totals)
    return points if latest == points[-1] else by_second([*points, replace(latest, taken_at=max(at, latest.taken_at))])


def by_second(points: Sequence[Point]) -> Sequence[Point]:
    """The last of each second, as times are written: two of one would look like the same row twice."""
    return list({point.taken_at.replace(microsecond=0): point for point in points}.values())


def reached(points: Sequence[Point], share: float, since: datetime | None = None) -> timedelta | None:
    """How long after the start that share of all that are taken by now was taken; None where nothing was."""
    if not points or points[-1].accepted == 0:
        return None
    first = next(point for point in points if point.accepted >= points[-1].accepted * share)
    return max(first.taken_at - (since or points[0].taken_at), timedelta(0))


def busy_part(points: Sequence[Point], share: float = 0.99) -> Sequence[Point]:
    """Until that share was reached: what is tried again for days would press the rest of a chart into its first pixel."""
    end = reached(points, share)
    return points if not end else [point for point in points if point.taken_at - points[0].taken_at <= end]


def as_rows(status: Status, report: Report) -> list[tuple[object, ...]]:
    """For a spreadsheet: one figure a line, with what it is about."""
    rows: list[tuple[object, ...]] = [("about", "what", "outcome", "readers", "note")]
    rows.append(("campaign", status.name, status.state, status.planned, f"list {status.list}"))
    rows += [("total", "", state, count, "") for state, count in status.totals.items()]
    rows.append(("total", "", "unsubscribed because of it", _written(shown(status.unsubscribed)), ""))
    rows += [("reason", each.words, each.state, _written(each.count), each.next) for each in report.reasons]
    for each in report.domains:
        name = each.domain or others(each.domains)
        for outcome in ("tried", "accepted", "deferred", "failed", "uncertain"):
            rows.append(("domain", name, outcome, _written(getattr(each, outcome)), ""))
    for point in by_second(report.points):
        rows.append(("over time", point.taken_at.isoformat(timespec="seconds"), "accepted", point.accepted, ""))
    return rows


def others(domains: int) -> str:
    """What the line of those that are not named is called."""
    return "1 other domain" if domains == 1 else f"{domains:,} other domains"


def _written(count: int | None) -> object:
    return f"under {FEWEST_SHOWN}" if count is None else count
