"""The single mails of this room: the link to one's data, "we hold nothing", a message to whoever looks after people's data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from newsletter.core.database import Connection
from newsletter.core.i18n import long_date, long_time
from newsletter.delivery.headers import Header, Mailbox, MailboxHeader
from newsletter.delivery.session import Mail
from newsletter.delivery.store import QueuedMail
from newsletter.privacy import store
from newsletter.privacy.requests import due_of
from newsletter.subscribing.links import DATA_LINK_LIVES, Links
from newsletter.subscribing.lists import MailingList, lists_by_id
from newsletter.subscribing.mails import filled, single_mail, template_words
from newsletter.subscribing.rules import HITS_KEPT


@dataclass(frozen=True)
class _Asked:
    """Whom a mail about their data goes to. `holds`: whether there is anything to show."""

    subscriber_id: UUID
    address: str
    holds: bool


class PrivacyMails:
    """Makes the mails that the outbox has in hand for this room. `contact`: of this installation; None: the sender's own."""

    def __init__(self, links: Links, *, contact: str | None) -> None:
        self._links = links
        self._contact = contact

    async def compose(self, db: Connection, queued: QueuedMail, now: datetime) -> Mail | None:
        """None when it was erased meanwhile what, or whom, the mail is about."""
        for mailing_list in await lists_by_id(db, queued.list_ids):
            if queued.kind == "contact":
                return await self._message(db, queued, mailing_list, now)
            asked = await self._asked(db, queued, now)
            return self._answer(queued, asked, mailing_list, now) if asked else None
        return None

    async def _asked(self, db: Connection, queued: QueuedMail, now: datetime) -> _Asked | None:
        """The address that we hold comes before the one that was typed; both have the same id."""
        who, typed = queued.subscriber_id, None
        if queued.request_id is not None and (request := await store.data_request(db, request_id=queued.request_id)):
            who, typed = request.subscriber_id, request.address
        if who is None:
            return None
        if person := await store.held_person(db, subscriber_id=who):
            return _Asked(who, person.address, holds=True)
        return _Asked(who, typed, await store.is_remembered(db, subscriber_id=who, now=now)) if typed else None

    def _answer(self, queued: QueuedMail, asked: _Asked, mailing_list: MailingList, now: datetime) -> Mail:
        """The link is minted when the mail is made: its hour is the reader's, not the queue's."""
        sender, zone, language = mailing_list.sender, mailing_list.zone, queued.language
        pattern = template_words(
            "data" if asked.holds else "nothing",
            language,
            sender=sender,
            privacy_url=self._links.privacy,
            hits_days=HITS_KEPT.days,
        )
        slots = {
            "asked_at": long_time(queued.created_at.astimezone(zone), language),
            "until": long_time((now + DATA_LINK_LIVES).astimezone(zone), language),
            "data_url": self._links.data(asked.subscriber_id, now=now),
            "data_page": self._links.data_page,
        }
        return single_mail(queued, sender, asked.address, filled(pattern, slots), at=now.astimezone(zone))

    async def _message(self, db: Connection, queued: QueuedMail, mailing_list: MailingList, now: datetime) -> Mail | None:
        """As text alone: what a stranger typed shall be no link in somebody's mail program."""
        assert queued.request_id is not None
        said = await store.contact_message(db, message_id=queued.request_id)
        if said is None:
            return None
        sender, zone, language = mailing_list.sender, mailing_list.zone, queued.language
        slots = {
            "asked_at": long_time(said.received_at.astimezone(zone), language),
            "message": said.content,
            "address": said.address,
            "due": long_date(due_of(said.received_at).astimezone(zone), language),
        }
        words = filled(template_words("contact", language), slots)
        recipient = self._contact or sender.contact
        reply_to = _reply_to(said.address)
        return single_mail(queued, sender, recipient, words, at=now.astimezone(zone), more=reply_to, with_html=False)


def _reply_to(address: str) -> list[Header]:
    """Where every relay can write it: a local part beyond ASCII needs SMTPUTF8 (RFC 6531), and stands in the text anyway."""
    return [MailboxHeader("Reply-To", [Mailbox("", address)])] if address.rpartition("@")[0].isascii() else []
