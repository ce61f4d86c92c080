"""The queue of single mails: confirmations and the like, always ahead of campaigns.

At least once under one Message-ID: a worker that dies between the relay's answer and its record sends the mail again. The
mail is made when it is sent, by the room that knows its words; that room says `None` when nobody wants it any more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from newsletter.core.clock import Clock
from newsletter.core.database import Connection, Database
from newsletter.core.errors import DatabaseUnavailable, RelayUnreachable
from newsletter.core.logs import get_logger
from newsletter.delivery import store
from newsletter.delivery.courier import Courier
from newsletter.delivery.dkim import SigningFailed
from newsletter.delivery.rules import FRESH_FOR, DeliveryState, Outcome, retry_pause
from newsletter.delivery.session import Mail
from newsletter.delivery.store import QueuedMail

Sign = Callable[[Sequence[Mail], datetime], Awaitable[None]]
"""Signs mails in their places. Raises `SigningFailed`."""

Composer = Callable[[Connection, QueuedMail, datetime], Awaitable[Mail | None]]
"""Makes the mail for a row, or says that it is not wanted any more."""

AT_A_TIME = 20
"""Mails that a worker has in hand at most."""
PATIENCE = 1.0
"""Seconds that the mails which were taken in hand together are waited for, before others are looked for beside them."""
SHORTEST_REST = timedelta(seconds=1)
"""Until a mail whose relay could not be reached is looked at again."""
LONGEST_DELIVERY = 90.0
"""Seconds that one mail may keep a connection; the lease is longer, so that no two workers have the same mail in hand."""
LEASE = timedelta(seconds=LONGEST_DELIVERY + 30)

log = get_logger(__name__)


class Outbox:
    """Sends what is due. One of these per worker. `monotonic` gives the seconds of this process's own clock."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        courier: Courier,
        compose: Composer,
        *,
        sign: Sign | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        patience: float = PATIENCE,
    ) -> None:
        self._db = db
        self._clock = clock
        self._courier = courier
        self._compose = compose
        self._sign = sign
        self._monotonic = monotonic
        self._patience = patience
        self._under_way: set[asyncio.Task[None]] = set()
        self._away: DatabaseUnavailable | None = None

    async def run_once(self) -> bool:
        """Send what is due now, a handful at most; true when there may be more.

        A mail that a relay takes long over stays in hand while this is called again: it holds up nobody else's confirmation.
        """
        now, size = self._clock.now(), AT_A_TIME - len(self._under_way)
        mails = await store.claim_mails(self._db, now=now, lease_until=now + LEASE, size=size)
        begun = [asyncio.create_task(self._take_care(mail)) for mail in mails]
        self._under_way.update(begun)
        for task in begun:
            task.add_done_callback(self._under_way.discard)
        if begun:
            await asyncio.wait(begun, timeout=self._patience)
        away, self._away = self._away, None
        if away is not None:
            raise away
        return len(mails) == size > 0 and not self._courier.rest

    async def finish(self) -> None:
        """Wait for what is in hand; cancelled, it is given up."""
        await asyncio.gather(*self._under_way, return_exceptions=True)  # Each has settled or logged its own by then.

    async def close(self) -> None:
        """Say goodbye to the relay; what is still in hand is given up."""
        for task in self._under_way:
            task.cancel()
        await self.finish()
        await self._courier.close()

    async def _take_care(self, queued: QueuedMail) -> None:
        try:
            await self._deliver(queued)
        except DatabaseUnavailable as error:
            self._away = error  # Whoever calls next is told.
        except Exception:  # It is tried again when its lease is over; one that goes wrong holds up no other.
            log.exception("mail_not_made", outbox_id=queued.outbox_id, kind=queued.kind)

    async def _deliver(self, queued: QueuedMail) -> None:
        looked_at = self._monotonic()
        mail = await self._compose(self._db, queued, self._clock.now())

        async def wanted() -> bool:
            if self._monotonic() - looked_at < FRESH_FOR:
                return True
            asked_at = self._monotonic()
            still = await self._compose(self._db, queued, self._clock.now()) is not None
            if self._monotonic() - asked_at >= FRESH_FOR:  # It spoke of what was so when it was asked.
                raise DatabaseUnavailable("PostgreSQL took too long to say whether a mail is still wanted.")
            return still

        try:
            if mail and self._sign:
                await self._sign([mail], self._clock.now())
            outcome = await self._hand_over(mail, wanted) if mail else Outcome(DeliveryState.SKIPPED)
        except SigningFailed as error:
            log.warning("mails_not_signed", outbox_id=queued.outbox_id, reason=str(error))
            await self._record(queued, Outcome(DeliveryState.DEFERRED, reply="The mail could not be signed."))
        except RelayUnreachable as error:
            log.warning("relay_unreachable", reason=str(error))
            await store.return_mail(self._db, queued, not_before=self._clock.now() + max(self._courier.rest, SHORTEST_REST))
        else:
            await self._record(queued, outcome)

    async def _hand_over(self, mail: Mail, wanted: Callable[[], Awaitable[bool]]) -> Outcome:
        try:
            async with asyncio.timeout(LONGEST_DELIVERY):
                return await self._courier.send(mail, wanted)
        except TimeoutError:
            return Outcome(DeliveryState.DEFERRED, reply="The relay took too long.")

    async def _record(self, queued: QueuedMail, outcome: Outcome) -> None:
        match outcome.state:
            case DeliveryState.ACCEPTED | DeliveryState.SKIPPED:
                await store.drop_mail(self._db, queued)
            case DeliveryState.FAILED:
                await store.fail_mail(self._db, queued, reply=outcome.reply)
                if queued.kind == "contact":  # Somebody waits for an answer, and whoever gives it does not know.
                    log.warning("contact_mail_refused", outbox_id=queued.outbox_id, code=outcome.code)
            case _:
                not_before = self._clock.now() + retry_pause(queued.attempts, outcome)
                await store.defer_mail(self._db, queued, not_before=not_before, reply=outcome.reply)
        log.info("mail_handed_over", outbox_id=queued.outbox_id, kind=queued.kind, outcome=outcome.state, code=outcome.code)
