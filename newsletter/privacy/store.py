"""Signatures of the statements in `sql/queries/privacy.sql`, which says what each is for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from newsletter.core.database import Connection
from newsletter.core.promises import Due, Kept
from newsletter.core.queries import Queries

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
