"""A worker that is told to stop lets the tick that is at work finish, for as long as it waits for anything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from newsletter.app import House
from newsletter.core.errors import DatabaseUnavailable
from newsletter.jobs import store
from newsletter.jobs.schedule import RETRY_AFTER, Job, Renew, Schedule
from newsletter.jobs.worker import Worker
from tests.conftest import ManualClock

Run = Callable[[datetime, Renew], Awaitable[int]]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("newsletter.jobs.worker.TICK", 0.01)


def working(house: House, **runs: Run) -> Worker:
    """A worker with these jobs, daily."""
    jobs = [Job(name, timedelta(days=1), run) for name, run in runs.items()]
    return Worker(
        db=house.db,
        clock=house.clock,
        name="w",
        joining=house.joining,
        asking=house.asking,
        outbox=house.outbox(),
        schedule=Schedule(house.db, house.clock, jobs, worker="w"),
        sending=house.sending(worker="w"),
    )


async def stopped(worker: Worker, begun: asyncio.Event, go_on: asyncio.Event | None = None) -> list[Any]:
    """Told to stop while a job is at work, which goes on when the worker has heard; what was logged."""
    stop = asyncio.Event()
    with capture_logs() as logged:
        running = asyncio.create_task(worker.run(stop))
        await begun.wait()
        stop.set()
        for _ in range(20):
            await asyncio.sleep(0)
        if go_on:
            go_on.set()
        await asyncio.wait_for(running, 20)
    return list(logged)


async def test_a_tick_that_is_at_work_is_finished_and_nothing_is_begun_after_it(house: House) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def works(now: datetime, renew: Renew) -> int:
        begun.set()
        await go_on.wait()
        return int(await house.db.fetchval("select 7"))

    async def never(now: datetime, renew: Renew) -> int:
        raise AssertionError

    logged = await stopped(working(house, works=works, never=never), begun, go_on)
    other, state = await store.job_states(house.db)
    assert (state.name, state.last_error, state.last_finished) == ("works", None, house.clock.now())
    assert (other.name, other.last_started) == ("never", None)
    assert logged[-1] | {"worker": ""} == {"event": "worker_stopped", "worker": "", "drained": True, "log_level": "info"}


async def test_a_tick_that_takes_too_long_is_cut_off_handed_back_and_said_to_be(
    house: House, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("newsletter.jobs.worker.DRAIN", 0.1)
    begun = asyncio.Event()

    async def endless(now: datetime, renew: Renew) -> int:
        begun.set()
        await asyncio.get_running_loop().create_future()
        return 0

    logged = await stopped(working(house, endless=endless), begun)
    assert logged[-1]["drained"] is False
    (state,) = await store.job_states(house.db)
    assert state.next_run_at == clock.at + RETRY_AFTER
    assert await house.db.fetchval("select count(*) from job where lease_until is null") == 1


async def test_a_tick_that_finds_no_database_says_so(house: House) -> None:
    begun = asyncio.Event()

    async def away(now: datetime, renew: Renew) -> int:
        begun.set()
        raise DatabaseUnavailable("PostgreSQL cannot be reached.")

    logged = await stopped(working(house, away=away), begun)
    assert {"event": "database_unavailable", "loop": "schedule", "reason": "PostgreSQL cannot be reached.",
            "log_level": "warning"} in logged  # fmt: skip
