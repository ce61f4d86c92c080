"""One worker's work on one batch, chunk by chunk.

The order of things is the contract: the intent is committed, then the mail is handed over, then the outcome is recorded,
guarded by the batch's epoch. While one chunk is with the relay, the next one's intents are written and the outcomes of the one
before are recorded. See the package's docstring for what follows from it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from newsletter.core.clock import Clock
from newsletter.core.database import Database
from newsletter.core.errors import DatabaseError, DatabaseUnavailable, NewsletterError, RelayUnreachable
from newsletter.core.logs import get_logger
from newsletter.delivery import store, throttle
from newsletter.delivery.lanes import Lane, Lanes
from newsletter.delivery.room import Room
from newsletter.delivery.rules import (
    CHUNK_OF_RATE,
    FRESH_FOR,
    GIVE_UP_AFTER,
    INTERRUPTED_ATTEMPTS,
    LEASE,
    PACED_WITHIN,
    DeliveryState,
    Outcome,
    may_resend,
    retry_pause,
)
from newsletter.delivery.session import Mail
from newsletter.delivery.store import Batch, Reader
from newsletter.delivery.throttle import Throttle
from newsletter.delivery.watch import Watch

FLUSH_EVERY = 1.0
"""Seconds between two records of outcomes, so that progress can be seen on a slow relay."""
RENEW_EVERY = 1.0
"""Seconds between two looks whether the batch is still ours and to be sent."""
SIGNED_TOGETHER = 32
"""Mails that are made and signed in one go, so that few of them are in memory."""
LEFT_TO_OTHERS = timedelta(seconds=1)
"""How long at least something rests that this worker has no connection for: others may have one."""
TRIES = 2
"""Sessions that may end under a mail, before its body, until it is put off."""

log = get_logger(__name__)


class Letter(Protocol):
    """A campaign, ready to be made out to a reader."""

    def compose(self, reader: Reader, now: datetime) -> Mail: ...


Sign = Callable[[Sequence[Mail], datetime], Awaitable[None]]
"""Signs mails in their places. Raises `NewsletterError` when it cannot."""


@dataclass(eq=False)
class Chunk:
    """Readers that were looked at together."""

    looked_at: float
    """Monotonic time when the last look at who still wants it began."""
    wanted: set[UUID]
    refresh: asyncio.Lock = field(default_factory=asyncio.Lock)


class Parcel:
    """One reader's mail on its way."""

    __slots__ = ("chunk", "is_made", "lane", "mail", "reader", "run", "tries")
    lane: Lane
    mail: Mail

    def __init__(self, run: BatchRun, chunk: Chunk, reader: Reader) -> None:
        self.run = run
        self.chunk = chunk
        self.reader = reader
        self.tries = 0
        self.is_made = False

    def ready(self) -> bool:
        return self.run.compose(self)

    def may_begin(self) -> Awaitable[bool] | None:
        return self.run.may_begin(self)

    def settle(self, outcome: Outcome) -> None:
        self.run.settle(self, outcome)

    def lost(self, outcome: Outcome) -> None:
        self.tries += 1
        if not self.run.holding:
            self.run.leave(self)
        elif self.tries < TRIES:
            self.lane.put_back(self)
        else:
            self.run.settle(self, outcome)

    def bounced(self, why: RelayUnreachable) -> None:
        self.run.bounced(self, why)


@dataclass
class Places:
    """Room for a chunk."""

    asked: int
    taken: int = 0
    """Intents that were written."""
    going: Counter[Lane] = field(default_factory=Counter)
    """Of these, how many went by which relay; the others were put aside."""


class BatchRun:
    """From claim to release.

    `size` is how many readers a chunk has at most, `room` what the worker's runs share, `sign` what signs the mails if they are
    to be signed, `lease` what the batch was claimed for; `monotonic` gives the seconds of this process's own clock; outcomes
    are recorded every `flush_every` seconds, or sooner.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        lanes: Lanes,
        limits: Throttle,
        letter: Letter,
        batch: Batch,
        *,
        size: int,
        room: Room | None = None,
        sign: Sign | None = None,
        lease: timedelta = LEASE,
        monotonic: Callable[[], float] = time.monotonic,
        flush_every: float = FLUSH_EVERY,
    ) -> None:
        self.batch = batch
        self.is_waiting = False
        """For its turn at a limited rate: its worker may do something else meanwhile."""
        self._db = db
        self._clock = clock
        self._lanes = lanes
        self._limits = limits
        self._letter = letter
        self._size = size
        self._room = room or Room(2 * size)
        self._sign = sign
        self._lease = lease
        self._monotonic = monotonic
        self._flush_every = flush_every
        self._watch = Watch(monotonic)
        self._stop = asyncio.Event()
        self._progress = asyncio.Event()
        self._all_recorded = asyncio.Event()
        self._hold_until = float("-inf")
        self._relay_failure: RelayUnreachable | None = None
        self._in_hand: dict[UUID, Parcel] = {}
        self._known: list[tuple[Reader, Outcome]] = []
        self._left: list[Reader] = []
        self._left_any = False
        self._again = True
        """Whether retries may be due."""
        self._first: UUID | None = batch.id_from
        """Where the next fresh readers are looked for; None when there are no more."""
        self._due_at: datetime | None = None
        """When the first of those is due that this run put off."""
        self._renew_at = float("-inf")

    def stop(self) -> None:
        """Finish what has begun, begin nothing more."""
        self._stop.set()
        self._progress.set()

    @property
    def holding(self) -> bool:
        """By the monotonic clock alone, and well before the lease ends: a worker that was stopped for a while sends nothing."""
        return not self._stop.is_set() and self._monotonic() < self._hold_until

    async def run(self) -> None:
        """Work until the batch is finished, is put off, or is lost."""
        batch, now = self.batch, self._clock.now()
        resend = batch.uncertain_policy == "resend"
        await store.mark_interrupted(self._db, batch, resend=resend, attempts_at_most=INTERRUPTED_ATTEMPTS, now=now)
        await store.skip_unwanted(self._db, batch, now=now)
        try:
            async with self._recording():
                try:
                    if await self._renew():
                        await self._send_all()
                except DatabaseUnavailable as error:
                    log.warning("batch_interrupted", campaign_id=batch.campaign_id, reason=str(error))
                self.is_waiting = False
                await self._everything_recorded()
        finally:
            self.stop()
            self._withdraw()
            self._room.give(len(self._in_hand) + len(self._known) + len(self._left))
        await self._release()

    # Taking readers.

    async def _send_all(self) -> None:
        while self.holding and not self._relay_failure and (self._again or self._first):
            await self._limits.look()
            lane = self._lanes.choose(wanted=self.batch.list_relay)
            if lane is None:
                self._relay_failure = RelayUnreachable("No relay can be reached at the moment; it is tried again by itself.")
                return
            async with self._turn(lane) as places:
                if not self.holding:
                    return
                looked_at = self._monotonic()
                readers = await self._take(places.asked)
                places.taken = len(readers)
                chunk = Chunk(looked_at, {reader.subscriber_id for reader in readers})
                places.going = await self._hand_out(lane, [Parcel(self, chunk, reader) for reader in readers])

    async def _take(self, size: int) -> list[Reader]:
        """Retries that are due first, then fresh readers; the intents are committed when this returns."""
        now = self._clock.now()
        if self._due_at and self._due_at <= now:
            self._again, self._due_at = True, None
        if self._again:
            readers = await store.take_again(self._db, self.batch, size=size, now=now)
            self._again = bool(readers)
            return readers
        assert self._first is not None
        readers = await store.take_fresh(self._db, self.batch, first=self._first, size=size, now=now)
        if not readers:  # None left, or paused: who took the one for the other would lose the rest when it is resumed.
            async with self._db.transaction() as db:
                if await store.keep_sending(db, campaign_id=self.batch.campaign_id):
                    readers = await store.take_fresh(db, self.batch, first=self._first, size=size, now=now)
                else:
                    self.stop()
                    return []
        complete = len(readers) < size or readers[-1].subscriber_id == self.batch.id_to
        self._first = None if complete else UUID(int=readers[-1].subscriber_id.int + 1)
        return readers

    @asynccontextmanager
    async def _turn(self, lane: Lane) -> AsyncIterator[Places]:
        """Room in hand and at the limited rates; what was not used is free again."""
        by_relay, by_list = throttle.relay(lane.relay.name), throttle.mailing_list(self.batch.list_id)
        rates = {by_relay: self._limits.rate(by_relay), by_list: self._limits.rate(by_list, self.batch.list_rate)}
        limited = {name: rate for name, rate in rates.items() if rate}
        size = min([self._size, *(max(1, int(rate * CHUNK_OF_RATE)) for rate in limited.values())])
        places = Places(size)
        booked = [await self._limits.book(name, size, rate) for name, rate in limited.items()]
        if booked:
            self.is_waiting = True
            await self._pause_until(max(booked))
        await self._room.take(size)
        try:
            yield places
        finally:
            self._room.give(size - places.taken)
            for name, rate in limited.items():
                used = places.going[lane] if name == by_relay else places.going.total()
                if used < size:
                    await self._limits.book(name, used - size, rate)

    async def _pause_until(self, moment: datetime) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, (moment - self._clock.now()).total_seconds())):
                await self._stop.wait()

    # Handing over.

    async def _hand_out(self, lane: Lane, parcels: Sequence[Parcel]) -> Counter[Lane]:
        """To the lane, or to that of their domain, but for those whose turn is later; returns how many went by which."""
        self._in_hand |= {parcel.reader.subscriber_id: parcel for parcel in parcels}
        domains = {parcel.reader.domain for parcel in parcels}
        lanes = {
            domain: self._lanes.choose(wanted=None, domain=domain) if self._lanes.bound(domain) else lane for domain in domains
        }
        try:
            later = await self._later(parcels, lanes, lane)
        except DatabaseUnavailable:
            for parcel in parcels:
                self.leave(parcel)
            raise
        going: list[Parcel] = []
        for parcel in parcels:
            chosen = lanes[parcel.reader.domain]
            if chosen is None:
                self._put_aside_without_relay(parcel)
            elif moment := later.get(parcel.reader.subscriber_id):
                self._put_aside(parcel, throttle.in_bunches(moment), "Its domain takes no more for now.")
            else:
                parcel.lane = chosen
                going.append(parcel)
        await self._put(going)
        return Counter(parcel.lane for parcel in going)

    async def _put(self, going: Sequence[Parcel]) -> None:
        """Each in its lane, signed if they are to be."""
        if self._sign is None:
            return _in_their_lanes(going)
        for first in range(0, len(going), SIGNED_TOGETHER):
            some = [parcel for parcel in going[first : first + SIGNED_TOGETHER] if self.compose(parcel)]
            if await self._signed(some):
                _in_their_lanes(some)
        return None

    async def _signed(self, parcels: Sequence[Parcel]) -> bool:
        """False when they could not be; then they are tried again later."""
        assert self._sign is not None
        try:
            await self._sign([parcel.mail for parcel in parcels], self._clock.now())
        except NewsletterError as error:
            log.warning("mails_not_signed", campaign_id=self.batch.campaign_id, reason=str(error))
            for parcel in parcels:
                self.settle(parcel, Outcome(DeliveryState.DEFERRED, reply="The mail could not be signed."))
            return False
        return True

    async def _later(self, parcels: Sequence[Parcel], lanes: Mapping[str, Lane | None], booked: Lane) -> dict[UUID, datetime]:
        """Who has to wait, and until when: each with its place in the queue of its domain, and of its domain's relay.

        `booked` is where there is room for all of them.
        """
        now = self._clock.now()
        limits = {domain: self._limits_of(domain, lane, booked) for domain, lane in lanes.items() if lane is not None}
        asking: dict[tuple[str, float], list[UUID]] = {}
        for parcel in parcels:
            was_booked = parcel.reader.paced_until
            if was_booked is None or now - was_booked > PACED_WITHIN:
                for limit in limits.get(parcel.reader.domain, ()):
                    asking.setdefault(limit, []).append(parcel.reader.subscriber_id)
        moments: dict[UUID, datetime] = {}
        for (name, rate), those in asking.items():
            first = await self._limits.book(name, len(those), rate)
            for reader, moment in zip(those, throttle.starts(first, len(those), rate), strict=True):
                moments[reader] = max(moment, moments.get(reader, moment))
        at_once = now + timedelta(seconds=CHUNK_OF_RATE)
        return {reader: moment for reader, moment in moments.items() if moment > at_once}

    def _limits_of(self, domain: str, lane: Lane, booked: Lane) -> list[tuple[str, float]]:
        """Names and rates that a domain's mails have to keep to beside those that there is room for already."""
        names = [throttle.domain(domain)] + ([throttle.relay(lane.relay.name)] if lane is not booked else [])
        return [(name, rate) for name in names if (rate := self._limits.rate(name)) is not None]

    def _put_aside(self, parcel: Parcel, until: datetime, why: str) -> None:
        self.settle(parcel, Outcome(DeliveryState.DEFERRED, reply=why, paced_until=until))

    def _put_aside_without_relay(self, parcel: Parcel) -> None:
        rest = max(self._lanes.rest_for(domain=parcel.reader.domain), LEFT_TO_OTHERS)
        self._put_aside(parcel, self._clock.now() + rest, "The relay for its domain cannot be reached.")

    def compose(self, parcel: Parcel) -> bool:
        """Make the mail, if that was not done for signing it; false when it is not to be sent (now)."""
        if not self.holding:
            self.leave(parcel)
            return False
        if parcel.is_made:
            return True
        try:
            parcel.mail = self._letter.compose(parcel.reader, self._clock.now())
        except Exception as error:
            # Whatever is wrong with one reader's mail must not hold up the others; it may be put right while it is retried.
            log.exception("mail_not_made", campaign_id=self.batch.campaign_id)
            self.settle(parcel, Outcome(DeliveryState.DEFERRED, reply=f"The mail could not be made ({type(error).__name__})."))
            return False
        parcel.is_made = True
        return True

    def may_begin(self, parcel: Parcel) -> Awaitable[bool] | None:
        """Right before the body: do we still hold the batch, and was it looked at lately whether the reader wants it?"""
        chunk = parcel.chunk
        if self.holding and self._is_fresh(chunk) and parcel.reader.subscriber_id in chunk.wanted:
            return None
        return self._wanted(parcel)

    def _is_fresh(self, chunk: Chunk) -> bool:
        return self._monotonic() - chunk.looked_at < FRESH_FOR

    async def _wanted(self, parcel: Parcel) -> bool:
        chunk = parcel.chunk
        try:
            async with chunk.refresh:
                if not self._is_fresh(chunk):
                    await self._look_again(chunk)
                # A database that took long to answer spoke of what was so when it was asked.
                still_fresh = self._is_fresh(chunk)
        except DatabaseUnavailable:
            return False  # Nobody can say whether the reader still wants it.
        return still_fresh and self.holding and parcel.reader.subscriber_id in chunk.wanted

    async def _look_again(self, chunk: Chunk) -> None:
        looked_at = self._monotonic()
        if not await self._renew():
            self.stop()
        undone = [parcel.reader.subscriber_id for parcel in self._in_hand.values() if parcel.chunk is chunk]
        now = self._clock.now()
        wanted = await store.still_wanted(self._db, subscriber_ids=undone, list_id=self.batch.list_id, now=now)
        chunk.wanted, chunk.looked_at = set(wanted), looked_at

    def settle(self, parcel: Parcel, outcome: Outcome) -> None:
        """What became of it."""
        if outcome.state is DeliveryState.SKIPPED and parcel.reader.subscriber_id in parcel.chunk.wanted:
            return self.leave(parcel)  # No body was begun, and not because the reader does not want it.
        del self._in_hand[parcel.reader.subscriber_id]
        self._known.append((parcel.reader, outcome))
        self._watch.see(outcome, domain=parcel.reader.domain, relay=parcel.lane.relay.name if outcome.code else None)
        if len(self._known) >= self._size or not self._in_hand or self._watch.is_alarmed:
            self._progress.set()
        return None

    def leave(self, parcel: Parcel) -> None:
        """Nobody has begun with it and nobody will: its intent is undone."""
        del self._in_hand[parcel.reader.subscriber_id]
        self._left.append(parcel.reader)
        self._left_any = True
        if not self._in_hand:
            self._progress.set()

    def bounced(self, parcel: Parcel, why: RelayUnreachable) -> None:
        """Its relay cannot be reached: another takes over where there is one."""
        domain = parcel.reader.domain
        lane = self._lanes.choose(wanted=self.batch.list_relay, domain=domain) if self.holding else None
        if lane is not None and self._limits.rate(throttle.relay(lane.relay.name)) is None:
            lane.put([parcel])
        elif lane is not None:
            self.leave(parcel)  # For a turn of its own: there is no room for it.
        elif self.holding and self._lanes.bound(domain):
            self._put_aside_without_relay(parcel)
        else:
            self._relay_failure = why
            self.leave(parcel)

    def _withdraw(self) -> None:
        """Take back what no session has begun with."""
        for lane in self._lanes.all:
            for parcel in lane.withdraw(list(self._in_hand.values())):
                self.leave(parcel)

    # Recording.

    @asynccontextmanager
    async def _recording(self) -> AsyncIterator[None]:
        """Outcomes are recorded while the block runs; what goes wrong there ends the block too."""
        try:
            async with asyncio.TaskGroup() as group:
                recorder = group.create_task(self._keep_recording())
                yield
                recorder.cancel()
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from None

    async def _keep_recording(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._flush_every):
                    await self._progress.wait()
            self._progress.clear()
            try:
                await self._flush()
            except (DatabaseUnavailable, DatabaseError) as error:
                # What is forgotten here would be mailed twice, or not at all: it stays in hand.
                log.warning("outcomes_in_hand", campaign_id=self.batch.campaign_id, reason=str(error))
                await asyncio.sleep(self._flush_every)
                self._progress.set()

    async def _flush(self) -> None:
        """Record what is known, hold on to the batch for as long as anything is under way, act on what was noticed."""
        if self._known:
            known = self._known[:]
            await self._record_each(known)
            del self._known[: len(known)]
            self._room.give(len(known))
        if self._left:
            left = self._left[:]
            await store.give_back(
                self._db, self.batch, subscriber_ids=[reader.subscriber_id for reader in left], not_before=self._clock.now()
            )
            del self._left[: len(left)]
            self._room.give(len(left))
        if await self._watch.act(self._db, self._limits, self.batch.campaign_id):
            self._renew_at = float("-inf")
        if (self._monotonic() >= self._renew_at or self._stop.is_set()) and not await self._renew():
            self._stop.set()
            self._withdraw()
        if not (self._in_hand or self._known or self._left):
            self._all_recorded.set()

    async def _everything_recorded(self) -> None:
        self._all_recorded.clear()
        self._progress.set()
        await self._all_recorded.wait()

    async def _record_each(self, known: Sequence[tuple[Reader, Outcome]]) -> None:
        """Together; where PostgreSQL refuses that, one by one, so that one outcome that cannot be kept costs nobody theirs."""
        try:
            return await self._record(known)
        except DatabaseError as refused:
            log.error("outcomes_refused", campaign_id=self.batch.campaign_id, reason=str(refused))  # noqa: TRY400  ours
        for reader, outcome in known:
            try:
                await self._record([(reader, outcome)])
            except DatabaseError:
                await self._record([(reader, replace(outcome, code=None, status=None, reply=""))])
        return None

    async def _record(self, known: Sequence[tuple[Reader, Outcome]]) -> None:
        settled = [self._settled(reader, outcome) for reader, outcome in known]
        await store.record_outcomes(
            self._db,
            self.batch,
            subscriber_ids=[reader.subscriber_id for reader, _ in known],
            states=[outcome.state.value for outcome, _ in settled],
            retries=[retry_at for _, retry_at in settled],
            paced=[outcome.paced_until is not None for outcome, _ in settled],
            codes=[outcome.code for outcome, _ in settled],
            statuses=[outcome.status for outcome, _ in settled],
            replies=[outcome.reply for outcome, _ in settled],
        )
        due = [retry_at for _, retry_at in settled if retry_at]
        self._due_at = min([*due, self._due_at] if self._due_at else due, default=None)

    def _settled(self, reader: Reader, outcome: Outcome) -> tuple[Outcome, datetime | None]:
        """The outcome with the time of the next attempt, or as a failure when there was trying enough."""
        if outcome.state is DeliveryState.ACCEPTED:
            return outcome, None
        now, give_up_at = self._clock.now(), reader.first_at + GIVE_UP_AFTER
        if outcome.paced_until is not None:
            return outcome, outcome.paced_until
        retry_at = now + retry_pause(reader.attempts, outcome)
        if outcome.state is DeliveryState.DEFERRED:
            if now >= give_up_at:
                return replace(outcome, state=DeliveryState.FAILED), None
            return outcome, min(retry_at, give_up_at)
        if outcome.state is DeliveryState.UNCERTAIN and self.batch.uncertain_policy == "resend":
            return outcome, retry_at if may_resend(reader.doubts + 1) else None
        return outcome, None

    async def _renew(self) -> bool:
        """Prolong the lease, if only to finish what has begun; whether to begin anything more."""
        asked_at = self._monotonic()
        sending = await store.renew_lease(self._db, self.batch, lease_until=self._clock.now() + self._lease)
        self._renew_at = asked_at + RENEW_EVERY
        if sending:
            self._hold_until = asked_at + self._lease.total_seconds() / 2
        return sending and not self._stop.is_set()

    async def _release(self) -> None:
        """Hand the batch on: finished, or queued again for when there is something to do."""
        now = self._clock.now()
        if self._relay_failure:
            pause = max(self._lanes.rest_for(wanted=self.batch.list_relay), LEFT_TO_OTHERS)
            log.warning("relay_unreachable", reason=str(self._relay_failure), pause_s=pause.total_seconds())
            await store.requeue_batch(self._db, self.batch, not_before=now + pause)
        elif (
            self._first
            or self._again
            or self._left_any
            or not await store.renew_lease(self._db, self.batch, lease_until=now + self._lease)
        ):
            await store.requeue_batch(self._db, self.batch, not_before=now)
        elif retry_at := await store.next_retry(self._db, self.batch):
            await store.requeue_batch(self._db, self.batch, not_before=retry_at)
        else:
            async with self._db.transaction() as db:
                await store.finish_batch(db, self.batch)
                finished = await store.finish_campaign(db, campaign_id=self.batch.campaign_id, now=now)
            if finished:
                log.info("campaign_sent", campaign_id=self.batch.campaign_id)


def _in_their_lanes(parcels: Sequence[Parcel]) -> None:
    lanes: dict[Lane, list[Parcel]] = {}
    for parcel in parcels:
        lanes.setdefault(parcel.lane, []).append(parcel)
    for lane, those in lanes.items():
        lane.put(those)
