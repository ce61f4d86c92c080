"""The command line, on the real database: what it prints, what it refuses, and that errors are one clear line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from newsletter.app import House
from newsletter.cli.main import main
from newsletter.core.keys import open_keyring
from newsletter.core.tokens import Purpose, Tokens
from newsletter.dev.mailbox import Mailbox
from newsletter.settings import Settings
from tests.conftest import SECRET, ManualClock

Run = Callable[..., Awaitable[Result]]

CREATE_LIST = [
    *("list", "create", "letter", "--name", "en=Letter", "--name", "de=Brief", "--description", "en=Monthly"),
    *("--sender", "Society", "--from", "letter@society.example", "--contact", "privacy@society.example"),
    *("--postal-address", "Harbour Street 4, Flensburg", "--time-zone", "Europe/Berlin"),
]


@pytest.fixture
def run(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in a thread (it brings its own event loop); gives click's result."""
    monkeypatch.chdir(tmp_path)
    given = {
        "NEWSLETTER_DATABASE_URL": settings.database_url.get_secret_value(),
        "NEWSLETTER_SECRET": SECRET,
        "NEWSLETTER_BASE_URL": settings.base_url,
        "NEWSLETTER_SMTP_URL": settings.smtp_url.get_secret_value(),
    }

    async def run(*arguments: str, **environment: str) -> Result:
        runner = CliRunner(env={**given, **environment})
        return await asyncio.to_thread(runner.invoke, main, [*arguments], terminal_width=80)

    return run


async def make_list(run: Run) -> None:
    result = await run(*CREATE_LIST)
    assert result.output == "Sign-up page: https://news.example.org/subscribe/letter\n"


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


async def test_migrate_brings_an_empty_database_up_and_can_be_run_again(run: Run, empty_database_url: str) -> None:
    first = await run("migrate", NEWSLETTER_DATABASE_URL=empty_database_url)
    again = await run("migrate", NEWSLETTER_DATABASE_URL=empty_database_url)
    assert first.output == "applied 0001 foundation\nThe schema is up to date.\n"
    assert again.output == "The schema is up to date.\n"


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
    assert result.exit_code == 78
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
    assert caught.envelope.subject == "Die lange Flut"
    declined = await run("campaign", "send", "1")
    assert declined.exit_code == 1
    assert "Send campaign 1 to 0 readers now?" in declined.output
    assert (await house.campaigns.status(1)).state == "draft"
    sent = await run("campaign", "send", "1", "--yes")
    assert sent.output == "Sending campaign 1 to 0 readers.\n"
    twice = await run("campaign", "send", "1", "--yes")
    assert twice.exit_code == 1
    assert "sent already" in twice.output
    clock.move(days=3650)  # The command read the real clock.
    while await house.worker().run_campaigns_once():
        pass
    watched = await run("campaign", "send", "1", "--yes", "--watch")
    assert watched.exit_code == 1
    status = json.loads((await run("campaign", "status", "1", "--json", "--watch")).stdout.partition("\n")[2])
    assert (status["state"], status["planned"], status["totals"]) == ("sent", 0, {})
    assert "sent, 0 readers when it was started" in (await run("campaign", "status", "1")).output
    assert "long tide" in (await run("campaign", "show")).output


async def test_pause_resume_and_cancel_say_what_is_so_now(run: Run, tmp_path: Path) -> None:
    await make_list(run)
    await run("campaign", "create", "letter", write(tmp_path / "x.md", "Subject: X\n\nx"))
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
        ("Subject: Tide\nPreheader: p\n\nDear\n\n{% if name %}\n", "x.md, line "),
        ("Subject: Tide\n\n  \n", "x.md"),
        ("no header\n\nbody\n", "x.md"),
    ],
)
async def test_a_file_that_cannot_become_a_mail_is_refused_with_its_line(
    run: Run, house: House, tmp_path: Path, text: str, says: str
) -> None:
    await make_list(run)
    result = await run("campaign", "create", "letter", write(tmp_path / "x.md", text))
    assert result.exit_code == 1
    assert says in result.output
    assert await house.campaigns.overview() == []


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
