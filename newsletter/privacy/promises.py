"""What this room must forget: requests about people's data, messages, and its own records."""

from __future__ import annotations

from datetime import timedelta
from gettext import NullTranslations

from newsletter.core.promises import Promise, by_age, by_expiry
from newsletter.privacy import contact, store
from newsletter.privacy.requests import KEPT_FOR

_SOON = {"every": timedelta(minutes=5), "grace": timedelta(hours=1)}


def promises(*, log_days: int, confirm_hours: int) -> list[Promise]:
    """The declarations, with the deadlines of this installation."""

    def runs(words: NullTranslations) -> str:
        return words.gettext("The records of what was deleted when hold no personal data and are kept for %(days)d days.") % {
            "days": log_days
        }

    kept_for = timedelta(days=log_days)

    return [
        *_of_requests(confirm_hours),
        Promise(
            "retention-runs",
            runs,
            deadline=kept_for,
            at_most=timedelta(days=366),
            every=timedelta(hours=1),
            grace=timedelta(days=1),
            **by_age(kept_for, store.expire_runs, store.due_runs),
        ),
    ]


def _of_requests(hours: int) -> list[Promise]:
    """`hours`: for how long a link to somebody's data waits to be mailed, as a confirmation mail does."""

    def asked(words: NullTranslations) -> str:
        return words.ngettext(
            "An address that asked what we hold about it is forgotten when the answer is mailed, after %(hours)d hour at most.",
            "An address that asked what we hold about it is forgotten when the answer is mailed, after %(hours)d hours at "
            "most.",
            hours,
        ) % {"hours": hours}

    def written(words: NullTranslations) -> str:
        return words.gettext(
            "What you write on the page for questions about data is deleted here when it is handed over as a mail, "
            "after %(days)d days at most."
        ) % {"days": contact.LIVES.days}

    def registered(words: NullTranslations) -> str:
        return words.gettext(
            "The register of requests that we have to answer names nobody; a line is deleted when it is answered, "
            "after %(days)d days at most."
        ) % {"days": KEPT_FOR.days}

    lives, day = timedelta(hours=hours), timedelta(days=1)
    return [
        Promise(
            "data-request",
            asked,
            deadline=lives,
            at_most=day,
            **_SOON,
            **by_expiry(store.expire_data_requests, store.due_data_requests),
        ),
        Promise(
            "contact-message",
            written,
            deadline=contact.LIVES,
            at_most=contact.LIVES,
            **_SOON,
            **by_expiry(store.expire_contact_messages, store.due_contact_messages),
        ),
        Promise(
            "rights-request",
            registered,
            deadline=KEPT_FOR,
            at_most=timedelta(days=366),
            every=timedelta(hours=1),
            grace=day,
            **by_age(KEPT_FOR, store.expire_rights_requests, store.due_rights_requests),
        ),
    ]
