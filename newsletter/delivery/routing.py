"""Which way a run's mails go, and when: through which relay, within the rates of relays, list and recipient domains."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import NamedTuple
from uuid import UUID

from newsletter.core.clock import Clock
from newsletter.core.errors import RelayUnreachable
from newsletter.delivery import throttle
from newsletter.delivery.lanes import Lane, Lanes
from newsletter.delivery.room import Room
from newsletter.delivery.rules import CHUNK_OF_RATE, PACED_WITHIN, TURNS_AHEAD
from newsletter.delivery.store import Batch, Reader
from newsletter.delivery.throttle import Throttle

LEFT_TO_OTHERS = timedelta(seconds=1)
"""How long at least something rests that this worker has no connection for: others may have one."""


@dataclass
class Places:
    """Room for a chunk."""

    size: int
    taken: int = 0
    """Intents that were written."""
    going: Counter[Lane] = field(default_factory=Counter)
    """Of these, how many went by which relay; the others were put aside."""


class Aside(NamedTuple):
    """Not now: when, and why. `has_turn`: that moment is its own, it need not ask again."""

    until: datetime
    why: str
    has_turn: bool = False


class Routing:
    """Of one batch. `size`: readers that a chunk has at most."""

    def __init__(self, clock: Clock, lanes: Lanes, limits: Throttle, batch: Batch, room: Room, *, size: int) -> None:
        self._clock = clock
        self._lanes = lanes
        self._limits = limits
        self._batch = batch
        self._room = room
        self._size = size

    async def lane(self) -> Lane:
        """The one for the next chunk. Raises `RelayUnreachable` when there is none at the moment."""
        await self._limits.look()
        lane = self._lanes.choose(wanted=self._batch.list_relay)
        if lane is None:
            raise _nowhere()
        return lane

    @asynccontextmanager
    async def turn(self, lane: Lane, wait: Callable[[datetime], Awaitable[None]]) -> AsyncIterator[Places]:
        """Room in hand and at the limited rates; what was not used is free again. `wait` waits for a turn at those."""
        by_relay, by_list = throttle.relay(lane.name), throttle.mailing_list(self._batch.list_id)
        rates = {by_relay: self._limits.rate(by_relay), by_list: self._limits.rate(by_list, self._batch.list_rate)}
        limited = {name: rate for name, rate in rates.items() if rate}
        size = min([self._size, *(max(1, int(rate * CHUNK_OF_RATE)) for rate in limited.values())])
        places = Places(size)
        booked = [await self._limits.book(name, size, rate) for name, rate in limited.items()]
        if booked:
            await wait(max(booked))
        await self._room.take(size)
        try:
            yield places
        finally:
            self._room.give(size - places.taken)
            for name, rate in limited.items():
                used = places.going[lane] if name == by_relay else places.going.total()
                if used < size:
                    await self._limits.book(name, used - size, rate)

    async def ways(self, readers: Sequence[Reader], booked: Lane) -> list[Lane | Aside]:
        """For each of them. `booked` is the lane that there is room in for all of them."""
        if not self._limits.knows_domains and not self._lanes.any_bound:
            return [booked] * len(readers)
        domains = {reader.domain for reader in readers}
        lanes = {domain: self._lane_for(domain, booked) for domain in domains}
        later = await self._later(readers, lanes, booked)
        ways: list[Lane | Aside] = []
        for reader in readers:
            lane = lanes[reader.domain]
            if lane is None:
                ways.append(self._without_relay(reader.domain))
            else:
                ways.append(later.get(reader.subscriber_id, lane))
        return ways

    def _lane_for(self, domain: str, booked: Lane) -> Lane | None:
        return self._lanes.choose(wanted=None, domain=domain) if self._lanes.bound(domain) else booked

    def another(self, reader: Reader) -> Lane | Aside | None:
        """After its relay could not be reached: where it can go at once; None when it is to wait for a turn of its own.

        Raises `RelayUnreachable` when there is no other relay.
        """
        lane = self._lanes.choose(wanted=self._batch.list_relay, domain=reader.domain)
        if lane is not None:
            return lane if self._limits.rate(throttle.relay(lane.name)) is None else None
        if self._lanes.bound(reader.domain):
            return self._without_relay(reader.domain)
        raise _nowhere()

    @property
    def rest(self) -> timedelta:
        """How long the batch is left alone when no relay can be reached."""
        return max(self._lanes.rest_for(wanted=self._batch.list_relay), LEFT_TO_OTHERS)

    def _without_relay(self, domain: str) -> Aside:
        rest = max(self._lanes.rest_for(domain=domain), LEFT_TO_OTHERS)
        return Aside(self._clock.now() + rest, "The relay for its domain cannot be reached.")

    async def _later(self, readers: Sequence[Reader], lanes: Mapping[str, Lane | None], booked: Lane) -> dict[UUID, Aside]:
        """Who has to wait: each with its turn in the queue of its domain, and of its domain's relay, or for one to be given."""
        now = self._clock.now()
        limits = {domain: self._limits_of(domain, lane, booked) for domain, lane in lanes.items() if lane is not None}
        asking: dict[tuple[str, float], list[UUID]] = {}
        for reader in readers:
            those = limits.get(reader.domain, [])
            if not self._keeps_turn(reader, [name for name, _ in those], now):
                for limit in those:
                    asking.setdefault(limit, []).append(reader.subscriber_id)
        turns: dict[UUID, datetime | None] = {}
        for (name, rate), whose in asking.items():
            given = await self._limits.turns(name, len(whose), rate)
            for who, turn in zip_longest(whose, given):
                before = turns.get(who, turn)
                turns[who] = max(before, turn) if before and turn else None
        at_once = now + timedelta(seconds=CHUNK_OF_RATE)
        return {who: _aside(turn, now) for who, turn in turns.items() if turn is None or turn > at_once}

    def _keeps_turn(self, reader: Reader, names: Sequence[str], now: datetime) -> bool:
        """Whether it was given one that is now. One given at a rate that was halved since is void."""
        if reader.turn_at is None or now - reader.turn_at > PACED_WITHIN:
            return False
        given_at = reader.put_off_at or now
        return all(given_at >= (self._limits.slowed_at(name) or given_at) for name in names)

    def _limits_of(self, domain: str, lane: Lane, booked: Lane) -> list[tuple[str, float]]:
        """Names and rates that a domain's mails have to keep to beside those that there is room for already."""
        names = [throttle.domain(domain)] + ([throttle.relay(lane.name)] if lane is not booked else [])
        return [(name, rate) for name in names if (rate := self._limits.rate(name)) is not None]


def _aside(turn: datetime | None, now: datetime) -> Aside:
    why = "Its domain takes no more for now."
    return Aside(throttle.in_bunches(turn or now + TURNS_AHEAD), why, has_turn=turn is not None)


def _nowhere() -> RelayUnreachable:
    return RelayUnreachable("No relay can be reached at the moment; it is tried again by itself.")
