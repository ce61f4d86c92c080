"""A campaign made out to a reader: content in the reader's language, headers, the way out in each of its places."""

from __future__ import annotations

import hmac
from base64 import b32encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from newsletter.campaigns.content import CompiledContent, RenderedMail
from newsletter.campaigns.content import Reader as Recipient
from newsletter.core.i18n import long_date
from newsletter.delivery.message import Header, TokenHeader, UrlHeader, compose
from newsletter.delivery.session import Mail
from newsletter.delivery.store import Reader
from newsletter.subscribing.links import Links
from newsletter.subscribing.lists import MailingList
from newsletter.subscribing.mails import sender_headers, unsubscribe_headers

FEEDBACK_SENDER = "newsletter"
"""SenderId of Feedback-ID: constant, 5 to 15 characters, says nothing about anybody."""


@dataclass(frozen=True)
class Letter:
    """Compiled once per worker and campaign; made out reader by reader."""

    campaign_id: int
    mailing_list: MailingList
    contents: Mapping[str, CompiledContent]
    links: Links
    message_key: bytes
    message_domain: str

    def compose(self, reader: Reader, now: datetime) -> Mail:
        """The whole mail with its envelope. The Message-ID is the same each time, whatever was rotated or renamed since."""
        rendered = self.render(reader)
        code = self._code(reader.subscriber_id)
        headers = sender_headers(
            self.mailing_list.sender,
            reader.address,
            subject=rendered.subject,
            message_id=f"<{code}.{self.campaign_id}@{self.message_domain}>",
            at=now.astimezone(self.mailing_list.zone),
        )
        headers += self._list_headers(reader)
        composed = compose(headers, text=rendered.text, html=rendered.html, boundary=code)
        return Mail(self.mailing_list.sender.from_address, reader.address, composed.data, composed.needs_smtputf8)

    def render(self, reader: Reader) -> RenderedMail:
        """Words alone."""
        language = self._language(reader)
        return self.contents[language].render(
            Recipient(
                name=reader.name,
                confirmed_on=long_date(reader.confirmed_at.astimezone(self.mailing_list.zone), language),
                unsubscribe_url=self._unsubscribe_url(reader),
            )
        )

    def _language(self, reader: Reader) -> str:
        """The reader's where there is one, else the list's, else whichever there is."""
        for language in (reader.language, *self.mailing_list.languages):
            if language in self.contents:
                return language
        return next(iter(self.contents))

    def _unsubscribe_url(self, reader: Reader) -> str:
        return self.links.unsubscribe(reader.subscriber_id, self.mailing_list.list_id, self.campaign_id)

    def _list_headers(self, reader: Reader) -> list[Header]:
        return [
            TokenHeader("List-Id", f"<{self.mailing_list.list_id_header}>"),
            *unsubscribe_headers(self._unsubscribe_url(reader)),
            UrlHeader("List-Help", [self.links.privacy]),
            TokenHeader("Feedback-ID", f"c{self.campaign_id}:l{self.mailing_list.list_id}:campaign:{FEEDBACK_SENDER}"),
        ]

    def _code(self, subscriber_id: UUID) -> str:
        code = hmac.digest(self.message_key, subscriber_id.bytes, "sha256")[:15]
        return b32encode(code).decode().lower()
