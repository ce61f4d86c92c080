"""Keeping evidence, and suppressing. Each function joins the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from newsletter.consent import store
from newsletter.consent.rules import EVIDENCE_FOR, Event, Keeps, Reason, may_be_asked, until
from newsletter.core.database import Connection
from newsletter.core.keys import sha256


@dataclass(frozen=True)
class Origin:
    """Where something was said: the page or header that was used, and from which network address and browser."""

    form: str
    network: str | None = None
    agent: str = ""


async def keep_wording(db: Connection, kind: str, language: str, content: str, *, now: datetime) -> bytes:
    """Store a text that is the same for many, once; returns its SHA-256."""
    wording_hash = sha256(content)
    await store.keep_wording(db, wording_hash=wording_hash, kind=kind, language=language, content=content, now=now)
    return wording_hash


async def policy_in_force(db: Connection) -> int | None:
    """Number of the policy's last published version; None before the first."""
    return await store.policy_in_force(db)


class Ledger:
    """Writes evidence; knows for how long its origin is kept, and what remains of it after an erasure."""

    def __init__(self, *, origin_for: timedelta, keeps: Keeps = Keeps.SEALED, evidence_for: timedelta = EVIDENCE_FOR) -> None:
        self._origin_for = origin_for
        self._keeps = keeps
        self._evidence_for = evidence_for

    async def record(
        self,
        db: Connection,
        event: Event,
        subscriber_id: UUID,
        list_ids: Sequence[int],
        origin: Origin,
        *,
        language: str,
        now: datetime,
        wording_hash: bytes | None = None,
        mail_hash: bytes | None = None,
        process_hash: bytes | None = None,
        via: str | None = None,
        confirmation_id: UUID | None = None,
        campaign_id: int | None = None,
    ) -> None:
        """One event for each of the lists. The hashes are of wordings that are kept; `via` is the way it was said."""
        await store.record_event(
            db,
            subscriber_id=subscriber_id,
            list_ids=list_ids,
            kind=event.value,
            language=language,
            form=origin.form,
            wording_hash=wording_hash,
            mail_hash=mail_hash,
            process_hash=process_hash,
            via=via,
            confirmation_id=confirmation_id,
            campaign_id=campaign_id,
            network=origin.network,
            agent=origin.agent,
            origin_until=now + self._origin_for,
            now=now,
        )

    async def remember_erased(self, db: Connection, subscriber_ids: Sequence[UUID], *, now: datetime) -> None:
        """Call before the rows go: the keyed ids and the evidence that stay are made from them."""
        if self._keeps is not Keeps.NONE:
            await store.seal_evidence(
                db,
                subscriber_ids=subscriber_ids,
                in_full=self._keeps is Keeps.FULL,
                expires_at=now + self._evidence_for,
                now=now,
            )
        await store.remember_erased(db, subscriber_ids=subscriber_ids, until=until(Reason.LEFT, now), now=now)


async def may_ask(db: Connection, subscriber_id: UUID, *, now: datetime) -> bool:
    """Whether a sign-up of this person may be answered by mail."""
    return may_be_asked(await store.suppressions_of(db, subscriber_id=subscriber_id, now=now), now)


async def refuse(db: Connection, subscriber_id: UUID, list_ids: Sequence[int], *, now: datetime) -> None:
    """ "I did not ask for this": no new request for 30 days."""
    await store.suppress(
        db,
        subscriber_id=subscriber_id,
        list_ids=list_ids,
        reason=Reason.REFUSED.value,
        until=until(Reason.REFUSED, now),
        now=now,
    )
    await store.record_withdrawal(db, kind="refused", subscriber_id=subscriber_id, list_ids=list_ids, now=now)


async def withdraw(db: Connection, subscriber_id: UUID, list_ids: Sequence[int], *, now: datetime) -> None:
    """Unsubscribed: number it among the withdrawals."""
    await store.record_withdrawal(db, kind="unsubscribed", subscriber_id=subscriber_id, list_ids=list_ids, now=now)


async def welcome_back(db: Connection, subscriber_id: UUID, list_ids: Sequence[int]) -> None:
    """Their own, confirmed sign-up lifts what stood against it."""
    await store.lift(db, subscriber_id=subscriber_id, list_ids=list_ids)
