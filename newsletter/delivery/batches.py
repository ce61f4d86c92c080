"""A campaign's audience in batches: planned by id range, claimed under a lease, sent chunk by chunk.

The order of things within a chunk is the contract: the intent is committed, then the mail is handed over, then the outcome is
recorded, guarded by the batch's epoch. See the package's docstring for what follows from it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Protocol
from uuid import UUID

from newsletter.core.clock import Clock
from newsletter.core.database import Connection, Database
from newsletter.core.errors import Conflict, DatabaseUnavailable, RelayUnreachable
from newsletter.core.logs import get_logger
from newsletter.delivery import store
from newsletter.delivery.rules import (
    BATCH_READERS,
    FRESH_FOR,
    GIVE_UP_AFTER,
    LEASE,
    UNCERTAIN_ATTEMPTS,
    DeliveryState,
    Outcome,
    may_resend,
    retry_pause,
)
from newsletter.delivery.session import Courier, Mail
from newsletter.delivery.store import Batch, Reader

FLUSH_EVERY = 1.0
"""Seconds between two records of outcomes, so that progress can be seen on a slow relay."""

log = get_logger(__name__)


class Letter(Protocol):
    """A campaign, ready to be made out to a reader."""

    def compose(self, reader: Reader, now: datetime) -> Mail: ...


def slices(readers: int) -> list[tuple[UUID, UUID]]:
    """The id space in equal parts for about that many readers: first and last id of each."""
    count = max(1, -(-readers // BATCH_READERS))
    edges = [(number << 128) // count for number in range(count + 1)]
    return [(UUID(int=first), UUID(int=after - 1)) for first, after in pairwise(edges)]


async def plan_campaign(db: Connection, *, campaign_id: int, list_id: int, message_domain: str, now: datetime) -> int:
    """From draft to sending, in the caller's transaction; returns how many readers the list has now.

    Raises `Conflict` when the campaign is not waiting to be sent (any more).
    """
    planned = await store.count_audience(db, list_id=list_id)
    week = (now - timedelta(days=now.weekday())).date()
    started = await store.start_campaign(
        db,
        campaign_id=campaign_id,
        now=now,
        week=week,
        message_key=secrets.token_bytes(32),
        message_domain=message_domain,
        planned=planned,
    )
    if not started:
        raise Conflict("This campaign was sent already, or it was cancelled.")
    await store.make_week(db, week=week)
    parts = slices(planned)
    await store.make_batches(
        db,
        campaign_id=campaign_id,
        numbers=list(range(len(parts))),
        froms=[first for first, _ in parts],
        tos=[last for _, last in parts],
        now=now,
    )
    await store.wake_workers(db)
    return planned


async def claim(db: Connection, *, worker: str, lease: timedelta, now: datetime) -> Batch | None:
    """A batch that is due, for that worker and that long; None when there is nothing to do."""
    return await store.claim_batch(db, worker=worker, now=now, lease_until=now + lease)


@dataclass
class Chunk:
    """Readers in hand, with what is known of each so far."""

    readers: list[Reader]
    looked_at: float
    """Monotonic time when the last look at who still wants it began."""
    wanted: set[UUID]
    done: dict[UUID, Outcome] = field(default_factory=dict)
    recorded: set[UUID] = field(default_factory=set)
    refresh: asyncio.Lock = field(default_factory=asyncio.Lock)
    next: int = 0

    def take(self) -> Reader | None:
        """The next reader that nobody has begun with."""
        if self.next >= len(self.readers):
            return None
        self.next += 1
        return self.readers[self.next - 1]

    def withdraw(self) -> list[Reader]:
        """Those that nobody has begun with, so that nobody will."""
        rest, self.next = self.readers[self.next :], len(self.readers)
        return rest

    @property
    def undone(self) -> list[Reader]:
        return [reader for reader in self.readers if reader.subscriber_id not in self.done]


class BatchRun:
    """One worker's work on one batch, from claim to release.

    `lease` is what the batch was claimed for; `monotonic` gives the seconds of this process's own clock; outcomes are recorded
    every `flush_every` seconds.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        courier: Courier,
        letter: Letter,
        batch: Batch,
        *,
        size: int,
        lease: timedelta = LEASE,
        monotonic: Callable[[], float] = time.monotonic,
        flush_every: float = FLUSH_EVERY,
    ) -> None:
        self._db = db
        self._clock = clock
        self._courier = courier
        self._letter = letter
        self._batch = batch
        self._size = size
        self._lease = lease
        self._monotonic = monotonic
        self._flush_every = flush_every
        self._stop = asyncio.Event()
        self._hold_until = float("-inf")
        self._relay_failure: RelayUnreachable | None = None

    def stop(self) -> None:
        """Finish what has begun, begin nothing more."""
        self._stop.set()

    @property
    def _holding(self) -> bool:
        """By the monotonic clock alone, and well before the lease ends: a worker that was stopped for a while sends nothing."""
        return not self._stop.is_set() and self._monotonic() < self._hold_until

    async def run(self) -> None:
        """Work until the batch is finished, is put off, or is lost."""
        batch = self._batch
        await store.mark_interrupted(
            self._db,
            batch,
            resend=batch.uncertain_policy == "resend",
            attempts_at_most=UNCERTAIN_ATTEMPTS,
            now=self._clock.now(),
        )
        while not self._relay_failure and await self._renew():
            looked_at = self._monotonic()
            readers = await self._take()
            if not readers:
                break
            await self._send_chunk(Chunk(readers, looked_at, {reader.subscriber_id for reader in readers}))
        await self._release()

    async def _take(self) -> list[Reader]:
        """Retries that are due first, then fresh readers; the intents are committed when this returns."""
        now = self._clock.now()
        await store.skip_unwanted(self._db, self._batch, now=now)
        again = await store.take_again(self._db, self._batch, size=self._size, now=now)
        return again or await store.take_fresh(self._db, self._batch, size=self._size, now=now)

    async def _send_chunk(self, chunk: Chunk) -> None:
        senders = [asyncio.create_task(self._send_some(chunk)) for _ in range(self._courier.connections)]
        try:
            pending = set(senders)
            while pending:
                _, pending = await asyncio.wait(pending, timeout=self._flush_every)
                with contextlib.suppress(DatabaseUnavailable):  # The outcomes stay in hand.
                    if pending:
                        await self._flush(chunk)
        finally:
            for sender in senders:
                sender.cancel()
            results = await asyncio.gather(*senders, return_exceptions=True)
        await self._surely(lambda: self._record(chunk))
        for result in results:
            if isinstance(result, Exception):
                raise result
        await self._surely(lambda: self._give_back(chunk.undone))

    async def _flush(self, chunk: Chunk) -> None:
        """Record what is known, and hold on to the batch for as long as anything is under way."""
        await self._record(chunk)
        if not await self._renew():
            self.stop()
            await self._give_back(chunk.withdraw())

    async def _surely(self, act: Callable[[], Awaitable[None]]) -> None:
        """Wait for a database that is gone for a while: what is forgotten here would be mailed twice, or not at all."""
        while True:
            try:
                return await act()
            except DatabaseUnavailable as error:
                log.warning("outcomes_in_hand", campaign_id=self._batch.campaign_id, reason=str(error))
                await asyncio.sleep(self._flush_every)

    async def _send_some(self, chunk: Chunk) -> None:
        while self._holding and not self._relay_failure and (reader := chunk.take()):
            try:
                outcome = await self._hand_over(chunk, reader)
            except RelayUnreachable as failure:
                self._relay_failure = failure
            except DatabaseUnavailable:
                return  # Nobody could say whether the reader still wants it, so no body was begun.
            else:
                if outcome.state is not DeliveryState.SKIPPED or reader.subscriber_id not in chunk.wanted:
                    chunk.done[reader.subscriber_id] = outcome

    async def _hand_over(self, chunk: Chunk, reader: Reader) -> Outcome:
        try:
            mail = self._letter.compose(reader, self._clock.now())
        except Exception as error:
            # Whatever is wrong with one reader's mail must not hold up the others; it may be put right while it is retried.
            log.exception("mail_not_made", campaign_id=self._batch.campaign_id)
            return Outcome(DeliveryState.DEFERRED, reply=f"The mail could not be made ({type(error).__name__}).")
        return await self._courier.send(mail, functools.partial(self._wants, chunk, reader))

    async def _wants(self, chunk: Chunk, reader: Reader) -> bool:
        """Right before the body: do we still hold the batch, and was it looked at lately whether the reader wants it?"""
        async with chunk.refresh:
            if self._monotonic() - chunk.looked_at >= FRESH_FOR:
                looked_at = self._monotonic()
                if not await self._renew():
                    self.stop()
                chunk.wanted = set(
                    await store.still_wanted(
                        self._db,
                        subscriber_ids=[reader.subscriber_id for reader in chunk.undone],
                        list_id=self._batch.list_id,
                        now=self._clock.now(),
                    )
                )
                chunk.looked_at = looked_at
            # A database that took long to answer spoke of what was so when it was asked.
            still_fresh = self._monotonic() - chunk.looked_at < FRESH_FOR
        return still_fresh and self._holding and reader.subscriber_id in chunk.wanted

    async def _record(self, chunk: Chunk) -> None:
        fresh = [reader for reader in chunk.readers if reader.subscriber_id in chunk.done.keys() - chunk.recorded]
        if not fresh:
            return
        outcomes = [self._settled(reader, chunk.done[reader.subscriber_id]) for reader in fresh]
        await store.record_outcomes(
            self._db,
            self._batch,
            subscriber_ids=[reader.subscriber_id for reader in fresh],
            states=[outcome.state.value for outcome, _ in outcomes],
            retries=[retry_at for _, retry_at in outcomes],
            codes=[outcome.code for outcome, _ in outcomes],
            statuses=[outcome.status for outcome, _ in outcomes],
            replies=[outcome.reply for outcome, _ in outcomes],
        )
        chunk.recorded |= {reader.subscriber_id for reader in fresh}

    def _settled(self, reader: Reader, outcome: Outcome) -> tuple[Outcome, datetime | None]:
        """The outcome with the time of the next attempt, or as a failure when there was trying enough."""
        now, give_up_at = self._clock.now(), reader.first_at + GIVE_UP_AFTER
        retry_at = now + retry_pause(reader.attempts, outcome)
        if outcome.state is DeliveryState.DEFERRED:
            if now >= give_up_at:
                return replace(outcome, state=DeliveryState.FAILED), None
            return outcome, min(retry_at, give_up_at)
        if outcome.state is DeliveryState.UNCERTAIN and self._batch.uncertain_policy == "resend":
            return outcome, retry_at if may_resend(reader.attempts, was_uncertain=reader.was_uncertain) else None
        return outcome, None

    async def _renew(self) -> bool:
        """Prolong the lease, if only to finish what has begun; whether to begin anything more."""
        asked_at = self._monotonic()
        sending = await store.renew_lease(self._db, self._batch, lease_until=self._clock.now() + self._lease)
        if sending:
            self._hold_until = asked_at + self._lease.total_seconds() / 2
        return sending and not self._stop.is_set()

    async def _give_back(self, readers: Sequence[Reader]) -> None:
        if readers:
            await store.give_back(
                self._db,
                self._batch,
                subscriber_ids=[reader.subscriber_id for reader in readers],
                not_before=self._clock.now(),
            )

    async def _release(self) -> None:
        """Hand the batch on: finished, or queued again for when there is something to do."""
        now = self._clock.now()
        if self._relay_failure:
            pause = self._courier.rest
            log.warning("relay_unreachable", reason=str(self._relay_failure), pause_s=pause.total_seconds())
            await store.requeue_batch(self._db, self._batch, not_before=now + pause)
        elif not await self._renew():
            await store.requeue_batch(self._db, self._batch, not_before=now)
        elif retry_at := await store.next_retry(self._db, self._batch):
            await store.requeue_batch(self._db, self._batch, not_before=retry_at)
        else:
            async with self._db.transaction() as db:
                await store.finish_batch(db, self._batch)
                finished = await store.finish_campaign(db, campaign_id=self._batch.campaign_id, now=now)
            if finished:
                log.info("campaign_sent", campaign_id=self._batch.campaign_id)
