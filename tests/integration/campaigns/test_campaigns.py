"""What operators do with campaigns, on the real database, through a real SMTP server."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from email import message_from_bytes, policy

import asyncpg
import pytest

from newsletter.app import House
from newsletter.campaigns import trials
from newsletter.campaigns.content import Draft, Format
from newsletter.campaigns.service import SLOWER, NewCampaign
from newsletter.campaigns.trials import Unwanted
from newsletter.consent.rules import Reason
from newsletter.consent.service import Origin
from newsletter.core.errors import Conflict, InvalidContent, InvalidInput, NotFound, TooMany
from newsletter.delivery import store as delivery
from newsletter.delivery.batches import claim
from newsletter.delivery.rules import LEASE, DeliveryState
from newsletter.dev.mailbox import Mailbox
from newsletter.subscribing.joining import SignupForm
from newsletter.subscribing.lists import ListText, MailingList, NewList, NewSender, create_list
from newsletter.subscribing.rules import Via
from tests.conftest import ManualClock

BODY = 'Dear {{ name | default: "reader" }},\n\nsee you at the slip.'
DRAFT = Draft("en", "The long tide", "", Format.MARKDOWN, BODY)
NEW = NewCampaign("letter", "November", (DRAFT,))


@pytest.fixture
async def letter(house: House) -> MailingList:
    texts = {"en": ListText("The Letter", "Monthly."), "de": ListText("Der Brief", "Monatlich.")}
    sender = NewSender("Society", "letter@society.example", "Harbour Street 4, Flensburg", "privacy@society.example")
    return await create_list(house.db, NewList("letter", texts), sender, base_host=house.host, now=house.clock.now())


async def subscribe(house: House, address: str, *, name: str = "", language: str = "en", confirm: bool = True) -> None:
    """Through the real services."""
    now = house.clock.now()
    form = SignupForm(address, ("letter",), language, Origin("test"), name)
    await house.joining.request(form, now=now)
    assert await house.joining.process_once(now=now)
    if confirm:
        row = await house.db.fetchrow("select * from confirmation order by requested_at desc, used_at nulls first limit 1")
        token = house.links.confirm(row["subscriber_id"], row["confirmation_id"]).rpartition("/")[2]
        await house.confirming.confirm(token, Origin("test"), now=now)


async def send_all(house: House) -> None:
    """One worker, until there is nothing to do."""
    worker = house.worker()
    while await worker.run_campaigns_once():
        pass


async def test_a_campaign_reaches_every_confirmed_reader_once_and_nobody_else(
    house: House, mailbox: Mailbox, letter: MailingList
) -> None:
    await subscribe(house, "Ada@example.org", name="Ada")
    await subscribe(house, "ben@example.org")
    await subscribe(house, "waiting@example.org", confirm=False)
    number = await house.campaigns.create(NEW, by="test", now=house.clock.now())
    assert await house.campaigns.send(number, by="test", now=house.clock.now()) == 2
    await send_all(house)
    await send_all(house)
    caught = await mailbox.messages()
    assert sorted(mail.recipients[0] for mail in caught) == ["Ada@example.org", "ben@example.org"]
    status = await house.campaigns.status(number)
    assert (status.state, dict(status.totals), status.planned) == ("sent", {"accepted": 2}, 2)


async def test_every_mail_has_the_way_out_in_both_parts_and_in_its_headers(
    house: House, mailbox: Mailbox, letter: MailingList
) -> None:
    await subscribe(house, "ada@example.org", name="Ada <b>")
    number = await house.campaigns.create(NEW, by="test", now=house.clock.now())
    await house.campaigns.send(number, by="test", now=house.clock.now())
    await send_all(house)
    (caught,) = await mailbox.messages()
    mail = message_from_bytes(caught.source, policy=policy.default)
    link = mail["List-Unsubscribe"].strip("<>")
    assert link.startswith("https://news.example.org/unsubscribe/")
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["List-Id"] == "<letter.news.example.org>"
    assert f"List-Unsubscribe: <{link}>\r\n".encode() in caught.source.replace(b"\r\n <", b" <")
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    assert link in text.get_content()
    assert link in html.get_content()
    for part in (text, html):  # The page that asks for an address: a letter gets forwarded.
        assert re.search(r"https://news\.example\.org/data[\s\"]", part.get_content())
    assert "Dear Ada <b>," in text.get_content()
    assert "Dear Ada &lt;b&gt;," in html.get_content()
    gone = await house.leaving.unsubscribe(link.rpartition("/")[2], Via.ONE_CLICK, Origin("test"), now=house.clock.now())
    assert gone.known
    assert gone.erase_at is not None


async def test_a_reader_gets_the_language_they_asked_in_else_the_lists_first(
    house: House, mailbox: Mailbox, letter: MailingList
) -> None:
    await subscribe(house, "ada@example.org", language="de")
    await subscribe(house, "ben@example.org", language="fr")
    german = replace(DRAFT, language="de", subject="Die lange Flut")
    number = await house.campaigns.create(replace(NEW, drafts=(DRAFT, german)), by="test", now=house.clock.now())
    await house.campaigns.send(number, by="test", now=house.clock.now())
    await send_all(house)
    subjects = {mail.recipients[0]: mail.envelope.subject for mail in await mailbox.messages()}
    assert subjects == {"ada@example.org": "Die lange Flut", "ben@example.org": "The long tide"}


@pytest.mark.parametrize(
    ("draft", "line"),
    [
        (replace(DRAFT, body=" \n "), None),
        (replace(DRAFT, subject=""), None),
        (replace(DRAFT, body="Dear\n\n{{ nmae }}"), 3),
        (replace(DRAFT, body="Dear\n{{ name "), 2),
        (replace(DRAFT, body="Dear\n\n{% if name %}x"), 3),
        (replace(DRAFT, subject="x\r\nBcc: ada@example.org"), None),
        (replace(DRAFT, subject="=?utf-8?q?x=0D=0ABcc:_ada@example.org?="), None),
        (replace(DRAFT, language="fr"), None),
    ],
)
async def test_content_that_cannot_become_a_mail_is_refused_at_create_and_leaves_nothing(
    house: House, letter: MailingList, draft: Draft, line: int | None
) -> None:
    with pytest.raises((InvalidContent, InvalidInput)) as refused:
        await house.campaigns.create(replace(NEW, drafts=(draft,)), by="test", now=house.clock.now())
    assert refused.value.line == line
    assert await house.campaigns.overview() == []


@pytest.mark.parametrize(
    ("new", "field", "says"),
    [
        (replace(NEW, drafts=()), "contents", "needs a content in one language at least"),
        (replace(NEW, drafts=(DRAFT, replace(DRAFT, body="another"))), "contents", "two contents for one language"),
        (replace(NEW, name="   "), "name", "a name of 1 to 200 characters"),
        (replace(NEW, name="x" * 201), "name", "a name of 1 to 200 characters"),
        (replace(NEW, name="Nov\r\nBcc: ada@example.org"), "name", "control character"),
        (replace(NEW, name="=?utf-8?q?x?="), "name", r"=\?"),
        (replace(NEW, uncertain_policy="hope"), "uncertain_policy", "resend or leave"),
    ],
)
async def test_a_campaign_that_makes_no_sense_is_refused_and_leaves_nothing(
    house: House, letter: MailingList, new: NewCampaign, field: str, says: str
) -> None:
    with pytest.raises(InvalidInput, match=says) as refused:
        await house.campaigns.create(new, by="test", now=house.clock.now())
    assert refused.value.field == field
    assert await house.campaigns.overview() == []


async def test_what_stands_in_the_way_is_said_as_it_is_now(house: House, letter: MailingList) -> None:
    """Two operators at once: the one who comes second is told what the first has made of it."""
    now = house.clock.now()
    number = await house.campaigns.create(NEW, by="test", now=now)
    await house.campaigns.send(number, by="test", now=now)
    async with house.db.transaction() as other:
        await other.execute("update campaign set state = 'cancelled', finished_at = $1", now)
        pausing = asyncio.create_task(house.campaigns.pause(number, by="test", now=now))
        while not await other.fetchval("select count(*) from pg_locks where not granted"):
            assert not pausing.done()
    with pytest.raises(Conflict, match=f"Campaign {number} is cancelled: there is nothing to pause"):
        await pausing


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel"])
async def test_workers_are_told_at_once_of_what_an_operator_decides(
    house: House, letter: MailingList, database_url: str, verb: str
) -> None:
    now = house.clock.now()
    number = await house.campaigns.create(NEW, by="test", now=now)
    await house.campaigns.send(number, by="test", now=now)
    if verb == "resume":
        await house.campaigns.pause(number, by="test", now=now)
    heard = asyncio.Event()
    worker = await asyncpg.connect(database_url)
    await worker.add_listener("newsletter_work", lambda *_: heard.set())
    await getattr(house.campaigns, verb)(number, by="test", now=now)
    await asyncio.wait_for(heard.wait(), 5)
    await worker.close()


async def test_a_campaign_is_sent_once_however_often_it_is_asked_for(house: House, letter: MailingList) -> None:
    number = await house.campaigns.create(NEW, by="test", now=house.clock.now())
    sends = [house.campaigns.send(number, by="test", now=house.clock.now()) for _ in range(5)]
    results = await asyncio.gather(*sends, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Conflict"] * 4 + ["int"]


async def test_paused_sends_nothing_resumed_goes_on_cancelled_ends(
    house: House, mailbox: Mailbox, letter: MailingList, clock: ManualClock
) -> None:
    await subscribe(house, "ada@example.org")
    number = await house.campaigns.create(NEW, by="test", now=clock.now())
    with pytest.raises(Conflict, match="draft"):
        await house.campaigns.pause(number, by="test", now=clock.now())
    await house.campaigns.send(number, by="test", now=clock.now())
    await house.campaigns.pause(number, by="test", now=clock.now())
    await send_all(house)
    assert await mailbox.messages() == []
    await house.campaigns.resume(number, by="test", now=clock.now())
    await house.campaigns.cancel(number, by="test", now=clock.now())
    await send_all(house)
    assert await mailbox.messages() == []
    with pytest.raises(Conflict, match="cancelled"):
        await house.campaigns.resume(number, by="test", now=clock.now())


async def test_paused_in_the_instant_that_it_ends_it_is_sent_and_not_stuck(house: House, letter: MailingList) -> None:
    """The worker has seen that nothing is left; before it says so, the operator pauses."""
    now = house.clock.now()
    number = await house.campaigns.create(NEW, by="test", now=now)
    await house.campaigns.send(number, by="test", now=now)
    batch = await claim(house.db, worker="test", lease=LEASE, now=now)
    assert batch is not None
    await house.campaigns.pause(number, by="test", now=now)
    await delivery.finish_batch(house.db, batch)
    await delivery.finish_campaign(house.db, campaign_id=number, now=now)
    assert (await house.campaigns.status(number)).state == "sent"


async def test_a_test_goes_to_one_address_and_stores_nothing_of_it(house: House, mailbox: Mailbox, letter: MailingList) -> None:
    number = await house.campaigns.create(NEW, by="test", now=house.clock.now())
    outcome = await house.campaigns.test(number, "Me@example.org", by="test", now=house.clock.now(), name="Me")
    assert outcome.state is DeliveryState.ACCEPTED
    (caught,) = await mailbox.messages()
    assert caught.envelope.recipients == ("Me@example.org",)
    link = str(message_from_bytes(caught.source, policy=policy.default)["List-Unsubscribe"]).strip("<>")
    answer = await house.leaving.unsubscribe(link.rpartition("/")[2], Via.LINK, Origin("test"), now=house.clock.now())
    assert not answer.known
    assert await house.db.fetchval("select count(*) from subscriber") == 0


@pytest.mark.parametrize("subject", ["The long tide", "The long tide, {{ name }}"])
async def test_a_test_says_so_in_its_subject_and_the_real_mail_does_not(
    house: House, mailbox: Mailbox, letter: MailingList, subject: str
) -> None:
    now = house.clock.now()
    number = await house.campaigns.create(replace(NEW, drafts=(replace(DRAFT, subject=subject),)), by="test", now=now)
    await house.campaigns.test(number, "me@example.org", by="test", now=now, name="Ada")
    (caught,) = await mailbox.messages()
    line = subject.replace("{{ name }}", "Ada")
    assert caught.envelope.subject == f"[Test] {line}"
    real = await house.campaigns.preview(number, now=now, name="Ada")
    assert real.words.subject == line
    assert b"[Test]" not in real.message


async def test_a_preview_is_the_finished_mail(house: House, letter: MailingList) -> None:
    number = await house.campaigns.create(NEW, by="test", now=house.clock.now())
    preview = await house.campaigns.preview(number, now=house.clock.now(), name="Ada")
    mail = message_from_bytes(preview.message, policy=policy.default)
    assert mail["Subject"] == preview.words.subject == "The long tide"
    assert "Dear Ada," in preview.words.text
    assert mail["Message-ID"]


async def test_a_preview_says_when_a_content_is_worked_out_for_each_reader(house: House, letter: MailingList) -> None:
    german = replace(DRAFT, language="de", body="Hallo {{ name }}")
    number = await house.campaigns.create(replace(NEW, drafts=(DRAFT, german)), by="test", now=house.clock.now())
    previews = {each: await house.campaigns.preview(number, now=house.clock.now(), language=each) for each in ("en", "de")}
    assert previews["en"].notes == (SLOWER,)
    assert previews["de"].notes == ()


@pytest.mark.parametrize("reason", [Reason.OBJECTED, Reason.REFUSED])
async def test_no_test_goes_to_whoever_wants_no_mail(
    house: House, mailbox: Mailbox, letter: MailingList, reason: Reason
) -> None:
    now = house.clock.now()
    number = await house.campaigns.create(NEW, by="ops", now=now)
    await house.suppressing.add("ada@example.org", reason, slug=None, by="ops", now=now)
    with pytest.raises(Unwanted, match="does not want mail"):
        await house.campaigns.test(number, "Ada@Example.org", by="ops", now=now)
    assert await mailbox.messages() == []
    await house.campaigns.test(number, "ben@example.org", by="ops", now=now)


async def test_an_operator_sends_some_tests_an_hour_and_no_more(
    house: House, mailbox: Mailbox, letter: MailingList, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "MOST", 3)
    number = await house.campaigns.create(NEW, by="ops", now=clock.at)
    many = (house.campaigns.test(number, f"me{each}@example.org", by="ops", now=clock.at) for each in range(6))
    results = await asyncio.gather(*many, return_exceptions=True)
    assert [isinstance(each, TooMany) for each in results].count(True) == 3
    assert len(await mailbox.messages()) == 3
    await house.campaigns.test(number, "me@example.org", by="somebody else", now=clock.at)
    clock.move(hours=1)
    await house.campaigns.test(number, "me@example.org", by="ops", now=clock.at)


async def test_what_operators_did_is_in_the_audit_log_without_any_address(house: House, letter: MailingList) -> None:
    number = await house.campaigns.create(NEW, by="ops", now=house.clock.now())
    await house.campaigns.test(number, "me@example.org", by="ops", now=house.clock.now())
    await house.campaigns.send(number, by="ops", now=house.clock.now())
    rows = await house.db.fetch("select operator, action, target from audit_log order by audit_id")
    assert [tuple(row) for row in rows] == [
        ("ops", f"campaign.{verb}", f"campaign {number}") for verb in ("create", "test", "send")
    ]


async def test_a_campaign_that_does_not_exist_is_said_to_be_missing(house: House) -> None:
    for number in (0, 7, 2**40):
        with pytest.raises(NotFound):
            await house.campaigns.status(number)
