"""Campaigns as operators send them: in time, once, to as many as were confirmed, and not when something stands in the way."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from aiohttp import ClientResponse

from newsletter.app import House
from newsletter.campaigns.content import Draft, Format
from newsletter.campaigns.service import digest
from newsletter.jobs.schedule import Schedule, campaign_jobs
from newsletter.subscribing.lists import close_list
from tests.conftest import ManualClock
from tests.integration.web.console.conftest import HERE, PASSWORD, Operator, location
from tests.integration.web.console.sending import CAMPAIGNS, begun, draft, one, said, sent_out, state, waiting_for_a_lock
from tests.integration.web.site import Page, Site
from tests.people import add_readers


async def tick(house: House) -> list[str]:
    """One look at the schedule of campaigns."""
    jobs = campaign_jobs(house.scheduling, house.reporting, house.writing)
    return await Schedule(house.db, house.clock, jobs, worker="test").run_due()


async def press(who: Operator, number: int, act: str, **fields: str) -> ClientResponse:
    """`send` or `schedule`, having looked at the words that are stored now."""
    words = digest(await who.house.campaigns.drafts(number))
    return await who.post(f"{one(number)}/{act}", {"words": words} | fields)


# All of them.


async def test_the_list_goes_back_page_by_page_and_says_where_each_stands(site: Site, house: House, viewer: Operator) -> None:
    for number in range(53):
        await draft(house, f"Issue {number}")
    await add_readers(house, 2)
    await house.campaigns.send(53, by="test", now=house.clock.now())
    await sent_out(house)
    first = await viewer.page(CAMPAIGNS)
    names = [each["href"] for each in first.all("a") if str(each.get("href", "")).startswith(f"{CAMPAIGNS}/")]
    assert names == [one(number) for number in range(53, 3, -1)]
    assert "Issue 52 letter sent 2 2 0 started 21 Nov 2026, 15:05 CET" in first.words
    (older,) = [str(each["href"]) for each in first.all("a") if "before=" in str(each.get("href"))]
    second = await viewer.page(f"{CAMPAIGNS}{older.replace('&amp;', '&')}")
    assert "Issue 2 letter draft" in second.words
    assert "Issue 3 letter" not in second.words
    assert not [each for each in second.all("a") if "before=" in str(each.get("href"))]


async def test_the_list_is_narrowed_by_state_and_by_list(site: Site, house: House, viewer: Operator) -> None:
    await draft(house, "A draft")
    await begun(house, "One under way")
    await draft(house, "An alert", slug="alerts")
    for query, here, absent in (
        ("state=draft", ("A draft", "An alert"), ("One under way",)),
        ("list=alerts", ("An alert",), ("A draft", "One under way")),
        ("state=sending&list=letter", ("One under way",), ("A draft", "An alert")),
        ("state=%27;--&list=nobody&before=x", ("A draft", "One under way", "An alert"), ()),
    ):
        words = (await viewer.page(f"{CAMPAIGNS}?{query}")).words
        assert [name for name in (*here, *absent) if name in words] == list(here), query


async def test_before_the_first_campaign_the_list_says_what_one_is(viewer: Operator) -> None:
    assert "There is no campaign yet" in (await viewer.page(CAMPAIGNS)).words


async def test_a_campaign_that_is_not_there_is_a_page_that_says_so(editor: Operator) -> None:
    assert (await editor.get(one(7))).status == 404
    assert (await editor.post(f"{one(7)}/pause")).status == 404
    assert (await editor.get(f"{one(7)}/events")).status == 404


async def test_an_address_of_no_page_leads_to_the_first_one_and_speaks_of_no_letters(editor: Operator) -> None:
    answer = await editor.get("/console/nowhere")
    words = await answer.text()
    assert answer.status == 404
    assert "There is nothing at this address. Please check it, or go on from the first page." in words
    assert "all letters" not in words


# A draft.


async def test_a_draft_says_what_is_ready_and_who_would_get_it(site: Site, house: House, editor: Operator) -> None:
    await add_readers(house, 1200)
    page = await editor.page(one(await draft(house)))
    assert "English: The long tide" in page.words
    assert "1,200 confirmed, of the list letter" in page.words
    assert "Send to 1,200 readers" in page.words
    links = {each.get("href") for each in page.all("a")}
    assert {f"{one(1)}/edit", f"{one(1)}/preflight", f"{one(1)}/delete"} <= links


async def test_who_may_only_look_finds_no_button(house: House, viewer: Operator) -> None:
    number = await draft(house)
    page = await viewer.page(one(number))
    assert {each.get("action") for each in page.all("form")} == {"/console/sign-out"}
    for act in ("send", "schedule", "unschedule", "pause", "resume", "cancel", "copy", "delete"):
        assert (await viewer.post(f"{one(number)}/{act}")).status == 403, act
    assert await state(house, number) == "draft"


async def test_a_campaign_is_sent_to_as_many_readers_as_were_typed(site: Site, house: House, editor: Operator) -> None:
    await add_readers(house, 1200)
    number = await draft(house)
    for typed in ("", "1,201", "many", "-1200", "12.5e2", "9" * 30):
        answer = await press(editor, number, "send", readers=typed)
        assert (answer.status, await state(house, number)) == (422, "draft"), typed
    answer = await press(editor, number, "send", readers="1\u202f200")
    assert (answer.status, location(answer)) == (303, f"{one(number)}?done=campaign_sent")
    assert (await state(house, number), (await house.campaigns.status(number)).planned) == ("sending", 1200)
    assert ("campaign.send", f"campaign {number}") in await editor.done()


async def test_an_audience_that_has_changed_is_said_and_asked_for_again(site: Site, house: House, editor: Operator) -> None:
    await add_readers(house, 3)
    number = await draft(house)
    await add_readers(house, 2, domain="late.example")
    answer = await press(editor, number, "send", readers="3")
    page = Page(await answer.text())
    assert "The list has 5 readers now: type that number to send to them." in page.words
    assert page.field("readers")["value"] == ""
    assert (answer.status, await state(house, number)) == (422, "draft")


@pytest.mark.parametrize(("act", "given"), [("send", {"readers": "3"}), ("schedule", {"at": "2026-12-05T09:30"})])
async def test_nobody_sends_words_that_were_changed_since_they_looked(
    site: Site, house: House, editor: Operator, clock: ManualClock, act: str, given: dict[str, str]
) -> None:
    await add_readers(house, 3)
    number = await draft(house)
    looked = {"words": digest(await house.campaigns.drafts(number))}
    assert (await editor.page(one(number))).field("words")["value"] == looked["words"]
    late = Draft("en", "The long tide", "", Format.MARKDOWN, "What nobody has looked at")
    await house.writing.save(number, late, began_from=1, by="Somebody", now=clock.at)
    for words in (looked, {}):
        answer = await editor.post(f"{one(number)}/{act}", words | given)
        page = Page(await answer.text())
        assert (answer.status, await state(house, number)) == (409, "draft")
        assert "Somebody has saved other words since you opened this page" in page.words
    again = {"words": page.field("words")["value"] or ""} | given
    assert (await editor.post(f"{one(number)}/{act}", again)).status == 303


async def test_a_double_click_sends_once_and_leads_to_the_same_page(site: Site, house: House, editor: Operator) -> None:
    await add_readers(house, 3)
    number = await draft(house)
    answers = await asyncio.gather(*(press(editor, number, "send", readers="3") for _ in range(2)))
    assert sorted(location(each) for each in answers) == [
        f"{one(number)}?done=campaign_sent",
        f"{one(number)}?done=campaign_sent_once",
    ]
    assert "It is sent once." in (await editor.page(f"{one(number)}?done=campaign_sent_once")).words
    await sent_out(house)
    assert len(await site.mailbox.messages()) == 3
    assert (await press(editor, number, "send", readers="3")).status == 303  # long after, too


async def test_a_copy_is_a_draft_with_the_same_words(site: Site, house: House, editor: Operator) -> None:
    await begun(house, "N" * 200)
    answer = await editor.post(f"{one(1)}/copy")
    assert location(answer) == f"{one(2)}?done=campaign_copied"
    assert await house.campaigns.drafts(2) == await house.campaigns.drafts(1)
    copied = await house.campaigns.status(2)
    assert (copied.state, copied.name) == ("draft", f"Copy of {'N' * 192}")


async def test_a_draft_is_deleted_after_a_page_that_says_so_and_nothing_else_is(
    site: Site, house: House, editor: Operator
) -> None:
    number, other = await draft(house), await begun(house)
    assert "They cannot be brought back." in (await editor.page(f"{one(number)}/delete")).words
    assert location(await editor.post(f"{one(number)}/delete")) == f"{CAMPAIGNS}?done=campaign_deleted"
    assert (await editor.get(one(number))).status == 404
    answer = await editor.post(f"{one(other)}/delete")
    assert answer.status == 409
    assert f"Campaign {other} is sending: only a draft can be deleted." in Page(await answer.text()).words
    assert ("campaign.delete", f"campaign {number}") in await editor.done()


# Later.


async def test_a_scheduled_campaign_starts_by_itself_in_the_time_zone_of_its_list(
    site: Site, house: House, clock: ManualClock, editor: Operator
) -> None:
    await add_readers(house, 2)
    number = await draft(house)
    answer = await press(editor, number, "schedule", at="2026-11-22T09:30")
    assert location(answer) == f"{one(number)}?done=campaign_scheduled"
    assert "It starts by itself on 22 November 2026 at 09:30 (CET)" in (await editor.page(one(number))).words
    clock.at = datetime(2026, 11, 22, 8, 29, 59, tzinfo=UTC)
    await tick(house)
    assert await state(house, number) == "scheduled"
    clock.move(seconds=5)
    await tick(house)
    assert await state(house, number) == "sending"
    await sent_out(house)
    assert len(await site.mailbox.messages()) == 2
    assert await house.db.fetchval("select operator from audit_log where action = 'campaign.send'") == "schedule"


@pytest.mark.parametrize(
    ("at", "says"),
    [
        ("2026-11-21T15:05", "That is past: in Europe/Berlin it is 15:05 on 21 November 2026 now."),
        ("2027-03-28T02:30", "There is no 02:30 on 28 March 2027: clocks in Europe/Berlin are put forward then."),
        ("2036-11-21T15:05", "more than a year ahead"),
        ("next Friday", "Give a date and a time"),
        ("2026-12-05T09:30Z", "without a zone"),
        ("9999-12-31T23:59", "more than a year ahead"),
    ],
)
async def test_a_time_that_cannot_be_meant_is_refused_and_stands_there_again(
    house: House, editor: Operator, at: str, says: str
) -> None:
    number = await draft(house)
    answer = await press(editor, number, "schedule", at=at)
    page = Page(await answer.text())
    assert (answer.status, page.field("at")["value"]) == (422, at)
    assert says in page.words
    assert await state(house, number) == "draft"


async def test_a_time_that_comes_twice_is_the_first_and_the_page_says_so(house: House, editor: Operator) -> None:
    number = await draft(house)
    answer = await press(editor, number, "schedule", at="2027-10-31T02:30")
    page = await editor.page(location(answer))
    assert "clocks go back and show this time twice: it starts at the first" in page.words
    assert (await house.campaigns.status(number)).scheduled_at == datetime(2027, 10, 31, 0, 30, tzinfo=UTC)


async def test_what_was_scheduled_can_be_put_off_and_taken_back(house: House, clock: ManualClock, editor: Operator) -> None:
    await add_readers(house, 1)
    number = await draft(house)
    for at in ("2026-12-05T09:30", "2026-12-06T09:30"):
        assert (await press(editor, number, "schedule", at=at)).status == 303
    clock.at = datetime(2026, 12, 5, 10, 0, tzinfo=UTC)
    await tick(house)
    assert await state(house, number) == "scheduled"
    editor = editor.with_cookie((await house.sessions.sign_in(editor.address, PASSWORD, HERE, now=clock.at)).cookie)
    assert location(await editor.post(f"{one(number)}/unschedule")) == f"{one(number)}?done=campaign_unscheduled"
    clock.at = datetime(2026, 12, 7, tzinfo=UTC)
    await tick(house)
    assert await state(house, number) == "draft"


async def test_what_stands_in_the_way_makes_it_a_draft_again_and_the_page_says_why(
    site: Site, house: House, clock: ManualClock, editor: Operator
) -> None:
    closed, broken, late, fine = [await draft(house, slug=slug) for slug in ("alerts", "letter", "letter", "letter")]
    for number in (closed, broken, late, fine):
        await house.scheduling.schedule(number, "2026-11-21T18:00", by="test", now=clock.at)
    await house.db.execute("update campaign set scheduled_at = $1 where campaign_id = $2", clock.move(minutes=1), late)
    await house.db.execute("update campaign_content set body = 'Dear {{ nobody }}' where campaign_id = $1", broken)
    await close_list(house.db, "alerts", now=clock.at)
    clock.at = datetime(2026, 11, 21, 20, 30, tzinfo=UTC)
    await house.db.execute("update campaign set scheduled_at = $1 where campaign_id <> $2", clock.at, late)
    await tick(house)
    assert [await state(house, number) for number in (closed, broken, late, fine)] == ["draft", "draft", "draft", "sending"]
    signed_in = await house.sessions.sign_in(editor.address, PASSWORD, HERE, now=clock.at)
    editor = editor.with_cookie(signed_in.cookie)
    for number, why in ((closed, "was closed"), (broken, "nobody"), (late, "No worker was there to start it for six hours")):
        words = (await editor.page(one(number))).words
        assert "It was to start by itself, and could not." in words
        assert why in words
    returned = await house.db.fetch("select target from audit_log where action = 'campaign.return' order by audit_id")
    assert {row["target"] for row in returned} == {f"campaign {number}" for number in (closed, broken, late)}
    await house.campaigns.send(late, by="test", now=clock.at)
    assert (await house.campaigns.status(late)).returned_reason is None


async def test_two_workers_start_a_campaign_once(site: Site, house: House, clock: ManualClock) -> None:
    await add_readers(house, 3)
    number = await draft(house)
    await house.scheduling.schedule(number, "2026-11-21T18:00", by="test", now=clock.at)
    clock.at = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)
    await asyncio.gather(*(house.scheduling.start_due(now=clock.at) for _ in range(3)))
    assert await house.db.fetchval("select count(*) from audit_log where action = 'campaign.send'") == 1
    assert (await house.campaigns.status(number)).returned_reason is None


async def test_what_an_operator_changes_in_the_last_moment_counts(site: Site, house: House, clock: ManualClock) -> None:
    """The job has seen that it is due; before it starts it, somebody takes it back."""
    number = await draft(house)
    await house.scheduling.schedule(number, "2026-11-21T18:00", by="test", now=clock.at)
    clock.at = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)
    async with house.db.transaction() as other:
        await other.execute("update campaign set state = 'draft', scheduled_at = null where campaign_id = $1", number)
        starting = asyncio.create_task(house.scheduling.start_due(now=clock.at))
        await waiting_for_a_lock(house)
    await starting
    found = await house.campaigns.status(number)
    assert (found.state, found.returned_reason) == ("draft", None)


# Under way.


async def test_pause_resume_and_cancel_say_what_they_mean(site: Site, house: House, editor: Operator) -> None:
    await add_readers(house, 3)
    number = await begun(house)
    assert location(await editor.post(f"{one(number)}/pause")) == f"{one(number)}?done=campaign_paused"
    assert "Resume" in (await editor.page(one(number))).words
    assert location(await editor.post(f"{one(number)}/resume")) == f"{one(number)}?done=campaign_resumed"
    words = (await editor.page(f"{one(number)}/cancel")).words
    assert "0 of 3 readers have it; it cannot be called back from them." in words
    assert "A cancelled campaign cannot be resumed." in words
    assert location(await editor.post(f"{one(number)}/cancel")) == f"{one(number)}?done=campaign_cancelled"
    assert [action for action, _ in await editor.done() if action.startswith("campaign")] == [
        "campaign.pause",
        "campaign.resume",
        "campaign.cancel",
    ]


async def test_of_two_browsers_the_second_is_told_what_the_first_has_done(
    site: Site, house: House, editor: Operator, owner: Operator
) -> None:
    number = await begun(house)
    assert (await owner.post(f"{one(number)}/cancel")).status == 303
    answer = await editor.post(f"{one(number)}/pause")
    page = Page(await answer.text())
    assert answer.status == 409
    assert f"Nothing was changed. Campaign {number} is cancelled: there is nothing to pause." in page.words
    assert await state(house, number) == "cancelled"


async def test_hostile_names_stay_words(site: Site, house: House, viewer: Operator) -> None:
    hostile = "<script>alert(1)</script>\"'=cmd|x"
    number = await begun(house, hostile)
    for path in (CAMPAIGNS, one(number)):
        text = await (await viewer.get(path)).text()
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert(1)" in text


async def test_nothing_is_sent_to_nobody(site: Site, house: House, editor: Operator) -> None:
    number = await draft(house)
    assert "nobody to send it to" in (await editor.page(one(number))).words
    words = digest(await house.campaigns.drafts(number))
    assert (await editor.post(f"{one(number)}/send", {"readers": "0", "words": words})).status == 409
    assert await state(house, number) == "draft"


async def test_what_was_sent_can_be_read_by_everybody(site: Site, house: House, viewer: Operator) -> None:
    await add_readers(house, 1)
    number = await begun(house)
    page = await viewer.get(one(number))
    assert f"{one(number)}/preview?language=en&amp;view=desktop" in await page.text()
    assert (await viewer.get(f"{one(number)}/preview?language=en&view=desktop")).status == 200


async def test_a_page_says_only_for_as_long_as_it_is_true_what_a_form_has_done(
    site: Site, house: House, viewer: Operator
) -> None:
    await add_readers(house, 3)
    number = await begun(house)
    path = f"{one(number)}?done=campaign_sent"
    assert "It is being sent." in await said(viewer, path)
    await sent_out(house)
    assert await state(house, number) == "sent"
    assert "It is being sent." not in await said(viewer, path)
    assert "Nobody else gets it." not in await said(viewer, f"{one(number)}?done=campaign_cancelled")
