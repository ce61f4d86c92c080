"""A list's welcome: off unless somebody wrote it, sent once to whoever confirms, and a mail that can be unsubscribed from."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from newsletter.core.errors import InvalidInput
from newsletter.delivery.rules import LONGEST_WAIT
from newsletter.dev.letters import Letter
from newsletter.privacy.rights import Actor
from newsletter.subscribing.lists import LONGEST_SUBJECT, LONGEST_WELCOME, MailingList, NewList
from newsletter.subscribing.rules import WELCOME_WITHIN, Via
from tests.people import WEB, People, links_in

ADA, BEN = "Ada@example.org", "ben@example.org"
SUBJECT, TEXT = "Welcome aboard", "Good that you are here.\n\nThe archive is at https://northwind.example/archive."


async def write(
    people: People, mailing_list: MailingList, language: str = "en", *, subject: str = SUBJECT, text: str = TEXT
) -> None:
    """The operator gives a list a welcome in that language."""
    texts = dict(mailing_list.texts)
    texts[language] = replace(texts[language], welcome_subject=subject, welcome_text=text)
    new = NewList(mailing_list.slug, texts, time_zone=mailing_list.time_zone)
    now = people.clock.at
    edited = await people.house.list_editing.edit(mailing_list.slug, new, mailing_list.sender.name, by="olga", now=now)
    setattr(people, mailing_list.slug, edited)


async def welcomes(people: People, address: str = ADA, subject: str = SUBJECT) -> list[Letter]:
    return [letter for letter in await people.letters(address) if letter.subject == subject]


def text_of(letter: Letter) -> str:
    return (letter.text or "").replace("\r\n", "\n")


async def test_it_is_off_unless_somebody_writes_it(people: People) -> None:
    await people.reader(ADA)
    assert [letter.subject for letter in await people.letters(ADA)] == []
    assert await people.count("outbox") == 0


async def test_it_is_sent_once_after_confirming_and_the_confirmation_stays_bare(people: People) -> None:
    await write(people, people.letter)
    token = await people.sign_up(ADA)
    (asked,) = await people.letters()
    assert asked.subject == "Please confirm: The Northwind Letter"
    assert "Good that you are here" not in text_of(asked)
    assert token is not None
    await people.confirm(token)
    assert len(await welcomes(people)) == 1
    await people.confirm(token)
    assert len(await welcomes(people)) == 1


async def test_it_says_why_one_gets_it_who_sends_it_and_how_to_unsubscribe(people: People) -> None:
    await write(people, people.letter)
    await people.reader(ADA)
    (letter,) = await welcomes(people)
    link = f"https://news.example.org/unsubscribe/{people.unsubscribe_token(ADA)}"
    assert text_of(letter) == (
        "Good that you are here.\n"
        "\n"
        "The archive is at https://northwind.example/archive.\n"
        "\n"
        "--\n"
        "You get this mail once, because you confirmed on 21 November 2026 that\n"
        "you want “The Northwind Letter” by Northwind Society.\n"
        "\n"
        "To unsubscribe, open this page and press the button:\n"
        f"{link}\n"
        "\n"
        "Northwind Society, Harbour Street 4, 24937 Flensburg\n"
        "Privacy: https://news.example.org/privacy\n"
    )
    assert letter.header("List-Unsubscribe") == f"<{link}>"
    assert letter.header("List-Unsubscribe-Post") == "List-Unsubscribe=One-Click"
    assert letter.header("List-Id") == f"<{people.letter.list_id_header}>"
    assert letter.header("From") == "Northwind Society <letter@northwind.example>"
    assert letter.header("Auto-Submitted") == "auto-generated"


async def test_its_links_stay_links_without_the_full_stop_behind_them(people: People) -> None:
    text = "See https://northwind.example/archive. Or (https://northwind.example/a_(b)?c=1&d=2), “https://northwind.example/x”."
    await write(people, people.letter, text=text)
    await people.reader(ADA)
    (letter,) = await welcomes(people)
    for link in ("archive", "a_(b)?c=1&amp;d=2", "x"):
        assert f'<a href="https://northwind.example/{link}">https://northwind.example/{link}</a>' in (letter.html or "")


async def test_the_legal_notice_is_named_where_there_is_one(people: People) -> None:
    await people.house.db.execute("update sender set legal_notice = 'https://northwind.example/imprint'")
    await write(people, people.letter)
    await people.reader(ADA)
    (letter,) = await welcomes(people)
    assert "\nLegal notice: https://northwind.example/imprint\n" in text_of(letter)


async def test_it_speaks_the_language_of_the_subscription_and_keeps_silent_without_words_in_it(people: People) -> None:
    await write(people, people.letter, "de", subject="Willkommen", text="Schön, dass Sie da sind.")
    await people.reader(ADA, language="en")
    await people.reader(BEN, language="de")
    assert await welcomes(people, ADA, "Willkommen") == []
    (letter,) = await welcomes(people, BEN, "Willkommen")
    assert "weil Sie am 21. November 2026 bestätigt haben, dass Sie „Der Nordwindbrief“" in " ".join(text_of(letter).split())
    assert '<html lang="de">' in (letter.html or "")


async def test_of_several_languages_one_is_sent(people: People) -> None:
    await write(people, people.letter)
    await write(people, people.letter, "de", subject="Willkommen")
    await people.reader(BEN, language="de")
    assert await people.count("outbox", "kind = 'welcome'") == 1
    assert [letter.subject for letter in await people.letters(BEN)] == ["Willkommen"]


async def test_two_links_for_the_same_list_welcome_once(people: People) -> None:
    await write(people, people.letter)
    first = await people.sign_up(ADA)
    people.clock.move(minutes=11)
    second = await people.sign_up(ADA)
    assert first is not None
    assert second is not None
    await people.confirm(first)
    people.clock.move(minutes=1)
    await people.confirm(second)
    assert await people.count("outbox", "kind = 'welcome'") == 1
    assert len(await welcomes(people)) == 1


async def test_each_list_welcomes_for_itself(people: People) -> None:
    await write(people, people.digest)
    await people.reader(ADA, "letter", "digest")
    (letter,) = await welcomes(people)
    assert people.unsubscribe_token(ADA, "digest") in text_of(letter)
    assert people.unsubscribe_token(ADA, "letter") not in text_of(letter)


async def test_nobody_is_welcomed_who_takes_an_unsubscribe_back(people: People) -> None:
    await write(people, people.letter)
    await people.reader(ADA)
    assert len(await welcomes(people)) == 1
    gone = await people.unsubscribe(ADA)
    await people.undo(gone.undo_token)
    assert await people.states(ADA) == {"letter": "confirmed"}
    assert len(await welcomes(people)) == 1


async def test_nobody_is_welcomed_who_was_subscribed_already(people: People) -> None:
    await people.reader(ADA)
    await write(people, people.letter)
    people.clock.move(days=1)
    await people.reader(ADA, "letter", "digest")
    assert await people.states(ADA) == {"letter": "confirmed", "digest": "confirmed"}
    assert await welcomes(people) == []


async def test_whoever_left_and_confirms_anew_is_welcomed_again(people: People) -> None:
    await write(people, people.letter)
    await people.reader(ADA)
    assert len(await welcomes(people)) == 1
    await people.unsubscribe(ADA)
    people.clock.move(days=2)
    await people.reader(ADA)
    assert len(await welcomes(people)) == 2


async def test_who_confirms_anew_before_the_first_was_sent_gets_one(people: People) -> None:
    await write(people, people.letter)
    await people.reader(ADA)
    await people.unsubscribe(ADA)
    people.clock.move(hours=2)
    await people.reader(ADA)
    assert await people.count("outbox", "kind = 'welcome'") == 2
    assert len(await welcomes(people)) == 1


@pytest.mark.parametrize(
    "then", ["unsubscribes", "is erased", "pauses", "pauses the list", "objects", "is cut off", "no words", "late"]
)
async def test_it_is_not_sent_to_who_does_not_want_it_any_more(people: People, then: str) -> None:
    house, now = people.house, people.clock.at
    await write(people, people.letter)
    who = await people.reader(ADA)
    match then:
        case "unsubscribes":
            await people.unsubscribe(ADA)
        case "is erased":
            gone = await people.unsubscribe(ADA)
            await people.erase_now(gone.undo_token)
        case "no words":
            await write(people, people.letter, subject="", text="")
        case "is cut off":
            await house.db.execute("update list set closed_at = $1 where slug = 'letter'", now)
        case "late":
            people.clock.move(hours=24)
        case _:
            list_id = people.letter.list_id if then == "pauses the list" else 0
            await house.db.execute(
                "insert into suppression (subscriber_id, list_id, reason, since, until) values ($1, $2, $3, $4, $5)",
                *(who, list_id, "objected" if then == "objects" else "restricted", now, None),
            )
    assert await people.letters(ADA) == []
    assert WELCOME_WITHIN <= LONGEST_WAIT


async def test_a_pause_that_is_over_holds_nothing_up(people: People) -> None:
    await write(people, people.letter)
    who = await people.reader(ADA)
    await people.house.db.execute(
        "insert into suppression (subscriber_id, list_id, reason, since, until) values ($1, 0, 'restricted', $2, $3)",
        *(who, people.clock.at - timedelta(days=2), people.clock.at - timedelta(days=1)),
    )
    assert len(await welcomes(people)) == 1


async def test_what_operators_typed_names_no_slot_and_is_no_markup(people: People) -> None:
    subject = "{unsubscribe_url} { 7 * 7 } %(x)s"
    text = "{unsubscribe_url} {sender} {text} { 7 * 7 } %(x)s\n.\n.dot\n<b>&amp;</b>" + "x" * 1200
    await write(people, people.letter, subject=subject, text=text)
    await people.house.db.execute("update list_text set name = '{postal_address}'")
    await people.house.db.execute("update sender set name = '{privacy_url}'")
    await people.reader(ADA)
    (letter,) = await welcomes(people, subject=subject)
    assert text_of(letter).startswith(text)
    assert "“{postal_address}” by {privacy_url}." in text_of(letter)
    assert "<p>{unsubscribe_url} {sender} {text} { 7 * 7 } %(x)s<br>" in (letter.html or "")
    assert "&lt;b&gt;&amp;amp;&lt;/b&gt;" in (letter.html or "")
    assert len([link for link in links_in(letter.text) if "/unsubscribe/" in link]) == 1


@pytest.mark.parametrize(
    ("words", "field"),
    [
        ({"subject": ""}, "welcome_subject.en"),
        ({"text": ""}, "welcome_text.en"),
        ({"text": " \n \n"}, "welcome_text.en"),
        ({"subject": "Welcome\r\nBcc: ada@example.org"}, "welcome_subject.en"),
        ({"subject": "=?utf-8?q?Welcome?="}, "welcome_subject.en"),
        ({"subject": "x" * (LONGEST_SUBJECT + 1)}, "welcome_subject.en"),
        ({"text": "x" * (LONGEST_WELCOME + 1)}, "welcome_text.en"),
        ({"text": "a\x1b[31mb"}, "welcome_text.en"),
        ({"text": "a\x00b"}, "welcome_text.en"),
        ({"text": "a\ud800b"}, "welcome_text.en"),
    ],
)
async def test_it_has_subject_and_text_within_bounds_and_holds_no_control_characters(
    people: People, words: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await write(people, people.letter, **words)
    assert refused.value.field == field


async def test_whoever_changes_their_address_is_not_welcomed_again(people: People) -> None:
    await write(people, people.letter)
    who = await people.reader(ADA)
    assert len(await welcomes(people)) == 1
    await people.house.rights.move(who, BEN, by=Actor(Via.PAGE, WEB), now=people.clock.at)
    await people.decide()
    token = await people.confirm_token(BEN)
    assert token is not None
    await people.confirm(token)
    assert await people.states(BEN) == {"letter": "confirmed"}
    assert await welcomes(people, BEN) == []
