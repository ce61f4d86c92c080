"""Signatures of the statements in `sql/queries/privacy.sql`, which says what each is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from newsletter.consent.rules import Suppression
from newsletter.core.database import Connection
from newsletter.core.promises import Due, Kept
from newsletter.core.queries import Queries
from newsletter.privacy.holdings import (
    Act,
    Confirmation,
    Delivery,
    Event,
    HandedIn,
    Person,
    Subscription,
    WaitingMail,
    Withdrawal,
)
from newsletter.privacy.policy import Subprocessor, Version
from newsletter.privacy.rules import RightsRequest

_sql = Queries("privacy")


@dataclass(frozen=True)
class Run:
    """All batches of one run together."""

    promise: str
    started_at: datetime
    finished_at: datetime
    removed: int
    oldest_due: datetime | None


@dataclass(frozen=True)
class JobRun:
    promise: str
    last_run: datetime | None
    next_run: datetime
    removed: int


@dataclass(frozen=True)
class TextRow:
    language: str
    content: str


@dataclass(frozen=True)
class DataRequest:
    request_id: int
    subscriber_id: UUID
    address: str
    language: str
    expires_at: datetime


@dataclass(frozen=True)
class ContactMessage:
    address: str
    content: str
    received_at: datetime


@dataclass(frozen=True)
class RequestRow:
    """`has_message`: one that was not handed over as a mail, whether its text is still there or not."""

    channel: str
    has_message: bool
    writer_erased: bool


@_sql.statement
async def record_batch(
    db: Connection,
    *,
    promise: str,
    started_at: datetime,
    finished_at: datetime,
    removed: int,
    oldest_due: datetime | None,
) -> None: ...


@_sql.statement
async def latest_runs(db: Connection) -> list[Run]: ...


@_sql.statement
async def job_runs(db: Connection, *, prefix: str) -> list[JobRun]: ...


@_sql.statement
async def expire_runs(db: Connection, *, before: datetime, size: int) -> Kept: ...


@_sql.statement
async def due_runs(db: Connection, *, before: datetime) -> Due: ...


@_sql.statement
async def add_version(db: Connection, *, version: int, notice: str, reason: str | None, now: datetime) -> None: ...


@_sql.statement
async def add_text(db: Connection, *, version: int, language: str, content: str) -> None: ...


@_sql.statement
async def versions(db: Connection) -> list[Version]: ...


@_sql.statement
async def texts(db: Connection, *, version: int) -> list[TextRow]: ...


@_sql.statement
async def mark_mailed(db: Connection, *, version: int) -> bool: ...


@_sql.statement
async def subprocessors(db: Connection) -> list[Subprocessor]: ...


@_sql.statement
async def add_subprocessor(
    db: Connection, *, name: str, purpose: str, country: str, safeguard: str, hosts: Sequence[str], now: datetime
) -> int | None: ...


@_sql.statement
async def edit_subprocessor(
    db: Connection, *, name: str, purpose: str | None, country: str | None, safeguard: str | None, hosts: Sequence[str] | None
) -> int | None: ...


@_sql.statement
async def remove_subprocessor(db: Connection, *, name: str) -> int | None: ...


@_sql.statement
async def insert_data_request(
    db: Connection,
    *,
    subscriber_id: UUID,
    address: str,
    language: str,
    network_code: bytes | None,
    now: datetime,
    expires_at: datetime,
    hit_expires_at: datetime,
) -> None: ...


@_sql.statement
async def next_data_request(db: Connection, *, now: datetime) -> DataRequest | None: ...


@_sql.statement
async def postpone_data_request(db: Connection, *, request_id: int, not_before: datetime) -> None: ...


@_sql.statement
async def decide_data_request(db: Connection, *, request_id: int) -> None: ...


@_sql.statement
async def drop_data_request(db: Connection, *, request_id: int) -> None: ...


@_sql.statement
async def data_request(db: Connection, *, request_id: int) -> DataRequest | None: ...


@_sql.statement
async def expire_data_requests(db: Connection, *, now: datetime, size: int) -> Kept: ...


@_sql.statement
async def due_data_requests(db: Connection, *, now: datetime) -> Due: ...


@_sql.statement
async def list_that_speaks(db: Connection, *, subscriber_id: UUID) -> int | None: ...


@_sql.statement
async def is_remembered(db: Connection, *, subscriber_id: UUID, now: datetime) -> bool: ...


@_sql.statement
async def ever_confirmed(db: Connection, *, subscriber_id: UUID) -> bool: ...


@_sql.statement
async def held_person(db: Connection, *, subscriber_id: UUID) -> Person | None: ...


@_sql.statement
async def held_subscriptions(db: Connection, *, subscriber_id: UUID) -> list[Subscription]: ...


@_sql.statement
async def held_events(db: Connection, *, subscriber_id: UUID) -> list[Event]: ...


@_sql.statement
async def held_deliveries(db: Connection, *, subscriber_id: UUID) -> list[Delivery]: ...


@_sql.statement
async def held_suppressions(db: Connection, *, subscriber_id: UUID, now: datetime) -> list[Suppression]: ...


@_sql.statement
async def held_withdrawals(db: Connection, *, subscriber_id: UUID) -> list[Withdrawal]: ...


@_sql.statement
async def held_confirmations(db: Connection, *, subscriber_id: UUID) -> list[Confirmation]: ...


@_sql.statement
async def held_mails(db: Connection, *, subscriber_id: UUID) -> list[WaitingMail]: ...


@_sql.statement
async def held_acts(db: Connection, *, subscriber_id: UUID) -> list[Act]: ...


@_sql.statement
async def held_requests(db: Connection, *, subscriber_id: UUID) -> list[HandedIn]: ...


@_sql.statement
async def queue_contact(
    db: Connection,
    *,
    subscriber_id: UUID,
    address: str,
    content: str,
    language: str,
    speaks: str,
    list_id: int,
    mail_id: UUID,
    network_code: bytes | None,
    now: datetime,
    due_at: datetime,
    expires_at: datetime,
    hit_expires_at: datetime,
) -> None: ...


@_sql.statement
async def contact_message(db: Connection, *, message_id: int) -> ContactMessage | None: ...


@_sql.statement
async def expire_contact_messages(db: Connection, *, now: datetime, size: int) -> Kept: ...


@_sql.statement
async def due_contact_messages(db: Connection, *, now: datetime) -> Due: ...


@_sql.statement
async def add_rights_request(
    db: Connection, *, kind: str, channel: str, received_at: datetime, due_at: datetime, note: str
) -> int: ...


@_sql.statement
async def rights_requests(db: Connection) -> list[RightsRequest]: ...


@_sql.statement
async def message_of_request(db: Connection, *, number: int) -> ContactMessage | None: ...


@_sql.statement
async def request_by_number(db: Connection, *, number: int) -> RequestRow | None: ...


@_sql.statement
async def done_rights_request(db: Connection, *, number: int) -> bool: ...


@_sql.statement
async def expire_rights_requests(db: Connection, *, before: datetime, size: int) -> Kept: ...


@_sql.statement
async def due_rights_requests(db: Connection, *, before: datetime) -> Due: ...
