"""`newsletter promises`: a table for people, an exit code for whatever watches."""

from __future__ import annotations

import json
from datetime import timedelta

from newsletter.app import House
from newsletter.core.clock import DatabaseClock
from newsletter.jobs.schedule import Schedule, retention_jobs
from tests.integration.cli.conftest import Run

LEFT = """insert into subscriber (subscriber_id, address, domain, language, created_at, left_at)
          values (gen_random_uuid(), 'ada@example.org', 'example.org', 'en', $1, $1)"""


async def test_the_check_fails_and_names_the_promise_until_its_job_has_run(run: Run, house: House) -> None:
    clock = DatabaseClock()
    await clock.refresh(house.db)
    assert (await run("promises", "--check")).output == "All promises are kept.\n"

    await house.db.execute(LEFT, clock.now() - timedelta(days=14, minutes=50))
    assert (await run("promises", "--check")).exit_code == 0, "its job has an hour for it"
    await house.db.execute("update subscriber set left_at = left_at - interval '2 hours'")
    late = await run("promises", "--check")
    assert late.exit_code == 1
    assert late.output.startswith("left: 1 overdue, the oldest for 2 hours.\n")
    assert "newsletter work" in late.output
    (told,) = json.loads((await run("promises", "--check", "--json")).output)
    assert (told["promise"], told["overdue"]) == ("left", 1)

    await Schedule(house.db, clock, retention_jobs(house.retention), worker="w").run_due()
    assert (await run("promises", "--check")).exit_code == 0


async def test_the_check_fails_while_all_campaigns_stand_still(run: Run, house: House) -> None:
    await house.db.execute("insert into standstill (reason, since) values ('restored', now())")
    late = await run("promises", "--check")
    assert late.exit_code == 1
    assert "newsletter privacy replay" in late.output
    assert "kept" not in late.output
    assert (await run("promises")).exit_code == 0


async def test_the_check_fails_while_somebody_has_to_look_at_a_request(run: Run, house: House) -> None:
    clock = DatabaseClock()
    await clock.refresh(house.db)
    added = await house.register.add("access", "letter", note="", by="ops", now=clock.now())
    assert (await run("promises", "--check")).output == "All promises are kept.\n"
    await house.db.execute("update rights_request set received_at = received_at - interval '40 days', due_at = now()")
    late = await run("promises", "--check")
    assert (late.exit_code, late.stdout) == (
        1,
        f"Request {added.number}: an answer was due on {clock.now():%Y-%m-%d}: newsletter request list\n",
    )
    await house.register.done(added.number, by="ops", now=clock.now())

    await house.db.execute(
        """with said as (
             insert into contact_message (subscriber_id, address, content, language, received_at, expires_at)
             values (gen_random_uuid(), 'ada@example.org', 'x', 'en', now(), '2999-01-01 12:00Z') returning message_id
           ), mail as (
             insert into outbox (kind, request_id, list_ids, language, message_id, created_at, expires_at, not_before, state)
             select 'contact', message_id, '{1}', 'en', gen_random_uuid(), now(), '2999-01-01 12:00Z', now(), 'failed' from said
           )
           insert into rights_request (kind, channel, received_at, due_at, message_id)
           select 'question', 'page', now(), now() + interval '30 days', message_id from said"""
    )
    refused = await run("promises", "--check")
    said = (
        "Request 2: the relay refused somebody's message about their rights, which is deleted on 2999-01-01 12:00 UTC: "
        "newsletter request read 2\n"
    )
    assert (refused.exit_code, refused.stdout) == (1, said)
    told = await run("promises", "--check", "--json")
    assert (told.exit_code, json.loads(told.stdout), "Request 2" in told.stderr) == (1, [], True)
    assert (await run("promises")).exit_code == 0


async def test_the_table_fits_a_terminal_and_json_has_every_field(run: Run, house: House) -> None:
    clock = DatabaseClock()
    await clock.refresh(house.db)
    await Schedule(house.db, clock, retention_jobs(house.retention), worker="w").run_due()
    table = (await run("promises")).output.splitlines()
    assert len(table) == 1 + len(house.retention.promises)
    assert max(map(len, table)) <= 80
    told = json.loads((await run("promises", "--json")).output)
    assert set(told[0]) == {
        "promise", "deadline_s", "due", "overdue", "oldest_overdue_s", "last_run", "removed", "next_run"}  # fmt: skip


async def test_the_forecast_is_a_table_by_day_or_says_that_nothing_goes(run: Run, house: House) -> None:
    clock = DatabaseClock()
    await clock.refresh(house.db)
    assert (await run("promises", "--forecast", "30")).output.startswith("Nothing of what is there now")
    await house.db.execute(LEFT, clock.now())
    day = (clock.now() + timedelta(days=14)).date().isoformat()
    assert (await run("promises", "--forecast", "30")).output == f"DAY         PROMISE  REMOVED\n{day}  left     1\n"
