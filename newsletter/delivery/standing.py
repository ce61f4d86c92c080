"""How relays, workers and the queue of single mails stand, for whoever looks after them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from newsletter.core.database import Database
from newsletter.core.errors import NotFound
from newsletter.delivery import store, throttle
from newsletter.delivery.probe import Announced, probe
from newsletter.delivery.relays import Relay
from newsletter.delivery.rules import RECOVER_EVERY, allowed_rate
from newsletter.delivery.store import FailedMails, Queue, WorkerRow

TEST_WITHIN = 10.0
"""Seconds that a relay may take to be tried."""
REASONS_SHOWN = 20


@dataclass(frozen=True)
class RelayStanding:
    """`rate`: mails a second at the moment; None: as many as it takes."""

    relay: Relay
    rate: float | None
    slowed_at: datetime | None
    """When it last asked us to go slower, where that still counts."""


class Relays:
    """Those of the settings. Reads, and changes nothing."""

    def __init__(self, db: Database, relays: Sequence[Relay], *, timeout: float) -> None:
        self._db = db
        self._relays = relays
        self._within = min(timeout, TEST_WITHIN)

    async def standings(self, *, now: datetime) -> list[RelayStanding]:
        """In the order that they are tried."""
        slowed = {each.name: each for each in await store.slowed(self._db, since=now - 10 * RECOVER_EVERY)}
        found = []
        for relay in self._relays:
            slow = slowed.get(throttle.relay(relay.name))
            rate = allowed_rate(relay.rate, slow.slow_rate, slow.slowed_at, now) if slow else relay.rate
            found.append(RelayStanding(relay, rate, slow.slowed_at if slow and rate != relay.rate else None))
        return found

    async def workers(self, *, now: datetime) -> list[WorkerRow]:
        """That were heard of lately."""
        return await store.workers(self._db, now=now)

    async def queue(self) -> Queue:
        """Single mails: confirmations, links, notices."""
        return await store.outbox_queue(self._db)

    async def failed(self) -> list[FailedMails]:
        """Single mails that were given up, by what the relay said; the latest first."""
        return await store.failed_mails(self._db, size=REASONS_SHOWN)

    async def test(self, name: str) -> Announced:
        """Connect, and send nothing. Raises `NotFound`, and `RelayUnreachable` with what to do."""
        for relay in self._relays:
            if relay.name == name:
                return await probe(relay, within=self._within)
        raise NotFound("There is no such relay in the settings.")
