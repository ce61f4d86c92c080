"""The text part reads well by itself."""

from __future__ import annotations

import time
from gettext import NullTranslations
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.campaigns.content import Draft, Format, Reader, compile_content
from newsletter.campaigns.frame import Frame
from newsletter.campaigns.plaintext import WIDTH, wrap
from newsletter.campaigns.prepared import StandIns

SITE = "https://n.example"
FRAME = Frame("List", "About", "Sender", "Street 1", None, f"{SITE}/subscribe", f"{SITE}/privacy", 14, NullTranslations())
LONG = "https://e.example/" + "a" * 90


def text(body: str, name: str = "Jo", format_: Format = Format.MARKDOWN) -> str:
    """The text that comes of a body, without its frame."""
    compiled = compile_content(Draft("en", "News", "", format_, body), frame=FRAME)
    whole = compiled.render(Reader(name, "3 March 2026", "https://n.example/unsubscribe/x")).text
    inside, separator, _ = whole.partition("--\nYou get this letter")
    assert separator
    assert inside.endswith("\n\n")
    assert "\n\n\n" not in inside
    return inside[:-2]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("# The long tide {{ name }}", "THE LONG TIDE Jo"),
        ("## What to *bring*", "What to bring\n-------------"),
        ("### Details\ntext", "Details\n\ntext"),
        ("a\nb  \nc\n\nd", "a b\nc\n\nd"),
        ("[Keep me a place](https://e.example/)", "Keep me a place: https://e.example/"),
        ("See: [here](https://e.example/)", "See: here: https://e.example/"),
        ("[Here:](https://e.example/)", "Here: https://e.example/"),
        ("[a](https://e.example/a) [b](https://e.example/b)", "a <https://e.example/a> b: https://e.example/b"),
        ("[a](https://e.example/a)  \nb [c :](https://e.example/c)", "a: https://e.example/a\nb c: https://e.example/c"),
        ("Read [this](https://e.example/?a=1&b=2), then go.", "Read this <https://e.example/?a=1&b=2>, then go."),
        ("<https://e.example/>", "https://e.example/"),
        ("<a@e.example> [write](mailto:b@e.example)", "a@e.example write: b@e.example"),
        ("[leave]({{ links.unsubscribe }})", "leave:\nhttps://n.example/unsubscribe/x"),
        ("- a\n- b\n  - c\n  - d\n\n    e\n- f\n\ng", "- a\n- b\n  - c\n\n  - d\n\n    e\n\n- f\n\ng"),
        ("- a\n- b\n\nc", "- a\n- b\n\nc"),
        ("9. a\n10. b\n   c", "9. a\n10. b c"),
        ("> a\n>\n> - b\n> - c\n\nd", "> a\n\n> - b\n> - c\n\nd"),
        ("```\na  b\n  c > d\n```\ne", "    a  b\n      c > d\n\ne"),
        ("a\n\n---\n\nb", "a\n\n* * *\n\nb"),
        ("| a | b |\n|---|---|\n| 1 | {{ name }} |\n\nc", "a | b\n1 | Jo\n\nc"),
        ("![A boat](https://e.example/a.png) x", "A boat x"),
        ("[![A boat](https://e.example/a.png)](https://e.example/)", "A boat: https://e.example/"),
        ("**bold** _em_ `code` &amp; &lt;b&gt; {x}", "bold em code & <b> {x}"),
    ],
)
def test_markdown_as_text(body: str, expected: str) -> None:
    assert text(body) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            "<table role=presentation><tr><td><h1>A</h1><p>b</p></td><td>c</td></tr><tr><td>d</td></tr></table>e",
            "A\n\nb\n\nc\n\nd\n\ne",
        ),
        ("<div>a</div><div>b<br>c</div>", "a\n\nb\nc"),
        ("<dl><dt>a</dt><dd>b</dd></dl>", "a\nb"),
        ("<p>a</p>b<p>c", "a\n\nb\n\nc"),
        ("a<b>b</b>  \n c", "ab c"),
        ("<pre>a<br>b\n c</pre>", "    a\n    b\n     c"),
        ("<pre><a href='https://e.example/'>a</a> b</pre>", "    a <https://e.example/> b"),
        ("<li>a", "- a"),
        ("&#1;a&#127;b", "ab"),
        ("<a href='https://e.example/'><img src='https://e.example/a.png'></a>x", "https://e.example/ x"),
        ("<ol start=3><li>a<li>b</ol><ol start=x><li>c</ol>", "3. a\n4. b\n\n1. c"),
        ("<td>a</td></ul></li></blockquote>b", "ab"),
    ],
)
def test_html_as_text(body: str, expected: str) -> None:
    assert text(body, format_=Format.HTML) == expected


@pytest.mark.parametrize(
    ("body", "named", "nameless"),
    [
        ("{% if name %}\nDear {{ name }},\n{% else %}\nDear reader,\n{% endif %}\n\nb", "Dear Jo,\n\nb", "Dear reader,\n\nb"),
        ("Dear {% if name %}{{ name }}{% else %}reader{% endif %},\n\nb", "Dear Jo,\n\nb", "Dear reader,\n\nb"),
        ("a\n\n{% if name %}b{% endif %}\n\nc", "a\n\nb\n\nc", "a\n\nc"),
        ("{% if name %}a{% endif %}\n\nb", "a\n\nb", "b"),
        ("a\n\n{{ name }}\n\nb", "a\n\nJo\n\nb", "a\n\nb"),
        ("- a\n- {% if name %}b{% else %}c{% endif %}\n- d", "- a\n- b\n- d", "- a\n- c\n- d"),
        ("a\n\n{% unless name %}\n> b\n{% endunless %}", "a", "a\n\n> b"),
    ],
)
def test_a_condition_leaves_no_hole_in_the_text(body: str, named: str, nameless: str) -> None:
    assert (text(body, "Jo"), text(body, "")) == (named, nameless)


@pytest.mark.parametrize(
    ("body", "named", "nameless"),
    [
        ("a{% if name %}<p>b</p>{% endif %}c", "a\n\nb\n\nc", "a\n\nc"),
        ("{% if name %}<p>a</p>b{% else %}<p>c</p>{% endif %}d", "a\n\nb\n\nd", "c\n\nd"),
        ("<ul>{% if name %}<li>a</li>{% endif %}<li>b</li></ul>c", "- a\n- b\n\nc", "- b\n\nc"),
        ("<table>{% if name %}<tr><td>a<td>b</tr>{% endif %}<tr><td>c</tr></table>", "a | b\nc", "c"),
    ],
)
def test_a_condition_between_blocks_of_html_leaves_none_either(body: str, named: str, nameless: str) -> None:
    assert (text(body, "Jo", Format.HTML), text(body, "", Format.HTML)) == (named, nameless)


@pytest.mark.parametrize(
    "body",
    [
        f"<pre>{' ' * 20_000}<a href='https://e.example/'>a</a>{' ' * 20_000}b</pre>",
        f"<p>b{'&nbsp;' * 20_000}<a href='https://e.example/'>a</a>{'&nbsp;' * 10_000}</p>",
        f"<pre>{(' ' * 5_000 + ':') * 30}b</pre>",
    ],
)
def test_a_long_run_of_blanks_around_a_link_takes_no_time(body: str) -> None:
    """An expression with blanks on both sides of what it looks for took nine seconds for 2,000, and held up the process."""
    begun = time.perf_counter()
    assert text(body, format_=Format.HTML)
    assert time.perf_counter() - begun < 2


@given(
    words=st.lists(st.one_of(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=40), st.just(LONG)), min_size=1)
)
def test_lines_are_wrapped_at_72_columns_and_no_word_is_broken(words: list[str]) -> None:
    lines = wrap(" ".join(words), StandIns(""))
    assert " ".join(lines).split() == words
    assert all(len(line) <= WIDTH or " " not in line for line in lines)
    assert all(len(a) + 1 + len(b.split()[0]) > WIDTH for a, b in pairwise(lines))


def test_a_line_of_72_columns_is_whole_and_one_of_73_is_not() -> None:
    assert len(wrap("a" * 36 + " " + "b" * 35, StandIns(""))) == 1
    assert len(wrap("a" * 36 + " " + "b" * 36, StandIns(""))) == 2


def test_a_url_is_never_broken_and_wrapping_minds_the_indent() -> None:
    body = f"- {'word ' * 20}[link]({LONG})\n\n> {'word ' * 20}"
    lines = text(body).split("\n")
    assert f"  {LONG}" in lines
    assert all(len(line) <= WIDTH for line in lines if LONG not in line)
    assert {line[:2] for line in lines if line} == {"- ", "  ", "> "}
