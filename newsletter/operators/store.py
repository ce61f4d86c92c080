"""Signatures of the statements in `sql/queries/operators.sql`, which says what each is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from newsletter.core.database import Connection
from newsletter.core.promises import Due, Kept
from newsletter.core.queries import Queries

_sql = Queries("operators")


@dataclass(frozen=True)
class OpenToken:
    operator: str
    scopes: list[str]


@dataclass(frozen=True)
class TokenRow:
    token_id: int
    name: str
    operator: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


@_sql.statement
async def add_operator(db: Connection, *, name: str, role: str, now: datetime) -> int | None: ...


@_sql.statement
async def find_operator(db: Connection, *, name: str) -> int | None: ...


@_sql.statement
async def count_tokens(db: Connection) -> int: ...


@_sql.statement
async def add_token(
    db: Connection,
    *,
    operator_id: int,
    name: str,
    digest: bytes,
    scopes: Sequence[str],
    now: datetime,
    expires_at: datetime,
) -> int: ...


@_sql.statement
async def open_token(db: Connection, *, digest: bytes, now: datetime) -> OpenToken | None: ...


@_sql.statement
async def list_tokens(db: Connection) -> list[TokenRow]: ...


@_sql.statement
async def revoke_token(db: Connection, *, token_id: int, now: datetime) -> bool: ...


@_sql.statement
async def add_audit(db: Connection, *, operator: str, action: str, target: str, now: datetime) -> None: ...


@_sql.statement
async def expire_audit(db: Connection, *, before: datetime, size: int) -> Kept: ...


@_sql.statement
async def due_audit(db: Connection, *, before: datetime) -> Due: ...
