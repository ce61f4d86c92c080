"""A figure in a sentence of the privacy page is the one that the rule goes by."""

from __future__ import annotations

from datetime import timedelta
from gettext import NullTranslations

import pytest

from newsletter.consent import promises as consent
from newsletter.consent.service import Ledger
from newsletter.core.promises import Promise
from newsletter.subscribing import promises as subscribing

LEDGER = Ledger(origin_for=timedelta(days=180))


def sentence(promises: list[Promise], name: str) -> str:
    return next(promise.sentence(NullTranslations()) for promise in promises if promise.name == name)


@pytest.mark.parametrize(("hours", "said"), [(1, "1 hour"), (6, "6 hours"), (24, "24 hours")])
def test_a_request_and_its_link_live_no_longer_than_there_is_time_to_confirm(hours: int, said: str) -> None:
    promises = subscribing.promises(confirm_hours=hours, erase_left_days=14, ledger=LEDGER)
    assert sentence(promises, "signup-request").endswith(f"is deleted after {said}.")
    assert f"is forgotten {said} after you asked" in sentence(promises, "confirmation")
    assert f"within {said}, we delete" in sentence(promises, "unconfirmed")


def test_counters_are_said_to_be_kept_for_as_long_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscribing, "HITS_KEPT", timedelta(days=17))
    assert "deleted after 17 days" in sentence(
        subscribing.promises(confirm_hours=24, erase_left_days=14, ledger=LEDGER), "limits"
    )


def test_codes_are_said_to_be_kept_for_as_long_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consent, "LEFT_FOR", timedelta(days=2 * 365))
    monkeypatch.setattr(consent, "REFUSED_FOR", timedelta(days=11))
    said = sentence(consent.promises(origin_days=180, evidence_days=180), "suppression")
    assert "for 2 years; for a year when your mailbox did not take our mail; for 11 days when" in said
