"""Trust: promises, the policy, requests, suppression, proof of consent."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from newsletter.consent.rules import Reason
from newsletter.consent.service import Origin
from newsletter.consent.withdrawal_log import WithdrawalLog
from newsletter.privacy.policy import Subprocessor
from newsletter.privacy.rights import Actor
from newsletter.subscribing.rules import Via
from tests.conftest import ManualClock
from tests.integration.web.console.conftest import HERE, PASSWORD, Operator, location, words_of
from tests.integration.web.site import READER, Page, Site

HELPER = {
    "name": "Mail GmbH",
    "purpose": "Sends our mail.",
    "country": "Germany",
    "safeguard": "Contract.",
    "hosts": "mail.example",
}


async def test_every_promise_stands_there_with_its_sentence_and_what_is_due(
    viewer: Operator, site: Site, clock: ManualClock
) -> None:
    page = await viewer.page("/console/promises")
    for promise in site.house.retention.promises:
        assert promise.name in page.words
    assert f"All {len(site.house.retention.promises)} promises that delete are kept" in page.words
    assert "If you do not confirm within 24 hours, we delete your address." in page.words
    assert "Nothing of what is here goes in the next 30 days" not in page.words, "the viewer's own session goes tomorrow"


async def test_what_is_overdue_is_counted_and_named(viewer: Operator, site: Site, clock: ManualClock) -> None:
    await site.confirm_path()
    clock.move(hours=26)
    signed_in = await site.house.sessions.sign_in(viewer.address, PASSWORD, HERE, now=clock.at)
    page = await viewer.with_cookie(signed_in.cookie).page("/console/promises")
    assert "are overdue" in page.words
    assert "newsletter work" in page.words


async def test_the_forecast_says_what_to_see_and_has_a_table_behind_it(viewer: Operator, site: Site) -> None:
    await site.confirm_path()
    page = await viewer.page("/console/promises")
    (chart,) = page.all("svg")
    assert chart["role"] == "img"
    assert re.match(r"\d+ records go in the next 30 days, most of them on 22 November 2026\.", chart["aria-label"] or "")
    assert "22 November 2026 unconfirmed 1" in words_of(await (await viewer.get("/console/promises")).text())
    assert len(page.all("rect")) >= 1


async def test_a_restored_backup_is_said_with_what_to_do(viewer: Operator, site: Site, clock: ManualClock) -> None:
    await site.house.db.execute("insert into standstill (reason, since) values ('restored', $1)", clock.at)
    page = await viewer.page("/console/promises")
    assert "Campaigns stand still since 21 November 2026" in page.words
    assert "newsletter privacy replay" in page.words


async def test_the_withdrawal_file_is_shown_as_it_lies_there(
    viewer: Operator, site: Site, clock: ManualClock, tmp_path: Path
) -> None:
    assert "NEWSLETTER_WITHDRAWAL_LOG" in (await viewer.page("/console/promises")).words
    log = WithdrawalLog(site.house.db, site.house.keyring, tmp_path / "withdrawals")
    path = await site.subscribe()
    await site.post(path, {"List-Unsubscribe": "One-Click"})
    assert not (await log.shown()).is_there
    assert await log.write(now=clock.at) == 1
    shown = await log.shown()
    assert (shown.files, shown.octets > 50, shown.changed_at is not None) == (1, True, True)


# The policy.


async def test_the_first_version_is_published_and_a_later_one_asks_whether_readers_are_told(
    owner: Operator, site: Site
) -> None:
    await site.subscribe()
    first = await owner.page("/console/policy")
    assert "No version is published yet" in first.words
    assert not [each for each in first.all("input") if each.get("name") == "tell"]
    assert location(await owner.post("/console/policy/publish")) == "/console/policy?done=published"
    assert "Version 1 is what is true now" in (await owner.page("/console/policy")).words

    await site.house.subprocessors.add(
        Subprocessor("Mail GmbH", "Sends.", "Germany", "Contract.", []), by="x", now=site.house.clock.now()
    )
    page = await owner.page("/console/policy")
    assert "Changed since version 1" in page.words
    assert "Mail 1 reader of 1 list" in page.words
    assert "Mail GmbH" in page.words
    assert "How we treat your address has changed" in page.words, "the mail is there to be read first"
    for fields, said in (
        ({}, "Choose whether readers are told."),
        ({"tell": "mail"}, "This mails 1 reader now"),
        ({"tell": "mail", "readers": "12"}, "This mails 1 reader now"),
        ({"tell": "nobody"}, "Say why readers are not told"),
        ({"tell": "nobody", "reason": "x" * 501}, "Say why readers are not told"),
    ):
        refused = await owner.post("/console/policy/publish", fields)
        assert refused.status == 422
        text = await refused.text()
        assert said in text
        assert fields.get("reason", "")[:20] in text
    assert (
        location(await owner.post("/console/policy/publish", {"tell": "mail", "readers": "1"})) == "/console/policy?done=told"
    )
    assert await site.house.db.fetchval("select count(*) from campaign") == 1
    twice = await owner.post("/console/policy/publish", {"tell": "mail", "readers": "1"})
    assert (twice.status, "Nothing has changed since version 2" in await twice.text()) == (409, True)
    assert ("policy.publish", "policy version 2") in await owner.done()


async def test_who_was_not_told_can_be_told_after_all(owner: Operator, site: Site) -> None:
    await site.subscribe()
    await owner.post("/console/policy/publish")
    await owner.post("/console/policy/subprocessors", HELPER | {"do": "add"})
    assert (await owner.post("/console/policy/publish", {"tell": "nobody", "reason": "A typo <b>only</b>"})).status == 303
    text = await (await owner.get("/console/policy")).text()
    assert "not told: A typo &lt;b&gt;only&lt;/b&gt;" in text
    assert (await owner.post("/console/policy/notify", {"readers": "3"})).status == 422
    assert location(await owner.post("/console/policy/notify", {"readers": "1"})) == "/console/policy?done=told"
    assert (await owner.post("/console/policy/notify", {"readers": "1"})).status == 409
    version = await owner.page("/console/policy/versions/2")
    assert "Mail GmbH" in version.words
    assert "were told" in version.words
    assert (await owner.get("/console/policy/versions/3")).status == 404


async def test_viewers_read_the_policy_and_have_no_buttons(viewer: Operator, owner: Operator) -> None:
    seen = await viewer.page("/console/policy")
    assert "Publish version" not in seen.words
    assert not [target for _, target in seen.addresses if "subprocessors" in target]
    assert "Publish version 1" in (await owner.page("/console/policy")).words


async def test_the_record_of_processing_comes_as_a_file_in_each_language(viewer: Operator) -> None:
    text = await viewer.get("/console/policy/record.md?language=de")
    assert text.headers["Content-Disposition"] == 'attachment; filename="record-of-processing.md"'
    assert (await text.text()).startswith("# Verzeichnis von Verarbeitungstätigkeiten")
    record = json.loads(await (await viewer.get("/console/policy/record.json?language=xx")).text())
    assert record["controller"].startswith("Harbour Society")


async def test_helpers_are_added_changed_and_removed_and_nothing_typed_is_lost(owner: Operator, site: Site) -> None:
    path = "/console/policy/subprocessors"
    hostile = HELPER | {"name": '"><script>x</script>', "hosts": "not a host/"}
    refused = await owner.post(path, hostile | {"do": "add"})
    text = await refused.text()
    assert refused.status == 422
    assert "is not a host name" in text
    assert "<script>x" not in text
    page = Page(text)
    assert page.field("name")["value"] == '"><script>x</script>'
    assert page.field("purpose")["value"] == HELPER["purpose"]
    assert location(await owner.post(path, HELPER | {"do": "add"})) == f"{path}?done=subprocessor_added"
    assert (await owner.post(path, HELPER | {"do": "add"})).status == 409
    await owner.post(path, HELPER | {"do": "edit", "country": "France", "hosts": "a.example, b.example"})
    (kept,) = await site.house.subprocessors.all()
    assert (kept.country, kept.hosts) == ("France", ["a.example", "b.example"])
    wrong = await owner.post(path, HELPER | {"do": "edit", "country": " "})
    assert (wrong.status, Page(await wrong.text()).heading) == (422, "Who helps us")
    assert (await owner.post(path, {"do": "else"})).status == 422
    await owner.post(path, {"do": "remove", "name": "Mail GmbH"})
    assert await site.house.subprocessors.all() == []
    assert (await owner.post(path, {"do": "remove", "name": "Mail GmbH"})).status == 404
    assert [action for action, _ in await owner.done()][-3:] == ["subprocessor.add", "subprocessor.edit", "subprocessor.remove"]


# Requests.


async def test_requests_are_entered_answered_and_marked_when_overdue(editor: Operator, site: Site, clock: ManualClock) -> None:
    path = "/console/requests"
    form = {"kind": "erasure", "channel": "letter", "received": "2026-10-10", "note": "case 7"}
    assert location(await editor.post(path, form)) == f"{path}?done=request_added"
    shown = words_of(await (await editor.get(path)).text())
    assert "to delete it letter 10 October 2026 overdue 10 November 2026 case 7" in shown
    (request,) = await site.house.register.open()
    assert location(await editor.post(f"{path}/{request.number}/done")) == f"{path}?done=request_done"
    again = await editor.post(f"{path}/{request.number}/done")
    assert (again.status, "somebody else has answered it" in await again.text()) == (404, True)
    assert "Nobody waits." in (await editor.page(path)).words


async def test_what_was_written_is_read_where_no_relay_has_taken_it_and_that_is_on_record(editor: Operator, site: Site) -> None:
    path, written = "/console/requests", "<b>What</b> do you hold?"
    form = {"email": READER, "subject": "access", "message": written}
    assert (await site.post("/privacy/contact", form)).status == 200
    shown = await editor.page(path)
    assert ("What was written waits for a relay." in shown.words, READER in shown.words) == (True, False)
    (request,) = await site.house.register.open()
    page = Page(await (await editor.post(f"{path}/{request.number}/read")).text())
    assert (READER in page.words, written in page.words) == (True, True)
    assert ("request.read", f"request {request.number}") in await editor.done()
    assert (await editor.get(f"{path}/{request.number}/read")).status == 405
    await site.house.db.execute("delete from contact_message")
    shown = await editor.page(path)
    assert ("never handed over, and is deleted" in shown.words, "Read it" in shown.words) == (True, False)
    assert (await editor.post(f"{path}/{request.number}/read")).status == 404


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "x"}, "A request is about"),
        ({"received": "2026-13-40"}, "Write the day"),
        ({"received": "2027-01-01"}, "not in the future"),
        ({"note": "ask ada@example.org"}, "names nobody"),
    ],
)
async def test_a_request_that_cannot_be_entered_is_shown_again(change: dict[str, str], said: str, editor: Operator) -> None:
    form = {"kind": "access", "channel": "mail", "received": "2026-11-01", "note": "case 7"} | change
    answer = await editor.post("/console/requests", form)
    text = await answer.text()
    assert (answer.status, said in text) == (422, True)
    page = Page(text)
    assert (page.field("note")["value"], page.field("received")["value"]) == (form["note"], form["received"])
    assert re.search(r'aria-invalid="true"', text)


# Suppression.


async def test_an_address_is_checked_by_a_form_and_only_what_stands_against_it_is_said(
    editor: Operator, site: Site, clock: ManualClock
) -> None:
    await site.house.suppressing.add(READER, Reason.COMPLAINED, slug="letter", by="x", now=clock.at)
    answer = await editor.post("/console/suppression/check", {"email": "Reader@EXAMPLE.org"})
    text = await answer.text()
    assert answer.status == 200
    assert "letter complained to their provider 21 November 2026 20 November 2029" in words_of(text)
    assert not [target for _, target in Page(text).addresses if "reader" in target.lower() and "@" in target]
    nothing = Page(await (await editor.post("/console/suppression/check", {"email": "who@example.org"})).text())
    assert "Nothing stands against mailing it." in nothing.words
    wrong = await editor.post("/console/suppression/check", {"email": "who"})
    assert (wrong.status, "not a complete email address" in await wrong.text()) == (422, True)


async def test_one_is_added_by_hand_and_counted(editor: Operator, site: Site) -> None:
    await site.subscribe()
    form = {"email": READER, "reason": "bounced", "list": "letter"}
    assert location(await editor.post("/console/suppression", form)) == "/console/suppression?done=suppressed"
    assert await site.state() == "unsubscribed"
    assert "the mailbox does not exist letter 1" in words_of(await (await editor.get("/console/suppression")).text())
    for change, status in (({"reason": "restricted"}, 422), ({"reason": ""}, 422), ({"list": "x"}, 422), ({"email": "x"}, 422)):
        assert (await editor.post("/console/suppression", form | change)).status == status, change
    assert (await editor.done())[-1] == ("suppression.add", "bounced, list letter")


# Proof of consent.


async def test_proof_is_opened_with_a_reason_that_is_recorded_and_held_and_released(
    owner: Operator, site: Site, clock: ManualClock
) -> None:
    await site.subscribe()
    await site.house.rights.erase(site.id_of(), by=Actor(Via.OPERATOR, Origin("console"), "x"), now=clock.at)
    without = await owner.post("/console/evidence", {"email": READER, "reason": ""})
    assert (without.status, "Say why" in await without.text()) == (422, True)
    with_address = await owner.post("/console/evidence", {"email": READER, "reason": f"{READER} asks"})
    assert with_address.status == 422
    opened = await owner.post("/console/evidence", {"email": READER, "reason": "case 2026-17"})
    text = words_of(await opened.text())
    assert "2 events Deleted on 21 November 2026; kept until 20 May 2027" in text
    assert "By subscribing you agree" in text
    assert (await owner.done())[-1] == ("evidence.open", "case 2026-17")
    held = await owner.post("/console/evidence/hold", {"email": READER, "reason": "case 2026-17"})
    assert location(held) == "/console/evidence?done=evidence_held"
    assert (
        location(await owner.post("/console/evidence/release", {"email": READER})) == "/console/evidence?done=evidence_released"
    )
    nothing = await owner.post("/console/evidence/hold", {"email": "who@example.org", "reason": "case"})
    assert (nothing.status, Page(await nothing.text()).field("email")["value"]) == (404, "who@example.org")
    assert (await owner.post("/console/evidence/release", {"email": "who@example.org"})).status == 404
    assert not await site.house.db.fetchval(
        "select exists (select from audit_log a where a::text like '%' || $1 || '%')", READER
    )
