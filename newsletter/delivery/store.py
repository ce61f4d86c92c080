"""Signatures of the statements in `sql/queries/delivery.sql`, which says what each is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from uuid import UUID

from newsletter.core.database import Connection
from newsletter.core.promises import Due, Kept
from newsletter.core.queries import Queries

_sql = Queries("delivery")


@dataclass(frozen=True, slots=True)
class QueuedMail:
    """A row of the outbox in this worker's hands."""

    outbox_id: int
    kind: str
    subscriber_id: UUID | None
    about: UUID | None
    list_ids: list[int]
    language: str
    message_id: UUID
    created_at: datetime
    expires_at: datetime
    epoch: int
    attempts: int
    request_id: int | None = None
    """What somebody handed in that it is about."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A slice of a campaign's audience in this worker's hands."""

    campaign_id: int
    batch_no: int
    id_from: UUID
    id_to: UUID
    epoch: int
    list_id: int
    week: date
    uncertain_policy: str
    list_rate: float | None
    list_relay: str | None


@dataclass(slots=True)
class Reader:
    """Somebody that a campaign is to be handed over for, with the intent already written.

    Not frozen, since making a frozen one takes three times as long.
    """

    subscriber_id: UUID
    address: str
    name: str
    language: str
    confirmed_at: datetime
    attempts: int
    first_at: datetime
    doubts: int = 0
    """How often the relay's answer to the last dot was missing."""
    domain: str = ""
    turn_at: datetime | None = None
    """Its turn in the queue of its domain, where it was put aside with one."""
    put_off_at: datetime | None = None
    """When it was taken up last, where it was before."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What attempts came to, each once: lists of the same length, in the columns of `delivery`."""

    states: Sequence[str]
    retries: Sequence[datetime | None]
    paced: Sequence[bool]
    turns: Sequence[bool]
    codes: Sequence[int | None]
    statuses: Sequence[str | None]
    replies: Sequence[str]


@dataclass(frozen=True, slots=True)
class Total:
    state: str
    count: int


@dataclass(frozen=True, slots=True)
class Slowed:
    """Something that takes less at the moment. `name` as in the `pace` table."""

    name: str
    slow_rate: float
    slowed_at: datetime


@dataclass(frozen=True, slots=True)
class Presence:
    workers: int
    before: int


@dataclass(frozen=True)
class WorkerRow:
    name: str
    seen_until: datetime


@dataclass(frozen=True)
class Queue:
    """Single mails that wait. `retried`: those of them that a relay put off before."""

    waiting: int
    retried: int
    oldest: datetime | None


@dataclass(frozen=True)
class FailedMails:
    """Single mails of a kind that were given up for the same reason, in the relay's words."""

    kind: str
    reply: str | None
    count: int
    latest: datetime


@_sql.statement
async def queue_mail(
    db: Connection,
    *,
    kind: str,
    subscriber_id: UUID,
    about: UUID | None,
    list_ids: Sequence[int],
    language: str,
    message_id: UUID,
    created_at: datetime,
    expires_at: datetime,
    now: datetime,
) -> None: ...


@_sql.statement
async def queue_answer(
    db: Connection,
    *,
    kind: str,
    request_id: int,
    list_ids: Sequence[int],
    language: str,
    message_id: UUID,
    expires_at: datetime,
    now: datetime,
) -> None: ...


@_sql.statement
async def wake_workers(db: Connection) -> None: ...


@_sql.statement
async def claim_mails(db: Connection, *, now: datetime, lease_until: datetime, size: int) -> list[QueuedMail]: ...


@_sql.statement
async def drop_mail(db: Connection, mail: QueuedMail) -> None: ...


@_sql.statement
async def defer_mail(db: Connection, mail: QueuedMail, *, not_before: datetime, reply: str) -> None: ...


@_sql.statement
async def return_mail(db: Connection, mail: QueuedMail, *, not_before: datetime) -> None: ...


@_sql.statement
async def fail_mail(db: Connection, mail: QueuedMail, *, reply: str) -> None: ...


@_sql.statement
async def expire_mails(db: Connection, *, now: datetime, size: int) -> Kept: ...


@_sql.statement
async def due_mails(db: Connection, *, now: datetime) -> Due: ...


@_sql.statement
async def forget_subscribers(db: Connection, *, subscriber_ids: Sequence[UUID]) -> None: ...


@_sql.statement
async def count_audience(db: Connection, *, list_id: int) -> int: ...


@_sql.statement
async def hold_campaign(db: Connection, *, campaign_id: int) -> bool: ...


@_sql.statement
async def start_campaign(
    db: Connection,
    *,
    campaign_id: int,
    now: datetime,
    week: date,
    message_key: bytes,
    message_domain: str,
    planned: int,
) -> bool: ...


@_sql.statement
async def make_week(db: Connection, *, week: date) -> None: ...


@_sql.statement
async def make_batches(
    db: Connection,
    *,
    campaign_id: int,
    numbers: Sequence[int],
    froms: Sequence[UUID],
    tos: Sequence[UUID],
    now: datetime,
) -> None: ...


@_sql.statement
async def claim_batch(
    db: Connection, *, worker: str, other_than: Sequence[int], now: datetime, lease_until: datetime
) -> Batch | None: ...


@_sql.statement
async def renew_lease(db: Connection, batch: Batch, *, lease_until: datetime) -> bool: ...


@_sql.statement
async def mark_interrupted(db: Connection, batch: Batch, *, resend: bool, attempts_at_most: int, now: datetime) -> None: ...


@_sql.statement
async def skip_unwanted(db: Connection, batch: Batch, *, now: datetime) -> None: ...


@_sql.statement
async def take_again(db: Connection, batch: Batch, *, size: int, now: datetime) -> list[Reader]: ...


@_sql.statement
async def take_fresh(db: Connection, batch: Batch, *, first: UUID, size: int, now: datetime) -> list[Reader]: ...


@_sql.statement
async def keep_moving(db: Connection) -> None: ...


@_sql.statement
async def pause_list(db: Connection, *, list_id: int, reason: str) -> None: ...


@_sql.statement
async def keep_sending(db: Connection, *, campaign_id: int) -> bool: ...


@_sql.statement
async def still_wanted(db: Connection, *, subscriber_ids: Sequence[UUID], list_id: int, now: datetime) -> list[UUID]: ...


async def record_outcomes(
    db: Connection, batch: Batch, outcomes: Outcomes, *, subscriber_ids: Sequence[UUID], numbers: Sequence[int]
) -> None:
    """Each reader with the number of an outcome, which counts from 1 through `outcomes`: most readers have the same. As texts,
    since asyncpg looks at each element of an array several times."""
    ids = ",".join(map(str, subscriber_ids))
    await record_numbered_outcomes(db, batch, outcomes, subscriber_ids=ids, numbers=",".join(map(str, numbers)))


@_sql.statement
async def record_numbered_outcomes(
    db: Connection, batch: Batch, outcomes: Outcomes, *, subscriber_ids: str, numbers: str
) -> None: ...


@_sql.statement
async def give_back(db: Connection, batch: Batch, *, subscriber_ids: Sequence[UUID], not_before: datetime) -> None: ...


@_sql.statement
async def next_retry(db: Connection, batch: Batch) -> datetime | None: ...


@_sql.statement
async def requeue_batch(db: Connection, batch: Batch, *, not_before: datetime) -> None: ...


@_sql.statement
async def finish_batch(db: Connection, batch: Batch) -> None: ...


@_sql.statement
async def finish_campaign(db: Connection, *, campaign_id: int, now: datetime) -> bool: ...


@_sql.statement
async def campaign_totals(db: Connection, *, campaign_id: int) -> list[Total]: ...


@_sql.statement
async def pause_campaign(db: Connection, *, campaign_id: int, reason: str) -> bool: ...


@_sql.statement
async def cancel_forgotten(db: Connection, *, before: date, now: datetime) -> list[int]: ...


@_sql.statement
async def drop_week(db: Connection, *, before: date) -> Kept: ...


@_sql.statement
async def due_weeks(db: Connection, *, before: date) -> Due: ...


@_sql.statement
async def forget_paces(db: Connection, *, before: datetime, size: int) -> Kept: ...


@_sql.statement
async def due_paces(db: Connection, *, before: datetime) -> Due: ...


@_sql.statement
async def book(db: Connection, *, name: str, mails: int, rate: float, now: datetime) -> datetime: ...


@_sql.statement
async def slow_down(
    db: Connection, *, name: str, slow_rate: float, empties_queue: bool, seen_before: datetime, now: datetime
) -> bool: ...


@_sql.statement
async def slowed(db: Connection, *, since: datetime) -> list[Slowed]: ...


@_sql.statement
async def be_present(db: Connection, *, worker: str, until: datetime, now: datetime) -> Presence: ...


@_sql.statement
async def leave(db: Connection, *, worker: str) -> None: ...


# Keys that mails are signed with.


@dataclass(frozen=True, slots=True)
class DkimKeyRow:
    """`active_at`: since when mails are signed with it."""

    sender_id: int
    selector: str
    domain: str
    kind: str
    wrapped: bytes = field(repr=False)
    created_at: datetime
    active_at: datetime | None


@_sql.statement
async def add_dkim_key(
    db: Connection, *, sender_id: int, selector: str, domain: str, kind: str, wrapped: bytes, now: datetime
) -> bool: ...


@_sql.statement
async def dkim_keys(db: Connection, *, sender_id: int | None) -> list[DkimKeyRow]: ...


@_sql.statement
async def retire_dkim_keys(db: Connection, *, sender_id: int, kind: str, selector: str) -> None: ...


@_sql.statement
async def activate_dkim_key(db: Connection, *, sender_id: int, selector: str, now: datetime) -> bool: ...


@_sql.statement
async def remove_dkim_key(db: Connection, *, sender_id: int, selector: str) -> bool: ...


@_sql.statement
async def rewrap_dkim_key(db: Connection, *, sender_id: int, selector: str, wrapped: bytes) -> None: ...


# How things stand, for the console.


@_sql.statement
async def workers(db: Connection, *, now: datetime) -> list[WorkerRow]: ...


@_sql.statement
async def outbox_queue(db: Connection) -> Queue: ...


@_sql.statement
async def failed_mails(db: Connection, *, size: int) -> list[FailedMails]: ...
