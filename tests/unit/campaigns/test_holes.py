"""A letter has a hole where a reader without a name comes past a place for it, and there alone."""

from __future__ import annotations

import pytest

from newsletter.campaigns.content import Draft, Format
from newsletter.campaigns.holes import holes


def found(body: str = "Hello", *, subject: str = "Tide", preheader: str = "") -> list[str]:
    return [str(each) for each in holes(Draft("en", subject, preheader, Format.MARKDOWN, body), {"list.name": "Harbour"})]


@pytest.mark.parametrize(
    "body",
    [
        '{{ name | default: "reader" }}',
        '{{ name | default: "reader" | upcase }}',
        "{% if name %}Dear {{ name }}{% else %}Dear reader{% endif %}",
        "{% unless name %}Dear reader{% else %}{{ name }}{% endunless %}",
        '{% if name contains "x" %}{{ name }}{% endif %}',
        '{% case list.name %}{% when "Quay" %}{{ name }}{% else %}Hello{% endcase %}',
        "[x](https://tide.example/?for={{ name | url_encode }})",
        "{% raw %}{{ name }}{% endraw %} [0]",
        "{% comment %}{{ name }}{% endcomment %}",
        "{{ list.name }}",
        "{{ list.name | default: name }}",
        "{{ 'q' | default: name }}",
        "{{ 'a b' | append: name | truncatewords: 1 }}",
    ],
)
def test_who_has_no_name_reads_other_words_or_comes_by_none(body: str) -> None:
    assert found(body) == []


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ("Hello\n\nDear {{ name }},", "{{ name }}, in line 3 of the body"),
        ("Dear {{ name | upcase }},", "{{ name | upcase }}, in line 1 of the body"),
        ("{{ name | truncate: 3 }}", "{{ name | truncate: 3 }}, in line 1 of the body"),
        ('{{ name | truncate: 8 | append: "!" }}', '{{ name | truncate: 8 | append: "!" }}, in line 1 of the body'),
        ('{{ "Dear " | append: name }}', '{{ "Dear " | append: name }}, in line 1 of the body'),
        ("{% if name %}x{% else %}{{ name }}{% endif %}", "{{ name }}, in line 1 of the body"),
        ('{% case list.name %}{% when "Harbour" %}{{ name }}{% endcase %}', "{{ name }}, in line 1 of the body"),
    ],
)
def test_where_nothing_comes_of_the_name_there_is_a_hole(body: str, place: str) -> None:
    assert found(body) == [place]


def test_a_hole_in_the_subject_and_the_preheader_is_named_too() -> None:
    assert found(subject="Tide, {{ name }}", preheader="For {{ name }}") == [
        "{{ name }}, in the subject",
        "{{ name }}, in the preheader",
    ]
