"""Which versions are kept, and what an image's address says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from newsletter.campaigns.image_address import COLUMN, displayed, hash_in, size_in
from newsletter.campaigns.rules import ALL_FOR, MOST_VERSIONS, thinned

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
HASH = "0123456789abcdef" * 2


@dataclass(frozen=True)
class Saved:
    version: int
    saved_at: datetime


def saved(*ages: timedelta) -> list[Saved]:
    """Newest first, numbered so that the newest has the highest."""
    return [Saved(len(ages) - place, NOW - age) for place, age in enumerate(ages)]


def test_of_the_last_minutes_every_version_is_kept() -> None:
    assert thinned(saved(*(timedelta(seconds=3 * each) for each in range(MOST_VERSIONS))), NOW) == []


def test_of_ten_minutes_the_last_is_kept_and_later_that_of_a_day() -> None:
    hour = timedelta(hours=1)
    minute = timedelta(minutes=1)
    old = saved(timedelta(0), 52 * minute, 55 * minute, 90 * minute, *[hour * 48] * 3, hour * 100)
    assert thinned(old, NOW) == [6, 3, 2]


def test_the_newest_is_kept_however_old_and_never_more_than_a_hundred() -> None:
    ages = [timedelta(days=400 + each) for each in range(150)]
    gone = thinned(saved(*ages), NOW)
    assert len(gone) == 150 - MOST_VERSIONS
    assert 150 not in gone
    assert thinned(saved(ALL_FOR, ALL_FOR), NOW) == [1]


@pytest.mark.parametrize(
    ("address", "size"),
    [
        (f"https://news.example.org/images/{HASH}.jpg?1200x750", (COLUMN, 340)),
        (f"https://example.org/news/images/{HASH}.png?300x200", (300, 200)),
        (f"https://news.example.org/images/{HASH}.jpg", None),
        (f"https://news.example.org/images/{HASH}.jpg?0x10", None),
        (f"https://news.example.org/images/{HASH}.svg?300x200", None),
        ("https://news.example.org/images/x.jpg?300x200", None),
    ],
)
def test_an_address_of_ours_says_how_large_the_image_is_shown(address: str, size: tuple[int, int] | None) -> None:
    assert size_in(address) == size


def test_an_address_of_ours_names_its_image() -> None:
    assert hash_in(f"https://news.example.org/images/{HASH}.jpg?3x2") == hash_in(f"http://x.example/images/{HASH}.png") == HASH
    assert hash_in(f"https://evil.example/?/images/{HASH}.jpg") is None
    assert displayed(1200, 1) == (COLUMN, 1)
