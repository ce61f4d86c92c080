"""What preflight reads in a finished letter, and what it makes of sizes and words."""

from __future__ import annotations

import re

import pytest

from newsletter.campaigns.checks import logic_check, size_check, text_check
from newsletter.campaigns.content import Draft, Format, compile_content
from newsletter.campaigns.looking import Shown, look_at
from newsletter.core.findings import Result
from tests.unit.campaigns.test_content import FRAME


def test_links_images_and_words_are_found_and_what_nobody_sees_is_not() -> None:
    look = look_at(
        "<head><title>Tide</title><style>p { color: red }</style></head><p>See <a href='https://a.example/?b=1&amp;c=2'>it</a>"
        '<img src="https://a.example/x.png" alt="A &quot;lamp&quot;" width="3"><img src="y"></p>'
    )
    assert look.links == ["https://a.example/?b=1&c=2"]
    assert look.images == [Shown("https://a.example/x.png", 'A "lamp"', "3"), Shown("y", "", "")]
    assert look.words == "See it"


def test_what_gmail_would_cut_is_bad_and_what_comes_near_is_worth_a_look() -> None:
    sizes = {80 * 1024: Result.GOOD, 95 * 1024: Result.WARN, 103 * 1024: Result.BAD}
    assert {octets: size_check(octets).result for octets in sizes} == sizes


def test_a_text_part_that_is_empty_or_far_shorter_than_the_letter_is_said() -> None:
    letter = "word " * 40
    assert text_check(" \n", letter).result is Result.BAD
    assert text_check("word " * 19, letter).result is Result.WARN
    assert text_check("word " * 38, letter).result is Result.GOOD


@pytest.mark.parametrize(("readers", "said"), [(5, "well under a second"), (10**9, r"[\d,]+ minutes")])
def test_what_logic_costs_for_all_readers_is_said_in_a_measure_that_fits(readers: int, said: str) -> None:
    letter = Draft("en", "Tide", "", Format.MARKDOWN, "{% if name == 'Jo' %}Jo{% else %}You{% endif %}, hello.")
    found = logic_check(compile_content(letter, frame=FRAME), readers).found
    assert re.fullmatch(rf"Conditions or filters .*: about [\d,]+ µs, {said} of one processor in all\.", found), found
