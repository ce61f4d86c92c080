"""Campaigns as they are watched, by any number of browsers.

For each campaign that is watched a process has one poller: it begins with the first watcher, asks the database at most once a
second, and ends with the last. A watcher is given what is newest when it asks, and never a queue of what was: whoever is slow
misses what nobody needs any more.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from newsletter.campaigns import reporting_store
from newsletter.campaigns.paces import NONE, Paces, paces_of
from newsletter.campaigns.reporting_store import Point, StandingNow
from newsletter.core.database import Database
from newsletter.core.errors import DatabaseError, NotFound
from newsletter.core.logs import get_logger

EVERY = 1.0
"""Seconds between two looks."""
RATE_OVER = timedelta(seconds=10)
"""The rate is that of the last so many seconds: chunks end by leaps."""
SHOWN = timedelta(seconds=60)
"""What the chart of the rate goes back to."""
MOST_MARKS = 100
_LIVE = ("scheduled", "sending", "paused")

log = get_logger(__name__)


@dataclass(frozen=True)
class Mark:
    """How many readers were done with at a moment."""

    at: datetime
    done: int


@dataclass(frozen=True)
class Progress:
    """Where a campaign stands, and how fast it goes."""

    campaign_id: int
    at: datetime
    state: str
    planned: int
    attempting: int
    accepted: int
    deferred: int
    failed: int
    uncertain: int
    skipped: int
    next_due: datetime | None
    marks: tuple[Mark, ...] = ()
    """Of the last minute, oldest first."""
    paces: Paces = NONE
    """Of its receivers, while it is sending."""

    @property
    def done(self) -> int:
        """Readers that nothing more is to be done about, or nothing can be. Who was put off waits still, tried or not."""
        return _done(self)

    @property
    def readers(self) -> int:
        """All there are: some may have come since it was started."""
        return max(self.planned, self.done + self.deferred)

    @property
    def is_live(self) -> bool:
        """Whether there is anything more to see."""
        return self.state in _LIVE

    @property
    def rate(self) -> float:
        """Readers a second, lately."""
        return rate_of(self.marks, self.at) if self.state == "sending" else 0.0

    @property
    def left(self) -> timedelta | None:
        """Until all are done, at that rate; None where it cannot be said."""
        rest, rate = self.readers - self.done, self.rate
        return timedelta(seconds=rest / rate) if self.state == "sending" and rest > 0 and rate > 0 else None


def rate_of(marks: Sequence[Mark], now: datetime) -> float:
    """From the last mark at least `RATE_OVER` ago, or else the first there is, to the newest. Never negative."""
    if len(marks) < 2:
        return 0.0
    since = next((mark for mark in reversed(marks) if now - mark.at >= RATE_OVER), marks[0])
    seconds = (marks[-1].at - since.at).total_seconds()
    return max(marks[-1].done - since.done, 0) / seconds if seconds > 0 else 0.0


def rates(marks: Sequence[Mark], *, width: timedelta) -> list[tuple[datetime, float]]:
    """The rate over time, in steps of at least `width`: shorter ones would show how chunks end."""
    found: list[tuple[datetime, float]] = []
    if not marks:
        return found
    since = marks[0]
    for mark in marks[1:]:
        seconds = (mark.at - since.at).total_seconds()
        if seconds >= width.total_seconds():
            found.append((mark.at, max(mark.done - since.done, 0) / seconds))
            since = mark
    return found


class Room:
    """The watchers of one campaign, and the poller that they share."""

    def __init__(self, marks: Sequence[Mark]) -> None:
        self.marks = deque(marks, maxlen=MOST_MARKS)
        self.watchers = 0
        self.latest: Progress | None = None
        self.looks = 0
        self.over = False
        self._news = asyncio.Event()

    def tell(self, progress: Progress) -> None:
        """All who wait."""
        self.latest, self.looks, self.over = progress, self.looks + 1, not progress.is_live
        self.wake()

    def wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def after(self, look: int) -> None:
        """Until there was another look than that."""
        if self.looks <= look and not self.over:
            await self._news.wait()


class Watch:
    """One watcher's view."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._seen = 0

    @property
    def is_over(self) -> bool:
        """Nothing will come any more, and what was newest was given: the campaign has ended, or is not there any more."""
        return self._room.over and self._room.looks == self._seen

    async def next(self, *, within: float) -> Progress | None:
        """What is newest, once: None when nothing new came in so many seconds, or when it `is_over`."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._room.after(self._seen), within)
        if self._room.looks == self._seen:
            return None
        self._seen = self._room.looks
        return self._room.latest


class Watching:
    """Of one process. `now` reads its clock, `every` is the pause between two looks, `limits` are those of the throttles."""

    def __init__(
        self, db: Database, now: Callable[[], datetime], *, limits: Mapping[str, float] | None = None, every: float = EVERY
    ) -> None:
        self._db = db
        self._now = now
        self._limits = limits or {}
        self._every = every
        self._rooms: dict[int, Room] = {}
        self._pollers: dict[int, asyncio.Task[None]] = {}

    @property
    def watched(self) -> dict[int, int]:
        """How many watch each campaign."""
        return {campaign_id: room.watchers for campaign_id, room in self._rooms.items()}

    async def look(self, campaign_id: int) -> Progress:
        """Once, as it is at this moment. Raises `NotFound`.

        Not what watchers were told last: that may be from before somebody paused or cancelled it.
        """
        room = self._rooms.get(campaign_id)
        marks = list(room.marks) if room is not None else []
        return await self._look(campaign_id, marks or await self._marks(campaign_id))

    @asynccontextmanager
    async def watch(self, campaign_id: int) -> AsyncIterator[Watch]:
        """For as long as the block lasts."""
        room = self._rooms.get(campaign_id)
        if room is None:
            room = self._rooms[campaign_id] = Room(())
            self._pollers[campaign_id] = asyncio.create_task(self._poll(campaign_id, room))
        room.watchers += 1
        try:
            yield Watch(room)
        finally:
            room.watchers -= 1
            if not room.watchers:
                del self._rooms[campaign_id]
                self._pollers.pop(campaign_id).cancel()

    async def _poll(self, campaign_id: int, room: Room) -> None:
        """Until the campaign has ended. What the database does not answer is asked again."""
        while not room.over:
            try:
                if not room.marks:
                    room.marks.extend(await self._marks(campaign_id))
                room.tell(await self._look(campaign_id, room.marks))
            except NotFound:
                room.over = True
                room.wake()
            except DatabaseError as error:
                log.warning("watch_interrupted", campaign_id=campaign_id, reason=str(error))
            except Exception:
                log.exception("watch_failed", campaign_id=campaign_id)
            await asyncio.sleep(self._every)

    async def _look(self, campaign_id: int, marks: Sequence[Mark]) -> Progress:
        found = await reporting_store.standing_now(self._db, campaign_id=campaign_id)
        if found is None:
            raise NotFound(f"There is no campaign {campaign_id}.")
        now = self._now()
        sending = found.state == "sending"
        paces = await paces_of(self._db, campaign_id, limits=self._limits, now=now) if sending else NONE
        return _progress(campaign_id, found, marks, paces, now)

    async def _marks(self, campaign_id: int) -> list[Mark]:
        """What the worker noted lately, so that whoever comes first sees a rate at once."""
        points = await reporting_store.progress(self._db, campaign_id=campaign_id, since=self._now() - SHOWN)
        return [Mark(point.taken_at, _done(point)) for point in points]


def _progress(campaign_id: int, found: StandingNow, marks: Sequence[Mark], paces: Paces, now: datetime) -> Progress:
    """With this look among the marks, which are kept for the next where they are a room's."""
    kept = marks if isinstance(marks, deque) else deque(marks, maxlen=MOST_MARKS)
    kept.append(Mark(now, _done(found)))
    while now - kept[0].at > SHOWN + RATE_OVER:
        kept.popleft()
    return Progress(
        campaign_id=campaign_id,
        at=now,
        state=found.state,
        planned=max(found.planned or 0, 0),
        attempting=found.attempting,
        accepted=found.accepted,
        deferred=found.deferred,
        failed=found.failed,
        uncertain=found.uncertain,
        skipped=found.skipped,
        next_due=found.next_due,
        marks=tuple(kept),
        paces=paces,
    )


def _done(found: Point | StandingNow | Progress) -> int:
    return found.accepted + found.failed + found.uncertain + found.skipped
