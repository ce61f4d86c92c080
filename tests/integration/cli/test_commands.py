"""The command line, on the real database: what it prints, what it refuses, and that errors are one clear line."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from email import message_from_bytes, policy
from io import StringIO
from pathlib import Path

import click
import pytest

from newsletter.app import House
from newsletter.cli.main import main
from newsletter.core.database import Database
from newsletter.core.keys import open_keyring
from newsletter.core.migrations import migrate, migrations
from newsletter.core.tokens import Purpose, Tokens
from newsletter.dev.mailbox import Mailbox
from newsletter.subscribing.lists import list_by_slug
from tests.conftest import SECRET, START, ManualClock
from tests.integration.cli.conftest import Run, Terminal
from tests.people import add_readers

CREATE_LIST = [
    *("list", "create", "letter", "--name", "en=Letter", "--name", "de=Brief", "--description", "en=Monthly"),
    *("--sender", "Society", "--from", "letter@society.example", "--contact", "privacy@society.example"),
    *("--postal-address", "Harbour Street 4, Flensburg", "--time-zone", "Europe/Berlin"),
]


async def make_list(run: Run) -> None:
    result = await run(*CREATE_LIST)
    assert result.output == "Sign-up page: https://news.example.org/subscribe/letter\n"


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


async def test_migrate_brings_an_empty_database_up_and_can_be_run_again(run: Run, empty_database_url: str) -> None:
    first = await run("migrate", NEWSLETTER_DATABASE_URL=empty_database_url)
    again = await run("migrate", NEWSLETTER_DATABASE_URL=empty_database_url)
    applied = "".join(f"applied {each.number:04} {each.name}\n" for each in migrations())
    assert applied.startswith("applied 0001 foundation\n")
    assert first.output == f"{applied}The schema is up to date.\n"
    assert again.output == "The schema is up to date.\n"


async def test_a_migration_that_has_to_wait_too_long_says_to_try_again_and_that_it_may_help(
    run: Run, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1: 78 would tell a supervisor that only another configuration can help."""
    monkeypatch.setattr("newsletter.core.migrations.LOCK_TIMEOUT_MS", "10")
    db = await Database.connect(empty_database_url)
    await migrate(db, now=START, known=migrations()[:1])
    async with db.transaction() as reader:
        await reader.execute("select * from key")
        busy = await run("migrate", NEWSLETTER_DATABASE_URL=empty_database_url)
    await db.close()
    assert busy.exit_code == 1
    assert "Try again when no long transaction is running." in busy.output
    assert (await run("migrate", NEWSLETTER_DATABASE_URL=empty_database_url)).exit_code == 0


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"NEWSLETTER_SECRET": "another secret for tests, 32 characters"}, "This secret does not belong to this database"),
        ({"NEWSLETTER_SECRET": "short"}, "NEWSLETTER_SECRET"),
        ({"NEWSLETTER_DATABASE_URL": "postgresql://u:p@127.0.0.1:1/x"}, "PostgreSQL cannot be reached"),
        ({"NEWSLETTER_BASE_URL": "http://news.example.org"}, "NEWSLETTER_BASE_URL: must begin with https://"),
        ({"NEWSLETTER_SMPT_URL": "smtp://x"}, "did you mean NEWSLETTER_SMTP_URL?"),
    ],
)
async def test_a_configuration_that_cannot_work_is_one_clear_line(run: Run, environment: dict[str, str], says: str) -> None:
    result = await run("list", "show", **environment)
    assert result.exit_code == (1 if "reached" in says else 78)
    assert says in result.output
    assert len(result.output.splitlines()) == 1
    assert "Traceback" not in result.output


async def test_a_database_that_was_never_migrated_says_what_to_run(run: Run, empty_database_url: str) -> None:
    result = await run("list", "show", NEWSLETTER_DATABASE_URL=empty_database_url)
    assert result.exit_code == 1  # Time may heal it: `newsletter migrate` may be on its way.
    assert "run `newsletter migrate` first" in result.output


async def test_a_campaign_is_written_looked_at_tried_and_sent(
    run: Run, mailbox: Mailbox, house: House, clock: ManualClock, tmp_path: Path
) -> None:
    await make_list(run)
    english = write(tmp_path / "long-tide.en.md", "Subject: The long tide\nPreheader: Soon\n\n# Tide\n\nDear {{ name }},\n")
    german = write(tmp_path / "long-tide.de.html", "Subject: Die lange Flut\n\n<h1>Flut</h1><p>Guten Tag {{ name }}</p>\n")
    created = await run("campaign", "create", "letter", english, german)
    assert created.output == "Campaign 1 is a draft. Look at it: newsletter campaign preview 1\n"
    preview = await run("campaign", "preview", "1", "--name", "Ada", "--folder", str(tmp_path / "out"))
    assert preview.output.startswith("Subject: The long tide\n")
    mail = message_from_bytes((tmp_path / "out" / "campaign-1.eml").read_bytes(), policy=policy.default)
    assert mail["Subject"] == "The long tide"
    assert "Dear Ada," in (tmp_path / "out" / "campaign-1.html").read_text()
    tried = await run("campaign", "test", "1", "--to", "me@example.org", "--language", "de", "--name", "Ada")
    assert tried.output == "Taken by the relay.\n"
    (caught,) = await mailbox.messages()
    assert caught.envelope.subject == "[Test] Die lange Flut"
    nobody = await run("campaign", "send", "1", "--yes")
    assert (nobody.exit_code, "Nobody has confirmed this list yet" in nobody.output) == (1, True)
    await add_readers(house, 1)
    declined = await run("campaign", "send", "1")
    assert declined.exit_code == 1
    assert "Send campaign 1 to 1 reader now?" in declined.output
    assert (await house.campaigns.status(1)).state == "draft"
    sent = await run("campaign", "send", "1", "--yes")
    assert sent.output == "Sending campaign 1 to 1 reader.\n"
    twice = await run("campaign", "send", "1", "--yes")
    assert twice.exit_code == 1
    assert "sent already" in twice.output
    clock.move(days=3650)  # The command read the real clock.
    while await house.worker().run_campaigns_once():
        pass
    watched = await run("campaign", "send", "1", "--yes", "--watch")
    assert watched.exit_code == 1
    asked = await run("campaign", "status", "1", "--json", "--watch")
    status = json.loads(asked.stdout)
    assert (status["campaign"], status["state"], status["planned"], status["totals"]) == (1, "sent", 1, {"accepted": 1})
    assert asked.stderr == "sent: 1 of 1\n"
    assert (await run("campaign", "status", "1", "--watch")).stdout.startswith("sent: 1 of 1\n")
    again = await run("campaign", "send", "1")
    assert again.output == "Error: Campaign 1 is sent: it was sent already, or cancelled.\n"
    assert "sent, 1 reader when it was started" in (await run("campaign", "status", "1")).output
    assert "long tide" in (await run("campaign", "show")).output


async def test_a_campaign_is_scheduled_taken_back_and_copied(run: Run, house: House, tmp_path: Path) -> None:
    await make_list(run)
    await house.db.execute("update list set time_zone = 'Europe/Berlin'")
    soon = (await house.db.fetchval("select now()::date + 3")).isoformat()
    await run("campaign", "create", "letter", write(tmp_path / "x.md", "Subject: X\n\nx"))
    scheduled = await run("campaign", "schedule", "1", f"{soon}T09:30")
    assert scheduled.output.startswith(f"Campaign 1 starts by itself at {soon} 09:30 in Europe/Berlin, that is {soon} 0")
    assert "It starts by itself at" in (await run("campaign", "status", "1")).output
    refused = await run("campaign", "schedule", "1", "2020-01-01 09:30")
    assert (refused.exit_code, "That is past" in refused.output) == (1, True)
    assert (await run("campaign", "unschedule", "1")).output == "Campaign 1 is a draft again.\n"
    await house.db.execute("update campaign set returned_reason = 'The list was closed.'")
    assert "could not: The list was closed." in (await run("campaign", "status", "1")).output
    assert (await run("campaign", "copy", "1")).output == "Campaign 2 is a draft with the words of campaign 1.\n"


async def test_pause_resume_and_cancel_say_what_is_so_now(run: Run, house: House, tmp_path: Path) -> None:
    await make_list(run)
    await add_readers(house, 1)
    await run("campaign", "create", "letter", write(tmp_path / "x.md", "Subject: X\n\nx"))
    assert (await run("campaign", "status", "1")).output == "X\ndraft, never started\n"
    assert (await run("campaign", "pause", "1")).output == "Error: Campaign 1 is draft: there is nothing to pause.\n"
    await run("campaign", "send", "1", "--yes")
    assert (await run("campaign", "pause", "1")).exit_code == 0
    assert (await run("campaign", "resume", "1")).output == "Campaign 1 is sending again.\n"
    assert (await run("campaign", "cancel", "1")).output == "Campaign 1 is cancelled.\n"
    assert json.loads((await run("campaign", "show", "--json")).output)[0]["state"] == "cancelled"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Subject: Tide\n\nDear {{ nmae }}\n", "x.md, line 3: "),
        ("\ufeffSubject: Tide\n\nDear {{ nmae }}\n", "x.md, line 3: "),
        ("Subject: Tide\nPreheader: p\n\nDear\n\n{% if name %}\n", "x.md, line 6: "),
        ("Subject: Tide\n\n  \n", "x.md: "),
        ("no header\n\nbody\n", "x.md: "),
    ],
)
async def test_a_file_that_cannot_become_a_mail_is_refused_with_its_line(
    run: Run, house: House, tmp_path: Path, text: str, says: str
) -> None:
    await make_list(run)
    result = await run("campaign", "create", "letter", write(tmp_path / "x.md", text))
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {says}")
    assert "of the body" not in result.output  # One line number, that of the file.
    assert await house.campaigns.overview() == []


async def test_the_language_of_a_file_is_in_its_name_however_it_is_spelled(run: Run, house: House, tmp_path: Path) -> None:
    await make_list(run)
    text = "Subject: X\n\nx"
    german, english = write(tmp_path / "nov.DE.md", text), write(tmp_path / "nov.final.md", text)
    assert (await run("campaign", "create", "letter", german, english)).exit_code == 0
    assert {draft.language for draft in await house.campaigns.drafts(1)} == {"de", "en"}
    for name, tag in (("bad.en_gb.md", "en_gb"), ("nov.fr.html", "fr"), ("nov.pt-BR.md", "pt-BR")):
        result = await run("campaign", "create", "letter", write(tmp_path / name, text))
        assert result.exit_code == 1
        assert f'{name}: its name says the language "{tag}", and the list has en, de.' in result.output
    assert len(await house.campaigns.overview()) == 1


async def test_a_preview_is_in_the_language_that_is_asked_for_or_none(run: Run, tmp_path: Path) -> None:
    await make_list(run)
    both = [write(tmp_path / f"x.{tag}.md", f"Subject: {word}\n\nx") for tag, word in (("en", "Tide"), ("de", "Flut"))]
    await run("campaign", "create", "letter", *both)
    await run("campaign", "create", "letter", both[0])
    assert (await run("campaign", "preview", "1", "--language", "de")).output.startswith("Subject: Flut\n")
    refused = await run("campaign", "preview", "2", "--language", "de")
    assert refused.output == 'Error: The campaign was not written in "de", but in en.\n'
    tried = await run("campaign", "test", "2", "--to", "me@example.org", "--language", "de")
    assert tried.output == refused.output


async def test_a_private_list_has_no_sign_up_page(run: Run, house: House) -> None:
    created = await run(*CREATE_LIST, "--private")
    assert created.output == "The list letter is private: nobody can sign up for it by a form.\n"
    (shown,) = json.loads((await run("list", "show", "--json")).output)
    assert (shown["public"], shown["page"]) == (False, None)
    assert not (await list_by_slug(house.db, "letter")).public


async def test_a_list_has_the_pages_to_return_to_that_were_named(run: Run, house: House) -> None:
    pages = ("https://example.org/thanks", "https://example.org/danke")
    await run(*CREATE_LIST, *(word for page in pages for word in ("--return-url", page)))
    assert (await list_by_slug(house.db, "letter")).return_urls == pages


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--name", "en=Two"), "There are two of --name en=…: leave one of them out."),
        (("--description", "fr=x"), "--description fr=… has no --name fr=…: give both, or neither."),
        (("--description", "x"), 'Say the language with it: --description en="x".'),
        (("--return-url", "https://example.org:99999/x"), "A page to return to must be a whole address"),
    ],
)
async def test_nothing_that_is_said_of_a_list_is_dropped(run: Run, options: tuple[str, ...], says: str) -> None:
    result = await run(*CREATE_LIST, *options)
    assert result.exit_code == 1
    assert says in result.output
    assert json.loads((await run("list", "show", "--json")).output) == []


async def test_an_existing_sender_is_named_alone_and_no_other_gets_its_name(run: Run) -> None:
    await make_list(run)
    more = ("list", "create", "more", "--name", "en=More", "--sender", "Society")
    for option in ("--reply-to", "--postal-address", "--contact", "--legal-notice"):
        refused = await run(*more, option, "x@society.example")
        assert refused.exit_code == 1
        assert f"{option} is for a new sender: give --from as well" in refused.output
    twice = await run(*more, "--from", "other@society.example", "--postal-address", "Elsewhere 1")
    assert 'There is a sender "Society" already: give its name alone to use it' in twice.output
    assert (await run(*more)).exit_code == 0


async def test_names_that_a_terminal_would_obey_are_refused(run: Run) -> None:
    for command in (["operator", "create"], ["token", "create", "--operator", "Ada"]):
        assert (await run("operator", "create", "Ada")).exit_code in (0, 1)
        refused = await run(*command, "a\x1b[31mb")
        assert refused.exit_code == 1
        assert "characters that can be seen" in refused.output


async def test_a_token_that_cannot_be_is_said_not_to_be(run: Run) -> None:
    for number in ("7", "99999999999"):
        revoked = await run("token", "revoke", number)
        assert revoked.output == "Error: There is no such token, or it was revoked before.\n"
    assert (await run("token", "revoke", "0")).exit_code == 2


async def test_a_token_is_valid_for_as_many_days_as_were_asked_for(run: Run, house: House) -> None:
    await run("operator", "create", "owner", "--role", "owner")
    await run("token", "create", "short", "--days", "3")
    (token,) = await house.operators.tokens()
    assert token.expires_at - token.created_at == timedelta(days=3)


async def test_the_web_app_listens_where_the_options_say(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[str, int]] = []

    async def serve(services: object, *, host: str, port: int, stop: asyncio.Event) -> None:
        heard.append((host, port))

    async def no_signal(stop: asyncio.Event) -> None:
        """In a thread there are none to wait for."""

    monkeypatch.setattr("newsletter.cli.processes.serve_web", serve)
    monkeypatch.setattr("newsletter.cli.processes.until_signal", no_signal)
    monkeypatch.setattr("newsletter.cli.processes.set_up_logs", lambda *_, **__: None)
    assert (await run("serve", NEWSLETTER_PORT="9000")).exit_code == 0
    assert (await run("serve", "--host", "::1", "--port", "9001")).exit_code == 0
    assert heard == [("127.0.0.1", 9000), ("::1", 9001)]


async def test_tokens_are_shown_once_and_end_at_once(run: Run, house: House) -> None:
    await run("operator", "create", "Ada", "--role", "owner")
    token = (await run("token", "create", "script", "--operator", "Ada", "--scope", "campaigns:read")).output.strip()
    caller = await house.operators.caller(token, now=house.clock.now())
    assert caller is not None, token
    assert caller.scopes == {"campaigns:read"}
    shown = await run("token", "show")
    assert token not in shown.output
    assert "script" in shown.output
    assert (await run("token", "revoke", "1")).exit_code == 0
    assert await house.operators.caller(token, now=house.clock.now()) is None
    assert "revoked" in (await run("token", "show")).output
    assert json.loads((await run("token", "show", "--json")).output)[0]["name"] == "script"


async def test_a_new_secret_opens_the_same_keys_and_the_old_one_no_longer(run: Run, tmp_path: Path) -> None:
    await make_list(run)
    new = "a new secret for tests, 32 characters or more"
    assert "too short" in (await run("key", "rewrap", "--new-secret-file", write(tmp_path / "short", "short"))).output
    (tmp_path / "binary").write_bytes(b"\xff" * 40)
    binary = await run("key", "rewrap", "--new-secret-file", str(tmp_path / "binary"))
    assert binary.exit_code == 78
    assert "--new-secret-file: " in binary.output
    assert len(binary.output.splitlines()) == 1
    assert (await run("key", "rewrap", "--new-secret-file", write(tmp_path / "new", new + "\n"))).exit_code == 0
    assert (await run("list", "show")).exit_code == 78
    shown = await run("list", "show", NEWSLETTER_SECRET=new)
    assert "letter" in shown.output
    assert json.loads((await run("list", "show", "--json", NEWSLETTER_SECRET=new)).output)[0]["list"] == "letter"


async def test_links_outlive_a_change_of_the_token_key(run: Run, house: House) -> None:
    token = Tokens(house.keyring).mint(Purpose.UNSUBSCRIBE, b"payload")
    assert (await run("key", "rotate")).exit_code == 0
    rotated = Tokens(await open_keyring(house.db, SECRET, now=house.clock.now() + timedelta(days=3650)))
    assert rotated.read(Purpose.UNSUBSCRIBE, token) == b"payload"
    assert rotated.mint(Purpose.UNSUBSCRIBE, b"payload") != token


@pytest.mark.parametrize(
    "command",
    [[], ["campaign"], ["campaign", "create"], ["campaign", "send"], ["list", "create"], ["token", "create"], ["dev"]],
)
async def test_help_fits_eighty_columns(run: Run, command: list[str]) -> None:
    result = await run(*command, "--help")
    assert result.exit_code == 0
    assert max(len(line) for line in result.output.splitlines()) <= 80


MISTYPED = [
    [
        "campaign",
        "create",
        "--uncertain",
        "perhaps-once-more-and-then-again-and-again-until-somebody-says-that-it-is-enough",
        "x",
    ],
    ["list", "create", "letter", f"--{'no-such-option-' * 3}that-anybody-has-heard-of", "x"],
    ["suppress", "add", "ada@example.org", "--reason", "because she has told us on the telephone that she wants no more of it"],
    ["campaign", "preview", "the number that the command campaign create has printed when it was made"],
    ["--no-such-option-of-the-whole-program-that-anybody-here-has-heard-of-until-now", "x"],
]


@pytest.mark.parametrize("typed", MISTYPED, ids=lambda typed: " ".join(typed[:2])[:20])
def test_what_is_typed_wrongly_is_told_in_eighty_columns_on_a_terminal_and_in_one_line_elsewhere(typed: list[str]) -> None:
    with pytest.raises(click.UsageError) as raised:
        main.main(typed, prog_name="newsletter", standalone_mode=False, terminal_width=80)
    assert raised.value.exit_code == 2
    elsewhere, shown = StringIO(), Terminal()
    raised.value.show(elsewhere)
    raised.value.show(shown)
    *_, line = elsewhere.getvalue().splitlines()
    assert line.startswith("Error: ")
    assert len(line) > 80
    longest = max(len(word) for word in line.split())
    assert max(map(len, shown.getvalue().splitlines())) <= max(80, longest)
    assert shown.getvalue().split() == elsewhere.getvalue().split()


def test_a_group_without_a_command_shows_its_help_and_no_error() -> None:
    with pytest.raises(click.UsageError) as raised:
        main.main(["list"], prog_name="newsletter", standalone_mode=False, terminal_width=80)
    shown = StringIO()
    raised.value.show(shown)
    assert "Usage: newsletter list" in raised.value.format_message()
    assert "Error:" not in shown.getvalue()


async def test_rate_and_relay_of_a_list_are_set_and_taken_back(run: Run) -> None:
    relays = "smtp://a.example.org?name=own,smtp://b.example.org?name=bulk"
    made = await run(*CREATE_LIST, "--rate", "50", "--relay", "bulk", NEWSLETTER_SMTP_URL=relays)
    assert made.exit_code == 0, made.output

    async def shown() -> tuple[object, object]:
        (found,) = json.loads((await run("list", "show", "--json")).stdout)
        return found["rate"], found["relay"]

    assert await shown() == (50, "bulk")
    changed = await run("list", "edit", "letter", "--rate", "0.5", NEWSLETTER_SMTP_URL=relays)
    assert changed.output == "letter: 0.5 mails a second at most.\n"
    assert await shown() == (0.5, "bulk")
    changed = await run("list", "edit", "letter", "--relay", "own", NEWSLETTER_SMTP_URL=relays)
    assert changed.output == "All mail of Society goes by own.\n"
    assert await shown() == (0.5, "own")
    taken_back = await run("list", "edit", "letter", "--rate", "none", "--relay", "none")
    assert taken_back.output == (
        "letter: as fast as its relay takes it.\nAll mail of Society goes by whichever relay there is.\n"
    )
    assert await shown() == (None, None)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("letter",), "Say what to change: --rate, --relay or both."),
        (("letter", "--relay", "bluk"), 'There is no relay "bluk"; there are own, bulk.'),
        *((("letter", "--rate", rate), "A rate is a number of mails a second") for rate in ("fast", "0", "-1", "nan", "inf")),
        (("digest", "--rate", "5"), 'There is no list "digest".'),
        (("digest", "--relay", "own"), 'There is no list "digest".'),
    ],
)
async def test_a_rate_or_relay_that_cannot_be_is_refused_with_the_remedy(
    run: Run, arguments: tuple[str, ...], says: str
) -> None:
    await make_list(run)
    relays = "smtp://a.example.org?name=own,smtp://b.example.org?name=bulk"
    refused = await run("list", "edit", *arguments, NEWSLETTER_SMTP_URL=relays)
    assert refused.exit_code == 1
    assert says in refused.output


async def test_a_list_for_a_relay_that_there_is_not_is_not_made(run: Run) -> None:
    refused = await run(*CREATE_LIST, "--relay", "bluk")
    assert 'There is no relay "bluk"; there are 127.0.0.1:' in refused.output
    assert json.loads((await run("list", "show", "--json")).stdout) == []
