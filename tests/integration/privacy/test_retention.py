"""What a promise says that it did: how many, and since when the oldest of them was due."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from newsletter.app import House
from newsletter.consent.rules import LEFT_FOR, REFUSED_FOR
from newsletter.core.promises import Kept
from newsletter.core.queries import REGISTRY
from newsletter.operators.service import audit
from newsletter.subscribing import erasure
from tests.conftest import ManualClock

ADA = UUID(int=1)
YEAR = timedelta(days=365)
AUDIT = "insert into audit_log (occurred_at, operator, action, target) values ($1, 'ops', 'list.create', 'list 1')"
SUBSCRIBER = (
    "insert into subscriber (subscriber_id, address, domain, language, created_at)"
    " values ($1, 'ada@example.org', 'example.org', 'en', $2)"
)
RUN = "insert into retention_run (promise, started_at, finished_at, removed) values ('left', $1, $1, 1)"
WITHDRAWAL = "insert into withdrawal (kind, subscriber_id, occurred_at) values ($2, $3, $1)"


async def kept(house: House, name: str, now: datetime) -> Kept:
    promise = next(each for each in house.retention.promises if each.name == name)
    return await house.retention.keep(promise, now=now)


@pytest.mark.parametrize(("name", "statement"), [("audit-log", AUDIT), ("retention-runs", RUN)])
async def test_the_oldest_is_told_by_when_it_fell_due(house: House, clock: ManualClock, name: str, statement: str) -> None:
    for hours in (0, 1):
        await house.db.execute(statement, clock.at + timedelta(hours=hours))
    clock.at += YEAR
    due_at = clock.at
    assert await kept(house, name, clock.at - timedelta(seconds=1)) == Kept(0)
    clock.move(hours=3)
    assert await kept(house, name, clock.at) == Kept(2, due_at)


async def test_a_line_of_the_log_takes_along_whom_it_is_about(house: House, clock: ManualClock) -> None:
    """No foreign key does it: see migration 24."""
    await house.db.execute(SUBSCRIBER, ADA, clock.at)
    for days in (0, 1):
        await audit(house.db, "ops", "subscriber.show", "a subscriber", clock.at + timedelta(days=days), about=ADA)
    assert await house.db.fetchval("select count(*) from audit_subject") == 2
    assert (await kept(house, "audit-log", clock.at + YEAR)).removed == 1
    left = "select count(*) from audit_subject join audit_log using (audit_id)"
    assert await house.db.fetchval("select count(*) from audit_subject") == await house.db.fetchval(left) == 1


@pytest.mark.parametrize("newer", [True, False])
async def test_whom_an_expired_line_was_about_goes_though_an_older_program_deleted_the_line_alone(
    house: House, clock: ManualClock, newer: bool
) -> None:
    await house.db.execute(SUBSCRIBER, ADA, clock.at)
    await audit(house.db, "ops", "subscriber.show", "a subscriber", clock.at, about=ADA)
    await house.db.execute("delete from audit_log")
    if newer:
        await audit(house.db, "ops", "subscriber.show", "a subscriber", clock.at, about=ADA)
    assert await kept(house, "audit-log", clock.at) == Kept(0)
    lines = await house.db.fetchval("select array(select audit_id from audit_log)")
    assert await house.db.fetchval("select array(select audit_id from audit_subject)") == lines
    assert len(lines) == newer


async def test_the_log_expires_while_somebody_whom_it_is_about_is_being_erased(house: House, clock: ManualClock) -> None:
    """And does not wait for it: both take several of one reader's codes, each in its own order."""
    await house.db.execute(SUBSCRIBER, ADA, clock.at)
    await audit(house.db, "ops", "subscriber.show", "a subscriber", clock.at, about=ADA)
    async with house.db.transaction() as erasing:
        await erasing.execute("delete from subscriber")
        async with asyncio.timeout(10):
            assert (await kept(house, "audit-log", clock.at + YEAR)).removed == 1
    assert await house.db.fetchval("select count(*) from audit_subject") == 0


async def test_who_is_erased_while_an_act_about_them_is_logged_is_not_named_and_the_act_is_not_lost(
    house: House, clock: ManualClock
) -> None:
    """The line waits for the erasing, and finds that there is nobody any more; else it would fail, and the act with it."""
    await house.db.execute(SUBSCRIBER, ADA, clock.at)
    waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    async with asyncio.timeout(20):
        async with house.db.transaction() as other:
            await erasure.forget(other, [ADA])
            logging = asyncio.create_task(audit(house.db, "ops", "subscriber.show", "a subscriber", clock.at, about=ADA))
            while not await house.db.fetchval(waiting):
                assert not logging.done()
        await logging
    assert await house.db.fetchval("select count(*) from audit_log where action = 'subscriber.show'") == 1
    assert await house.db.fetchval("select count(*) from audit_subject") == 0


async def test_withdrawals_fall_due_each_by_its_kind(house: House, clock: ManualClock) -> None:
    began = clock.at
    for kind in ("refused", "unsubscribed", "erased"):
        await house.db.execute(WITHDRAWAL, began, kind, ADA)
    clock.at = began + REFUSED_FOR + timedelta(hours=1)
    await house.db.execute(WITHDRAWAL, clock.at - LEFT_FOR, "unsubscribed", ADA)
    assert await kept(house, "withdrawal", clock.at) == Kept(2, began + REFUSED_FOR)
    clock.at = began + LEFT_FOR + timedelta(hours=1)
    assert await kept(house, "withdrawal", clock.at) == Kept(2, began + LEFT_FOR)


async def test_looking_for_refusals_does_not_read_three_years_of_withdrawals(house: House, clock: ManualClock) -> None:
    """Measured without the index, with a million of them: 0.15 s, each hour, to remove nothing."""
    await house.db.execute(
        "insert into withdrawal (kind, subscriber_id, occurred_at) "
        "select 'unsubscribed', gen_random_uuid(), $1::timestamptz - n * interval '2 minutes' from generate_series(1, 50000) n",
        clock.at - timedelta(days=60),
    )
    await house.db.execute("analyze withdrawal")
    statement, _ = REGISTRY["consent.expire_withdrawals"]
    arguments = {"refused_for": REFUSED_FOR, "others_for": LEFT_FOR, "now": clock.at, "size": 500}
    plan = await house.db.fetchval(
        f"explain (analyze, format json) {statement.text}", *(arguments[name] for name in statement.parameters)
    )
    assert read(json.loads(plan)[0]["Plan"]) == 0


def read(node: dict[str, object]) -> float:
    """Rows of the table that a plan looked at, those that it passed over included."""
    here = 0.0
    if node.get("Relation Name") == "withdrawal":
        here = float(str(node["Actual Rows"])) + float(str(node.get("Rows Removed by Filter", 0)))
    inner = node.get("Plans", [])
    assert isinstance(inner, list)
    return here + sum(read(each) for each in inner)


async def test_a_run_that_breaks_off_has_recorded_what_it_removed(house: House, clock: ManualClock) -> None:
    """The record is made with the deletion or not at all."""
    for _ in range(501):
        await house.db.execute(AUDIT, clock.at)
    clock.at += YEAR
    calls = 0

    async def ends() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise ZeroDivisionError

    promise = next(each for each in house.retention.promises if each.name == "audit-log")
    with pytest.raises(ZeroDivisionError):
        await house.retention.keep(promise, now=clock.at, before_each=ends)
    assert await house.db.fetchval("select count(*) from audit_log") == 1
    assert (await house.retention.latest_runs())["audit-log"].removed == 500
