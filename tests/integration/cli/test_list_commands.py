"""`newsletter list`: what the console can change about a list, by the same service, and each change on record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from newsletter.app import House
from newsletter.subscribing.lists import list_by_slug
from tests.integration.cli.conftest import Run
from tests.people import People

WELCOME = "Subject: Welcome  aboard\r\n\r\nDear reader,\r\n\r\n\r\n\r\nthe first letter comes on Friday. \r\n"


async def done(house: House) -> list[tuple[str, str, str]]:
    rows = await house.db.fetch("select operator, action, target from audit_log order by audit_id")
    return [(row["operator"], row["action"], row["target"]) for row in rows]


async def test_every_change_to_a_list_is_on_record(run: Run, house: House) -> None:
    made = await run(
        *("list", "create", "letter", "--name", "en=Letter", "--sender", "Society", "--from", "letter@society.example"),
        *("--postal-address", "Harbour Street 4, Flensburg"),
    )
    assert made.exit_code == 0, made.output
    relays = "smtp://a.example.org?name=own"
    await run("list", "edit", "letter", "--rate", "5", "--relay", "own", NEWSLETTER_SMTP_URL=relays)
    await run("list", "wording", "letter", "--text", "Yes, mail me.")
    await run("list", "welcome", "letter", "-", typed=WELCOME)
    await run("list", "close", "letter", "--yes")
    assert await done(house) == [
        ("command line", "list.create", "list letter"),
        ("command line", "list.edit", "list letter: rate"),
        ("command line", "sender.edit", "sender 1: relay"),
        ("command line", "list.edit", "list letter: words"),
        ("command line", "list.edit", "list letter: words"),
        ("command line", "list.close", "list letter"),
    ]


async def test_what_is_not_named_stays_as_it_is(run: Run, house: House) -> None:
    """The first language too, whichever comes first in the alphabet."""
    await run(
        *("list", "create", "letter", "--name", "en=Letter", "--name", "de=Brief", "--sender", "Society"),
        *("--from", "letter@society.example", "--postal-address", "Harbour Street 4, Flensburg"),
    )
    before = await list_by_slug(house.db, "letter")
    await run("list", "edit", "letter", "--rate", "none")
    after = await list_by_slug(house.db, "letter")
    assert (after, list(after.texts)) == (before, ["en", "de"])
    assert (await done(house))[-1] == ("command line", "list.edit", "list letter: nothing")


async def test_changes_to_the_keys_are_on_record(run: Run, house: House, tmp_path: Path) -> None:
    assert (await run("key", "rotate")).exit_code == 0
    new = tmp_path / "new"
    new.write_text("another secret, of thirty-two characters or more")
    assert (await run("key", "rewrap", "--new-secret-file", str(new))).exit_code == 0
    first, second = await done(house)
    assert first == ("command line", "key.rotate", "links")
    assert (second[:2], second[2].endswith(" keys")) == (("command line", "key.rewrap"), True)


async def test_a_list_made_here_has_its_wording_on_record_as_one_made_in_the_console(run: Run, people: People) -> None:
    """The form's sentence counts as evidence from its first day on, whoever made the list."""
    before = await people.count("wording")
    await run("list", "create", "brief", "--name", "en=The Brief", "--sender", "Northwind Society")
    assert await people.count("wording") == before + 1


async def test_a_welcome_mail_is_written_shown_and_turned_off(run: Run, people: People, tmp_path: Path) -> None:
    file = tmp_path / "welcome.txt"
    file.write_bytes(b"\xef\xbb\xbf" + WELCOME.encode())
    text = "Dear reader,\n\nthe first letter comes on Friday."
    written = await run("list", "welcome", "letter", str(file), "--language", "en", "--json")
    assert written.exit_code == 0, written.output
    nothing = {"language": "de", "subject": None, "text": None}
    assert json.loads(written.stdout) == [{"language": "en", "subject": "Welcome aboard", "text": text}, nothing]
    shown = await run("list", "welcome", "letter")
    assert shown.output == (
        "en: Welcome aboard\n  Dear reader,\n\n  the first letter comes on Friday.\nde: no welcome mail is sent\n"
    )
    piped = await run("list", "welcome", "letter", "-", "--language", "de", "--json", typed="Subject: Hallo\n\nGuten Tag.\n")
    assert json.loads(piped.stdout)[1] == {"language": "de", "subject": "Hallo", "text": "Guten Tag."}
    off = json.loads((await run("list", "welcome", "letter", "--off", "--language", "en", "--json")).stdout)
    assert [each["subject"] for each in off] == [None, "Hallo"]
    off = json.loads((await run("list", "welcome", "letter", "--off", "--json")).stdout)
    assert [each["subject"] for each in off] == [None, None]


async def test_a_sentence_of_ones_own_stands_beside_the_button_until_ours_is_back(run: Run, people: People) -> None:
    own = "Send me The Northwind Letter,  please."
    changed = await run("list", "wording", "letter", "--language", "en", "--text", own, "--json")
    assert changed.exit_code == 0, changed.output
    english, german = json.loads(changed.stdout)
    assert english["own"] == "Send me The Northwind Letter, please."
    assert english["shown"] == "Send me The Northwind Letter, please. You can unsubscribe at any time."
    assert german["own"] is None
    assert (await run("list", "wording", "letter")).output.startswith("en (your own): Send me The Northwind Letter, please.")
    back = json.loads((await run("list", "wording", "letter", "--ours", "--json")).stdout)
    assert [each["own"] for each in back] == [None, None]
    assert back[0]["shown"].startswith("By subscribing you agree")
    assert {row["content"] for row in await people.house.db.fetch("select content from wording where kind = 'form'")} >= {
        english["shown"],
        back[0]["shown"],
    }


@pytest.mark.parametrize(
    ("arguments", "typed", "says"),
    [
        (("welcome", "letter", "-"), WELCOME, "Say the language, with --language; the list has en, de."),
        (("welcome", "letter", "-", "--language", "fr"), WELCOME, "letter is not written in fr: name another"),
        (("welcome", "letter", "-", "--language", "en"), "Dear reader\n", 'The first line has to be "Subject: …"'),
        (("welcome", "letter", "-", "--language", "en"), "Subject: Hello\n\n \n", "fill in both, or neither"),
        (("welcome", "letter", "-", "--language", "en"), "Subject: Hello\n\n\x1b[2J\n", "may not hold control characters"),
        (("welcome", "letter", "-", "--off"), WELCOME, "Give a file, or --off, but not both."),
        (("welcome", "letter", "nowhere.txt", "--language", "en"), "", "name another file"),
        (("welcome", "nowhere"), "", 'There is no list "nowhere".'),
        (("wording", "letter", "--text", " ", "--language", "en"), "", "The sentence is empty"),
        (("wording", "letter", "--text", "x", "--ours"), "", "Give --text, or --ours, but not both."),
        (("wording", "letter", "--text", "x" * 401, "--language", "en"), "", "400 characters at most"),
    ],
)
async def test_words_that_cannot_be_are_refused_with_the_remedy_and_change_nothing(
    arguments: tuple[str, ...], typed: str, says: str, run: Run, people: People
) -> None:
    refused = await run("list", *arguments, typed=typed)
    assert refused.exit_code == 1
    assert says in " ".join(refused.output.split())
    assert await people.count("audit_log") == 0


async def test_the_words_of_a_closed_list_stay(run: Run, people: People) -> None:
    await run("list", "close", "letter", "--yes")
    refused = await run("list", "wording", "letter", "--ours")
    assert (refused.exit_code, "closed, for good" in refused.output) == (1, True)


@pytest.mark.parametrize("field", ["{{ name }}", "{% if name %}x{% endif %}"])
async def test_a_merge_field_that_nobody_would_fill_in_is_refused(run: Run, people: People, field: str) -> None:
    refused = [
        await run("list", "wording", "digest", "--text", f"Yes, {field}, mail me."),
        await run("list", "welcome", "digest", "-", typed=f"Subject: Welcome\n\nDear {field},\n"),
        await run("list", "welcome", "digest", "-", typed=f"Subject: Welcome {field}\n\nHello.\n"),
    ]
    assert all(each.exit_code > 0 and "Merge fields are not filled in here" in each.output for each in refused)
