"""What became of a campaign: counted beside the pages, kept when the deliveries are gone, and about nobody in particular."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from datetime import timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from newsletter.app import House
from newsletter.campaigns import reporting_store as store
from newsletter.campaigns.reporting import MOST_POINTS
from newsletter.core.database import Database
from newsletter.core.queries import REGISTRY
from newsletter.jobs.schedule import Schedule, report_job
from newsletter.subscribing import erasure
from newsletter.subscribing.rules import Via
from tests.conftest import ManualClock
from tests.integration.web.console.conftest import HERE, PASSWORD, Operator
from tests.integration.web.console.sending import begun, one, said, sent_out
from tests.integration.web.site import Site
from tests.people import WEB, add_readers
from tests.relay import Say, ScriptedRelay, Stage


async def report(house: House) -> list[str]:
    """The schedule's look at reports."""
    return await Schedule(house.db, house.clock, [report_job(house.reporting)], worker="test").run_due()


async def fail(house: House, number: int, *, domain: str, count: int, code: int, status: str, reply: str = "") -> None:
    """As if the relay had refused that many of a domain's readers, after the fact."""
    await house.db.execute(
        """with chosen as (select d.subscriber_id, d.week from delivery d join subscriber p using (subscriber_id)
                         where d.campaign_id = $1 and p.domain = $2 and d.state = 'accepted' limit $3)
           update delivery d set state = 'failed', reply_code = $4, reply_status = $5, reply = $6
           from chosen c where d.subscriber_id = c.subscriber_id and d.week = c.week and d.campaign_id = $1""",
        number,
        domain,
        count,
        code,
        status,
        reply,
    )


def who(house: House, address: str) -> UUID:
    return house.keyring.subscriber_id(address)


@pytest.fixture
async def sent(site: Site, house: House) -> int:
    """To 30 readers of one domain, 12 and 3 of two others."""
    await add_readers(house, 30, domain="big.example")
    await add_readers(house, 12, domain="middle.example")
    await add_readers(house, 3, domain="tiny.example")
    number = await begun(house)
    await sent_out(house)
    return number


async def table(viewer: Operator, number: int) -> list[list[str]]:
    answer = await viewer.get(f"{one(number)}/report.csv")
    assert (answer.status, answer.content_type) == (200, "text/csv")
    return list(csv.reader(io.StringIO(await answer.text())))


async def test_reasons_are_grouped_in_plain_words_with_what_happens_next(
    site: Site, house: House, sent: int, viewer: Operator
) -> None:
    await fail(house, sent, domain="big.example", count=6, code=550, status="5.1.1", reply="No such user")
    await fail(house, sent, domain="middle.example", count=5, code=550, status="5.7.26", reply="unauthenticated")
    await fail(house, sent, domain="tiny.example", count=1, code=552, status="5.2.2", reply="over quota")
    await report(house)
    words = await said(viewer, one(sent))
    assert "No such mailbox failed 6 Not tried again with this campaign" in words
    assert "Refused: our reputation or policy failed 5 look into it No reader is to blame" in words
    assert "Mailbox full failed under 5 Not tried again; the next campaign is" in words
    assert "As of 21 November 2026 at 15:05 (CET)." in words


async def test_small_domains_are_together_and_small_sums_are_not_told(
    site: Site, house: House, sent: int, viewer: Operator
) -> None:
    await fail(house, sent, domain="big.example", count=4, code=550, status="5.1.1")
    await report(house)
    words = await said(viewer, one(sent))
    assert "big.example 30 26 0 under 5 0 2 other domains 15 15 0 0 0" in words
    assert "middle.example" not in words
    kept = await house.db.fetch("select domain, domains, tried from campaign_domain order by tried desc")
    assert [tuple(row) for row in kept] == [("big.example", 1, 30), ("", 2, 15)]


async def test_what_the_pages_show_takes_a_look_at_no_delivery(site: Site, house: House, sent: int) -> None:
    """Or it would take as long as the campaign is large."""
    await report(house)
    await house.db.execute("alter table delivery rename to delivery_away")
    try:
        assert [each.campaign_id for each in await house.campaigns.overview()] == [sent]
        assert (await house.campaigns.status(sent)).totals == {"accepted": 45}
        assert (await house.watching.look(sent)).accepted == 45
        assert (await house.reporting.report(sent, under_way=False)).domains[0].domain == "big.example"
    finally:
        await house.db.execute("alter table delivery_away rename to delivery")


async def test_a_report_outlives_its_deliveries(
    site: Site, house: House, clock: ManualClock, sent: int, viewer: Operator
) -> None:
    await report(house)
    clock.move(minutes=2)
    await report(house)
    assert await house.db.fetchval("select next_at is null from campaign_report")
    before = await table(viewer, sent)
    clock.move(days=120)
    (promise,) = [each for each in house.retention.promises if each.name == "deliveries"]
    await house.retention.keep(promise, now=clock.at)
    assert await house.db.fetchval("select count(*) from delivery") == 0
    await report(house)
    viewer = viewer.with_cookie((await house.sessions.sign_in(viewer.address, PASSWORD, HERE, now=clock.at)).cookie)
    assert await table(viewer, sent) == before
    assert "big.example 30 30" in await said(viewer, one(sent))


async def test_a_campaign_that_has_ended_is_counted_at_once_and_once_more_when_all_is_written(
    site: Site, house: House, clock: ManualClock, sent: int
) -> None:
    await report(house)
    as_of = "select as_of from campaign_report"
    assert await house.db.fetchval(as_of) == clock.at
    clock.move(seconds=30)
    await report(house)
    assert await house.db.fetchval(as_of) == clock.at - timedelta(seconds=30)
    clock.move(seconds=31)
    await report(house)
    assert await house.db.fetchval(as_of) == clock.at
    clock.move(hours=5)
    await report(house)
    assert await house.db.fetchval(as_of) == clock.at - timedelta(hours=5)


async def test_who_left_because_of_it_is_counted_also_when_they_are_erased(
    site: Site, house: House, clock: ManualClock, sent: int, viewer: Operator
) -> None:
    async def count() -> int:
        return (await house.campaigns.status(sent)).unsubscribed

    ids = [house.keyring.subscriber_id(f"reader{number}@big.example") for number in range(6)]
    for who in ids:
        token = house.links.unsubscribe(who, site.letter.list_id, sent).rpartition("/")[2]
        await house.leaving.unsubscribe(token, Via.LINK, WEB, now=clock.at)
        await house.leaving.unsubscribe(token, Via.LINK, WEB, now=clock.at)
    assert await count() == 6
    assert "Unsubscribed because of it 6" in await said(viewer, one(sent))
    async with house.db.transaction() as db:
        await erasure.erase(db, house.ledger, ids[:4], now=clock.at)
    assert await house.db.fetchval("select count from campaign_left") == 4
    assert await count() == 6


async def test_an_erased_reader_stays_in_the_totals(
    site: Site, house: House, clock: ManualClock, sent: int, viewer: Operator
) -> None:
    async with house.db.transaction() as db:
        await erasure.erase(db, house.ledger, [house.keyring.subscriber_id("reader0@big.example")], now=clock.at)
    await report(house)
    assert "Taken by the relay 45" in await said(viewer, one(sent))


async def test_receivers_and_reasons_add_up_to_the_totals_however_many_are_erased(
    site: Site, house: House, clock: ManualClock
) -> None:
    """While it is under way, before the first report and between two; a domain is kept only where it was named before."""
    for count, domain in ((24, "big.example"), (12, "middle.example"), (3, "tiny.example")):
        await add_readers(house, count, domain=domain)
    number = await begun(house)
    await sent_out(house)
    await house.db.execute("update campaign set state = 'paused', finished_at = null")
    for count, change in (
        (9, "state = 'attempting'"),
        (10, "state = 'failed', reply_code = 550, reply_status = '5.1.1', reply = 'No such user'"),
        (11, "state = 'deferred', retry_at = first_at, reply_code = 451, reply = 'Greylisted'"),
    ):
        reader = who(house, f"reader{count}@big.example")
        await house.db.execute(f"update delivery set {change} where subscriber_id = $1", reader)
    await house.db.execute("update batch set accepted = accepted - 3, attempting = 1, failed = 1, deferred = 1")

    async def erased(*addresses: str) -> dict[str, tuple[int, int, int]]:
        """The report's domains afterwards: tried, accepted, uncertain."""
        async with house.db.transaction() as db:
            await erasure.erase(db, house.ledger, [who(house, address) for address in addresses], now=clock.at)
        clock.move(minutes=1)
        await report(house)
        lines = await store.domains(house.db, campaign_id=number)
        totals = (await house.campaigns.status(number)).totals
        for state in ("accepted", "deferred", "failed", "uncertain"):
            assert sum(getattr(line, state) for line in lines) == totals.get(state, 0), (addresses, state)
        reasons = await store.reasons(house.db, campaign_id=number)
        for state in ("deferred", "failed", "uncertain", "skipped"):
            assert sum(row.count for row in reasons if row.state == state) == totals.get(state, 0), (addresses, state)
        return {line.domain: (line.tried, line.accepted, line.uncertain) for line in lines}

    assert await erased("reader0@big.example", "reader0@tiny.example") == {"big.example": (22, 20, 0), "": (16, 16, 0)}
    assert await erased("reader1@big.example", "reader1@tiny.example") == {"big.example": (22, 20, 0), "": (16, 16, 0)}
    assert await erased("reader2@big.example", "reader9@big.example") == {"big.example": (23, 20, 1), "": (16, 16, 0)}
    rest = [f"reader{each}@big.example" for each in range(3, 24) if each != 9]
    assert await erased(*rest, "reader2@tiny.example", "reader0@middle.example") == {
        "big.example": (22, 20, 1),
        "": (16, 16, 0),
    }
    assert [(row.state, row.reason) for row in await store.reasons(house.db, campaign_id=number)] == [
        ("failed", "no-such-mailbox"),
        ("skipped", "left"),
        ("uncertain", "no-answer"),
    ]
    kept = await house.db.fetch("select distinct domain from delivery_folded_domain")
    assert {row["domain"] for row in kept} == {"big.example", ""}
    await house.campaigns.cancel(number, by="test", now=clock.at)
    clock.move(minutes=2)
    assert (await erased("reader1@middle.example"))["big.example"] == (22, 20, 1)
    await erased("reader2@middle.example")
    assert await folded(house) == 0, "the last report was made"


async def folded(house: House) -> int:
    """Sums of erased readers that reports are made from."""
    sums = [await house.db.fetchval(f"select count(*) from delivery_folded_{by}") for by in ("domain", "reply")]
    return sum(sums)


async def test_the_last_report_waits_for_no_erasure_and_what_that_folds_goes_later(
    site: Site, house: House, clock: ManualClock, sent: int
) -> None:
    await fail(house, sent, domain="big.example", count=30, code=550, status="5.1.1")
    await report(house)
    async with house.db.transaction() as erasing:
        await erasure.erase(erasing, house.ledger, [who(house, "reader0@big.example")], now=clock.at)
    clock.move(minutes=2)
    async with house.db.transaction() as erasing:
        readers = [who(house, "reader1@big.example"), who(house, "reader1@tiny.example")]
        await erasure.erase(erasing, house.ledger, readers, now=clock.at)
        async with asyncio.timeout(10):
            await report(house)
        assert await house.db.fetchval("select next_at is null from campaign_report")
    assert await folded(house) == 3
    clock.move(seconds=5)
    await report(house)
    assert await folded(house) == 0


async def test_an_erasure_waits_for_no_report(site: Site, house: House, clock: ManualClock, sent: int) -> None:
    async def erased(address: str) -> None:
        async with asyncio.timeout(10), house.db.transaction() as erasing:
            await erasure.erase(erasing, house.ledger, [who(house, address)], now=clock.at)

    await report(house)
    await erased("reader0@big.example")
    async with house.db.transaction(snapshot=True) as making:
        await store.finish_report(making, campaign_id=sent, as_of=clock.at, took=0, next_at=None)
        await erased("reader1@big.example")
    clock.move(seconds=5)
    await report(house)
    assert await folded(house) == 0


async def test_the_course_is_noted_where_something_changed_and_thinned(
    site: Site, house: House, clock: ManualClock, viewer: Operator
) -> None:
    await add_readers(house, 9000)
    number = await begun(house)

    async def course() -> list[tuple[float, int]]:
        start = (await house.campaigns.status(number)).started_at
        assert start
        found = await house.reporting.report(number, under_way=True)
        return [((point.taken_at - start).total_seconds(), point.accepted) for point in found.points]

    await house.reporting.sample(now=clock.at)
    for _ in range(3):
        await house.reporting.sample(now=clock.move(seconds=10))
    assert await course() == [(0, 0)]
    await house.db.execute("update batch set accepted = 100 where batch_no = 0")
    await house.reporting.sample(now=clock.move(seconds=10))
    assert await course() == [(0, 0), (30, 0), (40, 100)]
    for _ in range(MOST_POINTS):
        await house.db.execute("update batch set accepted = accepted + 1 where batch_no = 0")
        await house.reporting.sample(now=clock.move(seconds=10))
    thinned = await course()
    assert MOST_POINTS / 2 <= len(thinned) <= MOST_POINTS
    assert (thinned[0], thinned[-1][1]) == ((0, 0), 100 + MOST_POINTS)
    await house.db.execute("update campaign_report set as_of = $1, took = 0", clock.at)
    assert f"{100 + MOST_POINTS} taken by {clock.at.astimezone(ZoneInfo('Europe/Berlin')):%H:%M:%S}" in await said(
        viewer, one(number)
    )
    await house.campaigns.cancel(number, by="test", now=clock.at)
    page = await viewer.page(one(number))
    assert re.search(r"Half of what was taken went within \d+ min, 99 % within \d+ min", page.words)
    assert page.all("summary")
    assert [each for each in page.all("svg") if each.get("role") == "img" and each.get("aria-label")]


async def test_all_figures_that_are_not_said_to_be_older_are_of_the_same_moment(
    site: Site, house: House, clock: ManualClock, viewer: Operator
) -> None:
    await add_readers(house, 12)
    number = await begun(house)
    await house.db.execute("update batch set accepted = 2")
    await house.reporting.sample(now=clock.move(seconds=4))
    await house.reporting.make_due(now=clock.at, before_each=_nothing)
    await house.db.execute("update batch set accepted = 5")
    await house.campaigns.pause(number, by="test", now=clock.move(seconds=6))
    words = await said(viewer, one(number))
    assert "5 of 12" in words
    assert "Taken by the relay 5" in words
    assert re.search(r"5 taken by 15:05:10 .* 21 November 15:05:10 5 0 0", words)
    assert words.count("Counted every so often, as of 21 November 2026 at 15:05 (CET): the figures at the top are newer.") == 2
    assert (await table(viewer, number))[-1] == ["over time", "2026-11-21T14:05:10+00:00", "accepted", "5", ""]


async def test_of_few_readers_no_share_is_told(site: Site, house: House, clock: ManualClock, viewer: Operator) -> None:
    """99 % of one reader is nobody."""
    await add_readers(house, 19)
    number = await begun(house)
    await house.reporting.sample(now=clock.at)
    await house.db.execute("update batch set accepted = 8")
    await house.campaigns.cancel(number, by="test", now=clock.move(seconds=4))
    assert "All 8 that were taken within 4 s" in await said(viewer, one(number))
    await house.db.execute("update batch set accepted = 19")
    words = await said(viewer, one(number))
    assert "All taken within 4 s" in words
    assert "99 %" not in words


async def test_what_is_still_counted_when_a_campaign_has_ended_says_so(
    site: Site, house: House, clock: ManualClock, sent: int, viewer: Operator
) -> None:
    words = await said(viewer, one(sent))
    assert words.count("Being counted: look again in a minute.") == 2
    assert "while it is sent" not in words
    await house.db.execute("update campaign_report set as_of = $1, took = 0", clock.at - timedelta(minutes=5))
    words = await said(viewer, one(sent))
    assert words.count("Being counted: look again in a minute. What stands here is as of 21 November 2026 at 15:00 (CET).") == 2
    await report(house)
    assert "Being counted" not in await said(viewer, one(sent))


async def test_two_points_of_one_second_are_one_row_and_one_domain_is_no_plural(
    site: Site, house: House, clock: ManualClock, viewer: Operator
) -> None:
    await add_readers(house, 3, domain="tiny.example")
    number = await begun(house)
    await house.reporting.sample(now=clock.at)
    await sent_out(house)
    await house.reporting.sample(now=clock.move(milliseconds=400))
    await report(house)
    rows = await table(viewer, number)
    assert [row for row in rows if row[0] == "over time"] == [["over time", "2026-11-21T14:05:00+00:00", "accepted", "3", ""]]
    assert {row[1] for row in rows if row[0] == "domain"} == {"1 other domain"}


async def _nothing() -> None:
    pass


async def test_the_download_is_harmless_in_a_spreadsheet(site: Site, house: House, viewer: Operator) -> None:
    for hostile in ("=cmd|'/c calc'!A1", "+1", "-1", "@SUM(A1)"):
        rows = await table(viewer, await begun(house, hostile))
        assert rows[1][:2] == ["campaign", f"'{hostile}"]
    cells = [cell for row in rows for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


async def test_what_relays_really_say_is_counted(site: Site, house: House, viewer: Operator) -> None:
    """By a worker, from a relay that greylists some and does not know others."""
    await add_readers(house, 8)
    async with ScriptedRelay() as relay:
        for count in range(6):
            relay.on(Stage.RCPT, Say("451 4.7.1 Greylisted, please try again in 300 seconds"), to=f"reader{count}@example.org")
        number = await begun(house)
        await sent_out(house, smtp_url=f"smtp://127.0.0.1:{relay.port}?starttls=never")
    await report(house)
    words = await said(viewer, one(number))
    assert "Greylisted by the receiver deferred 6 Tried again in half an hour" in words


# Each statement behind these pages.

PAGES: dict[str, dict[str, Any]] = {
    "standings": {"before": 2**31 - 1, "size": 51, "state": None, "list_id": None},
    "standing": {"campaign_id": 400},
    "standing_now": {"campaign_id": 400},
    "due_campaigns": {},
    "progress": {"campaign_id": 400},
    "due_reports": {},
    "report_made": {"campaign_id": 400},
    "reasons": {"campaign_id": 400},
    "domains": {"campaign_id": 400},
}
"""With what they are asked."""
_SCAN = re.compile(r"Seq Scan on (\w+)")


@pytest.fixture
async def many(site: Site, house: House, db: Database) -> Database:
    """500 campaigns with batches, evidence and reports, as the planner sees them."""
    now = house.clock.now()
    await db.execute(
        """insert into campaign (list_id, name, state, created_at, started_at, finished_at, week, message_key, message_domain,
                                 planned)
           select $2, 'Issue ' || n, 'sent', $1, $1, $1, '2026-11-16', sha256('k'), 'a.example', 10000
           from generate_series(1, 500) n""",
        now,
        site.letter.list_id,
    )
    await db.execute(
        """insert into batch (campaign_id, batch_no, id_from, id_to, state, not_before, accepted)
           select n, b, gen_random_uuid(), 'ffffffff-ffff-ffff-ffff-ffffffffffff', 'done', $1, 1000
           from generate_series(1, 500) n, generate_series(0, 9) b""",
        now,
    )
    await add_readers(house, 2000)
    await db.execute(
        """insert into consent_event (subscriber_id, list_id, kind, occurred_at, language, campaign_id)
           select subscriber_id, $2, 'unsubscribed', $1, 'en', 1 + (row_number() over ()) % 500 from subscriber""",
        now,
        site.letter.list_id,
    )
    await db.execute("insert into campaign_report select n, null, $1, 1 from generate_series(1, 500) n", now)
    await db.execute(
        """insert into campaign_progress select n, $1::timestamptz + s * interval '10 s', 0, s, 0, 0, 0, 0
           from generate_series(1, 500) n, generate_series(1, 20) s""",
        now,
    )
    await db.execute(
        """insert into campaign_domain select n, 'd' || d, 1, 20, 20, 0, 0, 0
           from generate_series(1, 500) n, generate_series(1, 20) d"""
    )
    await db.execute("insert into campaign_reason select n, 'failed', 'other', 7 from generate_series(1, 500) n")
    async with db.single() as connection:
        await connection.execute("analyze")
    return db


async def test_each_statement_reads_by_an_index_what_grows(many: Database, house: House) -> None:
    for name, given in PAGES.items():
        statement, _ = REGISTRY[f"reporting.{name}"] if f"reporting.{name}" in REGISTRY else REGISTRY[f"campaigns.{name}"]
        values: dict[str, Any] = given | {"now": house.clock.now(), "since": house.clock.now()}
        rows = await many.fetch(f"explain {statement.text}", *(values[each] for each in statement.parameters))
        plan = "\n".join(row[0] for row in rows)
        assert set(_SCAN.findall(plan)) <= {"list", "sender", "delivery_folded", "campaign_left"}, plan  # small, or empty here
    assert len(await store.standings(many, before=300, size=51, state="sent", list_id=None)) == 51
