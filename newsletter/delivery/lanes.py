"""A worker's connections for campaigns: one lane for each relay, a queue of parcels with sessions that empty it.

Sessions pull: whichever is free takes the next parcel, so that a slow connection holds up nobody else. They are opened when
there is something to do, kept for a while, and replaced without fuss where the relay ends one.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Protocol, TypeVar

from newsletter.core.errors import RelayUnreachable
from newsletter.core.logs import get_logger
from newsletter.delivery.circuit import Circuit
from newsletter.delivery.relays import Relay, eligible
from newsletter.delivery.session import Parcel, Session

IDLE_FOR = 10.0
"""Seconds that a session without work is kept."""
DROPPED = 3
"""New sessions in a row that a relay ended without answering an envelope, after which it counts as one that cannot be reached.
More than one mail is given, so that a mail which a relay chokes on holds up nobody else."""
ENOUGH_FOR = 60.0
"""Seconds until a relay that refused another connection is asked for one again."""

log = get_logger(__name__)


class Freight(Parcel, Protocol):
    """A parcel as a lane sees it."""

    lane: Lane

    def ready(self) -> bool:
        """Make the mail, right before it is offered; false when there is nothing to send (any more)."""

    def bounced(self, why: RelayUnreachable) -> None:
        """The relay cannot be reached. The mail was not touched."""


F = TypeVar("F", bound=Freight)


class Lane:
    """One relay."""

    def __init__(self, relay: Relay, *, connections: int, timeout: float, monotonic: Callable[[], float]) -> None:
        self.relay = relay
        self.name = relay.name
        self.circuit = Circuit(monotonic)
        self.connections = connections
        """How many sessions there may be; may change at any time."""
        self._timeout = timeout
        self._monotonic = monotonic
        self._waiting: deque[Freight] = deque()
        self._arrived = asyncio.Event()
        self._runners: set[asyncio.Task[None]] = set()
        self._open = 0
        self._idle = 0
        """Runners without work."""
        self._enough = (0, monotonic())
        """How many sessions the relay held when it refused one more, and until when that is believed."""
        self._dropped = 0
        """New sessions in a row that ended without an answer."""
        self._closed = False

    def put(self, parcels: Iterable[Freight]) -> None:
        """Queue them."""
        for parcel in parcels:
            parcel.lane = self
            self._waiting.append(parcel)
        self._go()

    def put_back(self, parcel: Freight) -> None:
        """A session ended under it: it goes first."""
        self._waiting.appendleft(parcel)
        self._go()

    def withdraw(self, parcels: Iterable[F]) -> list[F]:
        """Forget, of these, those that no session has taken yet; returns them."""
        waiting = set(map(id, self._waiting))
        withdrawn = [parcel for parcel in parcels if id(parcel) in waiting]
        unwanted = set(map(id, withdrawn))
        self._waiting = deque(parcel for parcel in self._waiting if id(parcel) not in unwanted)
        return withdrawn

    def next(self) -> Freight | None:
        """For the sessions; those that there is no room for any more get nothing."""
        if self._open > self._room:  # Not those that still try: a relay that refuses them keeps the others.
            return None
        while self._waiting:
            parcel = self._waiting.popleft()
            if parcel.ready():
                return parcel
        self._arrived.clear()
        return None

    def allow(self, connections: int) -> None:
        """So many sessions from now on. With none at all what waits is for others, of this worker or another."""
        self.connections = connections
        if connections:
            return self._go()
        waiting, self._waiting = self._waiting, deque()
        self._arrived.clear()
        for parcel in waiting:
            parcel.bounced(RelayUnreachable(f"Other workers have all the connections that relay {self.relay} allows."))
        return None

    async def close(self) -> None:
        """Say goodbye; what is still under way is given up."""
        self._closed = True
        runners = list(self._runners)
        for runner in runners:
            runner.cancel()
        await asyncio.gather(*runners, return_exceptions=True)  # They end as cancelled, which is what was asked for.

    @property
    def _room(self) -> int:
        enough, until = self._enough
        return min(self.connections, enough) if self._monotonic() < until else self.connections

    def _go(self) -> None:
        """As many sessions as there is work and room for."""
        if self._waiting and not self._closed:
            self._arrived.set()
            for _ in range(min(len(self._waiting) - self._idle, self._room - len(self._runners))):
                runner = asyncio.create_task(self._run())
                self._runners.add(runner)
                runner.add_done_callback(self._ended)

    def _ended(self, runner: asyncio.Task[None]) -> None:
        self._runners.discard(runner)
        self._go()

    async def _run(self) -> None:
        """One session after another, for as long as there is work."""
        while len(self._runners) <= self._room and await self._has_work():
            try:
                session = await self._opened()
            except RelayUnreachable as why:
                if self._open:  # It lives, and has enough of us.
                    self._enough = (self._open, self._monotonic() + ENOUGH_FOR)
                    log.info("relay_has_enough_connections", relay=self.name, connections=self._open)
                    return
                self._bounce(why)
                continue
            self._open += 1
            try:
                await self._use(session)
            finally:
                self._open -= 1
                await session.quit()

    async def _use(self, session: Session) -> None:
        """Until the session ends, there is no more work, or no more room."""
        while session.usable and self._open <= self._room and await self._has_work() and session.usable:
            try:
                await session.deliver(self)
            except RelayUnreachable as why:
                return self._bounce(why)
            except Exception:  # On record. The session is of no more use, and its mails are settled or lost by then.
                log.exception("session_failed", relay=self.name)
            if session.has_answered:
                self._dropped = 0
                self.circuit.worked()
            elif not session.usable:
                self._dropped += 1
                if self._dropped >= DROPPED:
                    return self._bounce(RelayUnreachable(f"Relay {self.relay} ends each session before it takes a mail."))
        return None

    async def _has_work(self) -> bool:
        if not self._arrived.is_set():
            self._idle += 1
            try:
                async with asyncio.timeout(IDLE_FOR):
                    await self._arrived.wait()
            except TimeoutError:
                return False
            finally:
                self._idle -= 1
        return True

    async def _opened(self) -> Session:
        if self.circuit.rest:
            raise RelayUnreachable(f"Relay {self.relay} could not be reached lately; it is tried again by itself.")
        return await Session.open(self.relay, timeout=self._timeout)

    def _bounce(self, why: RelayUnreachable) -> None:
        self.circuit.failed()
        bounced, self._waiting = self._waiting, deque()
        self._arrived.clear()
        for parcel in bounced:
            parcel.bounced(why)


class Lanes:
    """All relays of a worker. `connections`: sessions that one worker opens to a relay, where the relay allows that many."""

    def __init__(
        self,
        relays: Sequence[Relay],
        *,
        connections: int,
        timeout: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lanes = {
            relay: Lane(
                relay, connections=min(connections, relay.connections or connections), timeout=timeout, monotonic=monotonic
            )
            for relay in relays
        }
        self._connections = connections
        self._credit = dict.fromkeys(relays, 0)

    @property
    def all(self) -> list[Lane]:
        return list(self.lanes.values())

    @property
    def rest(self) -> timedelta:
        """How long every relay is still left alone, because none could be reached; zero when one may be tried."""
        return min(lane.circuit.rest for lane in self.lanes.values())

    def choose(self, *, wanted: str | None, domain: str = "") -> Lane | None:
        """By weight, among those that may take it and can be reached; None when there is none at the moment."""
        relays = [relay for relay in eligible(list(self.lanes), wanted=wanted, domain=domain) if self._is_up(relay)]
        if not relays:
            return None
        for relay in relays:  # Smooth weighted round robin: each gains its weight, the chosen one pays for all.
            self._credit[relay] += max(relay.weight, 1)
        chosen = max(relays, key=self._credit.__getitem__)
        self._credit[chosen] -= sum(max(relay.weight, 1) for relay in relays)
        return self.lanes[chosen]

    @property
    def any_bound(self) -> bool:
        """Whether any relay is there for some recipient domains."""
        return any(relay.domains for relay in self.lanes)

    def bound(self, domain: str) -> bool:
        """Whether some relay is there for that recipient domain."""
        return any(domain in relay.domains for relay in self.lanes)

    def rest_for(self, *, wanted: str | None = None, domain: str = "") -> timedelta:
        """How long none of those that may take it will be tried."""
        relays = eligible(list(self.lanes), wanted=wanted, domain=domain)
        return min((self.lanes[relay].circuit.rest for relay in relays), default=timedelta(minutes=5))

    def share(self, *, workers: int, before: int) -> None:
        """Divide what each relay allows among the workers that there are; `before` of them come first."""
        for relay, lane in self.lanes.items():
            if relay.connections is not None:
                part, rest = divmod(relay.connections, workers)
                lane.allow(min(self._connections, part + (before < rest)))

    async def close(self) -> None:
        await asyncio.gather(*(lane.close() for lane in self.lanes.values()))

    def _is_up(self, relay: Relay) -> bool:
        lane = self.lanes[relay]
        return not lane.circuit.rest and lane.connections > 0
