"""Single mails: at least once, always under one Message-ID, and not to anybody who no longer wants them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from newsletter.core.database import Connection
from newsletter.core.errors import DatabaseUnavailable
from newsletter.delivery import store
from newsletter.delivery.courier import Courier
from newsletter.delivery.outbox import AT_A_TIME, LEASE, Outbox
from newsletter.delivery.rules import FRESH_FOR
from newsletter.delivery.session import Mail
from newsletter.delivery.store import QueuedMail
from tests.integration.delivery.sending import Sending, subscriber_id
from tests.relay import WITHIN, HangUp, Say, ScriptedRelay, Silence, Stage, eventually

ADA, BEN = "ada@example.org", "ben@example.org"
LIVES = timedelta(hours=24)


@dataclass
class Queue:
    """The outbox with what is in it, and workers that empty it."""

    sending: Sending
    addresses: dict[UUID, str] = field(default_factory=dict)
    """Who is still to be written to."""
    faulty: str = ""
    """Whose mail cannot be made."""
    relay: str | None = None
    """What their sender's mail goes by."""
    takes: timedelta = timedelta(0)
    """How long it takes to make one."""

    async def add(self, *addresses: str, lives: timedelta = LIVES) -> None:
        for address in addresses:
            self.addresses[subscriber_id(address)] = address
            now = self.sending.clock.now()
            await store.queue_mail(
                self.sending.db,
                kind="confirm",
                subscriber_id=subscriber_id(address),
                about=None,
                list_ids=[self.sending.list_id],
                language="en",
                message_id=uuid4(),
                created_at=now,
                expires_at=now + lives,
                now=now,
            )

    async def compose(self, db: Connection, queued: QueuedMail, now: datetime) -> Mail | None:
        assert queued.subscriber_id is not None
        address = self.addresses.get(queued.subscriber_id)
        if address and address == self.faulty:
            raise LookupError("no words")
        self.sending.clock.at += self.takes
        data = f"Message-ID: <{queued.message_id}@letters.example>\r\n\r\nPlease confirm.\r\n".encode()
        return Mail("letter@letters.example", address, data, relay=self.relay) if address else None

    def outbox(self, courier: Courier | None = None, *, patience: float = WITHIN) -> Outbox:
        """One worker's."""
        sending = self.sending
        courier = courier or sending.courier()
        return Outbox(sending.db, sending.clock, courier, self.compose, monotonic=sending.monotonic, patience=patience)

    async def rows(self) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.sending.db.fetch("select * from outbox order by outbox_id")]


@pytest.fixture
async def queue(sending: Sending) -> AsyncIterator[Queue]:
    yield Queue(sending)


async def test_what_is_due_is_sent_and_gone(queue: Queue) -> None:
    await queue.add(ADA, BEN)
    assert not await queue.outbox().run_once()
    assert queue.sending.relay.took() == {ADA: 1, BEN: 1}
    assert await queue.rows() == []


async def test_it_says_when_there_may_be_more(queue: Queue) -> None:
    addresses = [f"reader{number}@example.org" for number in range(AT_A_TIME + 1)]
    await queue.add(*addresses)
    outbox = queue.outbox()
    assert await outbox.run_once()
    assert not await outbox.run_once()
    assert queue.sending.relay.took() == dict.fromkeys(addresses, 1)


async def test_a_mail_that_a_relay_takes_long_over_holds_up_nobody_else(queue: Queue) -> None:
    outbox = queue.outbox(patience=0.01)
    held = queue.sending.relay.hold(Stage.BODY, to=ADA, times=1)
    await queue.add(ADA)
    assert not await outbox.run_once()
    await queue.add(BEN)

    async def ben_has_it() -> bool:
        await outbox.run_once()
        return queue.sending.relay.took() == {BEN: 1}

    await eventually(ben_has_it)
    held.release()
    await outbox.finish()
    assert queue.sending.relay.took() == {ADA: 1, BEN: 1}
    assert await queue.rows() == []


async def test_no_more_mails_are_in_hand_than_a_worker_may_have(queue: Queue) -> None:
    addresses = [f"reader{number}@example.org" for number in range(AT_A_TIME + 5)]
    await queue.add(*addresses)
    held = queue.sending.relay.hold(Stage.MAIL)
    outbox = queue.outbox(patience=0.01)
    assert await outbox.run_once()
    assert not await outbox.run_once()
    assert sum(row["lease_until"] is not None for row in await queue.rows()) == AT_A_TIME
    held.release()
    await outbox.finish()
    await outbox.run_once()
    await outbox.finish()
    assert queue.sending.relay.took() == dict.fromkeys(addresses, 1)


async def test_a_mail_goes_by_its_senders_relay_and_one_for_a_bound_domain_by_that_domains(queue: Queue) -> None:
    sending = queue.sending
    async with ScriptedRelay() as named, ScriptedRelay() as bound:
        relays = [
            sending.relay.target(),
            replace(named.target(), label="eu", weight=0),
            replace(bound.target(), domains=frozenset({"example.net"})),
        ]
        courier = Courier(relays, connections=1, timeout=WITHIN, monotonic=sending.monotonic)
        sending.opened.append(courier)
        queue.relay = "eu"
        await queue.add(ADA, "ada@example.net")
        await queue.outbox(courier).run_once()
        assert (named.took(), bound.took(), sending.relay.took()) == ({ADA: 1}, {"ada@example.net": 1}, {})


async def test_a_relay_that_ends_each_session_before_it_takes_a_mail_is_passed_over_for_another(queue: Queue) -> None:
    sending = queue.sending
    sending.relay.on(Stage.MAIL, HangUp())
    async with ScriptedRelay() as other:
        relays = [sending.relay.target(), other.target()]
        courier = Courier(relays, connections=1, timeout=WITHIN, monotonic=sending.monotonic)
        sending.opened.append(courier)
        await queue.add(ADA, BEN)
        await queue.outbox(courier).run_once()
        assert (other.took(), sending.relay.sessions) == ({ADA: 1, BEN: 1}, 1)
    assert await queue.rows() == []


async def test_two_workers_never_have_the_same_mail_in_hand(queue: Queue) -> None:
    addresses = [f"reader{number}@example.org" for number in range(30)]
    await queue.add(*addresses)
    await asyncio.gather(queue.outbox().run_once(), queue.outbox().run_once())
    assert queue.sending.relay.took() == dict.fromkeys(addresses, 1)


@pytest.mark.parametrize("act", [HangUp(), HangUp(taking=True), Say("450 4.2.1 later")])
async def test_a_mail_that_was_not_taken_for_sure_is_sent_again_under_the_same_message_id(
    queue: Queue, act: HangUp | Say
) -> None:
    await queue.add(ADA)
    (queued,) = await queue.rows()
    queue.sending.relay.on(Stage.BODY, act, times=1)
    outbox = queue.outbox()
    await outbox.run_once()
    (row,) = await queue.rows()
    assert (row["state"], row["attempts"], row["lease_until"]) == ("queued", 1, None)
    queue.sending.clock.at = row["not_before"] - timedelta(seconds=1)
    await outbox.run_once()
    assert len(await queue.rows()) == 1
    queue.sending.clock.move(seconds=1)
    await outbox.run_once()
    assert await queue.rows() == []
    assert queue.sending.relay.message_ids() == {ADA: {f"<{queued['message_id']}@letters.example>"}}


async def test_a_mail_is_put_off_for_longer_each_time(queue: Queue) -> None:
    await queue.add(ADA)
    queue.sending.relay.on(Stage.RCPT, Say("450 4.7.1 greylisted"))
    outbox = queue.outbox()
    pauses = []
    for _ in range(7):
        await outbox.run_once()
        (row,) = await queue.rows()
        pauses.append((row["not_before"] - queue.sending.clock.now()) / timedelta(minutes=1))
        queue.sending.clock.at = row["not_before"]
    assert pauses == [2, 4, 8, 16, 32, 60, 60]


async def test_a_killed_worker_s_mail_is_sent_by_another_when_its_lease_is_over(queue: Queue) -> None:
    await queue.add(ADA)
    queue.sending.relay.on(Stage.BODY, Silence(taking=True), times=1)
    killed = asyncio.ensure_future(queue.outbox().run_once())
    await queue.sending.relay.has_taken(1)
    killed.cancel()
    with pytest.raises(asyncio.CancelledError):
        await killed
    outbox = queue.outbox()
    queue.sending.clock.at += LEASE
    await outbox.run_once()
    assert queue.sending.relay.took() == {ADA: 1}
    queue.sending.clock.move(seconds=1)
    await outbox.run_once()
    assert queue.sending.relay.took() == {ADA: 2}
    assert len(queue.sending.relay.message_ids()[ADA]) == 1
    assert await queue.rows() == []


@pytest.mark.parametrize("answer", [Say("250 2.0.0 taken"), Say("450 4.2.1 later"), Say("550 5.1.1 no such user")])
async def test_a_worker_whose_lease_is_over_records_nothing(queue: Queue, answer: Say) -> None:
    await queue.add(ADA)
    held = queue.sending.relay.hold(Stage.BODY, times=1, then=answer)
    slow = asyncio.ensure_future(queue.outbox().run_once())
    await held.reached()
    queue.sending.clock.at += LEASE + timedelta(seconds=1)
    queue.sending.relay.on(Stage.RCPT, Say("451 4.3.0 later"))
    await queue.outbox().run_once()
    before = await queue.rows()
    held.release()
    await slow
    assert queue.sending.relay.begun == [ADA]
    assert await queue.rows() == before != []


async def test_a_refused_mail_is_never_sent_again_and_its_row_stays_with_a_scrubbed_reply(queue: Queue) -> None:
    await queue.add(ADA)
    queue.sending.relay.on(Stage.RCPT, Say(f"550 5.1.1 <{ADA}>: no such user"), times=1)
    outbox = queue.outbox()
    await outbox.run_once()
    queue.sending.clock.move(hours=23)
    await outbox.run_once()
    (row,) = await queue.rows()
    assert (row["state"], row["reply"]) == ("failed", "5.1.1 <[address]>: no such user")
    assert queue.sending.relay.taken == []
    gone = await store.expire_mails(queue.sending.db, now=queue.sending.clock.move(hours=1), size=10)
    assert (gone.removed, await queue.rows()) == (1, [])


async def test_a_deferred_mail_s_reply_is_kept_scrubbed(queue: Queue) -> None:
    await queue.add(ADA)
    queue.sending.relay.on(Stage.RCPT, Say(f"450 4.2.1 {ADA} is over quota at 2001:db8:1:2::3"))
    await queue.outbox().run_once()
    (row,) = await queue.rows()
    assert row["reply"] == "4.2.1 [address] is over quota at 2001:db8:1::"


async def test_a_mail_whose_time_is_over_is_not_sent(queue: Queue) -> None:
    await queue.add(ADA, lives=timedelta(hours=1))
    await queue.add(BEN, lives=timedelta(hours=2))
    queue.sending.clock.move(hours=1)
    await queue.outbox().run_once()
    assert queue.sending.relay.took() == {BEN: 1}


async def test_a_mail_that_nobody_wants_any_more_is_dropped_unsent(queue: Queue) -> None:
    await queue.add(ADA)
    queue.addresses.clear()
    await queue.outbox().run_once()
    assert (await queue.rows(), queue.sending.relay.sessions) == ([], 0)


async def test_no_body_is_begun_for_somebody_who_stopped_wanting_it_while_a_slow_relay_worked(queue: Queue) -> None:
    await queue.add(ADA)
    held = queue.sending.relay.hold(Stage.DATA)
    slow = asyncio.ensure_future(queue.outbox().run_once())
    await held.reached()
    queue.addresses.clear()
    queue.sending.clock.at += timedelta(seconds=FRESH_FOR)
    held.release()
    await slow
    assert (queue.sending.relay.begun, await queue.rows()) == ([], [])


async def test_no_body_is_begun_on_an_answer_that_took_longer_than_it_is_good_for(queue: Queue) -> None:
    await queue.add(ADA)
    queue.takes = timedelta(seconds=FRESH_FOR)
    with pytest.raises(DatabaseUnavailable):
        await queue.outbox().run_once()
    assert queue.sending.relay.begun == []
    queue.takes = timedelta(0)
    queue.sending.clock.at += LEASE + timedelta(seconds=1)
    await queue.outbox().run_once()
    assert queue.sending.relay.took() == {ADA: 1}


async def test_a_relay_that_cannot_be_reached_costs_no_mail_an_attempt_and_is_one_failure(queue: Queue) -> None:
    addresses = [f"reader{number}@example.org" for number in range(AT_A_TIME)]
    await queue.add(*addresses)
    await queue.sending.relay.close()
    courier = queue.sending.courier()
    outbox = queue.outbox(courier)
    assert not await outbox.run_once()
    pause = courier.rest
    assert pause == timedelta(seconds=5)
    assert {(row["attempts"], row["not_before"] - queue.sending.clock.now()) for row in await queue.rows()} == {(0, pause)}
    await queue.sending.relay.open()
    await queue.add(ADA)
    assert not await outbox.run_once()
    assert queue.sending.relay.sessions == 0, "it is left alone"
    queue.sending.clock.at += pause
    while await outbox.run_once():
        pass
    assert queue.sending.relay.took() == dict.fromkeys([*addresses, ADA], 1)


async def test_one_mail_that_cannot_be_made_holds_up_no_other(queue: Queue) -> None:
    await queue.add(ADA, BEN)
    queue.faulty = ADA
    await queue.outbox().run_once()
    assert queue.sending.relay.took() == {BEN: 1}
    queue.faulty = ""
    queue.sending.clock.at += LEASE + timedelta(seconds=1)
    await queue.outbox().run_once()
    assert queue.sending.relay.took() == {ADA: 1, BEN: 1}


async def test_erasing_somebody_takes_their_mails_out_of_the_queue(queue: Queue) -> None:
    await queue.sending.readers(ADA, BEN)
    await queue.add(ADA, BEN)
    await queue.sending.erase(ADA)
    await queue.outbox().run_once()
    assert queue.sending.relay.took() == {BEN: 1}


async def test_a_mail_in_hand_is_not_brought_back_when_its_reader_is_erased(queue: Queue) -> None:
    await queue.sending.readers(ADA)
    await queue.add(ADA)
    queue.sending.relay.on(Stage.BODY, Say("450 4.2.1 later"))
    held = queue.sending.relay.hold(Stage.DATA)
    slow = asyncio.ensure_future(queue.outbox().run_once())
    await held.reached()
    await queue.sending.erase(ADA)
    held.release()
    await slow
    assert await queue.rows() == []
