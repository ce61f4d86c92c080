"""`newsletter evidence`: what stays of somebody who was deleted is opened, held and released, each on record."""

from __future__ import annotations

import json

from tests.integration.cli.conftest import Run
from tests.people import People

ADA = "Ada@example.org"
CASE = ("--reason", "case 7")


async def test_evidence_of_the_deleted_is_opened_held_and_released(run: Run, people: People) -> None:
    await people.reader(ADA)
    assert (await run("evidence", "open", ADA, *CASE)).output.startswith("Nothing is kept: never subscribed and deleted here")
    await people.erase_now((await people.unsubscribe(ADA)).undo_token)
    opened = (await run("evidence", "open", ADA, *CASE)).output
    assert "agreed to: By subscribing you agree" in opened
    assert "ada@" not in opened.lower()
    assert max(map(len, opened.splitlines())) <= 80
    told = json.loads((await run("evidence", "open", ADA, *CASE, "--json")).output)
    assert [event["kind"] for event in told] == ["asked", "confirmed", "unsubscribed"]

    assert (await run("evidence", "hold", ADA, *CASE)).output == "Held: 3 events.\n"
    assert "\nHeld since" in (await run("evidence", "open", ADA, *CASE)).output
    assert (await run("evidence", "hold", ADA, *CASE)).exit_code == 1
    assert (await run("evidence", "release", ADA)).output == "Released: 3 events.\n"
    assert (await run("evidence", "release", ADA)).exit_code == 1
    rows = await people.house.db.fetch("select action, target from audit_log where action like 'evidence.%' order by audit_id")
    verbs = ["open", "open", "open", "hold", "open", "hold", "release", "release"]
    assert [row["action"] for row in rows] == [f"evidence.{verb}" for verb in verbs], "what was answered no, too"
    assert "example.org" not in str(rows)


async def test_a_reason_is_asked_for(run: Run, people: People) -> None:
    assert "--reason" in (await run("evidence", "open", ADA)).output
    for reason in (ADA, "a\x1b[31mb", "a\nb", "a\u202eb", " "):
        assert (await run("evidence", "open", ADA, "--reason", reason)).exit_code == 1
        assert (await run("evidence", "hold", ADA, "--reason", reason)).exit_code == 1
    assert await people.count("audit_log") == 0


async def test_a_line_within_a_text_does_not_look_like_a_field(run: Run, people: People) -> None:
    await people.reader(ADA)
    await people.erase_now((await people.unsubscribe(ADA)).undo_token)
    lines = (await run("evidence", "open", ADA, *CASE)).output.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("  mail: "))
    text = lines[first + 1 : lines.index(next(line for line in lines[first:] if "  confirmed  " in line))]
    assert len(text) > 5
    assert {line for line in text if line and not line.startswith("    ")} == set()
