"""Writing to whoever looks after people's data: a mail that cannot be misused, a line in the register, and nothing left."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from gettext import NullTranslations

import pytest
from pydantic import SecretStr

from newsletter.app import House
from newsletter.consent.service import Origin
from newsletter.core.errors import NotFound
from newsletter.delivery.store import claim_mails, fail_mail
from newsletter.privacy import store
from newsletter.privacy.contact import MOST_PER_NETWORK_HOUR
from newsletter.privacy.rights import Actor
from newsletter.privacy.service import Retention
from newsletter.subscribing.rules import Via
from tests.conftest import ManualClock
from tests.integration.web.site import READER, Site, page
from tests.relay import Say, ScriptedRelay, Stage

CONTACT = "privacy@letters.example"
MOVED = "moved@example.org"
PAGE = Actor(Via.PAGE, Origin("/data"))
MESSAGE = "Please tell me which letters you sent me.\n\nAda"


async def write(site: Site, email: str = READER, message: str = MESSAGE, **fields: str) -> int:
    return (await site.post("/privacy/contact", {"email": email, "message": message, **fields})).status


async def mailed(site: Site) -> EmailMessage:
    await site.work()
    newest = await site.mail_to(CONTACT)
    return message_from_bytes(newest.source, policy=policy.default)


async def test_a_message_reaches_whoever_looks_after_data_and_can_be_answered(site: Site) -> None:
    assert await write(site) == 200
    mail = await mailed(site)
    assert mail["From"] == "Northwind Society <letter@northwind.example>"
    assert mail["Reply-To"] == READER
    assert mail["Subject"] == "A message about personal data"
    text = mail.get_content()
    assert mail.get_content_type() == "text/plain"
    assert "Please tell me which letters you sent me." in text
    assert f"They gave this address to answer to: {READER}" in text
    assert "21 December 2026" in text


async def test_it_stands_in_the_register_and_nothing_else_is_left_once_it_is_handed_over(site: Site) -> None:
    await write(site)
    (line,) = await site.house.register.open()
    assert (line.kind, line.channel, line.note) == ("question", "page", "")
    assert line.due_at - line.received_at == timedelta(days=30)
    await mailed(site)
    rows = await site.database()
    assert rows["contact_message"] == rows["outbox"] == []
    assert len(rows["rights_request"]) == 1
    assert READER not in str(rows)


@pytest.mark.parametrize(
    "message",
    [
        "x\r\nBcc: victim@example.org\r\n\r\nBuy",
        "=?utf-8?q?x=0D=0ABcc:_victim@example.org?=",
        "\r\n.\r\nMAIL FROM:<x@example.org>\r\n",
        "<script>alert(1)</script> <a href='https://evil.example'>x</a>",
        "{address} {until} {{ 7*7 }} %(x)s {% raw %}",
        "\x1b[2J\x00\x07 \u202edeg\u2066 \u200b",
        "x" * 5000,
        "Grüße 🚢 " * 300,
    ],
)
async def test_whatever_is_typed_stays_in_the_body(site: Site, message: str) -> None:
    assert await write(site, message=message) == 200
    mail = await mailed(site)
    assert set(mail.keys()) == {
        "From", "Reply-To", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type",
        "Content-Transfer-Encoding"}  # fmt: skip
    assert mail["To"] == CONTACT
    assert (await site.mail_to(CONTACT)).recipients == (CONTACT,)
    text = mail.get_content()
    assert not set(text) & {"\x1b", "\x00", "\u202e", "\u200b"}
    if "{address}" in message:
        assert "{address} {until} {{ 7*7 }} %(x)s {% raw %}" in text


async def test_an_address_beyond_ascii_is_in_the_text_and_in_no_header(site: Site) -> None:
    """A relay need not take SMTPUTF8, and the message shall arrive."""
    assert await write(site, "zoë@example.org") == 200
    mail = await mailed(site)
    assert mail["Reply-To"] is None
    assert "zoë@example.org" in mail.get_content()


@pytest.mark.parametrize(
    ("email", "message", "field"),
    [
        ("", MESSAGE, "email"), ("x@@y", MESSAGE, "email"), ("a@example.org\r\nBcc: b@example.org", MESSAGE, "email"),
        (READER, "", "message"), (READER, " \n\u200b", "message"), (READER, "x" * 5001, "message"),
    ],
)  # fmt: skip
async def test_what_cannot_be_sent_is_corrected_on_the_page(site: Site, email: str, message: str, field: str) -> None:
    answer = await site.post("/privacy/contact", {"email": email, "message": message})
    shown = await page(answer)
    assert answer.status == 422
    invalid = [each["id"] for each in (*shown.all("input"), *shown.all("textarea")) if each.get("aria-invalid")]
    assert invalid == [field]
    assert (await site.database())["contact_message"] == []


async def test_one_network_can_write_so_often_an_hour(site: Site, clock: ManualClock) -> None:
    for _ in range(MOST_PER_NETWORK_HOUR):
        assert await write(site) == 200
    assert await write(site) == 429
    assert (await site.sign_up()).status == 200  # A limit of its own.
    clock.move(hours=1)
    assert await write(site) == 200


async def test_a_program_that_fills_in_every_field_sends_nothing(site: Site) -> None:
    assert await write(site, comment="x") == 200
    assert (await site.database())["contact_message"] == []


async def test_what_cannot_be_handed_over_is_forgotten_after_a_week(site: Site, clock: ManualClock) -> None:
    await write(site)
    clock.at += timedelta(days=7)
    await keep(site.house.retention, clock, "contact-message", "outbox")
    rows = await site.database()
    assert rows["contact_message"] == rows["outbox"] == []


async def refused(site: Site) -> None:
    """The relay takes no mail to the privacy contact."""
    async with ScriptedRelay() as relay:
        relay.on(Stage.RCPT, Say("550 5.1.1 no such mailbox"))
        url = SecretStr(f"smtp://127.0.0.1:{relay.port}?starttls=never")
        changed = site.house.settings.model_copy(update={"smtp_url": url})
        outbox = House(changed, site.house.db, site.house.keyring, site.house.clock).outbox()
        await outbox.run_once()
        await outbox.finish()
        await outbox.close()


async def test_the_register_tells_of_a_message_that_the_relay_refused_until_it_was_read_and_answered(
    site: Site, clock: ManualClock
) -> None:
    await write(site)
    await refused(site)
    register = site.house.register
    (line,) = await register.open()
    assert (line.mail, line.reply, line.readable_until) == ("refused", "5.1.1 no such mailbox", clock.at + timedelta(days=7))
    message = await register.read(line.number, by="ops", now=clock.at)
    assert (message.address, message.content) == (READER, MESSAGE)
    await register.done(line.number, by="ops", now=clock.at)
    rows = await site.database()
    assert rows["contact_message"] == rows["rights_request"] == []
    actions = await site.house.db.fetch("select action, target from audit_log order by audit_id")
    assert [tuple(row) for row in actions] == [("request.read", "request 1"), ("request.done", "request 1")]


async def test_the_register_goes_on_telling_of_it_when_the_text_is_deleted(site: Site, clock: ManualClock) -> None:
    await write(site)
    clock.at += timedelta(days=7)
    await keep(site.house.retention, clock, "contact-message", "outbox")
    (line,) = await site.house.register.open()
    assert (line.mail, line.readable_until) == ("lost", None)
    with pytest.raises(NotFound):
        await site.house.register.read(line.number, by="ops", now=clock.at)


async def test_it_tells_nothing_of_what_was_handed_over_and_that_the_rest_was_deleted_with_who_wrote_it(
    site: Site, clock: ManualClock
) -> None:
    await write(site)
    (waiting,) = await site.house.register.open()
    assert waiting.mail == "waiting"
    await mailed(site)
    await site.subscribe()
    await write(site)
    await refused(site)
    await write(site)
    await site.house.rights.erase(site.id_of(), by=PAGE, now=clock.at)
    assert [line.mail for line in await site.house.register.open()] == [None, "erased", "erased"]
    rows = await site.database()
    assert rows["contact_message"] == rows["outbox"] == []
    with pytest.raises(NotFound, match="erased before it was mailed"):
        await site.house.register.read(2, by="ops", now=clock.at)


@pytest.mark.parametrize("taken", [True, False])
async def test_who_moves_before_it_is_handed_over_is_answered_at_the_new_address(
    site: Site, clock: ManualClock, *, taken: bool
) -> None:
    await site.subscribe()
    await write(site)
    if not taken:
        await refused(site)
    await site.house.rights.move(site.id_of(), MOVED, by=PAGE, now=clock.at)
    while await site.house.joining.process_once(now=clock.at):
        pass
    about = await site.house.db.fetchval("select about from outbox where subscriber_id = $1", site.id_of(MOVED))
    token = site.house.links.confirm(site.id_of(MOVED), about).rpartition("/")[2]
    await site.house.confirming.confirm(token, Origin("link"), now=clock.at)
    (line,) = await site.house.register.open()
    assert line.mail == ("waiting" if taken else "refused")
    message = await site.house.register.read(line.number, by="ops", now=clock.at)
    assert (message.address, message.content) == (MOVED, MESSAGE)
    held = await site.house.my_data.held(site.id_of(MOVED), now=clock.at)
    assert [(each.kind, each.address) for each in held.handed_in] == [("contact", MOVED)]
    assert READER not in str(await site.database())
    if taken:
        mail = await mailed(site)
        assert (mail["Reply-To"], "Please tell me" in mail.get_content()) == (MOVED, True)


async def test_a_text_that_is_answered_before_its_mail_is_refused_goes_with_the_refusal(site: Site, clock: ManualClock) -> None:
    await write(site)
    await site.house.register.done(1, by="ops", now=clock.at)
    assert len((await site.database())["contact_message"]) == 1, "its mail still waits, and is made from it"
    await refused(site)
    assert (await site.database())["contact_message"] == []


async def somebody_waits(site: Site, other: asyncio.Task[None]) -> None:
    waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    while not await site.house.db.fetchval(waiting):
        assert not other.done()


async def test_a_refusal_while_somebody_closes_the_request_takes_the_text_along(site: Site) -> None:
    await write(site)
    async with site.house.db.transaction() as db:
        await store.request_by_number(db, number=1)
        await store.done_rights_request(db, number=1)
        refusing = asyncio.create_task(refused(site))
        await somebody_waits(site, refusing)
    await refusing
    assert (await site.database())["contact_message"] == []


async def test_closing_a_request_while_its_mail_is_refused_takes_the_text_along(site: Site, clock: ManualClock) -> None:
    await write(site)
    (mail,) = await claim_mails(site.house.db, now=clock.at, lease_until=clock.at + timedelta(minutes=1), size=1)
    async with site.house.db.transaction() as db:
        await fail_mail(db, mail, reply="5.1.1 no such mailbox")
        closing = asyncio.create_task(site.house.register.done(1, by="ops", now=clock.at))
        await somebody_waits(site, closing)
    await closing
    assert (await site.database())["contact_message"] == []


async def test_a_mail_that_waits_is_sent_though_its_request_was_answered(site: Site, clock: ManualClock) -> None:
    await write(site)
    await site.house.register.done(1, by="ops", now=clock.at)
    assert "Please tell me" in (await mailed(site)).get_content()
    assert (await site.database())["contact_message"] == []


async def test_a_refused_message_is_a_warning_in_the_log_and_a_figure(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    await write(site)
    capsys.readouterr()
    await refused(site)
    logged = capsys.readouterr().out
    assert "contact_mail_refused" in logged
    assert not {READER, CONTACT} & set(logged.split())
    told = await (await site.get("/metrics")).text()
    assert 'newsletter_rights_requests{state="open"} 1.0' in told
    assert 'newsletter_rights_requests{state="overdue"} 0.0' in told
    assert 'newsletter_rights_requests{state="refused"} 1.0' in told


async def test_no_single_mail_waits_for_longer_than_the_promise_says(site: Site) -> None:
    await site.post("/data", {"email": "somebody@example.org"})
    await site.sign_up()
    while await site.house.joining.process_once(now=site.house.clock.now()):
        pass
    while await site.house.asking.process_once(now=site.house.clock.now()):
        pass
    await write(site)
    (promise,) = [each for each in site.house.retention.promises if each.name == "outbox"]
    rows = await site.house.db.fetch("select kind, expires_at - created_at as lives from outbox")
    assert {row["kind"] for row in rows} == {"confirm", "data", "contact"}
    assert max(row["lives"] for row in rows) == promise.deadline
    assert f"after {promise.deadline.days} days at most" in promise.sentence(NullTranslations())


async def test_the_register_keeps_a_line_for_a_year_at_most(site: Site, clock: ManualClock) -> None:
    await write(site)
    clock.at += timedelta(days=365) - timedelta(seconds=1)
    await keep(site.house.retention, clock, "rights-request")
    assert len(await site.house.register.open()) == 1
    clock.move(seconds=1)
    await keep(site.house.retention, clock, "rights-request")
    assert await site.house.register.open() == []


async def keep(retention: Retention, clock: ManualClock, *names: str) -> None:
    for promise in retention.promises:
        if promise.name in names:
            await retention.keep(promise, now=clock.at)


async def test_where_nobody_is_named_for_it_the_sender_gets_it(site: Site) -> None:
    changed = site.house.settings.model_copy(update={"privacy_contact": None})
    other = House(changed, site.house.db, site.house.keyring, site.house.clock)
    await write(site)
    outbox = other.outbox()
    await outbox.run_once()
    await outbox.finish()
    await outbox.close()
    assert (await site.mail_to("privacy@northwind.example")).subject == "A message about personal data"
