"""What this room must forget, and when."""

from __future__ import annotations

from datetime import timedelta
from gettext import NullTranslations

from newsletter.core.promises import Promise, by_age, by_expiry
from newsletter.operators import store
from newsletter.operators.rules import INVITATION_LIVES, LONGEST

_FIVE_MINUTES = timedelta(minutes=5)
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_YEAR = timedelta(days=366)
_HOURLY = {"every": _HOUR, "grace": _DAY}


def promises(*, log_days: int) -> list[Promise]:
    """The declarations, with the deadlines of this installation."""
    return [_sessions(), _links(), _former_operators(log_days), _audit_log(log_days)]


def _sessions() -> Promise:
    def sentence(words: NullTranslations) -> str:
        hours = LONGEST // _HOUR
        return words.gettext(
            "Our staff's sessions, with network and browser, are deleted when they end, after %(hours)d hours at most."
        ) % {"hours": hours}

    kept = by_expiry(store.expire_sessions, store.due_sessions)
    return Promise("console-session", sentence, deadline=LONGEST, at_most=LONGEST, every=_FIVE_MINUTES, grace=_HOUR, **kept)


def _links() -> Promise:
    def sentence(words: NullTranslations) -> str:
        return words.gettext("Links with which our staff set a password are deleted after %(days)d days at most.") % {
            "days": INVITATION_LIVES.days
        }

    kept = by_expiry(store.expire_links, store.due_links)
    return Promise("operator-link", sentence, deadline=INVITATION_LIVES, at_most=INVITATION_LIVES, **_HOURLY, **kept)


def _former_operators(log_days: int) -> Promise:
    def sentence(words: NullTranslations) -> str:
        return words.gettext(
            "Of somebody who works here no longer, address and password are deleted at once, and the name after %(days)d days."
        ) % {"days": log_days}

    kept_for = timedelta(days=log_days)
    kept = by_age(kept_for, store.expire_operators, store.due_operators)
    return Promise("former-operator", sentence, deadline=kept_for, at_most=_YEAR, **_HOURLY, **kept)


def _audit_log(log_days: int) -> Promise:
    def sentence(words: NullTranslations) -> str:
        return words.gettext(
            "The log of what our staff did holds no reader's address. Whom a line is about stands there as a code, which goes "
            "when that person is deleted; the line itself is deleted after %(days)d days."
        ) % {"days": log_days}

    kept_for = timedelta(days=log_days)
    kept = by_age(kept_for, store.expire_audit, store.due_audit)
    return Promise("audit-log", sentence, deadline=kept_for, at_most=_YEAR, **_HOURLY, **kept)
