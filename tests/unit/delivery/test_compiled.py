"""A compiled message is the message that was meant, whoever reads it, and nothing on its way has a reason to change a byte."""

from __future__ import annotations

import email.policy
import hashlib
import re
from email.message import EmailMessage
from typing import cast

import fast_mail_parser
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from newsletter.core.errors import InvalidInput
from newsletter.delivery.compiled import Composed, Content, Slot, compile_message, compose
from newsletter.delivery.headers import Header, Mailbox, MailboxHeader, TextHeader, TokenHeader, UrlHeader, Written, written

URL = "https://news.example.org/unsubscribe/" + "aB3_-" * 14 + ".x?a=b&c=%C3%A9"
NASTY = [
    "", "", " ", "\t", ".", "..", ".hidden", "=", "=3D", "=\r\n", "==", "a=", " a", "a ", "a  b", "a \t b", "\tx\t", "Ada",
    "Zoë", "👩🏽\u200d🚀", "שלום עולם", "نشرة الميناء", "\u202eright to left", "Ada Lovelace", "Dear ", ", ", "\n", "\r\n",
    "\r", "\n\n\n", "\n.\n", "\n..x", "x\n", " \n", "\n \n", "--b1", "--=_b1", "\n--=_b1--\n", "\n--b1\n", "From me", URL,
    "x" * 74, "x" * 75, "x" * 76, "." * 200, "=" * 100, " " * 100, "é" * 60, "x" * 2000, "é" * 2000, "word " * 400, "x.y" * 700,
    "\0", "\x0b\x0c", "\x85", "\u2028", "\ufeff",
]  # fmt: skip
PIECE = st.one_of(st.sampled_from(NASTY), st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
SLOT = st.sampled_from("abc").map(Slot)
CONTENT: st.SearchStrategy[Content] = st.lists(st.one_of(PIECE, SLOT), max_size=8)
VALUES = st.fixed_dictionaries(dict.fromkeys("abc", PIECE))
SUBJECT = st.one_of(
    st.sampled_from(["The long tide", "Grüße aus dem Hafen " * 9, "👩🏽‍🚀" * 30, "x" * 900, "word " * 60, "שלום"]),
    st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=60),
).filter(lambda subject: "=?" not in subject)


def headers(subject: str = "The long tide") -> list[Header]:
    return [
        MailboxHeader("To", [Mailbox("", "ada@example.org")]),
        TokenHeader("Message-ID", "<1.2@example.org>"),
        UrlHeader("List-Unsubscribe", [URL]),
        TextHeader("Subject", subject),
    ]


def own_headers(subject: str = "The long tide") -> Written:
    return written(*headers(subject))


COMMON: list[Header] = [
    MailboxHeader("From", [Mailbox("Zoë at the harbour", "news@example.org")]),
    TokenHeader("List-Id", "<letter.example.org>"),
]


def filled(text: Content, html: Content | None, values: dict[str, str], subject: str = "The long tide") -> Composed:
    return compile_message(COMMON, text=text, html=html, boundary="b1").fill(own_headers(subject), values, digest=True)


def meant(content: Content, values: dict[str, str]) -> str:
    """What a part says, by the words of `compile_message`: texts and values with their line breaks unified, one at the end."""
    texts: list[str] = []
    for piece in content:
        if isinstance(piece, Slot):
            texts.append("\0slot" + values[piece.name])
        elif texts and not texts[-1].startswith("\0slot"):
            texts[-1] += piece
        elif piece:
            texts.append(piece)
    ends = bool(texts) and not texts[-1].startswith("\0slot") and texts[-1].endswith(("\r", "\n"))
    return "".join(unified(text.removeprefix("\0slot")) for text in texts) + ("" if ends else "\n")


def unified(text: str) -> str:
    return re.sub(r"\r\n|\r", "\n", text)


def relaxed(body: bytes) -> bytes:
    """RFC 6376, section 3.4.4, step by step."""
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    while lines and lines[-1] == b"":
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)


def payload(part: EmailMessage) -> str:
    raw = part.get_payload(decode=True)
    assert isinstance(raw, bytes)
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert b"\r" not in raw.replace(b"\r\n", b"")
    return raw.decode().replace("\r\n", "\n")


def read_strictly(composed: Composed) -> EmailMessage:
    """With Python's own parser, to which every defect is an error."""
    return email.message_from_bytes(composed.data, policy=email.policy.default.clone(raise_on_defect=True))


def body_of(composed: Composed) -> bytes:
    return composed.data[composed.head + len(b"\r\n") :]


def check_bytes(composed: Composed) -> None:
    """What must hold of every mail of ours."""
    head, body = composed.data[: composed.head], body_of(composed)
    assert composed.data == head + b"\r\n" + body
    assert head.endswith(b"\r\n")
    assert body.isascii()
    for line in body.split(b"\r\n"):
        assert len(line) <= 76
        assert not line.startswith(b".")
        assert b"\r" not in line
        assert b"\n" not in line
        assert not re.search(rb"=(?![0-9A-F]{2}|_b1|$)", line.replace(b"charset=utf-8", b"").replace(b'boundary="=', b""))
    assert all(len(line) <= 998 and not line.startswith(b".") for line in head.split(b"\r\n"))
    assert relaxed(body) == body
    assert composed.body_digest == hashlib.sha256(body).digest()
    assert f"\r\nList-Unsubscribe: <{URL}>\r\n".encode() in head


@settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow])  # A few seconds; this is the mail of everybody.
@given(text=CONTENT, html=CONTENT, values=VALUES, subject=SUBJECT)
@example(text=["Dear ", Slot("a"), "\n"], html=[" ", Slot("a"), Slot("b"), " "], values={"a": "", "b": ""}, subject="x")
@example(text=["x" * 60, Slot("a"), Slot("a")], html=["a ", Slot("a")], values={"a": "\n.\n"}, subject="x")
def test_a_mail_reads_back_as_it_was_meant_in_two_parsers(
    text: Content, html: Content, values: dict[str, str], subject: str
) -> None:
    composed = filled(text, html, values, subject)
    check_bytes(composed)
    message = read_strictly(composed)
    plain, rich = cast("list[EmailMessage]", list(message.iter_parts()))
    assert (payload(plain), payload(rich)) == (meant(text, values), meant(html, values))
    other = fast_mail_parser.parse_email(composed.data)
    # It takes a byte order mark at the beginning of a part for one.
    assert [unified(part) for part in other.text_plain] == [meant(text, values).removeprefix("\ufeff")]
    assert [unified(part) for part in other.text_html] == [meant(html, values).removeprefix("\ufeff")]
    assert message["Subject"] == subject.strip(" ")
    assert other.subject.strip() == subject.strip()
    for mail_headers in (dict(message), {name: found[0] for name, found in other.headers.items()}):
        assert mail_headers["List-Unsubscribe"] == f"<{URL}>"
        assert (mail_headers["To"], mail_headers["Message-ID"]) == ("ada@example.org", "<1.2@example.org>")
        assert mail_headers["List-Id"] == "<letter.example.org>"


@given(text=CONTENT, values=VALUES)
@example(text=["\n"], values={})
@example(text=["\n\n\n"], values={})
@example(text=["x\n\n\n"], values={})
@example(text=["x", Slot("a"), Slot("a")], values={"a": ""})
@example(text=["x\n\n", Slot("a")], values={"a": ""})
@example(text=["x", Slot("a"), "\n\n"], values={"a": ""})
@example(text=["x", Slot("a"), Slot("b")], values={"a": "\n\n", "b": "\n"})
@example(text=["x" * 75 + "\n" * 100], values={})
def test_a_mail_of_one_part_does_so_too_even_when_it_ends_in_empty_lines(text: Content, values: dict[str, str]) -> None:
    composed = filled(text, None, values)
    check_bytes(composed)
    expected = meant(text, values)
    # An empty line that is all there is stands between head and body already.
    assert payload(read_strictly(composed)) == ("" if expected == "\n" else expected)


@given(content=CONTENT, values=VALUES)
def test_a_compiled_message_gives_the_same_text_as_a_single_one_with_the_values_in_it(
    content: Content, values: dict[str, str]
) -> None:
    """One encoder: where lines are broken may differ, what they say may not."""
    whole = meant(content, values)
    single = compose(headers(), text=whole, html=whole, boundary="b1")
    for composed in (single, filled(content, content, values)):
        parts = cast("list[EmailMessage]", list(read_strictly(composed).iter_parts()))
        assert [payload(part) for part in parts] == [whole, whole]


@given(first=VALUES, second=VALUES, content=CONTENT)
def test_what_one_reader_gets_leaves_no_trace_in_the_mail_of_the_next(
    first: dict[str, str], second: dict[str, str], content: Content
) -> None:
    message = compile_message(COMMON, text=content, html=content, boundary="b1")
    message.fill(own_headers("for the first"), first, digest=True)
    again = message.fill(own_headers(), second, digest=True)
    assert again == filled(content, content, second)


def test_around_a_plain_value_that_fits_nothing_moves() -> None:
    composed = filled(["Dear ", Slot("a"), ",\n\n", Slot("b"), "\nend"], ["<p>", Slot("a"), "</p>"], {"a": "Ada", "b": "."})
    assert b"\r\n\r\nDear=20Ada=\r\n,\r\n\r\n=2E\r\nend\r\n" in body_of(composed)
    assert b"\r\n\r\n<p>Ada=\r\n</p>\r\n" in body_of(composed)


def test_a_value_that_does_not_fit_the_rest_of_its_line_is_wrapped_and_no_octet_is_cut() -> None:
    for length in range(60, 80):
        check_bytes(filled(["x" * 20, Slot("a")], None, {"a": "y" * (length - 20) + ".example"}))
        composed = filled(["x" * 20, Slot("a")], None, {"a": "y" * (length - 20) + "é" * 9})
        check_bytes(composed)
        assert all(re.fullmatch(rb"(?:[^=]|=[0-9A-F]{2})*=?", line) for line in body_of(composed).split(b"\r\n"))


def test_half_a_character_in_a_value_becomes_a_question_mark_and_in_a_text_is_refused() -> None:
    assert b"\r\n\r\nDear=20a=3F=\r\n!\r\n" in filled(["Dear ", Slot("a"), "!"], ["x"], {"a": "a\ud83d"}).data
    for text, html, field in ((["a\ud83d"], ["x"], "text"), (["x"], ["a", "\ud83d"], "html")):
        with pytest.raises(InvalidInput) as refused:
            compile_message(COMMON, text=text, html=html, boundary="b1")
        assert refused.value.field == field


def test_a_body_that_is_the_same_for_all_has_one_digest_and_only_where_it_is_asked_for() -> None:
    message = compile_message(COMMON, text=["Hello\n"], html=["<p>Hello"], boundary="b1")
    first, second = (message.fill(own_headers(subject), {}, digest=True) for subject in ("a", "b"))
    assert body_of(first) == body_of(second)
    assert first.body_digest == second.body_digest == hashlib.sha256(body_of(first)).digest()
    assert message.fill(own_headers(), {}).body_digest is None


def test_a_readers_header_cannot_be_one_that_all_have_or_end_its_line() -> None:
    message = compile_message(COMMON, text=["x"], html=None, boundary="b1")
    for _ in range(2):
        with pytest.raises(InvalidInput, match="twice"):
            message.fill(written(TextHeader("from", "x")), {})
    with pytest.raises(InvalidInput, match="can be set"):
        message.fill(written(TextHeader("Content-Type", "text/plain")), {})
    with pytest.raises(InvalidInput, match="line break"):
        message.fill(written(TextHeader("Subject", "a\r\nBcc: x@example.org")), {})
    assert message.fill(own_headers(), {}).data.count(b"From:") == 1


def test_only_a_local_part_outside_ascii_needs_smtputf8_wherever_it_stands() -> None:
    unusual = MailboxHeader("Reply-To", [Mailbox("", "ünal@example.org")])
    assert not compile_message(COMMON, text=["é"], html=None, boundary="b1").fill(own_headers("é"), {}).needs_smtputf8
    assert compile_message(COMMON, text=["x"], html=None, boundary="b1").fill(written(unusual), {}).needs_smtputf8
    assert compile_message([unusual], text=["x"], html=None, boundary="b1").fill(written(), {}).needs_smtputf8
