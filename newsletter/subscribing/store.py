"""Signatures of the statements in `sql/queries/subscribing.sql`, which says what each is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from newsletter.core.database import Connection
from newsletter.core.promises import Due, Kept
from newsletter.core.queries import Queries

_sql = Queries("subscribing")


@dataclass(frozen=True)
class Request:
    request_id: int
    address: str
    name: str
    language: str
    list_ids: list[int]
    form: str
    wording_hash: bytes
    network: str | None
    agent: str
    received_at: datetime
    replaces: UUID | None
    """Whose place it is to take: a change of address."""


@dataclass(frozen=True)
class Person:
    subscriber_id: UUID
    address: str
    name: str
    language: str
    left_at: datetime | None


@dataclass(frozen=True)
class Subscription:
    list_id: int
    state: str
    language: str
    requested_at: datetime
    expires_at: datetime | None
    confirmed_at: datetime | None
    undo_id: UUID | None
    undo_until: datetime | None


@dataclass(frozen=True)
class Asked:
    """One list that a confirmation mail asked about; `state` is None when that request is gone."""

    list_id: int
    requested_at: datetime
    expires_at: datetime
    used_at: datetime | None
    state: str | None
    language: str | None
    replaces: UUID | None


@dataclass(frozen=True)
class Lapsed:
    list_id: int
    expires_at: datetime


@dataclass(frozen=True)
class Left:
    subscriber_id: UUID
    left_at: datetime


@dataclass(frozen=True)
class Ended:
    subscriber_id: UUID
    list_id: int
    language: str


@dataclass(frozen=True)
class OfClosed:
    """Something that somebody still has of a closed list."""

    subscriber_id: UUID
    list_id: int
    closed_at: datetime


@dataclass(frozen=True)
class QueuedConfirmation:
    """A mail in the outbox, as it was put there."""

    subscriber_id: UUID
    about: UUID
    list_ids: list[int]
    language: str
    message_id: UUID
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class Greeting:
    """A list that greets somebody, in that language."""

    list_id: int
    language: str


@dataclass(frozen=True)
class Greeted:
    address: str
    language: str


@dataclass(frozen=True)
class Recipient:
    address: str
    language: str
    list_id: int
    state: str
    expires_at: datetime | None


@_sql.statement
async def count_hits(db: Connection, *, code: bytes, kind: str, since: datetime) -> int: ...


@_sql.statement
async def insert_request(
    db: Connection,
    *,
    subscriber_id: UUID,
    address: str,
    name: str,
    language: str,
    list_ids: Sequence[int],
    form: str,
    wording_hash: bytes,
    network: str | None,
    agent: str,
    network_code: bytes | None,
    now: datetime,
    expires_at: datetime,
    hit_expires_at: datetime,
    replaces: UUID | None,
) -> None: ...


@_sql.statement
async def take_request(db: Connection, *, now: datetime) -> Request | None: ...


@_sql.statement
async def postpone_request(db: Connection, *, request_id: int, not_before: datetime) -> None: ...


@_sql.statement
async def expire_requests(db: Connection, *, now: datetime, size: int) -> Kept: ...


@_sql.statement
async def due_requests(db: Connection, *, now: datetime) -> Due: ...


@_sql.statement
async def drop_answers(db: Connection, *, subscriber_ids: Sequence[UUID]) -> None: ...


@_sql.statement
async def carry_messages(db: Connection, *, subscriber_id: UUID, replaces: UUID) -> None: ...


@_sql.statement
async def drop_requests(db: Connection, *, subscriber_ids: Sequence[UUID]) -> None: ...


@_sql.statement
async def lock_address(db: Connection, *, code: bytes) -> None: ...


@_sql.statement
async def mail_hits(db: Connection, *, code: bytes, since: datetime) -> list[datetime]: ...


@_sql.statement
async def add_mail_hit(db: Connection, *, code: bytes, now: datetime, expires_at: datetime) -> None: ...


@_sql.statement
async def clear_mail_hits(db: Connection, *, code: bytes) -> None: ...


@_sql.statement
async def expire_hits(db: Connection, *, now: datetime, size: int) -> Kept: ...


@_sql.statement
async def due_hits(db: Connection, *, now: datetime) -> Due: ...


@_sql.statement
async def lock_subscriber(db: Connection, *, subscriber_id: UUID) -> Person | None: ...


@_sql.statement
async def lock_subscribers(db: Connection, *, subscriber_ids: Sequence[UUID]) -> list[UUID]: ...


@_sql.statement
async def subscriptions_of(db: Connection, *, subscriber_id: UUID) -> list[Subscription]: ...


@_sql.statement
async def add_subscriber(
    db: Connection, *, subscriber_id: UUID, address: str, domain: str, language: str, now: datetime
) -> None: ...


@_sql.statement
async def put_pending(
    db: Connection,
    *,
    subscriber_id: UUID,
    list_ids: Sequence[int],
    languages: Sequence[str],
    requested_at: datetime,
    expires_at: datetime,
) -> None: ...


@_sql.statement
async def add_confirmation(
    db: Connection,
    *,
    subscriber_id: UUID,
    confirmation_id: UUID,
    list_ids: Sequence[int],
    name: str,
    language: str,
    requested_at: datetime,
    expires_at: datetime,
    replaces: UUID | None,
) -> None: ...


@_sql.statement
async def confirmation(db: Connection, *, subscriber_id: UUID, confirmation_id: UUID, now: datetime) -> list[Asked]: ...


@_sql.statement
async def expire_confirmations(db: Connection, *, now: datetime, size: int) -> Kept: ...


@_sql.statement
async def due_confirmations(db: Connection, *, now: datetime) -> Due: ...


@_sql.statement
async def take_name(db: Connection, *, subscriber_id: UUID, confirmation_id: UUID) -> None: ...


@_sql.statement
async def confirm_pending(db: Connection, *, subscriber_id: UUID, list_ids: Sequence[int], now: datetime) -> list[int]: ...


@_sql.statement
async def greeted_by(db: Connection, *, subscriber_id: UUID, list_ids: Sequence[int]) -> list[Greeting]: ...


@_sql.statement
async def greeted(
    db: Connection, *, subscriber_id: UUID, list_id: int, confirmed_at: datetime, now: datetime
) -> Greeted | None: ...


@_sql.statement
async def use_confirmation(db: Connection, *, subscriber_id: UUID, confirmation_id: UUID, now: datetime) -> None: ...


@_sql.statement
async def stay(db: Connection, *, subscriber_id: UUID) -> None: ...


@_sql.statement
async def leave(db: Connection, *, subscriber_id: UUID, now: datetime) -> bool: ...


@_sql.statement
async def drop_confirmations(db: Connection, *, subscriber_id: UUID, list_ids: Sequence[int]) -> None: ...


@_sql.statement
async def drop_refused(db: Connection, *, subscriber_id: UUID, list_ids: Sequence[int]) -> list[int]: ...


@_sql.statement
async def unsubscribe(
    db: Connection,
    *,
    subscriber_id: UUID,
    list_id: int,
    via: str,
    undo_id: UUID,
    undo_until: datetime,
    now: datetime,
) -> bool: ...


@_sql.statement
async def end_subscriptions(
    db: Connection, *, subscriber_ids: Sequence[UUID], list_id: int, via: str, now: datetime
) -> list[Ended]: ...


@_sql.statement
async def drop_asked(db: Connection, *, subscriber_ids: Sequence[UUID], list_id: int, now: datetime) -> None: ...


@_sql.statement
async def drop_links(db: Connection, *, subscriber_ids: Sequence[UUID], list_id: int, now: datetime) -> None: ...


@_sql.statement
async def leave_many(db: Connection, *, subscriber_ids: Sequence[UUID], now: datetime) -> None: ...


@_sql.statement
async def confirmed_since(db: Connection, *, subscriber_ids: Sequence[UUID], list_id: int, since: datetime) -> list[UUID]: ...


@_sql.statement
async def due_closed(db: Connection, *, now: datetime, size: int) -> list[OfClosed]: ...


@_sql.statement
async def due_of_closed(db: Connection, *, closed_before: datetime) -> Due: ...


@_sql.statement
async def unsubscribe_from(
    db: Connection, *, subscriber_id: UUID, list_ids: Sequence[int], via: str, now: datetime
) -> list[int]: ...


@_sql.statement
async def correct_person(db: Connection, *, subscriber_id: UUID, name: str, language: str) -> None: ...


@_sql.statement
async def speak(db: Connection, *, subscriber_id: UUID, language: str) -> None: ...


@_sql.statement
async def undo_unsubscribe(db: Connection, *, subscriber_id: UUID, list_id: int, undo_id: UUID, now: datetime) -> bool: ...


@_sql.statement
async def count_day(
    db: Connection,
    *,
    list_ids: Sequence[int],
    day: date,
    asked: int,
    confirmed: int,
    refused: int,
    lapsed: int,
    unsubscribed: int,
    erased: int,
) -> None: ...


@_sql.statement
async def due_lapsed(db: Connection, *, now: datetime, size: int) -> list[UUID]: ...


@_sql.statement
async def due_unconfirmed(db: Connection, *, now: datetime) -> Due: ...


@_sql.statement
async def lapse(db: Connection, *, subscriber_ids: Sequence[UUID], now: datetime) -> list[Lapsed]: ...


@_sql.statement
async def without_subscription(db: Connection, *, subscriber_ids: Sequence[UUID]) -> list[UUID]: ...


@_sql.statement
async def due_left(db: Connection, *, left_before: datetime, size: int) -> list[UUID]: ...


@_sql.statement
async def due_to_erase(db: Connection, *, left_before: datetime) -> Due: ...


@_sql.statement
async def still_left(db: Connection, *, subscriber_ids: Sequence[UUID], left_before: datetime) -> list[Left]: ...


@_sql.statement
async def queued_mails(db: Connection, *, subscriber_ids: Sequence[UUID], now: datetime) -> list[QueuedConfirmation]: ...


@_sql.statement
async def say_that_lives_end(db: Connection) -> None: ...


@_sql.statement
async def begin_anew(db: Connection, *, subscriber_ids: Sequence[UUID], now: datetime) -> list[UUID]: ...


@_sql.statement
async def lists_of(db: Connection, *, subscriber_ids: Sequence[UUID]) -> list[int]: ...


@_sql.statement
async def lists_read_by(db: Connection, *, subscriber_ids: Sequence[UUID]) -> list[int]: ...


@_sql.statement
async def delete_subscribers(db: Connection, *, subscriber_ids: Sequence[UUID]) -> None: ...


@_sql.statement
async def mail_recipient(db: Connection, *, subscriber_id: UUID, list_ids: Sequence[int]) -> list[Recipient]: ...
