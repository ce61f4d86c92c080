"""What became of a run's mails, from when it is known until it stands in the database.

What is forgotten in between would be mailed twice, or not at all: nothing leaves these hands before PostgreSQL has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from newsletter.core.clock import Clock
from newsletter.core.database import Database
from newsletter.core.errors import DatabaseError
from newsletter.core.logs import get_logger
from newsletter.delivery import store
from newsletter.delivery.room import Room
from newsletter.delivery.rules import GIVE_UP_AFTER, DeliveryState, Outcome, may_resend, retry_pause
from newsletter.delivery.store import Batch, Reader

log = get_logger(__name__)


class Record:
    """Of one batch. Gives the room free again that what it has written took."""

    def __init__(self, db: Database, clock: Clock, batch: Batch, room: Room) -> None:
        self.due_at: datetime | None = None
        """When the first of those is due whom this run put off."""
        self.left_any = False
        """Whether any intent was undone."""
        self._db = db
        self._clock = clock
        self._batch = batch
        self._room = room
        self._known: list[tuple[Reader, Outcome]] = []
        self._left: list[UUID] = []

    def __len__(self) -> int:
        """How many readers are not written yet."""
        return len(self._known) + len(self._left)

    def add(self, reader: Reader, outcome: Outcome) -> None:
        """An attempt came to this."""
        self._known.append((reader, outcome))

    def undo(self, reader: Reader) -> None:
        """Nobody has begun with this reader's mail and nobody will: the intent goes."""
        self._left.append(reader.subscriber_id)
        self.left_any = True

    async def write(self) -> None:
        """All of it. What PostgreSQL did not take is kept, and the error raised."""
        if self._known:
            known = self._known[:]
            await self._write_each(known)
            del self._known[: len(known)]
            self._room.give(len(known))
        if self._left:
            left = self._left[:]
            await store.give_back(self._db, self._batch, subscriber_ids=left, not_before=self._clock.now())
            del self._left[: len(left)]
            self._room.give(len(left))

    async def _write_each(self, known: Sequence[tuple[Reader, Outcome]]) -> None:
        """Together; where PostgreSQL refuses that, one by one, so that one outcome that cannot be kept costs nobody theirs."""
        try:
            return await self._write(known)
        except DatabaseError as refused:
            log.error("outcomes_refused", campaign_id=self._batch.campaign_id, reason=str(refused))  # noqa: TRY400  ours
        for reader, outcome in known:
            try:
                await self._write([(reader, outcome)])
            except DatabaseError:
                await self._write([(reader, replace(outcome, code=None, status=None, reply=""))])
        return None

    async def _write(self, known: Sequence[tuple[Reader, Outcome]]) -> None:
        """Readers with the number of their outcome, since most have the same one."""
        now = self._clock.now()
        numbers: dict[int, int] = {}
        each: list[int] = []
        settled: list[tuple[Outcome, datetime | None]] = []
        for reader, outcome in known:
            number = numbers.get(id(outcome))
            if number is None:
                settled.append(self._settled(reader, outcome, now))
                number = len(settled)
                if outcome.state is DeliveryState.ACCEPTED:  # The others may depend on their reader.
                    numbers[id(outcome)] = number
            each.append(number)
        outcomes = store.Outcomes(
            states=[outcome.state.value for outcome, _ in settled],
            retries=[retry_at for _, retry_at in settled],
            paced=[outcome.paced_until is not None for outcome, _ in settled],
            turns=[outcome.has_turn for outcome, _ in settled],
            codes=[outcome.code for outcome, _ in settled],
            statuses=[outcome.status for outcome, _ in settled],
            replies=[outcome.reply for outcome, _ in settled],
        )
        readers = [reader.subscriber_id for reader, _ in known]
        await store.record_outcomes(self._db, self._batch, outcomes, subscriber_ids=readers, numbers=each)
        due = [retry_at for _, retry_at in settled if retry_at]
        self.due_at = min([*due, self.due_at] if self.due_at else due, default=None)

    def _settled(self, reader: Reader, outcome: Outcome, now: datetime) -> tuple[Outcome, datetime | None]:
        """The outcome with the time of the next attempt, or as a failure when there was trying enough."""
        if outcome.state is DeliveryState.ACCEPTED:
            return outcome, None
        if outcome.paced_until is not None:
            return outcome, outcome.paced_until
        give_up_at, retry_at = reader.first_at + GIVE_UP_AFTER, now + retry_pause(reader.attempts, outcome)
        if outcome.state is DeliveryState.DEFERRED:
            if now >= give_up_at:
                return replace(outcome, state=DeliveryState.FAILED), None
            return outcome, min(retry_at, give_up_at)
        if outcome.state is DeliveryState.UNCERTAIN and self._batch.uncertain_policy == "resend":
            return outcome, retry_at if may_resend(reader.doubts + 1) else None
        return outcome, None
