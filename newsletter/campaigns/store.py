"""Signatures of the statements in `sql/queries/campaigns.sql`, which says what each is for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

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


# Test mails.


@_sql.statement
async def hold_trials(db: Connection, *, operator: str) -> None: ...


@_sql.statement
async def count_trials(db: Connection, *, operator: str, action: str, since: datetime) -> int: ...
