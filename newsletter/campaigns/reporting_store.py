"""Signatures of the statements in `sql/queries/reporting.sql`, which says what each is for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from newsletter.core.database import Connection
from newsletter.core.queries import Queries

_sql = Queries("reporting")


@dataclass(frozen=True)
class Standing:
    """A campaign with its list and its totals."""

    campaign_id: int
    list_id: int
    slug: str
    time_zone: str
    name: str
    state: str
    created_at: datetime
    scheduled_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    planned: int | None
    pause_reason: str | None
    returned_reason: str | None
    attempting: int
    accepted: int
    deferred: int
    failed: int
    uncertain: int
    skipped: int
    next_due: datetime | None
    unsubscribed: int


@dataclass(frozen=True)
class StandingNow:
    state: str
    planned: int | None
    attempting: int
    accepted: int
    deferred: int
    failed: int
    uncertain: int
    skipped: int
    next_due: datetime | None


@_sql.statement
async def standings(db: Connection, *, before: int, size: int, state: str | None, list_id: int | None) -> list[Standing]: ...


@_sql.statement
async def standing(db: Connection, *, campaign_id: int) -> Standing | None: ...


@_sql.statement
async def standing_now(db: Connection, *, campaign_id: int) -> StandingNow | None: ...


@dataclass(frozen=True)
class PaceRow:
    """`name` as in the `pace` table; `domain` empty: not for people to see."""

    name: str
    domain: str
    free_at: datetime
    slow_rate: float | None
    slowed_at: datetime | None


@_sql.statement
async def paces(
    db: Connection, *, campaign_id: int, kind: str, slowed_since: datetime, free_after: datetime, most: int
) -> list[PaceRow]: ...


@dataclass(frozen=True)
class Point:
    """Totals at one moment."""

    taken_at: datetime
    attempting: int
    accepted: int
    deferred: int
    failed: int
    uncertain: int
    skipped: int


@dataclass(frozen=True)
class DueReport:
    campaign_id: int
    week: date
    finished_at: datetime | None


@dataclass(frozen=True)
class ReplyGroup:
    """Deliveries of which relays said about the same; code 0 and an empty status: none was given."""

    state: str
    code: int
    status: str
    paced: bool
    hint: str
    count: int


@dataclass(frozen=True)
class ReasonRow:
    state: str
    reason: str
    count: int


@dataclass(frozen=True)
class DomainRow:
    """The empty domain stands for so many `domains` with few readers each."""

    domain: str
    domains: int
    tried: int
    accepted: int
    deferred: int
    failed: int
    uncertain: int


@_sql.statement
async def open_report(db: Connection, *, campaign_id: int, now: datetime) -> None: ...


@_sql.statement
async def sample_progress(db: Connection, *, now: datetime, quiet_until: datetime) -> None: ...


@_sql.statement
async def thin_progress(db: Connection, *, most: int) -> None: ...


@_sql.statement
async def progress(db: Connection, *, campaign_id: int, since: datetime) -> list[Point]: ...


@_sql.statement
async def due_reports(db: Connection, *, now: datetime) -> list[DueReport]: ...


@_sql.statement
async def put_off_report(db: Connection, *, campaign_id: int, next_at: datetime) -> None: ...


@_sql.statement
async def finish_report(
    db: Connection, *, campaign_id: int, as_of: datetime, took: float, next_at: datetime | None
) -> None: ...


@_sql.statement
async def forget_folded(db: Connection) -> None: ...


@_sql.statement
async def count_reasons(db: Connection, *, campaign_id: int, week: date, first_id: UUID, last_id: UUID) -> list[ReplyGroup]: ...


@_sql.statement
async def folded_reasons(db: Connection, *, campaign_id: int) -> list[ReplyGroup]: ...


@_sql.statement
async def drop_reasons(db: Connection, *, campaign_id: int) -> None: ...


@_sql.statement
async def put_reason(db: Connection, *, campaign_id: int, state: str, reason: str, count: int) -> None: ...


@_sql.statement
async def drop_domains(db: Connection, *, campaign_id: int) -> None: ...


@_sql.statement
async def count_domains(db: Connection, *, campaign_id: int, week: date, first_id: UUID, last_id: UUID) -> None: ...


@_sql.statement
async def put_domains(db: Connection, *, campaign_id: int, fewest: int) -> None: ...


@_sql.statement
async def drop_parts(db: Connection, *, campaign_id: int) -> None: ...


@_sql.statement
async def report_made(db: Connection, *, campaign_id: int) -> datetime | None: ...


@_sql.statement
async def reasons(db: Connection, *, campaign_id: int) -> list[ReasonRow]: ...


@_sql.statement
async def domains(db: Connection, *, campaign_id: int) -> list[DomainRow]: ...
