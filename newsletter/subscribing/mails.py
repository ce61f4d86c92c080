"""The single mails of this room: the confirmation mail, "you are subscribed already", and a list's welcome.

Bare on purpose: courts have read a logo, a slogan or a welcome in a confirmation mail as advertising without consent. A welcome
is a mail of its own, in the operator's words, after the consent. Our words are made in two steps. The *pattern* is the same for
everybody who asks for the same lists in the same language, and is what is kept as evidence, once by content hash; its slots
(times and links) are filled for each mail.
"""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import jinja2

from newsletter.consent.rules import REFUSED_FOR
from newsletter.core.database import Connection
from newsletter.core.i18n import long_date, long_time, translations
from newsletter.core.keys import sha256
from newsletter.core.resources import resource
from newsletter.delivery.compiled import compose
from newsletter.delivery.headers import DateHeader, Header, Mailbox, MailboxHeader, TextHeader, TokenHeader, UrlHeader
from newsletter.delivery.session import Mail
from newsletter.delivery.store import QueuedMail
from newsletter.subscribing import store
from newsletter.subscribing.links import Links
from newsletter.subscribing.lists import ListText, MailingList, Sender, lists_by_id
from newsletter.subscribing.rules import State

WIDTH = 72

_LINK = re.compile(r"""(https?://(?:[^\s<>"()]|\([^\s<>"()]*\))*(?:[^\s<>"().,;:!?'’”“\]]|\([^\s<>"()]*\)))""")
"""Without the full stop or bracket that ends the sentence around it."""

_templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(resource("templates", "mail")),
    autoescape=False,  # noqa: S701  plain text; the HTML twin is made from it, escaped
    extensions=["jinja2.ext.i18n"],
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=True,
)


def pattern(kind: str, lists: Sequence[MailingList], language: str, *, privacy_url: str) -> str:
    """The words of a mail about these lists, of one sender, with slots such as `{confirm_url}` left open."""
    names = [each.text(language).name for each in lists]
    words = translations(language)
    return template_words(
        kind,
        language,
        lists=", ".join(names),
        quoted_lists=", ".join(words.gettext("“%(name)s”") % {"name": name} for name in names),
        sender=lists[0].sender,
        senders=_senders(lists),
        privacy_url=privacy_url,
        refused_days=REFUSED_FOR.days,
    )


def consent_wording(lists: Sequence[MailingList], language: str) -> str:
    """What stands beside the button of a sign-up form: what one agrees to by pressing it.

    The operator's own sentence where a list has one, which may not leave out the way out (GDPR Art. 7(3)); ours for the others.
    """
    words = translations(language)
    own = [wording for each in lists if (wording := each.text(language).wording)]
    others = [each for each in lists if not each.text(language).wording]
    if not others:
        return " ".join([*own, words.gettext("You can unsubscribe at any time.")])
    names = ", ".join(each.text(language).name for each in others)
    sentence = words.gettext(
        "By subscribing you agree that %(sender)s mails you %(lists)s. You can unsubscribe at any time."
    ) % {"sender": _senders(others), "lists": names}
    return " ".join([*own, sentence])


def wording_code(lists: Sequence[MailingList], language: str) -> str:
    """Names those words in a form that shows them, so that the evidence says what was shown even after they have changed."""
    return sha256(consent_wording(lists, language)).hex()


def _senders(lists: Sequence[MailingList]) -> str:
    """Of one name, but for somebody who takes lists of several along to another address."""
    return ", ".join(dict.fromkeys(each.sender.name for each in lists))


def process_wording(language: str, *, confirm_within: timedelta, policy_version: int | None) -> str:
    """How asking and confirming go, and the privacy policy that is in force meanwhile."""
    words, hours = translations(language), confirm_within // timedelta(hours=1)
    said = words.ngettext(
        "Double opt-in: whoever signs up is mailed a link to confirm, which works for %(hours)d hour; without that they are "
        "sent nothing.",
        "Double opt-in: whoever signs up is mailed a link to confirm, which works for %(hours)d hours; without that they are "
        "sent nothing.",
        hours,
    ) % {"hours": hours}
    if policy_version is None:
        in_force = words.gettext("The privacy policy has no published version yet.")
    else:
        in_force = words.gettext("The privacy policy in force is version %(version)d.") % {"version": policy_version}
    return f"{said} {in_force}"


def sender_headers(sender: Sender, recipient: str, *, subject: str, message_id: str, at: datetime) -> list[Header]:
    """What every mail of ours begins with."""
    headers: list[Header] = [
        MailboxHeader("From", [Mailbox(sender.name, sender.from_address)]),
        MailboxHeader("To", [Mailbox("", recipient)]),
        TextHeader("Subject", subject),
        DateHeader("Date", at),
        TokenHeader("Message-ID", message_id),
    ]
    if sender.reply_to:
        headers.insert(1, MailboxHeader("Reply-To", [Mailbox("", sender.reply_to)]))
    return headers


def unsubscribe_headers(url: str) -> list[Header]:
    """RFC 2369 and RFC 8058: one address, and that it takes a POST."""
    return [
        UrlHeader("List-Unsubscribe", [url]),
        TokenHeader("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
    ]


class SubscriptionMails:
    """Makes the mails that the outbox has in hand for this room."""

    def __init__(self, links: Links) -> None:
        self._links = links

    async def compose(self, db: Connection, queued: QueuedMail, now: datetime) -> Mail | None:
        """None when there is nobody to write to any more: the request was refused, has lapsed, was confirmed or erased."""
        assert queued.subscriber_id is not None
        if queued.kind == "welcome":
            return await self._welcome(db, queued, queued.subscriber_id, now)
        found = await store.mail_recipient(db, subscriber_id=queued.subscriber_id, list_ids=queued.list_ids)
        wanted_state = State.PENDING if queued.kind == "confirm" else State.CONFIRMED
        rows = [row for row in found if row.state == wanted_state and (row.expires_at is None or row.expires_at > now)]
        if not rows and not await self._moves(db, queued, now):
            return None
        # What a confirmation asks about stands in its link and its evidence; the other speaks of what is so now.
        so = {row.list_id for row in rows}
        lists = await lists_by_id(db, [each for each in queued.list_ids if queued.kind == "confirm" or each in so])
        return self._mail(queued, found[0].address, queued.subscriber_id, lists, now)

    async def _welcome(self, db: Connection, queued: QueuedMail, who: UUID, now: datetime) -> Mail | None:
        """In the words that the list has now, which it may have taken back."""
        (list_id,) = queued.list_ids
        reader = await store.greeted(db, subscriber_id=who, list_id=list_id, confirmed_at=queued.created_at, now=now)
        (found,) = await lists_by_id(db, [list_id])
        text = found.texts.get(reader.language) if reader else None
        if reader is None or text is None or not text.welcome_text or found.closed:
            return None
        url = self._links.unsubscribe(who, list_id)
        return single_mail(
            replace(queued, language=reader.language),
            found.sender,
            reader.address,
            (text.welcome_subject, self._welcome_body(found, text, reader.language, url, queued.created_at)),
            more=[TokenHeader("List-Id", f"<{found.list_id_header}>"), *unsubscribe_headers(url)],
            at=now.astimezone(found.zone),
        )

    def _welcome_body(self, found: MailingList, text: ListText, language: str, url: str, confirmed_at: datetime) -> str:
        """All that somebody typed goes into slots, so that it can name none."""
        slots = {
            "text": text.welcome_text,
            "confirmed_on": long_date(confirmed_at.astimezone(found.zone), language),
            "list": text.name,
            "sender": found.sender.name,
            "unsubscribe_url": url,
            "postal_address": found.sender.postal_address,
            "legal_notice": found.sender.legal_notice or "",
            "privacy_url": self._links.privacy,
        }
        return in_slots(template_words("welcome", language, legal_notice=bool(found.sender.legal_notice)), slots)

    async def _moves(self, db: Connection, queued: QueuedMail, now: datetime) -> bool:
        """Whether it asks to take another address's place, which is still to be confirmed where all its lists are."""
        if queued.subscriber_id is None or queued.about is None:
            return False
        asked = await store.confirmation(db, subscriber_id=queued.subscriber_id, confirmation_id=queued.about, now=now)
        return any(row.replaces is not None and row.used_at is None and row.state is not None for row in asked)

    def _mail(self, queued: QueuedMail, address: str, subscriber_id: UUID, lists: Sequence[MailingList], now: datetime) -> Mail:
        sender, zone = lists[0].sender, lists[0].zone
        slots = {"asked_at": long_time(queued.created_at.astimezone(zone), queued.language)}
        ways_out: list[str] = []
        if queued.kind == "confirm":
            assert queued.about is not None
            slots["confirm_url"] = self._links.confirm(subscriber_id, queued.about)
            slots["refuse_url"] = f"{slots['confirm_url']}/refuse"
            slots["until"] = long_time(queued.expires_at.astimezone(zone), queued.language)
        else:
            ways_out = [self._links.unsubscribe(subscriber_id, each.list_id) for each in lists]
            slots["unsubscribe_url"] = "\n".join(ways_out)
        words = filled(pattern(queued.kind, lists, queued.language, privacy_url=self._links.privacy), slots)
        more = unsubscribe_headers(ways_out[0]) if len(ways_out) == 1 else []  # The header has room for one.
        return single_mail(queued, sender, address, words, more=more, at=now.astimezone(zone))


def single_mail(
    queued: QueuedMail,
    sender: Sender,
    recipient: str,
    words: tuple[str, str],
    *,
    at: datetime,
    more: Sequence[Header] = (),
    with_html: bool = True,
) -> Mail:
    """A bare mail of these words, subject and body, with its envelope."""
    subject, body = words
    headers = sender_headers(sender, recipient, subject=subject, message_id=f"<{queued.message_id}@{sender.domain}>", at=at)
    headers += [TokenHeader("Auto-Submitted", "auto-generated"), *more]
    html_part = _html(subject, body, queued.language) if with_html else None
    composed = compose(headers, text=_wrapped(body), html=html_part, boundary=queued.message_id.hex)
    return Mail(
        sender.from_address,
        recipient,
        composed.data,
        composed.needs_smtputf8,
        sender.sender_id,
        composed.head,
        is_stuffed=True,
        body_digest=composed.body_digest,
        relay=sender.relay,
    )


def template_words(name: str, language: str, **shown: object) -> str:
    """Subject and body of `templates/mail/<name>.txt`, with slots such as `{data_url}` left open."""
    words = translations(language)
    return _templates.get_template(f"{name}.txt").render(shown, gettext=words.gettext, ngettext=words.ngettext)


def filled(words: str, slots: dict[str, str]) -> tuple[str, str]:
    """Subject and body. In one go, so that what somebody typed into one slot cannot name another."""
    head, _, body = words.partition("\n\n")
    return " ".join(head.removeprefix("Subject: ").split()), in_slots(body, slots)


def in_slots(body: str, slots: dict[str, str]) -> str:
    """What is put into one slot is not searched for others."""
    return re.sub(r"\{(\w+)\}", lambda match: slots.get(match[1], match[0]), body).strip("\n") + "\n"


def _wrapped(body: str) -> str:
    """Paragraphs at most 72 columns wide; a line that is a link stays whole."""
    return "\n".join(
        textwrap.fill(line, WIDTH, break_long_words=False, break_on_hyphens=False) if line else "" for line in body.split("\n")
    )


def _html(subject: str, body: str, language: str) -> str:
    """The bare twin: the same words, links alive, nothing else."""
    paragraphs = "\n".join(f"<p>{_linked(paragraph)}</p>" for paragraph in re.split(r"\n{2,}", body.strip()))
    return (
        f'<!doctype html>\n<html lang="{language.replace("_", "-")}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{html.escape(subject)}</title></head>\n"
        f'<body style="font:16px/1.5 sans-serif;max-width:36em;overflow-wrap:break-word">\n{paragraphs}\n</body></html>\n'
    )


def _linked(paragraph: str) -> str:
    """Every second piece is a link."""
    pieces = [html.escape(piece).replace("\n", "<br>\n") for piece in _LINK.split(paragraph)]
    pieces[1::2] = [f'<a href="{link}">{link}</a>' for link in pieces[1::2]]
    return "".join(pieces)
