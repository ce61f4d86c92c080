"""The mails about signing up: bare, in the reader's language, and only while they are wanted."""

from __future__ import annotations

from datetime import timedelta

import pytest

from newsletter.delivery import store
from newsletter.subscribing import lists_store
from newsletter.subscribing.mails import SubscriptionMails
from tests.people import People

ADA, BEN = "Ada@example.org", "ben@example.org"


def lines(text: str | None) -> str:
    """As SMTP carried it, with the line breaks of this program."""
    return (text or "").replace("\r\n", "\n")


async def test_the_confirmation_mail_is_bare(people: People) -> None:
    """Courts have read a logo, a slogan, a welcome or one link more as advertising without consent."""
    token = await people.sign_up(ADA)
    (letter,) = await people.letters()
    link = f"https://news.example.org/confirm/{token}"
    assert letter.subject == "Please confirm: The Northwind Letter"
    assert lines(letter.text) == (
        "Somebody, probably you, asked on 21 November 2026 at 14:05 (UTC) for\n"
        "“The Northwind Letter” by Northwind Society to be sent to this address.\n"
        "\n"
        "To confirm, open this page and press the button:\n"
        f"{link}\n"
        "\n"
        "It works until 22 November 2026 at 14:05 (UTC). If you do nothing, this\n"
        "request is deleted then.\n"
        "\n"
        "You did not ask for this? Open this page and press the button; we delete\n"
        "the request and refuse new ones for 30 days:\n"
        f"{link}/refuse\n"
        "\n"
        "Northwind Society, Harbour Street 4, 24937 Flensburg\n"
        "https://news.example.org/privacy\n"
    )


async def test_its_html_twin_says_the_same_and_loads_nothing(people: People) -> None:
    await people.sign_up(ADA)
    (letter,) = await people.letters()
    assert letter.text is not None
    assert letter.html is not None
    words = letter.html.partition("<body")[2].partition(">")[2]
    for markup, character in [("<br>", ""), ("</p>", ""), ("<p>", ""), ("&quot;", '"'), ("</body></html>", "")]:
        words = words.replace(markup, character)
    while "<a href" in words:
        before, _, rest = words.partition("<a href=")
        words = before + rest.partition(">")[2].replace("</a>", "", 1)
    assert words.split() == letter.text.split()
    assert [part for part in ("<img", "<link", "<script", "src=", "url(") if part in letter.html] == []


async def test_its_headers_say_that_a_machine_wrote_it_and_offer_no_list_commands(people: People) -> None:
    await people.sign_up(ADA)
    (letter,) = await people.letters()
    assert letter.recipients == ("Ada@example.org",)
    assert letter.envelope.sender == "letter@northwind.example"
    assert letter.header("Auto-Submitted") == "auto-generated"
    assert letter.header("From") == "Northwind Society <letter@northwind.example>"
    assert letter.header("Message-ID").endswith("@northwind.example>")
    assert not [name for name, _ in letter.headers if name.lower().startswith("list-")]


async def test_people_are_answered_in_their_language_and_the_lists_time_zone(people: People) -> None:
    await people.house.db.execute("update list set time_zone = 'Europe/Berlin'")
    await people.sign_up(ADA, language="de")
    (letter,) = await people.letters()
    assert letter.text is not None
    assert "21. November 2026 um 15:05 Uhr (MEZ)" in " ".join(letter.text.split())
    assert "„Der Nordwindbrief“" in letter.text
    assert '<html lang="de">' in (letter.html or "")
    await people.sign_up(BEN, "digest", language="de")
    (letter,) = await people.letters(BEN)
    assert letter.subject == "Please confirm: The Digest"


@pytest.mark.parametrize(
    ("typed", "envelope"),
    [
        ("info@bücher.example.de", "info@xn--bcher-kva.example.de"),
        ("Üser+a@bücher.example.de", "Üser+a@xn--bcher-kva.example.de"),
    ],
)
async def test_addresses_of_every_script_get_their_mail(people: People, typed: str, envelope: str) -> None:
    token = await people.sign_up(typed)
    assert token is not None
    (letter,) = await people.letters()
    assert letter.recipients == (envelope,)
    await people.confirm(token)
    assert await people.states(typed) == {"letter": "confirmed"}


async def test_one_mail_asks_about_several_lists(people: People) -> None:
    await people.sign_up(ADA, "letter", "digest")
    (letter,) = await people.letters()
    assert letter.subject == "Please confirm: The Northwind Letter, The Digest"
    assert await people.states(ADA) == {"letter": "pending", "digest": "pending"}


async def test_whoever_is_subscribed_already_is_told_so_by_mail_alone(people: People) -> None:
    await people.reader(ADA)
    people.clock.move(days=1)
    await people.sign_up(ADA)
    (letter,) = await people.letters()
    assert letter.subject == "You are subscribed already: The Northwind Letter"
    assert letter.header("Auto-Submitted") == "auto-generated"
    link = f"https://news.example.org/unsubscribe/{people.unsubscribe_token(ADA)}"
    assert link in (letter.text or "")
    assert link in (letter.html or "")
    assert letter.header("List-Unsubscribe") == f"<{link}>"
    assert letter.header("List-Unsubscribe-Post") == "List-Unsubscribe=One-Click"


async def test_that_mail_about_two_lists_has_a_link_for_each_and_no_header_for_one_of_them(people: People) -> None:
    """RFC 8058 has room for one address: a button that ends one of two would be taken for the end of both."""
    await people.reader(ADA, "letter", "digest")
    people.clock.move(days=1)
    await people.sign_up(ADA, "digest", "letter")
    (letter,) = await people.letters()
    assert letter.subject == "You are subscribed already: The Digest, The Northwind Letter"
    for slug in ("letter", "digest"):
        link = f"https://news.example.org/unsubscribe/{people.unsubscribe_token(ADA, slug)}"
        assert link in (letter.text or "")
        assert link in (letter.html or "")
    assert not [name for name, _ in letter.headers if name.lower().startswith("list-")]


async def test_that_mail_speaks_of_what_is_so_when_it_is_sent(people: People) -> None:
    await people.reader(ADA, "letter", "digest")
    people.clock.move(days=1)
    await people.sign_up(ADA, "letter", "digest")
    await people.unsubscribe(ADA, "letter")
    (letter,) = await people.letters()
    assert letter.subject == "You are subscribed already: The Digest"
    assert people.unsubscribe_token(ADA, "digest") in (letter.text or "")


async def test_mail_goes_to_the_address_as_it_was_first_typed(people: People) -> None:
    await people.sign_up("Ada@example.org")
    people.clock.move(minutes=10)
    await people.sign_up("ADA@EXAMPLE.ORG")
    assert {letter.recipients for letter in await people.letters()} == {("Ada@example.org",)}


async def test_a_mail_that_nobody_wants_any_more_is_not_sent(people: People) -> None:
    for address in (ADA, BEN, "cy@example.org"):
        await people.sign_up(address)
    refused = await people.confirm_token(ADA)
    assert refused is not None
    await people.refuse(refused)
    await people.reader("dan@example.org")
    people.clock.move(hours=24)
    assert await people.letters() == []


async def test_mail_goes_by_the_relay_that_the_lists_sender_names(people: People) -> None:
    db, now = people.house.db, people.clock.at
    await lists_store.set_relay(db, sender_id=people.letter.sender.sender_id, relay="eu")
    await people.sign_up(ADA)
    (queued,) = await store.claim_mails(db, now=now, lease_until=now + timedelta(minutes=2), size=2)
    mail = await SubscriptionMails(people.house.links).compose(db, queued, now)
    assert mail is not None
    assert (mail.recipient, mail.relay) == (ADA, "eu")
