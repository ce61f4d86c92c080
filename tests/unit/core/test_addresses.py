"""One person has one normal form; what cannot be written to is refused with a sentence that helps."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from newsletter.core.addresses import LONGEST, Address, parse_address
from newsletter.core.errors import InvalidAddress

ONE_ADDRESS = "Please enter one address, and only the address: name@example.org."
INCOMPLETE = "This is not a complete email address. It looks like name@example.org."
TOO_LONG = "This address is too long: an email address has at most 254 characters."
UNSEEN = "This address contains characters that cannot be seen. Please type it again."


@pytest.mark.parametrize(
    ("typed", "normal"),
    [
        ("Ada.Lovelace@Example.ORG", "ada.lovelace@example.org"),
        ("ada+news@example.org", "ada+news@example.org"),
        ("o'brien/x=y@example.org", "o'brien/x=y@example.org"),
        ("info@BÜCHER.example.de", "info@xn--bcher-kva.example.de"),
        ("info@xn--bcher-kva.example.de", "info@xn--bcher-kva.example.de"),
        ("info@例え.テスト.jp", "info@xn--r8jz45g.xn--zckzah.jp"),
        ("info@straße.de", "info@xn--strae-oqa.de"),
        ("Üser@example.org", "Üser@example.org"),
        ("用户@例え.jp", "用户@xn--r8jz45g.jp"),
        ("a@sub.domain.with.many.labels.example.org", "a@sub.domain.with.many.labels.example.org"),
        (" \tada@example.org ", "ada@example.org"),
    ],
)
def test_an_address_has_one_normal_form(typed: str, normal: str) -> None:
    assert parse_address(typed).normal == normal


def test_only_ascii_letters_of_the_local_part_are_lowered() -> None:
    """Casefolding would make one person of two (design, section 4)."""
    assert parse_address("Straße@example.org").normal == "straße@example.org"
    assert parse_address("strasse@example.org").normal != parse_address("straße@example.org").normal
    assert parse_address("ÄRA@example.org").normal == "Ära@example.org"
    assert parse_address("İz@example.org").normal != parse_address("iz@example.org").normal


def test_the_normal_form_is_composed() -> None:
    decomposed = "e\u0301va@example.org"
    assert parse_address(decomposed) == parse_address("éva@example.org")
    assert unicodedata.is_normalized("NFC", parse_address(decomposed).typed)


def test_mail_goes_to_the_address_as_it_was_typed() -> None:
    assert parse_address("Ada.L+News@Example.org").typed == "Ada.L+News@example.org"


@pytest.mark.parametrize(
    ("address", "folded"),
    [
        ("ada+news@example.org", "ada@example.org"),
        ("ADA+a+b@example.org", "ada@example.org"),
        ("ada@example.org", "ada@example.org"),
        ("+news@example.org", "+news@example.org"),
    ],
)
def test_limits_fold_plus_tags(address: str, folded: str) -> None:
    assert parse_address(address).folded == folded


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("", "Please enter your email address."),
        (" \t ", "Please enter your email address."),
        ("ada", INCOMPLETE),
        ("ada@", INCOMPLETE),
        ("@example.org", INCOMPLETE),
        ("ada@example", INCOMPLETE),
        ("ada@localhost", INCOMPLETE),
        ("ada..l@example.org", INCOMPLETE),
        (".ada@example.org", INCOMPLETE),
        ("ada@example.org.", INCOMPLETE),
        ("ada@-example.org", INCOMPLETE),
        ("ada@exa_mple.org", INCOMPLETE),
        ("ada l@example.org", INCOMPLETE),
        ("ada@exam ple.org", INCOMPLETE),
        ('"ada l"@example.org', INCOMPLETE),
        ("ada@[192.0.2.7]", INCOMPLETE),
        ("ada@[IPv6:2001:db8::1]", INCOMPLETE),
        ("Ada <ada@example.org>", INCOMPLETE),
        ("<ada@example.org>", INCOMPLETE),
        ("mailto:ada@example.org", INCOMPLETE),
        (f"ada@{'a' * 64}.org", INCOMPLETE),
        ("ada@example.org,ben@example.org", ONE_ADDRESS),
        ("ada@example.org; ben@example.org", ONE_ADDRESS),
        ("ada@example.org ben@example.org", ONE_ADDRESS),
        ("ada@ben@example.org", ONE_ADDRESS),
        (f"ada@{'a' * 60}.{'b' * 60}.{'c' * 60}.{'d' * 60}.example.org", TOO_LONG),
        (f"{'ü' * 122}@example.org", TOO_LONG),
        ("ada@example.org\r\nBcc: ben@example.org", UNSEEN),
        ("ada\n@example.org", UNSEEN),
        ("ada@example.org\n", UNSEEN),
        ("ada\x00@example.org", UNSEEN),
        ("ada\u200b@example.org", UNSEEN),
        ("ada\u202e@example.org", UNSEEN),
        ("ada\u2028@example.org", UNSEEN),
        ("ada\ud800@example.org", UNSEEN),
    ],
)
def test_what_is_no_bare_address_is_refused_with_a_sentence(given: str, sentence: str) -> None:
    with pytest.raises(InvalidAddress) as refused:
        parse_address(given)
    assert str(refused.value) == sentence
    assert refused.value.field == "email"


def test_the_longest_address_is_one_that_smtp_can_carry() -> None:
    """254 octets in the envelope, 64 of them before the @ (RFC 5321, section 4.5.3.1)."""
    domain = ".".join(["d" * 61] * 3) + ".org"
    longest = f"{'a' * (LONGEST - len(domain) - 1)}@{domain}"
    assert len(parse_address(longest).normal) == LONGEST
    with pytest.raises(InvalidAddress, match="at most 254"):
        parse_address(f"a{longest}")


LOCAL_CHARACTERS = st.sampled_from("abzAZ09.+-_'!#$%&*/=?^`{|}~äßÄéИ用ſKﬀ\u0301\u0327٣")
LABELS = st.text(st.sampled_from("abAB09-äßÄéИ用。.ﬀ"), min_size=1, max_size=12)


@given(st.text(LOCAL_CHARACTERS, min_size=1, max_size=20), LABELS, st.sampled_from(["org", "ORG", "de", "рф", "xn--p1ai"]))
@example("K", "a", "org")
@example("e\u0301", "a。b", "ORG")
def test_parsing_is_idempotent(local: str, label: str, top: str) -> None:
    """The worker parses again what the form had parsed, and must find the same person."""
    parsed = _parsed(f"{local}@{label}.{top}")
    if parsed is not None:
        assert parse_address(parsed.typed) == parsed
        assert parse_address(parsed.normal).normal == parsed.normal
        assert parsed.domain == parsed.domain.lower()
        assert parsed.domain.isascii()


@given(st.one_of(st.text(max_size=300), st.from_regex(r"[^@]{0,80}@[^@]{0,200}", fullmatch=True)))
@example("a@xn--a")
@example("a@\u06dd.org")
@example("a@xn--0.org")
def test_whatever_is_typed_is_an_address_or_refused(text: str) -> None:
    parsed = _parsed(text)
    if parsed is not None:
        assert len(parsed.normal.encode()) <= LONGEST
        assert parse_address(parsed.typed) == parsed


def _parsed(text: str) -> Address | None:
    try:
        return parse_address(text)
    except InvalidAddress:
        return None
