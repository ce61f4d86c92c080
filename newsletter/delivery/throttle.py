"""How fast mail may go: per relay, list and recipient domain, shared by all workers.

A limit is a row that says when the next mail may go; booking mails moves it on (one update, whatever the number). What asks us
to go slower (421, 4.7.x) gets half of what it had, and twice that again for every minute without complaint. Only what has a
limit, or is slowed down, costs a statement.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from newsletter.core.clock import Clock
from newsletter.core.database import Database
from newsletter.core.logs import get_logger
from newsletter.delivery import store
from newsletter.delivery.relays import Relay
from newsletter.delivery.rules import PACED_STEP, RECOVER_EVERY, SLOW_AGAIN_AFTER, SLOWEST, TURNS_AHEAD, allowed_rate

LOOK_EVERY = 1.0
"""Seconds between two looks at what other workers have slowed down."""

DOMAIN = "domain:"
"""How names of receivers begin, among those of relays and lists."""

log = get_logger(__name__)


def relay(name: str) -> str:
    """What a relay is called here."""
    return f"relay:{name}"


def mailing_list(list_id: int) -> str:
    """What a list is called here."""
    return f"list:{list_id}"


def domain(name: str) -> str:
    """What a recipient domain is called here."""
    return f"{DOMAIN}{name}"


def limits_of(relays: Sequence[Relay], domain_rates: Mapping[str, float]) -> dict[str, float]:
    """Mails a second by name, of what has a limit in the settings."""
    limits = {relay(each.name): each.rate for each in relays if each.rate}
    return limits | {domain(name): rate for name, rate in domain_rates.items()}


class Throttle:
    """One per worker. `limits` holds mails a second by name, for what has a limit of its own."""

    def __init__(
        self, db: Database, clock: Clock, limits: Mapping[str, float], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._db = db
        self._clock = clock
        self._limits = limits
        self._monotonic = monotonic
        self._slowed: dict[str, store.Slowed] = {}
        self._looked_at = float("-inf")

    async def look(self) -> None:
        """Learn what is slowed down, if that was not done just now."""
        if self._monotonic() - self._looked_at >= LOOK_EVERY:
            self._looked_at = self._monotonic()
            found = await store.slowed(self._db, since=self._clock.now() - 10 * RECOVER_EVERY)
            self._slowed = {each.name: each for each in found}

    @property
    def knows_domains(self) -> bool:
        """Whether any recipient domain has a rate at the moment."""
        return any(name.startswith(DOMAIN) for name in (*self._limits, *self._slowed))

    def rate(self, name: str, limit: float | None = None) -> float | None:
        """Mails a second that it takes now; None: as many as there are. `limit`: a limit that only the caller knows."""
        full = limit or self._limits.get(name)
        slowed = self._slowed.get(name)
        return full if slowed is None else allowed_rate(full, slowed.slow_rate, slowed.slowed_at, self._clock.now())

    def slowed_at(self, name: str) -> datetime | None:
        """Since when it takes less than it might; None: it does not."""
        slowed = self._slowed.get(name)
        return slowed.slowed_at if slowed else None

    async def book(self, name: str, mails: int, rate: float) -> datetime:
        """Room for that many at that rate: when the first may go. The others follow 1 / rate apart."""
        return await store.book(self._db, name=name, mails=mails, rate=rate, now=self._clock.now())

    async def turns(self, name: str, mails: int, rate: float) -> list[datetime]:
        """When each of so many may go at that rate; fewer than asked for where it is slowed down and takes no more for long."""
        first = await self.book(name, mails, rate)
        if self.slowed_at(name) is None:
            return starts(first, mails, rate)
        ahead = self._clock.now() + TURNS_AHEAD - first
        near = min(mails, max(0, math.ceil(ahead.total_seconds() * rate)))
        if near < mails:
            await self.book(name, near - mails, rate)
        return starts(first, near, rate)

    async def slow_down(self, name: str, observed: float) -> None:
        """Half of what was allowed; where there was no limit, half of what was observed (mails a second)."""
        now = self._clock.now()
        slow_rate = max(SLOWEST, (self.rate(name) or max(observed, SLOWEST)) / 2)
        turns_are_void = name.startswith(DOMAIN)
        seen_before = now - SLOW_AGAIN_AFTER
        if await store.slow_down(
            self._db, name=name, slow_rate=slow_rate, empties_queue=turns_are_void, seen_before=seen_before, now=now
        ):
            log.warning("slowed_down", name=name, mails_per_second=round(slow_rate, 2))
        self._looked_at = float("-inf")
        await self.look()


def starts(first: datetime, mails: int, rate: float) -> list[datetime]:
    """When each of them may go."""
    return [first + timedelta(seconds=number / rate) for number in range(mails)]


def in_bunches(moment: datetime) -> datetime:
    """The next moment at which mails that were put aside become due together: a batch is not to be claimed for each."""
    step = PACED_STEP.total_seconds()
    return datetime.fromtimestamp(math.ceil(moment.timestamp() / step) * step, UTC)
