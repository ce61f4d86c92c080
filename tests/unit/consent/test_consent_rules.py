"""Why somebody must not be mailed, for how long, and when they may be asked again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.consent.rules import KEPT_FOR, Reason, Suppression, may_be_asked, until

NOW = datetime(2026, 11, 21, 14, 5, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


def standing(reason: Reason, ago: timedelta, *, list_id: int = 1) -> Suppression:
    since = NOW - ago
    return Suppression(list_id, reason.value, since, until(reason, since))


@pytest.mark.parametrize(
    ("reason", "ago", "asked"),
    [
        (Reason.LEFT, timedelta(0), True),
        (Reason.LEFT, 1000 * DAY, True),
        (Reason.COMPLAINED, timedelta(0), False),
        (Reason.COMPLAINED, DAY - SECOND, False),
        (Reason.COMPLAINED, DAY, True),
        (Reason.BOUNCED, 7 * DAY - SECOND, False),
        (Reason.BOUNCED, 7 * DAY, True),
        (Reason.REFUSED, timedelta(0), False),
        (Reason.REFUSED, 30 * DAY - SECOND, False),
        (Reason.OBJECTED, timedelta(0), False),
        (Reason.OBJECTED, 10_000 * DAY, False),
    ],
)
def test_each_reason_has_its_pause(reason: Reason, ago: timedelta, asked: bool) -> None:
    assert may_be_asked([standing(reason, ago)], NOW) is asked


def test_whom_nothing_stands_against_may_be_asked() -> None:
    assert may_be_asked([], NOW)


@pytest.mark.parametrize("list_id", [0, 1, 2])
def test_what_stands_against_one_list_counts_for_all(list_id: int) -> None:
    """Whoever bombs an address changes lists."""
    assert not may_be_asked([standing(Reason.REFUSED, DAY, list_id=list_id)], NOW)


@given(st.lists(st.tuples(st.sampled_from(Reason), st.timedeltas(timedelta(0), 60 * DAY)), max_size=6))
def test_one_reason_is_enough(reasons: list[tuple[Reason, timedelta]]) -> None:
    suppressions = [standing(reason, ago) for reason, ago in reasons]
    assert may_be_asked(suppressions, NOW) is all(may_be_asked([each], NOW) for each in suppressions)


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        (Reason.LEFT, 3 * 365 * DAY),
        (Reason.COMPLAINED, 3 * 365 * DAY),
        (Reason.BOUNCED, 365 * DAY),
        (Reason.REFUSED, 30 * DAY),
    ],
)
def test_each_reason_is_kept_for_its_time(reason: Reason, kept: timedelta) -> None:
    """Design, section 4: the policy promises these."""
    assert until(reason, NOW) == NOW + kept


def test_an_objection_stands_until_it_is_lifted() -> None:
    assert until(Reason.OBJECTED, NOW) is None


def test_every_reason_has_its_rules() -> None:
    assert set(KEPT_FOR) == set(Reason)
    for reason in Reason:
        assert isinstance(may_be_asked([standing(reason, timedelta(0))], NOW), bool)
