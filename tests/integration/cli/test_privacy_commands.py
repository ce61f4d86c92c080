"""`newsletter privacy`, `suppress` and `list close`: what they print, what they refuse, and that no address is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from newsletter.cli.house import Refused
from newsletter.consent import withdrawal_file
from newsletter.consent.withdrawal_file import Withdrawal
from tests.integration.cli.conftest import Run, Terminal
from tests.people import People

ADA, BEN = "ada@example.org", "ben@example.org"


@pytest.fixture
def ahead(people: People, tmp_path: Path) -> Path:
    """A file that knows of somebody who has left, and the database does not."""
    path = tmp_path / "withdrawals.jsonl"
    file = withdrawal_file.begin(path, people.house.keyring.installation, begins=0, now=people.clock.at)
    withdrawal_file.append(
        file, [Withdrawal(9, "unsubscribed", people.id_of(ADA), people.letter.list_id, people.clock.move(hours=1))]
    )
    return path


async def test_a_campaign_is_not_sent_before_the_replay_that_the_refusal_names(
    people: People, run: Run, ahead: Path, tmp_path: Path
) -> None:
    people.clock.move(hours=-1)
    await people.reader(ADA)
    await people.reader(BEN)
    draft = tmp_path / "tide.md"
    draft.write_text("Subject: Tide\n\nHello\n")
    assert (await run("campaign", "create", "letter", str(draft))).exit_code == 0
    log = {"NEWSLETTER_WITHDRAWAL_LOG": str(ahead)}
    refused = await run("campaign", "send", "1", "--yes", **log)
    assert refused.exit_code == 1
    assert "Run `newsletter privacy replay`, then try again." in refused.output
    replayed = await run("privacy", "replay", **log)
    assert replayed.output == (
        f"Read {ahead}\n1 withdrawal, of which the database did not know 1.\n"
        "           1  subscriptions ended\nCampaigns may be sent.\n"
    )
    assert (await run("campaign", "send", "1", "--yes", **log)).output == "Sending campaign 1 to 1 reader.\n"


async def test_a_replay_tells_what_it_did_as_json(people: People, run: Run, ahead: Path) -> None:
    told = json.loads((await run("privacy", "replay", "--file", str(ahead), "--json")).output)
    assert (told["withdrawals"], told["unknown"], told["suppressed"], told["torn"]) == (1, 1, 1, [])


async def test_a_replay_without_a_file_says_what_to_do(people: People, run: Run) -> None:
    result = await run("privacy", "replay")
    assert result.exit_code == 1
    assert "set NEWSLETTER_WITHDRAWAL_LOG, or name one with --file" in result.output


async def test_an_error_is_one_line_for_programs_and_has_80_columns_on_a_terminal(people: People, run: Run) -> None:
    (line,) = (await run("privacy", "replay")).stderr.splitlines()
    shown = Terminal()
    Refused(line.removeprefix("Error: ")).show(shown)
    lines = shown.getvalue().splitlines()
    assert max(map(len, lines)) <= 80 < len(line)
    assert " ".join(lines) == line


async def test_a_replay_tells_of_a_torn_line_and_a_gap_in_80_columns(
    people: People, run: Run, ahead: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    later = tmp_path / "later.jsonl"
    withdrawal_file.begin(later, people.house.keyring.installation, begins=9999, now=people.clock.at)
    later.write_bytes(later.read_bytes() + b'{"number": 7, "kind": "unsub')
    told = (await run("privacy", "replay", "--file", ahead.name, "--file", later.name)).output
    assert f"Something is missing before {later.name}:\n  if you have" in told
    assert f"The last line is torn, as by a crash, of {later.name}:\n  what it said" in told
    assert max(map(len, told.splitlines())) <= 80


async def test_suppressing_by_hand(people: People, run: Run) -> None:
    await people.reader(ADA)
    added = await run("suppress", "add", ADA, "--reason", "objected")
    assert added.output == "Suppressed on every list; 1 subscription ended.\n"
    await run("suppress", "add", BEN, "--reason", "bounced", "--list", "letter")
    checked = json.loads((await run("suppress", "check", ADA, "--json")).output)
    assert [(each["list"], each["reason"], each["until"]) for each in checked] == [(None, "objected", None)]
    assert "objected" in (await run("suppress", "check", ADA)).output
    assert (await run("suppress", "check", "nobody@example.org")).output == "Nothing stands against mailing it.\n"
    listed = await run("suppress", "list")
    assert [line.split() for line in listed.output.splitlines()] == [
        ["REASON", "LIST", "PEOPLE"],
        ["bounced", "letter", "1"],
        ["objected", "every", "list", "1"],
    ]
    assert json.loads((await run("suppress", "list", "--reason", "bounced", "--json")).output) == [
        {"reason": "bounced", "list": "letter", "count": 1}
    ]
    assert "no list" in (await run("suppress", "add", ADA, "--reason", "left", "--list", "nowhere")).output


async def test_importing_suppressions_from_a_file_or_a_pipe(people: People, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "left.csv"
    file.write_bytes(b"\xef\xbb\xbfaddress,when\r\nada@example.org,2026\r\nzaffre at rare\r\nB\xe9n@example.org\r\n")
    result = await run("suppress", "import", str(file), "--reason", "left")
    assert result.stdout == (
        "Addresses: 1, of which 1 newly suppressed on every list.\n0 subscriptions ended, 2 lines left out.\n"
    )
    told = [line.split(":")[0] for line in result.stderr.splitlines() if not line.startswith(" ")]
    assert told == ["Line 3", "Line 4"]
    assert max(map(len, result.output.splitlines())) <= 80
    assert "zaffre" not in result.output
    piped = await run("suppress", "import", "-", "--reason", "left", "--json", typed=f"{ADA}\n{BEN}\n")
    told = json.loads(piped.output)
    assert (told["addresses"], told["suppressed"]) == (2, 1)
    missing = await run("suppress", "import", str(tmp_path / "nowhere"), "--reason", "left")
    assert (missing.exit_code, "name another file" in missing.output) == (1, True)


async def test_closing_a_list_asks_first_and_is_audited(people: People, run: Run) -> None:
    await people.reader(ADA)
    asked = await run("list", "close", "letter", typed="n\n")
    assert "Close letter and unsubscribe 1 reader, for good?" in asked.output
    assert asked.exit_code == 1
    assert await people.count("list", "closed_at is not null") == 0
    closed = await run("list", "close", "letter", "--yes")
    assert closed.output.startswith("letter is closed.")
    assert "closed already" in (await run("list", "close", "letter", "--yes")).output
    rows = await people.house.db.fetch("select operator, action, target from audit_log")
    assert [tuple(row) for row in rows] == [("command line", "list.close", "list letter")]
