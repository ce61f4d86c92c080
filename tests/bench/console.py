"""Every page of the console over a million readers, 500 campaigns and five million deliveries: how long the server takes.

Sizes are in BENCH_SUBSCRIBERS, BENCH_CAMPAIGNS, BENCH_DELIVERIES and BENCH_LOOKS (at each page).
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence

import asyncpg
from aiohttp import ClientResponse, DummyCookieJar
from aiohttp.test_utils import TestClient, TestServer

from newsletter.app import House
from newsletter.operators.sessions import From, form_token
from newsletter.web.console.guard import HIDDEN_FIELD
from newsletter.web.server import make_app
from tests.bench.stage import bench_house
from tests.console_walk import addresses
from tests.crowd import gather

LIMIT = 300
"""Milliseconds at the 95th percentile."""
PASSWORD = "tide lamp slip boots"


def size(name: str, usual: int) -> int:
    return int(os.environ.get(f"BENCH_{name}", usual))


async def console() -> None:
    async with bench_house() as house:
        began = time.monotonic()
        await fill(house)
        print(f"console    {time.monotonic() - began:6.0f} s to make readers, campaigns and deliveries")
        app = make_app(house.services())
        async with TestClient(TestServer(app), cookie_jar=DummyCookieJar()) as client:
            cookie = await signed_in(house)
            headers = {"Cookie": f"__Host-session={cookie}", "Sec-Fetch-Site": "same-origin"}

            def get(path: str) -> Callable[[], Awaitable[ClientResponse]]:
                return lambda: client.get(path, headers=headers, allow_redirects=False)

            def find(address: str) -> Callable[[], Awaitable[ClientResponse]]:
                form = {HIDDEN_FIELD: form_token(cookie), "address": address}
                return lambda: client.post("/console/subscribers", data=form, headers=headers)

            pages: dict[str, list[tuple[str, Callable[[], Awaitable[ClientResponse]]]]] = {}
            for each in await addresses(house):
                pages.setdefault(each.route, []).append((each.path, get(each.path)))
            pages["POST /console/subscribers"] = [(each, find(each)) for each in ("who@example.org", "c4c", "c4ca42", "a0")]
            for route, each_page in pages.items():
                await look(route, each_page)


async def look(route: str, pages: Sequence[tuple[str, Callable[[], Awaitable[ClientResponse]]]]) -> None:
    """Prints the figures of one route, all that its addresses differ in together; the slowest address is named."""
    times: dict[str, list[float]] = {}
    octets, statuses = 0, set()
    for path, ask in pages:
        for number in range(size("LOOKS", 40) + 1):
            began = time.perf_counter()
            answer = await ask()
            if answer.content_type == "text/event-stream":
                answer.close()
            else:
                octets = max(octets, len(await answer.read()))
            statuses.add(answer.status)
            if number:  # The first one reads what the templates are made of.
                times.setdefault(path, []).append((time.perf_counter() - began) * 1000)
    everything = [each for some in times.values() for each in some]
    slowest = max(times, key=lambda path: p95(times[path]))
    worst = p95(times[slowest])
    verdict = "" if worst < LIMIT else f"   SLOW, limit {LIMIT}: {slowest}"
    known = ",".join(map(str, sorted(statuses)))
    print(
        f"console    p50 {statistics.median(everything):6.1f} ms  p95 {worst:6.1f} ms  {octets / 1000:5.1f} KB  {known}  "
        f"{route}{verdict}"
    )


def p95(times: Sequence[float]) -> float:
    return sorted(times)[len(times) * 95 // 100]


async def signed_in(house: House) -> str:
    """The cookie of an owner."""
    now = house.clock.now()
    invited = await house.accounts.invite("Owner", "owner", "owner@house.example", now=now)
    await house.accounts.welcome(invited.link.rpartition("/")[2], PASSWORD, now=now)
    return (await house.sessions.sign_in("owner@house.example", PASSWORD, From("203.0.113.7", "bench"), now=now)).cookie


async def fill(house: House) -> None:
    """Without looking at each row whether what it names is there."""
    connection = await asyncpg.connect(house.settings.database_url.get_secret_value())
    keys = await connection.fetch(
        """select conrelid::regclass::text as place, conname as name, pg_get_constraintdef(oid) as definition
           from pg_constraint where contype = 'f'
             and conrelid in ('subscription'::regclass, 'consent_event'::regclass, 'consent_origin'::regclass)"""
    )
    for key in keys:
        await connection.execute(f"alter table {key['place']} drop constraint {key['name']}")
    await gather(
        connection,
        house.clock.now(),
        subscribers=size("SUBSCRIBERS", 1_000_000),
        campaigns=size("CAMPAIGNS", 500),
        deliveries=size("DELIVERIES", 5_000_000),
    )
    for key in keys:
        await connection.execute(f"alter table {key['place']} add constraint {key['name']} {key['definition']}")
    await connection.execute("vacuum analyze")
    await connection.close()
    await house.list_reports.count(now=house.clock.now())
