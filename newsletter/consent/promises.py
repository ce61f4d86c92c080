"""What this room must forget, and when."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from functools import partial
from gettext import NullTranslations
from pathlib import Path

from newsletter.consent import store, withdrawal_file
from newsletter.consent.rules import EVIDENCE_AT_MOST, LEFT_FOR, REFUSED_FOR, Keeps
from newsletter.core.database import Connection
from newsletter.core.promises import Due, Kept, Promise, by_expiry

_THREE_YEARS = timedelta(days=3 * 365)
_YEAR = timedelta(days=366)
_HOURLY = {"every": timedelta(hours=1), "grace": timedelta(days=1)}


def promises(*, origin_days: int, evidence_days: int, keeps: Keeps = Keeps.SEALED) -> list[Promise]:
    """The declarations, with the deadlines of this installation."""
    return [_origins(origin_days), _evidence(evidence_days, keeps), _suppressions(), _withdrawals()]


def _origins(origin_days: int) -> Promise:
    def sentence(words: NullTranslations) -> str:
        return words.ngettext(
            "The network address and browser that a consent came from are deleted after %(days)d day.",
            "The network address and browser that a consent came from are deleted after %(days)d days.",
            origin_days,
        ) % {"days": origin_days}

    kept = by_expiry(store.expire_origins, store.due_origins)
    return Promise("consent-origin", sentence, deadline=timedelta(days=origin_days), at_most=_THREE_YEARS, **_HOURLY, **kept)


def _evidence(evidence_days: int, keeps: Keeps) -> Promise:
    def sentence(words: NullTranslations) -> str:
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

    kept = by_expiry(
        partial(store.expire_evidence, longest=EVIDENCE_AT_MOST), partial(store.due_evidence, longest=EVIDENCE_AT_MOST)
    )
    return Promise("evidence", sentence, deadline=timedelta(days=evidence_days), at_most=EVIDENCE_AT_MOST, **_HOURLY, **kept)


def _suppressions() -> Promise:
    def sentence(words: NullTranslations) -> str:
        return words.gettext(
            "After deletion we keep a code computed from your address, so that nobody can enter it again by mistake: "
            "for %(years)d years; for a year when your mailbox did not take our mail; for %(days)d days when you told us that "
            "you had not asked for it; and when you objected to all mail, until you lift that."
        ) % {"years": LEFT_FOR.days // 365, "days": REFUSED_FOR.days}

    kept = by_expiry(store.expire_suppressions, store.due_suppressions)
    return Promise("suppression", sentence, deadline=LEFT_FOR, at_most=_THREE_YEARS, **_HOURLY, **kept)


def _withdrawals() -> Promise:
    def sentence(words: NullTranslations) -> str:
        return words.gettext(
            "The list of who has left, which a restored backup is compared with, holds the same code for the same time."
        )

    kept = by_expiry(
        partial(store.expire_withdrawals, refused_for=REFUSED_FOR, others_for=LEFT_FOR),
        partial(store.due_withdrawals, refused_for=REFUSED_FOR, others_for=LEFT_FOR),
    )
    return Promise("withdrawal", sentence, deadline=LEFT_FOR, at_most=_THREE_YEARS, **_HOURLY, **kept)


def file_promise(path: Path, *, backup_days: int) -> Promise:
    """Of the files of withdrawals outside the database, where there are any: each goes when no backup is as old as it.

    One is closed a day after it was begun; what stands in it is known to every backup from then on.
    """
    deadline = timedelta(days=max(backup_days, 1))

    def files(words: NullTranslations) -> str:
        return words.ngettext(
            "The same list outside the database is deleted piece by piece, each %(days)d day after it was closed, "
            "when there is no backup left that is older.",
            "The same list outside the database is deleted piece by piece, each %(days)d days after it was closed, "
            "when there is no backup left that is older.",
            deadline.days,
        ) % {"days": deadline.days}

    async def keep(_: Connection, now: datetime, size: int) -> Kept:
        closed = await asyncio.to_thread(withdrawal_file.delete_closed, path, before=now - deadline, size=size)
        return Kept(len(closed), min(closed, default=None)).due_after(deadline)

    async def due(_: Connection, now: datetime) -> Due:
        try:
            closed = [withdrawal_file.closed_at(each) for each in withdrawal_file.closed_before(path, now - deadline)]
        except OSError:  # A process that may not look there, such as the web app, has nothing to tell.
            closed = []
        return Due(len(closed), min(closed, default=None)).due_after(deadline)

    return Promise(
        "withdrawal-files",
        files,
        deadline=deadline,
        at_most=_YEAR,
        keep=keep,
        due=due,
        **_HOURLY,
    )
