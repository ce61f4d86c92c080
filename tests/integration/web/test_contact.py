"""Writing to whoever looks after people's data: a mail that cannot be misused, a line in the register, and nothing left."""

from __future__ import annotations

from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest

from newsletter.app import House
from newsletter.privacy.contact import MOST_PER_NETWORK_HOUR
from newsletter.privacy.service import Retention
from tests.conftest import ManualClock
from tests.integration.web.site import READER, Site, page

CONTACT = "privacy@letters.example"
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
