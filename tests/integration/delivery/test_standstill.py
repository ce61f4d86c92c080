"""While the database is older than the file of withdrawals nobody sends a campaign; what was under way goes on afterwards."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from newsletter.consent import service as consent
from newsletter.consent import store as consent_store
from newsletter.delivery import store
from newsletter.delivery.rules import FRESH_FOR, LEASE
from tests.integration.delivery.sending import Sending
from tests.relay import Stage

AFTER_THE_LEASE = LEASE + timedelta(seconds=1)


async def stand_still(sending: Sending) -> None:
    await consent_store.stand_still(sending.db, reason=consent.RESTORED, now=sending.clock.now())


async def go_on(sending: Sending) -> None:
    await consent.end_standstill(sending.db, highest=0)


async def test_no_batch_is_claimed_and_all_is_there_afterwards(sending: Sending) -> None:
    addresses = await sending.many_readers(3)
    await sending.begin()
    await stand_still(sending)
    assert await sending.work() == 0
    assert await sending.state() == "sending"
    await go_on(sending)
    await sending.work()
    assert sending.relay.took() == dict.fromkeys(addresses, 1)


async def test_a_run_under_way_begins_no_further_body_and_the_rest_is_given_back(sending: Sending) -> None:
    one, two, *others = addresses = await sending.many_readers(10)
    await sending.begin()
    held = sending.relay.hold(Stage.DATA, to=two, times=1)
    work = asyncio.ensure_future(sending.work(sending.lanes(connections=1)))
    await held.reached()
    await stand_still(sending)
    sending.clock.at += timedelta(seconds=FRESH_FOR)
    held.release()
    await work
    assert sending.relay.begun == [one]
    assert await sending.states(addresses) == {one: "accepted", two: None} | dict.fromkeys(others)
    await go_on(sending)
    await sending.work()
    assert sending.relay.took() == dict.fromkeys(addresses, 1)


@pytest.mark.parametrize("retries", [False, True], ids=["fresh readers", "retries"])
async def test_nobody_is_taken_in_hand_of_a_batch_that_is_held(sending: Sending, retries: bool) -> None:
    await sending.many_readers(2)
    await sending.begin()
    batch = await sending.claimed()
    if retries:
        await sending.intend(batch)
        await sending.db.execute("update delivery set state = 'deferred', retry_at = $1", sending.clock.now())
        await sending.db.execute("update batch set attempting = 0, deferred = 2")
    await stand_still(sending)
    now = sending.clock.now()
    assert await store.renew_lease(sending.db, batch, lease_until=now + LEASE) is False
    if retries:
        assert await store.take_again(sending.db, batch, size=250, now=now) == []
    else:
        assert await sending.intend(batch) == []


async def test_a_run_that_finds_nobody_because_of_it_does_not_take_the_list_for_finished(sending: Sending) -> None:
    """A batch would be closed with readers in it, who would never get the letter."""
    addresses = await sending.many_readers(3)
    await sending.begin()
    batch = await sending.claimed()
    run = sending.run(batch)
    run._hold_until = float("inf")  # It has looked at its lease right before.
    await stand_still(sending)
    run._again = False
    assert await run._take(250) == []
    assert run._first is not None
    await go_on(sending)
    sending.clock.at += AFTER_THE_LEASE
    await sending.work()
    assert sending.relay.took() == dict.fromkeys(addresses, 1)


async def test_none_begins_while_somebody_finds_out_whether_there_is_anybody_left(sending: Sending) -> None:
    await sending.many_readers(1)
    await sending.begin()
    async with sending.db.transaction() as db:
        await store.keep_moving(db)
        assert await store.keep_sending(db, campaign_id=sending.campaign_id)
        async with sending.db.transaction() as other:
            await other.execute("set local lock_timeout = '50ms'")
            with pytest.raises(Exception, match="LockNotAvailable"):
                await consent_store.stand_still(other, reason=consent.RESTORED, now=sending.clock.now())


async def test_intents_of_a_worker_that_fell_silent_are_settled_all_the_same(sending: Sending) -> None:
    await sending.many_readers(2)
    await sending.begin()
    await sending.intend(await sending.claimed())
    await stand_still(sending)
    sending.clock.at += AFTER_THE_LEASE
    await sending.work()
    assert await sending.totals() == {"uncertain": 2}
    assert sending.relay.took() == {}
    assert await sending.work() == 0
