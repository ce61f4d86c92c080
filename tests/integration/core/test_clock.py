"""All hosts agree on what is due: the clock is the database's."""

from __future__ import annotations

from datetime import UTC, timedelta

import pytest

from newsletter.core.clock import DatabaseClock, database_time
from newsletter.core.database import Database


async def test_a_host_whose_clock_is_wrong_follows_the_database(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = DatabaseClock()
    monkeypatch.setattr(clock, "_base", clock.now() - timedelta(days=3))
    before = await database_time(db)
    assert clock.now() < before - timedelta(days=2)
    await clock.refresh(db)
    assert abs(clock.now() - before) < timedelta(seconds=5)
    assert clock.now().tzinfo is UTC


async def test_between_two_looks_time_goes_on_and_never_back(db: Database) -> None:
    clock = DatabaseClock()
    await clock.refresh(db)
    moments = [clock.now() for _ in range(1000)]
    assert moments == sorted(moments)
    assert moments[-1] > moments[0]


async def test_a_change_of_this_hosts_clock_does_not_matter(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = DatabaseClock()
    await clock.refresh(db)
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert abs(clock.now() - await database_time(db)) < timedelta(seconds=5)


async def test_the_databases_time_goes_on_within_a_transaction(db: Database) -> None:
    """now() would stand still; a worker that takes long must see leases run out."""
    async with db.transaction() as transaction:
        assert await database_time(transaction) < await database_time(transaction)
