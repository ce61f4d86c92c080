"""A run of refusals says something about us or about a receiver, and is acted on; one refusal is not."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from structlog.testing import capture_logs

from newsletter.app import House
from newsletter.cli.campaigns import _print_status
from newsletter.delivery.rules import POLICY_RUN, STORM, outcome_of
from newsletter.delivery.watch import Watch
from tests.integration.delivery.sending import Sending
from tests.relay import Say, Stage, eventually

POLICY = "550 5.7.1 your network is on our list"
UNKNOWN = "550 5.1.1 no such user"


async def refused_in_a_row(sending: Sending, count: int, reply: str = POLICY) -> list[str]:
    addresses = await sending.many_readers(count)
    await sending.begin()
    sending.relay.on(Stage.RCPT, Say(reply))
    await sending.work(sending.lanes(connections=1))
    return addresses


async def reason(sending: Sending) -> str | None:
    said: str | None = await sending.db.fetchval(
        "select pause_reason from campaign where campaign_id = $1", sending.campaign_id
    )
    return said


async def test_twenty_refusals_because_of_us_in_a_row_pause_the_campaign_and_say_why(sending: Sending) -> None:
    with capture_logs() as logged:
        await refused_in_a_row(sending, POLICY_RUN)
    assert (POLICY_RUN, await sending.totals()) == (20, {"failed": 20})
    said = "20 mails in a row were refused because of us, no reader: 5.7.1 your network is on our list"
    assert [event["reason"] for event in logged if event["event"] == "campaign_paused"] == [said]


async def test_also_when_they_were_the_last_it_stays_paused_until_somebody_has_seen_why(sending: Sending) -> None:
    await refused_in_a_row(sending, POLICY_RUN)
    assert await sending.state() == "paused"
    assert await reason(sending) is not None
    await sending.db.execute("update campaign set state = 'sending', pause_reason = null")
    await sending.work()
    assert await sending.state() == "sent"


async def test_nothing_is_begun_after_that_but_what_was_in_hand(sending: Sending) -> None:
    addresses = await sending.many_readers(200)
    await sending.begin()
    sending.relay.on(Stage.RCPT, Say(POLICY))
    await sending.work(sending.lanes(connections=1), size=5)
    assert await sending.state() == "paused"
    assert await reason(sending) is not None
    assert (await sending.totals())["failed"] <= POLICY_RUN + 2 * 5
    sending.relay.behave()
    await sending.db.execute("update campaign set state = 'sending', pause_reason = null")
    await sending.work()
    assert sum((await sending.totals()).values()) == len(addresses)
    assert await sending.state() == "sent"


async def test_one_fewer_does_not(sending: Sending) -> None:
    await refused_in_a_row(sending, POLICY_RUN - 1)
    assert await sending.totals() == {"failed": POLICY_RUN - 1}
    assert (await sending.state(), await reason(sending)) == ("sent", None)


@pytest.mark.parametrize("reply", [UNKNOWN, "550 5.2.1 closed", "554 no", "450 4.7.1 later"])
async def test_refusals_for_another_reason_never_do(sending: Sending, reply: str) -> None:
    with capture_logs() as logged:
        await refused_in_a_row(sending, POLICY_RUN + 5, reply)
    assert not [event for event in logged if event["event"] == "campaign_paused"]


async def test_a_mail_that_is_taken_in_between_prevents_it(sending: Sending) -> None:
    addresses = await sending.many_readers(2 * POLICY_RUN - 1)
    await sending.begin()
    sending.relay.on(Stage.RCPT, Say("250 2.1.5 fine"), to=addresses[POLICY_RUN - 1])
    sending.relay.on(Stage.RCPT, Say(POLICY))
    with capture_logs() as logged:
        await sending.work(sending.lanes(connections=1))
    assert await sending.totals() == {"failed": 2 * POLICY_RUN - 2, "accepted": 1}
    assert not [event for event in logged if event["event"] == "campaign_paused"]


@pytest.mark.parametrize("times", [1, 2])
async def test_a_storm_of_unknown_addresses_at_one_domain_suppresses_nobody_and_warns(sending: Sending, times: int) -> None:
    with capture_logs() as logged:
        await refused_in_a_row(sending, times * STORM, UNKNOWN)
    warnings = [event for event in logged if event["event"] == "storm_of_unknown_addresses"]
    assert [(event["domain"], event["log_level"]) for event in warnings] == [("example.org", "warning")]
    assert await sending.db.fetchval("select count(*) from suppression") == 0
    assert await sending.totals() == {"failed": times * STORM}
    assert await sending.state() == "sent"


async def test_unknown_addresses_here_and_there_are_no_storm(sending: Sending) -> None:
    here, there = (sorted(f"reader{number}@{domain}" for number in range(STORM - 1)) for domain in ("a.example", "b.example"))
    await sending.readers(*here, *there)
    await sending.begin()
    sending.relay.on(Stage.RCPT, Say(UNKNOWN))
    with capture_logs() as logged:
        await sending.work()
    assert not [event for event in logged if event["event"] == "storm_of_unknown_addresses"]


async def test_a_mail_that_was_taken_in_between_ends_a_row_of_unknown_addresses(sending: Sending) -> None:
    addresses = await sending.many_readers(STORM + 1)
    await sending.begin()
    for number, address in enumerate(addresses):
        if number != STORM // 2:
            sending.relay.on(Stage.RCPT, Say(UNKNOWN), to=address)
    with capture_logs() as logged:
        await sending.work(sending.lanes(connections=1))
    assert await sending.totals() == {"failed": STORM, "accepted": 1}
    assert not [event for event in logged if event["event"] == "storm_of_unknown_addresses"]


async def test_who_asks_us_to_go_slower_gets_half_of_what_it_took(sending: Sending) -> None:
    watch = Watch(sending.monotonic)
    for _ in range(200):
        watch.see(outcome_of(250, b"2.0.0 Ok"), domain="example.org", relay="one")
        watch.see(outcome_of(250, b"2.0.0 Ok"), domain="example.net", relay="other")
    sending.clock.move(seconds=10)
    watch.see(outcome_of(421, b"4.3.2 slow down"), domain="example.org", relay="one")
    watch.see(outcome_of(451, b"4.7.1 slow down"), domain="example.net", relay="other")
    sending.clock.move(seconds=10)
    limits = sending.throttle()
    await watch.act(sending.db, limits, sending.campaign_id)
    assert (limits.rate("relay:one"), limits.rate("domain:example.net")) == (10, 10)
    assert (limits.rate("relay:other"), limits.rate("domain:example.org")) == (None, None)


# What an operator sees of it and does about it.


REASON = "20 mails in a row were refused because of us, no reader: 5.7.1 not you"


@pytest.fixture
async def paused(house: House, sending: Sending) -> int:
    """A campaign that paused by itself."""
    await sending.many_readers(3)
    await sending.begin()
    await sending.db.execute("update campaign set state = 'paused', pause_reason = $1", REASON)
    return sending.campaign_id


async def test_the_reason_is_shown_with_what_to_do(house: House, paused: int, capsys: pytest.CaptureFixture[str]) -> None:
    status = await house.campaigns.status(paused)
    assert status.pause_reason == status.told()["pause_reason"] == REASON
    assert [each.pause_reason for each in await house.campaigns.overview()] == [REASON]
    _print_status(status)
    shown = capsys.readouterr().out
    assert f"It paused by itself: {REASON}\n" in shown
    assert f"newsletter campaign resume {paused}" in shown


async def test_resuming_clears_the_reason_and_goes_on(house: House, sending: Sending, paused: int) -> None:
    await house.campaigns.resume(paused, by="test", now=sending.clock.now())
    status = await house.campaigns.status(paused)
    assert (status.state, status.pause_reason) == ("sending", None)
    await sending.work()
    assert await sending.totals() == {"accepted": 3}


async def test_cancelling_clears_the_reason(house: House, sending: Sending, paused: int) -> None:
    await house.campaigns.cancel(paused, by="test", now=sending.clock.now())
    status = await house.campaigns.status(paused)
    assert (status.state, status.pause_reason) == ("cancelled", None)


async def test_an_operator_who_pauses_needs_no_reason(house: House, sending: Sending, paused: int) -> None:
    await house.campaigns.resume(paused, by="test", now=sending.clock.now())
    await house.campaigns.pause(paused, by="test", now=sending.clock.now())
    status = await house.campaigns.status(paused)
    assert (status.state, status.pause_reason) == ("paused", None)


async def test_a_campaign_paused_and_resumed_while_mails_are_in_hand_loses_nobody(sending: Sending) -> None:
    """While it was paused the worker found nobody left; that was the pause, not the end."""
    first, second, *others = await sending.many_readers(5)
    await sending.begin()
    one, two = (sending.relay.hold(Stage.BODY, to=each) for each in (first, second))
    run = sending.run(await sending.claimed(), sending.lanes(connections=1), size=1)
    work = asyncio.ensure_future(run.run())
    await one.reached()
    await sending.set_campaign("paused")
    one.release()
    await two.reached()

    async def has_looked() -> bool:
        return run._first is None or not run.holding

    await eventually(has_looked)
    await sending.set_campaign("sending")
    two.release()
    await work
    await sending.work()
    assert sending.relay.took() == Counter([first, second, *others])
    assert await sending.state() == "sent"
