"""Signatures of the statements in `sql/queries/consent.sql`, which says what each is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from newsletter.consent.rules import SealedEvent, Suppression
from newsletter.consent.withdrawal_file import Withdrawal
from newsletter.core.database import Connection
from newsletter.core.promises import Due, Kept
from newsletter.core.queries import Queries

_sql = Queries("consent")


@dataclass(frozen=True)
class SuppressionCount:
    """`list_id` 0 means every list."""

    reason: str
    list_id: int
    count: int


@dataclass(frozen=True)
class Pause:
    """Of one list, or (0) of all; `until` None: until it is lifted."""

    list_id: int
    until: datetime | None


@dataclass(frozen=True)
class Standstill:
    """Why no campaign may be sent at the moment, and since when."""

    reason: str
    since: datetime


@_sql.statement
async def keep_wording(
    db: Connection, *, wording_hash: bytes, kind: str, language: str, content: str, now: datetime
) -> None: ...


@_sql.statement
async def policy_in_force(db: Connection) -> int | None: ...


@_sql.statement
async def record_event(
    db: Connection,
    *,
    subscriber_id: UUID,
    list_ids: Sequence[int | None],
    kind: str,
    language: str,
    form: str,
    via: str | None,
    wording_hash: bytes | None,
    mail_hash: bytes | None,
    process_hash: bytes | None,
    confirmation_id: UUID | None,
    campaign_id: int | None,
    network: str | None,
    agent: str,
    origin_until: datetime,
    now: datetime,
) -> None: ...


@_sql.statement
async def suppressions_of(db: Connection, *, subscriber_id: UUID, now: datetime) -> list[Suppression]: ...


@_sql.statement
async def suppress(
    db: Connection,
    *,
    subscriber_id: UUID,
    list_ids: Sequence[int],
    reason: str,
    until: datetime | None,
    now: datetime,
) -> None: ...


@_sql.statement
async def restrict(db: Connection, *, subscriber_id: UUID, list_id: int, until: datetime | None, now: datetime) -> None: ...


@_sql.statement
async def fold_left(db: Connection, *, subscriber_ids: Sequence[UUID]) -> None: ...


@_sql.statement
async def end_pauses(db: Connection, *, subscriber_ids: Sequence[UUID]) -> None: ...


@_sql.statement
async def suppress_erased(db: Connection, *, subscriber_ids: Sequence[UUID], until: datetime | None, now: datetime) -> None: ...


@_sql.statement
async def carry_pauses(db: Connection, *, subscriber_id: UUID, replaces: UUID, now: datetime) -> list[Pause]: ...


@_sql.statement
async def lift_own(db: Connection, *, subscriber_id: UUID, list_id: int, reason: str) -> bool: ...


@_sql.statement
async def lift(db: Connection, *, subscriber_id: UUID, list_ids: Sequence[int]) -> None: ...


@_sql.statement
async def record_withdrawal(
    db: Connection, *, kind: str, subscriber_id: UUID, list_ids: Sequence[int], until: datetime | None, now: datetime
) -> None: ...


@_sql.statement
async def remember_erased(db: Connection, *, subscriber_ids: Sequence[UUID], until: datetime | None, now: datetime) -> None: ...


@_sql.statement
async def seal_evidence(
    db: Connection, *, subscriber_ids: Sequence[UUID], in_full: bool, expires_at: datetime, now: datetime
) -> None: ...


@_sql.statement
async def sealed_evidence(db: Connection, *, subscriber_id: UUID) -> list[SealedEvent]: ...


@_sql.statement
async def hold_evidence(db: Connection, *, subscriber_id: UUID, reason: str, now: datetime) -> int: ...


@_sql.statement
async def release_evidence(db: Connection, *, subscriber_id: UUID) -> int: ...


@_sql.statement
async def expire_evidence(db: Connection, *, now: datetime, longest: timedelta, size: int) -> Kept: ...


@_sql.statement
async def due_evidence(db: Connection, *, now: datetime, longest: timedelta) -> Due: ...


@_sql.statement
async def expire_suppressions(db: Connection, *, now: datetime, size: int) -> Kept: ...


@_sql.statement
async def due_suppressions(db: Connection, *, now: datetime) -> Due: ...


@_sql.statement
async def expire_origins(db: Connection, *, now: datetime, size: int) -> Kept: ...


@_sql.statement
async def due_origins(db: Connection, *, now: datetime) -> Due: ...


@_sql.statement
async def expire_withdrawals(
    db: Connection, *, refused_for: timedelta, others_for: timedelta, now: datetime, size: int
) -> Kept: ...


@_sql.statement
async def due_withdrawals(db: Connection, *, refused_for: timedelta, others_for: timedelta, now: datetime) -> Due: ...


@_sql.statement
async def suppress_many(
    db: Connection, *, subscriber_ids: Sequence[UUID], list_id: int, reason: str, until: datetime | None, now: datetime
) -> int: ...


@_sql.statement
async def count_suppressions(db: Connection, *, reason: str | None, now: datetime) -> list[SuppressionCount]: ...


@_sql.statement
async def record_endings(
    db: Connection,
    *,
    subscriber_ids: Sequence[UUID],
    list_ids: Sequence[int],
    languages: Sequence[str],
    via: str,
    now: datetime,
) -> None: ...


@_sql.statement
async def record_pauses(db: Connection, *, subscriber_ids: Sequence[UUID], list_id: int, via: str, now: datetime) -> None: ...


@_sql.statement
async def record_withdrawals(
    db: Connection,
    *,
    kinds: Sequence[str],
    subscriber_ids: Sequence[UUID],
    list_ids: Sequence[int],
    times: Sequence[datetime],
    untils: Sequence[datetime | None],
) -> None: ...


@_sql.statement
async def unknown_withdrawals(
    db: Connection,
    *,
    kinds: Sequence[str],
    subscriber_ids: Sequence[UUID],
    list_ids: Sequence[int],
    times: Sequence[datetime],
) -> list[int]: ...


@_sql.statement
async def lock_export(db: Connection) -> int: ...


@_sql.statement
async def set_exported(db: Connection, *, exported_to: int) -> None: ...


@_sql.statement
async def unwritten(db: Connection, *, size: int) -> list[Withdrawal]: ...


@_sql.statement
async def forget_unwritten(db: Connection, *, numbers: Sequence[int]) -> None: ...


@_sql.statement
async def write_all_anew(db: Connection) -> None: ...


@_sql.statement
async def move_numbers(db: Connection, *, number: int) -> int: ...


@_sql.statement
async def stand_still(db: Connection, *, reason: str, now: datetime) -> bool: ...


@_sql.statement
async def go_on(db: Connection, *, reason: str) -> bool: ...


@_sql.statement
async def standstills(db: Connection) -> list[Standstill]: ...
