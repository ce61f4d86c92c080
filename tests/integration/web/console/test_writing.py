"""Writing a campaign in the browser: what is typed is kept whatever is wrong with it, and nobody overwrites anybody."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import datetime
from html import escape
from typing import Any

import pytest
from aiohttp import ClientResponse

from newsletter.app import House
from newsletter.campaigns import trials
from newsletter.campaigns.content import Draft, Format
from newsletter.campaigns.service import NewCampaign
from newsletter.campaigns.writing import Overtaken
from newsletter.consent.rules import Reason
from newsletter.core.errors import Conflict, InvalidContent, InvalidInput
from newsletter.delivery.batches import plan_campaign
from newsletter.jobs.schedule import Schedule, campaign_jobs
from tests.conftest import ManualClock
from tests.integration.web.console.conftest import Hire, Operator, location
from tests.integration.web.console.sending import sent_out
from tests.integration.web.console.sending import state as state_of
from tests.integration.web.site import Page, Site

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'{{7*7}}</textarea>"
DRAFT = Draft("en", "The long tide", "", Format.MARKDOWN, "Dear reader,\n\nsee you at the slip.")
HOSTILE_PAGES = ("edit", "versions?language=en&version=2", "preflight")
PROGRAM = {"Accept": "application/json"}


async def begin(who: Operator, **fields: str) -> int:
    answer = await who.post("/console/campaigns/new", {"name": "November", "list": "letter", "language": "letter:en"} | fields)
    assert answer.status == 303, await answer.text()
    found = re.fullmatch(r"/console/campaigns/(\d+)/edit\?done=begun", location(answer))
    assert found
    return int(found[1])


def typed(version: int = 1, **fields: str) -> dict[str, Any]:
    """The editor's form."""
    form = {"language": "en", "version": str(version), "subject": DRAFT.subject, "preheader": "", "format": "markdown"}
    return form | {"body": DRAFT.body} | fields


async def save(who: Operator, number: int, version: int = 1, **fields: str) -> ClientResponse:
    return await who.post(f"/console/campaigns/{number}/edit", typed(version, **fields))


async def body_of(house: House, number: int, language: str = "en") -> str:
    query = "select body from campaign_content where campaign_id = $1 and language = $2"
    return str(await house.db.fetchval(query, number, language))


def text_in(markup: str) -> str:
    """What a browser would have in the editor."""
    found = re.search(r'<textarea id="body".*?>\n(.*?)</textarea>', markup, re.DOTALL)
    assert found
    return found[1]


# Beginning.


async def test_a_campaign_begins_empty_in_the_languages_that_were_chosen(editor: Operator) -> None:
    form = Page(await (await editor.get("/console/campaigns/new")).text())
    assert {each["value"] for each in form.all("input") if each.get("name") == "language"} == {"letter:en", "letter:de"}
    number = await begin(editor, name="Tide")
    page = await editor.page(f"/console/campaigns/{number}/edit")
    assert page.heading == "Tide"
    assert "not ready" in page.words
    assert "not written" in page.words
    assert ("campaign.create", f"campaign {number}") in await editor.done()


async def test_what_is_wrong_with_a_new_one_is_said_beside_what_was_typed(editor: Operator) -> None:
    for fields, said in (
        ({"name": " "}, "needs a name"),
        ({"layout": "999"}, "layout was deleted"),
        ({"name": "x\r\nBcc: y"}, "control"),
    ):
        answer = await editor.post("/console/campaigns/new", {"name": "November", "list": "letter"} | fields)
        assert answer.status == 422
        assert said in (await answer.text()), said
    assert (await editor.post("/console/campaigns/new", {"name": "November", "list": "nothing"})).status == 404


async def test_a_viewer_looks_at_previews_and_writes_nothing(hire: Hire, site: Site, viewer: Operator) -> None:
    editor = await hire("editor")
    number = await begin(editor)
    await save(editor, number)
    assert (await viewer.get(f"/console/campaigns/{number}/preview")).status == 200
    for path in (f"{number}/edit", "new", f"{number}/versions", f"{number}/preflight"):
        assert (await viewer.get(f"/console/campaigns/{path}")).status == 403
    for path in (f"{number}/edit", f"{number}/autosave", f"{number}/test", f"{number}/preview", f"{number}/versions/restore"):
        assert (await viewer.post(f"/console/campaigns/{path}", typed())).status == 403
    assert (await editor.post("/console/layouts/new", layout(body="Dear {{ name }}"))).status == 303
    for path in ("images", "layouts", "layouts/1"):
        page = await viewer.page(f"/console/{path}")
        assert {each["action"] for each in page.all("form")} == {"/console/sign-out"}, "no form and no link that only fails"
        assert not [each for each in page.all("a") if (each["href"] or "").endswith("/new")]
    assert "Dear {{ name }}" in page.words


# Saving.


async def test_what_is_saved_is_there_again_with_its_line_breaks(editor: Operator, house: House) -> None:
    number = await begin(editor)
    answer = await save(editor, number, body="One\r\n\r\ntwo\rthree", subject="Tide", preheader="Before")
    assert (answer.status, location(answer)) == (303, f"/console/campaigns/{number}/edit?language=en&done=saved")
    assert await body_of(house, number) == "One\n\ntwo\nthree"
    shown = await (await editor.get(f"/console/campaigns/{number}/edit")).text()
    assert text_in(shown) == "One\n\ntwo\nthree"
    assert Page(shown).field("version")["value"] == "2"
    assert Page(shown).field("preheader")["value"] == "Before"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"body": "Dear\n\n{{ nmae }}"}, "line 3"),
        ({"body": "Dear\n{% for x in (1..1000000000) %}x{% endfor %}"}, "line 2"),
        ({"body": "{% if name %}never closed"}, "line 1"),
        ({"body": ""}, "There is no body"),
        ({"subject": ""}, "There is no subject"),
        ({"body": "[here](/relative)"}, "not a whole address"),
        ({"body": "{{ name | repeat: 999999999 }}"}, "filter"),
    ],
)
async def test_a_draft_that_cannot_become_a_mail_is_saved_and_the_reason_shown(
    editor: Operator, house: House, clock: ManualClock, fields: dict[str, str], said: str
) -> None:
    number = await begin(editor)
    assert (await save(editor, number, 1, **fields)).status == 303
    if "body" in fields:
        assert await body_of(house, number) == fields["body"]
    shown = await (await editor.get(f"/console/campaigns/{number}/edit")).text()
    assert "cannot become a mail yet" in shown
    assert said in Page(shown).words
    with pytest.raises(InvalidContent):
        await house.campaigns.send(number, by="test", now=clock.at)


async def test_starting_is_refused_by_the_database_too(editor: Operator, house: House, clock: ManualClock, site: Site) -> None:
    async def start(number: int) -> None:
        async with house.db.transaction() as db:
            await plan_campaign(db, campaign_id=number, list_id=site.letter.list_id, message_domain="example.org", now=clock.at)

    number = await begin(editor)
    with pytest.raises(Conflict, match="cannot become a mail"):
        await start(number)
    await save(editor, number, 1)
    await save(editor, number, 2, body="{{ nmae }}")
    with pytest.raises(Conflict, match="cannot become a mail"):
        await start(number)
    await house.db.execute("delete from campaign_content where campaign_id = $1", number)
    with pytest.raises(Conflict, match="cannot become a mail"):
        await start(number)
    with pytest.raises(InvalidContent, match="Nothing is written"):
        await house.campaigns.send(number, by="test", now=clock.at)
    other = await begin(editor)
    await save(editor, other)
    await start(other)


async def test_a_text_that_is_saved_while_somebody_starts_is_sent_or_not_saved(
    editor: Operator, house: House, clock: ManualClock
) -> None:
    number = await begin(editor)
    await save(editor, number)
    late = replace(DRAFT, body="{{ nmae }}")
    saving = house.writing.save(number, late, began_from=2, by="Ben", now=clock.at)
    starting = house.campaigns.send(number, by="Ada", now=clock.at)
    saved, started = await asyncio.gather(saving, starting, return_exceptions=True)
    assert isinstance(saved, Exception) != isinstance(started, Exception)
    state = await house.db.fetchval("select state from campaign where campaign_id = $1", number)
    assert (state == "sending") == (await body_of(house, number) == DRAFT.body)


async def test_what_is_sent_or_scheduled_is_not_changed_and_that_is_said(
    editor: Operator, house: House, clock: ManualClock
) -> None:
    number = await begin(editor)
    await save(editor, number)
    await house.db.execute(
        "update campaign set state = 'scheduled', scheduled_at = $2 where campaign_id = $1", number, clock.at
    )
    answer = await save(editor, number, 2, body="Other words")
    assert answer.status == 409
    text = await answer.text()
    assert "take it off the schedule" in text
    assert "Other words</pre>" in text, "what was typed is there to be copied"
    await house.db.execute("update campaign set state = 'draft' where campaign_id = $1", number)
    await house.campaigns.send(number, by="test", now=clock.at)
    assert "cannot be changed any more" in await (await save(editor, number, 2, body="Other words")).text()
    assert await body_of(house, number) == DRAFT.body


async def bring(house: House, number: int, state: str, now: datetime) -> None:
    """To that state, from a draft."""
    if state == "scheduled":
        await house.scheduling.schedule(number, "2026-12-05T09:30", by="test", now=now)
        return
    await house.campaigns.send(number, by="test", now=now)
    if state == "sent":
        await sent_out(house)
    else:
        await (house.campaigns.pause if state == "paused" else house.campaigns.cancel)(number, by="test", now=now)
    assert await state_of(house, number) == state


@pytest.mark.parametrize("state", ["scheduled", "paused", "sent", "cancelled"])
async def test_what_cannot_be_written_any_more_is_there_to_be_read_and_has_no_form_that_only_fails(
    editor: Operator, house: House, clock: ManualClock, state: str
) -> None:
    number = await begin(editor)
    await save(editor, number, body="Dear <b>reader</b>")
    await save(editor, number, 0, language="de", body="Moin")
    await bring(house, number, state, clock.at)
    here = f"/console/campaigns/{number}"
    page = await editor.page(f"{here}/edit?language=de&view=telephone")
    assert {each["action"] for each in page.all("form")} == {f"{here}/copy", "/console/sign-out"}
    assert page.all("iframe")[0]["src"] == f"{here}/preview?language=de&view=telephone"
    assert "Moin" in page.words
    assert "opy it" in page.words
    assert (await editor.get(page.all("iframe")[0]["src"] or "")).status == 200
    other = await (await editor.get(f"{here}/edit?language=en&view=<b>")).text()
    assert "Dear &lt;b&gt;reader&lt;/b&gt;</pre>" in other
    assert "view=desktop" in other


async def test_what_cannot_even_be_stored_comes_back_with_all_that_was_typed(editor: Operator, house: House) -> None:
    number = await begin(editor)
    for fields in ({"subject": "x" * 301}, {"preheader": "y" * 301}):
        answer = await save(editor, number, 1, **fields)
        text = await answer.text()
        assert answer.status == 422
        assert 'aria-invalid="true"' in text
        assert (fields.get("body", DRAFT.body)[:4]) in text
        assert fields.get("subject", DRAFT.subject) in text
    assert await body_of(house, number) == ""


async def test_a_language_button_saves_and_goes_there(editor: Operator, house: House) -> None:
    number = await begin(editor)
    answer = await save(editor, number, go="de")
    assert location(answer) == f"/console/campaigns/{number}/edit?language=de&done=saved"
    assert await body_of(house, number) == DRAFT.body
    await save(editor, number, 0, language="de", subject="Die lange Flut", body="Moin")
    assert await body_of(house, number, "de") == "Moin"
    assert location(await save(editor, number, 2, go="preflight")) == f"/console/campaigns/{number}/preflight"
    assert location(await save(editor, number, 2, go="https://evil.example")).startswith("/console/campaigns/")
    unknown = await save(editor, number, 0, language="fr")
    assert unknown.status == 422
    assert "no language" in await unknown.text()


async def test_a_language_can_be_left_out_but_not_the_last_one(editor: Operator, house: House, clock: ManualClock) -> None:
    number = await begin(editor)
    await save(editor, number)
    await save(editor, number, 0, language="de", body="Moin")
    assert (await editor.post(f"/console/campaigns/{number}/leave-out", {"language": "de"})).status == 303
    assert (await editor.post(f"/console/campaigns/{number}/leave-out", {"language": "en"})).status == 409
    assert (await save(editor, number, 0, language="de", body="Moin again")).status == 303
    assert [each.version for each in await house.writing.versions(number, "de")] == [2, 1]


# Two people.


async def test_a_language_that_was_left_out_does_not_come_back_by_itself(editor: Operator, house: House) -> None:
    number = await begin(editor)
    await save(editor, number, 0, language="de", body="Moin")
    await editor.post(f"/console/campaigns/{number}/leave-out", {"language": "de"})
    late = typed(1, language="de", body="Moin, moin")
    by_itself = await editor.post(f"/console/campaigns/{number}/autosave", late, headers=PROGRAM)
    assert by_itself.status == 409
    assert "left this language out" in (await by_itself.json())["error"]["message"]
    answer = await save(editor, number, 1, language="de", body="Moin, moin")
    text = await answer.text()
    assert (answer.status, text_in(text)) == (409, "Moin, moin")
    assert "Theirs" not in text
    assert [each.language for each in (await house.writing.page(number)).written] == ["en"]
    version = int(Page(text).field("version")["value"] or 0)
    assert (await save(editor, number, version, language="de", body="Moin, moin")).status == 303, "who has read that means it"
    assert await body_of(house, number, "de") == "Moin, moin"


async def test_whoever_saves_second_sees_both_and_nothing_is_overwritten(hire: Hire, site: Site, house: House) -> None:
    ada, ben = await hire("owner"), await hire("editor")
    number = await begin(ada)
    assert (await save(ben, number, 1, body="What Ben wrote")).status == 303
    answer = await save(ada, number, 1, body="What Ada wrote")
    text = await answer.text()
    assert answer.status == 409
    assert "Editor has saved another version" in text
    assert "What Ben wrote" in text
    assert text_in(text) == "What Ada wrote"
    assert await body_of(house, number) == "What Ben wrote"
    again = await save(ada, number, int(Page(text).field("version")["value"] or 0), body="What Ada wrote")
    assert again.status == 303
    assert await body_of(house, number) == "What Ada wrote"
    lines = await house.writing.versions(number, "en")
    assert [(each.version, each.saved_by) for each in lines] == [(3, "Owner"), (2, "Editor"), (1, "Owner")]


async def test_of_saves_at_the_same_moment_one_is_told(editor: Operator, house: House, clock: ManualClock) -> None:
    number = await begin(editor)
    drafts = [replace(DRAFT, body=f"Text {each}") for each in range(4)]
    saves = [
        house.writing.save(number, draft, began_from=1, by=f"Operator {place}", now=clock.at)
        for place, draft in enumerate(drafts)
    ]
    results = await asyncio.gather(*saves, return_exceptions=True)
    assert [isinstance(each, Overtaken) for each in results].count(True) == 3
    assert not [each for each in results if isinstance(each, Exception) and not isinstance(each, Overtaken)]


async def test_the_editor_says_who_else_has_it_open(hire: Hire, site: Site, clock: ManualClock) -> None:
    ada, ben = await hire("owner"), await hire("editor")
    number = await begin(ada)
    alone = await (await ada.get(f"/console/campaigns/{number}/edit")).text()
    assert re.search(r'id="others"[^>]* hidden', alone)
    both = await (await ben.get(f"/console/campaigns/{number}/edit")).text()
    assert not re.search(r'id="others"[^>]* hidden', both)
    assert '<span id="other-names">Owner</span>' in both
    told = await (await ada.post(f"/console/campaigns/{number}/present")).json()
    assert told == {"others": ["Editor"]}
    clock.move(minutes=3)
    assert await (await ada.post(f"/console/campaigns/{number}/present")).json() == {"others": []}
    assert await site.house.db.fetchval("select count(*) from campaign_open") == 1


# The script.


async def test_the_script_saves_and_is_told_version_and_fault(editor: Operator, house: House) -> None:
    number = await begin(editor)
    path = f"/console/campaigns/{number}/autosave"
    saved = await (await editor.post(path, typed(1), headers=PROGRAM)).json()
    assert saved == {"version": 2, "fault": None, "others": []}
    broken = await (await editor.post(path, typed(2, body="Dear\n{{ nmae }}"), headers=PROGRAM)).json()
    assert (broken["version"], broken["fault"]["line"]) == (3, 2)
    same = await (await editor.post(path, typed(2, body="Dear\n{{ nmae }}"), headers=PROGRAM)).json()
    assert same["version"] == 3, "nothing new is no version"
    old = await editor.post(path, typed(1, body="x"), headers=PROGRAM)
    assert (old.status, (await old.json())["error"]["code"]) == (409, "conflict")


async def test_the_script_is_told_when_the_session_has_ended(editor: Operator, house: House, clock: ManualClock) -> None:
    number = await begin(editor)
    clock.move(hours=3)
    answer = await editor.post(f"/console/campaigns/{number}/autosave", typed(1, body="Typed later"), headers=PROGRAM)
    assert (answer.status, (await answer.json())["error"]["code"]) == (401, "signed_out")
    kept = await save(editor, number, 1, body="Typed later")
    assert kept.status == 401
    assert "Typed later" in (Page(await kept.text()).field("kept")["value"] or "")
    assert await body_of(house, number) == ""


async def test_one_sitting_is_one_line_in_the_log(editor: Operator, clock: ManualClock) -> None:
    number = await begin(editor)
    for version in range(1, 6):
        await save(editor, number, version, body=f"Text {version}")
        clock.move(minutes=5)
    clock.move(minutes=40)
    await save(editor, number, 6, body="After lunch")
    lines = [action for action, _ in await editor.done()]
    assert lines.count("campaign.write") == 1


# Versions.


async def test_an_earlier_version_is_restored_and_the_current_one_kept(editor: Operator, house: House) -> None:
    number = await begin(editor)
    await save(editor, number, 1, body="First")
    await save(editor, number, 2, body="Second")
    page = await editor.page(f"/console/campaigns/{number}/versions?language=en&version=2")
    assert "First" in page.words
    answer = await editor.post(f"/console/campaigns/{number}/versions/restore", {"language": "en", "version": "2"})
    assert answer.status == 303
    assert await body_of(house, number) == "First"
    assert [each.version for each in await house.writing.versions(number, "en")] == [4, 3, 2, 1]
    gone = await editor.post(f"/console/campaigns/{number}/versions/restore", {"language": "en", "version": "99"})
    assert gone.status == 404


async def test_what_a_program_wrote_is_a_version_when_it_is_replaced(
    editor: Operator, house: House, clock: ManualClock
) -> None:
    number = await house.campaigns.create(NewCampaign("letter", "By API", (DRAFT,)), by="api", now=clock.at)
    await save(editor, number, 1, body="By hand")
    lines = await house.writing.versions(number, "en")
    assert [(each.version, each.saved_by) for each in lines] == [(2, "Editor"), (1, "")]
    assert (await house.writing.version(number, "en", 1)).body == DRAFT.body


async def test_old_versions_are_thinned_out_with_the_saves(editor: Operator, house: House, clock: ManualClock) -> None:
    number = await begin(editor)
    for version in range(1, 9):
        await house.writing.save(
            number, replace(DRAFT, body=f"Text {version}"), began_from=version, by="Editor", now=clock.move(seconds=30)
        )
    assert len(await house.writing.versions(number, "en")) == 9
    clock.move(days=2)
    await house.writing.save(number, replace(DRAFT, body="Later"), began_from=9, by="Editor", now=clock.at)
    assert [each.version for each in await house.writing.versions(number, "en")] == [10, 9]


async def test_the_name_of_somebody_who_is_gone_goes_with_them(editor: Operator, house: House) -> None:
    number = await begin(editor)
    await save(editor, number)
    await editor.post("/console/layouts/new", layout())
    await house.db.execute("delete from operator")
    assert {each.saved_by for each in await house.writing.versions(number, "en")} == {""}
    for table in ("campaign_version", "campaign_open", "layout", "campaign"):
        assert not await house.db.fetchval(f"select exists (select from {table} t where t::text like '%Editor%')"), table


async def test_a_campaign_is_renamed(editor: Operator, house: House) -> None:
    number = await begin(editor)
    assert (await editor.post(f"/console/campaigns/{number}/name", {"name": "December"})).status == 303
    assert (await editor.page(f"/console/campaigns/{number}/edit")).heading == "December"
    refused = await editor.post(f"/console/campaigns/{number}/name", {"name": ""})
    assert refused.status == 422


# The preview.


async def test_a_preview_has_a_policy_of_its_own_and_loads_nothing_from_elsewhere(editor: Operator) -> None:
    number = await begin(editor)
    form = typed(1, body='<p onclick="x()">Dear {{ name }}</p><script>alert(1)</script><img src="https://a.example/x.png">')
    answer = await editor.post(f"/console/campaigns/{number}/preview", form | {"format": "html", "reader": "Zoe <b>"})
    text = await answer.text()
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox ")
    for part in ("default-src 'none'", "img-src 'self'", "style-src 'unsafe-inline'", "frame-ancestors 'self'"):
        assert part in policy
    assert "script-src" not in policy
    assert "allow-same-origin" not in policy
    assert "Dear Zoe &lt;b&gt;" in text
    assert "<script" not in text
    assert "onclick" not in text


async def test_a_preview_shows_what_is_typed_and_saves_nothing(editor: Operator, house: House) -> None:
    number = await begin(editor)
    path = f"/console/campaigns/{number}/preview"
    for view, holds in (
        ("desktop", "@media not all"),
        ("dark", "@media all"),
        ("text", "<pre>"),
        ("nonsense", "@media not all"),
    ):
        assert holds in await (await editor.post(path, typed(1) | {"view": view})).text()
    wrong = await (await editor.post(path, typed(1, body="{{ <b>nmae }}"))).text()
    assert "&lt;b&gt;" in wrong
    assert await body_of(house, number) == ""
    await save(editor, number)
    assert "see you at the slip" in await (await editor.get(f"{path}?language=en&view=text&reader=")).text()
    assert "no language" in await (await editor.get(f"{path}?language=xx")).text()


async def test_who_wrote_last_is_forgotten_though_nobody_opens_anything(
    editor: Operator, house: House, clock: ManualClock
) -> None:
    number = await begin(editor)
    await editor.page(f"/console/campaigns/{number}/edit")
    jobs = Schedule(house.db, house.clock, campaign_jobs(house.scheduling, house.reporting, house.writing), worker="test")
    count = "select count(*) from campaign_open"
    clock.move(minutes=1)
    assert "campaigns:open" in await jobs.run_due()
    assert await house.db.fetchval(count) == 1
    clock.move(minutes=6)
    await jobs.run_due()
    assert await house.db.fetchval(count) == 0


# Tests.


async def test_a_test_goes_to_each_address_and_says_what_the_relay_said(editor: Operator, site: Site, house: House) -> None:
    number = await begin(editor)
    addresses = "ada@example.org, ben@example.org\nnonsense"
    answer = await editor.post(f"/console/campaigns/{number}/test", typed(1) | {"addresses": addresses})
    text = await answer.text()
    assert answer.status == 200
    assert text.count("taken by the relay") == 2
    assert "not a complete email address" in text
    assert {mail.recipients[0] for mail in await site.mailbox.messages()} == {"ada@example.org", "ben@example.org"}
    assert await body_of(house, number) == DRAFT.body, "it was saved first"
    rows = await house.db.fetch("select target from audit_log where action = 'campaign.test'")
    assert [row["target"] for row in rows] == [f"campaign {number}"] * 2
    for table in ("audit_log", "campaign", "campaign_content", "campaign_version"):
        assert not await house.db.fetchval(f"select exists (select from {table} t where t::text like '%ada@%')")


async def test_a_test_says_of_each_address_why_it_was_not_sent(
    editor: Operator, site: Site, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "MOST", 1)
    await house.suppressing.add("ben@example.org", Reason.OBJECTED, slug=None, by="test", now=house.clock.now())
    number = await begin(editor)
    addresses = "ben@example.org ada@example.org cleo@example.org"
    text = await (await editor.post(f"/console/campaigns/{number}/test", typed(1) | {"addresses": addresses})).text()
    assert "whoever has it does not want mail" in text
    assert "test mails within an hour" in text
    assert [mail.recipients for mail in await site.mailbox.messages()] == [("ada@example.org",)]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"addresses": " "}, "one address at least"),
        ({"addresses": " ".join(f"a{each}@example.org" for each in range(6))}, "5 addresses at most"),
        ({"addresses": "ada@example.org", "body": "{{ nmae }}"}, "No test was sent"),
    ],
)
async def test_a_test_that_cannot_be_sent_says_so_and_loses_nothing(
    editor: Operator, site: Site, fields: dict[str, str], said: str
) -> None:
    number = await begin(editor)
    answer = await editor.post(f"/console/campaigns/{number}/test", typed(1) | fields)
    text = await answer.text()
    assert answer.status == 422
    assert said in text
    assert escape(fields["addresses"].strip()) in text
    assert await site.mailbox.messages() == []


# Layouts.


def layout(**fields: str) -> dict[str, str]:
    return {
        "name": "Monthly",
        "subject": "",
        "preheader": "",
        "format": "markdown",
        "body": "# {{ list.name }}\n\nHello",
    } | fields


async def test_a_campaign_begins_from_a_layout_and_keeps_its_text(editor: Operator, house: House) -> None:
    assert location(await editor.post("/console/layouts/new", layout(subject="News"))) == "/console/layouts?done=layout_made"
    assert "Monthly" in (await editor.page("/console/layouts")).words
    number = await begin(editor, layout="1")
    assert await body_of(house, number) == layout()["body"]
    assert (await editor.page(f"/console/campaigns/{number}/edit")).field("subject")["value"] == "News"
    await editor.post("/console/layouts/1", layout(version="1", body="Other"))
    assert location(await editor.post("/console/layouts/1/copy")) == "/console/layouts/2?done=layout_copied"
    assert (await editor.page("/console/layouts/2")).heading == "Monthly (copy)"
    assert (await editor.post("/console/layouts/1/delete")).status == 303
    assert (await editor.get("/console/layouts/1")).status == 404
    assert await body_of(house, number) == layout()["body"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"body": "Hello\n{{ nmae }}"}, "line 2"),
        ({"body": " "}, "no body"),
        ({"name": ""}, "needs a name"),
        ({"subject": "{{ nmae }}"}, "nmae"),
        ({"name": "Taken"}, "of this name already"),
    ],
)
async def test_a_layout_is_checked_like_content_and_what_was_typed_stays(
    editor: Operator, house: House, fields: dict[str, str], said: str
) -> None:
    await editor.post("/console/layouts/new", layout(name="Taken"))
    answer = await editor.post("/console/layouts/new", layout(**fields))
    text = await answer.text()
    assert answer.status == 422
    assert said in Page(text).words
    assert text_in(text) == escape(layout(**fields)["body"], quote=False).replace('"', "&#34;")
    assert await house.db.fetchval("select count(*) from layout") == 1


async def test_of_two_people_who_save_a_layout_the_second_sees_both(editor: Operator) -> None:
    await editor.post("/console/layouts/new", layout())
    assert (await editor.post("/console/layouts/1", layout(version="1", body="First"))).status == 303
    second = await editor.post("/console/layouts/1", layout(version="1", body="Second"))
    text = await second.text()
    assert second.status == 409
    assert "First" in text
    assert text_in(text) == "Second"
    assert Page(text).field("version")["value"] == "2"


async def test_the_preview_of_a_layout_is_a_letter(editor: Operator) -> None:
    shown = await editor.post("/console/layouts/preview", layout())
    assert "Name of the list" in await shown.text()
    assert shown.headers["Content-Security-Policy"].startswith("sandbox ")
    assert "Line 1" in await (await editor.post("/console/layouts/preview", layout(body="[a](b)"))).text()


# Hostile content.


async def test_nothing_that_is_typed_reaches_a_page_unescaped(editor: Operator, house: House, clock: ManualClock) -> None:
    number = await begin(editor, name=HOSTILE)
    hostile = typed(1, subject=HOSTILE, preheader=HOSTILE, body=HOSTILE, reader=HOSTILE, addresses=HOSTILE, view=HOSTILE)
    pages = [
        await editor.post(f"/console/campaigns/{number}/test", hostile),
        await editor.post(f"/console/campaigns/{number}/edit", hostile | {"version": "0", "body": "x"}),
        await editor.post(
            "/console/campaigns/new", {"name": HOSTILE * 9, "list": "letter", "language": HOSTILE, "layout": HOSTILE}
        ),
        await editor.post(f"/console/campaigns/{number}/name", {"name": HOSTILE * 9}),
        await editor.post("/console/layouts/new", layout(name=HOSTILE, subject=HOSTILE, preheader=HOSTILE, body=HOSTILE)),
        await editor.post("/console/layouts/new", layout(name=HOSTILE)),
    ]
    paths = ("campaigns/new", "layouts", "layouts/1", *(f"campaigns/{number}/{each}" for each in HOSTILE_PAGES))
    pages += [await editor.get(f"/console/{path}") for path in paths]
    forms = (hostile, hostile | {"view": "text"}, hostile | {"format": "html", "view": "dark"})
    pages += [await editor.post(f"/console/campaigns/{number}/preview", form) for form in forms]
    await house.db.execute("update campaign_content set version = 9 where campaign_id = $1", number)
    pages.append(await editor.post(f"/console/campaigns/{number}/edit", typed(1)))
    for answer in pages:
        if answer.status != 303:
            text = await answer.text()
            assert answer.status < 500
            assert "<script>alert" not in text, answer.url
            assert not re.search(r"<[^>]*\sonerror=", re.sub(r'"[^"]*"', "", text)), answer.url
            assert "49" not in re.findall(r"<h1>(.*?)</h1>", text, re.DOTALL)


async def test_the_service_refuses_what_a_form_cannot_even_send(house: House, editor: Operator, clock: ManualClock) -> None:
    number = await begin(editor)
    with pytest.raises(InvalidInput):
        await house.writing.save(number, replace(DRAFT, language="e\0"), began_from=0, by="x", now=clock.at)
    assert (await editor.get("/console/campaigns/999/edit")).status == 404
    for page in ("edit?language=%00", "versions?language=%00", "versions?language=en%00&version=9"):
        assert (await editor.get(f"/console/campaigns/{number}/{page}")).status == 400
    assert (await editor.get(f"/console/campaigns/{number}/versions?language=fr&version=9")).status == 404


async def test_whoever_loses_the_right_while_writing_gets_the_text_back_to_copy(
    editor: Operator, owner: Operator, house: House, clock: ManualClock
) -> None:
    number = await begin(editor)
    await house.accounts.change_role(editor.operator_id, "viewer", by=owner.name, now=clock.at)
    answer = await save(editor, number, body="Dear <b>reader</b>, what I wrote")
    text = await answer.text()
    assert answer.status == 403
    assert "Dear &lt;b&gt;reader&lt;/b&gt;, what I wrote" in text
    assert "Nothing of it was saved" in text
