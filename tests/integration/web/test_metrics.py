"""Figures about promises, for whoever watches this machine."""

from __future__ import annotations

from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import ManualClock
from tests.integration.web.site import Site

LEFT = """insert into subscriber (subscriber_id, address, domain, language, created_at, left_at)
          values (gen_random_uuid(), 'ada@example.org', 'example.org', 'en', $1, $1)"""


async def figures(site: Site) -> dict[tuple[str, str], float]:
    answer = await site.get("/metrics")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return {
        (sample.name, sample.labels["promise"]): sample.value
        for family in text_string_to_metric_families(await answer.text())
        for sample in family.samples
        if "promise" in sample.labels
    }


async def test_an_overdue_promise_is_told_with_its_age(site: Site, clock: ManualClock) -> None:
    assert (await figures(site))["newsletter_promise_overdue_rows", "left"] == 0
    await site.house.db.execute(LEFT, clock.at)
    clock.at += timedelta(days=14, hours=2)
    told = await figures(site)
    assert told["newsletter_promise_due_rows", "left"] == told["newsletter_promise_overdue_rows", "left"] == 1
    assert told["newsletter_promise_oldest_overdue_seconds", "left"] == 2 * 3600
    promise = next(each for each in site.house.retention.promises if each.name == "left")
    await site.house.retention.keep(promise, now=clock.at)
    assert (await figures(site))["newsletter_promise_overdue_rows", "left"] == 0


@pytest.mark.parametrize("forwarded", ["203.0.113.9", "203.0.113.9, 127.0.0.1", "unknown", "203.0.113.9, unknown", ""])
async def test_nobody_else_gets_them_through_a_proxy(site: Site, forwarded: str) -> None:
    assert (await site.get("/metrics", headers={"X-Forwarded-For": forwarded})).status == 404
