"""What remains as proof of consent after somebody was erased: opened for an address that a complainant names, and for no other.

It lies under keyed ids, so nobody can look through it for people: whoever opens it has to know the address already.
"""

from __future__ import annotations

import unicodedata
from datetime import datetime

from newsletter.consent import store
from newsletter.consent.rules import SealedEvent
from newsletter.core.addresses import parse_address
from newsletter.core.audit import Audit
from newsletter.core.database import Database
from newsletter.core.errors import InvalidInput, NotFound
from newsletter.core.keys import Keyring

LONGEST_REASON = 300


class Evidence:
    """Every use is recorded with its reason, and without the address."""

    def __init__(self, db: Database, keyring: Keyring, audit: Audit) -> None:
        self._db = db
        self._keyring = keyring
        self._audit = audit

    async def open(self, address: str, *, reason: str, by: str, now: datetime) -> list[SealedEvent]:
        """All events about that address, oldest first; empty when nothing is kept. Asking is recorded, too."""
        subscriber_id = self._keyring.subscriber_id(parse_address(address).normal)
        async with self._db.transaction() as db:
            found = await store.sealed_evidence(db, subscriber_id=subscriber_id)
            await self._audit(db, by, "evidence.open", _checked(reason), now)
        return found

    async def hold(self, address: str, *, reason: str, by: str, now: datetime) -> int:
        """Keep it from expiring while it is disputed, for three years at most; returns how many events. Raises `NotFound`."""
        subscriber_id = self._keyring.subscriber_id(parse_address(address).normal)
        checked = _checked(reason)
        async with self._db.transaction() as db:
            held = await store.hold_evidence(db, subscriber_id=subscriber_id, reason=checked, now=now)
            await self._audit(db, by, "evidence.hold", checked, now)
        if not held:  # Known now, and so on record like any other answer.
            raise NotFound("Nothing is kept about this address, or all of it is held already.")
        return held

    async def release(self, address: str, *, by: str, now: datetime) -> int:
        """The dispute is over; what is older than the settings allow goes with the next run. Raises `NotFound`."""
        subscriber_id = self._keyring.subscriber_id(parse_address(address).normal)
        async with self._db.transaction() as db:
            released = await store.release_evidence(db, subscriber_id=subscriber_id)
            await self._audit(db, by, "evidence.release", f"{released} events", now)
        if not released:
            raise NotFound("No evidence about this address is held.")
        return released


def _checked(reason: str) -> str:
    """It stands in the audit log, whose words name no reader, and on terminals, which take some characters for commands."""
    reason = reason.strip()
    unseen = any(unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp") for each in reason)
    if not reason or len(reason) > LONGEST_REASON or "@" in reason or unseen:
        raise InvalidInput(
            f"Say why on one line of up to {LONGEST_REASON} characters, without a mail address: --reason 'case 2026-17'."
        )
    return reason
