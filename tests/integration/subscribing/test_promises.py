"""Each promise is kept when its time has come, neither before nor much later, and every run is on record."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from newsletter.core.database import Connection, Database
from newsletter.core.errors import DatabaseUnavailable
from newsletter.core.i18n import translations
from newsletter.core.promises import Kept, Promise
from newsletter.jobs import store as jobs
from newsletter.jobs.schedule import LEASE, RETRY_AFTER, Job, Renew, Schedule, retention_jobs
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


def scheduled(people: People, **runs: Callable[[datetime, Renew], Awaitable[int]]) -> Schedule:
    """Daily jobs."""
    jobs = [Job(name, timedelta(days=1), run) for name, run in runs.items()]
    return Schedule(people.house.db, people.clock, jobs, worker="w")


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


async def test_a_new_request_does_not_put_it_off_and_begins_a_life_of_its_own(people: People) -> None:
    """Anybody can make one, with any address: it must neither break the promise nor be broken by it."""
    await people.reader(ADA, "letter", "digest", name="Ada")
    await people.house.my_data.held_for_operator(people.id_of(ADA), "show", operator="Ops", now=people.clock.at)
    await people.unsubscribe(ADA, "letter")
    await people.unsubscribe(ADA, "digest")
    left_at = people.clock.at
    people.clock.at = left_at + timedelta(days=14, hours=-5)
    token = await people.sign_up(ADA, name="A. L.")
    assert token is not None
    asked_at = people.clock.at
    await people.letters()
    people.clock.at = left_at + timedelta(days=14)
    await people.tick()

    for table, moment in (("subscriber", "created_at"), ("subscription", "requested_at"), ("consent_event", "occurred_at")):
        assert await people.count(table, f"{moment} < $1", asked_at) == 0, table
        assert await people.count(table) == 1, table
    assert await people.count("consent_origin") == await people.count("confirmation") == 1
    assert await people.count("audit_log") == 1
    assert await people.count("audit_subject") == 0, "what was done about the old life is nobody's any more"
    assert await people.count("subscriber", "name = '' and left_at is null") == 1
    assert await people.count("subscription", "num_nonnulls(confirmed_at, unsubscribed_at, unsubscribed_via) = 0") == 1
    assert await people.suppressions(ADA) == {(people.letter.list_id, "left"), (people.digest.list_id, "left")}
    assert await people.count("withdrawal", "kind = 'erased'") == 1
    assert await people.house.db.fetchval("select sum(erased) from list_day") == 2
    run = (await people.house.retention.latest_runs())["left"]
    assert (run.removed, run.oldest_due) == (1, people.clock.at)

    await people.confirm(token)
    assert await people.states(ADA) == {"letter": "confirmed"}
    assert await people.suppressions(ADA) == {(people.digest.list_id, "left")}
    assert await people.house.db.fetchval("select name from subscriber") == "A. L."
    people.clock.move(days=20)
    await people.tick()
    assert await people.states(ADA) == {"letter": "confirmed"}


async def test_such_a_request_lapses_like_any_other_and_leaves_nothing_but_codes(people: People) -> None:
    await people.reader(ADA)
    await people.unsubscribe(ADA)
    people.clock.move(days=13, hours=20)
    await people.sign_up(ADA)
    await people.pass_time(timedelta(hours=24, minutes=30), tick=timedelta(minutes=30))
    for table in ("subscriber", "subscription", "confirmation", "consent_event", "consent_origin"):
        assert await people.count(table) == 0, table
    assert await people.suppressions(ADA) == {(people.letter.list_id, "left")}


async def test_the_mail_of_such_a_request_is_still_sent_and_nothing_else_of_the_old_life_is_kept(people: People) -> None:
    """It waits while no relay takes mail, and the sweep that folds the old life's deliveries takes single mails with them."""
    who = await people.reader(ADA)
    await people.house.db.execute(
        """with new as (insert into campaign (list_id, name, created_at) values ($1, 'November', $2) returning campaign_id)
           select *, ensure_delivery_week('2026-11-16') from new""",
        people.letter.list_id, people.clock.at)  # fmt: skip
    await people.house.db.execute(
        """insert into delivery (subscriber_id, campaign_id, week, state, epoch, attempts, first_at, attempted_at)
           values ($1, 1, '2026-11-16', 'accepted', 1, 1, $2, $2)""",
        who, people.clock.at)  # fmt: skip
    await people.letters()
    await people.unsubscribe(ADA)
    people.clock.move(days=13, hours=20)
    token = await people.sign_up(ADA)
    assert token is not None
    people.clock.move(hours=5)
    await people.tick()
    assert await people.count("delivery") == 0
    assert await people.count("delivery_folded", "state = 'accepted' and count = 1") == 1
    (newest,) = await people.letters(ADA)
    assert token in (newest.text or "")
    await people.confirm(token)
    assert await people.states(ADA) == {"letter": "confirmed"}


async def test_what_operators_did_about_a_new_request_goes_on_with_it_and_what_they_did_before_does_not(people: People) -> None:
    """Who was entered by hand on their last day may learn that it was by hand."""
    who = await people.reader(ADA)
    await people.unsubscribe(ADA)
    people.clock.move(days=13, hours=20)
    held = people.house.my_data.held_for_operator
    await held(who, "show", operator="Ops", now=people.clock.at)
    people.clock.move(seconds=1)
    await people.house.joining.enter(ADA, "letter", name="", language="en", operator="Ops", network=None, now=people.clock.at)
    await people.decide()
    people.clock.move(hours=1)
    await held(who, "export", operator="Ops", now=people.clock.at)
    people.clock.move(hours=3)
    await people.tick()
    assert await people.count("withdrawal", "kind = 'erased'") == 1
    assert await people.states(ADA) == {"letter": "pending"}
    lines = await people.house.db.fetch("select action from audit_subject join audit_log using (audit_id) order by audit_id")
    assert [row["action"] for row in lines] == ["subscriber.add", "subscriber.export"]


async def test_somebody_who_comes_back_at_that_very_moment_is_kept(people: People) -> None:
    """The sweep has found them, waits for the lock, and looks again; it counts whom it erased, not whom it found."""
    await people.reader(ADA)
    await people.unsubscribe(ADA)
    people.clock.move(days=14)
    keep = keep_left(timedelta(days=14), people.house.ledger)

    async def sweep() -> Kept:
        async with people.house.db.transaction() as transaction:
            return await keep(transaction, people.clock.at, BATCH)

    async with people.house.db.transaction() as other:
        await other.execute("select from subscriber for update")
        sweeping = asyncio.create_task(sweep())
        async with asyncio.timeout(20):
            while not await other.fetchval("select count(*) from pg_locks where not granted"):
                pass  # Asking takes its time.
        await other.execute("update subscriber set left_at = null")
    assert await sweeping == Kept(0)
    assert await people.states(ADA) == {"letter": "unsubscribed"}


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
    assert all(run["removed"] <= 2 * BATCH for run in await runs(people, name))
    run = (await people.house.retention.latest_runs())[name]
    assert (run.removed, run.started_at, run.oldest_due) == (removed, people.clock.at, began + due)


async def test_every_run_that_removed_something_is_on_record_with_what_it_did(people: People) -> None:
    """One that did not says no more than the job's own row, and there would be half a million of them in a year."""
    await people.sign_up(ADA)
    asked_at = people.clock.at
    people.clock.move(minutes=10)
    await people.sign_up(BEN)
    people.clock.move(hours=26)
    await people.tick()
    people.clock.move(minutes=5)
    await people.tick()
    (run,) = await runs(people, "unconfirmed")
    assert (run["removed"], run["oldest_due"]) == (2, asked_at + timedelta(hours=24))
    assert await people.count("retention_run", "removed = 0") == 0
    latest = await people.house.retention.latest_runs()
    assert latest["unconfirmed"].started_at == people.clock.at - timedelta(minutes=5)
    assert await people.count("job", "name = 'keep:unconfirmed' and last_finished = $1", people.clock.at) == 1


async def test_two_workers_that_tick_at_once_run_each_job_once(people: People) -> None:
    await people.sign_up(ADA)
    people.clock.move(hours=24)
    ran = await asyncio.gather(*(people.tick(worker=f"worker {number}") for number in range(3)))
    names = [f"keep:{each.name}" for each in people.house.retention.promises]
    assert sorted(name for each in ran for name in each) == sorted(names)
    assert len(await runs(people, "unconfirmed")) == 1
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


async def test_a_job_that_fails_is_recorded_and_tried_again_soon_and_holds_up_no_other(people: People) -> None:
    attempts: list[datetime] = []

    async def fail(now: datetime, renew: Renew) -> int:
        attempts.append(now)
        if len(attempts) == 1:
            raise ValueError("ada@example.org")
        return 1

    async def other(now: datetime, renew: Renew) -> int:
        return 0

    schedule = scheduled(people, fails=fail, other=other)
    assert await schedule.run_due() == ["fails", "other"]
    state = {row.name: row for row in await jobs.job_states(people.house.db)}["fails"]
    assert state.last_error == "ValueError"
    assert state.next_run_at == people.clock.at + RETRY_AFTER
    people.clock.at += RETRY_AFTER
    assert await schedule.run_due() == ["fails"]
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

    failing = Retention(people.house.db, people.clock, [replace(real, name="unconfirmed", keep=keep)])
    schedule = Schedule(people.house.db, people.clock, retention_jobs(failing), worker="w")
    await schedule.run_due()
    left = await people.count("subscriber")
    assert 0 < left < MANY
    began = people.clock.at
    (first,) = await runs(people, "unconfirmed")
    assert first["removed"] == await people.house.db.fetchval("select sum(lapsed) from list_day") > 0
    people.clock.at += RETRY_AFTER
    await schedule.run_due()
    assert await people.count("subscriber") == 0
    recorded = await people.house.db.fetch(
        "select started_at, sum(removed) as removed from retention_run group by started_at order by started_at")  # fmt: skip
    assert [tuple(row) for row in recorded] == [
        (began, first["removed"]), (people.clock.at, 2 * MANY - first["removed"])]  # fmt: skip


async def test_a_record_says_when_its_batch_was_done(people: People) -> None:
    """A clock that was set back a little in between does not stop the sweep."""
    real = promise(people, "unconfirmed")
    for number, took in enumerate((90.0, -0.5)):
        await people.sign_up(f"reader{number}@example.org")
        people.clock.move(hours=24)
        began = people.clock.at

        async def keep(db: Connection, now: datetime, size: int, took: float = took) -> Kept:
            people.clock.move(seconds=took)
            return await real.keep(db, now, size)

        slow = replace(real, name="slow", keep=keep)
        await Retention(people.house.db, people.clock, [slow]).keep(slow, now=began)
        run = (await people.house.retention.latest_runs())["slow"]
        assert (run.started_at, run.finished_at) == (began, began + timedelta(seconds=max(took, 0)))


async def test_the_job_of_a_worker_that_fell_silent_is_taken_over(people: People) -> None:
    """Until its lease is over nobody else runs it; then what the first one still writes changes nothing."""
    db, now = people.house.db, people.clock.at
    assert await jobs.due_jobs(db, names=["job"], now=now) == ["job"]
    first = await jobs.claim_job(db, name="job", worker="first", now=now, lease_until=now + LEASE)
    assert first is not None
    for later, taken in ((LEASE, False), (LEASE + timedelta(seconds=1), True)):
        epoch = await jobs.claim_job(db, name="job", worker="second", now=now + later, lease_until=now + 2 * LEASE)
        assert (epoch is not None) is taken
    await jobs.finish_job(db, name="job", epoch=first, now=now, next_run_at=now + timedelta(days=1), error=None)
    assert await people.count("job", "leased_by = 'second' and next_run_at = $1", now) == 1


async def test_a_database_that_goes_away_is_not_taken_for_a_failure_of_the_job(people: People) -> None:
    """What is due after it is not begun, and nobody waits for its lease when the database is back."""

    async def away(now: datetime, renew: Renew) -> int:
        raise DatabaseUnavailable("PostgreSQL cannot be reached.")

    async def never(now: datetime, renew: Renew) -> int:
        raise AssertionError

    schedule = scheduled(people, away=away, other=never)
    with pytest.raises(DatabaseUnavailable):
        await schedule.run_due()
    state, other = await jobs.job_states(people.house.db)
    assert (state.name, state.last_error, state.next_run_at) == (
        "away", "DatabaseUnavailable", people.clock.at + RETRY_AFTER)  # fmt: skip
    assert (other.name, other.last_started) == ("other", None)
    assert await people.count("job", "lease_until is null") == 2


async def test_a_job_whose_statement_takes_too_long_has_failed_and_holds_up_no_other(people: People, database_url: str) -> None:
    db = await Database.connect(database_url, answer_within=0.1)

    async def hangs(now: datetime, renew: Renew) -> int:
        await db.execute("select pg_sleep(60)")
        return 0

    async def other(now: datetime, renew: Renew) -> int:
        return 0

    assert await scheduled(people, hangs=hangs, other=other).run_due() == ["hangs", "other"]
    await db.close()
    state = {row.name: row for row in await jobs.job_states(people.house.db)}["hangs"]
    assert (state.last_error, state.next_run_at) == ("StatementTimeout", people.clock.at + RETRY_AFTER)


async def test_a_job_that_is_cut_off_is_handed_back(people: People) -> None:
    """A worker that is told to stop and cannot wait: the next one need not wait for the lease to end."""
    begun = asyncio.Event()

    async def endless(now: datetime, renew: Renew) -> int:
        begun.set()
        await asyncio.get_running_loop().create_future()
        return 0

    ticking = asyncio.create_task(scheduled(people, job=endless).run_due())
    await begun.wait()
    ticking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ticking
    assert await people.count("job", "lease_until is null and next_run_at = $1", people.clock.at + RETRY_AFTER) == 1


async def test_each_job_has_the_time_that_it_begins_at(people: People) -> None:
    """After one that took longer than a lease, the next would else be claimed with a lease that is over already."""
    began = people.clock.at
    seen: list[datetime] = []

    async def slow(now: datetime, renew: Renew) -> int:
        people.clock.at += 2 * LEASE
        return 0

    async def after(now: datetime, renew: Renew) -> int:
        seen.append(now)
        assert await people.count("job", "name = 'after' and lease_until = $1", now + LEASE) == 1
        return 0

    assert await scheduled(people, slow=slow, after=after).run_due() == ["slow", "after"]
    assert seen == [began + 2 * LEASE]
    state = {row.name: row for row in await jobs.job_states(people.house.db)}["slow"]
    assert (state.last_started, state.last_finished) == (began, began + 2 * LEASE)


async def test_a_long_sweep_keeps_its_lease_and_ends_when_it_has_lost_it(people: People) -> None:
    await people.house.db.execute(LAPSED, people.clock.at, 2 * BATCH)
    people.clock.move(hours=24)
    real = promise(people, "unconfirmed")
    batches = 0

    async def keep(db: Connection, now: datetime, size: int) -> Kept:
        nonlocal batches
        batches += 1
        lease = await people.house.db.fetchval("select lease_until from job")
        assert lease == people.clock.at + LEASE
        people.clock.at += LEASE * 0.6
        if batches == 3:
            await people.house.db.execute("update job set epoch = epoch + 1, leased_by = 'another'")
        return await real.keep(db, now, size)

    long = Retention(people.house.db, people.clock, [replace(real, name="long", keep=keep)])
    await Schedule(people.house.db, people.clock, retention_jobs(long), worker="w").run_due()
    assert batches == 3
    assert await people.count("subscriber") > 0
    assert await people.count("job", "leased_by = 'another' and last_error is null") == 1


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
