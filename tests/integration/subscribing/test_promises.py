"""Each promise is kept when its time has come, neither before nor much later, and every run is on record."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from newsletter.core.database import Connection
from newsletter.core.errors import DatabaseUnavailable
from newsletter.core.i18n import translations
from newsletter.core.promises import Kept, Promise
from newsletter.jobs import store as jobs
from newsletter.jobs.schedule import LEASE, RETRY_AFTER, Job, Schedule, retention_jobs
from newsletter.privacy.service import BATCH, Retention
from newsletter.subscribing.promises import keep_left
from tests.people import People

ADA, BEN = "ada@example.org", "ben@example.org"
MANY = BATCH + 200
TICK = timedelta(seconds=5)

# So many people as the services would take minutes for; each row as they would have left it.
LAPSED = """
with made as (insert into subscriber (subscriber_id, address, domain, language, created_at)
              select gen_random_uuid(), 'reader' || n || '@example.org', 'example.org', 'en', $1 from generate_series(1, $2) n
              returning subscriber_id)
insert into subscription (subscriber_id, list_id, state, language, requested_at, expires_at)
select subscriber_id, list_id, 'pending', 'en', $1, $1 + interval '24 hours' from made, list
"""
LEFT = """
with made as (insert into subscriber (subscriber_id, address, domain, language, created_at, left_at)
              select gen_random_uuid(), n || '@example.org', 'example.org', 'en', $1, $1 from generate_series(1, $2) n
              returning subscriber_id),
     event as (insert into consent_event (subscriber_id, list_id, kind, occurred_at, language)
               select subscriber_id, list_id, 'confirmed', $1, 'en' from made, list)
insert into subscription (subscriber_id, list_id, state, language, requested_at, confirmed_at, unsubscribed_at,
                          unsubscribed_via)
select subscriber_id, list_id, 'unsubscribed', 'en', $1, $1, $1, 'link' from made, list
"""


def promise(people: People, name: str) -> Promise:
    return next(each for each in people.house.retention.promises if each.name == name)


async def runs(people: People, name: str) -> list[Any]:
    return list(await people.house.db.fetch("select * from retention_run where promise = $1 order by run_id", name))


async def test_whoever_does_not_confirm_is_gone_one_tick_after_24_hours(people: People) -> None:
    await people.sign_up(ADA)
    people.clock.move(hours=23, minutes=59, seconds=59)
    assert (await people.house.retention.keep(promise(people, "unconfirmed"), now=people.clock.at)).removed == 0
    assert await people.is_known(ADA)
    people.clock.move(seconds=1)
    await people.tick()
    for table in (
        "subscriber",
        "subscription",
        "confirmation",
        "consent_event",
        "consent_origin",
        "outbox",
        "suppression",
        "withdrawal",
    ):
        assert await people.count(table) == 0, table


async def test_ticking_as_in_production_it_is_never_later_than_the_promise_allows(people: People) -> None:
    await people.sign_up(ADA)
    unconfirmed = promise(people, "unconfirmed")
    people.clock.move(hours=23, minutes=53)
    await people.tick()
    await people.pass_time(timedelta(minutes=7) + unconfirmed.every, tick=TICK * 12)
    assert unconfirmed.every + TICK <= unconfirmed.grace
    assert not await people.is_known(ADA)


async def test_whoever_left_the_last_list_is_gone_fourteen_days_later(people: People) -> None:
    await people.reader(ADA, "letter", "digest")
    people.clock.move(days=1)
    await people.unsubscribe(ADA, "letter")
    people.clock.move(days=100)
    await people.unsubscribe(ADA, "digest")
    people.clock.move(days=13, hours=23, minutes=59, seconds=59)
    await people.tick()
    assert await people.is_known(ADA)
    people.clock.move(minutes=5)
    await people.tick()
    assert not await people.is_known(ADA)
    assert await people.suppressions(ADA) == {(people.letter.list_id, "left"), (people.digest.list_id, "left")}
    assert await people.count("withdrawal", "kind = 'erased'") == 1
    assert await people.house.db.fetchval("select sum(erased) from list_day") == 2


async def test_a_new_request_puts_it_off(people: People) -> None:
    await people.reader(ADA)
    await people.unsubscribe(ADA)
    people.clock.move(days=13, hours=20)
    token = await people.sign_up(ADA)
    people.clock.move(hours=5)
    await people.tick()
    assert token is not None
    await people.confirm(token)
    people.clock.move(days=20)
    await people.tick()
    assert await people.states(ADA) == {"letter": "confirmed"}


async def test_but_never_past_28_days(people: People) -> None:
    """Else somebody who signs an address up each day could keep it here for ever."""
    await people.reader(ADA)
    await people.unsubscribe(ADA)
    await people.house.db.execute("delete from limit_hit")
    left, left_at = promise(people, "left"), people.clock.at
    for day in range(14, 29):
        people.clock.at = left_at + timedelta(days=day, hours=-1)
        await people.sign_up(ADA)
        await people.house.db.execute("delete from limit_hit")
        people.clock.move(minutes=59, seconds=59)
        await people.house.retention.keep(left, now=people.clock.at)
        assert await people.states(ADA) == {"letter": "pending"}, day
    people.clock.move(seconds=1)
    await people.tick()
    assert not await people.is_known(ADA)


async def test_somebody_who_asks_anew_at_that_very_moment_is_kept(people: People) -> None:
    """The sweep has found them, waits for the lock, and looks again."""
    await people.reader(ADA)
    await people.unsubscribe(ADA)
    people.clock.move(days=14)
    await people.request(ADA)
    keep = keep_left(timedelta(days=14))

    async def sweep() -> Kept:
        async with people.house.db.transaction() as transaction:
            return await keep(transaction, people.clock.at, BATCH)

    async with people.house.db.transaction() as other:
        await other.execute("select from subscriber for update")
        sweeping = asyncio.create_task(sweep())
        while not await other.fetchval("select count(*) from pg_locks where not granted"):
            pass
        request = await people.house.db.fetchrow("delete from signup_request returning *")
        await other.execute(
            "update subscription set state = 'pending', expires_at = $1, undo_id = null, undo_until = null",
            request["expires_at"])  # fmt: skip
    await sweeping
    assert await people.states(ADA) == {"letter": "pending"}


@pytest.mark.parametrize(
    ("rows", "name", "due", "removed"),
    [(LAPSED, "unconfirmed", timedelta(hours=24), 2 * MANY), (LEFT, "left", timedelta(days=14), MANY)],
)
async def test_however_many_are_due_all_go_in_one_run_of_short_batches(
    people: People, rows: str, name: str, due: timedelta, removed: int
) -> None:
    await people.house.db.execute(rows, people.clock.at, MANY)
    began = people.clock.at
    people.clock.at += due
    await people.tick()
    assert await people.count("subscriber") == 0
    assert await people.count("subscription") == 0
    (run,) = await runs(people, name)
    assert (run["removed"], run["started_at"], run["oldest_due"]) == (removed, people.clock.at, began + due)


async def test_every_run_is_on_record_with_what_it_did(people: People) -> None:
    await people.sign_up(ADA)
    asked_at = people.clock.at
    people.clock.move(minutes=10)
    await people.sign_up(BEN)
    people.clock.move(hours=26)
    await people.tick()
    people.clock.move(minutes=5)
    await people.tick()
    first, second = await runs(people, "unconfirmed")
    assert (first["removed"], first["oldest_due"]) == (2, asked_at + timedelta(hours=24))
    assert (second["removed"], second["oldest_due"], second["started_at"]) == (0, None, people.clock.at)
    latest = await people.house.retention.latest_runs()
    assert set(latest) == {each.name for each in people.house.retention.promises}
    assert latest["unconfirmed"].started_at == people.clock.at


async def test_two_workers_that_tick_at_once_run_each_job_once(people: People) -> None:
    await people.sign_up(ADA)
    people.clock.move(hours=24)
    ran = await asyncio.gather(*(people.tick(worker=f"worker {number}") for number in range(3)))
    names = [f"keep:{each.name}" for each in people.house.retention.promises]
    assert sorted(name for each in ran for name in each) == sorted(names)
    assert await people.count("retention_run") == len(names)
    assert await people.count("job", "epoch = 1") == len(names)


async def test_a_job_runs_again_when_its_time_has_come_and_not_before(people: People) -> None:
    await people.tick()
    assert await people.tick() == []
    people.clock.move(minutes=4, seconds=59)
    assert await people.tick() == []
    people.clock.move(seconds=1)
    every = {each.name: each.every for each in people.house.retention.promises}
    assert set(await people.tick()) == {f"keep:{name}" for name, time in every.items() if time == timedelta(minutes=5)}


async def test_a_tick_that_was_missed_is_caught_up(people: People) -> None:
    """All workers were down for three days."""
    await people.tick()
    await people.sign_up(ADA)
    people.clock.move(days=3)
    await people.tick()
    assert not await people.is_known(ADA)
    assert len(await runs(people, "unconfirmed")) == 2


async def test_a_job_that_fails_is_recorded_and_tried_again_soon_and_holds_up_no_other(people: People) -> None:
    attempts: list[datetime] = []

    async def fail(now: datetime) -> int:
        attempts.append(now)
        if len(attempts) == 1:
            raise ValueError("ada@example.org")
        return 1

    async def other(now: datetime) -> int:
        return 0

    schedule = Schedule(
        people.house.db, [Job("fails", timedelta(days=1), fail), Job("other", timedelta(days=1), other)], worker="w"
    )
    assert await schedule.run_due(people.clock.at) == ["fails", "other"]
    state = {row.name: row for row in await jobs.job_states(people.house.db)}["fails"]
    assert state.last_error == "ValueError"
    assert state.next_run_at == people.clock.at + RETRY_AFTER
    people.clock.at += RETRY_AFTER
    assert await schedule.run_due(people.clock.at) == ["fails"]
    state = {row.name: row for row in await jobs.job_states(people.house.db)}["fails"]
    assert (state.last_error, state.last_finished) == (None, people.clock.at)
    assert state.next_run_at == people.clock.at + timedelta(days=1)


async def test_a_promise_that_fails_half_way_keeps_what_it_has_done_and_goes_on_later(people: People) -> None:
    await people.house.db.execute(LAPSED, people.clock.at, MANY)
    people.clock.move(hours=24)
    real = promise(people, "unconfirmed")
    batches = 0

    async def keep(db: Connection, now: datetime, size: int) -> Kept:
        nonlocal batches
        batches += 1
        if batches == 2:
            raise ValueError
        return await real.keep(db, now, size)

    failing = Retention(people.house.db, [Promise("unconfirmed", real.sentence, real.every, real.grace, keep)])
    schedule = Schedule(people.house.db, retention_jobs(failing), worker="w")
    await schedule.run_due(people.clock.at)
    assert 0 < await people.count("subscriber") < MANY
    people.clock.at += RETRY_AFTER
    await schedule.run_due(people.clock.at)
    assert await people.count("subscriber") == 0


async def test_the_job_of_a_worker_that_fell_silent_is_taken_over(people: People) -> None:
    """Until its lease is over nobody else runs it; then what the first one still writes changes nothing."""
    db, now = people.house.db, people.clock.at
    await jobs.add_job(db, name="job", now=now)
    first = await jobs.claim_job(db, name="job", worker="first", now=now, lease_until=now + LEASE)
    assert first is not None
    for later, taken in ((LEASE, False), (LEASE + timedelta(seconds=1), True)):
        epoch = await jobs.claim_job(db, name="job", worker="second", now=now + later, lease_until=now + 2 * LEASE)
        assert (epoch is not None) is taken
    await jobs.finish_job(db, name="job", epoch=first, now=now, next_run_at=now + timedelta(days=1), error=None)
    assert await people.count("job", "leased_by = 'second' and next_run_at = $1", now) == 1


async def test_a_database_that_goes_away_is_not_taken_for_a_failure_of_the_job(people: People) -> None:
    async def away(now: datetime) -> int:
        raise DatabaseUnavailable("PostgreSQL cannot be reached.")

    schedule = Schedule(people.house.db, [Job("job", timedelta(days=1), away)], worker="w")
    with pytest.raises(DatabaseUnavailable):
        await schedule.run_due(people.clock.at)
    assert (await jobs.job_states(people.house.db))[0].last_error is None


async def test_what_is_kept_for_a_time_goes_when_it_is_over(people: People) -> None:
    """Origins of consent after 180 days, refusals after 30, codes of the erased after 3 years, counters, mails, logs."""
    await people.reader(ADA)
    token = await people.sign_up(BEN)
    assert token is not None
    await people.refuse(token)
    await people.house.db.execute(
        "insert into audit_log (occurred_at, operator, action, target) values ($1, 'owner', 'campaign.create', 'campaign 1')",
        people.clock.at)  # fmt: skip
    await people.tick()
    start = people.clock.at
    for days, due in [
        (1, {"outbox": 1}),
        (30, {"limit_hit": 3, "suppression": 1, "withdrawal": 1}),
        (180, {"consent_origin": 2}),
        (365, {"audit_log": 1}),
    ]:
        people.clock.at = start + timedelta(days=days, seconds=-1)
        await people.tick()
        assert {table: await people.count(table) for table in due} == due
        people.clock.at = start + timedelta(days=days, hours=1)
        await people.tick()
        assert {table: await people.count(table) for table in due} == dict.fromkeys(due, 0)
    assert await people.events(ADA) == ["asked", "confirmed"]
    assert await people.count("retention_run", "started_at <= $1", people.clock.at - timedelta(days=365)) == 0
    await people.unsubscribe(ADA)
    people.clock.move(days=14)
    await people.tick()
    people.clock.move(days=3 * 365, seconds=-1)
    await people.tick()
    assert await people.suppressions(ADA) == {(people.letter.list_id, "left")}
    people.clock.move(hours=1)
    await people.tick()
    assert await people.suppressions(ADA) == set()


async def test_every_promise_says_its_deadline_in_every_language(people: People) -> None:
    english, german = (people.house.retention.sentences(translations(language)) for language in ("en", "de"))
    assert english[0] == "If you do not confirm within 24 hours, we delete your address."
    assert english[1] == "When you unsubscribe from everything, we delete your address within 14 days."
    assert len(german) == len(english) == len(people.house.retention.promises)
    assert [sentence for sentence in german if sentence in english] == []
    assert not [sentence for sentence in (*english, *german) if "%" in sentence]


async def test_who_has_left_is_forgotten_with_the_code_that_stays_of_them(people: People) -> None:
    await people.reader(ADA)
    await people.unsubscribe(ADA)
    people.clock.at += timedelta(days=14)
    await people.tick()
    assert (await people.count("withdrawal"), await people.count("suppression")) == (2, 1)
    people.clock.at += timedelta(days=3 * 365, hours=1)
    await people.tick()
    assert (await people.count("withdrawal"), await people.count("suppression")) == (0, 0)
