"""A million people who are due to be deleted, while others sign up and a campaign goes out."""

from __future__ import annotations

import asyncio
import statistics
import time
from datetime import datetime, timedelta

from aiohttp.test_utils import TestClient, TestServer

from newsletter.app import House
from newsletter.bench.sink import running_sink
from newsletter.core.database import Database
from newsletter.web.server import make_app
from tests.bench.stage import begun, bench_house, populate, workers

DUE = 1_000_000
READERS = 200_000
SIGNUP_EVERY = 0.2
"""Seconds."""
LOOK_EVERY = 0.02
MADE_TOGETHER = 50_000

PEOPLE = """
    with people as (
      insert into subscriber (subscriber_id, address, domain, language, created_at, left_at)
      select gen_random_uuid(), 'left' || n || '@example.net', 'example.net', 'en', $1, $1
      from generate_series($2::integer, $3::integer) n
      returning subscriber_id
    ), subscriptions as (
      insert into subscription (subscriber_id, list_id, state, language, requested_at, confirmed_at, unsubscribed_at,
                                unsubscribed_via)
      select subscriber_id, 1, 'unsubscribed', 'en', $1, $1, $1, 'link' from people
    )
    insert into consent_event (subscriber_id, list_id, kind, occurred_at, language)
    select subscriber_id, 1, kind, $1, 'en' from people, unnest('{asked,confirmed,unsubscribed}'::text[]) as kind"""
OLDEST_STATEMENT = """
    select extract(epoch from clock_timestamp() - query_start)::float8,
           regexp_replace(query, '\\s+', ' ', 'g') from pg_stat_activity
    where state = 'active' and backend_type = 'client backend' and application_name ~ '^newsletter'
    order by query_start limit 1"""


async def purge() -> None:
    """How long it takes, the longest statement of ours, and the slowest answer to a sign-up."""
    async with bench_house() as house, running_sink() as sink:
        await populate(house, READERS)
        await make_people(house, left_at=house.clock.now() - timedelta(days=15))
        await house.db.execute("analyze")
        async with (
            TestClient(TestServer(make_app(house.services()))) as client,
            workers(house, 1, f"smtp://{sink.host}:{sink.port}?starttls=never&rate=1000"),
        ):
            await begun(house)
            over = asyncio.Event()
            watching = asyncio.create_task(longest_statement(house, over))
            answers: list[float] = []
            began = time.monotonic()
            while await house.db.fetchval("select exists (select from subscriber where left_at is not null)"):
                asked = time.monotonic()
                answer = await client.post("/subscribe/letter", data={"email": f"stranger{len(answers)}@example.org"})
                assert answer.status == 200
                answers.append(time.monotonic() - asked)
                await asyncio.sleep(SIGNUP_EVERY)
            took = time.monotonic() - began
            over.set()
            longest, which = await watching
            sent = await house.db.fetchval("select sum(accepted) from batch")
    print(f"purge      {took:6.0f} s for {DUE:,} people, {DUE / took:,.0f} a second; beside it {sent:,} mails")
    print(f"purge      {longest * 1000:6.0f} ms the longest statement: {which[:120]}")
    print(f"purge      {max(answers) * 1000:6.0f} ms the slowest of {len(answers)} sign-ups")
    print(f"purge      {statistics.median(answers) * 1000:6.0f} ms the median of them")


async def make_people(house: House, *, left_at: datetime) -> None:
    """Without looking at each row whether what it names is there: that is looked at once, afterwards."""
    keys = await house.db.fetch(
        """select conrelid::regclass::text as place, conname as name, pg_get_constraintdef(oid) as definition from pg_constraint
           where contype = 'f' and conrelid in ('subscription'::regclass, 'consent_event'::regclass)"""
    )
    for key in keys:
        await house.db.execute(f"alter table {key['place']} drop constraint {key['name']}")
    for first in range(0, DUE, MADE_TOGETHER):
        await house.db.execute(PEOPLE, left_at, first, min(first + MADE_TOGETHER, DUE) - 1)
    for key in keys:
        await house.db.execute(f"alter table {key['place']} add constraint {key['name']} {key['definition']}")


async def longest_statement(house: House, over: asyncio.Event) -> tuple[float, str]:
    """Seconds, and its text. Looks so often that no statement of a second can pass unseen."""
    longest = (0.0, "")
    db = await Database.connect(house.settings.database_url.get_secret_value(), size=1, name="watch")
    try:
        while not over.is_set():
            for row in await db.fetch(OLDEST_STATEMENT):
                longest = max(longest, (row[0], row[1]))
            await asyncio.sleep(LOOK_EVERY)
    finally:
        await db.close()
    return longest
