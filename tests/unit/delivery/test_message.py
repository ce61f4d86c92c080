"""Messages read back as they were meant, and nothing that people type can end a header."""

from __future__ import annotations

import email.policy
import re
from datetime import UTC, datetime, timedelta, timezone
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import getaddresses
from typing import cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from newsletter.core.errors import InvalidInput
from newsletter.delivery.compiled import Composed, compose
from newsletter.delivery.headers import (
    DateHeader,
    Header,
    Mailbox,
    MailboxHeader,
    TextHeader,
    TokenHeader,
    UrlHeader,
    check_header_text,
)

UNHURRIED = settings(deadline=None)

# Whatever a person may have typed that is a header at all: every assigned character but controls and surrogates.
CHARACTERS = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])
HEADER_TEXT = st.text(CHARACTERS, max_size=300).filter(lambda value: "=?" not in value)
LINE = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    st.sampled_from([".", "..", ".hidden", "From me", "trailing blank ", "tab\t", "=", "=41", "שלום עולם"]),
    st.sampled_from(["x" * 2000, "é" * 2000, "👩🏽‍🚀" * 300]),
)
BODY = st.lists(st.tuples(LINE, st.sampled_from(["\n", "\r\n", "\r"])), max_size=12).map(
    lambda lines: "".join(line + end for line, end in lines)
)
BAD = ["a\r\nBcc: x@example.org", "a\nb", "a\rb", "a\0b", "a\x7f", "a\x85b", "a\u2028b", "a\u2029b", "a\ud800", "=?utf-8?q?a?="]


def letter(*headers: Header, text: str = "Hello\n", html: str | None = "<p>Hello</p>\n") -> Composed:
    return compose(headers, text=text, html=html, boundary="b1")


def read(composed: Composed) -> EmailMessage:
    return email.message_from_bytes(composed.data, policy=email.policy.default)


def lines(composed: Composed) -> list[bytes]:
    return composed.data.split(b"\r\n")


def names(composed: Composed, header: str) -> list[str]:
    """The display names of a header, read with Python's older parser: the newer one of 3.11 keeps the blanks between adjacent
    encoded-words in a phrase, which a reader drops (RFC 2047, section 6.2)."""
    raw = email.message_from_bytes(composed.data, policy=email.policy.compat32)[header]
    return [str(make_header(decode_header(name))) for name, _ in getaddresses([raw])]


def unified(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.endswith("\n") else text + "\n"


def content(part: EmailMessage) -> str:
    raw = part.get_payload(decode=True)
    assert isinstance(raw, bytes)
    assert b"\n" not in raw.replace(b"\r\n", b"")
    return raw.decode().replace("\r\n", "\n")


@UNHURRIED
@given(subject=HEADER_TEXT)
@example(subject="Grüße aus dem Hafen " * 20)
@example(subject="👩🏽‍🚀" * 60)
@example(subject="نشرة الميناء " * 10)
@example(subject="word " * 60)
@example(subject="w" * 1200)
@example(subject="a" + " " * 300 + "b")
@example(subject="100 % = ? _under_ q?b")
def test_any_subject_reads_back_as_it_was_typed(subject: str) -> None:
    composed = letter(TextHeader("Subject", subject))
    assert read(composed)["Subject"] == subject.strip(" ")
    assert all(len(line) <= 78 for line in lines(composed))
    assert composed.data.split(b"\r\n\r\n")[0].isascii()


@UNHURRIED
@given(name=HEADER_TEXT)
@example(name='Jo "the Boss" \\ Smith')
@example(name="Smith, Jo; (x) <y@z>")
@example(name="Zoë 👋 שלום")
@example(name="word " * 30)
@example(name="q" * 1000)
def test_any_display_name_reads_back_as_it_was_typed(name: str) -> None:
    composed = letter(MailboxHeader("From", [Mailbox(name, "news@example.org")]))
    (address,) = read(composed)["From"].addresses
    assert address.addr_spec == "news@example.org"
    assert names(composed, "From") == [name.strip(" ")]
    if composed.data.count(b"=?") < 2:
        assert address.display_name == name.strip(" ")
    assert all(len(line) <= 78 for line in lines(composed))


@UNHURRIED
@given(text=BODY, html=BODY)
def test_any_body_reads_back_with_its_line_breaks_unified(text: str, html: str) -> None:
    composed = letter(text=text, html=html)
    message = read(composed)
    plain, rich = cast("list[EmailMessage]", list(message.iter_parts()))
    assert message.get_content_type() == "multipart/alternative"
    assert (plain.get_content_type(), rich.get_content_type()) == ("text/plain", "text/html")
    assert content(plain) == unified(text)
    assert content(rich) == unified(html)
    assert all(len(line) <= 76 and b"\r" not in line and b"\n" not in line for line in lines(composed))


@UNHURRIED
@given(text=BODY)
def test_without_html_the_message_is_one_text_part(text: str) -> None:
    message = read(letter(text=text, html=None))
    assert message.get_content_type() == "text/plain"
    # An empty line that is all there is stands between head and body already.
    assert content(message) == ("" if unified(text) == "\n" else unified(text))


@UNHURRIED
@given(text=BODY)
def test_no_line_ends_in_a_blank_that_a_relay_could_strip(text: str) -> None:
    assert not re.search(rb"[ \t]\r\n", letter(text=text).data)


@UNHURRIED
@given(subject=HEADER_TEXT, name=HEADER_TEXT, text=BODY)
def test_the_same_letter_gives_the_same_bytes_and_no_line_over_998_octets(subject: str, name: str, text: str) -> None:
    headers = (
        TextHeader("Subject", subject),
        MailboxHeader("From", [Mailbox(name, "news@example.org"), Mailbox("", "ünter@bücher.example")]),
        UrlHeader("List-Unsubscribe", ["https://example.org/" + "u" * 900]),
        TokenHeader("References", "<a@b.example> " * 40 + "<c@d.example>"),
    )
    composed = letter(*headers, text=text)
    assert composed == letter(*headers, text=text)
    assert all(len(line) <= 998 for line in lines(composed))


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize(
    "make",
    [
        lambda bad: TextHeader("Subject", bad),
        lambda bad: MailboxHeader("From", [Mailbox(bad, "a@example.org")]),
        lambda bad: MailboxHeader("From", [Mailbox("", bad + "@example.org")]),
        lambda bad: MailboxHeader("From", [Mailbox("", "a@example.org" + bad)]),
        lambda bad: UrlHeader("List-Unsubscribe", ["https://example.org/" + bad]),
        lambda bad: TokenHeader("Message-ID", bad),
    ],
)
def test_a_line_break_control_or_encoded_word_is_refused_in_every_type_of_header(make: object, bad: str) -> None:
    header: Header = make(bad)  # type: ignore[operator]
    with pytest.raises(InvalidInput) as refused:
        letter(header)
    assert refused.value.field == header.name


@pytest.mark.parametrize("name", ["Subject: x\r\nBcc", "Sub ject", "", "Sübject", "MIME-Version", "Content-Type", "1st"])
def test_a_header_name_that_is_none_or_is_ours_to_write_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="can be set"):
        letter(TextHeader(name, "x"))


@pytest.mark.parametrize("bad", BAD)
def test_the_refusal_names_the_field_as_people_call_it_and_what_to_do(bad: str) -> None:
    with pytest.raises(InvalidInput, match=r"^Your name holds .*: (delete it|put a blank between)") as refused:
        check_header_text(bad, field="Your name")
    assert refused.value.field == "Your name"
    assert check_header_text("Zoë 👋", field="Your name") == "Zoë 👋"


@pytest.mark.parametrize(
    "twice",
    [
        (TextHeader("Subject", "a"), TextHeader("SUBJECT", "b")),
        (DateHeader("Date", datetime(2026, 11, 21, tzinfo=UTC)), DateHeader("date", datetime(2026, 11, 21, tzinfo=UTC))),
        (TokenHeader("Message-ID", "<a@b>"), TokenHeader("Message-Id", "<c@d>")),
        (MailboxHeader("From", [Mailbox("", "a@b.example")]), TextHeader("from", "x")),
    ],
)
def test_a_header_that_is_there_twice_is_refused(twice: tuple[Header, Header]) -> None:
    with pytest.raises(InvalidInput, match="twice"):
        letter(*twice)


def test_a_long_list_unsubscribe_stays_in_one_piece_and_unencoded() -> None:
    https = "https://news.example.org/unsubscribe/" + "A1b2-_" * 120 + "?a=b&c=%C3%A9"
    composed = letter(UrlHeader("List-Unsubscribe", [https, "mailto:leave@example.org?subject=leave"]))
    assert f"List-Unsubscribe: <{https}>,\r\n <mailto:leave@example.org?subject=leave>\r\n".encode() in composed.data
    assert read(composed)["List-Unsubscribe"] == f"<{https}>, <mailto:leave@example.org?subject=leave>"


@pytest.mark.parametrize(
    "url",
    ["https://example.org/é", "https://example.org/a b", "https://example.org/<b>", "javascript:alert(1)", "/unsubscribe",
     "ftp://example.org/", "https://example.org/" + "u" * 980, ""],
)  # fmt: skip
def test_a_url_that_cannot_stand_in_a_header_as_it_is_is_refused_not_encoded(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"percent-encode|shorter"):
        letter(UrlHeader("List-Unsubscribe", [url]))


@pytest.mark.parametrize("header", [UrlHeader("List-Help", []), MailboxHeader("To", [])])
def test_a_header_without_a_value_is_refused(header: Header) -> None:
    with pytest.raises(InvalidInput, match="at least one"):
        letter(header)


def test_tokens_are_folded_at_blanks_only() -> None:
    value = " ".join(f"<{n:030d}@mail.example.org>" for n in range(30))
    composed = letter(TokenHeader("References", value), TokenHeader("Message-ID", "<" + "i" * 200 + "@example.org>"))
    assert read(composed)["References"] == value
    assert f"Message-ID: <{'i' * 200}@example.org>\r\n".encode() in composed.data


@pytest.mark.parametrize("value", ["é", " a", "a ", "", "a" * 1000])
def test_a_token_that_is_not_printable_ascii_or_too_long_is_refused(value: str) -> None:
    with pytest.raises(InvalidInput):
        letter(TokenHeader("Feedback-ID", value))


def test_a_domain_is_written_as_a_labels_and_needs_no_smtputf8() -> None:
    composed = letter(MailboxHeader("To", [Mailbox("", "leser@Bücher.example")]))
    assert b"To: leser@xn--bcher-kva.example\r\n" in composed.data
    assert not composed.needs_smtputf8


def test_a_local_part_outside_ascii_stays_as_it_is_and_needs_smtputf8() -> None:
    composed = letter(MailboxHeader("To", [Mailbox("Ünal", "ünal@example.org")]), TextHeader("Subject", "é"))
    assert "<ünal@example.org>\r\n".encode() in composed.data
    assert composed.needs_smtputf8
    assert not letter(MailboxHeader("To", [Mailbox("Ünal", "unal@example.org")]), text="é").needs_smtputf8


@pytest.mark.parametrize(
    "address",
    ["", "a", "@b.example", "a@", "a b@c.example", "a@b@c.example", "a,b@c.example", '"a b"@c.example', "a@b..example",
     "a..b@c.example", "a@-b.example", "<a@b.example>", "a@b.example>", "a@[127.0.0.1]", "a\u00a0b@c.example", "a@b_c.example",
     "a" * 250 + "@example.org", "a@\u00ad.example", "(x)a@b.example"],
)  # fmt: skip
def test_whatever_is_not_one_plain_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        letter(MailboxHeader("To", [Mailbox("Jo", address)]))
    assert refused.value.field == "To"


def test_several_mailboxes_each_keep_their_name() -> None:
    boxes = [Mailbox("Zoë " * 12, "zoe@example.org"), Mailbox("", "b@example.org"), Mailbox("C, D", "c@example.org")]
    composed = letter(MailboxHeader("Reply-To", boxes))
    assert names(composed, "Reply-To") == [("Zoë " * 12).strip(), "", "C, D"]
    assert [a.addr_spec for a in read(composed)["Reply-To"].addresses] == [box.address for box in boxes]


@given(
    at=st.datetimes(
        timezones=st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
        min_value=datetime(1900, 1, 2),  # noqa: DTZ001
        max_value=datetime(9999, 12, 30),  # noqa: DTZ001
    )
)
def test_a_date_is_the_same_moment_in_the_same_zone(at: datetime) -> None:
    found = read(letter(DateHeader("Date", at)))["Date"].datetime
    assert found == at.replace(microsecond=0)
    assert found.utcoffset() == at.utcoffset()


def test_a_date_is_written_as_rfc_5322_has_it() -> None:
    at = datetime(2026, 11, 1, 4, 5, 6, tzinfo=timezone(timedelta(hours=-3, minutes=-30)))
    assert b"Date: Sun, 1 Nov 2026 04:05:06 -0330\r\n" in letter(DateHeader("Date", at)).data


def test_a_date_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidInput, match="zone"):
        letter(DateHeader("Date", datetime(2026, 11, 21)))  # noqa: DTZ001


@pytest.mark.parametrize("boundary", ["", "a b", "a\r\nb", 'a"', "é", "x" * 61])
def test_a_boundary_that_could_break_the_header_is_refused(boundary: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        compose([], text="a", html="b", boundary=boundary)
    assert refused.value.field == "boundary"


def test_no_body_can_hold_the_boundary() -> None:
    composed = letter(text="--=_b1\n--b1\n--=_b1--\n", html="--=_b1--\n--b1--\nContent-Type: text/x\n\n")
    plain, rich = cast("list[EmailMessage]", list(read(composed).iter_parts()))
    assert content(plain) == "--=_b1\n--b1\n--=_b1--\n"
    assert content(rich) == "--=_b1--\n--b1--\nContent-Type: text/x\n\n"


def test_half_a_character_in_a_body_is_refused_by_the_name_of_its_part() -> None:
    with pytest.raises(InvalidInput) as refused:
        letter(text="a\ud83d")
    assert refused.value.field == "text"
    with pytest.raises(InvalidInput) as refused:
        letter(html="a\ud83d")
    assert refused.value.field == "html"


def test_headers_keep_their_order_and_no_line_begins_with_a_dot() -> None:
    composed = letter(TextHeader("Subject", "b"), TokenHeader("Message-ID", "<a@b>"), text=".a\n")
    assert composed.data.startswith(b"Subject: b\r\nMessage-ID: <a@b>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/")
    assert b"\r\n=2Ea\r\n" in composed.data
