"""Signatures of the statements in `sql/queries/jobs.sql`, which says what each is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from newsletter.core.database import Connection
from newsletter.core.queries import Queries

_sql = Queries("jobs")


@dataclass(frozen=True)
class JobState:
    name: str
    next_run_at: datetime
    last_started: datetime | None
    last_finished: datetime | None
    last_error: str | None


@_sql.statement
async def due_jobs(db: Connection, *, names: Sequence[str], now: datetime) -> list[str]: ...


@_sql.statement
async def claim_job(db: Connection, *, name: str, worker: str, now: datetime, lease_until: datetime) -> int | None: ...


@_sql.statement
async def renew_job(db: Connection, *, name: str, epoch: int, lease_until: datetime) -> bool: ...


@_sql.statement
async def finish_job(
    db: Connection, *, name: str, epoch: int, now: datetime, next_run_at: datetime, error: str | None
) -> None: ...


@_sql.statement
async def job_states(db: Connection) -> list[JobState]: ...
