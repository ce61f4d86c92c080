"""Addresses that operators give reach headers, redirects and policies: what each of those reads in its own way is refused."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from newsletter.core.urls import is_page


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org",
        "https://example.org/thanks?from=letter#top",
        "http://localhost:8080/x",
        "https://xn--bcher-kva.example/a%20b",
        "https://[::1]:8080/",
        "http://127.0.0.1/",
    ],
)
def test_a_page_is_one(url: str) -> None:
    assert is_page(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/thanks",
        "example.org/thanks",
        "//example.org/",
        "javascript:alert(1)",
        "HTTPS://example.org/",
        "https://",
        "https://*/",
        "https://example.org:99999/",
        "https://example.org:0/",
        "https://example.org:/",
        "https://example.org:x/",
        "https://user@example.org/",
        "https://user:password@example.org/",
        "https://example.org/a b",
        "https://exa mple.org/",
        "https://example.org/a\nb",
        "https://example.org/\x01",
        " https://example.org/",
        "https://example.org/<b>",
        'https://example.org/"',
        "https://example.org\\@evil.example/",
        "https://bücher.example/",
        "https://x..example/",
        "https://-x.example/",
        f"https://{'x' * 64}.example/",
        f"https://{'x.' * 127}example/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://256.1.1.1/",
        "https://1.2.3/",
    ],
)
def test_what_could_be_read_in_two_ways_is_none(url: str) -> None:
    assert not is_page(url)


@given(st.from_regex(r"https?://[!-~ ]{1,30}(:[0-9]{0,6})?(/[!-~]{0,20})?", fullmatch=True))
def test_whatever_is_taken_can_be_led_to(url: str) -> None:
    """Each sign-up asks for the origin of its list's pages: one that cannot be read would be an error for everybody."""
    if is_page(url):
        assert URL(url).origin().host
        assert str(URL(url).origin()).isprintable()
        assert urlsplit(url).hostname
