"""Everything that is held about one person, read at one moment; to be shown, and to be taken along (GDPR Art. 15 and 20)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from newsletter.consent import service as consent
from newsletter.consent.rules import Keeps, Reason, SealedEvent, Suppression
from newsletter.core.addresses import parse_address
from newsletter.core.audit import Audit
from newsletter.core.database import Connection, Database
from newsletter.core.keys import Keyring
from newsletter.privacy import store
from newsletter.privacy.holdings import (
    Act,
    Confirmation,
    Delivery,
    Event,
    HandedIn,
    Person,
    Subscription,
    WaitingMail,
    Withdrawal,
)
from newsletter.subscribing import store as subscribing
from newsletter.subscribing.links import Links
from newsletter.subscribing.lists import MailingList, all_lists
from newsletter.subscribing.rules import HITS_KEPT


@dataclass(frozen=True)
class Terms:
    """For how long what is kept, by the settings of this installation."""

    erase_after: timedelta
    keeps: Keeps
    evidence_for: timedelta
    delivery_days: int
    controller: str | None
    storage_country: str | None


@dataclass(frozen=True)
class Holdings:
    """`person` None: nobody whom we know (any more); the rest may still hold codes and sealed evidence."""

    subscriber_id: UUID
    taken_at: datetime
    terms: Terms
    person: Person | None
    lists: Mapping[int, MailingList]
    subscriptions: Sequence[Subscription]
    events: Sequence[Event]
    deliveries: Sequence[Delivery]
    suppressions: Sequence[Suppression]
    withdrawals: Sequence[Withdrawal]
    evidence: Sequence[SealedEvent]
    confirmations: Sequence[Confirmation]
    mails: Sequence[WaitingMail]
    handed_in: Sequence[HandedIn]
    acts: Sequence[Act]
    counted: Sequence[datetime]
    """When mails of ours were counted for the address, as a code, against abuse."""

    @property
    def erase_at(self) -> datetime | None:
        """When the address is deleted by itself; None while there is a confirmed subscription."""
        left_at = self.person.left_at if self.person else None
        return left_at + self.terms.erase_after if left_at else None

    def pause_of(self, list_id: int) -> Suppression | None:
        """That of one list, or of all (0)."""
        found = (each for each in self.suppressions if (each.list_id, each.reason) == (list_id, Reason.RESTRICTED))
        return next(found, None)

    @property
    def objects(self) -> bool:
        return any(each.reason == Reason.OBJECTED for each in self.suppressions)

    @property
    def is_empty(self) -> bool:
        """Not even a code is left."""
        return self.person is None and not (self.suppressions or self.withdrawals or self.evidence)

    def list_name(self, list_id: int | None, language: str) -> str:
        """Empty for what is about the person, or about every list."""
        found = self.lists.get(list_id) if list_id is not None else None
        return found.text(language).name if found else ""


class MyData:
    """Use cases that change nothing."""

    def __init__(self, db: Database, keyring: Keyring, links: Links, audit: Audit, terms: Terms) -> None:
        self._db = db
        self._keyring = keyring
        self._links = links
        self._audit = audit
        self._terms = terms

    def open(self, token: str, *, now: datetime) -> UUID:
        """Who the link belongs to. Looks at nothing else. Raises `InvalidToken`, and `DataLinkLapsed` when its hour is over."""
        return self._links.read_data(token, now=now)

    def id_of(self, given: str) -> UUID:
        """For operators, who have an address. Raises `InvalidAddress`."""
        return self._keyring.subscriber_id(parse_address(given).normal)

    async def held(self, who: UUID, *, now: datetime) -> Holdings:
        async with self._db.transaction() as db:
            return await self._read(db, who, now)

    async def held_for_operator(self, who: UUID, verb: str, *, operator: str, now: datetime) -> Holdings:
        """The same, written down in the audit log: somebody else looks at it than whose it is."""
        async with self._db.transaction() as db:
            await self._audit(db, operator, f"subscriber.{verb}", "a subscriber", now, about=who)
            return await self._read(db, who, now)

    async def _read(self, db: Connection, who: UUID, now: datetime) -> Holdings:
        person = await store.held_person(db, subscriber_id=who)
        return Holdings(
            subscriber_id=who,
            taken_at=now,
            terms=self._terms,
            person=person,
            lists={each.list_id: each for each in await all_lists(db)},
            subscriptions=await store.held_subscriptions(db, subscriber_id=who),
            events=await store.held_events(db, subscriber_id=who),
            deliveries=await store.held_deliveries(db, subscriber_id=who),
            suppressions=await store.held_suppressions(db, subscriber_id=who, now=now),
            withdrawals=await store.held_withdrawals(db, subscriber_id=who),
            evidence=await consent.sealed_evidence(db, who),
            confirmations=await store.held_confirmations(db, subscriber_id=who),
            mails=await store.held_mails(db, subscriber_id=who),
            handed_in=await store.held_requests(db, subscriber_id=who),
            acts=await store.held_acts(db, subscriber_id=who),
            counted=await self._counted(db, person, now),
        )

    async def _counted(self, db: Connection, person: Person | None, now: datetime) -> Sequence[datetime]:
        if person is None:
            return ()
        code = self._keyring.limit_code(parse_address(person.address).folded)
        return await subscribing.mail_hits(db, code=code, since=now - HITS_KEPT)
