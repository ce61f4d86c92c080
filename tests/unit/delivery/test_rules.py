"""What replies mean, how pauses grow, and how the id space is cut."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from newsletter.delivery.batches import slices
from newsletter.delivery.rules import (
    BATCHES,
    FEWEST_READERS,
    LONGEST_REPLY,
    MOST_READERS,
    RECOVER_EVERY,
    SLOWEST,
    UNCERTAIN_ATTEMPTS,
    DeliveryState,
    Outcome,
    allowed_rate,
    batch_count,
    is_policy,
    is_unknown_address,
    may_resend,
    outcome_of,
    retry_pause,
    slows_domain,
    slows_relay,
    unreachable_pause,
)

LOCAL_PART = st.text("abcXYZ019!#$%&'*+-/=?^_`{|}~", min_size=1, max_size=20)
DOMAIN = st.from_regex(r"[a-z]{1,8}(\.[a-z]{2,5}){1,2}", fullmatch=True)
attempts = st.integers(min_value=1, max_value=2**15 - 1)


@pytest.mark.parametrize(
    ("code", "text", "state", "status"),
    [
        (250, "2.0.0 Ok: queued as 4BfX", DeliveryState.ACCEPTED, "2.0.0"),
        (250, "ok", DeliveryState.ACCEPTED, None),
        (421, "4.3.2 shutting down", DeliveryState.DEFERRED, "4.3.2"),
        (450, "4.7.1\ngreylisted", DeliveryState.DEFERRED, "4.7.1"),
        (452, "no room", DeliveryState.DEFERRED, None),
        (550, "5.1.1 unknown\n5.1.1 really", DeliveryState.FAILED, "5.1.1"),
        (550, "5.7.515 Access denied", DeliveryState.FAILED, "5.7.515"),
        (554, "see 5.7.1 in our manual", DeliveryState.FAILED, None),
        (550, "5.1.1000 no such thing", DeliveryState.FAILED, None),
        (550, "5.1", DeliveryState.FAILED, None),
        (550, "5.\N{ARABIC-INDIC DIGIT ONE}.1 no", DeliveryState.FAILED, None),
    ],
)
def test_the_code_is_the_outcome_and_the_status_stands_first(code: int, text: str, state: str, status: str | None) -> None:
    outcome = outcome_of(code, text.encode("utf-8", "surrogateescape"))
    assert (outcome.state, outcome.code, outcome.status) == (state, code, status)


@given(
    st.integers(min_value=200, max_value=599), st.text() | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape"))
)
@example(550, "a\x00b\udcff\u2028c")
@example(550, "x" * 400)
def test_whatever_a_relay_says_can_be_stored_as_one_short_line(code: int, text: str) -> None:
    reply = outcome_of(code, text.encode("utf-8", "surrogateescape")).reply
    assert len(reply) <= LONGEST_REPLY
    assert reply.isprintable()
    assert reply.encode().decode() == reply


@given(LOCAL_PART, DOMAIN, st.sampled_from(["<{}>: unknown", "{}", "5.1.1 {} {}\n5.1.1 <{}>", "user={};x", "no '{}' here"]))
def test_no_address_is_left_in_a_reply(local_part: str, domain: str, words: str) -> None:
    address = f"{local_part}@{domain}"
    reply = outcome_of(550, words.replace("{}", address).encode()).reply
    assert "@" not in reply
    assert domain not in reply
    assert len(local_part) < 4 or local_part not in reply


def test_an_address_at_the_cut_is_scrubbed_before_it_is_cut() -> None:
    reply = outcome_of(550, b"x " * (LONGEST_REPLY // 2 - 3) + b"anna@example.org").reply
    assert len(reply) == LONGEST_REPLY
    assert "anna" not in reply


# Pauses.

OUTCOMES = st.builds(
    Outcome,
    st.just(DeliveryState.DEFERRED),
    st.sampled_from([None, 421, 450, 451, 452]),
    st.sampled_from([None, "4.2.1", "4.7.0", "4.7.28"]),
)


@given(attempts, OUTCOMES)
def test_a_retry_waits_longer_each_time_and_never_longer_than_eight_hours(tried: int, outcome: Outcome) -> None:
    pause, next_pause = retry_pause(tried, outcome), retry_pause(tried + 1, outcome)
    assert timedelta(minutes=2) <= pause <= next_pause <= timedelta(hours=8)
    assert next_pause == min(2 * pause, retry_pause(100, outcome))


@pytest.mark.parametrize(
    ("outcome", "first", "longest"),
    [
        (Outcome(DeliveryState.DEFERRED), timedelta(minutes=2), timedelta(hours=1)),
        (Outcome(DeliveryState.DEFERRED, 421, "4.3.2"), timedelta(minutes=2), timedelta(hours=1)),
        (Outcome(DeliveryState.DEFERRED, 450, "4.7.28"), timedelta(minutes=2), timedelta(hours=1)),
        (Outcome(DeliveryState.DEFERRED, 450, "4.2.1"), timedelta(minutes=30), timedelta(hours=8)),
        (Outcome(DeliveryState.DEFERRED, 452), timedelta(minutes=30), timedelta(hours=8)),
    ],
)
def test_where_the_relay_is_busy_with_us_it_is_minutes_else_half_an_hour_at_first(
    outcome: Outcome, first: timedelta, longest: timedelta
) -> None:
    assert (retry_pause(1, outcome), retry_pause(50, outcome)) == (first, longest)


@given(attempts)
def test_a_relay_that_cannot_be_reached_is_left_alone_for_longer_each_time_up_to_five_minutes(failures: int) -> None:
    assert timedelta(seconds=5) <= unreachable_pause(failures) <= unreachable_pause(failures + 1) <= timedelta(minutes=5)


def test_the_first_pause_is_seconds_and_the_longest_is_reached() -> None:
    assert (unreachable_pause(1), unreachable_pause(7)) == (timedelta(seconds=5), timedelta(minutes=5))


@given(attempts)
def test_a_mail_is_resent_after_its_first_uncertainty_always_and_then_within_the_limit(tried: int) -> None:
    assert may_resend(tried) == (tried < UNCERTAIN_ATTEMPTS)


# Slices.


@given(st.integers(min_value=0, max_value=1_000_000))
@example(0)
@example(FEWEST_READERS)
@example(FEWEST_READERS + 1)
@example(BATCHES * MOST_READERS + 1)
def test_slices_cover_every_id_exactly_once(readers: int) -> None:
    parts = slices(readers)
    assert parts[0][0] == UUID(int=0)
    assert parts[-1][1] == UUID(int=2**128 - 1)
    assert all(before[1].int + 1 == after[0].int for before, after in pairwise(parts))
    assert all(first <= last for first, last in parts)


@given(st.integers(min_value=1, max_value=1_000_000))
def test_slices_are_equal_and_hold_at_most_a_batch_of_evenly_spread_ids(readers: int) -> None:
    parts = slices(readers)
    sizes = {last.int - first.int + 1 for first, last in parts}
    assert max(sizes) - min(sizes) <= 1
    assert readers <= len(parts) * MOST_READERS
    assert len(parts) == 1 or readers // len(parts) >= FEWEST_READERS // 2


# How an audience is cut.


@given(st.integers(min_value=0, max_value=100_000_000))
@example(0)
@example(FEWEST_READERS)
@example(BATCHES * MOST_READERS + 1)
def test_a_batch_is_worth_a_claim_and_soon_taken_over(readers: int) -> None:
    count = batch_count(readers)
    assert count >= 1
    assert readers <= count * MOST_READERS
    assert count == 1 or readers / count > FEWEST_READERS / 2


def test_a_large_audience_is_cut_so_that_many_workers_find_something() -> None:
    assert [batch_count(readers) for readers in (0, 1, 1000, 1001, 64_000, 640_000, 1_000_000)] == [1, 1, 1, 2, 64, 64, 100]


# Who asks to go slower, and how much slower.

THEN = datetime(2026, 11, 21, tzinfo=UTC)
rates = st.floats(min_value=SLOWEST, max_value=100_000)


@given(st.none() | rates, rates, st.timedeltas(min_value=timedelta(hours=-1), max_value=timedelta(days=1)))
def test_the_allowed_rate_grows_up_to_the_limit_and_never_above(full: float | None, slow: float, passed: timedelta) -> None:
    now = allowed_rate(full, slow, THEN, THEN + passed)
    later = allowed_rate(full, slow, THEN, THEN + passed + RECOVER_EVERY)
    assert full is None or now is not None
    if now is not None:
        assert now >= min(slow, full or slow)
        assert full is None or now <= full
        assert later is None or later in (full, 2 * now, now)


@given(rates, rates)
def test_after_ten_minutes_nothing_is_left_of_a_complaint(full: float, slow: float) -> None:
    assert allowed_rate(full, slow, THEN, THEN + 10 * RECOVER_EVERY) == full
    assert allowed_rate(None, slow, THEN, THEN + 10 * RECOVER_EVERY) is None


def test_the_rate_doubles_with_each_whole_minute() -> None:
    passed = [timedelta(0), RECOVER_EVERY - timedelta(seconds=1), RECOVER_EVERY, 3 * RECOVER_EVERY, 6 * RECOVER_EVERY]
    assert [allowed_rate(50, 1, THEN, THEN + each) for each in passed] == [1, 1, 2, 8, 50]


@pytest.mark.parametrize(
    ("code", "text", "about_sender", "relay", "domain"),
    [
        (421, "4.3.2 busy", False, True, False),
        (421, "4.7.0 too fast", False, True, False),
        (421, "busy", True, True, False),
        (450, "4.7.1 slow down", True, True, False),
        (450, "4.7.1 slow down", False, False, True),
        (451, "4.7.28 too many", False, False, True),
        (450, "4.2.1 mailbox busy", False, False, False),
        (450, "4.2.1 mailbox busy", True, False, False),
        (450, "slow down", True, False, False),
        (550, "5.7.1 not you", True, False, False),
        (550, "4.7.1 what is it then?", False, False, False),
        (250, "4.7.1 taken, I think", False, False, False),
    ],
)
def test_who_asks_to_go_slower_is_the_relay_or_the_domain(
    code: int, text: str, about_sender: bool, relay: bool, domain: bool
) -> None:
    outcome = replace(outcome_of(code, text.encode()), about_sender=about_sender)
    assert (slows_relay(outcome), slows_domain(outcome)) == (relay, domain)


@given(st.integers(min_value=200, max_value=599), st.from_regex(r"[245]\.[0-9]\.[0-9]{1,2}", fullmatch=True), st.booleans())
def test_an_outcome_says_one_thing_about_others_at_most(code: int, status: str, about_sender: bool) -> None:
    outcome = replace(outcome_of(code, status.encode()), about_sender=about_sender)
    says = [slows_relay(outcome), slows_domain(outcome), is_policy(outcome), is_unknown_address(outcome)]
    assert sum(says) <= 1
    assert not (200 <= code < 300 and any(says))


@pytest.mark.parametrize(
    ("code", "text", "policy", "unknown"),
    [
        (550, "5.7.1 not you", True, False),
        (550, "5.7.515 not authenticated", True, False),
        (550, "5.1.1 no such user", False, True),
        (550, "5.1.10 null MX", False, False),
        (550, "5.71.1 no such status", False, False),
        (550, "no such user", False, False),
        (450, "4.7.1 later", False, False),
        (450, "5.7.1 what is it then?", False, False),
        (450, "5.1.1 what is it then?", False, False),
    ],
)
def test_a_refusal_is_about_us_or_about_an_address_that_is_not_there(code: int, text: str, policy: bool, unknown: bool) -> None:
    outcome = outcome_of(code, text.encode())
    assert (is_policy(outcome), is_unknown_address(outcome)) == (policy, unknown)
