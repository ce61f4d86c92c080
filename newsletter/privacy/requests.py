"""The register of requests about people's data that somebody has to answer, with the day until which (GDPR Art. 12(3)).

It names nobody. What was written on the page can be read here for as long as no relay has taken it. What people do by
themselves on their page is done at once and stands here never.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta

from newsletter.core.audit import Audit
from newsletter.core.database import Connection, Database
from newsletter.core.errors import InvalidInput, NotFound
from newsletter.privacy import store
from newsletter.privacy.rules import RightsRequest, months_later
from newsletter.privacy.store import ContactMessage, RequestRow

KINDS = ("access", "portability", "rectification", "erasure", "restriction", "objection", "question")
"""GDPR Art. 15, 20, 16, 17, 18, 21; and whatever else is asked."""
CHANNELS = ("page", "mail", "letter", "telephone")
KEPT_FOR = timedelta(days=365)
LONGEST_NOTE = 300
_TOO_LARGE = 2**63


def due_of(received_at: datetime) -> datetime:
    """Within one month of receipt."""
    return months_later(received_at, 1)


class Register:
    """Use cases; each owns its transaction. `by` names the operator, for the audit log."""

    def __init__(self, db: Database, audit: Audit) -> None:
        self._db = db
        self._audit = audit

    async def add(
        self, kind: str, channel: str, *, note: str, by: str, now: datetime, received_at: datetime | None = None
    ) -> RightsRequest:
        """Returns it with its number. `received_at`: when it came, where that was earlier.

        Raises `InvalidInput`.
        """
        if kind not in KINDS or channel not in CHANNELS:
            raise InvalidInput(f"A request is about {', '.join(KINDS)}, and came by {', '.join(CHANNELS)}.")
        came = received_at or now
        if not now - KEPT_FOR < came <= now:
            raise InvalidInput("A request came within the last year, and not in the future: correct the day.", field="received")
        checked = _checked_note(note)
        async with self._db.transaction() as db:
            number = await store.add_rights_request(
                db, kind=kind, channel=channel, received_at=came, due_at=due_of(came), note=checked
            )
            await self._audit(db, by, "request.add", f"request {number}", now)
        return RightsRequest(number, kind, channel, came, due_of(came), checked)

    async def open(self) -> Sequence[RightsRequest]:
        """The first to be answered first."""
        return await store.rights_requests(self._db)

    async def read(self, number: int, *, by: str, now: datetime) -> ContactMessage:
        """What somebody wrote on the page, while no relay has taken it. Raises `NotFound`."""
        async with self._db.transaction() as db:
            message = await store.message_of_request(db, number=number) if number < _TOO_LARGE else None
            if message is None:
                raise NotFound(await self._why_unread(db, number))
            await self._audit(db, by, "request.read", f"request {number}", now)
        return message

    async def _why_unread(self, db: Connection, number: int) -> str:
        request = await self._locked(db, number)
        if request is None:
            return _not_open(number)
        if request.writer_erased:
            return f"The writer of request {number} was erased before it was mailed, and the text with them."
        if request.has_message:
            return f"The text of request {number} was never mailed, and is deleted: its time was over."
        if request.channel == "page":
            return f"The text of request {number} was mailed, and stands in your mailbox alone."
        return f"Request {number} came by {request.channel}: what it says stands there alone."

    async def _locked(self, db: Connection, number: int) -> RequestRow | None:
        return await store.request_by_number(db, number=number) if number < _TOO_LARGE else None

    async def done(self, number: int, *, by: str, now: datetime) -> None:
        """Answered; the line goes, and a message that no mail hands over any more. Raises `NotFound`."""
        async with self._db.transaction() as db:
            if await self._locked(db, number) is None:
                raise NotFound(_not_open(number))
            await store.done_rights_request(db, number=number)
            await self._audit(db, by, "request.done", f"request {number}", now)


def _not_open(number: int) -> str:
    return f"There is no open request {number} any more: look at those that are open."


def _checked_note(given: str) -> str:
    note = given.strip()
    if "@" in note:
        raise InvalidInput("A note names nobody: leave the address out. Write a reference of your own instead.", field="note")
    if len(note) > LONGEST_NOTE or any(unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp") for each in note):
        raise InvalidInput(f"A note is one line of {LONGEST_NOTE} characters at most.", field="note")
    return note
