"""No page of the console reads a whole table that grows with readers: what each statement behind it would do, PostgreSQL says.

Statements are recorded where the database lends its connections, so that pages which come later are looked at too.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from asyncpg.connection import LoggedQuery

from newsletter.app import House
from newsletter.core.database import Database
from tests.conftest import ManualClock
from tests.console_walk import Address, addresses
from tests.crowd import gather
from tests.integration.web.console.conftest import Operator, location
from tests.integration.web.site import Site

BIG = ("subscriber", "subscription", "delivery", "consent_event", "consent_origin", "batch", "withdrawal", "suppression",
       "audit_log", "audit_subject", "evidence", "confirmation")  # fmt: skip
FEW = 300
"""Rows of a large table that a statement may come by without an index that leads it there."""
ALLOWED = {
    "as due, min(": "what is due is counted, which the jobs keep small",
    "order by subscriber_id limit $2) s": "a sample of 5,000 readers, nearly all there are here; of a million an index serves",
    "select reason, list_id, count(*)::bigint as count from suppression": "asked at most every ten minutes",
}
"""Statements that read all of what there is in this small house, by words of theirs, and why that is right."""
EXPLAINED = ("select", "with", "insert", "update", "delete")


class RecordingDatabase(Database):
    """Writes down what is asked of it, with what."""

    asked: dict[str, tuple[Any, ...]]

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[asyncpg.Connection]:
        async with super()._lent() as connection:
            connection.add_query_logger(self._note)
            try:
                yield connection
            finally:
                connection.remove_query_logger(self._note)

    async def _note(self, record: LoggedQuery) -> None:
        if record.query.lstrip().lower().startswith(EXPLAINED):
            self.asked[record.query] = tuple(record.args)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[RecordingDatabase]:
    database = await RecordingDatabase.connect(database_url)
    assert isinstance(database, RecordingDatabase)
    database.asked = {}
    yield database
    await database.close()


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """That plans as ours do: for the values that are asked about."""
    made = await asyncpg.connect(database_url, server_settings={"plan_cache_mode": "force_custom_plan"})
    yield made
    await made.close()


def nodes(plan: dict[str, Any], limited: bool = False) -> Iterator[tuple[dict[str, Any], bool]]:
    """Each step, and whether a limit above it stops it early."""
    yield plan, limited
    for below in plan.get("Plans", ()):
        stops = plan["Node Type"] == "Limit" or (limited and plan["Node Type"] not in ("Sort", "Aggregate", "Hash"))
        yield from nodes(below, stops)


def is_big(name: str) -> bool:
    return name in BIG or name.startswith("delivery_2")


def reads_all(plan: dict[str, Any]) -> list[str]:
    """Steps that read a large table from end to end."""
    found = []
    for node, limited in nodes(plan):
        if not is_big(node.get("Relation Name", "")):
            continue
        kind = node["Node Type"]
        whole = kind == "Seq Scan" and not limited
        whole |= (
            kind in ("Index Scan", "Index Only Scan") and "Index Cond" not in node and not limited and node["Plan Rows"] > FEW
        )
        whole |= kind == "Seq Scan" and limited and "Filter" in node
        if whole:
            found.append(f"{kind} on {node['Relation Name']}")
    return found


async def test_no_page_reads_a_large_table_from_end_to_end(
    owner: Operator, house: House, db: RecordingDatabase, clock: ManualClock, site: Site, connection: asyncpg.Connection
) -> None:
    await site.sign_up("ada@example.org")
    await site.work()
    await gather(connection, clock.at, subscribers=6000, campaigns=24, deliveries=24 * 400, batch=8)
    await house.list_reports.count(now=clock.at)
    bad: dict[str, str] = {}
    answered = 0
    searched = location(await owner.post("/console/subscribers", {"address": "c4c"}))
    for each in [*await addresses(house), Address("/console/subscribers (search)", searched)]:
        db.asked.clear()
        answer = await owner.get(each.path)
        assert answer.status < 500, each
        answered += answer.status == 200
        if answer.content_type == "text/event-stream":
            answer.close()
        for query, arguments in list(db.asked.items()):
            if any(words in query for words in ALLOWED):
                continue
            row = await connection.fetchval(f"explain (format json) {query}", *arguments)
            for step in reads_all(json.loads(row)[0]["Plan"]):
                bad.setdefault(f"{step}: {query}", each.route)
    assert answered > 30
    assert not bad, "\n\n".join(f"{route}\n  {what}" for what, route in bad.items())


async def test_a_statement_that_reads_all_is_noticed(clock: ManualClock, site: Site, connection: asyncpg.Connection) -> None:
    await gather(connection, clock.at, subscribers=3000, campaigns=12, deliveries=12 * 800)
    for query, is_bad in (
        ("select list_id, state, count(*) from subscription group by 1, 2", True),
        ("select * from subscriber where address = 'a'", True),
        ("select * from subscriber where address = 'a' limit 1", True),
        ("select count(*) from delivery where state = 'failed'", True),
        ("select * from subscriber where subscriber_id > '7fffffff-ffff-8fff-bfff-ffffffffffff' order by 1 limit 51", False),
        ("select * from delivery where subscriber_id = '7fffffff-ffff-8fff-bfff-ffffffffffff'", False),
        ("select count(*) from subscriber", True),
    ):
        row = await connection.fetchval(f"explain (format json) {query}")
        assert bool(reads_all(json.loads(row)[0]["Plan"])) == is_bad, query
