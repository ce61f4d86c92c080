"""A document in Markdown says what it said as a structure, whatever a person typed into it."""

from __future__ import annotations

from html import unescape

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from newsletter.privacy.document import (
    Facts,
    Line,
    Link,
    Section,
    Table,
    changed_headings,
    items,
    paragraph,
    to_html,
    to_markdown,
    wrapped,
)

BASE = "https://news.example.org"
HOSTILE = [
    "<script>alert(1)</script>",
    "[click](https://evil.example)",
    "![x](https://evil.example/pixel)",
    "*bold* _and_ `code`",
    "# heading",
    "- item",
    "+ item",
    "1. first",
    "10) tenth",
    "&lt;b&gt; &#60; &amp;",
    "a | b",
    "> quote",
    "back\\slash \\* \\[",
    "two\n\n## lines",
    "====",
    "~~~",
]
WORDS = st.text(alphabet=st.sampled_from("ab1 .)#*_[]()<>&;\\`-+=~|!\n:/"), min_size=1, max_size=30)


def one(words: str) -> list[Section]:
    return [Section("only", "Only", (items(words), paragraph(words), Facts((("Term", Line(words)),))))]


def read(markdown: str) -> tuple[str, set[str]]:
    """The words that a reader of the Markdown sees, and the kinds of what it is made of."""
    tokens = MarkdownIt("commonmark").parse(markdown)
    inner = [child for token in tokens for child in token.children or []]
    words = " ".join(child.content for child in inner if child.type == "text")
    return " ".join(words.split()), {token.type for token in tokens} | {child.type for child in inner}


HARMLESS = {
    *("heading_open", "heading_close", "bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close"),
    *("paragraph_open", "paragraph_close", "inline", "text"),
}


@given(WORDS)
@example(HOSTILE[0])
@example(HOSTILE[1])
@example(HOSTILE[2])
@example(HOSTILE[7])
@example(HOSTILE[12])
def test_what_a_person_typed_is_words_and_nothing_else(typed: str) -> None:
    said = " ".join(typed.split())
    if not said:
        return
    words, kinds = read(to_markdown(one(typed), base_url=BASE))
    assert kinds <= HARMLESS
    flat = "".join(said.split())
    assert "".join(words.split()) == f"Only{flat}{flat}Term:{flat}"


@pytest.mark.parametrize("typed", HOSTILE)
def test_a_stored_text_shows_no_markup_that_was_typed(typed: str) -> None:
    for stored in (to_markdown(one(typed), base_url=BASE), typed):
        page = to_html(stored)
        assert "<script" not in page
        assert "<img" not in page
    assert "".join(typed.split()) in "".join(unescape(to_html(to_markdown(one(typed), base_url=BASE))).split())


def test_links_to_our_pages_are_whole_and_others_stay_as_they_are() -> None:
    section = Section(
        "a", "A", (paragraph("See", Link("data", "/data")), items(Line("", Link("page", "https://example.org/a_(b)"))))
    )
    text = to_markdown([section], base_url=BASE)
    assert "See [data](https://news.example.org/data)" in text
    assert "- [page](https://example.org/a_%28b%29)" in text


def test_a_row_of_a_table_is_an_item_that_names_its_columns() -> None:
    table = Table(("Who", "What for"), (("Post & Co", "Mail"),))
    assert "- **Post & Co**: What for: Mail" in to_markdown([Section("a", "A", (table,))], base_url=BASE)


def test_printed_lines_fit_80_columns_and_keep_their_words() -> None:
    text = to_markdown([Section("a", "A", (items("word " * 60), paragraph("long " * 60)))], base_url=BASE)
    printed = wrapped(text)
    assert max(map(len, printed.splitlines())) <= 78
    assert printed.split() == text.split()


def test_what_changed_is_said_by_section_gone_ones_included() -> None:
    before = "intro\n\n## One\n\na\n\n## Two\n\nb\n\n## Three\n\nc\n"
    now = "other intro\n\n## One\n\na\n\n## Two\n\nB\n\n## New\n\nd\n"
    assert changed_headings(before, now) == ["Two", "New", "Three"]
    assert changed_headings(before, before) == []
