"""What the sanitiser takes out is told, and what it leaves is not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.campaigns.content import MAX_BODY, Draft, Format, taken_out_of
from newsletter.campaigns.sanitise import sanitised, taken_out


@pytest.mark.parametrize(
    ("markup", "told"),
    [
        ("<script>if (1 < 2) go()</script><script src=x></script><p>x", {"script": 2}),
        ("<form action=/x><input name=a><button>Go</button></form>x", {"form": 1, "input": 1, "button": 1}),
        ('<p onclick="go()" ONLOAD=go()>x', {"onclick": 1, "onload": 1}),
        ("<svg><path/><g><svg></svg></g></svg><iframe></iframe><embed src=x>x", {"svg": 1, "iframe": 1, "embed": 1}),
        ('<p style="color: red; position: fixed; background: url(x)">x', {"style position": 1, "style background": 1}),
        ("<style>@media print { p { color: red } } p { position: fixed }</style><p>x", {"@media": 1, "style position": 1}),
        ('<a href="javascript:go()">x</a> <img src="data:,x">', {"href with javascript:": 1, "src with data:": 1}),
        ('<img src="https://a.example/x.png" srcset="y 2x" loading=lazy>', {"srcset": 1, "loading": 1}),
        ("<!--[if mso]><p>x</p><![endif]--><p>x", {"comment for Outlook": 1}),
        ("<![ if mso]><p>x</p><![endif]><![foo]><![x[y]]><![%x;]>x", {"comment for Outlook": 1}),
        ('<p style="background: url(data:image/png;base64,AAA); /* c; d */ font-size: 12px">x', {"style background": 1}),
        ('<p style="margin: -9px; margin-top: 2px">x', {"style margin": 1}),
        ("<iframe><a <b <!-- </iframe><noscript><p onclick=x></noscript>x", {"iframe": 1, "noscript": 1}),
    ],
)  # fmt: skip
def test_each_kind_is_told_with_how_often_and_is_not_in_the_mail(markup: str, told: dict[str, int]) -> None:
    assert taken_out(markup) == told
    clean = re.sub(r"<!--.*?-->", "", sanitised(markup, tables=False, right_to_left=False))
    assert not taken_out(clean)


@pytest.mark.parametrize(
    "markup",
    [
        "<!doctype html><html lang=en><head><meta charset=utf-8><title>Tide</title></head><body>x</body></html>",
        '<p class=lead id=top data-x=y style="color: red">x</p>',
        '<a href="https://tide.example" target=_blank rel=noopener>x</a> <a href="mailto:a@b.example">y</a>',
        '<table width=600 cellpadding=0 role=presentation><tr><td valign=top bgcolor="#fff">x</td></tr></table>',
        "<style>p { color: red; margin: 0 }</style><p>x</p>",
        "",
    ],
)
def test_what_comes_through_or_nobody_misses_is_not_told(markup: str) -> None:
    assert taken_out(markup) == {}


def test_merge_fields_and_tags_are_no_markup() -> None:
    body = '{% if name == "<script>" %}<p>{{ name }}</p>{% endif %}<form>x</form>'
    assert taken_out_of(Draft("en", "Tide", "", Format.HTML, body)) == {"form": 1}


def test_of_markdown_nothing_is_taken_out_since_its_html_is_shown_as_text() -> None:
    assert taken_out_of(Draft("en", "Tide", "", Format.MARKDOWN, "<script>x</script>")) == {}


@given(st.text(alphabet=st.sampled_from("<>/!-[]'\"= apstyle:;(){}*&#x1"), max_size=200))
def test_whatever_is_typed_something_or_nothing_is_told(markup: str) -> None:
    assert all(count > 0 for count in taken_out(markup).values())


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece", ["<a ", '<a x="', "<!--", "<a b b b b ", "<![x[", "<p style='/* ", "<style>/* ", "<p style='margin:", "url(", "{ "]
)
def test_nothing_makes_it_work_for_the_square_of_the_length(piece: str) -> None:
    """Of the longest body that there may be; where it did, this took minutes."""
    assert all(count > 0 for count in taken_out((piece * MAX_BODY)[:MAX_BODY]).values())


@pytest.mark.timeout(20)
def test_nor_does_a_style_when_html_is_made_fit_for_a_mail() -> None:
    assert "x" in sanitised(f'<p style="{"margin:" * 28_000}">x', tables=False, right_to_left=False)
