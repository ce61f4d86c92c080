"""Months as people and laws count them, words for every code, and a table that no spreadsheet runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from gettext import NullTranslations

import pytest

from newsletter.consent.rules import Event, Reason
from newsletter.delivery.rules import DeliveryState
from newsletter.privacy import words
from newsletter.privacy.promises import promises
from newsletter.privacy.rules import OBJECTIONS, Why, months_later
from newsletter.subscribing.rules import State, Via
from newsletter.web.console.relays import KINDS


@pytest.mark.parametrize(
    ("moment", "months", "later"),
    [
        ("2026-11-21", 1, "2026-12-21"),
        ("2026-11-30", 3, "2027-02-28"),
        ("2027-11-30", 3, "2028-02-29"),
        ("2026-12-31", 6, "2027-06-30"),
        ("2026-12-15", 1, "2027-01-15"),
        ("2026-01-31", 1, "2026-02-28"),
        ("2026-06-30", 6, "2026-12-30"),
    ],
)
def test_a_month_ends_on_the_same_day_or_the_last_there_is(moment: str, months: int, later: str) -> None:
    at = datetime.fromisoformat(moment).replace(hour=23, minute=59, tzinfo=UTC)
    assert months_later(at, months) == datetime.fromisoformat(later).replace(hour=23, minute=59, tzinfo=UTC)


def test_there_are_plain_words_for_every_code() -> None:
    assert set(words.EVENTS) == {each.value for each in Event}
    assert set(words.REASONS) == {each.value for each in Reason}
    assert set(words.STATES) == {each.value for each in State}
    assert set(words.OUTCOMES) == {each.value for each in DeliveryState} | {"attempting"}
    assert {each.value for each in Via} <= set(words.VIAS)
    assert set(words.MAILS) == set(KINDS) - {"notice", "operator"}  # Of these, nobody waits for one who is a reader.
    assert set(OBJECTIONS) == set(Why)


@pytest.mark.parametrize("hours", [1, 12, 24])
def test_an_address_that_asked_for_its_data_waits_no_longer_than_the_setting_says(hours: int) -> None:
    declared = {each.name: each for each in promises(log_days=365, confirm_hours=hours)}
    assert declared["data-request"].deadline == timedelta(hours=hours)
    assert f"after {hours} hour" in declared["data-request"].sentence(NullTranslations())
