"""A consent receipt: what somebody agreed to, when, in which words, and how to end it; one for each subscription.

Modelled on ISO/IEC TS 27560: who, to whom, what for, in which words, when given, how withdrawn. It is made from the evidence
each time, so that it can say nothing else than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from newsletter.core.i18n import translations
from newsletter.privacy.holdings import Event, Subscription
from newsletter.privacy.my_data import Holdings

_WITHDRAWN = ("unsubscribed", "refused", "objected")


@dataclass(frozen=True)
class Receipt:
    """`confirmed_at` None: only asked so far. `wording` and `mail` are quoted as they were."""

    person: str
    list: str
    list_name: str
    sender: str
    sender_address: str
    contact: str
    purpose: str
    legal_basis: str
    asked_at: datetime | None
    asked_from: str | None
    wording: str | None
    mail: str | None
    confirmed_at: datetime | None
    confirmed_by: str | None
    withdrawn_at: datetime | None
    withdrawn_by: str | None
    how_to_withdraw: str


def receipts(held: Holdings, language: str) -> list[Receipt]:
    """Of every subscription that there is; none of somebody who was erased."""
    if held.person is None:
        return []
    return [_receipt(held, row, language) for row in held.subscriptions if row.list_id in held.lists]


def _receipt(held: Holdings, row: Subscription, language: str) -> Receipt:
    assert held.person is not None
    words, mailing_list = translations(language), held.lists[row.list_id]
    asked = _last(held.events, row, ("asked",))
    confirmed = _last(held.events, row, ("confirmed", "resubscribed")) if row.confirmed_at else None
    withdrawn = _last(held.events, row, _WITHDRAWN) if row.unsubscribed_at else None
    return Receipt(
        person=held.person.address,
        list=mailing_list.slug,
        list_name=mailing_list.text(language).name,
        sender=mailing_list.sender.name,
        sender_address=mailing_list.sender.postal_address,
        contact=mailing_list.sender.contact,
        purpose=words.gettext("Sending this letter, and nothing else."),
        legal_basis=words.gettext("Consent (GDPR Art. 6(1)(a)), which can be withdrawn at any time."),
        asked_at=asked.occurred_at if asked else row.requested_at,
        asked_from=asked.form if asked else None,
        wording=asked.wording if asked else None,
        mail=asked.mail if asked else None,
        confirmed_at=row.confirmed_at,
        confirmed_by=confirmed.form if confirmed else None,
        withdrawn_at=row.unsubscribed_at,
        withdrawn_by=withdrawn.via or withdrawn.form if withdrawn else row.unsubscribed_via,
        how_to_withdraw=words.gettext(
            "By the link in every letter, on this page, or by writing to us: at once, with one click."
        ),
    )


def _last(events: Sequence[Event], row: Subscription, kinds: Sequence[str]) -> Event | None:
    return next((each for each in reversed(events) if each.list_id in (row.list_id, None) and each.kind in kinds), None)
