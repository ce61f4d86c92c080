"""What operators do for people who write or call: the same as on their own page, on record, and without their address."""

from __future__ import annotations

import json
import re
from datetime import timedelta

from click.testing import Result

from newsletter.privacy.rules import months_later
from tests.integration.cli.conftest import Run
from tests.people import People

ADA, NOBODY = "Ada@example.org", "nobody@example.org"
VERBS: list[tuple[str, ...]] = [
    ("show",), ("export",), ("receipt",), ("correct", "--name", "Ada"), ("restrict",), ("resume",), ("object", "--yes"),
    ("unsubscribe",), ("erase", "--yes"),
]  # fmt: skip


async def said(run: Run, verb: str, *options: str, address: str = ADA, exit_code: int = 0) -> str:
    result: Result = await run("subscriber", verb, address, *options)
    assert result.exit_code == exit_code, result.output
    return result.output


async def test_every_verb_says_that_an_address_is_unknown_and_never_repeats_it(run: Run, people: People) -> None:
    for verb, *options in VERBS:
        output = await said(run, verb, *options, address=NOBODY, exit_code=1)
        assert re.search(r"Nobody is known|Nothing is held", " ".join(output.split())), verb
        assert NOBODY not in output
        assert len(output.splitlines()) <= 2


async def test_every_verb_is_audited_without_the_address(run: Run, people: People) -> None:
    await people.reader(ADA, "letter", "digest")
    for verb, *options in VERBS:
        await said(run, verb, *options)
    rows = await people.house.db.fetch("select operator, action, target from audit_log order by audit_id")
    actions = [row["action"] for row in rows]
    for verb, *_ in VERBS:
        assert f"subscriber.{verb}" in actions
    for row in rows:
        assert (row["operator"], row["target"]) == ("command line", "a subscriber")


async def test_somebodys_copy_says_in_words_what_operators_did_about_them_and_when_and_not_who(
    run: Run, people: People
) -> None:
    await people.reader(ADA, "letter", "digest")
    for verb, *options in VERBS[:-1]:
        await said(run, verb, *options)
    await run("suppress", "check", ADA)
    await run("suppress", "add", ADA, "--reason", "left")
    acts = json.loads(await said(run, "show", "--json"))["done_by_our_staff"]
    actions = [each["action"] for each in acts]
    assert actions[:3] == ["subscriber.show", "suppression.add", "suppression.check"], "the newest first, this look included"
    assert {f"subscriber.{verb}" for verb, *_ in VERBS[:-1]} < set(actions)
    assert all(each["what"] not in actions for each in acts), "each has words"
    assert {*acts[0]} == {"what", "action", "occurred_at"}


async def test_what_is_shown_fits_a_terminal_of_eighty_columns(run: Run, people: People) -> None:
    await people.reader(ADA, "letter", "digest", name="Ada Lovelace, Countess of a rather long name that goes on and on")
    await people.letters()
    await people.unsubscribe(ADA, "digest")
    for verb in ("show", "receipt"):
        output = await said(run, verb)
        assert max(map(len, output.splitlines())) <= 80
        assert "Ada Lovelace" in output or verb == "receipt"
        assert ADA in output
    receipt = " ".join((await said(run, "receipt")).split())
    assert "By subscribing you agree that Northwind Society mails you The Northwind Letter, The Digest." in receipt
    assert "Withdrawn 2026-11-21 14:05 UTC, by a link in a mail" in receipt
    assert receipt.count("Withdrawn") == 1, "of what still holds there is nothing to say"


async def test_show_export_and_receipt_speak_json(run: Run, people: People) -> None:
    await people.reader(ADA)
    shown, exported = json.loads(await said(run, "show", "--json")), json.loads(await said(run, "export"))
    assert shown["person"] == exported["person"]
    assert shown["person"]["address"] == ADA
    (receipt,) = json.loads(await said(run, "receipt", "--json"))
    assert (receipt["list"], receipt["person"]) == ("letter", ADA)
    assert (await said(run, "export", "--format", "csv")).startswith("about,number,field,value")


async def test_verbs_change_what_the_page_changes_and_say_that_an_operator_did(run: Run, people: People) -> None:
    await people.reader(ADA, "letter", "digest")
    await said(run, "correct", "--name", "Countess", "--language", "de")
    await said(run, "restrict", "--list", "letter", "--months", "3")
    assert await people.suppressions(ADA) == {(people.letter.list_id, "restricted")}
    await said(run, "resume", "--list", "letter")
    assert await people.suppressions(ADA) == set()
    await said(run, "unsubscribe", "--list", "digest")
    assert await people.states(ADA) == {"letter": "confirmed", "digest": "unsubscribed"}
    await said(run, "object", "--yes", "--why", "too-much")
    assert await people.suppressions(ADA) == {(0, "objected")}
    rows = await people.house.db.fetch(
        "select kind from consent_event where via = 'operator' and form = 'newsletter subscriber' order by event_id"
    )
    assert [row["kind"] for row in rows] == [
        "corrected", "preferences", "restricted", "resumed", "unsubscribed", "objected", "unsubscribed"]  # fmt: skip
    await said(run, "erase", "--yes")
    assert not await people.is_known(ADA)


async def test_what_cannot_be_taken_back_asks_first(run: Run, people: People) -> None:
    await people.reader(ADA)
    for verb in ("erase", "object"):
        output = await said(run, verb, exit_code=1)
        assert "[y/N]" in output
    assert await people.states(ADA) == {"letter": "confirmed"}


async def test_of_somebody_erased_there_is_no_receipt_and_it_says_what_is_kept(run: Run, people: People) -> None:
    await people.reader(ADA)
    await said(run, "erase", "--yes")
    output = await said(run, "receipt", exit_code=1)
    assert "was erased" in output
    until = await people.house.db.fetchval("select max(expires_at) from evidence")
    assert f"kept until {until:%Y-%m-%d %H:%M} UTC" in " ".join(output.split())
    assert "Erased: nothing but codes" in await said(run, "show")


async def test_correct_wants_to_know_what(run: Run, people: People) -> None:
    assert "--name, --language or both" in await said(run, "correct", exit_code=1)
    await people.reader(ADA)
    assert await said(run, "correct", "--name", "a\tb", exit_code=1)
    assert await people.count("audit_log") == 0, "nothing was corrected"
    await said(run, "correct", "--name", "Countess")
    assert await people.count("audit_log", "action = 'subscriber.correct'") == await people.count("audit_log") == 1


async def test_what_a_verb_is_for_is_not_cut_short_in_the_list_of_them(run: Run) -> None:
    for group in ("subscriber", "request", "policy", "evidence"):
        assert "Art." not in (await run(group, "--help")).output, group
    assert "Correct name or language (Article 16)." in (await run("subscriber", "--help")).output


async def test_the_register_shows_who_waits_and_since_when_too_long(run: Run, people: People) -> None:
    """Commands go by the clock of the database."""
    today = await people.house.db.fetchval("select now()")
    came = today - timedelta(days=40)
    note = ("--note", "file 12/2026")
    added = await run("request", "add", "access", "--channel", "letter", "--received", f"{came:%Y-%m-%d}", *note)
    assert added.output == f"Request 1 is to be answered by {months_later(came, 1):%Y-%m-%d}.\n"
    assert (await run("request", "add", "erasure")).exit_code == 0
    listed = await run("request", "list")
    lines = listed.output.splitlines()
    assert max(map(len, lines)) <= 80
    assert f"{months_later(came, 1):%Y-%m-%d} OVERDUE" in lines[1]
    assert "OVERDUE" not in lines[2]
    assert [each["overdue"] for each in json.loads((await run("request", "list", "--json")).output)] == [True, False]
    assert (await run("request", "done", "1")).exit_code == 0
    again = await run("request", "done", "1")
    assert (again.exit_code, "no open request 1" in again.output) == (1, True)
    assert await people.count("rights_request") == 1
    actions = await people.house.db.fetch("select action from audit_log order by audit_id")
    assert [row["action"] for row in actions] == ["request.add", "request.add", "request.done"]


async def test_the_register_says_how_to_read_what_no_relay_has_taken(run: Run, people: People) -> None:
    await people.house.contact.write(ADA, "What do you hold about me?", "en", None, now=people.clock.at)
    waiting = (await run("request", "list")).output
    assert "Request 1: its mail waits for a relay.\n  Read it with `newsletter request read 1`, until 2026-11-28" in waiting
    reply = "5.1.1 there is no such mailbox here, and there never was one, as far as anybody remembers"
    await people.house.db.execute("update outbox set state = 'failed', reply = $1", reply)
    listed = (await run("request", "list")).output
    assert f"Request 1: the relay refused its mail. {reply}" in " ".join(listed.split())
    assert max(map(len, listed.splitlines())) <= 80
    read = (await run("request", "read", "1")).output
    assert read == f"2026-11-21 14:05 UTC, from {ADA}\n\nWhat do you hold about me?\n"
    assert json.loads((await run("request", "read", "1", "--json")).output)["address"] == ADA
    await people.house.db.execute("delete from contact_message")
    assert "was never handed over, and its text is deleted." in " ".join((await run("request", "list")).output.split())
    assert "never mailed, and is deleted" in await unread(run, 1)


async def unread(run: Run, number: int) -> str:
    result = await run("request", "read", str(number))
    assert result.exit_code == 1
    return " ".join(str(result.output).split())


async def test_read_says_where_a_text_is_that_is_not_here(run: Run, people: People) -> None:
    await people.reader(ADA)
    await people.house.contact.write(ADA, "What do you hold about me?", "en", None, now=people.clock.at)
    await people.letters()
    assert "was mailed, and stands in your mailbox alone" in await unread(run, 1)
    assert (await run("request", "add", "access", "--channel", "letter")).exit_code == 0
    assert "Request 2 came by letter" in await unread(run, 2)
    for number in (3, 2**63):
        assert f"There is no open request {number}" in await unread(run, number)
    await people.house.contact.write(ADA, "What do you hold about me?", "en", None, now=people.clock.at)
    assert (await run("subscriber", "erase", ADA, "--yes")).exit_code == 0
    assert "erased before it was mailed, and the text with them" in await unread(run, 3)
    listed = (await run("request", "list")).output
    assert "Request 3: its writer was erased before it was mailed" in listed
    assert "`newsletter request done 3`" in listed
    assert max(map(len, listed.splitlines())) <= 80
    assert await people.count("audit_log", "action = 'request.read'") == 0


async def test_a_note_names_nobody(run: Run, people: People) -> None:
    for note in ("from ada@example.org", "x" * 301, "a\nb"):
        refused = await run("request", "add", "access", "--note", note)
        assert refused.exit_code == 1, note
    assert (await run("request", "add", "access", "--received", "9999-01-01")).exit_code == 1
    assert await people.count("rights_request") == 0
    assert (await run("request", "list")).output == "Nobody waits for an answer.\n"
