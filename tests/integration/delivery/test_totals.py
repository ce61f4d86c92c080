"""What became of a campaign is counted beside the rows, and always equals them, whatever happens to readers and weeks."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from newsletter.app import House
from newsletter.core.database import Database
from newsletter.core.i18n import translations
from newsletter.core.migrations import migrate, migrations
from newsletter.core.promises import Kept
from newsletter.delivery import store
from newsletter.delivery.rules import LEASE, UNCERTAIN_ATTEMPTS
from newsletter.delivery.store import Batch
from tests.conftest import START, ManualClock
from tests.integration.delivery.sending import Sending
from tests.relay import ScriptedRelay, eventually

STATES = ("accepted", "deferred", "failed", "uncertain", "skipped", "paced", "in turn")
ASIDE = ("paced", "in turn")
WHEN_GONE = {"attempting": "uncertain", "deferred": "skipped"}
"""What a mail counts as when its row is gone: nobody is going to try again."""
WEEK = date(2026, 11, 16)
"""Monday of the week that the tests begin in."""
LIVE = "select state, count(*) as count from delivery where campaign_id = $1 group by 1"
FOLDED = "select state, count from delivery_folded where campaign_id = $1"
COUNTED = """select sum(attempting) as attempting, sum(accepted) as accepted, sum(deferred) as deferred, sum(failed) as failed,
                    sum(uncertain) as uncertain, sum(skipped) as skipped from batch where campaign_id = $1"""


def when_gone(counts: Counter[str]) -> Counter[str]:
    mapped: Counter[str] = Counter()
    for state, count in counts.items():
        mapped[WHEN_GONE.get(state, state)] += count
    return mapped


async def sums(db: Database, query: str, campaign_id: int) -> Counter[str]:
    return Counter({row["state"]: row["count"] for row in await db.fetch(query, campaign_id)})


async def as_they_should_be(sending: Sending) -> dict[str, int]:
    """From the rows themselves."""
    live = await sums(sending.db, LIVE, sending.campaign_id)
    folded = await sums(sending.db, FOLDED, sending.campaign_id)
    return dict(live + when_gone(folded))


# Whatever happens.


@dataclass
class Walk:
    """A campaign to a few readers, worked on by hand."""

    sending: Sending
    batch: Batch
    left: list[str]
    """Readers who were not erased."""
    in_hand: list[UUID] = field(default_factory=list)

    def some(self, seed: int) -> list[UUID]:
        """A few of those in hand, who are not any more."""
        chosen = [reader for number, reader in enumerate(self.in_hand) if (seed >> number % 8) & 1]
        self.in_hand = [reader for reader in self.in_hand if reader not in chosen]
        return chosen

    async def step(self, verb: str, seed: int) -> None:
        db, clock, batch = self.sending.db, self.sending.clock, self.batch
        match verb:
            case "take":
                taken = await store.take_fresh(db, batch, first=batch.id_from, size=1 + seed % 5, now=clock.now())
                self.in_hand += [reader.subscriber_id for reader in taken]
            case "take again":
                clock.move(minutes=1)
                taken = await store.take_again(db, batch, size=1 + seed % 5, now=clock.now())
                self.in_hand += [reader.subscriber_id for reader in taken]
            case "record":
                await self.record(self.some(seed), seed)
            case "give back":
                await store.give_back(db, batch, subscriber_ids=self.some(seed), not_before=clock.now())
            case "interrupt":
                await self.interrupt(resend=bool(seed & 1))
            case "leave" if self.left:
                await self.sending.unsubscribe(self.left[seed % len(self.left)])
            case "erase" if self.left:
                await self.sending.erase(self.left.pop(seed % len(self.left)))

    async def record(self, readers: list[UUID], seed: int) -> None:
        said = [STATES[(seed + number) % len(STATES)] for number in range(len(readers))]
        later = self.sending.clock.now() + timedelta(minutes=seed % 3)
        outcomes = store.Outcomes(
            states=["deferred" if state in ASIDE else state for state in said],
            retries=[later if state in ("deferred", "uncertain", *ASIDE) else None for state in said],
            paced=[state in ASIDE for state in said],
            turns=[state == "in turn" for state in said],
            codes=[None] * len(said),
            statuses=[None] * len(said),
            replies=[""] * len(said),
        )
        numbers = range(1, len(said) + 1)
        await store.record_outcomes(self.sending.db, self.batch, outcomes, subscriber_ids=readers, numbers=numbers)

    async def interrupt(self, *, resend: bool) -> None:
        """The worker is killed, another takes over; the dead one's outcomes come too late."""
        late, old = self.in_hand, self.batch
        self.in_hand = []
        self.sending.clock.at += LEASE + timedelta(seconds=1)
        self.batch = await self.sending.claimed()
        db, now = self.sending.db, self.sending.clock.now()
        await store.mark_interrupted(db, self.batch, resend=resend, attempts_at_most=UNCERTAIN_ATTEMPTS, now=now)
        await store.skip_unwanted(db, self.batch, now=now)
        new, self.batch = self.batch, old
        await self.record(late, 0)
        self.batch = new


STEPS = ("take", "take", "take again", "record", "record", "give back", "interrupt", "leave", "erase")


@hypothesis_settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(min_value=0, max_value=255)), min_size=10, max_size=40))
async def test_whatever_happens_totals_equal_the_rows_and_what_was_folded_of_them(
    sending: Sending, steps: list[tuple[str, int]]
) -> None:
    await sending.db.execute("delete from batch")
    await sending.db.execute("delete from subscriber")
    readers = await sending.many_readers(12)
    await sending.begin()
    walk = Walk(sending, await sending.claimed(), list(readers))
    for verb, seed in steps:
        await walk.step(verb, seed)
        assert await sending.totals() == await as_they_should_be(sending), verb
        counted = dict(await sending.db.fetchrow(COUNTED, sending.campaign_id))
        both = await sums(sending.db, LIVE, sending.campaign_id) + await sums(sending.db, FOLDED, sending.campaign_id)
        assert {state: count for state, count in counted.items() if count} == dict(both), verb
    before = await sending.totals()
    await sending.set_campaign("cancelled")
    await store.drop_week(sending.db, before=WEEK + timedelta(days=700))
    assert await sending.rows() == {}
    assert await sending.totals() == dict(when_gone(Counter(before)))


async def test_totals_are_the_same_after_the_week_was_dropped(sending: Sending) -> None:
    readers = await sending.many_readers(30)
    await sending.begin()
    await sending.work()
    await sending.erase(*readers[:3])
    assert await sending.totals() == {"accepted": 30}
    assert await store.drop_week(sending.db, before=WEEK + timedelta(days=1)) == Kept(27, midnight(WEEK))
    assert (await sending.rows(), await sending.totals()) == ({}, {"accepted": 30})


async def test_two_campaigns_of_a_week_are_folded_each_by_itself(sending: Sending) -> None:
    await sending.many_readers(2)
    await sending.begin()
    await sending.work()
    first = sending.campaign_id
    await sending.readers("late@example.org")
    await sending.begin()
    await sending.work()
    await store.drop_week(sending.db, before=WEEK + timedelta(days=1))
    assert await sums(sending.db, FOLDED, first) == {"accepted": 2}
    assert await sums(sending.db, FOLDED, sending.campaign_id) == {"accepted": 3}


# Dropping.


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


async def weeks(db: Database) -> set[str]:
    rows = await db.fetch("select inhrelid::regclass::text as name from pg_inherits where inhparent = 'delivery'::regclass")
    return {row["name"] for row in rows}


@pytest.mark.parametrize("state", ["sending", "paused"])
async def test_no_week_of_a_campaign_under_way_is_dropped(sending: Sending, state: str) -> None:
    await sending.many_readers(2)
    await sending.begin()
    await sending.work()
    await sending.db.execute("update campaign set state = $1, finished_at = null", state)
    assert await store.drop_week(sending.db, before=WEEK + timedelta(days=700)) == Kept(0, None)
    assert len(await sending.rows()) == 2
    await sending.db.execute("update campaign set state = 'sent', finished_at = $1", sending.clock.now())
    assert (await store.drop_week(sending.db, before=WEEK + timedelta(days=700))).removed == 2


async def test_a_week_is_dropped_ninety_days_after_its_last_day_and_no_day_sooner(house: House, sending: Sending) -> None:
    promise = next(each for each in house.retention.promises if each.name == "deliveries")
    sending.clock.at = datetime(2026, 11, 22, 23, 59, 59, tzinfo=UTC)  # A Sunday.
    await sending.many_readers(2)
    await sending.begin()
    await sending.work()
    sending.clock.move(days=90)
    assert await house.retention.keep(promise, now=sending.clock.now()) == Kept(0)
    assert len(await sending.rows()) == 2
    sending.clock.move(seconds=1)
    due = midnight(WEEK) + timedelta(days=97)
    assert await house.retention.keep(promise, now=sending.clock.now()) == Kept(2, due)
    assert "delivery_2026w47" not in await weeks(sending.db)
    assert due + promise.grace >= sending.clock.now() + timedelta(hours=2), "with time to spare before it is overdue"
    assert (await house.retention.latest_runs())["deliveries"].removed == 2


@pytest.mark.parametrize("state", ["sending", "paused"])
async def test_a_campaign_that_nobody_has_ended_is_cancelled_before_it_breaks_the_promise(
    house: House, sending: Sending, state: str
) -> None:
    promise = next(each for each in house.retention.promises if each.name == "deliveries")
    await sending.many_readers(2)
    await sending.begin()
    await sending.work()
    await sending.db.execute("update campaign set state = $1, finished_at = null", state)
    sending.clock.at = midnight(WEEK) + timedelta(days=97, seconds=-1)
    assert await house.retention.keep(promise, now=sending.clock.now()) == Kept(0)
    assert await sending.state() == state
    sending.clock.move(seconds=1)
    assert (await house.retention.keep(promise, now=sending.clock.now())).removed == 2
    assert await sending.state() == "cancelled"


async def test_the_days_are_those_of_the_settings(house: House, sending: Sending) -> None:
    few = House(house.settings.model_copy(update={"delivery_days": 7}), house.db, house.keyring, house.clock)
    promise = next(each for each in few.retention.promises if each.name == "deliveries")
    await sending.many_readers(1)
    await sending.begin()
    await sending.work()
    sending.clock.move(days=16)
    assert (await few.retention.keep(promise, now=sending.clock.now())).removed == 1


async def test_a_week_that_was_dropped_is_made_again_when_it_is_needed(sending: Sending) -> None:
    await sending.many_readers(1)
    await sending.begin()
    await sending.work()
    await store.drop_week(sending.db, before=WEEK + timedelta(days=1))
    await sending.begin()
    await sending.work()
    assert await sending.totals() == {"accepted": 1}


async def test_dropping_and_erasing_at_once_do_not_end_in_a_deadlock(sending: Sending) -> None:
    """An erasure looks into every week: it has the table, and waits for the one that is being folded."""
    first, second, *_ = await sending.many_readers(4)
    await sending.begin()
    await sending.work()
    await sending.erase(first)
    async with sending.db.transaction() as somebody:
        await somebody.execute("select from delivery_folded for update")
        dropping = asyncio.ensure_future(store.drop_week(sending.db, before=WEEK + timedelta(days=1)))
        await eventually(sending.somebody_waits_for_a_lock)
        erasing = asyncio.ensure_future(sending.erase(second))
        await eventually(sending.two_wait_for_a_lock)
    await asyncio.gather(dropping, erasing)
    assert await sending.totals() == {"accepted": 4}


async def test_what_both_promises_say_is_said_in_both_languages(house: House) -> None:
    declared = {promise.name: promise for promise in house.retention.promises}
    english, german = translations("en"), translations("de")
    assert declared["deliveries"].sentence(english).startswith("Who was sent which letter is forgotten 90 days after the week")
    for name in ("deliveries", "paces"):
        sentence = declared[name].sentence(german)
        assert sentence != declared[name].sentence(english)
        assert sentence in house.retention.sentences(german)


# Paces.


async def test_paces_are_forgotten_a_day_after_they_were_last_used(house: House, clock: ManualClock) -> None:
    promise = next(each for each in house.retention.promises if each.name == "paces")
    insert = "insert into pace (name, free_at, slow_rate, slowed_at) values ($1, $2, $3, $4)"
    hour = timedelta(hours=1)
    await house.db.execute(insert, "domain:old.example", START, None, None)
    await house.db.execute(insert, "domain:slow.example", START, 1.0, START + hour)
    await house.db.execute(insert, "relay:booked", START + 3 * hour, None, None)
    await house.db.execute(insert, "list:1", START, 1.0, START + 3 * hour)
    clock.move(days=1, hours=2)
    assert await house.retention.keep(promise, now=clock.now()) == Kept(2, START + timedelta(days=1))
    left = {row["name"] for row in await house.db.fetch("select name from pace")}
    assert left == {"relay:booked", "list:1"}


# The database from before.

BEFORE = 4
"""The schema without totals."""


async def test_what_was_sent_before_totals_were_kept_is_counted_too(empty_database_url: str, relay: ScriptedRelay) -> None:
    db = await Database.connect(empty_database_url)
    try:
        known = migrations()
        await migrate(db, now=START, known=known[:BEFORE])
        old = Sending(db, ManualClock(), relay)
        await old.prepare()
        readers = await old.many_readers(1500)
        old.campaign_id = await campaign_from_before(db, old.list_id)
        states = ("attempting", "accepted", "deferred", "failed", "uncertain", "skipped")
        await db.execute(
            """insert into delivery (subscriber_id, campaign_id, week, state, epoch, attempts, first_at, attempted_at, retry_at)
               select subscriber_id, $1, $2, ($3::text[])[1 + n % 6], 1, 1, $4::timestamptz, $4,
                      case when n % 6 = 2 then $4::timestamptz end
               from (select subscriber_id, row_number() over (order by subscriber_id) as n from subscription) as s
               where n <= 900""",
            old.campaign_id,
            WEEK,
            list(states),
            START,
        )
        await db.execute("insert into delivery_folded values ($1, 'accepted', 7), ($1, 'skipped', 2)", old.campaign_id)
        done = await migrate(db, now=START, known=known)
        assert [each.number for each in done] == [each.number for each in known[BEFORE:]]
        assert await old.totals() == dict.fromkeys(states, 150) | {"accepted": 157, "skipped": 152}
        per_batch = await db.fetch("select batch_no, attempting + deferred + failed as sum from batch order by batch_no")
        assert all(row["sum"] > 50 for row in per_batch)
        assert len(per_batch) == 2
        await old.work()
        assert await old.totals() == await as_they_should_be(old)
        assert sum((await old.totals()).values()) == len(readers) + 9
        assert await old.state() == "sent"
    finally:
        await db.close()


async def campaign_from_before(db: Database, list_id: int) -> int:
    campaign_id: int = await db.fetchval(
        """insert into campaign (list_id, name, state, created_at, started_at, week, message_key, message_domain, planned)
           values ($1, 'Tide', 'sending', $2, $2, $3, $4, 'letters.example', 1500) returning campaign_id""",
        list_id,
        START,
        WEEK,
        bytes(32),
    )
    await db.execute("select ensure_delivery_week($1)", WEEK)
    half = 1 << 127
    await db.execute(
        """insert into batch (campaign_id, batch_no, id_from, id_to, not_before)
           values ($1, 0, $2, $3, $6), ($1, 1, $4, $5, $6)""",
        campaign_id,
        UUID(int=0),
        UUID(int=half - 1),
        UUID(int=half),
        UUID(int=(1 << 128) - 1),
        START,
    )
    return campaign_id


async def test_a_table_that_is_no_week_is_none_whatever_plan_looks_at_it_first(sending: Sending) -> None:
    """PostgreSQL is free to ask for the week of every table there is before it asks whose partition it is."""
    await sending.many_readers(1)
    await sending.begin()
    weeks = await sending.db.fetch("select relname, week_of_partition(relname) as week from pg_class")
    assert {row["week"] for row in weeks if row["relname"].startswith("pg_")} == {None}
    assert {row["week"] for row in weeks if row["relname"] == WEEK.strftime("delivery_%Gw%V")} == {WEEK}
