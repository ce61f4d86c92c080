"""How fast mail may go: booked in one row for all workers, slowed down by complaints, and fast again by itself."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from newsletter.delivery import throttle
from newsletter.delivery.relays import Relay
from newsletter.delivery.rules import RECOVER_EVERY, SLOW_AGAIN_AFTER, SLOWEST
from newsletter.delivery.throttle import LOOK_EVERY, Throttle, in_bunches, limits_of, starts
from tests.conftest import START
from tests.integration.delivery.sending import Sending

NAME = "domain:example.org"


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


async def rate_for(limits: Throttle) -> float | None:
    await limits.look()
    return limits.rate(NAME)


# Booking.


async def test_mails_are_booked_one_behind_the_other_at_the_rate(sending: Sending) -> None:
    limits = sending.throttle()
    assert [await limits.book(NAME, mails, 50.0) for mails in (25, 25, 1, 1)] == [
        START,
        after(0.5),
        after(1),
        after(1.02),
    ]


async def test_two_workers_share_one_rate(sending: Sending) -> None:
    one, two = sending.throttle(), sending.throttle()
    booked = await asyncio.gather(*(limits.book(NAME, 5, 10.0) for limits in (one, two) * 10))
    assert sorted(booked) == [after(number / 2) for number in range(20)]


async def test_each_name_has_a_row_of_its_own(sending: Sending) -> None:
    limits = sending.throttle()
    for name in ("domain:a.example", "domain:b.example", "relay:a.example:25", "list:1"):
        assert await limits.book(name, 100, 1.0) == START


async def test_room_that_was_not_used_is_free_again(sending: Sending) -> None:
    limits = sending.throttle()
    await limits.book(NAME, 10, 10.0)
    await limits.book(NAME, -4, 10.0)
    assert await limits.book(NAME, 1, 10.0) == after(0.6)


@pytest.mark.parametrize("given_back", [0, 5, 10])
async def test_after_a_pause_there_is_no_burst_of_what_was_not_used_meanwhile(sending: Sending, given_back: int) -> None:
    limits = sending.throttle()
    await limits.book(NAME, 10, 10.0)
    now = sending.clock.move(hours=1)
    if given_back:
        await limits.book(NAME, -given_back, 10.0)
    assert [await limits.book(NAME, 10, 10.0) for _ in range(3)] == [now + timedelta(seconds=number) for number in range(3)]


async def test_over_a_minute_two_workers_get_what_was_set(sending: Sending) -> None:
    """50 a second in chunks of half a second: 3,000 within 5 %."""
    workers = [sending.throttle(), sending.throttle()]
    granted = 0
    while max([await each.book(NAME, 25, 50.0) for each in workers]) < after(60):
        granted += 2 * 25
    assert abs(granted - 3000) <= 0.05 * 3000


def test_each_of_those_booked_has_its_moment() -> None:
    assert starts(START, 3, 4.0) == [START, after(0.25), after(0.5)]


def test_those_put_aside_fall_due_together_never_before_their_moment() -> None:
    assert in_bunches(after(0.01)) == in_bunches(after(0.99)) == in_bunches(after(1)) == after(1)


# What has a limit.


def test_the_limits_are_those_of_relays_and_domains() -> None:
    relays = [Relay("a.example", 25, rate=50.0), Relay("b.example", 25), Relay("c.example", 25, label="bulk", rate=2.0)]
    assert limits_of(relays, {"example.org": 5.0}) == {"relay:a.example:25": 50.0, "relay:bulk": 2.0, NAME: 5.0}


async def test_what_has_no_limit_and_is_not_slowed_down_costs_nothing(sending: Sending) -> None:
    limits = sending.throttle(example_org=5.0)
    assert (await rate_for(limits), limits.rate("domain:b.example"), limits.rate("list:1", 7.0)) == (5.0, None, 7.0)
    assert await sending.db.fetchval("select count(*) from pace") == 0


# Slowing down.


async def test_a_limit_is_halved_and_halved_again_down_to_the_slowest(sending: Sending) -> None:
    limits = sending.throttle(example_org=2.0)
    rates = []
    for _ in range(5):
        await limits.slow_down(NAME, 1000.0)
        rates.append(limits.rate(NAME))
        sending.clock.at += SLOW_AGAIN_AFTER + timedelta(seconds=1)
    assert rates == [1.0, 0.5, 0.25, SLOWEST, SLOWEST]


@pytest.mark.parametrize(("observed", "rate"), [(100.0, 50.0), (0.0, SLOWEST)])
async def test_where_there_was_no_limit_half_of_what_was_observed_is_allowed(
    sending: Sending, observed: float, rate: float
) -> None:
    limits = sending.throttle()
    await limits.slow_down(NAME, observed)
    assert limits.rate(NAME) == rate


async def test_complaints_that_come_together_count_once_over_all_workers(sending: Sending) -> None:
    workers = [sending.throttle(example_org=100.0) for _ in range(4)]
    await asyncio.gather(*(each.slow_down(NAME, 0) for each in workers))
    sending.clock.at += SLOW_AGAIN_AFTER
    await workers[0].slow_down(NAME, 0)
    assert {await rate_for(each) for each in workers} == {50.0}
    sending.clock.move(seconds=1)
    await workers[0].slow_down(NAME, 0)
    assert workers[0].rate(NAME) == 25.0


async def test_it_doubles_each_minute_up_to_its_limit(sending: Sending) -> None:
    limits = sending.throttle(example_org=10.0)
    for _ in range(3):
        await limits.slow_down(NAME, 0)
        sending.clock.at += SLOW_AGAIN_AFTER + timedelta(milliseconds=1)
    rates = []
    for _ in range(5):
        rates.append(await rate_for(limits))
        sending.clock.at += RECOVER_EVERY
    assert rates == [1.25, 2.5, 5.0, 10.0, 10.0]


async def test_without_a_limit_of_its_own_it_is_free_again_after_ten_minutes(sending: Sending) -> None:
    limits = sending.throttle()
    await limits.slow_down(NAME, 2.0)
    sending.clock.at += 10 * RECOVER_EVERY - timedelta(seconds=1)
    assert await rate_for(limits) == 512.0
    sending.clock.move(seconds=1)
    assert await rate_for(limits) is None


async def test_another_worker_learns_of_it_within_a_second(sending: Sending) -> None:
    one, two = sending.throttle(example_org=10.0), sending.throttle(example_org=10.0)
    assert await rate_for(two) == 10.0
    await one.slow_down(NAME, 0)
    sending.clock.at += timedelta(seconds=LOOK_EVERY - 0.1)
    assert await rate_for(two) == 10.0, "it does not ask the database for each chunk"
    sending.clock.move(seconds=0.1)
    assert await rate_for(two) == 5.0


async def test_slowed_down_a_relay_keeps_what_was_booked_and_a_domain_begins_anew(sending: Sending) -> None:
    limits = sending.throttle()
    for name, free_again in (("relay:a.example:25", after(1)), (NAME, START)):
        await limits.book(name, 10, 10.0)
        await limits.slow_down(name, 10.0)
        assert await limits.book(name, 1, 5.0) == free_again


def test_names_say_what_they_are_of() -> None:
    names = [throttle.relay("bulk"), throttle.mailing_list(7), throttle.domain("example.org")]
    assert names == ["relay:bulk", "list:7", NAME]
