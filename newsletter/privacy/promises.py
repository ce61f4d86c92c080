"""What this room must forget: requests about people's data, messages, and its own records."""

from __future__ import annotations

from datetime import timedelta
from gettext import NullTranslations

from newsletter.core.promises import Promise, by_age, by_expiry
from newsletter.privacy import contact, store
from newsletter.privacy.requests import KEPT_FOR

_DAY, _YEAR = timedelta(days=1), timedelta(days=366)
_SOON = {"every": timedelta(minutes=5), "grace": timedelta(hours=1)}
_HOURLY = {"every": timedelta(hours=1), "grace": _DAY}


def promises(*, log_days: int, confirm_hours: int) -> list[Promise]:
    """The declarations, with the deadlines of this installation."""
    return [_data_requests(confirm_hours), _messages(), _register(), _runs(log_days)]


def _data_requests(hours: int) -> Promise:
    """`hours`: for how long a link to somebody's data waits to be mailed, as a confirmation mail does."""

    def sentence(words: NullTranslations) -> str:
        return words.ngettext(
            "An address that asked what we hold about it is forgotten when the answer is mailed, after %(hours)d hour at most.",
            "An address that asked what we hold about it is forgotten when the answer is mailed, after %(hours)d hours at "
            "most.",
            hours,
        ) % {"hours": hours}

    kept = by_expiry(store.expire_data_requests, store.due_data_requests)
    return Promise("data-request", sentence, deadline=timedelta(hours=hours), at_most=_DAY, **_SOON, **kept)


def _messages() -> Promise:
    def sentence(words: NullTranslations) -> str:
        return words.gettext(
            "What you write on the page for questions about data is deleted here when it is handed over as a mail, "
            "after %(days)d days at most."
        ) % {"days": contact.LIVES.days}

    kept = by_expiry(store.expire_contact_messages, store.due_contact_messages)
    return Promise("contact-message", sentence, deadline=contact.LIVES, at_most=contact.LIVES, **_SOON, **kept)


def _register() -> Promise:
    def sentence(words: NullTranslations) -> str:
        return words.gettext(
            "The register of requests that we have to answer names nobody; a line is deleted when it is answered, "
            "after %(days)d days at most."
        ) % {"days": KEPT_FOR.days}

    kept = by_age(KEPT_FOR, store.expire_rights_requests, store.due_rights_requests)
    return Promise("rights-request", sentence, deadline=KEPT_FOR, at_most=_YEAR, **_HOURLY, **kept)


def _runs(log_days: int) -> Promise:
    def sentence(words: NullTranslations) -> str:
        return words.gettext("The records of what was deleted when hold no personal data and are kept for %(days)d days.") % {
            "days": log_days
        }

    kept_for = timedelta(days=log_days)
    kept = by_age(kept_for, store.expire_runs, store.due_runs)
    return Promise("retention-runs", sentence, deadline=kept_for, at_most=_YEAR, **_HOURLY, **kept)
