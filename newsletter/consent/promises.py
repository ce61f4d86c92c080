"""What this room must forget, and when."""

from __future__ import annotations

from datetime import datetime, timedelta
from gettext import NullTranslations

from newsletter.consent import store
from newsletter.consent.rules import EVIDENCE_AT_MOST, LEFT_FOR, REFUSED_FOR, Keeps
from newsletter.core.database import Connection
from newsletter.core.promises import Due, Kept, Promise

_THREE_YEARS = timedelta(days=3 * 365)


def promises(*, origin_days: int, evidence_days: int, keeps: Keeps = Keeps.SEALED) -> list[Promise]:
    """The declarations, with the deadlines of this installation."""

    def origins(words: NullTranslations) -> str:
        return words.ngettext(
            "The network address and browser that a consent came from are deleted after %(days)d day.",
            "The network address and browser that a consent came from are deleted after %(days)d days.",
            origin_days,
        ) % {"days": origin_days}

    def suppressions(words: NullTranslations) -> str:
        return words.gettext(
            "After deletion we keep a code computed from your address, so that nobody can enter it again by mistake: "
            "for %(years)d years, and for %(days)d days when you told us that you had not asked for our mail."
        ) % {"years": LEFT_FOR.days // 365, "days": REFUSED_FOR.days}

    def withdrawals(words: NullTranslations) -> str:
        return words.gettext(
            "The list of who has left, which a restored backup is compared with, holds the same code for the same time."
        )

    def evidence(words: NullTranslations) -> str:
        if keeps is Keeps.NONE:
            return words.ngettext(
                "Proof of consent that was kept under an earlier setting is deleted %(days)d day after the address.",
                "Proof of consent that was kept under an earlier setting is deleted %(days)d days after the address.",
                evidence_days,
            ) % {"days": evidence_days}
        return words.ngettext(
            "What proves that you once subscribed is deleted %(days)d day after your address.",
            "What proves that you once subscribed is deleted %(days)d days after your address.",
            evidence_days,
        ) % {"days": evidence_days}

    hourly = {"every": timedelta(hours=1), "grace": timedelta(days=1)}
    return [
        Promise(
            "consent-origin",
            origins,
            deadline=timedelta(days=origin_days),
            at_most=_THREE_YEARS,
            keep=_keep_origins,
            due=_due_origins,
            **hourly,
        ),
        Promise(
            "evidence",
            evidence,
            deadline=timedelta(days=evidence_days),
            at_most=EVIDENCE_AT_MOST,
            keep=_keep_evidence,
            due=_due_evidence,
            **hourly,
        ),
        Promise(
            "suppression",
            suppressions,
            deadline=LEFT_FOR,
            at_most=_THREE_YEARS,
            keep=_keep_suppressions,
            due=_due_suppressions,
            **hourly,
        ),
        Promise(
            "withdrawal",
            withdrawals,
            deadline=LEFT_FOR,
            at_most=_THREE_YEARS,
            keep=_keep_withdrawals,
            due=_due_withdrawals,
            **hourly,
        ),
    ]


async def _keep_origins(db: Connection, now: datetime, size: int) -> Kept:
    return await store.expire_origins(db, now=now, size=size)


async def _keep_evidence(db: Connection, now: datetime, size: int) -> Kept:
    return await store.expire_evidence(db, now=now, longest=EVIDENCE_AT_MOST, size=size)


async def _due_evidence(db: Connection, now: datetime) -> Due:
    return await store.due_evidence(db, now=now, longest=EVIDENCE_AT_MOST)


async def _keep_suppressions(db: Connection, now: datetime, size: int) -> Kept:
    return await store.expire_suppressions(db, now=now, size=size)


async def _keep_withdrawals(db: Connection, now: datetime, size: int) -> Kept:
    return await store.expire_withdrawals(db, refused_for=REFUSED_FOR, others_for=LEFT_FOR, now=now, size=size)


async def _due_origins(db: Connection, now: datetime) -> Due:
    return await store.due_origins(db, now=now)


async def _due_suppressions(db: Connection, now: datetime) -> Due:
    return await store.due_suppressions(db, now=now)


async def _due_withdrawals(db: Connection, now: datetime) -> Due:
    return await store.due_withdrawals(db, refused_for=REFUSED_FOR, others_for=LEFT_FOR, now=now)
