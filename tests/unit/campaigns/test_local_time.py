"""A time as people type it means one moment, or nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.campaigns.local_time import FARTHEST, read_ahead, read_local
from newsletter.core.errors import InvalidInput

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = [
    ZoneInfo(name)
    for name in ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia")
]
START = datetime(2000, 1, 1)  # noqa: DTZ001  as people type it


@given(
    st.integers(0, 40 * 366 * 24 * 60).map(lambda minutes: START + timedelta(minutes=minutes)),
    st.sampled_from(ZONES),
)
def test_what_is_read_is_shown_again_as_it_was_typed(typed: datetime, zone: ZoneInfo) -> None:
    try:
        meant = read_local(f"{typed:%Y-%m-%dT%H:%M}", zone)
    except InvalidInput as error:
        assert "put forward" in str(error)
        assert all(
            typed.replace(tzinfo=zone, fold=fold).astimezone(UTC).astimezone(zone).replace(tzinfo=None) != typed
            for fold in (0, 1)
        )
    else:
        assert meant.at.astimezone(zone).replace(tzinfo=None) == typed
        again = typed.replace(tzinfo=zone, fold=1).astimezone(UTC)
        assert meant.comes_twice == (again != meant.at)
        assert meant.at <= again


@given(st.one_of(st.text("0123456789-T: +Zab", max_size=24), st.text(max_size=20)))
def test_whatever_else_is_typed_is_refused_with_a_sentence(text: str) -> None:
    try:
        read_local(text, BERLIN)
    except InvalidInput as error:
        assert error.field == "at"


@pytest.mark.parametrize(
    "text", ["", "2026-12-05", "2026-12-05T09:30Z", "2026-12-05T09:30+01:00", "20261205", "tomorrow", "2026-02-30T10:00"]
)
def test_a_date_and_a_time_are_asked_for(text: str) -> None:
    with pytest.raises(InvalidInput, match="such as 2026-12-05 09:30"):
        read_local(text, BERLIN)


def test_an_hour_that_does_not_exist_is_refused_with_the_one_that_does() -> None:
    with pytest.raises(InvalidInput, match=r"There is no 02:30 on 28 March 2027.*Take an earlier time, or 03:30\."):
        read_local("2027-03-28T02:30", BERLIN)


def test_an_hour_that_comes_twice_is_the_first() -> None:
    meant = read_local("2026-10-25T02:30", BERLIN)
    assert (meant.at, meant.comes_twice) == (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), True)


def test_what_is_past_or_far_ahead_is_refused() -> None:
    now = datetime(2026, 11, 21, 14, 5, tzinfo=UTC)
    with pytest.raises(InvalidInput, match="it is 15:05 on 21 November 2026 now"):
        read_ahead("2026-11-21T15:05", BERLIN, now=now)
    assert read_ahead("2026-11-21T15:06", BERLIN, now=now).at == now + timedelta(minutes=1)
    far = (now + FARTHEST + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M")
    with pytest.raises(InvalidInput, match="look at the year"):
        read_ahead(far, BERLIN, now=now)
