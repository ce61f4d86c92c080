"""A campaign under way, with as little around it as possible: readers, batches, workers on a clock that the test moves."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from newsletter.consent.service import Ledger
from newsletter.core.database import Connection, Database
from newsletter.delivery import store
from newsletter.delivery.batches import claim, plan_campaign
from newsletter.delivery.courier import Courier
from newsletter.delivery.lanes import Lanes
from newsletter.delivery.relays import Relay
from newsletter.delivery.room import Room
from newsletter.delivery.rules import LEASE
from newsletter.delivery.run import BatchRun, Letter
from newsletter.delivery.session import Mail
from newsletter.delivery.store import Batch, Reader
from newsletter.delivery.throttle import Throttle
from newsletter.subscribing import erasure
from tests.conftest import START, ManualClock
from tests.relay import ScriptedRelay

DOMAIN = "letters.example"
LEDGER = Ledger(origin_for=timedelta(days=180))


@dataclass(frozen=True)
class PlainLetter:
    """The smallest letter there can be: one Message-ID for each reader."""

    def compose(self, reader: Reader, now: datetime) -> Mail:
        lines = (
            f"To: {reader.address}",
            f"Date: {now.isoformat()}",
            f"Message-ID: {message_id(reader.address)}",
            "",
            "Hello",
            "",
        )
        return Mail(f"letter@{DOMAIN}", reader.address, "\r\n".join(lines).encode())


def message_id(address: str) -> str:
    """Of a reader's mail."""
    return f"<{subscriber_id(address).hex}@{DOMAIN}>"


def subscriber_id(address: str) -> UUID:
    """Any id will do that is always the same and spreads evenly."""
    return UUID(bytes=hashlib.sha256(address.encode()).digest()[:16])


@dataclass(frozen=True)
class Row:
    """What is kept of one delivery."""

    state: str
    attempts: int
    was_uncertain: bool
    retry_at: datetime | None
    reply_code: int | None
    reply_status: str | None
    reply: str | None


@dataclass
class Sending:
    """One list and one campaign at a time."""

    db: Database
    clock: ManualClock
    relay: ScriptedRelay
    list_id: int = 0
    campaign_id: int = 0
    opened: list[Lanes | Courier] = field(default_factory=list)

    def monotonic(self) -> float:
        """A process's own clock, which goes with the other."""
        return (self.clock.now() - START).total_seconds()

    # Who and what.

    async def prepare(self) -> None:
        """A list that nobody reads yet."""
        self.list_id = await self.db.fetchval(
            """with s as (insert into sender (name, from_address, postal_address, contact, created_at)
                          values ('Society', 'letter@letters.example', 'Harbour Street 4', 'privacy@letters.example', $1)
                          returning sender_id)
               insert into list (slug, sender_id, languages, time_zone, list_id_header, created_at)
               select 'letter', sender_id, '{en}', 'UTC', 'letter.letters.example', $1 from s returning list_id""",
            self.clock.now(),
        )

    async def readers(self, *addresses: str) -> None:
        """Confirmed ones."""
        await self.db.execute(
            """with people as (select * from unnest($1::uuid[], $2::text[]) as p(id, address)),
                    added as (insert into subscriber (subscriber_id, address, domain, language, created_at)
                              select id, address, split_part(address, '@', 2), 'en', $3 from people)
               insert into subscription (subscriber_id, list_id, state, language, requested_at, confirmed_at)
               select id, $4, 'confirmed', 'en', $3, $3 from people""",
            [subscriber_id(address) for address in addresses],
            addresses,
            self.clock.now(),
            self.list_id,
        )

    async def many_readers(self, count: int) -> list[str]:
        """So many confirmed ones; returns their addresses, in the order of their ids."""
        addresses = sorted((f"reader{number}@example.org" for number in range(count)), key=subscriber_id)
        await self.readers(*addresses)
        return addresses

    async def begin(self, *, uncertain_policy: str = "resend") -> None:
        """Start a campaign to whoever is confirmed now."""
        self.campaign_id = await self.db.fetchval(
            """with new as (insert into campaign (list_id, name, uncertain_policy, created_at) values ($1, 'Tide', $2, $3)
                            returning campaign_id)
               insert into campaign_content (campaign_id, language, subject, format, body)
               select campaign_id, 'en', 'Tide', 'markdown', 'Hello' from new returning campaign_id""",
            self.list_id,
            uncertain_policy,
            self.clock.now(),
        )
        async with self.db.transaction() as db:
            await plan_campaign(
                db, campaign_id=self.campaign_id, list_id=self.list_id, message_domain=DOMAIN, now=self.clock.now()
            )

    async def unsubscribe(self, address: str, *, within: Connection | None = None) -> None:
        """At once, or in somebody's transaction."""
        await (within or self.db).execute(
            """update subscription set state = 'unsubscribed', unsubscribed_at = $1, unsubscribed_via = 'link'
               where subscriber_id = $2""",
            self.clock.now(),
            subscriber_id(address),
        )

    async def suppress(self, address: str, *, list_id: int = 0) -> None:
        await self.db.execute(
            "insert into suppression (subscriber_id, list_id, reason, since) values ($1, $2, 'objected', $3)",
            subscriber_id(address),
            list_id,
            self.clock.now(),
        )

    async def erase(self, *addresses: str) -> None:
        """Delete now."""
        async with self.db.transaction() as db:
            await erasure.erase(db, LEDGER, [subscriber_id(address) for address in addresses], now=self.clock.now())

    async def set_campaign(self, state: str) -> None:
        """What an operator does."""
        await self.db.execute(
            """update campaign set state = $1, finished_at = case when $1 = 'cancelled' then $2::timestamptz end
               where campaign_id = $3""",
            state,
            self.clock.now(),
            self.campaign_id,
        )

    # Workers.

    def lanes(self, *relays: Relay, connections: int = 2, timeout: float = 10.0) -> Lanes:
        """Connections of one worker; the test's end closes them."""
        relays = relays or (self.relay.target(),)
        made = Lanes(relays, connections=connections, timeout=timeout, monotonic=self.monotonic)
        self.opened.append(made)
        return made

    def courier(self, *, connections: int = 2, timeout: float = 10.0) -> Courier:
        """For single mails."""
        made = Courier([self.relay.target()], connections=connections, timeout=timeout, monotonic=self.monotonic)
        self.opened.append(made)
        return made

    def throttle(self, **limits: float) -> Throttle:
        """`example_org=5.0` for five a second to example.org."""
        named = {f"domain:{name.replace('_', '.')}": rate for name, rate in limits.items()}
        return Throttle(self.db, self.clock, named, monotonic=self.monotonic)

    async def claim(self, *, later: timedelta = timedelta(0)) -> Batch | None:
        """A batch that is due, or would be so much later."""
        now = self.clock.now() + later
        return await claim(self.db, worker="somebody", lease=LEASE, now=now)

    async def claimed(self, *, later: timedelta = timedelta(0)) -> Batch:
        """The batch that must be there."""
        batch = await self.claim(later=later)
        assert batch is not None
        return batch

    def run(
        self,
        batch: Batch,
        lanes: Lanes | None = None,
        *,
        size: int = 250,
        letter: Letter | None = None,
        limits: Throttle | None = None,
        room: Room | None = None,
        flush_every: float = 0.02,
    ) -> BatchRun:
        """One worker's work on one batch, not begun yet."""
        return BatchRun(
            self.db,
            self.clock,
            lanes or self.lanes(),
            limits or self.throttle(),
            letter or PlainLetter(),
            batch,
            size=size,
            room=room,
            monotonic=self.monotonic,
            flush_every=flush_every,
        )

    async def work(self, lanes: Lanes | None = None, *, size: int = 250, limits: Throttle | None = None) -> int:
        """A worker that goes on until there is nothing to claim; returns how many batches it claimed."""
        lanes = lanes or self.lanes()
        claimed = 0
        while batch := await self.claim():
            await self.run(batch, lanes, size=size, limits=limits).run()
            claimed += 1
        return claimed

    async def intend(self, batch: Batch, *, size: int = 250) -> list[Reader]:
        """Commit intents, as a worker does right before it is killed."""
        return await store.take_fresh(self.db, batch, first=batch.id_from, size=size, now=self.clock.now())

    # What came of it.

    async def rows(self) -> dict[UUID, Row]:
        found = await self.db.fetch(
            """select subscriber_id, state, attempts, was_uncertain, retry_at, reply_code, reply_status, reply
               from delivery where campaign_id = $1""",
            self.campaign_id,
        )
        return {
            row["subscriber_id"]: Row(**{name: value for name, value in row.items() if name != "subscriber_id"})
            for row in found
        }

    async def row(self, address: str) -> Row:
        return (await self.rows())[subscriber_id(address)]

    async def states(self, addresses: Sequence[str]) -> dict[str, str | None]:
        rows = await self.rows()
        return {
            address: rows[subscriber_id(address)].state if subscriber_id(address) in rows else None for address in addresses
        }

    async def totals(self) -> dict[str, int]:
        return {total.state: total.count for total in await store.campaign_totals(self.db, campaign_id=self.campaign_id)}

    async def state(self) -> str:
        """Of the campaign."""
        return str(await self.db.fetchval("select state from campaign where campaign_id = $1", self.campaign_id))

    async def lease(self) -> timedelta | None:
        """For how long the campaign's first batch is still held."""
        until = await self.db.fetchval(
            "select lease_until from batch where campaign_id = $1 and batch_no = 0", self.campaign_id
        )
        return None if until is None else until - self.clock.now()

    async def waiting(self) -> int:
        """How many statements wait for a lock that somebody else holds."""
        return int(
            await self.db.fetchval(
                "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
            )
        )

    async def somebody_waits_for_a_lock(self) -> bool:
        return await self.waiting() > 0

    async def two_wait_for_a_lock(self) -> bool:
        return await self.waiting() > 1
