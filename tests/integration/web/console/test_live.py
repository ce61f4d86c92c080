"""A campaign as it goes: one look a second for any number of browsers, and streams that end when there is no more to see."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession
from structlog.testing import capture_logs

from newsletter.app import House
from newsletter.campaigns.watching import Watching
from newsletter.web.console import live
from newsletter.web.server import FINISH_WITHIN, serve
from tests.conftest import ManualClock
from tests.integration.web.console.conftest import Operator, location
from tests.integration.web.console.sending import begun, draft, one, sent_out
from tests.integration.web.site import Site
from tests.integration.web.test_server import until_listening
from tests.people import add_readers
from tests.ports import free_port


@asynccontextmanager
async def stream(who: Operator, number: int) -> AsyncIterator[ClientResponse]:
    async with asyncio.timeout(10):
        answer = await who.get(f"{one(number)}/events")
        try:
            assert (answer.status, answer.content_type) == (200, "text/event-stream")
            yield answer
        finally:
            answer.close()


async def block(answer: ClientResponse) -> dict[str, str]:
    """The next event, comment or field, by name; nothing at the end of the stream."""
    lines: dict[str, str] = {}
    while line := (await answer.content.readline()).decode():
        if line == "\n":
            return lines
        name, _, value = line.rstrip("\n").partition(":")
        lines[name or "comment"] = value.strip()
    return lines


async def told(answer: ClientResponse) -> dict[str, Any]:
    """The next one with figures."""
    while True:
        lines = await block(answer)
        assert lines, "the stream has ended"
        if "data" in lines and "event" not in lines:
            found: dict[str, Any] = json.loads(lines["data"])
            return found


async def nobody_watches(house: House) -> None:
    async with asyncio.timeout(5):
        while house.watching.watched:  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def _quick(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second is long for a test."""
    monkeypatch.setattr(live, "AT_MOST_EVERY", 0.02)
    monkeypatch.setattr(live, "LOOK_AROUND", 0.02)
    house.watching._every = 0.02


async def test_figures_come_by_themselves_and_the_stream_ends_with_the_campaign(
    site: Site, house: House, viewer: Operator
) -> None:
    await add_readers(house, 3)
    number = await begun(house)
    async with stream(viewer, number) as answer:
        assert answer.headers["X-Accel-Buffering"] == "no"
        assert answer.headers["Cache-Control"] == "no-store"
        first = await told(answer)
        assert (first["state"], first["percent"], first["figures"]["line"]) == ("sending", 0, "0 of 3")
        await sent_out(house)
        while (last := await told(answer))["state"] == "sending":
            pass
        assert (last["state"], last["percent"], last["figures"]["accepted"]) == ("sent", 100, "3")
        assert last["figures"]["accepted-share"] == "100.0 % of the readers"
        assert (await block(answer))["event"] == "end"
        assert await answer.content.read() == b""
    await nobody_watches(house)


async def test_all_who_watch_a_campaign_share_one_look(site: Site, house: House) -> None:
    await add_readers(house, 3)
    number, other = await begun(house), await begun(house)
    watching = Watching(house.db, house.clock.now, every=60)
    async with watching.watch(number) as first, watching.watch(number) as second, watching.watch(other) as third:
        assert watching.watched == {number: 2, other: 1}
        seen = await first.next(within=5)
        assert seen is not None
        assert await second.next(within=5) is seen
        assert await third.next(within=5) not in (None, seen)
        async with watching.watch(number) as late:
            assert await late.next(within=5) is seen
    assert watching.watched == {}


async def test_the_poller_ends_with_the_last_who_watch(site: Site, house: House) -> None:
    number = await begun(house)
    watching = Watching(house.db, house.clock.now, every=60)
    async with watching.watch(number):
        (poller,) = watching._pollers.values()
    await asyncio.wait([poller], timeout=5)
    assert poller.cancelled()


async def test_a_slow_browser_is_given_what_is_newest_and_no_queue(site: Site, house: House) -> None:
    await add_readers(house, 3)
    number = await begun(house)
    watching = Watching(house.db, house.clock.now, every=0.001)
    async with watching.watch(number) as fast, watching.watch(number) as slow:
        for _ in range(3):
            assert await fast.next(within=5)
        await sent_out(house)
        while (latest := await fast.next(within=5)) is not None and latest.is_live:
            pass
        newest = await slow.next(within=5)
        assert newest is not None
        assert newest.state == "sent"
        assert await slow.next(within=0.01) is None


async def test_each_browser_is_told_once_a_second_at_most(
    site: Site, house: House, viewer: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "AT_MOST_EVERY", 1.0)
    await add_readers(house, 30)
    number = await begun(house)
    async with stream(viewer, number) as answer:
        await told(answer)
        began = time.monotonic()
        await house.db.execute("update batch set accepted = accepted + 1 where campaign_id = $1", number)
        changed = await told(answer)
        assert changed["figures"]["accepted"] == "1"
        assert time.monotonic() - began >= live.AT_MOST_EVERY * 0.98


async def test_nothing_new_is_not_told_and_silence_is_broken_for_proxies(
    site: Site, house: House, viewer: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_readers(house, 3)
    number = await begun(house)
    await house.campaigns.pause(number, by="test", now=house.clock.now())
    monkeypatch.setattr(live, "HEARTBEAT", 0.0)
    async with stream(viewer, number) as answer:
        await told(answer)
        assert await block(answer) == {"comment": "still here"}


async def test_a_stream_ends_with_its_session(
    site: Site, house: House, clock: ManualClock, viewer: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = await draft(house)
    await house.scheduling.schedule(number, "2026-12-05T09:30", by="test", now=clock.at)
    monkeypatch.setattr(live, "CHECK_SESSION", 0.0)
    async with stream(viewer, number) as answer:
        await told(answer)
        await house.db.execute("delete from operator_session")
        assert (await block(answer))["event"] == "signed-out"
        assert await answer.content.read() == b""


async def test_looking_on_does_not_keep_a_session_from_falling_idle(house: House, clock: ManualClock, viewer: Operator) -> None:
    seen = "select seen_at from operator_session"
    before = await house.db.fetchval(seen)
    clock.move(minutes=30)
    assert await house.sessions.session(viewer.cookie, now=clock.at, is_use=False)
    assert await house.db.fetchval(seen) == before
    assert await house.sessions.session(viewer.cookie, now=clock.at)
    assert await house.db.fetchval(seen) == clock.at


async def test_a_browser_that_has_gone_is_noticed(site: Site, house: House, viewer: Operator) -> None:
    number = await begun(house)
    async with stream(viewer, number) as answer:
        await told(answer)
        assert house.watching.watched == {number: 1}
    await nobody_watches(house)


async def test_streams_end_when_the_server_is_told_to_stop(site: Site, house: House, viewer: Operator) -> None:
    number = await begun(house)
    port, stop = free_port(), asyncio.Event()
    serving = asyncio.create_task(serve(house.services(), host="127.0.0.1", port=port, stop=stop))
    await until_listening(port)
    async with ClientSession() as session:
        answers = [await session.get(f"http://127.0.0.1:{port}{one(number)}/events", headers=viewer.headers) for _ in range(3)]
        for answer in answers:
            await told(answer)
        began = time.monotonic()
        stop.set()
        await serving
        assert time.monotonic() - began < FINISH_WITHIN / 2
        assert house.watching.watched == {}


async def test_a_stream_ends_when_its_campaign_is_deleted(
    site: Site, house: House, clock: ManualClock, viewer: Operator
) -> None:
    number = await draft(house)
    await house.scheduling.schedule(number, "2026-12-05T09:30", by="test", now=clock.at)
    async with stream(viewer, number) as answer:
        await told(answer)
        await house.db.execute("delete from campaign where campaign_id = $1", number)
        assert (await block(answer))["event"] == "end"
        assert await answer.content.read() == b""
    await nobody_watches(house)


async def test_of_a_campaign_that_is_not_there_nothing_is_waited_for(site: Site, house: House) -> None:
    watching = Watching(house.db, house.clock.now, every=60)
    async with watching.watch(404) as watch:
        assert await watch.next(within=5) is None
        assert watch.is_over


async def test_nobody_watches_in_more_windows_than_anybody_has_open(
    site: Site, house: House, viewer: Operator, editor: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MOST_STREAMS", 2)
    number = await begun(house)
    async with stream(viewer, number) as first, stream(viewer, number) as second:
        await told(first), await told(second)
        refused = await viewer.get(f"{one(number)}/events")
        assert refused.status == 429
        assert "close some of them" in await refused.text()
        async with stream(editor, number) as another:
            assert await told(another)
    await nobody_watches(house)
    async with stream(viewer, number) as again:
        assert await told(again)


async def test_receivers_that_are_slowed_down_are_marked_and_small_ones_are_not_named(
    site: Site, house: House, clock: ManualClock, viewer: Operator
) -> None:
    for count, domain in ((22, "big.example"), (20, "calm.example"), (2, "tiny.example")):
        await add_readers(house, count, domain=domain)
    number = await begun(house)
    await sent_out(house)
    await house.reporting.make_due(now=clock.at, before_each=_nothing)
    await house.db.execute("update campaign set state = 'sending', finished_at = null")
    house.watching._limits = {"domain:big.example": 20.0, "domain:calm.example": 20.0}
    slow = "insert into pace (name, free_at, slow_rate, slowed_at) values ($1, $2, 2.5, $2)"
    async with stream(viewer, number) as answer:

        async def until(paces: dict[str, str], others: str) -> dict[str, Any]:
            while ((found := await told(answer))["paces"], found["figures"]["slow-others"]) != (paces, others):
                pass
            return found

        first = await told(answer)
        assert (first["paces"], first["figures"]["slow-others"]) == ({}, ""), "nothing is slowed down, so nothing is said"
        await house.db.execute(slow, "domain:tiny.example", clock.at)
        await until({}, "Slowed down or with mails in line: 1 domain that is not named here.")
        await house.db.execute(slow, "domain:big.example", clock.at)
        beside = "Slowed down or with mails in line, beside those above: 1 domain that is not named here."
        found = await until({"big.example": "slowed down to 2.5 a second"}, beside)
        assert "tiny.example" not in json.dumps(found)
        words = (await viewer.page(one(number))).words
        assert "big.example slowed down to 2.5 a second" in words
        assert "tiny.example" not in words
        clock.move(minutes=12)  # Both have recovered; only who stands in line waits.
        await until({}, "")
        soon = clock.at + timedelta(seconds=40)
        await house.db.execute("update pace set free_at = $1 where name = 'domain:big.example'", soon)
        await until({"big.example": "at most 20 a second, mails wait for their turn"}, "")


async def _nothing() -> None:
    pass


async def test_who_is_not_signed_in_sees_nothing_move(site: Site, house: House, stranger: Operator) -> None:
    answer = await stranger.get(f"{one(await begun(house))}/events")
    assert (answer.status, location(answer).split("?")[0]) == (303, "/console/sign-in")


async def test_a_database_that_is_away_for_a_moment_ends_no_stream(site: Site, house: House, viewer: Operator) -> None:
    await add_readers(house, 3)
    number = await begun(house)
    async with stream(viewer, number) as answer:
        await told(answer)
        with capture_logs() as logged:
            await house.db.execute("alter view campaign_standing rename to standing_away")
            async with asyncio.timeout(5):
                while not [entry for entry in logged if entry["event"] == "watch_interrupted"]:  # noqa: ASYNC110  nobody tells
                    await asyncio.sleep(0.01)
        await house.db.execute("alter view standing_away rename to campaign_standing")
        await house.db.execute("update batch set accepted = accepted + 2 where campaign_id = $1", number)
        assert (await told(answer))["figures"]["accepted"] == "2"


async def test_a_page_goes_on_with_no_rate_that_watchers_were_told_before_it_was_cancelled(
    site: Site, house: House, clock: ManualClock, viewer: Operator
) -> None:
    await add_readers(house, 12)
    number = await begun(house)
    house.watching._every = 60
    await house.reporting.sample(now=clock.at)
    await house.db.execute("update batch set accepted = 4")
    clock.move(seconds=8)
    async with house.watching.watch(number) as watch:
        assert (before := await watch.next(within=5)) is not None
        assert (before.rate, before.left) == (0.5, timedelta(seconds=16))
        assert "0.5 a second · 16 s left" in (await viewer.page(one(number))).words
        await house.db.execute("update batch set accepted = 8")
        await house.campaigns.cancel(number, by="test", now=clock.at)
        words = (await viewer.page(one(number))).words
        assert "8 of 12" in words
        assert "a second" not in words
        assert "left" not in words


async def test_no_empty_chart_is_shown_of_a_rate_that_is_not_known_yet(
    site: Site, house: House, clock: ManualClock, viewer: Operator
) -> None:
    await add_readers(house, 12)
    number = await begun(house)

    async def shown() -> list[str]:
        tags = (await viewer.page(one(number))).tags
        parts = ("data-rate", "data-rate-words", "data-no-rate")
        return [part for _, attributes in tags for part in parts if part in attributes and "hidden" not in attributes]

    assert await shown() == ["data-no-rate"]
    for accepted in (2, 4, 6):
        await house.db.execute("update batch set accepted = $1", accepted)
        await house.reporting.sample(now=clock.move(seconds=4))
    assert await shown() == ["data-rate", "data-rate-words"]


async def test_without_script_the_page_has_the_figures_and_a_way_to_newer_ones(
    site: Site, house: House, viewer: Operator
) -> None:
    await add_readers(house, 3)
    number = await begun(house)
    page = await viewer.page(one(number))
    assert "0 of 3" in page.words
    assert {"href": one(number)} in page.all("a")
    assert "data-events" in str(page.all("section"))
