"""People are spoken to in the language that they ask for, and dates are written out."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.core.i18n import choose_language, language_name, languages, long_date, long_time, translations

OFFERED = ("en", "de", "pt_BR")
MOMENT = datetime(2026, 11, 21, 14, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("en;q=0.5, de;q=0.9", "de"),
        ("fr, de;q=0.1", "de"),
        ("fr", "en"),
        ("DE", "de"),
        ("pt-br", "pt_BR"),
        ("de;q=0, en", "en"),
        ("de;q=0", "en"),
        ("*", "en"),
        ("de ; q=0.9 , en ; q=0.2", "de"),
        ("de;q=high, en;q=0.1", "en"),
        (";;;,,,", "en"),
        ("de" + ",fr" * 100_000, "de"),
    ],
)
def test_the_best_language_on_offer_is_chosen(header: str, chosen: str) -> None:
    """RFC 9110, section 12.5.4; where none fits, the first on offer."""
    assert choose_language(header, OFFERED) == chosen


@given(
    st.one_of(
        st.text(max_size=100),
        st.from_regex(r"((de|DE|pt-br|PT|[a-zA-Z*-]{0,9})(;q=[0-9.einfa+-]{0,5})?,?){0,5}", fullmatch=True),
    )
)
def test_any_header_leads_to_a_language_on_offer(header: str) -> None:
    assert choose_language(header, OFFERED) in OFFERED


def test_english_comes_first_and_german_is_spoken() -> None:
    assert languages()[0] == "en"
    assert "de" in languages()


def test_every_language_says_its_own_name() -> None:
    assert [language_name(language) for language in ("en", "de")] == ["English", "Deutsch"]


def test_a_language_that_we_do_not_speak_is_answered_in_english() -> None:
    assert translations("tlh").gettext("%(date)s at %(time)s (%(zone)s)") == "%(date)s at %(time)s (%(zone)s)"


@pytest.mark.parametrize(("language", "written"), [("en", "5 December 2026"), ("de", "5. Dezember 2026")])
def test_dates_are_written_out(language: str, written: str) -> None:
    assert long_date(date(2026, 12, 5), language) == written


def test_times_are_written_with_their_zone() -> None:
    assert long_time(MOMENT, "en") == "21 November 2026 at 14:05 (UTC)"
    assert long_time(MOMENT.astimezone(ZoneInfo("Europe/Berlin")), "en") == "21 November 2026 at 15:05 (CET)"
    assert long_time(MOMENT.astimezone(ZoneInfo("Asia/Tokyo")), "en") == "21 November 2026 at 23:05 (JST)"
    assert long_time(MOMENT.replace(hour=23).astimezone(ZoneInfo("Asia/Tokyo")), "en").startswith("22 November 2026 at 08:05")


def test_german_times_are_german() -> None:
    written = long_time(MOMENT, "de")
    assert "21. November 2026" in written
    assert "14:05" in written
    assert "(UTC)" in written
    assert long_time(MOMENT.astimezone(ZoneInfo("Europe/Berlin")), "de").endswith("um 15:05 Uhr (MEZ)")
    summer = MOMENT.replace(month=7).astimezone(ZoneInfo("Europe/Berlin"))
    assert long_time(summer, "de").endswith("um 16:05 Uhr (MESZ)")
    assert long_time(MOMENT.astimezone(ZoneInfo("Asia/Tokyo")), "de").endswith("(JST)")
    assert " at " not in written
