"""Signatures of the statements in `sql/queries/campaigns.sql`, which says what each is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from newsletter.core.database import Connection
from newsletter.core.queries import Queries

_sql = Queries("campaigns")


@dataclass(frozen=True)
class CampaignRow:
    campaign_id: int
    list_id: int
    name: str
    state: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    message_key: bytes | None
    message_domain: str | None
    planned: int | None
    pause_reason: str | None


@dataclass(frozen=True)
class ContentRow:
    language: str
    subject: str
    preheader: str
    format: str
    body: str


@_sql.statement
async def add_campaign(
    db: Connection, *, list_id: int, name: str, uncertain_policy: str, is_notice: bool, now: datetime
) -> int: ...


@_sql.statement
async def put_content(
    db: Connection,
    *,
    campaign_id: int,
    language: str,
    subject: str,
    preheader: str,
    format: str,
    body: str,
) -> None: ...


@_sql.statement
async def campaign(db: Connection, *, campaign_id: int) -> CampaignRow | None: ...


@_sql.statement
async def contents(db: Connection, *, campaign_id: int) -> list[ContentRow]: ...


@_sql.statement
async def pause(db: Connection, *, campaign_id: int) -> bool: ...


@_sql.statement
async def resume(db: Connection, *, campaign_id: int) -> bool: ...


@_sql.statement
async def cancel(db: Connection, *, campaign_id: int, now: datetime) -> bool: ...


@_sql.statement
async def count_under_way(db: Connection) -> int: ...


# Writing.


@dataclass(frozen=True)
class DraftHeld:
    list_id: int
    state: str


@dataclass(frozen=True)
class WrittenRow:
    language: str
    subject: str
    preheader: str
    format: str
    body: str
    version: int
    fault: str | None


@dataclass(frozen=True)
class WrittenLanguage:
    language: str
    version: int
    fault: str | None


@dataclass(frozen=True)
class VersionLine:
    version: int
    saved_at: datetime
    saved_by: str
    subject: str
    size: int


@dataclass(frozen=True)
class VersionRow:
    version: int
    saved_at: datetime
    saved_by: str
    subject: str
    preheader: str
    format: str
    body: str


@dataclass(frozen=True)
class LayoutLine:
    layout_id: int
    name: str
    subject: str
    format: str
    saved_at: datetime
    saved_by: str


@dataclass(frozen=True)
class LayoutRow:
    layout_id: int
    name: str
    subject: str
    preheader: str
    format: str
    body: str
    version: int
    saved_at: datetime
    saved_by: str


@dataclass(frozen=True)
class ImageRow:
    hash: str
    kind: str
    width: int
    height: int
    name: str
    alt: str
    size: int
    added_at: datetime
    added_by: str


@dataclass(frozen=True)
class ImageContent:
    kind: str
    content: bytes


@dataclass(frozen=True)
class CampaignName:
    campaign_id: int
    name: str


@dataclass(frozen=True)
class SampleRow:
    language: str
    readers: int
    named: int


@dataclass(frozen=True)
class LeftOut:
    reason: str
    readers: int


@_sql.statement
async def hold_draft(db: Connection, *, campaign_id: int) -> DraftHeld | None: ...


@_sql.statement
async def written(db: Connection, *, campaign_id: int, language: str) -> WrittenRow | None: ...


@_sql.statement
async def written_languages(db: Connection, *, campaign_id: int) -> list[WrittenLanguage]: ...


@_sql.statement
async def save_content(
    db: Connection,
    *,
    campaign_id: int,
    language: str,
    subject: str,
    preheader: str,
    format: str,
    body: str,
    version: int,
    fault: str | None,
) -> None: ...


@_sql.statement
async def set_fault(db: Connection, *, campaign_id: int, language: str, version: int, fault: str | None) -> None: ...


@_sql.statement
async def keep_before(db: Connection, *, campaign_id: int, language: str) -> None: ...


@_sql.statement
async def add_version(
    db: Connection,
    *,
    campaign_id: int,
    language: str,
    version: int,
    subject: str,
    preheader: str,
    format: str,
    body: str,
    by: str,
    now: datetime,
) -> None: ...


@_sql.statement
async def last_version(db: Connection, *, campaign_id: int, language: str) -> int: ...


@_sql.statement
async def versions(db: Connection, *, campaign_id: int, language: str) -> list[VersionLine]: ...


@_sql.statement
async def version(db: Connection, *, campaign_id: int, language: str, version: int) -> VersionRow | None: ...


@_sql.statement
async def drop_versions(db: Connection, *, campaign_id: int, language: str, numbers: Sequence[int]) -> None: ...


@_sql.statement
async def drop_content(db: Connection, *, campaign_id: int, language: str) -> bool: ...


@_sql.statement
async def rename_campaign(db: Connection, *, campaign_id: int, name: str) -> bool: ...


@_sql.statement
async def note_open(db: Connection, *, campaign_id: int, operator: str, now: datetime) -> None: ...


@_sql.statement
async def forget_open(db: Connection, *, before: datetime) -> None: ...


@_sql.statement
async def open_by(db: Connection, *, campaign_id: int, operator: str, since: datetime) -> list[str]: ...


@_sql.statement
async def add_layout(
    db: Connection, *, name: str, subject: str, preheader: str, format: str, body: str, by: str, now: datetime
) -> int: ...


@_sql.statement
async def save_layout(
    db: Connection,
    *,
    layout_id: int,
    version: int,
    name: str,
    subject: str,
    preheader: str,
    format: str,
    body: str,
    by: str,
    now: datetime,
) -> bool: ...


@_sql.statement
async def layout(db: Connection, *, layout_id: int) -> LayoutRow | None: ...


@_sql.statement
async def layouts(db: Connection, *, after: str, size: int) -> list[LayoutLine]: ...


@_sql.statement
async def layout_named(db: Connection, *, name: str) -> int | None: ...


@_sql.statement
async def drop_layout(db: Connection, *, layout_id: int) -> bool: ...


@_sql.statement
async def add_image(
    db: Connection,
    *,
    hash: str,
    kind: str,
    width: int,
    height: int,
    name: str,
    alt: str,
    content: bytes,
    by: str,
    now: datetime,
) -> bool: ...


@_sql.statement
async def image(db: Connection, *, hash: str) -> ImageRow | None: ...


@_sql.statement
async def image_content(db: Connection, *, hash: str) -> ImageContent | None: ...


@_sql.statement
async def images(db: Connection, *, before: datetime, last: str, size: int) -> list[ImageRow]: ...


@_sql.statement
async def known_images(db: Connection, *, hashes: Sequence[str]) -> list[str]: ...


@_sql.statement
async def set_alt(db: Connection, *, hash: str, alt: str) -> bool: ...


@_sql.statement
async def image_campaigns(db: Connection, *, hash: str) -> list[CampaignName]: ...


@_sql.statement
async def image_layouts(db: Connection, *, hash: str) -> list[str]: ...


@_sql.statement
async def drop_image(db: Connection, *, hash: str) -> bool: ...


@_sql.statement
async def audience_sample(db: Connection, *, list_id: int, size: int) -> list[SampleRow]: ...


@_sql.statement
async def suppressed_sample(db: Connection, *, list_id: int, size: int, now: datetime) -> list[LeftOut]: ...


@_sql.statement
async def count_pending(db: Connection, *, list_id: int) -> int: ...


@_sql.statement
async def count_unsubscribed(db: Connection, *, list_id: int) -> int: ...


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
class DueCampaign:
    campaign_id: int
    scheduled_at: datetime


@_sql.statement
async def schedule(db: Connection, *, campaign_id: int, at: datetime) -> bool: ...


@_sql.statement
async def unschedule(db: Connection, *, campaign_id: int) -> bool: ...


@_sql.statement
async def return_to_draft(db: Connection, *, campaign_id: int, reason: str, now: datetime) -> bool: ...


@_sql.statement
async def is_due(db: Connection, *, campaign_id: int, now: datetime) -> bool: ...


@_sql.statement
async def due_campaigns(db: Connection, *, now: datetime) -> list[DueCampaign]: ...


@_sql.statement
async def copy_campaign(db: Connection, *, campaign_id: int, name: str, now: datetime) -> int: ...


@_sql.statement
async def copy_contents(db: Connection, *, campaign_id: int, copy: int) -> None: ...


@_sql.statement
async def delete_draft(db: Connection, *, campaign_id: int) -> bool: ...


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
async def count_reasons(db: Connection, *, campaign_id: int, week: date) -> list[ReplyGroup]: ...


@_sql.statement
async def drop_reasons(db: Connection, *, campaign_id: int) -> None: ...


@_sql.statement
async def put_reason(db: Connection, *, campaign_id: int, state: str, reason: str, count: int) -> None: ...


@_sql.statement
async def drop_domains(db: Connection, *, campaign_id: int) -> None: ...


@_sql.statement
async def count_domains(db: Connection, *, campaign_id: int, week: date, fewest: int) -> None: ...


@_sql.statement
async def report_made(db: Connection, *, campaign_id: int) -> datetime | None: ...


@_sql.statement
async def reasons(db: Connection, *, campaign_id: int) -> list[ReasonRow]: ...


@_sql.statement
async def domains(db: Connection, *, campaign_id: int) -> list[DomainRow]: ...
