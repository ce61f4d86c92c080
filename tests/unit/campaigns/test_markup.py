"""Markdown and HTML become what may go into a mail, with every merge field where it was put."""

from __future__ import annotations

import re
from gettext import NullTranslations
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsletter.campaigns.content import Draft, Format, Reader, compile_content
from newsletter.campaigns.frame import Frame
from newsletter.core.errors import InvalidContent

SITE = "https://n.example"
FRAME = Frame("List", "About", "Sender", "Street 1", None, f"{SITE}/subscribe", f"{SITE}/privacy", 14, NullTranslations())
UNHURRIED = settings(deadline=None)
URL = "https://n.example/unsubscribe/x"


def content(body: str, format_: Format, name: str = "Jo") -> str:
    """The HTML that comes of a body, without its frame and without styles."""
    compiled = compile_content(Draft("en", "News", "", format_, body), frame=FRAME)
    html = compiled.render(Reader(name, "3 March 2026", URL)).html
    inside = html.partition("Sender</p>")[2].partition('</td></tr></table>\n<table role="presentation"')[0]
    return re.sub(r' style="[^"]*"', "", inside).strip()


def markdown(body: str, name: str = "Jo") -> str:
    return content(body, Format.MARKDOWN, name)


def html(body: str, name: str = "Jo") -> str:
    return content(body, Format.HTML, name)


def styled(body: str, format_: Format = Format.HTML) -> str:
    compiled = compile_content(Draft("en", "News", "", format_, body), frame=FRAME)
    return compiled.render(Reader("", "", URL)).html.partition("Sender</p>")[2].partition("</td></tr></table>\n<table")[0]


def refused(body: str, format_: Format = Format.HTML) -> InvalidContent:
    with pytest.raises(InvalidContent) as error:
        compile_content(Draft("en", "News", "", format_, body), frame=FRAME)
    return error.value


# Markdown with merge fields.


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("Dear {{ name | default: \"reader\" }}", "<p>Dear *J*</p>"),
        ("# Hello {{ name }}", "<h1>Hello *J*</h1>"),
        ("**{{ name }}** _{{ name }}_ `{{ name }}`", "<p><strong>*J*</strong> <em>*J*</em> <code>*J*</code></p>"),
        ("[leave]({{ links.unsubscribe }})", f'<p><a href="{URL}">leave</a></p>'),
        ("[leave][x]\n\n[x]: {{ links.unsubscribe }}", f'<p><a href="{URL}">leave</a></p>'),
        ("[a](https://e.example/?n={{ name | url_encode }})", '<p><a href="https://e.example/?n=%2AJ%2A">a</a></p>'),
        ("![{{ name }}](https://e.example/a.png)", '<p><img src="https://e.example/a.png" alt="*J*"></p>'),
        ("a <b>x</b> <script>", "<p>a &lt;b&gt;x&lt;/b&gt; &lt;script&gt;</p>"),
        ("www.example.org https://e.example", "<p>www.example.org https://e.example</p>"),
        ("**[Join](https://e.example/)**", '<p><a class="button" href="https://e.example/">Join</a></p>'),
        ("**[Join](https://e.example/)** us", '<p><strong><a href="https://e.example/">Join</a></strong> us</p>'),
        ("{% if name %}\n# {{ name }}\n{% else %}\n# All\n{% endif %}\nb", "<h1>*J*</h1>\n\n<p>b</p>"),
        ("- a\n{% if name %}\n- b\n{% endif %}", "<ul>\n<li>a</li>\n</ul>\n\n<ul>\n<li>b</li>\n</ul>"),
        ("> {% if name %}\n> a\n> {% endif %}", "<blockquote>\n\n<p>a</p>\n\n</blockquote>"),
        ("a\n  {% if name %}\n    {% if name %}\nb\n{% endif %}{% endif %}\nc", "<p>a</p>\n\n\n<p>b</p>\n\n<p>c</p>"),
    ],
)  # fmt: skip
def test_merge_fields_work_in_markdown_wherever_text_or_an_address_can_stand(body: str, expected: str) -> None:
    assert markdown(body, name="*J*") == expected


def test_a_condition_on_lines_of_its_own_leaves_nothing_behind() -> None:
    body = "a\n\n{% if name %}\nDear {{ name }},\n{% else %}\nDear reader,\n{% endif %}\n\nb"
    assert re.sub(r"\n+", "", markdown(body, "")) == "<p>a</p><p>Dear reader,</p><p>b</p>"
    assert re.sub(r"\n+", "", markdown(body, "Jo")) == "<p>a</p><p>Dear Jo,</p><p>b</p>"


def test_more_brackets_than_markdown_can_read_in_time_are_refused() -> None:
    assert "opening brackets" in str(refused("[" * 5001, Format.MARKDOWN))


def test_markdown_has_tables() -> None:
    assert "<th>a</th>" in markdown("|a|b|\n|-|-|\n|{{ name }}|2|")
    assert "<td>Jo</td>" in markdown("|a|b|\n|-|-|\n|{{ name }}|2|")


# Where merge fields may stand in HTML.


@pytest.mark.parametrize(
    ("body", "named", "nameless"),
    [
        ("<p>{% if name %}a{% endif %}b</p>", "<p>ab</p>", "<p>b</p>"),
        (
            "<table>{% if name %}<tr><td>a</td></tr>{% endif %} {% unless name %}<tr></tr>{% endunless %}</table>",
            "<table><tbody><tr><td>a</td></tr> </tbody></table>",
            "<table><tbody> <tr></tr></tbody></table>",
        ),
        ("<ul>{% if name %}<li>a</li>{% endif %}<li>b</ul>", "<ul><li>a</li><li>b</li></ul>", "<ul><li>b</li></ul>"),
        ('<a href="{{ links.privacy }}" title="{{ name }}">a</a>', '<a href="https://n.example/privacy" title="Jo">a</a>',
         '<a href="https://n.example/privacy" title="">a</a>'),
        ("{% case name %} {% when 'Jo' %}<p>a</p>{% else %}<p>b</p>{% endcase %}", "<p>a</p>", "<p>b</p>"),
    ],
)  # fmt: skip
def test_conditions_and_fields_keep_their_places_in_html(body: str, named: str, nameless: str) -> None:
    assert (html(body, "Jo"), html(body, "")) == (named, nameless)


@pytest.mark.parametrize(
    "body",
    ["<p>{% if name %}<b>{% endif %}x</b></p>", "<p>{% if name %}a</p>{% endif %}",
     "<div>{% if name %}</div><div>{% endif %}</div>", "<p>{% if name %}<p>a</p>{% endif %}",
     "{% if name %}<table><tr><td>x{% else %}</td></tr></table>{% endif %}",
     "<ul><li>{% unless name %}</li><li>{% endunless %}</li></ul>",
     "<p>{% case name %}{% when 'a' %}</p><p>{% endcase %}</p>"],
)  # fmt: skip
def test_a_condition_that_begins_and_ends_in_different_elements_is_refused(body: str) -> None:
    error = refused("\n" + body + "x")
    assert "does not end in the element that it begins in" in str(error)
    assert error.line == 2


def test_a_condition_that_crosses_a_list_item_is_refused_in_markdown_too() -> None:
    assert refused("- {% if name %}a\n- b{% endif %}", Format.MARKDOWN).line == 1


@pytest.mark.parametrize(
    "place",
    ["<p {{ name }}>x</p>", "<p class='{{ name }}'>x</p>", "<p style='color:{{ name }}'>x</p>", "<{{ name }}>x",
     "<!-- {{ name }} -->x", "<script>{{ name }}</script>x", "<style>p{color:{{ name }}}</style>x",
     "<p {% if name %}title='x'{% endif %}>x</p>", "<img src='https://e.example/a' alt='{% if name %}a{% endif %}'>",
     "<a href='{% if name %}https://a.example{% endif %}'>x</a>", "<td width='{{ name }}'>x",
     "<table><tr><td dir='{{ name }}'>x</table>"],
)  # fmt: skip
def test_a_merge_field_that_could_not_be_filled_in_is_refused_with_its_line(place: str) -> None:
    error = refused("a\n\n" + place)
    assert "cannot be filled in" in str(error)
    assert error.line == 3


@pytest.mark.parametrize(
    "address",
    ["{{ name }}", "{{ list.name }}", "https://e.example/{{ name }}", "https://{{ name }}/",
     "{{ links.privacy }}{{ name }}", "{{ links.privacy | append: name }}", "https://e.example/?u={{ links.privacy }}",
     "{{ name | default: 'javascript:alert(1)' }}", "mailto:{{ name }}"],
)  # fmt: skip
def test_no_value_becomes_part_of_an_address_unless_it_is_ours_or_encoded(address: str) -> None:
    assert "url_encode" in str(refused(f'<a href="{address}">x</a>'))


@pytest.mark.parametrize(
    "address", ["places", "/places", "#top", "", "//e.example/x", "https:///x", "https://{{ name | url_encode }}/"]
)
def test_a_link_that_is_not_a_whole_address_is_refused_with_its_line(address: str) -> None:
    for body, format_ in ((f'a\n<a href="{address}">x</a>', Format.HTML), (f"a\n[x]({address})", Format.MARKDOWN)):
        error = refused(body, format_)
        assert "is not a whole address" in str(error)
        assert error.line in (2, 1 if not address else 2)


@pytest.mark.parametrize(
    "address",
    ["https://e.example", "HTTP://E.example/a?b#c", "mailto:a@e.example", "https://e.example/{{ name | url_encode }}"],
)  # fmt: skip
def test_web_and_mail_addresses_are_kept(address: str) -> None:
    assert f'href="{address.replace("{{ name | url_encode }}", "Jo")}"' in html(f'<a href="{address}">x</a>')


# What does not come through.


class Looked(HTMLParser):
    """Fails at anything that could run or load, besides pictures from the web."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in (
            "script",
            "style",
            "link",
            "iframe",
            "form",
            "input",
            "object",
            "embed",
            "base",
            "meta",
            "svg",
            "math",
        )
        for name, value in attrs:
            assert not name.startswith("on")
            if name in ("href", "src"):
                assert re.match(r"https?://|mailto:", value or "", re.IGNORECASE)
            assert not re.search(r"url\(|expression|javascript:|@import|position", (name == "style" and value) or "")

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)


ATTACKS = st.sampled_from(
    ["<script>alert(1)</script>", "<ScRiPt src=//e.example/x.js>", "<img src=x onerror=alert(1)>",
     "<a href='javascript:alert(1)'>x</a>", "<a href=' java\nscript:alert(1)'>x</a>",
     "<a href='&#106;avascript:alert(1)'>x</a>", "<svg onload=alert(1)>", "<svg><a xlink:href='javascript:x'>",
     "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
     "<iframe src=//e.example>", "<form action=//e.example><input name=a><button>b</button></form>",
     "<link rel=stylesheet href=//e.example/x.css>",
     "<style>@import '//e.example/x.css'; p{background:url(//e.example/x)}</style>",
     "<p style='background:url(//e.example/x)'>", "<p style='width:expression(alert(1))'>",
     "<p style='background:u\\72l(//e.example)'>", "<p style='position:fixed'>", "<p onclick=x>",
     "<base href=//e.example/>", "<meta http-equiv=refresh content='0;url=//e.example'>", "<object data=//e.example>",
     "<a title='<!--'>x</a>", "<b title='--> <script>'>x</b>", "<!-- x -->", "<!--", "-->", "<![CDATA[<script>]]>",
     "<noscript><p title='</noscript><script>'>", "<template><script></script></template>", "<plaintext>",
     "<xmp><script></xmp>", "<p", "</p>", "</td></tr></table>", "<table><tr><td>", "text ",
     "<img src='data:text/html,x'>", "<?php x ?>", "<!doctype html>", "{% if name %}", "{% endif %}", "{{ name }}"]
)  # fmt: skip


@UNHURRIED
@given(body=st.lists(ATTACKS, min_size=1, max_size=6).map("".join))
def test_hostile_html_loses_what_runs_or_loads_or_is_refused(body: str) -> None:
    try:
        Looked().feed(html("<p>x</p>" + body, "<script>"))
    except InvalidContent as error:
        assert error.field == "body"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<p onclick='x()' id=a class=card>x</p>", "<p>x</p>"),
        ("<a href='javascript:alert(1)'>x</a>", "<a>x</a>"),
        ("<script>alert(1)</script><p>x</p><iframe>y</iframe>", "<p>x</p>"),
        ("<form action=/x><input name=a>x<button>y</button></form>", "x"),
        ("<p>x<!-- y --></p><!--[if mso]><p>z</p><![endif]--><!--[if !mso]><!--><p>w</p><!--<![endif]-->", "<p>x</p><p>w</p>"),
        (
            "<html><head><title>t</title><link href=//e.example rel=stylesheet></head><body bgcolor=red><p>x</body></html>",
            "<p>x</p>",
        ),
        (
            '<img src="https://e.example/a.png" width="9" srcset="//e.example/b 2x" onerror="x">',
            '<img src="https://e.example/a.png" width="9">',
        ),
    ],
)
def test_what_a_mail_cannot_have_is_taken_out_and_the_rest_is_kept(body: str, expected: str) -> None:
    assert html(body) == expected


def test_style_sheets_are_written_into_the_tags_and_ours_give_way() -> None:
    body = "<style>p.a { color: #123456; margin: 0 } @media print { p { color: red } }</style><p class=a>x</p><p>y</p>"
    out = styled(body)
    assert re.search(r'<p style="[^"]*color:#123456[^"]*">x</p>', out)
    assert 'margin:0 0 16px">x' not in out
    assert '<p style="margin:0 0 16px">y</p>' in out
    assert "<style" not in out


@pytest.mark.parametrize(
    "style",
    ["position:fixed", "background:url(https://e.example/x)", "background-image:url(x)", "margin-bottom:-900px",
     "margin:0 -.5em", "z-index:9", "width:calc(100% - 9px)", "transform:scale(9)", "behavior:url(x)", "content:'x'",
     "margin:\\2d 9px"],
)  # fmt: skip
def test_a_style_that_loads_or_covers_the_frame_is_dropped_and_its_neighbours_stay(style: str) -> None:
    for body in (f'<b style="{style};color:#123456">x</b>', f"<style>b {{ {style}; color: #123456 }}</style><b>x</b>"):
        assert '<b style="color:#123456">x</b>' in styled(body)


def test_quotes_and_indents_are_on_the_side_where_reading_begins() -> None:
    for language, side in (("en", "left"), ("he", "right")):
        compiled = compile_content(Draft(language, "x", "", Format.MARKDOWN, "> a"), frame=FRAME)
        assert f"border-{side}-width:3px" in compiled.render(Reader("", "", URL)).html
