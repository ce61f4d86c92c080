"""Single mails on their way: a few sessions, opened when needed, with whichever relay answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from newsletter.core.errors import RelayUnreachable
from newsletter.delivery.circuit import Circuit
from newsletter.delivery.relays import Relay, eligible
from newsletter.delivery.rules import Outcome
from newsletter.delivery.session import Gate, Mail, Session


class Courier:
    """Keeps up to `connections` sessions, opens them when needed, and changes to the next relay when one cannot be reached."""

    def __init__(
        self,
        relays: Sequence[Relay],
        *,
        connections: int,
        timeout: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._relays = relays
        self._timeout = timeout
        self._circuits = {relay: Circuit(monotonic) for relay in relays}
        self._room = asyncio.Semaphore(connections)
        self._idle: list[Session] = []

    @property
    def rest(self) -> timedelta:
        """How long every relay for all is still left alone, because none could be reached; zero when one may be tried."""
        return min(self._circuits[relay].rest for relay in eligible(self._relays, wanted=None, domain=""))

    async def send(self, mail: Mail, gate: Gate | None = None) -> Outcome:
        """Hand one mail to whichever relay may take it and answers. Raises `RelayUnreachable` when none does: the mail was not
        touched."""
        relays = eligible(self._relays, wanted=mail.relay, domain=mail.recipient.rpartition("@")[2].lower())
        async with self._room:
            if session := self._kept(relays):
                outcome = await self._hand_over(session, mail, gate)
                if not session.ended_early:
                    return outcome
            # Relays end sessions after a time or a number of mails: that is not this mail's doing.
            session = await self._opened(relays)
            outcome = await self._hand_over(session, mail, gate)
            if session.has_answered or not session.ended_early or all(self._circuits[relay].rest for relay in relays):
                return outcome
            return await self._hand_over(await self._opened(relays), mail, gate)

    async def close(self) -> None:
        idle, self._idle = self._idle, []
        await asyncio.gather(*(session.quit() for session in idle))

    async def _hand_over(self, session: Session, mail: Mail, gate: Gate | None) -> Outcome:
        try:
            outcome = await session.send(mail, gate)
        except RelayUnreachable:
            self._circuits[session.relay].failed()
            raise
        if session.has_answered:
            self._circuits[session.relay].worked()
        elif session.ended_early:
            self._circuits[session.relay].failed()
        if session.usable:
            self._idle.append(session)
        return outcome

    def _kept(self, relays: Sequence[Relay]) -> Session | None:
        """A session of before with one of these that is still there, as far as one can know."""
        self._idle = [session for session in self._idle if session.usable]
        for session in reversed(self._idle):
            if session.relay in relays:
                self._idle.remove(session)
                return session
        return None

    async def _opened(self, relays: Sequence[Relay]) -> Session:
        failure: RelayUnreachable | None = None
        for relay in relays:
            circuit = self._circuits[relay]
            if not circuit.rest:
                try:
                    session = await Session.open(relay, timeout=self._timeout)
                except RelayUnreachable as error:
                    failure = error
                    circuit.failed()
                else:
                    return session
        raise failure or RelayUnreachable("No relay can be reached at the moment; it is tried again by itself.")
