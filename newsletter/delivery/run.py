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
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from newsletter.core.clock import Clock
from newsletter.core.database import Database
from newsletter.core.errors import DatabaseError, DatabaseUnavailable, NewsletterError, RelayUnreachable
from newsletter.core.logs import get_logger
from newsletter.delivery import store
from newsletter.delivery.lanes import Lane, Lanes
from newsletter.delivery.recording import Record
from newsletter.delivery.room import Room
from newsletter.delivery.routing import Aside, Routing
from newsletter.delivery.rules import FRESH_FOR, INTERRUPTED_ATTEMPTS, LEASE, DeliveryState, Outcome
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
MADE_TOGETHER = 6
"""Mails that are made in one go where nothing signs them: each takes a fifth less than by itself, and no session waits long."""
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
    wanted: set[UUID] | None = None
    """Who did, at that look; None: all of them, they have just been taken."""
    unmade: list[Parcel] = field(default_factory=list)
    """Last first."""
    refresh: asyncio.Lock = field(default_factory=asyncio.Lock)

    def wants(self, reader: Reader) -> bool:
        return self.wanted is None or reader.subscriber_id in self.wanted


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
        return self.run.ready(self)

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
        self._routing = Routing(clock, lanes, limits, batch, self._room, size=size)
        self._record = Record(db, clock, batch, self._room)
        self._watch = Watch(monotonic)
        self._stop = asyncio.Event()
        self._progress = asyncio.Event()
        self._all_recorded = asyncio.Event()
        self._hold_until = float("-inf")
        self._renew_at = float("-inf")
        self._relay_failure: RelayUnreachable | None = None
        self._in_hand: set[Parcel] = set()
        self._again = True
        """Whether retries may be due."""
        self._first: UUID | None = batch.id_from
        """Where the next fresh readers are looked for; None when there are no more."""

    def stop(self) -> None:
        """Finish what has begun, begin nothing more."""
        self._begin_nothing_more()
        self._progress.set()

    def _begin_nothing_more(self) -> None:
        """Without waking the recorder, which calls this for as long as anything is under way."""
        self._stop.set()
        self._hold_until = float("-inf")

    @property
    def holding(self) -> bool:
        """By the monotonic clock alone, and well before the lease ends: a worker that was stopped for a while sends nothing."""
        return self._monotonic() < self._hold_until

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
            self._room.give(len(self._in_hand) + len(self._record))
        await self._release()

    # Taking readers.

    async def _send_all(self) -> None:
        while self.holding and not self._relay_failure and (self._again or self._first):
            try:
                lane = await self._routing.lane()
            except RelayUnreachable as why:
                self._relay_failure = why
                return
            async with self._routing.turn(lane, self._wait_for_turn) as places:
                if not self.holding:
                    return
                chunk = Chunk(self._monotonic())
                readers = await self._take(places.size)
                places.taken = len(readers)
                places.going = await self._hand_out(lane, [Parcel(self, chunk, reader) for reader in readers])

    async def _take(self, size: int) -> list[Reader]:
        """Retries that are due first, then fresh readers; the intents are committed when this returns."""
        now = self._clock.now()
        if self._record.due_at and self._record.due_at <= now:
            self._again, self._record.due_at = True, None
        if self._again:
            readers = await store.take_again(self._db, self.batch, size=size, now=now)
            self._again = bool(readers)
            return readers
        assert self._first is not None
        readers = await store.take_fresh(self._db, self.batch, first=self._first, size=size, now=now)
        if not readers:  # None left, or paused: who took the one for the other would lose the rest when it is resumed.
            async with self._db.transaction() as db:
                await store.keep_moving(db)
                if await store.keep_sending(db, campaign_id=self.batch.campaign_id):
                    readers = await store.take_fresh(db, self.batch, first=self._first, size=size, now=now)
                else:
                    self.stop()
                    return []
        complete = len(readers) < size or readers[-1].subscriber_id == self.batch.id_to
        self._first = None if complete else UUID(int=readers[-1].subscriber_id.int + 1)
        return readers

    async def _wait_for_turn(self, moment: datetime) -> None:
        self.is_waiting = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, (moment - self._clock.now()).total_seconds())):
                await self._stop.wait()

    # Handing over.

    async def _hand_out(self, lane: Lane, parcels: Sequence[Parcel]) -> Counter[Lane]:
        """To the lane, or to that of their domain, but for those whose turn is later; returns how many went by which."""
        self._in_hand.update(parcels)
        try:
            ways = await self._routing.ways([parcel.reader for parcel in parcels], lane)
        except DatabaseUnavailable:
            for parcel in parcels:
                self.leave(parcel)
            raise
        going: list[Parcel] = []
        for parcel, way in zip(parcels, ways, strict=True):
            if isinstance(way, Aside):
                self._put_aside(parcel, way)
            else:
                parcel.lane = way
                going.append(parcel)
        await self._put(going)
        return Counter(parcel.lane for parcel in going)

    async def _put(self, going: Sequence[Parcel]) -> None:
        """Each in its lane, signed if they are to be."""
        if not going:
            return None
        if self._sign is None:
            going[0].chunk.unmade = list(reversed(going))
            return _in_their_lanes(going)
        for first in range(0, len(going), SIGNED_TOGETHER):
            some = [parcel for parcel in going[first : first + SIGNED_TOGETHER] if self.ready(parcel)]
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

    def _put_aside(self, parcel: Parcel, aside: Aside) -> None:
        outcome = Outcome(DeliveryState.DEFERRED, reply=aside.why, paced_until=aside.until, has_turn=aside.has_turn)
        self.settle(parcel, outcome)

    def ready(self, parcel: Parcel) -> bool:
        """Make the mail, if that was not done already; false when it is not to be sent (now)."""
        if not self.holding:
            self.leave(parcel)
            return False
        if parcel.is_made:
            return True
        now = self._clock.now()
        try:
            self._make(parcel, now)
        except Exception as error:
            # Whatever is wrong with one reader's mail must not hold up the others; it may be put right while it is retried.
            log.exception("mail_not_made", campaign_id=self.batch.campaign_id)
            self.settle(parcel, Outcome(DeliveryState.DEFERRED, reply=f"The mail could not be made ({type(error).__name__})."))
            return False
        self._make_ahead(parcel, now)
        return True

    def _make_ahead(self, parcel: Parcel, now: datetime) -> None:
        """The next few for the same relay. What cannot be made is said when its turn comes."""
        unmade = parcel.chunk.unmade
        with contextlib.suppress(Exception):
            for _ in range(min(MADE_TOGETHER, len(unmade))):
                following = unmade.pop()
                if following in self._in_hand and following.lane is parcel.lane:
                    self._make(following, now)

    def _make(self, parcel: Parcel, now: datetime) -> None:
        if not parcel.is_made:
            parcel.mail = self._letter.compose(parcel.reader, now)
            parcel.is_made = True

    def may_begin(self, parcel: Parcel) -> Awaitable[bool] | None:
        """Right before the body: do we still hold the batch, and was it looked at lately whether the reader wants it?"""
        chunk, now = parcel.chunk, self._monotonic()  # One look at the clock: this is asked twice for each mail.
        if now < self._hold_until and now - chunk.looked_at < FRESH_FOR and chunk.wants(parcel.reader):
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
        return still_fresh and self.holding and chunk.wants(parcel.reader)

    async def _look_again(self, chunk: Chunk) -> None:
        looked_at = self._monotonic()
        if not await self._renew():
            self.stop()
        undone = [parcel.reader.subscriber_id for parcel in self._in_hand if parcel.chunk is chunk]
        now = self._clock.now()
        wanted = await store.still_wanted(self._db, subscriber_ids=undone, list_id=self.batch.list_id, now=now)
        chunk.wanted, chunk.looked_at = set(wanted), looked_at

    def settle(self, parcel: Parcel, outcome: Outcome) -> None:
        """What became of it."""
        if outcome.state is DeliveryState.SKIPPED and parcel.chunk.wants(parcel.reader):
            return self.leave(parcel)  # No body was begun, and not because the reader does not want it.
        self._in_hand.remove(parcel)
        self._record.add(parcel.reader, outcome)
        if outcome.code is not None:
            self._watch.see(outcome, domain=parcel.reader.domain, relay=parcel.lane.name)
        if not self._in_hand or len(self._record) >= self._size or self._watch.is_alarmed:
            self._progress.set()
        return None

    def leave(self, parcel: Parcel) -> None:
        """Nobody has begun with it and nobody will: its intent is undone."""
        self._in_hand.remove(parcel)
        self._record.undo(parcel.reader)
        if not self._in_hand:
            self._progress.set()

    def bounced(self, parcel: Parcel, why: RelayUnreachable) -> None:
        """Its relay cannot be reached: another takes over where there is one."""
        try:
            way = self._routing.another(parcel.reader)
        except RelayUnreachable:
            self._relay_failure, way = why, None
        if not self.holding:
            way = None
        if way is None:
            self.leave(parcel)
        elif isinstance(way, Aside):
            self._put_aside(parcel, way)
        else:
            way.put([parcel])

    def _withdraw(self) -> None:
        """Take back what no session has begun with."""
        for lane in self._lanes.all:
            for parcel in lane.withdraw(list(self._in_hand)):
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
                log.warning("outcomes_in_hand", campaign_id=self.batch.campaign_id, reason=str(error))
                await asyncio.sleep(self._flush_every)
                self._progress.set()

    async def _flush(self) -> None:
        """Record what is known, hold on to the batch for as long as anything is under way, act on what was noticed."""
        await self._record.write()
        if await self._watch.act(self._db, self._limits, self.batch.campaign_id):
            self._renew_at = float("-inf")
        if (self._monotonic() >= self._renew_at or self._stop.is_set()) and not await self._renew():
            self._begin_nothing_more()
            self._withdraw()
        if not self._in_hand and not self._record:
            self._all_recorded.set()

    async def _everything_recorded(self) -> None:
        self._all_recorded.clear()
        self._progress.set()
        await self._all_recorded.wait()

    async def _renew(self) -> bool:
        """Prolong the lease, if only to finish what has begun; whether to begin anything more."""
        asked_at = self._monotonic()
        sending = await store.renew_lease(self._db, self.batch, lease_until=self._clock.now() + self._lease)
        self._renew_at = asked_at + RENEW_EVERY
        if not sending or self._stop.is_set():
            return False
        self._hold_until = asked_at + self._lease.total_seconds() / 2
        return True

    async def _release(self) -> None:
        """Hand the batch on: finished, or queued again for when there is something to do."""
        now = self._clock.now()
        if self._relay_failure:
            pause = self._routing.rest
            log.warning("relay_unreachable", reason=str(self._relay_failure), pause_s=pause.total_seconds())
            await store.requeue_batch(self._db, self.batch, not_before=now + pause)
        elif (
            self._first
            or self._again
            or self._record.left_any
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
