"""Signatures of the statements in `sql/queries/bench.sql`, which says what each is for."""

from __future__ import annotations

from datetime import datetime

from newsletter.core.database import Connection
from newsletter.core.queries import Queries

_sql = Queries("bench")


@_sql.statement
async def make_database(db: Connection) -> None: ...


@_sql.statement
async def drop_database(db: Connection) -> None: ...


@_sql.statement
async def make_people(db: Connection, *, readers: int, now: datetime) -> None: ...


@_sql.statement
async def subscribe_people(db: Connection, *, now: datetime) -> None: ...


@_sql.statement
async def tidy_up(db: Connection) -> None: ...


@_sql.statement
async def tidy_up_subscriptions(db: Connection) -> None: ...


@_sql.statement
async def first_handed_over(db: Connection, *, campaign_id: int) -> datetime | None: ...


@_sql.statement
async def count_workers(db: Connection) -> int: ...
