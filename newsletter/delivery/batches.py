"""A campaign's audience in batches: planned by id range, claimed under a lease, sent chunk by chunk.

The order of things within a chunk is the contract: the intent is committed, then the mail is handed over, then the outcome is
recorded, guarded by the batch's epoch. See the package's docstring for what follows from it.
"""

from __future__ import annotations

import asyncio
import functools
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from newsletter.core.clock import Clock
from newsletter.core.database import Connection, Database
from newsletter.core.errors import Conflict, RelayUnreachable
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
    retry_pause,
    unreachable_pause,
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
    return [(UUID(int=first), UUID(int=after - 1)) for first, after in zip(edges, edges[1:], strict=False)]


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


@dataclass
class Chunk:
    """Readers in hand, with what is known of each so far."""

    readers: list[Reader]
    looked_at: float
    """Monotonic time of the last look at who still wants it."""
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

    @property
    def fresh(self) -> bool:
        return time.monotonic() - self.looked_at < FRESH_FOR


class BatchRun:
    """One worker's work on one batch, from claim to release."""

    def __init__(self, db: Database, clock: Clock, courier: Courier, letter: Letter, batch: Batch, *, size: int) -> None:
        self._db = db
        self._clock = clock
        self._courier = courier
        self._letter = letter
        self._batch = batch
        self._size = size
        self._stop = asyncio.Event()
        self._hold_until = time.monotonic() + LEASE.total_seconds() / 2
        self._relay_failure: RelayUnreachable | None = None

    def stop(self) -> None:
        """Finish what has begun, begin nothing more."""
        self._stop.set()

    @property
    def _holding(self) -> bool:
        """By the monotonic clock alone, and well before the lease ends: a worker that was stopped for a while sends nothing."""
        return not self._stop.is_set() and time.monotonic() < self._hold_until

    async def run(self, failures: int = 0) -> bool:
        """Work until the batch is finished, is put off, or is lost. False when no relay could be reached.

        `failures`: how many runs before this one ended that way, for the length of the pause.
        """
        batch = self._batch
        await store.mark_interrupted(
            self._db,
            batch,
            resend=batch.uncertain_policy == "resend",
            attempts_at_most=UNCERTAIN_ATTEMPTS,
            now=self._clock.now(),
        )
        while await self._renew() and (readers := await self._take()):
            await self._send_chunk(Chunk(readers, time.monotonic(), {reader.subscriber_id for reader in readers}))
            if self._relay_failure:
                break
        await self._release(failures)
        return self._relay_failure is None

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
                _, pending = await asyncio.wait(pending, timeout=FLUSH_EVERY)
                await self._record(chunk)
                if pending and not await self._renew():
                    self.stop()
        finally:
            for sender in senders:
                sender.cancel()
            results = await asyncio.gather(*senders, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result
        await self._record(chunk)
        await self._give_back([reader for reader in chunk.readers if reader.subscriber_id not in chunk.done])

    async def _send_some(self, chunk: Chunk) -> None:
        while self._holding and not self._relay_failure and (reader := chunk.take()):
            mail = self._letter.compose(reader, self._clock.now())
            try:
                outcome = await self._courier.send(mail, functools.partial(self._wants, chunk, reader))
            except RelayUnreachable as failure:
                self._relay_failure = failure
                return
            if outcome.state is not DeliveryState.SKIPPED or self._holding:
                chunk.done[reader.subscriber_id] = outcome

    async def _wants(self, chunk: Chunk, reader: Reader) -> bool:
        """Right before the body: do we still hold the batch, and was it looked at lately whether the reader wants it?"""
        async with chunk.refresh:
            if not chunk.fresh:
                looked_at = time.monotonic()
                if not await self._renew():
                    self.stop()
                waiting = [reader.subscriber_id for reader in chunk.readers if reader.subscriber_id not in chunk.done]
                chunk.wanted = set(
                    await store.still_wanted(
                        self._db, subscriber_ids=waiting, list_id=self._batch.list_id, now=self._clock.now()
                    )
                )
                chunk.looked_at = looked_at
        return self._holding and reader.subscriber_id in chunk.wanted

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
        retry_at = self._clock.now() + retry_pause(reader.attempts, outcome)
        if outcome.state is DeliveryState.DEFERRED:
            if retry_at - reader.first_at > GIVE_UP_AFTER:
                return Outcome(DeliveryState.FAILED, outcome.code, outcome.status, outcome.reply), None
            return outcome, retry_at
        if outcome.state is DeliveryState.UNCERTAIN and self._batch.uncertain_policy == "resend":
            return outcome, retry_at if reader.attempts < UNCERTAIN_ATTEMPTS else None
        return outcome, None

    async def _renew(self) -> bool:
        """Prolong the lease; false when it is lost or the campaign no longer sends."""
        asked_at = time.monotonic()
        held = not self._stop.is_set() and await store.renew_lease(
            self._db, self._batch, lease_until=self._clock.now() + LEASE
        )
        if held:
            self._hold_until = asked_at + LEASE.total_seconds() / 2
        return held

    async def _give_back(self, readers: Sequence[Reader]) -> None:
        if readers:
            await store.give_back(
                self._db,
                self._batch,
                subscriber_ids=[reader.subscriber_id for reader in readers],
                not_before=self._clock.now(),
            )

    async def _release(self, failures: int) -> None:
        """Hand the batch on: finished, or queued again for when there is something to do."""
        now = self._clock.now()
        if self._relay_failure:
            pause = unreachable_pause(failures + 1)
            log.warning("relay_unreachable", reason=str(self._relay_failure), pause_s=pause.total_seconds())
            await store.requeue_batch(self._db, self._batch, not_before=now + pause)
        elif not await self._renew():
            await store.requeue_batch(self._db, self._batch, not_before=now)
        elif retry_at := await store.next_retry(self._db, self._batch):
            await store.requeue_batch(self._db, self._batch, not_before=retry_at)
        else:
            await store.finish_batch(self._db, self._batch)
            if await store.finish_campaign(self._db, campaign_id=self._batch.campaign_id, now=now):
                log.info("campaign_sent", campaign_id=self._batch.campaign_id)
