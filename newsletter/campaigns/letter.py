"""A campaign made out to a reader: content in the reader's language, headers, the way out in each of its places.

Everything that is the same for all is compiled once for each language (`delivery.compiled`), at the first reader who has it.
A reader costs two codes (the link and the Message-ID), four headers and one join.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from newsletter.campaigns.content import CompiledContent, RenderedMail
from newsletter.campaigns.content import Reader as Recipient
from newsletter.core.i18n import long_date, translations
from newsletter.core.mac import Mac
from newsletter.delivery.compiled import CompiledMessage, compile_message
from newsletter.delivery.headers import (
    DateHeader,
    Header,
    Mailbox,
    MailboxHeader,
    TextHeader,
    TokenHeader,
    UrlHeader,
    Written,
    written,
    written_address,
)
from newsletter.delivery.session import Mail
from newsletter.delivery.store import Reader
from newsletter.subscribing.links import Links
from newsletter.subscribing.lists import MailingList

FEEDBACK_SENDER = "newsletter"
"""SenderId of Feedback-ID: constant, 5 to 15 characters, says nothing about anybody."""

_OWN = ("To", "Date", "Message-ID", "List-Unsubscribe")
"""The headers that are every reader's own."""

MOST_DAYS = 10_000
"""Days that are remembered as they are written out: many readers have confirmed on the same, and the catalogues take 30 µs."""


@dataclass(frozen=True)
class Letter:
    """Compiled once per worker and campaign; made out reader by reader."""

    campaign_id: int
    mailing_list: MailingList
    contents: Mapping[str, CompiledContent]
    links: Links
    message_key: bytes
    message_domain: str
    hashed: bool = False
    """The bodies are hashed as well, since the mails are going to be signed."""
    is_trial: bool = False
    """For whoever tries it out, which its subject says first: in an inbox nobody would know it from the real one."""
    _compiled: dict[str, CompiledMessage] = field(default_factory=dict, init=False, repr=False, compare=False)
    """By language."""
    _days: dict[tuple[int, str], str] = field(default_factory=dict, init=False, repr=False, compare=False)
    _dates: dict[int, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def compose(self, reader: Reader, now: datetime) -> Mail:
        """The whole mail with its envelope. The Message-ID is the same each time, whatever was rotated or renamed since."""
        language = self.language(reader)
        content = self.contents[language]
        url = self._unsubscribe_url(reader)
        values = content.values(self._recipient(reader, language, url))
        own = Written(
            _OWN,
            f"To: {written_address('To', reader.address)}\r\n{self._date(now)}"
            f"Message-ID: <{self._code(reader.subscriber_id)}.{self._mark}>\r\nList-Unsubscribe: <{url}>\r\n",
        )
        if content.has_own_subjects:
            own = own.followed_by(written(TextHeader("Subject", self._subject(language, values))))
        message = self._compiled.get(language) or self._compile(language)
        composed = message.fill(own, values, digest=self.hashed)
        sender = self.mailing_list.sender
        return Mail(
            sender.from_address,
            reader.address,
            composed.data,
            composed.needs_smtputf8,
            sender.sender_id,
            composed.head,
            is_stuffed=True,
            body_digest=composed.body_digest,
            relay=sender.relay,
        )

    def render(self, reader: Reader) -> RenderedMail:
        """Words alone, from the same values in the same places."""
        language = self.language(reader)
        return self.contents[language].render(self._recipient(reader, language, self._unsubscribe_url(reader)))

    def language(self, reader: Reader) -> str:
        """The reader's where there is one, else the list's, else whichever there is."""
        if reader.language in self.contents:
            return reader.language
        for language in self.mailing_list.languages:
            if language in self.contents:
                return language
        return next(iter(self.contents))

    def _compile(self, language: str) -> CompiledMessage:
        content, sender = self.contents[language], self.mailing_list.sender
        common: list[Header] = [MailboxHeader("From", (Mailbox(sender.name, sender.from_address),))]
        if sender.reply_to:
            common.append(MailboxHeader("Reply-To", (Mailbox("", sender.reply_to),)))
        if not content.has_own_subjects:
            common.append(TextHeader("Subject", self._subject(language, {})))
        common += [
            TokenHeader("List-Id", f"<{self.mailing_list.list_id_header}>"),
            TokenHeader("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),  # RFC 8058
            UrlHeader("List-Help", (self.links.privacy,)),
            TokenHeader("Feedback-ID", f"c{self.campaign_id}:l{self.mailing_list.list_id}:campaign:{FEEDBACK_SENDER}"),
        ]
        # These two are written by hand for each reader. What could be wrong with them is the same in all.
        TokenHeader("Message-ID", f"<{self._code(UUID(int=0))}.{self._mark}>").write()
        UrlHeader("List-Unsubscribe", (self.links.unsubscribe(UUID(int=0), 0, 0),)).write()
        boundary = self._mac.digest(f"boundary {language}".encode()).hex()[:24]
        message = compile_message(common, text=content.text.content, html=content.html.content, boundary=boundary)
        self._compiled[language] = message
        return message

    def _subject(self, language: str, values: Mapping[str, str]) -> str:
        line = self.contents[language].subject_line(values)
        return translations(language).gettext("[Test]") + f" {line}" if self.is_trial else line

    def _recipient(self, reader: Reader, language: str, url: str) -> Recipient:
        return Recipient(reader.name, self._day(reader.confirmed_at, language), url)

    def _day(self, moment: datetime, language: str) -> str:
        """Written out, where the list is at home. One for each quarter of an hour: no zone shifts within one."""
        key = (int(moment.timestamp() // 900), language)
        if (known := self._days.get(key)) is None:
            if len(self._days) >= MOST_DAYS:
                self._days.clear()
            known = self._days[key] = long_date(moment.astimezone(self._zone), language)
        return known

    @functools.cached_property
    def _mark(self) -> str:
        return f"{self.campaign_id}@{self.message_domain}"

    @functools.cached_property
    def _zone(self) -> ZoneInfo:
        return self.mailing_list.zone

    def _date(self, now: datetime) -> str:
        """The header, the same for the mails of one second."""
        second = int(now.timestamp())
        if (kept := self._dates.get(second)) is None:
            self._dates.clear()
            kept = self._dates[second] = DateHeader("Date", now.astimezone(self._zone)).write()
        return kept

    def _unsubscribe_url(self, reader: Reader) -> str:
        return self.links.unsubscribe(reader.subscriber_id, self.mailing_list.list_id, self.campaign_id)

    def _code(self, subscriber_id: UUID) -> str:
        """30 hex digits that nobody else can work out."""
        return self._mac.digest(subscriber_id.bytes)[:15].hex()

    @functools.cached_property
    def _mac(self) -> Mac:
        return Mac(self.message_key)
