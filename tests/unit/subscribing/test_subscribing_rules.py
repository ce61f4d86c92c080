"""What a sign-up calls for: a decision table, and what holds of every decision."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.subscribing.rules import (
    HITS_KEPT,
    MAIL_LIMITS,
    Ask,
    Decision,
    SayAlready,
    State,
    StaySilent,
    decide,
    is_limited,
)

NOW = datetime(2026, 11, 21, 14, 5, tzinfo=UTC)
SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)

states = st.dictionaries(st.integers(1, 4), st.sampled_from(State))
moments = st.lists(st.timedeltas(timedelta(0), timedelta(days=40)).map(lambda ago: NOW - ago), max_size=8)


@pytest.mark.parametrize(
    ("asked", "known", "decision"),
    [
        ([1], {}, Ask([1])),
        ([1], {1: State.PENDING}, Ask([1])),
        ([1], {1: State.UNSUBSCRIBED}, Ask([1])),
        ([1], {1: State.CONFIRMED}, SayAlready([1])),
        ([1], {2: State.CONFIRMED}, Ask([1])),
        ([1, 2], {}, Ask([1, 2])),
        ([1, 2], {1: State.CONFIRMED}, Ask([2])),
        ([1, 2], {1: State.UNSUBSCRIBED, 2: State.PENDING}, Ask([1, 2])),
        ([1, 2], {1: State.CONFIRMED, 2: State.CONFIRMED}, SayAlready([1, 2])),
        ([2, 1], {3: State.CONFIRMED}, Ask([2, 1])),
    ],
)
def test_each_state_of_an_address_has_its_answer(asked: list[int], known: dict[int, State], decision: Decision) -> None:
    assert decide(asked, known, may_ask=True, mailed_at=[], now=NOW) == decision
    assert decide(asked, known, may_ask=False, mailed_at=[], now=NOW) == StaySilent("suppressed")
    assert decide(asked, known, may_ask=True, mailed_at=[NOW], now=NOW) == StaySilent("limited")
    assert decide(asked, known, may_ask=False, mailed_at=[NOW], now=NOW) == StaySilent("suppressed")


@pytest.mark.parametrize(
    ("mailed_ago", "limited"),
    [
        ([], False),
        ([timedelta(0)], True),
        ([10 * MINUTE - SECOND], True),
        ([10 * MINUTE], False),
        ([10 * MINUTE, 20 * MINUTE], False),
        ([10 * MINUTE, 20 * MINUTE, DAY - SECOND], True),
        ([10 * MINUTE, 20 * MINUTE, DAY], False),
        ([2 * DAY, 3 * DAY, 4 * DAY, 5 * DAY], False),
        ([2 * DAY, 3 * DAY, 4 * DAY, 5 * DAY, 30 * DAY - SECOND], True),
        ([2 * DAY, 3 * DAY, 4 * DAY, 5 * DAY, 30 * DAY], False),
    ],
)
def test_one_in_ten_minutes_three_a_day_five_in_thirty_days(mailed_ago: list[timedelta], limited: bool) -> None:
    """Rolling, to the second, and not by calendar."""
    assert is_limited([NOW - ago for ago in mailed_ago], NOW) is limited


@given(st.lists(st.integers(1, 4), min_size=1, unique=True), states, st.booleans(), moments)
def test_a_sign_up_never_asks_about_what_is_confirmed(
    asked: list[int], known: dict[int, State], may_ask: bool, mailed_at: list[datetime]
) -> None:
    match decide(asked, known, may_ask=may_ask, mailed_at=mailed_at, now=NOW):
        case Ask(list_ids):
            assert list_ids == [each for each in asked if known.get(each) is not State.CONFIRMED] != []
        case SayAlready(list_ids):
            assert list_ids == asked
            assert {known[each] for each in asked} == {State.CONFIRMED}
        case StaySilent(why):
            assert why == ("limited" if may_ask else "suppressed")
            assert not may_ask or is_limited(mailed_at, NOW)


@given(st.lists(st.integers(0, 40 * 24 * 60), max_size=40))
def test_no_rolling_window_ever_sees_more_mails_than_it_may(minutes: list[int]) -> None:
    """Somebody signs an address up at these times: whichever window one looks at afterwards, the limit held in it."""
    mailed: list[datetime] = []
    for minute in sorted(minutes):
        now = NOW + minute * MINUTE
        if not is_limited([moment for moment in mailed if moment > now - HITS_KEPT], now):
            mailed.append(now)
    for window, most in MAIL_LIMITS:
        for first in mailed:
            assert sum(first <= moment < first + window for moment in mailed) <= most


def test_counters_remember_as_long_as_the_longest_window() -> None:
    assert max(window for window, _ in MAIL_LIMITS) == HITS_KEPT
