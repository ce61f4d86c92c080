"""Lists and senders as operators make, change and close them; each change is in the audit log with who made it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from newsletter.consent import service as consent
from newsletter.core.audit import Audit
from newsletter.core.database import Connection, Database
from newsletter.core.errors import Conflict, DatabaseError, InvalidInput, NotFound
from newsletter.core.i18n import language_name
from newsletter.core.keys import sha256
from newsletter.delivery.relays import Relay, known_relay
from newsletter.subscribing import lists as rules
from newsletter.subscribing import lists_store
from newsletter.subscribing.lists import MailingList, NewList, NewSender, list_by_id, list_by_slug
from newsletter.subscribing.mails import consent_wording
from newsletter.subscribing.views import SenderRow

CLOSED = "This list is closed, for good: nothing about it can be changed any more."


class Overtaken(Conflict):
    """Somebody else has saved it since the caller looked at it; nothing was changed."""

    def __init__(self) -> None:
        super().__init__("Nothing was saved: somebody else has changed this meanwhile. Save again to put yours in its place.")


def digest(looked_at: MailingList | SenderRow) -> str:
    """What stands for a list or a sender as somebody saw it, in the form that comes back."""
    return sha256(repr(looked_at)).hex()[:32]


@dataclass(frozen=True)
class Choices:
    """What a form offers."""

    senders: Sequence[SenderRow]
    relays: Sequence[str]


class ListEditing:
    """Use cases; each owns its transaction. `by` names the operator."""

    def __init__(self, db: Database, audit: Audit, relays: Sequence[Relay], *, base_host: str) -> None:
        self._db = db
        self._audit = audit
        self._relays = relays
        self._base_host = base_host

    async def choices(self) -> Choices:
        return Choices(await lists_store.senders(self._db), [relay.name for relay in self._relays])

    async def sender(self, sender_id: int) -> SenderRow:
        """Raises `NotFound`."""
        return await self._sender(self._db, sender_id)

    async def _sender(self, db: Connection, sender_id: int) -> SenderRow:
        for row in await lists_store.senders(db):
            if row.sender_id == sender_id:
                return row
        raise NotFound("There is no such sender.")

    async def create(self, new: NewList, sender: NewSender | str, *, by: str, now: datetime) -> MailingList:
        """Raises `InvalidInput`, `Conflict`, `NotFound` for a sender that there is not."""
        async with self._db.transaction() as db:
            made = await rules.add_list(db, new, sender, base_host=self._base_host, now=now)
            await _note_wordings(db, made, now)
            await self._audit(db, by, "list.create", f"list {made.slug}", now)
            return made

    async def edit(
        self, slug: str, new: NewList, sender: str, *, seen: str | None = None, by: str, now: datetime
    ) -> MailingList:
        """All that may change of it, which is not its short name. `sender`: the name of one that there is. `seen`: the digest
        of what the caller looked at.

        Raises `InvalidInput`, `NotFound`, `Overtaken`, and `Conflict` when the list is closed, or a language that is taken away
        is spoken.
        """
        rules.check_list(replace(new, slug=slug))
        async with self._db.transaction() as db:
            list_id = (await list_by_slug(db, slug)).list_id
            if not await lists_store.lock_list(db, list_id=list_id):
                raise Conflict(CLOSED)
            before = await list_by_id(db, list_id)
            if seen is not None and seen != digest(before):
                raise Overtaken
            await self._check_languages(db, before, new)
            sender_id = await lists_store.find_sender(db, name=sender)
            if sender_id is None:
                raise InvalidInput("There is no sender of that name: choose one of those that there are.", field="sender")
            await lists_store.edit_list(
                db,
                list_id=before.list_id,
                sender_id=sender_id,
                visibility="public" if new.public else "private",
                languages=list(new.texts),
                time_zone=new.time_zone,
                return_urls=list(new.return_urls),
                rate=rules.possible_rate(new.rate),
            )
            await rules.put_texts(db, before.list_id, new.texts)
            await lists_store.drop_list_texts(db, list_id=before.list_id, languages=list(new.texts))
            after = await list_by_id(db, before.list_id)
            await _note_wordings(db, after, now)
            await self._audit(db, by, "list.edit", f"list {slug}: {_changes(before, after)}", now)
            return after

    async def edit_sender(
        self, sender_id: int, new: NewSender, relay: str | None, *, seen: str | None = None, by: str, now: datetime
    ) -> None:
        """For all of its lists. `seen`: the digest of what the caller looked at.

        Raises `InvalidInput`, also when the name is another's, `NotFound` and `Overtaken`.
        """
        checked = rules.checked_sender(new)
        relay = known_relay(relay, self._relays) if relay else None
        async with self._db.transaction() as db:
            if not await lists_store.lock_sender(db, sender_id=sender_id):
                raise NotFound("There is no such sender.")
            if seen is not None and seen != digest(await self._sender(db, sender_id)):
                raise Overtaken
            try:
                found = await lists_store.edit_sender(db, sender_id=sender_id, relay=relay, **asdict(checked))
            except DatabaseError as error:
                if error.sqlstate == rules.UNIQUE_VIOLATION:
                    raise InvalidInput("Another sender has this name: choose another.", field="sender name") from None
                raise
            if not found:
                raise NotFound("There is no such sender.")
            for each in await rules.all_lists(db):
                if each.sender.sender_id == sender_id and not each.closed:
                    await _note_wordings(db, each, now)
            await self._audit(db, by, "sender.edit", f"sender {sender_id}", now)

    async def choose_relay(self, sender_id: int, relay: str | None, *, by: str, now: datetime) -> None:
        """Of those that there are, for all lists of the sender; None: whichever takes it.

        Raises `InvalidInput` for one that there is not, and `NotFound`.
        """
        name = known_relay(relay, self._relays) if relay else None
        async with self._db.transaction() as db:
            if not await lists_store.lock_sender(db, sender_id=sender_id):
                raise NotFound("There is no such sender.")
            await lists_store.set_relay(db, sender_id=sender_id, relay=name)
            await self._audit(db, by, "sender.edit", f"sender {sender_id}: relay", now)

    async def close(self, slug: str, *, by: str, now: datetime) -> MailingList:
        """For good; what follows, a job does. Raises `NotFound`, `Conflict`."""
        async with self._db.transaction() as db:
            closed = await rules.close_list(db, slug, now=now)
            await self._audit(db, by, "list.close", f"list {slug}", now)
            return closed

    async def _check_languages(self, db: Connection, before: MailingList, new: NewList) -> None:
        for language in before.languages:
            if language not in new.texts and await lists_store.speaks(db, list_id=before.list_id, language=language):
                raise InvalidInput(
                    f"Somebody reads this list in {language_name(language)}, so that the language has to stay.",
                    field=f"name.{language}",
                )


async def _note_wordings(db: Connection, mailing_list: MailingList, now: datetime) -> None:
    """From now on it asks with these words, whoever is the first to see them."""
    for language in mailing_list.languages:
        words = consent_wording([mailing_list], language)
        wording_hash = await consent.keep_wording(db, "form", language, words, now=now)
        await lists_store.note_wording(db, list_id=mailing_list.list_id, wording_hash=wording_hash, now=now)


def _changes(before: MailingList, after: MailingList) -> str:
    """Which parts are not what they were."""
    names = {
        "texts": "words",
        "languages": "languages",
        "sender": "sender",
        "time_zone": "time zone",
        "public": "visibility",
        "return_urls": "sites",
        "rate": "rate",
    }
    changed = [word for part, word in names.items() if getattr(before, part) != getattr(after, part)]
    return ", ".join(changed) or "nothing"
