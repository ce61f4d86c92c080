"""`newsletter policy` and `newsletter subprocessor`, on the real database."""

from __future__ import annotations

import json
from io import StringIO

import pytest

from newsletter.cli.house import warn
from newsletter.core.database import Database
from tests.integration.cli.conftest import Run, Terminal

POST = ("--purpose", "Delivers our letters", "--country", "Norway", "--safeguard", "Contract under Art. 28")
AWAY = "smtps://user:password@smtp.post.example"


async def test_show_prints_the_policy_as_markdown_in_80_columns_in_each_language(run: Run) -> None:
    for language, title, said in (
        ("en", "# How we treat your address", "within 12 hours"),
        ("de", "# Wie wir mit Ihrer Adresse umgehen", "innerhalb von 12 Stunden"),
    ):
        shown = await run("policy", "show", "--language", language, NEWSLETTER_CONFIRM_HOURS="12")
        assert (shown.exit_code, shown.stderr) == (0, "")
        lines = shown.stdout.splitlines()
        assert lines[0] == title
        assert said in " ".join(shown.stdout.split())
        assert max(map(len, lines)) <= 80
    told = json.loads((await run("policy", "show", "--json")).stdout)
    assert (told["version"], told["language"]) == (None, "en")
    assert told["text"].startswith("In short:")


async def test_publishing_asks_first_and_its_versions_can_be_read_and_compared(run: Run) -> None:
    declined = await run("policy", "publish", typed="n\n")
    assert declined.exit_code == 1
    assert "Publish the policy as it is now, and tell nobody?" in declined.stderr
    assert (await run("policy", "versions", "--json")).stdout.strip() == "[]"
    assert (await run("policy", "publish", typed="y\n")).stdout == "Version 1 is published.\n"
    assert (await run("policy", "diff")).stdout == "Nothing has changed since version 1.\n"
    again = await run("policy", "publish", "--yes", "--no-notice", "x")
    assert (again.exit_code, again.stderr) == (
        1,
        "Error: Nothing has changed since version 1: there is nothing to publish.\n",
    )
    fewer = {"NEWSLETTER_ERASE_LEFT_DAYS": "7"}
    changed = (await run("policy", "diff", **fewer)).stdout
    assert changed.startswith("en:\n--- version 1\n+++ now\n")
    assert "\nde:\n--- version 1\n" in changed
    told = json.loads((await run("policy", "diff", "--json", **fewer)).stdout)
    assert (told["since"], set(told["languages"])) == (1, {"en", "de"})
    refused = await run("policy", "publish", "--yes", **fewer)
    assert (refused.exit_code, "--notify, or --no-notice REASON" in refused.stderr) == (1, True)
    done = json.loads((await run("policy", "publish", "--yes", "--no-notice", "Shorter is better", "--json", **fewer)).stdout)
    assert done == {"version": 2, "notice": "skipped", "campaigns": []}
    kept = json.loads((await run("policy", "versions", "--json")).stdout)
    assert [(each["version"], each["notice"], each["reason"], each["languages"]) for each in kept] == [
        (2, "skipped", "Shorter is better", ["de", "en"]),
        (1, "none", None, ["de", "en"]),
    ]
    assert "Shorter is better" in (await run("policy", "versions")).stdout
    old = " ".join((await run("policy", "show", "--version", "1", **fewer)).stdout.split())
    assert ("within 14 days" in old, "within 7 days" in old) == (True, False)
    assert (await run("policy", "show", "--version", "3")).exit_code == 1


async def test_what_would_be_refused_is_refused_before_anybody_is_asked(run: Run) -> None:
    early = await run("policy", "notify")
    assert (early.exit_code, early.stderr.startswith("Error: No version was published yet")) == (1, True)
    first = await run("policy", "publish", "--notify")
    assert (first.exit_code, first.stderr.startswith("Error: The first version replaces nothing")) == (1, True)
    assert (await run("policy", "publish", "--yes")).exit_code == 0
    same = await run("policy", "publish", "--notify")
    assert (same.exit_code, same.stderr.startswith("Error: Nothing has changed since version 1")) == (1, True)
    unsaid = await run("policy", "publish", NEWSLETTER_ERASE_LEFT_DAYS="7")
    assert (unsaid.exit_code, unsaid.stderr.startswith("Error: Say whether readers are told")) == (1, True)
    nothing = await run("policy", "notify")
    assert (nothing.exit_code, nothing.stderr.startswith("Error: The first version replaces nothing")) == (1, True)


async def test_notifying_says_whom_it_will_tell_and_does_it_once(run: Run, db: Database) -> None:
    assert (await run("policy", "publish", "--yes")).exit_code == 0
    fewer = {"NEWSLETTER_ERASE_LEFT_DAYS": "7"}
    assert (await run("policy", "publish", "--yes", "--no-notice", "x", **fewer)).exit_code == 0
    asked = await run("policy", "notify", typed="n\n")
    assert "Now mail 0 readers of 0 lists?" in asked.stderr
    first, second = await run("policy", "notify", "--yes"), await run("policy", "notify", "--yes")
    assert "there was nobody to tell" in first.stdout
    assert (second.exit_code, second.stderr) == (1, "Error: Readers were told of version 2 already.\n")
    actions = await db.fetch("select operator, action from audit_log order by audit_id")
    assert [tuple(row) for row in actions] == [
        ("command line", "policy.publish"),
        ("command line", "policy.publish"),
        ("command line", "policy.notify"),
    ]


async def test_a_relay_without_a_subprocessor_is_one_line_on_stderr_until_it_has_one(run: Run) -> None:
    away = {"NEWSLETTER_SMTP_URL": AWAY}
    warned = [await run("policy", "show", **away), await run("policy", "publish", "--yes", **away)]
    for result in warned:
        (line,) = result.stderr.splitlines()
        assert "mail goes by smtp.post.example, which no subprocessor has" in line
        assert "user" not in line
    added = await run("subprocessor", "add", "Post Ltd", *POST, "--host", "smtp.post.example")
    assert added.stdout.startswith("Post Ltd was added.")
    assert (await run("policy", "show", **away)).stderr == ""


def test_a_warning_is_one_line_for_logs_and_fits_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for where, lines in ((StringIO(), 1), (Terminal(), 3)):
        monkeypatch.setattr("sys.stderr", where)
        warn("mail goes by smtp.post.example, which no subprocessor has, and the policy says nothing of it. " * 2)
        told = where.getvalue().splitlines()
        assert (told[0].startswith("Warning: mail goes by"), len(told)) == (True, lines)
        assert lines == 1 or max(map(len, told)) <= 80


async def test_the_reason_why_nobody_was_told_names_nobody_either(run: Run) -> None:
    assert (await run("policy", "versions")).output == "No version was published yet: newsletter policy publish\n"
    assert (await run("policy", "publish", "--yes")).exit_code == 0
    fewer = {"NEWSLETTER_ERASE_LEFT_DAYS": "7"}
    for reason in ("a@b.org", "as ada@example.org wished", "a\x1b[31mb"):
        refused = await run("policy", "publish", "--yes", "--no-notice", reason, **fewer)
        assert (refused.exit_code, "names nobody" in refused.stderr) == (1, True)
        assert reason not in refused.stderr


async def test_subprocessors_are_added_changed_listed_and_removed(run: Run) -> None:
    assert (await run("subprocessor", "add", "Post Ltd", *POST)).exit_code == 0
    assert "already" in (await run("subprocessor", "add", "Post Ltd", *POST)).stderr
    nothing = await run("subprocessor", "edit", "Post Ltd")
    assert (nothing.exit_code, "Say what to change" in nothing.stderr) == (1, True)
    told = json.loads((await run("subprocessor", "edit", "Post Ltd", "--host", "a.example", "--json")).stdout)
    post = {
        "name": "Post Ltd",
        "purpose": "Delivers our letters",
        "country": "Norway",
        "safeguard": "Contract under Art. 28",
        "hosts": ["a.example"],
    }
    assert told == [post]
    assert (await run("subprocessor", "edit", "Post Ltd", "--country", "Iceland")).exit_code == 0
    assert json.loads((await run("subprocessor", "list", "--json")).stdout) == [post | {"country": "Iceland"}]
    assert (await run("subprocessor", "list")).stdout == (
        "Post Ltd, Iceland\n  purpose: Delivers our letters\n  safeguard: Contract under Art. 28\n  hosts: a.example\n"
    )
    long = ("--safeguard", "Standard contractual clauses, and an assessment of what authorities there may ask for, " * 3)
    assert (await run("subprocessor", "edit", "Post Ltd", *long)).exit_code == 0
    shown = (await run("subprocessor", "list")).stdout
    assert max(map(len, shown.splitlines())) <= 80
    assert long[1].strip() in " ".join(shown.split())
    assert (await run("subprocessor", "remove", "Post Ltd")).exit_code == 0
    assert (await run("subprocessor", "list")).stdout == "Nobody is named.\n"
    gone = await run("subprocessor", "remove", "Post Ltd")
    assert (gone.exit_code, 'There is no subprocessor "Post Ltd"' in gone.stderr) == (1, True)


async def test_the_record_of_processing_is_printed_as_markdown_and_as_json(run: Run) -> None:
    printed = await run("policy", "record")
    assert printed.stdout.startswith("# Record of processing activities: sending newsletters\n\nAs of ")
    for heading in ("Who is responsible", "Whose data", "Recipients", "When it is deleted", "How it is protected"):
        assert f"\n## {heading}\n" in printed.stdout
    assert "Verzeichnis von Verarbeitungstätigkeiten" in (await run("policy", "record", "--language", "de")).stdout
    told = json.loads((await run("policy", "record", "--json")).stdout)
    assert set(told) == {
        *("controller", "contact", "senders", "purposes", "data_subjects", "data", "recipients", "relays"),
        *("storage_country", "erasure", "server_logs", "backups", "security"),
    }
    assert {name: value for name, value in told["erasure"][1].items() if name != "sentence"} == {
        "promise": "left",
        "days": 14.0,
    }
