"""The first page: how many readers there were, what is under way, and what needs a hand."""

from __future__ import annotations

from datetime import date

from newsletter.subscribing.reporting import ListReports
from tests.conftest import ManualClock
from tests.integration.web.console.conftest import HERE, PASSWORD, Operator
from tests.integration.web.site import READER, Site

HOME = "/console/"


async def test_readers_of_earlier_months_are_reckoned_back_from_those_of_today(site: Site, clock: ManualClock) -> None:
    for name in ("a", "b", "c"):
        await site.subscribe(f"{name}@example.org")
    days = {date(2026, 11, 1): (2, 1), date(2026, 10, 5): (4, 0), date(2025, 12, 9): (7, 3)}
    await site.house.db.execute("delete from list_day")
    for day, (confirmed, unsubscribed) in days.items():
        await site.house.db.execute(
            "insert into list_day (list_id, day, confirmed, unsubscribed) values ($1, $2, $3, $4)",
            site.letter.list_id,
            day,
            confirmed,
            unsubscribed,
        )
    months, curves = await ListReports(site.house.db).curves(most=1, now=clock.at)
    assert (months[0], months[-1]) == (date(2025, 12, 1), date(2026, 11, 1))
    assert [curve.list.slug for curve in curves] == ["letter"]
    assert list(curves[0].readers) == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 3]


async def test_it_says_what_needs_a_hand_and_to_whom(owner: Operator, viewer: Operator, site: Site, clock: ManualClock) -> None:
    await site.subscribe()
    await site.house.register.add("access", "letter", note="file 12", by="x", now=clock.at)
    clock.move(days=25)
    fresh = owner.with_cookie((await site.house.sessions.sign_in(owner.address, PASSWORD, HERE, now=clock.at)).cookie)
    looking = viewer.with_cookie((await site.house.sessions.sign_in(viewer.address, PASSWORD, HERE, now=clock.at)).cookie)
    mine, theirs = await fresh.page(HOME), await looking.page(HOME)
    assert "1 request about data to be answered within a week" in mine.words
    assert "request about data" not in theirs.words
    for page in (mine, theirs):
        assert "No worker was heard of lately" in page.words
        assert "Your account has no second factor" in page.words
        assert "Overdue:" in page.words, "no job has run for 25 days"
    assert READER not in mine.words


async def test_while_all_stands_still_it_says_so_first(owner: Operator, site: Site, clock: ManualClock) -> None:
    await site.house.db.execute("insert into standstill values ('restored', $1)", clock.at)
    page = await owner.page(HOME)
    assert page.words.index("No campaign is sent at the moment") < page.words.index("No worker was heard of")


async def test_a_chart_has_its_figures_in_words_and_in_a_table(owner: Operator, site: Site) -> None:
    await site.subscribe()
    page = await owner.page(HOME)
    charts = [each for each in page.all("svg") if each.get("role") == "img"]
    assert "The Northwind Letter: from 0 to 1 readers in twelve months" in (charts[0]["aria-label"] or "")
    assert "today10" in page.words
