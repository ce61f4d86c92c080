"""Signatures of the statements in `sql/queries/lists.sql`, which says what each is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from newsletter.core.database import Connection
from newsletter.core.queries import Queries
from newsletter.subscribing.views import Month, PersonRow, SenderRow, UsedWording

_sql = Queries("lists")


@dataclass(frozen=True)
class ListRow:
    """A list with its sender and all of its texts, language by language in parallel arrays."""

    list_id: int
    slug: str
    visibility: str
    languages: list[str]
    time_zone: str
    list_id_header: str
    return_urls: list[str]
    closed: bool
    rate: float | None
    sender_id: int
    sender_name: str
    from_address: str
    reply_to: str | None
    postal_address: str
    contact: str
    legal_notice: str | None
    relay: str | None
    text_languages: list[str]
    names: list[str]
    descriptions: list[str]
    wordings: list[str]
    welcome_subjects: list[str]
    welcome_texts: list[str]


@dataclass(frozen=True)
class ListSize:
    list_id: int
    state: str
    count: int


@dataclass(frozen=True)
class CountedPart:
    """Readers of a list in each state, among a part of all ids."""

    list_id: int
    confirmed: int
    pending: int
    unsubscribed: int


@dataclass(frozen=True)
class KnownSize:
    """Of each state what there is, as far as was asked, and how many there were when they were counted last."""

    list_id: int
    confirmed: int
    pending: int
    unsubscribed: int
    counted_confirmed: int | None
    counted_pending: int | None
    counted_unsubscribed: int | None
    counted_at: datetime | None


@dataclass(frozen=True)
class Growth:
    list_id: int
    confirmed: int
    unsubscribed: int


@dataclass(frozen=True)
class Beginning:
    subscriber_id: UUID
    place: str
    """In the order of addresses."""


@_sql.statement
async def add_sender(
    db: Connection,
    *,
    name: str,
    from_address: str,
    reply_to: str | None,
    postal_address: str,
    contact: str,
    legal_notice: str | None,
    now: datetime,
) -> int: ...


@_sql.statement
async def add_list(
    db: Connection,
    *,
    slug: str,
    sender_id: int,
    visibility: str,
    languages: Sequence[str],
    time_zone: str,
    list_id_header: str,
    return_urls: Sequence[str],
    rate: float | None,
    now: datetime,
) -> int: ...


@_sql.statement
async def set_relay(db: Connection, *, sender_id: int, relay: str | None) -> None: ...


@_sql.statement
async def close_list(db: Connection, *, list_id: int, now: datetime) -> bool: ...


@_sql.statement
async def keep_open(db: Connection, *, list_id: int) -> bool: ...


@_sql.statement
async def put_list_text(
    db: Connection,
    *,
    list_id: int,
    language: str,
    name: str,
    description: str,
    wording: str,
    welcome_subject: str,
    welcome_text: str,
) -> None: ...


@_sql.statement
async def drop_list_texts(db: Connection, *, list_id: int, languages: Sequence[str]) -> None: ...


@_sql.statement
async def lock_list(db: Connection, *, list_id: int) -> bool: ...


@_sql.statement
async def edit_list(
    db: Connection,
    *,
    list_id: int,
    sender_id: int,
    visibility: str,
    languages: Sequence[str],
    time_zone: str,
    return_urls: Sequence[str],
    rate: float | None,
) -> None: ...


@_sql.statement
async def speaks(db: Connection, *, list_id: int, language: str) -> bool: ...


@_sql.statement
async def senders(db: Connection) -> list[SenderRow]: ...


@_sql.statement
async def lock_sender(db: Connection, *, sender_id: int) -> bool: ...


@_sql.statement
async def edit_sender(
    db: Connection,
    *,
    sender_id: int,
    name: str,
    from_address: str,
    reply_to: str | None,
    postal_address: str,
    contact: str,
    legal_notice: str | None,
    relay: str | None,
) -> bool: ...


@_sql.statement
async def note_wording(db: Connection, *, list_id: int, wording_hash: bytes, now: datetime) -> None: ...


@_sql.statement
async def asked_with(db: Connection, *, list_id: int, wording_hash: bytes) -> bool: ...


@_sql.statement
async def list_wordings(db: Connection, *, list_id: int, size: int) -> list[UsedWording]: ...


@_sql.statement
async def find_sender(db: Connection, *, name: str) -> int | None: ...


@_sql.statement
async def lists(db: Connection, *, slugs: Sequence[str] | None, list_ids: Sequence[int] | None) -> list[ListRow]: ...


@_sql.statement
async def list_sizes(db: Connection) -> list[ListSize]: ...


@_sql.statement
async def known_sizes(db: Connection, *, list_id: int | None, most: int) -> list[KnownSize]: ...


@_sql.statement
async def count_part(db: Connection, *, first_id: UUID, last_id: UUID) -> list[CountedPart]: ...


@_sql.statement
async def keep_sizes(
    db: Connection,
    *,
    list_ids: Sequence[int],
    confirmed: Sequence[int],
    pending: Sequence[int],
    unsubscribed: Sequence[int],
    now: datetime,
) -> None: ...


@_sql.statement
async def growth(db: Connection, *, since: date) -> list[Growth]: ...


@_sql.statement
async def list_months(db: Connection, *, list_id: int, since: date) -> list[Month]: ...


@_sql.statement
async def people_after(db: Connection, *, edge: UUID, size: int) -> list[UUID]: ...


@_sql.statement
async def people_before(db: Connection, *, edge: UUID, size: int) -> list[UUID]: ...


@_sql.statement
async def subscribed_after(
    db: Connection, *, list_id: int | None, states: Sequence[str], edge: UUID, size: int
) -> list[UUID]: ...


@_sql.statement
async def subscribed_before(
    db: Connection, *, list_id: int | None, states: Sequence[str], edge: UUID, size: int
) -> list[UUID]: ...


@_sql.statement
async def paused_after(db: Connection, *, list_id: int | None, edge: UUID, size: int, now: datetime) -> list[UUID]: ...


@_sql.statement
async def paused_before(db: Connection, *, list_id: int | None, edge: UUID, size: int, now: datetime) -> list[UUID]: ...


@_sql.statement
async def beginning_with(db: Connection, *, beginning: str, after: str, after_id: UUID, size: int) -> list[Beginning]: ...


@_sql.statement
async def people(db: Connection, *, subscriber_ids: Sequence[UUID], now: datetime) -> list[PersonRow]: ...
