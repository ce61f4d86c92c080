"""All hosts agree on what is due: the clock is the database's."""

from __future__ import annotations

import asyncio
from datetime import UTC, timedelta

import pytest

from newsletter.core.clock import DatabaseClock, database_time
from newsletter.core.database import Database


class Stopwatch:
    """A monotonic clock that goes on by so many seconds whenever it is read, and by hand."""

    def __init__(self) -> None:
        self.at = 0.0
        self.step = 0.0

    def __call__(self) -> float:
        self.at += self.step
        return self.at


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


async def test_a_change_of_this_hosts_clock_does_not_matter(db: Database) -> None:
    """Between two looks the monotonic clock alone is read: where that stands still, so does the time."""
    stopwatch = Stopwatch()
    clock = DatabaseClock(stopwatch)
    await clock.refresh(db)
    now = clock.now()
    assert clock.now() == now
    stopwatch.at += 3
    assert clock.now() == now + timedelta(seconds=3)


async def test_half_of_the_round_trip_is_taken_for_the_way_back(db: Database) -> None:
    stopwatch = Stopwatch()
    clock = DatabaseClock(stopwatch)
    stopwatch.step = 0.2
    before = await database_time(db)
    await clock.refresh(db)
    after = await database_time(db)
    stopwatch.step = 0
    assert before <= clock.now() - timedelta(seconds=0.1) <= after


async def test_waiting_for_a_connection_is_no_part_of_the_round_trip(database_url: str) -> None:
    """Else a pool that was busy for four seconds would put the clock two seconds ahead."""
    db = await Database.connect(database_url, size=1)
    stopwatch = Stopwatch()
    clock = DatabaseClock(stopwatch)
    async with db.transaction():
        refreshing = asyncio.create_task(clock.refresh(db))
        for _ in range(10):
            await asyncio.sleep(0)
        stopwatch.at += 4
    await refreshing
    assert abs(clock.now() - await database_time(db)) < timedelta(seconds=1)
    await db.close()


async def test_a_slow_answer_does_not_replace_a_quick_one(db: Database) -> None:
    stopwatch = Stopwatch()
    clock = DatabaseClock(stopwatch)

    async def looked(took: float) -> float:
        """How far ahead of the database the clock is after a look that took so long."""
        stopwatch.step = took
        await clock.refresh(db)
        stopwatch.step = 0
        return round((clock.now() - await database_time(db)).total_seconds())

    assert await looked(20) == 10  # There is no other yet.
    assert await looked(8) == 4  # Better than the one before.
    assert await looked(0.4) == 0
    stopwatch.at += 30
    assert await looked(0.6) == 31  # Half a second and more: the older one counts, whatever happened since.
    assert await looked(0.4) == 0


async def test_the_databases_time_goes_on_within_a_transaction(db: Database) -> None:
    """now() would stand still; a worker that takes long must see leases run out."""
    async with db.transaction() as transaction:
        assert await database_time(transaction) < await database_time(transaction)
