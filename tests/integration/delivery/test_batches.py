"""A campaign's delivery keeps its contract (the docstring of `newsletter.delivery`), whatever the relay, the readers, the
operator and the other workers do meanwhile.

To be killed is, here, to be cancelled: nothing is recorded or given back then either.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from itertools import pairwise
from urllib.parse import urlsplit

import asyncpg
import pytest

from newsletter.core.database import Connection
from newsletter.core.queries import REGISTRY
from newsletter.delivery import store
from newsletter.delivery.recording import Record
from newsletter.delivery.room import Room
from newsletter.delivery.rules import (
    FRESH_FOR,
    GIVE_UP_AFTER,
    INTERRUPTED_ATTEMPTS,
    LEASE,
    UNCERTAIN_ATTEMPTS,
    outcome_of,
    retry_pause,
)
from newsletter.delivery.run import MADE_TOGETHER, RENEW_EVERY, TRIES
from newsletter.delivery.session import Mail
from newsletter.delivery.store import Batch, Reader
from newsletter.jobs.sending import CHUNKS_IN_FLIGHT
from newsletter.subscribing import store as subscribing
from tests.conftest import START, Server
from tests.integration.delivery.sending import PlainLetter, Sending, message_id, subscriber_id
from tests.relay import HangUp, Hold, Say, Silence, Stage, eventually

ADA, BEN, CLEO = "ada@example.org", "ben@example.org", "cleo@example.org"
AFTER_THE_LEASE = LEASE + timedelta(seconds=1)
UNSUBSCRIBED_WITHIN = 5.0
"""The promise, in seconds."""


@contextlib.asynccontextmanager
async def running(work: Awaitable[object], held: Hold) -> AsyncIterator[asyncio.Task[object]]:
    """Work that the relay holds up; it goes on and ends with the block."""
    task = asyncio.ensure_future(work)
    try:
        await held.reached()
        yield task
        held.release()
        async with asyncio.timeout(10):
            await task
    finally:
        held.release()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def kill(task: asyncio.Task[object]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def once_each(sending: Sending, *addresses: str) -> None:
    """Everybody has the campaign once, and it is over."""
    assert sending.relay.took() == Counter(addresses)
    assert await sending.state() == "sent"


# Who gets it.


async def test_every_confirmed_reader_gets_it_once_from_any_number_of_workers(sending: Sending) -> None:
    addresses = await sending.many_readers(1500)
    await sending.begin()
    one, two = await asyncio.gather(sending.work(), sending.work())
    assert (one, two) == (1, 1)
    assert sending.relay.message_ids() == {address: {message_id(address)} for address in addresses}
    assert await sending.totals() == {"accepted": 1500}
    await once_each(sending, *addresses)
    assert await sending.work() == 0


async def test_two_workers_never_have_the_same_batch(sending: Sending) -> None:
    await sending.many_readers(3500)
    await sending.begin()
    claims = await asyncio.gather(*(sending.claim() for _ in range(8)))
    numbers = [claim.batch_no for claim in claims if claim]
    assert sorted(numbers) == [0, 1, 2, 3]


async def test_who_is_not_confirmed_or_is_suppressed_gets_nothing(sending: Sending) -> None:
    left, everywhere, here, elsewhere = (f"{word}@example.org" for word in ("left", "everywhere", "here", "elsewhere"))
    await sending.readers(ADA, left, everywhere, here, elsewhere)
    await sending.unsubscribe(left)
    await sending.suppress(everywhere)
    await sending.suppress(here, list_id=sending.list_id)
    await sending.suppress(elsewhere, list_id=sending.list_id + 1)
    await sending.begin()
    await sending.work()
    await once_each(sending, ADA, elsewhere)


async def test_who_leaves_or_is_suppressed_before_a_retry_is_skipped(sending: Sending) -> None:
    await sending.readers(ADA, BEN, CLEO)
    await sending.begin()
    sending.relay.on(Stage.RCPT, Say("450 4.2.1 later"), times=3)
    await sending.work()
    await sending.unsubscribe(ADA)
    await sending.suppress(BEN)
    sending.clock.move(hours=1)
    await sending.work()
    assert await sending.states([ADA, BEN, CLEO]) == {ADA: "skipped", BEN: "skipped", CLEO: "accepted"}
    await once_each(sending, CLEO)


# What relays say.


async def test_a_relay_that_cannot_be_reached_touches_no_reader_and_the_batch_goes_on_later(sending: Sending) -> None:
    await sending.readers(ADA, BEN)
    await sending.begin()
    lanes = sending.lanes()
    await sending.relay.close()
    assert await sending.work(lanes) == 1
    assert await sending.rows() == {}
    await sending.relay.open()
    assert await sending.claim() is None
    sending.clock.move(seconds=lanes.rest.total_seconds())
    await sending.work(lanes)
    assert {row.attempts for row in (await sending.rows()).values()} == {1}
    await once_each(sending, ADA, BEN)


async def test_a_relay_that_goes_away_midway_costs_nobody_an_attempt_but_who_was_in_hand(sending: Sending) -> None:
    first, second, *others = addresses = await sending.many_readers(10)
    await sending.begin()
    lanes = sending.lanes(connections=1)
    held = sending.relay.hold(Stage.RCPT, to=second)
    async with running(sending.work(lanes), held):
        await sending.relay.close()
    assert await sending.states(addresses) == {first: "accepted", second: None} | dict.fromkeys(others)
    await sending.relay.open()
    sending.clock.move(minutes=5)
    await sending.work(lanes)
    await once_each(sending, *addresses)


@pytest.mark.parametrize(
    ("reply", "pause"),
    [
        ("421 4.3.2 shutting down", timedelta(minutes=2)),
        ("450 4.7.1 greylisted", timedelta(minutes=2)),
        ("450 4.2.1 mailbox busy", timedelta(minutes=30)),
        ("452 4.2.2 mailbox full", timedelta(minutes=30)),
    ],
)
async def test_4xx_is_tried_again_after_its_pause_and_not_before(sending: Sending, reply: str, pause: timedelta) -> None:
    await sending.readers(ADA)
    await sending.begin()
    sending.relay.on(Stage.BODY, Say(reply), times=1)
    await sending.work()
    row = await sending.row(ADA)
    assert (row.state, row.reply_code, row.retry_at) == ("deferred", int(reply[:3]), sending.clock.now() + pause)
    sending.clock.at += pause - timedelta(seconds=1)
    assert await sending.work() == 0
    sending.clock.move(seconds=1)
    assert await sending.work() == 1
    assert await sending.totals() == {"accepted": 1}
    await once_each(sending, ADA)


async def test_4xx_is_tried_for_four_days_in_growing_pauses_and_then_given_up(sending: Sending) -> None:
    await sending.readers(ADA)
    await sending.begin()
    sending.relay.on(Stage.RCPT, Say("450 4.2.1 later"))
    lanes = sending.lanes()
    tried: list[datetime] = []
    while await sending.work(lanes):
        tried.append(sending.clock.now())
        assert len(tried) < 50
        sending.clock.at = (await sending.row(ADA)).retry_at or sending.clock.now()
    pauses = [later - earlier for earlier, later in pairwise(tried)]
    assert pauses[0] == timedelta(minutes=30)
    assert pauses[:-1] == sorted(pauses[:-1])
    assert tried[-1] - tried[0] == GIVE_UP_AFTER == timedelta(days=4)
    row = await sending.row(ADA)
    assert (row.state, row.reply_code, row.attempts) == ("failed", 450, len(tried))
    await once_each(sending)


@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.BODY])
@pytest.mark.parametrize("reply", ["550 5.1.1 no such user", "550 5.7.1 we do not want you"])
async def test_5xx_is_never_tried_again_and_suppresses_nobody(sending: Sending, stage: Stage, reply: str) -> None:
    await sending.readers(ADA)
    await sending.begin()
    sending.relay.on(stage, Say(reply), times=1)
    await sending.work()
    row = await sending.row(ADA)
    assert (row.state, row.reply_code, row.reply_status, row.retry_at) == ("failed", 550, reply[4:9], None)
    sending.clock.move(days=5)
    assert await sending.work() == 0
    assert await sending.db.fetchval("select count(*) from suppression") == 0
    await once_each(sending)


@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT, Stage.DATA])
async def test_a_connection_lost_before_the_body_is_not_uncertain(sending: Sending, stage: Stage) -> None:
    await sending.readers(ADA)
    await sending.begin(uncertain_policy="leave")
    sending.relay.on(stage, HangUp(), times=TRIES)
    await sending.work()
    row = await sending.row(ADA)
    assert (row.state, row.was_uncertain) == ("deferred", False)
    sending.clock.move(minutes=2)
    await sending.work()
    await once_each(sending, ADA)


async def test_a_mail_whose_last_answer_is_missing_is_sent_again_under_its_one_message_id_three_times_at_most(
    sending: Sending,
) -> None:
    await sending.readers(ADA)
    await sending.begin()
    sending.relay.on(Stage.BODY, HangUp(taking=True))
    for attempt in range(1, UNCERTAIN_ATTEMPTS + 1):
        assert await sending.work() == 1
        row = await sending.row(ADA)
        assert (row.state, row.was_uncertain, row.attempts) == ("uncertain", True, attempt)
        assert (row.retry_at is None) == (attempt == UNCERTAIN_ATTEMPTS)
        sending.clock.move(hours=1)
    assert await sending.work() == 0
    assert sending.relay.took() == {ADA: UNCERTAIN_ATTEMPTS}
    assert sending.relay.message_ids() == {ADA: {message_id(ADA)}}
    assert await sending.state() == "sent"


async def test_an_uncertain_mail_is_left_where_the_campaign_says_so(sending: Sending) -> None:
    await sending.readers(ADA, BEN)
    await sending.begin(uncertain_policy="leave")
    sending.relay.on(Stage.BODY, HangUp(), to=ADA, times=1)
    await sending.work()
    assert await sending.states([ADA, BEN]) == {ADA: "uncertain", BEN: "accepted"}
    sending.clock.move(days=5)
    assert await sending.work() == 0
    await once_each(sending, BEN)


@pytest.mark.parametrize("killed", [False, True])
async def test_being_put_off_before_does_not_use_up_the_attempts_of_an_uncertain_mail(sending: Sending, killed: bool) -> None:
    await sending.readers(ADA)
    await sending.begin()
    sending.relay.on(Stage.RCPT, Say("450 4.2.1 later"), times=UNCERTAIN_ATTEMPTS)
    for _ in range(UNCERTAIN_ATTEMPTS):
        await sending.work()
        sending.clock.move(hours=8)
    sending.relay.on(Stage.BODY, Silence() if killed else HangUp(), times=1)
    worker = asyncio.ensure_future(sending.work())
    if killed:
        await sending.relay.until(lambda: sending.relay.begun == [ADA])
        await kill(worker)
    else:
        await worker
    sending.clock.move(hours=1)
    await sending.work()
    row = await sending.row(ADA)
    assert (row.state, row.was_uncertain, row.attempts) == ("accepted", True, UNCERTAIN_ATTEMPTS + 2)
    await once_each(sending, ADA)


async def test_replies_that_quote_the_address_are_stored_scrubbed(sending: Sending) -> None:
    address = "anna.o'brien=home@example.org"
    await sending.readers(address)
    await sending.begin()
    sending.relay.on(Stage.RCPT, Say(f"550 5.1.1 <{address.upper()}>: {address} is unknown to 192.0.2.77"))
    await sending.work()
    row = await sending.row(address)
    assert row.reply == "5.1.1 <[address]>: [address] is unknown to 192.0.2.0"


async def test_a_reply_that_is_no_text_is_recorded_like_any_other(sending: Sending) -> None:
    await sending.readers(ADA, BEN)
    await sending.begin()
    sending.relay.on(Stage.RCPT, Say(b"550 5.1.1 bo\xeete\x00 inconnue " + b"x " * 400), to=ADA)
    await sending.work()
    row = await sending.row(ADA)
    assert row.state == "failed"
    assert (row.reply or "").startswith("5.1.1 bo\N{REPLACEMENT CHARACTER}te\N{REPLACEMENT CHARACTER} inconnue x x")
    await once_each(sending, BEN)


async def test_an_outcome_that_the_database_refuses_costs_nobody_theirs(sending: Sending) -> None:
    addresses = await sending.many_readers(6)
    await sending.begin()
    await sending.db.execute("alter table delivery add constraint strange check (reply !~ 'strange')")
    sending.relay.on(Stage.RCPT, Say("550 5.1.1 strange"), to=addresses[2])
    await sending.work()
    states = await sending.states(addresses)
    assert states == dict.fromkeys(addresses, "accepted") | {addresses[2]: "failed"}
    assert (await sending.row(addresses[2])).reply == ""
    assert await sending.totals() == {"accepted": 5, "failed": 1}


@dataclass(frozen=True)
class LetterWithFault(PlainLetter):
    """Cannot be made for one reader."""

    address: str

    def compose(self, reader: Reader, now: datetime) -> Mail:
        if reader.address == self.address:
            raise LookupError("no words")
        return super().compose(reader, now)


@pytest.mark.parametrize("number", [0, 1, MADE_TOGETHER, MADE_TOGETHER + 1, MADE_TOGETHER + 3])
async def test_a_mail_that_cannot_be_made_holds_up_nobody_else_and_is_tried_again(sending: Sending, number: int) -> None:
    """Alone, or among those that are made ahead."""
    addresses = await sending.many_readers(2 * MADE_TOGETHER)
    await sending.begin()
    for letter in (LetterWithFault(addresses[number]), PlainLetter()):
        await sending.run(await sending.claimed(), letter=letter).run()
        sending.clock.move(hours=1)
    await once_each(sending, *addresses)
    assert {row.was_uncertain for row in (await sending.rows()).values()} == {False}


async def test_an_address_that_no_envelope_takes_fails_and_holds_up_nobody_else(sending: Sending) -> None:
    impossible = "ada@-ü-.example"
    await sending.readers(impossible, BEN, CLEO)
    await sending.begin()
    await sending.work()
    row = await sending.row(impossible)
    assert (row.state, row.reply_status) == ("failed", "5.1.3")
    await once_each(sending, BEN, CLEO)


async def test_the_same_answer_to_two_readers_means_what_each_of_them_has_behind_them(sending: Sending) -> None:
    await sending.readers(ADA, BEN, CLEO)
    await sending.begin()
    batch = await sending.claimed()
    readers = {reader.address: reader for reader in await sending.intend(batch)}
    readers[BEN].attempts = 3
    readers[CLEO].first_at = sending.clock.at - GIVE_UP_AFTER
    later = outcome_of(451, b"4.3.0 later")
    record = Record(sending.db, sending.clock, batch, Room(3))
    for reader in readers.values():
        record.add(reader, later)
    await record.write()
    rows = {address: await sending.row(address) for address in (ADA, BEN, CLEO)}
    assert {address: row.state for address, row in rows.items()} == {ADA: "deferred", BEN: "deferred", CLEO: "failed"}
    pauses = [(rows[address].retry_at or START) - sending.clock.at for address in (ADA, BEN)]
    assert pauses == [retry_pause(1, later), retry_pause(3, later)]
    assert pauses[0] < pauses[1]


# Stopping.


@pytest.mark.parametrize("why", ["stopped", "paused", "taken over"])
async def test_a_run_that_may_begin_nothing_more_waits_for_its_answers_without_asking_again_and_again(
    sending: Sending, why: str
) -> None:
    await sending.readers(ADA)
    await sending.begin()
    batch = await sending.claimed()
    run = sending.run(batch, flush_every=60)
    held = sending.relay.hold(Stage.BODY)
    async with running(run.run(), held):
        if why == "paused":
            await sending.set_campaign("paused")
        elif why == "taken over":
            await sending.db.execute("update batch set epoch = epoch + 1")
        run.stop()
        versions = {await sending.db.fetchval("select xmin::text || ctid::text from batch") for _ in range(300)}
        assert len(versions) <= 3
        if why == "taken over":
            await sending.db.execute("update batch set epoch = epoch - 1")
    assert sending.relay.took() == {ADA: 1}


async def test_no_body_is_begun_after_the_run_was_stopped(sending: Sending) -> None:
    addresses = await sending.many_readers(3)
    await sending.begin()
    run = sending.run(await sending.claimed(), sending.lanes(connections=1))
    held = sending.relay.hold(Stage.DATA, to=addresses[1], times=1)
    async with running(run.run(), held):
        run.stop()
        held.release()
    assert sending.relay.begun == addresses[:1]
    await sending.work()
    await once_each(sending, *addresses)


@dataclass(frozen=True)
class SlowLetter(PlainLetter):
    """One mail of it takes so long that what was known of the others is old."""

    sending: Sending
    address: str

    def compose(self, reader: Reader, now: datetime) -> Mail:
        if reader.address == self.address:
            self.sending.clock.at += timedelta(seconds=FRESH_FOR)
        return super().compose(reader, now)


async def test_who_left_is_not_mailed_either_when_making_the_next_mail_took_long(sending: Sending) -> None:
    addresses = await sending.many_readers(MADE_TOGETHER + 3)
    await sending.begin()
    leaves, slow = addresses[MADE_TOGETHER - 1 : MADE_TOGETHER + 1]
    letter = SlowLetter(sending, slow)
    held = sending.relay.hold(Stage.DATA, to=leaves, times=1)
    run = sending.run(await sending.claimed(), sending.lanes(connections=1), letter=letter)
    async with running(run.run(), held):
        await sending.unsubscribe(leaves)
    await sending.work()
    assert sending.relay.took() == Counter(address for address in addresses if address != leaves)


async def test_a_run_that_dies_gives_its_places_back(sending: Sending) -> None:
    """Its worker goes on with other batches."""
    _, second = await sending.many_readers(2)
    await sending.begin()
    room = Room(20)
    run = sending.run(await sending.claimed(), sending.lanes(connections=1), size=10, room=room, flush_every=60)
    held = sending.relay.hold(Stage.BODY, to=second)
    work = asyncio.ensure_future(run.run())
    await held.reached()
    assert len(sending.relay.taken) == 1
    await kill(work)
    async with asyncio.timeout(10):
        await room.take(20)


# Killed workers.


async def test_after_a_killed_worker_the_next_one_leaves_nobody_out(sending: Sending) -> None:
    addresses = await sending.many_readers(20)
    await sending.begin()
    sending.relay.on(Stage.BODY, Silence(taking=True), to=addresses[5], times=1)
    killed = asyncio.ensure_future(sending.run(await sending.claimed(), size=4, flush_every=60).run())
    await sending.relay.has_taken(8)
    await kill(killed)
    in_flight = {row for row, found in (await sending.rows()).items() if found.state == "attempting"}
    assert len(in_flight) <= CHUNKS_IN_FLIGHT * 4
    sending.clock.at += LEASE
    assert await sending.work() == 0, "the lease was not over"
    sending.clock.move(seconds=1)
    assert await sending.work(size=4) == 1
    took = sending.relay.took()
    assert set(took) == set(addresses)
    assert {subscriber_id(address) for address in addresses if took[address] > 1} <= in_flight
    assert took[addresses[5]] == 2
    assert sending.relay.message_ids() == {address: {message_id(address)} for address in addresses}
    rows = await sending.rows()
    assert {person for person, row in rows.items() if row.was_uncertain} == in_flight
    assert await sending.totals() == {"accepted": 20}
    assert await sending.state() == "sent"


async def test_however_often_its_worker_was_killed_a_mail_is_sent_in_the_end(sending: Sending) -> None:
    await sending.readers(ADA)
    await sending.begin()
    await sending.intend(await sending.claimed())
    for _ in range(2 * UNCERTAIN_ATTEMPTS):
        sending.clock.at += AFTER_THE_LEASE
        batch = await sending.claimed()
        await store.mark_interrupted(
            sending.db, batch, resend=True, attempts_at_most=INTERRUPTED_ATTEMPTS, now=sending.clock.now()
        )
        assert len(await store.take_again(sending.db, batch, size=250, now=sending.clock.now())) == 1
    sending.clock.at += AFTER_THE_LEASE
    await sending.work()
    await once_each(sending, ADA)


async def test_intents_of_a_killed_worker_are_left_where_the_campaign_says_so_and_nobody_else_is(sending: Sending) -> None:
    await sending.readers(ADA, BEN, CLEO)
    await sending.begin(uncertain_policy="leave")
    (intended,) = await sending.intend(await sending.claimed(), size=1)
    sending.clock.at += AFTER_THE_LEASE
    await sending.work()
    others = {ADA, BEN, CLEO} - {intended.address}
    assert await sending.states([ADA, BEN, CLEO]) == {intended.address: "uncertain"} | dict.fromkeys(others, "accepted")
    await once_each(sending, *others)


async def test_intents_of_a_killed_worker_are_settled_though_the_campaign_was_cancelled(sending: Sending) -> None:
    await sending.readers(ADA, BEN)
    await sending.begin()
    await sending.intend(await sending.claimed(), size=1)
    await sending.set_campaign("cancelled")
    assert await sending.totals() == {"attempting": 1}
    sending.clock.at += AFTER_THE_LEASE
    assert await sending.work() == 1
    assert await sending.totals() == {"uncertain": 1}
    assert await sending.work() == 0
    assert sending.relay.taken == []


async def test_a_worker_killed_at_the_very_end_leaves_no_campaign_that_never_ends(sending: Sending) -> None:
    await sending.readers(ADA)
    await sending.begin()
    batch = await sending.claimed()
    async with sending.db.transaction() as operator:
        await operator.execute("select from campaign for update")
        killed = asyncio.ensure_future(sending.run(batch).run())
        await eventually(sending.somebody_waits_for_a_lock)
        await kill(killed)
    sending.clock.at += AFTER_THE_LEASE
    await sending.work()
    await once_each(sending, ADA)


async def test_finishing_the_last_batch_and_the_campaign_is_one_step(sending: Sending) -> None:
    await sending.readers(ADA)
    await sending.begin()
    batch = await sending.claimed()
    async with sending.db.transaction() as after:
        async with sending.db.transaction() as before:
            await before.execute("select from campaign for update")
            killed = asyncio.ensure_future(sending.run(batch).run())
            await eventually(sending.somebody_waits_for_a_lock)
            queued = asyncio.ensure_future(after.execute("select from campaign for update"))
            await eventually(sending.two_wait_for_a_lock)
        await queued

        async def done_or_waiting() -> bool:
            return killed.done() or await sending.somebody_waits_for_a_lock()

        await eventually(done_or_waiting)
        killed.cancel()
        await asyncio.gather(killed, return_exceptions=True)
    sending.clock.at += AFTER_THE_LEASE
    await sending.work()
    await once_each(sending, ADA)


async def test_of_two_workers_that_finish_the_last_two_batches_at_once_one_ends_the_campaign(sending: Sending) -> None:
    await sending.many_readers(1001)
    await sending.begin()
    first, second = await sending.claimed(), await sending.claimed()

    async def finish(db: Connection, batch: Batch) -> bool:
        await store.finish_batch(db, batch)
        return await store.finish_campaign(db, campaign_id=batch.campaign_id, now=sending.clock.now())

    async with sending.db.transaction() as other:
        async with sending.db.transaction() as one:
            assert not await finish(one, first)
            last = asyncio.ensure_future(finish(other, second))

            async def done_or_waiting() -> bool:
                return last.done() or await sending.somebody_waits_for_a_lock()

            await eventually(done_or_waiting)
        assert await last
    assert await sending.state() == "sent"


# Leases.


async def test_a_worker_whose_batch_was_taken_over_sends_nothing_more(sending: Sending) -> None:
    first, *_ = addresses = await sending.many_readers(3)
    await sending.begin()
    held = sending.relay.hold(Stage.DATA, to=first, times=1)
    stopped = sending.run(await sending.claimed(), sending.lanes(connections=1)).run()
    async with running(stopped, held):
        takeover = await sending.claimed(later=AFTER_THE_LEASE)
        sending.clock.at += AFTER_THE_LEASE
        await sending.run(takeover).run()
        assert sending.relay.begun.count(first) == 1
    assert sorted(sending.relay.begun) == sorted(addresses)
    await once_each(sending, *addresses)


async def test_a_worker_stopped_while_it_asks_who_still_wants_it_sends_nothing_after_its_lease(sending: Sending) -> None:
    await sending.readers(ADA)
    await sending.begin()
    held = sending.relay.hold(Stage.DATA, times=1)
    async with running(sending.run(await sending.claimed()).run(), held) as stopped:
        sending.clock.at += timedelta(seconds=FRESH_FOR)
        async with sending.db.transaction() as other:
            await other.execute("lock table subscription in access exclusive mode")
            held.release()
            await eventually(sending.somebody_waits_for_a_lock)
            takeover = await sending.claimed(later=AFTER_THE_LEASE)
            # When the answer comes, its own clock alone can tell that it held the batch too long ago.
            sending.clock.at += AFTER_THE_LEASE
        await stopped
    assert sending.relay.begun == []
    await sending.run(takeover).run()
    await once_each(sending, ADA)


async def test_a_worker_whose_batch_was_taken_over_records_nothing(sending: Sending) -> None:
    await sending.readers(ADA)
    await sending.begin()
    held = sending.relay.hold(Stage.BODY, times=1)
    async with running(sending.run(await sending.claimed()).run(), held):
        takeover = await sending.claimed(later=AFTER_THE_LEASE)
        sending.clock.at += AFTER_THE_LEASE
        sending.relay.on(Stage.RCPT, Say("550 5.1.1 no such user"))
        await sending.run(takeover).run()
    assert sending.relay.took() == {ADA: 1}
    assert await sending.totals() == {"failed": 1}
    assert await sending.state() == "sent"


async def test_a_batch_cannot_be_claimed_while_its_worker_writes_intents(sending: Sending) -> None:
    await sending.readers(ADA, BEN)
    await sending.begin()
    batch = await sending.claimed()
    async with sending.db.transaction() as somebody:
        await subscribing.lock_subscriber(somebody, subscriber_id=subscriber_id(BEN))
        intents = asyncio.ensure_future(sending.intend(batch))
        await eventually(sending.somebody_waits_for_a_lock)
        assert await sending.claim(later=AFTER_THE_LEASE) is None
    await intents
    sending.clock.at += AFTER_THE_LEASE
    await sending.work()
    await once_each(sending, ADA, BEN)


# Pause, cancel, stop.


@pytest.mark.parametrize("order", ["paused", "cancelled"])
async def test_after_pause_or_cancel_no_body_is_begun_and_the_rest_is_given_back(sending: Sending, order: str) -> None:
    one, two, *others = addresses = await sending.many_readers(10)
    await sending.begin()
    held = sending.relay.hold(Stage.DATA, to=two, times=1)
    async with running(sending.work(sending.lanes(connections=1)), held):
        await sending.set_campaign(order)
        sending.clock.at += timedelta(seconds=FRESH_FOR)
    assert sending.relay.begun == [one]
    assert await sending.states(addresses) == {one: "accepted", two: None} | dict.fromkeys(others)
    assert await sending.work() == 0
    if order == "paused":
        await sending.set_campaign("sending")
        await sending.work()
        await once_each(sending, *addresses)


@pytest.mark.parametrize("order", ["paused", "cancelled", "stop"])
async def test_what_nobody_has_begun_is_given_back_at_once_and_the_lease_held_for_what_somebody_has(
    sending: Sending, order: str
) -> None:
    one, two, offered, *others = addresses = await sending.many_readers(10)
    await sending.begin()
    held = sending.relay.hold(Stage.BODY, to=two, times=1)
    run = sending.run(await sending.claimed(), sending.lanes(connections=1))
    async with running(run.run(), held):
        if order == "stop":
            run.stop()
        else:
            await sending.set_campaign(order)
        sending.clock.move(seconds=RENEW_EVERY)

        async def given_back() -> bool:  # But for the one whose envelope went out behind the body that is under way.
            return set(await sending.rows()) == {subscriber_id(one), subscriber_id(two), subscriber_id(offered)}

        async def prolonged() -> bool:
            return await sending.lease() == LEASE

        await eventually(given_back)
        sending.clock.move(seconds=20)
        await eventually(prolonged)
    assert sending.relay.begun == [one, two]
    assert await sending.states(addresses) == {one: "accepted", two: "accepted"} | dict.fromkeys([offered, *others])
    assert await sending.lease() is None
    if order != "cancelled":
        await sending.set_campaign("sending")
        await sending.work()
        await once_each(sending, *addresses)


async def test_a_run_that_is_stopped_before_it_begins_puts_the_batch_back(sending: Sending) -> None:
    await sending.readers(ADA)
    await sending.begin()
    run = sending.run(await sending.claimed())
    run.stop()
    await run.run()
    assert (await sending.rows(), sending.relay.sessions) == ({}, 0)
    assert await sending.work() == 1
    await once_each(sending, ADA)


# Leaving while it is under way.


async def test_no_body_is_begun_for_a_reader_who_left_while_a_slow_relay_worked(sending: Sending) -> None:
    assert FRESH_FOR < UNSUBSCRIBED_WITHIN
    first, slow, *others = addresses = await sending.many_readers(5)
    await sending.begin()
    held = sending.relay.hold(Stage.DATA, to=slow, times=1)
    async with running(sending.work(sending.lanes(connections=1)), held):
        await sending.unsubscribe(slow)
        await sending.unsubscribe(others[-1])
        sending.clock.at += timedelta(seconds=FRESH_FOR)
    assert sending.relay.begun == [first, *others[:-1]]
    assert await sending.states([slow, others[-1]]) == {slow: "skipped", others[-1]: "skipped"}
    await once_each(sending, first, *others[:-1])
    assert sum((await sending.totals()).values()) == len(addresses)


async def test_time_spent_on_taking_a_chunk_counts_as_time_since_the_look(sending: Sending) -> None:
    await sending.readers(ADA, BEN)
    await sending.begin()
    batch = await sending.claimed()
    async with sending.db.transaction() as somebody:
        await somebody.execute("select from subscriber join subscription using (subscriber_id) for update")
        work = asyncio.ensure_future(sending.run(batch).run())
        await eventually(sending.somebody_waits_for_a_lock)
        await sending.unsubscribe(ADA, within=somebody)
        sending.clock.at += timedelta(seconds=FRESH_FOR)
    await work
    assert sending.relay.begun == [BEN]


async def test_an_answer_that_took_longer_than_it_is_good_for_is_asked_for_again(sending: Sending) -> None:
    await sending.readers(ADA)
    await sending.begin()
    held = sending.relay.hold(Stage.DATA, times=1)
    async with running(sending.work(), held):
        sending.clock.at += timedelta(seconds=FRESH_FOR)
        async with sending.db.transaction() as somebody:
            await somebody.execute("lock table subscription in access exclusive mode")
            held.release()
            await eventually(sending.somebody_waits_for_a_lock)
            sending.clock.at += timedelta(seconds=FRESH_FOR)
    assert sending.relay.commands.count("DATA") == 2, "the first envelope got no body"
    await once_each(sending, ADA)


async def test_no_body_is_begun_for_a_reader_suppressed_while_a_slow_relay_worked(sending: Sending) -> None:
    await sending.readers(ADA)
    await sending.begin()
    held = sending.relay.hold(Stage.DATA)
    async with running(sending.work(), held):
        await sending.suppress(ADA)
        sending.clock.at += timedelta(seconds=FRESH_FOR)
    assert sending.relay.begun == []
    assert await sending.totals() == {"skipped": 1}


async def test_an_outcome_revives_nobody_who_was_erased_meanwhile_and_totals_still_add_up(sending: Sending) -> None:
    first, second, third = addresses = await sending.many_readers(3)
    await sending.begin()
    held = sending.relay.hold(Stage.BODY, to=second)
    async with running(sending.work(sending.lanes(connections=1)), held):
        await sending.erase(second)
    assert sending.relay.took() == Counter(addresses)
    assert await sending.states(addresses) == {first: "accepted", second: None, third: "accepted"}
    assert await sending.totals() == {"accepted": 2, "uncertain": 1}
    assert await sending.state() == "sent"


async def test_no_body_is_begun_for_somebody_erased_while_a_slow_relay_worked(sending: Sending) -> None:
    await sending.readers(ADA)
    await sending.begin()
    held = sending.relay.hold(Stage.DATA)
    async with running(sending.work(), held):
        await sending.erase(ADA)
        sending.clock.at += timedelta(seconds=FRESH_FOR)
    assert (sending.relay.begun, await sending.rows()) == ([], {})


async def test_an_erasure_under_way_leaves_no_intent_behind(sending: Sending) -> None:
    await sending.readers(ADA, BEN)
    await sending.begin()
    batch = await sending.claimed()
    async with sending.db.transaction() as erasing:
        await subscribing.lock_subscribers(erasing, subscriber_ids=[subscriber_id(ADA)])
        await store.forget_subscribers(erasing, subscriber_ids=[subscriber_id(ADA)])
        intents = asyncio.ensure_future(sending.intend(batch))

        async def waiting_or_done() -> bool:
            return intents.done() or await sending.somebody_waits_for_a_lock()

        await eventually(waiting_or_done)
        await subscribing.delete_subscribers(erasing, subscriber_ids=[subscriber_id(ADA)])
    assert [reader.address for reader in await intents] == [BEN]
    assert await sending.states([ADA, BEN]) == {ADA: None, BEN: "attempting"}


# The database.


@contextlib.asynccontextmanager
async def database_away(server: Server, url: str) -> AsyncIterator[None]:
    """Nobody is let in any more, and whoever was in is thrown out."""
    name = urlsplit(url).path[1:]
    await server.run(
        f"alter database {name} connection limit 0",
        f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'",
    )
    try:
        yield
    finally:
        await server.run(f"alter database {name} connection limit -1")


async def test_outcomes_stay_in_hand_while_the_database_is_away(sending: Sending, server: Server, database_url: str) -> None:
    await sending.readers(ADA, BEN)
    await sending.begin(uncertain_policy="leave")
    held = sending.relay.hold(Stage.BODY)
    async with running(sending.work(), held) as worker, database_away(server, database_url):
        held.release()
        await sending.relay.has_taken(2)
        for _ in range(10):
            with pytest.raises(asyncpg.TooManyConnectionsError):
                await asyncpg.connect(database_url)
        assert not worker.done()
    assert await sending.totals() == {"accepted": 2}
    await once_each(sending, ADA, BEN)


async def test_no_body_is_begun_when_the_database_cannot_be_asked_who_still_wants_it(
    sending: Sending, server: Server, database_url: str
) -> None:
    await sending.readers(ADA)
    await sending.begin()
    held = sending.relay.hold(Stage.DATA, times=1)
    async with running(sending.work(), held), database_away(server, database_url):
        sending.clock.at += timedelta(seconds=FRESH_FOR)
        held.release()
        await sending.relay.until(lambda: sending.relay.open_sessions == 0)
        assert sending.relay.begun == []
    row = await sending.row(ADA)
    assert (row.state, row.attempts) == ("accepted", 1)
    await once_each(sending, ADA)


@pytest.mark.parametrize("name", ["delivery.take_fresh", "delivery.take_again"])
async def test_readers_are_read_by_position_which_takes_half_as_long(database_url: str, name: str) -> None:
    connection = await asyncpg.connect(database_url)
    prepared = await connection.prepare(REGISTRY[name][0].text)
    columns = [column.name for column in prepared.get_attributes()]
    await connection.close()
    assert columns == [field.name for field in fields(Reader)]


@pytest.mark.parametrize("name", ["delivery.claim_batch", "delivery.claim_mails"])
async def test_the_search_for_what_to_claim_is_run_once_whatever_the_planner_makes_of_it(sending: Sending, name: str) -> None:
    """As a subquery inside a nested loop it was run again for each row, and leased batches that nobody learnt of."""
    statement, _ = REGISTRY[name]
    now = sending.clock.now()
    values = {"now": now, "lease_until": now + LEASE, "worker": "one", "size": 1, "other_than": []}
    plan = await sending.db.fetch(f"explain {statement.text}", *(values[each] for each in statement.parameters))
    assert any("CTE free" in row[0] for row in plan)
