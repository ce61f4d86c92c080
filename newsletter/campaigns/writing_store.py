"""Signatures of the statements in `sql/queries/writing.sql`, which says what each is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from newsletter.core.database import Connection
from newsletter.core.queries import Queries

_sql = Queries("writing")


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
async def forget_open(db: Connection, *, before: datetime) -> int: ...


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
async def hold_image(db: Connection, *, hash: str) -> bool: ...


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
