"""What operators write is refused with line and reason, or becomes a mail that says how to unsubscribe."""

from __future__ import annotations

import functools
import time
from dataclasses import replace
from gettext import GNUTranslations, NullTranslations
from html import escape, unescape
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from newsletter.campaigns.content import (
    MAX_BODY,
    CompiledContent,
    Draft,
    Format,
    Reader,
    RenderedMail,
    compile_content,
)
from newsletter.campaigns.frame import Frame
from newsletter.core.errors import InvalidContent
from newsletter.delivery.headers import check_header_text

FRAME = Frame(
    list_name="The Northwind Letter",
    list_description="What the harbour {is} talking about",
    sender_name="Northwind & Society",
    postal_address="Harbour Street 4\n24937 Flensburg",
    legal_notice_url="https://northwind.example/legal",
    subscribe_url="https://news.example.org/subscribe/northwind",
    privacy_url="https://news.example.org/privacy",
    erase_days=14,
    translations=NullTranslations(),
)
WAY_OUT = "https://news.example.org/unsubscribe/AbC_1-2?x=1&y=2"
JO = Reader("Jo", "3 March 2026", WAY_OUT)
UNHURRIED = settings(deadline=None)
NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=80).filter(
    lambda name: name == name.strip()
)
HOSTILE = st.sampled_from(
    ["<script>alert(1)</script>", "{{ name }}", "{% if %}", "*bold* _x_", "\"quoted\" 'x'", "[a](https://e.example)", "&amp;",
     "`x`"]
)  # fmt: skip


def draft(body: str = "Hello", **parts: Any) -> Draft:
    whole = {"language": "en", "subject": "News", "preheader": "", "format": Format.MARKDOWN, "body": body} | parts
    return Draft(**whole)


@functools.cache
def once(whole: Draft, frame: Frame) -> CompiledContent:
    return compile_content(whole, frame=frame)


def compiled(body: str = "Hello", frame: Frame = FRAME, **parts: Any) -> CompiledContent:
    return once(draft(body, **parts), frame)


def rendered(body: str = "Hello", name: str = "Jo", **parts: Any) -> RenderedMail:
    return compiled(body, **parts).render(JO._replace(name=name))


def refused(body: str = "Hello", **parts: Any) -> InvalidContent:
    with pytest.raises(InvalidContent) as error:
        compiled(body, **parts)
    return error.value


# What is refused, with its line.


@pytest.mark.parametrize("body", ["", " \n\t\r\n"])
def test_a_letter_without_a_body_is_refused(body: str) -> None:
    error = refused(body)
    assert (str(error), error.field) == ("There is no body: write the letter first.", "body")


@pytest.mark.parametrize("body", ["<script>x</script>", "<p> </p>", "<title>x</title><!-- y -->"])
def test_a_body_of_which_nothing_is_left_is_refused(body: str) -> None:
    assert "Nothing is left" in str(refused(body, format=Format.HTML))


@pytest.mark.parametrize("subject", ["", "  "])
def test_a_letter_without_a_subject_is_refused(subject: str) -> None:
    assert refused(subject=subject).field == "subject"


@pytest.mark.parametrize(
    "subject", ["{{ name }}", "{% if name %}Dear {{ name }}{% endif %}", "{{ list.name | truncate: 0, '' }}"]
)
def test_a_subject_that_is_empty_without_a_name_is_refused(subject: str) -> None:
    with pytest.raises(InvalidContent, match="empty for readers without a name") as error:
        compiled(subject=subject)
    assert error.value.field == "subject"


@pytest.mark.parametrize("field", ["subject", "preheader"])
@pytest.mark.parametrize("bad", ["a\r\nBcc: x@example.org", "a\tb", "a\u2028b", "=?utf-8?q?x?=", "a\ud800", "x" * 251])
def test_what_may_not_stand_in_a_header_is_refused_in_subject_and_preheader(field: str, bad: str) -> None:
    assert refused(**{field: bad}).field == field


@pytest.mark.parametrize("field", ["subject", "preheader"])
def test_broken_templates_in_subject_and_preheader_are_refused_by_their_field(field: str) -> None:
    error = refused(**{field: "{{ nam }}"})
    assert (error.field, error.line) == (field, None)
    assert f"(in the {field})" in str(error)


def test_a_body_that_is_too_large_is_refused() -> None:
    assert "larger than 200 KB" in str(refused("é" * (MAX_BODY // 2 + 1)))


def test_a_control_character_in_the_body_is_refused_with_its_line() -> None:
    error = refused("a\r\nb\rc\x07")
    assert (error.line, "U+0007" in str(error)) == (3, True)


@pytest.mark.parametrize("language", ["", "english", "e", 'en"><script>', "de\n"])
def test_what_is_not_a_language_code_is_refused(language: str) -> None:
    assert refused(language=language).field == "language"


@pytest.mark.parametrize(
    ("written", "near"),
    [("nane", "name"), ("list.nam", "list.name"), ("unsubscribe", "links.unsubscribe"), ("Name", "name"), ("list", "list.name"),
     ("links.privacy_policy", "links.privacy")],
)  # fmt: skip
def test_an_unknown_merge_field_is_refused_with_its_line_the_known_ones_and_the_nearest(written: str, near: str) -> None:
    error = refused(f"one\ntwo\n\n{{{{ {written} | upcase }}}}")
    assert error.line == 4
    assert f"Did you mean {near}?" in str(error)
    assert "name, list.name, list.description, sender.name, links.unsubscribe, links.subscribe, links.privacy" in str(error)


@pytest.mark.parametrize(
    "source",
    ["{{ now }}", "{{ today }}", "{{ confirmed_on }}", "{{ name.size }}", "{{ list[name] }}", "{{ x.y | default: name }}",
     "{{ name | default: reader }}", "{% if x == 1 %}a{% endif %}", "{% if name or x %}a{% endif %}",
     "{% case name %}{% when x %}a{% endcase %}", "{% case x %}{% when 'a' %}a{% endcase %}",
     "{% if name %}a{% elsif x %}b{% endif %}", "{% unless x %}a{% endunless %}"],
)  # fmt: skip
def test_a_merge_field_is_unknown_wherever_it_stands(source: str) -> None:
    assert "There is no merge field" in str(refused(f"a {source}"))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ name", "has no “}}” after it"),
        ("{% if name", "has no “%}” after it"),
        ("{{ name " + "x" * 500 + "}}", "has no “}}” after it (within 500 characters)"),
        ("{{ }}", "is missing"),
        ("{{ name | }}", "the name of a filter is missing"),
        ("{{ name | default 'x' }}", "a word or sign too many"),
        ("{{ name name }}", "a word or sign too many"),
        ("{{ name | default: “x” }}", "straight quotes"),
        ("{% if %}a{% endif %}", "the condition is missing"),
        ("{% if name = 'x' %}a{% endif %}", "equal is =="),
        ("{% if name == %}a{% endif %}", "is missing"),
        ("{% if name %}a", "write {% endif %} where it ends"),
        ("{% unless name %}a{% endif %}", "has no {% if … %} before it"),
        ("{% endif %}", "has no {% if … %} before it"),
        ("{% else %}", "before it that it belongs to"),
        ("{% if name %}{% when 'a' %}{% endif %}", "has no {% case … %} before it"),
        ("{% if name %}a{% else if name %}b{% endif %}", "a condition follows elsif"),
        ("{% if name %}a{% endif name %}", "delete it"),
        ("{% case name %}{% if name %}a{% endif %}{% endcase %}", "is never shown"),
        ("{% case name %} text {% when 'a' %}b{% endcase %}", "is never shown"),
        ("{% raw %}a", "write {% endraw %}"),
        ("{% comment %}a", "write {% endcomment %}"),
        ("{{ name | reverse }}", "There is no filter “reverse”"),
        ("{{ name | truncate: 'x' }}", "cannot be understood"),
        ("{{ name | append }}", "cannot be understood"),
        ("{% if name > 3 %}a{% endif %}", "cannot be understood"),
        ("{% if name == 'Bob' and name > 3 %}a{% endif %}", "cannot be understood"),
        ("{% %}", "not a tag that can be used"),
    ],
)
def test_broken_template_syntax_is_refused_with_its_line_and_a_reason_in_plain_words(source: str, reason: str) -> None:
    error = refused(f"one\n\nthree {source}")
    assert (error.field, error.line) == ("body", 3)
    assert reason in str(error)


@pytest.mark.parametrize(
    "tag",
    ["include 'x'", "render 'x'", "layout 'x'", "extends 'x'", "for i in (1..9)", "assign a = 1", "capture a", "cycle 'a', 'b'",
     "increment a", "tablerow i in (1..9)", "echo name", "liquid echo name", "# a", "doc", "macro a", "block a"],
)  # fmt: skip
def test_a_tag_that_loads_repeats_or_remembers_is_refused(tag: str) -> None:
    error = refused(f"a\n{{% {tag} %}}")
    assert error.line == 2
    assert "not a tag that can be used here" in str(error)


@pytest.mark.parametrize(
    "filter_",
    ["replace: 'a', 'aaaaaaaaaaaaaaaa'", "split: ''", "times: 9", "date: '%999999d'", "safe", "strip_html", "base64_decode"],
)  # fmt: skip
def test_a_filter_that_multiplies_trusts_or_asks_the_clock_is_refused(filter_: str) -> None:
    assert "There is no filter" in str(refused(f"{{{{ name | {filter_} }}}}"))


@pytest.mark.parametrize(
    "body",
    ["{{ name }}" * 1001, "{% if name %}" * 1000, "{% if name %}" * 25 + "{% endif %}" * 25, "{{" * 50_000,
     "{{ " + " " * 100_000, "{% " * 60_000, "<div>" * 9_000, "<div>" * 9_000 + "</div>" * 9_000, "<div>" * 201 + "x",
     "<p>a</p>" * 20_000,
     "<style>" + "".join(f":not(a){{c{n}:red}}" for n in range(5000)) + "</style>" + "<i>x</i>" * 8000],
)  # fmt: skip
def test_a_runaway_ends_at_once(body: str) -> None:
    begun = time.perf_counter()
    refused(body, format=Format.HTML)
    assert time.perf_counter() - begun < 2


# What a reader gets.


@pytest.mark.parametrize("format_", list(Format))
@UNHURRIED
@given(name=st.one_of(NAMES, HOSTILE))
def test_any_name_is_verbatim_in_the_text_and_escaped_in_the_html(format_: Format, name: str) -> None:
    mail = rendered("Dear {{ name }}, hello", name=name, format=format_, subject="For {{ name }}", preheader="Pre {{ name }}")
    assert f"Dear {name}, hello" in mail.text
    assert f"Dear {escape(name)}, hello" in mail.html
    assert f"<title>For {escape(name)}</title>" in mail.html
    assert f">Pre {escape(name)}</div>" in mail.html
    assert mail.html.count("<") == rendered("Dear {{ name }}, hello", format=format_, preheader="x").html.count("<")


@UNHURRIED
@given(name=st.text(max_size=80))
@example(name="Jo\r\nBcc: x@example.org")
@example(name="=?utf-8?q?x?=")
@example(name="=")
def test_whatever_a_name_holds_the_subject_stays_fit_for_a_header(name: str) -> None:
    mail = rendered("Dear {{ name }}.", name=name, subject="For {{ name }}? you")
    assert check_header_text(mail.subject, field="Subject").startswith("For ")
    (mail.text + mail.html).encode()
    assert "Dear" in mail.text.split("\n")[0]


def test_a_subject_that_a_condition_empties_falls_back_to_the_name_of_the_list() -> None:
    assert rendered(name="Bob", subject="{% if name == 'Bob' %}{% else %}News{% endif %}").subject == "The Northwind Letter"


@pytest.mark.parametrize(
    ("source", "with_name", "without"),
    [
        ('{{ name | default: "reader" }}', "Jo", "reader"),
        ("{% if name %}Dear {{ name }}{% else %}Hello{% endif %}", "Dear Jo", "Hello"),
        ('{% if name != "" %}Dear {{ name }}{% else %}Hello{% endif %}', "Dear Jo", "Hello"),
        ("{% if name == blank %}Hello{% else %}Dear {{ name }}{% endif %}", "Dear Jo", "Hello"),
        ("{% if name and list.name %}both{% endif %}x", "bothx", "x"),
        ("{% unless name %}Hello{% endunless %}x", "x", "Hellox"),
        ('{% case name %}{% when "Jo", "Al" %}friend{% else %}all{% endcase %}', "friend", "all"),
        ("{{ name | upcase | append: '!' }}", "JO!", "!"),
        ("{{- name -}}", "Jo", ""),
        ("{{ '<b>' | append: name }}", "<b>Jo", "<b>"),
        ("{% comment %}{{ nonsense {% endcomment %}x", "x", "x"),
    ],
)
def test_fields_filters_and_conditions_give_what_their_writer_expects(source: str, with_name: str, without: str) -> None:
    for name, expected in (("Jo", with_name), ("", without)):
        mail = rendered(f"[{source}]", name=name)
        assert mail.text.startswith(f"[{expected}]\n")
        assert f"[{escape(expected)}]" in mail.html


def test_fields_that_are_the_same_for_all_are_filled_in_when_compiling() -> None:
    content = compiled("{{ list.name }}: {{ list.description }}, {{ sender.name }}, {{ links.subscribe }} {{ links.privacy }}")
    expected = "The Northwind Letter: What the harbour {is} talking about,"
    assert expected in str(content.text.content[0]).replace("\n", " ")
    assert expected in unescape(str(content.html.content[0]))
    assert not content.has_logic


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("{a} {", "{a} {"),
        ("{% raw %}{{ name }} {% if %}{% endraw %}", "{{ name }} {% if %}"),
        ("&#123;&#123; name }}", "{{ name }}"),
        ("&#123;{{ name }}", "{Jo"),
    ],
)
def test_braces_that_are_no_merge_field_are_shown(source: str, shown: str) -> None:
    mail = rendered(f"a {source} b", subject="{% raw %}{{ x }}{% endraw %} {", preheader="{")
    assert mail.text.startswith(f"a {shown} b\n")
    assert f"a {shown} b" in unescape(mail.html)
    assert mail.subject == "{{ x }} {"


def test_it_is_known_which_fields_are_used_and_what_costs_more() -> None:
    plain = compiled("{{ name }} {{ links.privacy }}")
    assert plain.fields == {"name", "links.privacy"}
    assert not plain.has_logic
    assert compiled("{{ name | upcase }}").has_logic
    assert compiled().fields == frozenset()
    assert plain.html.fields == {"name", "links.unsubscribe", "confirmed_on"}


def test_the_same_draft_gives_the_same_mail() -> None:
    first, second = (compile_content(draft("# {{ name | upcase }}"), frame=FRAME) for _ in range(2))
    assert first.render(JO) == second.render(JO)


# The frame.

HIDING = [
    "x",
    "</td></tr></table></body></html> x",
    "<table><tr><td>x",
    '<div style="display:none;margin-bottom:-999px;position:absolute">x',
    "<!-- x --> y",
    "<style>.quiet{display:none} a{display:none}</style>x",
    "x<plaintext>",
    "x<textarea>",
    "x<svg><![CDATA[",
    "{% if name == 'never' %}x{% else %}<table><tr><td>x</table>{% endif %}",
]


class Depth(HTMLParser):
    """Where the footer lies; fails when an element is not closed, or closed by another one."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.footer: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br", "hr", "img", "col", "wbr"):
            self.open.append(tag)
        if ("class", "quiet") in attrs:
            assert self.footer == []
            self.footer = self.open.copy()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", ["", "Jo", "never"])
@pytest.mark.parametrize("format_", list(Format))
@pytest.mark.parametrize("body", HIDING)
def test_the_way_out_is_in_both_parts_whatever_the_operator_wrote(format_: Format, body: str, name: str) -> None:
    mail = rendered(body, name, format=format_)
    assert f"To unsubscribe, open this page and press the button:\n{WAY_OUT}\n" in mail.text
    footer = mail.html.partition('class="quiet"')[2]
    assert f'<a href="{escape(WAY_OUT)}" style="color:#596273">Unsubscribe</a>' in footer
    assert Depth(mail.html).footer == ["html", "body", "table", "tr", "td", "table", "tr", "td"]


@pytest.mark.parametrize("body", ["<!-- x", "{% if name == 'never' %}x{% else %}<table><tr><td>x{% endif %}"])
def test_what_would_take_the_frame_into_itself_is_refused(body: str) -> None:
    assert refused(body, format=Format.HTML).field == "body"


def test_the_frame_says_why_how_to_leave_what_is_deleted_and_who_sends_it() -> None:
    text = rendered().text.partition("\n--\n")[2]
    assert text.splitlines() == [
        "You get this letter because you confirmed on 3 March 2026 that you want",
        "it. To unsubscribe, open this page and press the button:",
        WAY_OUT,
        "When you unsubscribe from everything, we delete your address within 14",
        "days.",
        "",
        "Forwarded to you? Subscribe here:",
        "https://news.example.org/subscribe/northwind",
        "",
        "Northwind & Society, Harbour Street 4, 24937 Flensburg",
        "Legal notice: https://northwind.example/legal",
        "Privacy: https://news.example.org/privacy",
    ]


def test_the_html_frame_says_the_same() -> None:
    footer = rendered().html.partition('class="quiet"')[2]
    for said in (
        "you confirmed on 3 March 2026",
        "within 14 days.",
        "Northwind &amp; Society · Harbour Street 4 · 24937 Flensburg",
    ):
        assert said in footer
    for url in (FRAME.subscribe_url, FRAME.legal_notice_url, FRAME.privacy_url):
        assert f'href="{url}"' in footer


def test_without_a_legal_notice_there_is_no_link_to_one() -> None:
    mail = compiled(frame=replace(FRAME, legal_notice_url=None)).render(JO)
    assert "Legal notice" not in mail.text + mail.html


def test_what_the_frame_is_made_of_is_escaped_and_never_interpreted() -> None:
    frame = replace(FRAME, sender_name="{{ name }} <b>", postal_address="{% if %}\n{a}", list_name="<i>{{")
    mail = compiled("{{ list.name }} {{ sender.name }}", frame=frame).render(JO)
    assert "{{ name }} <b>, {% if %}, {a}" in mail.text
    assert "{{ name }} <b> · {% if %} · {a}" in unescape(mail.html)
    assert "<b>" not in mail.html
    assert mail.text.startswith("<i>{{ {{ name }} <b>\n")


@pytest.mark.parametrize(
    ("language", "lang", "direction"), [("en", "en", "ltr"), ("pt_BR", "pt-BR", "ltr"), ("ar", "ar", "rtl")]
)
def test_language_and_direction_of_writing_are_stated(language: str, lang: str, direction: str) -> None:
    assert rendered(language=language).html.count(f'lang="{lang}" dir="{direction}"') == 3


class German(GNUTranslations):
    """A catalogue of two sentences."""

    def __init__(self) -> None:
        super().__init__()

    def gettext(self, message: str) -> str:
        return {"Unsubscribe": "Abmelden <b>", "Privacy": "Datenschutz"}.get(message, message)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return "Gelöscht nach %(days)s Tag." if n == 1 else "Gelöscht nach %(days)s Tagen."


@pytest.mark.parametrize(("days", "expected"), [(1, "Gelöscht nach 1 Tag."), (14, "Gelöscht nach 14 Tagen.")])
def test_the_frame_speaks_the_language_of_its_catalogue(days: int, expected: str) -> None:
    mail = compiled(frame=replace(FRAME, translations=German(), erase_days=days)).render(JO)
    assert expected in mail.text
    assert expected in mail.html
    assert ">Abmelden" in mail.html
    assert "Datenschutz: https://news.example.org/privacy" in mail.text


def test_the_preheader_is_there_only_when_it_was_written() -> None:
    assert "display:none" not in rendered().html
    assert (
        '<div style="display:none;max-height:0;overflow:hidden">A &#123;b} &lt;c&gt;</div>'
        in rendered(preheader="A {b} <c>").html
    )
    assert "A {b}" not in rendered(preheader="A {b}").text
