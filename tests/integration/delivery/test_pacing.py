"""Who is slow does not slow the others: surplus is put aside with its place in the queue, and nobody is lost by it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta

import pytest
from pydantic import SecretStr

from newsletter.app import House
from newsletter.campaigns.content import Draft, Format
from newsletter.campaigns.service import NewCampaign
from newsletter.core.database import Database
from newsletter.core.keys import open_keyring
from newsletter.delivery.rules import CHUNK_OF_RATE, PACED_WITHIN, SLOWEST, TURNS_AHEAD
from newsletter.delivery.throttle import Throttle
from newsletter.jobs.sending import CampaignSending
from newsletter.settings import Settings
from tests.conftest import SECRET, START, ManualClock
from tests.integration.delivery.sending import Sending, subscriber_id
from tests.relay import Say, Stage, eventually

SLOW = "slow.example"


def at(domain: str, count: int, first: int = 0) -> list[str]:
    """Addresses there, in the order of their ids."""
    return sorted((f"reader{number}@{domain}" for number in range(first, first + count)), key=subscriber_id)


async def paced(sending: Sending) -> list[tuple[timedelta, int, str]]:
    """Those put aside: how long after the start they are due, attempts, state."""
    rows = await sending.db.fetch("select retry_at, attempts, state from delivery where paced order by retry_at, subscriber_id")
    return [(row["retry_at"] - START, row["attempts"], row["state"]) for row in rows]


async def free_at(sending: Sending, name: str = f"domain:{SLOW}") -> datetime:
    """When the next mail may go."""
    found: datetime = await sending.db.fetchval("select free_at from pace where name = $1", name)
    return found


def seconds(*numbers: float) -> list[timedelta]:
    return [timedelta(seconds=number) for number in numbers]


async def test_surplus_of_a_limited_domain_is_put_aside_untried_and_the_others_go_at_once(sending: Sending) -> None:
    limited, others = at(SLOW, 6), at("example.org", 5)
    await sending.readers(*limited, *others)
    await sending.begin()
    assert await sending.work(limits=sending.throttle(slow_example=2.0)) == 1
    assert sending.relay.took() == Counter([*limited[:2], *others])
    assert await paced(sending) == [(due, 0, "deferred") for due in seconds(1, 2, 2, 3)]
    assert await sending.totals() == {"accepted": 7, "deferred": 4}
    assert await sending.state() == "sending"


async def test_those_put_aside_go_in_their_turn_without_asking_again(sending: Sending) -> None:
    limited = at(SLOW, 6)
    await sending.readers(*limited)
    await sending.begin()
    limits = sending.throttle(slow_example=2.0)
    await sending.work(limits=limits)
    booked = await free_at(sending)
    for _ in range(3):
        sending.clock.move(seconds=1)
        await sending.work(limits=limits)
    assert await free_at(sending) == booked == START + timedelta(seconds=3)
    assert [mail.recipient for mail in sending.relay.taken[:3]] == limited[:3]
    assert sending.relay.took() == Counter(limited)
    assert {row.attempts for row in (await sending.rows()).values()} == {1}
    assert await sending.state() == "sent"


async def test_who_is_a_little_late_goes_and_who_is_later_asks_again(sending: Sending) -> None:
    await sending.readers(*at(SLOW, 8))
    await sending.begin()
    limits = sending.throttle(slow_example=1.0)
    await sending.work(limits=limits)
    assert [due for due, *_ in await paced(sending)] == seconds(1, 2, 3, 4, 5, 6, 7)
    sending.clock.at += timedelta(seconds=2) + PACED_WITHIN
    await sending.work(limits=limits)
    # The first is too late and asks for a place, which is the one behind all others.
    assert [due for due, *_ in await paced(sending)] == seconds(8)
    assert len(sending.relay.taken) == 7


async def test_after_a_long_pause_they_go_at_the_rate_again_and_not_all_at_once(sending: Sending) -> None:
    await sending.readers(*at(SLOW, 20))
    await sending.begin()
    limits = sending.throttle(slow_example=2.0)
    await sending.work(limits=limits)
    sending.clock.move(hours=1)
    await sending.work(limits=limits)
    assert len(sending.relay.taken) == 4


async def test_what_falls_due_during_a_long_run_is_not_kept_until_its_end(sending: Sending) -> None:
    everybody = sorted(f"reader{number}@{SLOW}" for number in range(40))
    limited = sorted(everybody, key=subscriber_id)[:3]
    others = [each for each in at("example.org", 60) if subscriber_id(each) > subscriber_id(limited[-1])][:9]
    await sending.readers(*limited, *others)
    await sending.begin()
    limits, lanes = sending.throttle(slow_example=2.0), sending.lanes(connections=1)
    held = sending.relay.hold(Stage.BODY, to=others[0])
    work = asyncio.ensure_future(sending.work(lanes, size=4, limits=limits))
    await held.reached()

    async def put_aside() -> bool:
        return len(await paced(sending)) == 1

    await eventually(put_aside)
    sending.clock.move(seconds=1)
    held.release()
    assert await work == 1
    assert sending.relay.begun.index(limited[2]) < len(limited) + len(others) - 1
    assert sending.relay.took() == Counter([*limited, *others])


async def test_places_at_relay_and_list_that_the_put_aside_do_not_need_are_given_back(sending: Sending) -> None:
    await sending.readers(*at(SLOW, 6))
    await sending.db.execute("update list set rate = 200")
    await sending.begin()
    name = f"relay:{sending.relay.target().name}"
    limits = Throttle(sending.db, sending.clock, {name: 100.0, f"domain:{SLOW}": 2.0}, monotonic=sending.monotonic)
    await sending.work(limits=limits)
    assert len(sending.relay.taken) == 2
    assert await free_at(sending, name) == START + timedelta(seconds=2 / 100)
    assert await free_at(sending, f"list:{sending.list_id}") == START + timedelta(seconds=2 / 200)


async def test_the_put_aside_who_leave_meanwhile_are_skipped(sending: Sending) -> None:
    limited = at(SLOW, 5)
    await sending.readers(*limited)
    await sending.begin()
    limits = sending.throttle(slow_example=2.0)
    await sending.work(limits=limits)
    await sending.unsubscribe(limited[2])
    await sending.suppress(limited[3])
    await sending.erase(limited[4])
    sending.clock.move(seconds=2)
    await sending.work(limits=limits)
    assert sending.relay.took() == Counter(limited[:2])
    assert await sending.totals() == {"accepted": 2, "skipped": 3}
    assert await sending.state() == "sent"


async def test_two_workers_keep_a_domain_to_its_rate_and_lose_nobody(sending: Sending) -> None:
    limited, others = at(SLOW, 30), at("example.org", 1020)
    await sending.readers(*limited, *others)
    await sending.begin()
    workers = [(sending.lanes(), sending.throttle(slow_example=5.0)) for _ in range(2)]
    for second in range(60):
        await asyncio.gather(*(sending.work(lanes, limits=limits) for lanes, limits in workers))
        slow = sum(mail.recipient.endswith(SLOW) for mail in sending.relay.taken)
        assert slow <= 5 * (second + CHUNK_OF_RATE) + 1
        if second == 0:
            assert sending.relay.took() & Counter(others) == Counter(others)
        if await sending.state() == "sent":
            break
        sending.clock.move(seconds=1)
    assert second <= 7
    assert sending.relay.took() == Counter([*limited, *others])
    assert await sending.totals() == {"accepted": 1050}


async def test_a_database_that_goes_while_room_is_asked_for_strands_nobody(sending: Sending) -> None:
    limited, others = at(SLOW, 4), at("example.org", 4)
    await sending.readers(*limited, *others)
    await sending.begin()
    limits = sending.throttle(slow_example=1000.0)
    await limits.book(f"domain:{SLOW}", 1, 1000.0)
    async with sending.db.transaction() as somebody:
        await somebody.execute("select from pace for update")
        work = asyncio.ensure_future(sending.work(limits=limits))
        await eventually(sending.somebody_waits_for_a_lock)
        await sending.db.execute("select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock'")
        await eventually(lambda: nobody_holds_anything(sending))
    async with asyncio.timeout(10):
        await work
    sending.clock.move(seconds=1)
    await sending.work(limits=limits)
    assert sending.relay.took() == Counter([*limited, *others])


async def nobody_holds_anything(sending: Sending) -> bool:
    """Intents are undone, or somebody asks again already."""
    return not await sending.rows() or await sending.somebody_waits_for_a_lock()


# What slows by itself.


async def test_a_domain_that_complains_is_slowed_down_and_the_others_are_not(sending: Sending) -> None:
    first = f"ada@{SLOW}"
    await sending.readers(first)
    await sending.begin()
    sending.relay.on(Stage.RCPT, Say("450 4.7.28 too many from you"), to=first)
    await sending.work()
    slowed = await sending.db.fetch("select name, slow_rate from pace")
    assert [tuple(row) for row in slowed] == [(f"domain:{SLOW}", SLOWEST)]
    await sending.unsubscribe(first)
    limited, others = at(SLOW, 3), at("example.org", 5)
    await sending.readers(*limited, *others)
    await sending.begin()
    await sending.work()
    assert sending.relay.took() == Counter([limited[0], *others])
    assert [due for due, *_ in await paced(sending)] == seconds(5, 10)


async def test_turns_at_a_domain_that_is_slowed_down_are_given_for_minutes_and_not_for_hours(sending: Sending) -> None:
    """It may take thirty times as much by then; where the settings say the rate all get their turn, since it cannot rise."""
    everybody = at(SLOW, 200)
    await sending.readers(*everybody)
    await sending.begin()
    slowed, limited = sending.throttle(), Throttle(sending.db, sending.clock, {f"domain:{SLOW}": SLOWEST})
    await slowed.slow_down(f"domain:{SLOW}", 0)
    await sending.work(limits=slowed)
    turns = int(TURNS_AHEAD.total_seconds() * SLOWEST)
    later = [due for due, *_ in await paced(sending)]
    assert later == [*seconds(*range(5, 5 * turns, 5)), *[TURNS_AHEAD] * (200 - turns)]
    assert await sending.db.fetchval("select count(*) from delivery where has_turn") == turns - 1
    assert await free_at(sending) == START + TURNS_AHEAD
    await sending.db.execute("truncate delivery, pace")
    await sending.db.execute("update batch set state = 'done'")
    await sending.begin()
    await sending.work(limits=limited)
    assert await sending.db.fetchval("select max(retry_at) from delivery where has_turn") == START + timedelta(seconds=5 * 199)


async def test_a_domain_that_recovers_gets_its_mails_at_the_rate_that_it_takes_then(sending: Sending) -> None:
    everybody = at(SLOW, 200)
    await sending.readers(*everybody)
    await sending.begin()
    limits, lanes = sending.throttle(), sending.lanes()
    await limits.slow_down(f"domain:{SLOW}", 0)
    while await sending.state() != "sent" and sending.clock.now() < START + timedelta(minutes=8):
        await sending.work(lanes, limits=limits)
        sending.clock.move(seconds=9)
    assert sending.relay.took() == Counter(everybody), "at the rate that it had first this takes 16 minutes"


async def test_a_turn_that_was_given_at_a_higher_rate_is_void(sending: Sending) -> None:
    limited = at(SLOW, 20)
    await sending.readers(*limited)
    await sending.begin()
    limits = sending.throttle(slow_example=2.0)
    await sending.work(limits=limits)
    sending.clock.move(seconds=1)
    await limits.slow_down(f"domain:{SLOW}", 0)
    for second in range(1, 21):
        await sending.work(limits=limits)
        assert len(sending.relay.taken) <= 2 + second
        sending.clock.move(seconds=1)
    assert sending.relay.took() == Counter(limited)


@pytest.mark.parametrize(
    ("stage", "reply"), [(Stage.RCPT, "421 4.3.2 too fast"), (Stage.BODY, "421 busy"), (Stage.MAIL, "451 4.7.1 slow down")]
)
async def test_a_relay_that_complains_is_slowed_down(sending: Sending, stage: Stage, reply: str) -> None:
    await sending.readers(f"ada@{SLOW}")
    await sending.begin()
    sending.relay.on(stage, Say(reply), times=2)
    await sending.work()
    names = [row["name"] for row in await sending.db.fetch("select name from pace")]
    assert names == [f"relay:{sending.relay.target().name}"]


@pytest.mark.parametrize("reply", ["450 4.2.2 mailbox full", "550 5.7.1 not you", "452 4.5.3 too many", "450 later"])
async def test_a_refusal_that_says_nothing_of_speed_slows_nobody(sending: Sending, reply: str) -> None:
    await sending.readers(f"ada@{SLOW}")
    await sending.begin()
    sending.relay.on(Stage.RCPT, Say(reply))
    await sending.work()
    assert await sending.db.fetch("select name from pace") == []


# A list with a rate of its own, in a worker that has more to do.


DRAFT = Draft("en", "The long tide", "", Format.MARKDOWN, "Hello.")
Workers = Callable[[], CampaignSending]


@pytest.fixture
async def workers(settings: Settings, db: Database, clock: ManualClock, sending: Sending) -> AsyncIterator[Workers]:
    """Two campaigns before them: one to three readers of a list that takes a mail every two seconds, one to five others."""
    target = SecretStr(f"smtp://127.0.0.1:{sending.relay.port}?starttls=never")
    house = House(settings.model_copy(update={"smtp_url": target}), db, await open_keyring(db, SECRET, now=clock.now()), clock)
    slow = sending.list_id
    await sending.readers(*at(SLOW, 3))
    await db.execute("update list set rate = 0.5")
    sending.list_id = await db.fetchval(
        """insert into list (slug, sender_id, languages, time_zone, list_id_header, created_at)
           select 'digest', sender_id, languages, time_zone, 'digest.letters.example', created_at from list returning list_id"""
    )
    await sending.readers(*at("example.org", 5))
    await db.execute("insert into list_text select list_id, 'en', slug, '' from list")
    for slug in ("letter", "digest"):
        number = await house.campaigns.create(NewCampaign(slug, slug, (DRAFT,)), by="test", now=clock.now())
        await house.campaigns.send(number, by="test", now=clock.now())
    sending.list_id = slow
    made: list[CampaignSending] = []

    def worker() -> CampaignSending:
        made.append(house.sending(worker=f"worker {len(made)}"))
        return made[-1]

    yield worker
    await asyncio.gather(*(each.close() for each in made))
    await house.close()


async def test_a_list_is_held_to_its_rate_while_the_same_worker_sends_another(sending: Sending, workers: Workers) -> None:
    worker = workers()
    waiting = asyncio.ensure_future(worker.run_once())
    await sending.relay.has_taken(1)

    async def booked() -> bool:
        found = await sending.db.fetchval("select free_at from pace where name = $1", f"list:{sending.list_id}")
        return bool(found and found > START + timedelta(seconds=2))

    await eventually(booked)
    await sending.db.execute(
        """insert into batch (campaign_id, batch_no, id_from, id_to, not_before)
           select campaign_id, 1, id_to, id_to, not_before from batch where campaign_id = 1"""
    )
    assert await worker.run_once()
    assert not await worker.run_once(), "the campaign that waits is left to others"
    assert sending.relay.took() == Counter([at(SLOW, 3)[0], *at("example.org", 5)])
    assert not waiting.done()
    worker.stop()
    await waiting
    assert await free_at(sending, f"list:{sending.list_id}") == START + timedelta(seconds=2)


async def test_a_list_with_a_rate_gets_all_its_mails_each_in_its_time(sending: Sending, workers: Workers) -> None:
    everybody = [*at("example.org", 5), *at(SLOW, 3)]
    for number in range(3):
        worker = workers()
        work = [asyncio.ensure_future(worker.run_once()) for _ in range(2)]
        await sending.relay.until(lambda number=number: len(sending.relay.taken) >= 6 + number)  # type: ignore[misc]
        worker.stop()
        await asyncio.gather(*work)
        slow = [mail.recipient for mail in sending.relay.taken if mail.recipient.endswith(SLOW)]
        assert len(slow) == number + 1
        sending.clock.move(seconds=2)
    assert sending.relay.took() == Counter(everybody)
