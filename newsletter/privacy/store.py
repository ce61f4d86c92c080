"""Signatures of the statements in `sql/queries/privacy.sql`, which says what each is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from newsletter.core.database import Connection
from newsletter.core.promises import Due, Kept
from newsletter.core.queries import Queries
from newsletter.privacy.policy import Subprocessor, Version

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
