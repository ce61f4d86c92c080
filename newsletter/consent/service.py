"""Keeping evidence, and suppressing. Each function joins the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from newsletter.consent import store
from newsletter.consent.rules import EVIDENCE_FOR, Event, Keeps, Reason, SealedEvent, Suppression, may_be_asked, until
from newsletter.consent.store import Standstill, SuppressionCount
from newsletter.consent.withdrawal_file import Withdrawal
from newsletter.core.database import Connection
from newsletter.core.errors import Conflict
from newsletter.core.keys import sha256

RESTORED = "restored"
"""A standstill: the database is older than the file of withdrawals."""


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
        list_ids: Sequence[int | None],
        origin: Origin,
        *,
        language: str,
        now: datetime,
        via: str | None = None,
        wording_hash: bytes | None = None,
        mail_hash: bytes | None = None,
        process_hash: bytes | None = None,
        confirmation_id: UUID | None = None,
        campaign_id: int | None = None,
    ) -> None:
        """One event for each of the lists; None stands for the person as a whole.

        The hashes are of wordings that are kept; `via` is the way it was said.
        """
        await store.record_event(
            db,
            subscriber_id=subscriber_id,
            list_ids=list_ids,
            kind=event.value,
            language=language,
            form=origin.form,
            via=via,
            wording_hash=wording_hash,
            mail_hash=mail_hash,
            process_hash=process_hash,
            confirmation_id=confirmation_id,
            campaign_id=campaign_id,
            network=origin.network,
            agent=origin.agent,
            origin_until=now + self._origin_for,
            now=now,
        )

    async def record_endings(
        self, db: Connection, endings: Sequence[tuple[UUID, int, str]], *, via: str, now: datetime
    ) -> None:
        """Subscriptions that something else than the person's own click has ended: subscriber, list, language."""
        await store.record_endings(
            db,
            subscriber_ids=[who for who, _, _ in endings],
            list_ids=[list_id for _, list_id, _ in endings],
            languages=[language for _, _, language in endings],
            via=via,
            now=now,
        )

    async def record_pauses(
        self, db: Connection, subscriber_ids: Sequence[UUID], list_id: int, *, via: str, now: datetime
    ) -> None:
        """Pauses of one list, or of all (0), that these people did not ask for just now, but as of `now`."""
        await store.record_pauses(db, subscriber_ids=subscriber_ids, list_id=list_id, via=via, now=now)

    async def remember_erased(self, db: Connection, subscriber_ids: Sequence[UUID], *, now: datetime) -> None:
        """Call before the rows go: the keyed ids, the evidence and the sums that stay are made from them."""
        await store.fold_left(db, subscriber_ids=subscriber_ids)
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
    await store.record_withdrawal(db, kind="refused", subscriber_id=subscriber_id, list_ids=list_ids, until=None, now=now)


async def withdraw(db: Connection, subscriber_id: UUID, list_ids: Sequence[int], *, now: datetime) -> None:
    """Unsubscribed: number it among the withdrawals."""
    await store.record_withdrawal(db, kind="unsubscribed", subscriber_id=subscriber_id, list_ids=list_ids, until=None, now=now)


async def welcome_back(db: Connection, subscriber_id: UUID, list_ids: Sequence[int]) -> None:
    """Their own, confirmed sign-up lifts what stood against it."""
    await store.lift(db, subscriber_id=subscriber_id, list_ids=list_ids)


async def suppress(db: Connection, subscriber_ids: Sequence[UUID], list_id: int, reason: Reason, *, now: datetime) -> int:
    """From now on, for as long as the reason stands; `list_id` 0: on every list. Returns how many did not stand before."""
    return await store.suppress_many(
        db, subscriber_ids=subscriber_ids, list_id=list_id, reason=reason.value, until=until(reason, now), now=now
    )


async def suppressions(db: Connection, subscriber_id: UUID, *, now: datetime) -> list[Suppression]:
    """What stands against mailing this person, on any list."""
    return await store.suppressions_of(db, subscriber_id=subscriber_id, now=now)


async def sealed_evidence(db: Connection, subscriber_id: UUID) -> list[SealedEvent]:
    """All that outlived an erasure, in the order it occurred; to be shown to the person, or on record."""
    return await store.sealed_evidence(db, subscriber_id=subscriber_id)


async def count_suppressions(db: Connection, reason: Reason | None, *, now: datetime) -> list[SuppressionCount]:
    """How many stand, by reason and list."""
    return await store.count_suppressions(db, reason=reason.value if reason else None, now=now)


async def record_withdrawals(db: Connection, withdrawals: Sequence[Withdrawal]) -> None:
    """Number them anew, as of their own times."""
    await store.record_withdrawals(
        db,
        kinds=[each.kind for each in withdrawals],
        subscriber_ids=[each.subscriber_id for each in withdrawals],
        list_ids=[each.list_id for each in withdrawals],
        times=[each.occurred_at for each in withdrawals],
        untils=[each.until for each in withdrawals],
    )


async def unknown_among(db: Connection, withdrawals: Sequence[Withdrawal]) -> list[Withdrawal]:
    """Those that this database knows nothing of."""
    places = await store.unknown_withdrawals(
        db,
        kinds=[each.kind for each in withdrawals],
        subscriber_ids=[each.subscriber_id for each in withdrawals],
        list_ids=[each.list_id for each in withdrawals],
        times=[each.occurred_at for each in withdrawals],
    )
    return [withdrawals[place - 1] for place in places]


async def standing_still(db: Connection) -> list[Standstill]:
    """Why no campaign may be sent at the moment, by anybody; empty when nothing is in the way."""
    return await store.standstills(db)


async def refuse_standstill(db: Connection) -> None:
    """Raises `Conflict` when all campaigns stand still."""
    if await standing_still(db):
        raise Conflict(
            "No campaign can be sent: this database is older than the file of withdrawals, as after restoring a backup, and "
            "would mail people who have left since. Run `newsletter privacy replay`, then try again."
        )


async def end_standstill(db: Connection, *, highest: int) -> None:
    """After a replay: campaigns go on, and withdrawals are numbered beyond those that were replayed."""
    await store.move_numbers(db, number=highest)
    await store.go_on(db, reason=RESTORED)


async def restrict(db: Connection, subscriber_id: UUID, list_id: int, *, end: datetime | None, now: datetime) -> None:
    """A pause (GDPR Art. 18) of one list, or of all (0), until that moment, or until it is lifted."""
    await store.restrict(db, subscriber_id=subscriber_id, list_id=list_id, until=end, now=now)
    await store.record_withdrawal(db, kind="restricted", subscriber_id=subscriber_id, list_ids=[list_id], until=end, now=now)


async def object_to_all(db: Connection, subscriber_id: UUID, *, now: datetime) -> None:
    """ "Never again" (GDPR Art. 21(2)): stands until the person lifts it, whatever else is signed up or imported."""
    reason = Reason.OBJECTED
    await store.suppress(db, subscriber_id=subscriber_id, list_ids=[0], reason=reason.value, until=until(reason, now), now=now)
    await store.record_withdrawal(db, kind="objected", subscriber_id=subscriber_id, list_ids=[0], until=None, now=now)


async def lift_own(db: Connection, subscriber_id: UUID, list_id: int, reason: Reason) -> bool:
    """What the person alone may lift: a pause, an objection. False when there was none."""
    return await store.lift_own(db, subscriber_id=subscriber_id, list_id=list_id, reason=reason.value)


async def end_pauses(db: Connection, subscriber_ids: Sequence[UUID]) -> None:
    """They end with the person, whether anything was ever confirmed or not."""
    await store.end_pauses(db, subscriber_ids=subscriber_ids)


async def suppress_erased(db: Connection, subscriber_ids: Sequence[UUID], *, now: datetime) -> None:
    """A code on every list for those of these people, erased as of `now`, of whom none stays."""
    await store.suppress_erased(db, subscriber_ids=subscriber_ids, until=until(Reason.LEFT, now), now=now)


async def pause_again(
    db: Connection, subscriber_ids: Sequence[UUID], list_id: int, *, end: datetime | None, now: datetime
) -> None:
    """As of `now`, which may be past: what somebody said later about a pause stands. Not numbered."""
    for who in subscriber_ids:
        await store.restrict(db, subscriber_id=who, list_id=list_id, until=end, now=now)


async def lock_withdrawals(db: Connection) -> None:
    """Until the transaction ends nobody else writes or replays them."""
    await store.lock_export(db)


async def carry_pauses(db: Connection, subscriber_id: UUID, *, replaces: UUID, now: datetime) -> list[int]:
    """To the new address of somebody who changed it; returns the lists that are paused there now (0: all).

    Numbered among the withdrawals of the new one: those of the old one end with it.
    """
    carried = await store.carry_pauses(db, subscriber_id=subscriber_id, replaces=replaces, now=now)
    for pause in carried:
        await store.record_withdrawal(
            db, kind="restricted", subscriber_id=subscriber_id, list_ids=[pause.list_id], until=pause.until, now=now
        )
    return [pause.list_id for pause in carried]
