"""What is previewed is what is sent, and what is sent is what Liquid would make of the whole content."""

from __future__ import annotations

import email.policy
import functools
import hmac
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from gettext import NullTranslations
from typing import cast
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from newsletter.campaigns import content as content_module
from newsletter.campaigns.content import CompiledContent, Draft, Format, compile_content
from newsletter.campaigns.content import Reader as Recipient
from newsletter.campaigns.frame import Frame
from newsletter.campaigns.letter import Letter
from newsletter.campaigns.merge import MAX_OUTPUT, nested
from newsletter.campaigns.prepared import Field, Prepared, printable
from newsletter.core.errors import InvalidContent
from newsletter.core.keys import Keyring
from newsletter.core.tokens import Tokens
from newsletter.delivery.headers import check_header_text
from newsletter.delivery.session import Mail
from newsletter.delivery.store import Reader
from newsletter.subscribing.links import Links
from newsletter.subscribing.lists import ListText, MailingList, Sender

NOW = datetime(2026, 11, 22, 2, 30, 15, 123456, tzinfo=UTC)
KEY = b"m" * 32
FRAME = Frame(
    list_name="The Letter",
    list_description="Monthly.",
    sender_name="Society & Friends",
    postal_address="Harbour Street 4\nFlensburg",
    legal_notice_url=None,
    subscribe_url="https://news.example.org/subscribe/letter",
    privacy_url="https://news.example.org/privacy",
    erase_days=14,
    translations=NullTranslations(),
)
LIST = MailingList(
    list_id=3,
    slug="letter",
    public=True,
    closed=False,
    languages=("en", "de"),
    time_zone="Europe/Berlin",
    list_id_header="letter.news.example.org",
    return_urls=(),
    sender=Sender(1, "Society & Friends", "letter@society.example", None, "Harbour Street 4", "privacy@society.example", None),
    texts={"en": ListText("The Letter", "Monthly.")},
)
LINKS = Links(
    Tokens(Keyring(address_key=b"a" * 32, token_keys={1: b"k" * 32}, current_token_key=1)), "https://news.example.org"
)
ADA = Reader(UUID(int=7), "ada@example.org", "Ada", "en", confirmed_at=NOW - timedelta(days=9), attempts=1, first_at=NOW)

BLOCKS = [
    "Dear {{ name }},", "{{ name }}", "{{ name }}{{ name }}", "plain words", ".dots ..", "- {{ name }}\n- b", "> {{ name }}",
    "{% if name %}Dear {{ name }}{% else %}Hello{% endif %},", "{% if name %}only named{% endif %}", "# {{ name | upcase }}",
    "{% unless name %}\n> nobody\n{% endunless %}", "{{ name | default: 'reader' }}", "{{ links.unsubscribe }}", "***",
    "[out]({{ links.unsubscribe }})", "{% if name %}\n\na\n\n{% endif %}\n\n{% if name %}\n\nb\n\n{% endif %}", "word " * 60,
    "{{ list.name }} {{ name }}", "```\na  b\t.\n\n\n.c\n```", "{% case name %}{% when 'Ada' %}A{% endcase %}",
    "a  \n{{ name }}  \nb",
]  # fmt: skip
BODIES = st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=6).map("\n\n".join)
HOSTILE = ["", "Ada", " ", ".", "..x", "=", "a=b", "Zoë 👩🏽\u200d🚀", "שלום", "<b>&\"'", "a  b", "\t", "x\r\ny", "a" * 300]
NAMES = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=40))
SUBJECTS = st.sampled_from(
    ["News", "Grüße", "Hi {{ name }}!", "{% if name %}for {{ name }}{% else %}x{% endif %}", "x {{ name | upcase }}"]
)


@functools.cache
def compiled(body: str, subject: str = "News", language: str = "en") -> CompiledContent:
    return compile_content(Draft(language, subject, "", Format.MARKDOWN, body), frame=FRAME)


def letter(body: str = "Dear {{ name }},\n\nhello.", subject: str = "News") -> Letter:
    return Letter(5, LIST, {"en": compiled(body, subject)}, LINKS, KEY, "society.example")


def read(mail: Mail) -> EmailMessage:
    return email.message_from_bytes(mail.data, policy=email.policy.default.clone(raise_on_defect=True))


def parts(mail: Mail) -> list[str]:
    found = cast("list[EmailMessage]", list(read(mail).iter_parts()))
    return [cast("bytes", part.get_payload(decode=True)).decode().replace("\r\n", "\n") for part in found]


def by_liquid_alone(prepared: Prepared, reader: Recipient) -> str:
    """The whole text, made by Liquid from its source, as if nothing had been settled before."""
    values = {
        "name": printable(reader.name),
        "confirmed_on": reader.confirmed_on,
        "links.unsubscribe": reader.unsubscribe_url,
    }
    return prepared._template.render(**nested({**prepared.constants, **values}))


@settings(max_examples=60)
@given(body=BODIES, name=NAMES, subject=SUBJECTS)
@example(body="{{ name }}\n\n{{ name }}\n\nx", name="", subject="News")
@example(body="{{ name }}\n\nx", name="", subject="News")
@example(body="x\n\n{{ name }}", name="", subject="News")
@example(body="{% if name %}x{% endif %}\n\ny", name="", subject="News")
def test_what_is_sent_is_what_is_previewed_and_what_liquid_makes_of_it(body: str, name: str, subject: str) -> None:
    whole, reader = letter(body, subject), replace(ADA, name=name)
    mail, words = whole.compose(reader, NOW), whole.render(reader)
    text, html = parts(mail)
    assert (text, html) == (words.text, words.html if words.html.endswith("\n") else f"{words.html}\n")
    assert read(mail)["Subject"] == words.subject
    url = str(read(mail)["List-Unsubscribe"]).strip("<>")
    recipient = Recipient(name, "13 November 2026", url)
    content = whole.contents["en"]
    assert words.html == by_liquid_alone(content.html, recipient)
    assert words.text == re.sub(r"\n{3,}", "\n\n", by_liquid_alone(content.text, recipient)).lstrip("\n")
    assert words.subject == check_header_text(words.subject, field="Subject")
    assert words.subject == content_module._one_line(by_liquid_alone(content.subject, recipient))
    assert (url in text, url in html) == (True, True)
    assert not text.startswith("\n")
    assert "\n\n\n" not in text


def test_only_what_differs_is_worked_out_for_each_reader() -> None:
    plain = compiled("Dear {{ name }},\n\n{{ name }} [out]({{ links.unsubscribe }})")
    assert (plain.html.passages, plain.text.passages) == ({}, {})
    alone = compiled("Dear {{ name }},\n\n{{ name }}\n\nhello")
    assert [passage.parts for passage in alone.text.passages.values()] == [("\n\n", Field("name"), "\n\n")]
    assert not alone.has_logic
    mixed = compiled("words\n\n{% if name %}x{% endif %}\n\nmore words")
    assert mixed.has_logic
    assert any("more words" in piece for piece in mixed.text.content if isinstance(piece, str))


def test_the_message_id_is_the_readers_own_and_stays_the_same() -> None:
    code = hmac.digest(KEY, ADA.subscriber_id.bytes, "sha256")[:15].hex()
    expected = f"<{code}.5@society.example>"
    assert read(letter().compose(ADA, NOW))["Message-ID"] == expected
    later = letter("Another text").compose(replace(ADA, name="Lady Ada", attempts=2), NOW + timedelta(days=3))
    assert read(later)["Message-ID"] == expected
    assert read(letter().compose(replace(ADA, subscriber_id=UUID(int=8)), NOW))["Message-ID"] != expected


@pytest.mark.parametrize("key", [b"k", b"k" * 64, b"k" * 65, b"k" * 200])
def test_a_key_of_any_length_gives_the_hmac_of_the_standard(key: bytes) -> None:
    expected = hmac.digest(key, ADA.subscriber_id.bytes, "sha256")[:15].hex()
    assert replace(letter(), message_key=key)._code(ADA.subscriber_id) == expected


def test_the_boundary_is_one_for_all_readers_of_a_language_and_cannot_be_foretold() -> None:
    def boundary(whole: Letter, reader: Reader) -> str:
        return str(read(whole.compose(reader, NOW)).get_boundary())

    both = replace(letter(), contents={"en": compiled("a"), "de": compiled("b", language="de")})
    ben = replace(ADA, subscriber_id=UUID(int=8), address="ben@example.org")
    assert boundary(both, ADA) == boundary(both, ben) != boundary(both, replace(ADA, language="de"))
    assert boundary(replace(both, message_key=b"n" * 32), ADA) != boundary(both, ADA)


def test_the_date_is_this_second_in_the_time_of_the_list() -> None:
    whole = letter()
    for at in (NOW, NOW + timedelta(milliseconds=100), NOW + timedelta(seconds=1), NOW, datetime(2026, 7, 1, tzinfo=UTC)):
        found = read(whole.compose(ADA, at))["Date"].datetime
        assert found == at.replace(microsecond=0)
        assert found.utcoffset() == at.astimezone(LIST.zone).utcoffset()


def test_a_day_of_confirmation_is_the_day_it_was_where_the_list_is_at_home() -> None:
    midnight = replace(ADA, confirmed_at=datetime(2026, 3, 2, 23, 30, tzinfo=UTC))
    assert "3 March 2026" in letter().render(midnight).text.replace("\n", " ")


def test_each_way_out_is_one_line_of_the_header_and_a_reply_goes_where_the_sender_says() -> None:
    whole = replace(letter(), mailing_list=replace(LIST, sender=replace(LIST.sender, reply_to="answers@society.example")))
    head = whole.compose(ADA, NOW).data.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert len([line for line in head if re.fullmatch(rb"List-Unsubscribe: <https://news\.example\.org/[\w/-]+>", line)]) == 1
    assert b"List-Unsubscribe-Post: List-Unsubscribe=One-Click" in head
    assert b"Reply-To: answers@society.example" in head
    names = [line.partition(b":")[0] for line in head if not line.startswith(b" ")]
    assert len(set(names)) == len(names)
    assert set(b"From To Subject Date Message-ID List-Id List-Help Feedback-ID MIME-Version".split()) < set(names)


def test_a_subject_that_a_condition_empties_is_the_name_of_the_list() -> None:
    whole = letter(subject="{% if name == 'Ada' %}{% else %}News{% endif %}")
    assert read(whole.compose(ADA, NOW))["Subject"] == "The Letter"
    assert read(whole.compose(replace(ADA, name="Ben"), NOW))["Subject"] == "News"


@pytest.mark.parametrize("body", ["{{ name }} " * 20, "{{ name | upcase }} " * 20])
def test_a_mail_that_its_fields_make_too_large_is_refused(body: str) -> None:
    whole = letter(body)
    whole.compose(replace(ADA, name="x" * 1000), NOW)
    for act in (whole.render, lambda reader: whole.compose(reader, NOW)):
        with pytest.raises(InvalidContent, match="too large"):
            act(replace(ADA, name="x" * (MAX_OUTPUT // 20)))


def test_an_address_beyond_ascii_is_announced_to_the_relay() -> None:
    assert letter().compose(replace(ADA, address="ünal@example.org"), NOW).utf8
    assert not letter().compose(replace(ADA, name="Ünal"), NOW).utf8
