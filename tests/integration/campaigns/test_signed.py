"""Where a sender has an active key, every mail of theirs is signed: letters, single mails and test mails."""

from __future__ import annotations

import dkim
import pytest

from newsletter.app import House
from newsletter.campaigns.content import Draft, Format
from newsletter.campaigns.service import NewCampaign
from newsletter.consent.service import Origin
from newsletter.delivery.signing import DkimKeys
from newsletter.dev.mailbox import Mailbox
from newsletter.operators.service import audit
from newsletter.subscribing.joining import SignupForm
from newsletter.subscribing.lists import ListText, NewList, NewSender, create_list
from tests.conftest import SECRET

DRAFT = Draft("en", "The long tide", "", Format.MARKDOWN, "Dear {{ name }},\n\nsee you at the slip.\n\n. . .\n")
NEW = NewCampaign("letter", "November", (DRAFT,))


class Zone:
    """DNS, as far as keys go."""

    def __init__(self) -> None:
        self.records: dict[str, str] = {}

    async def look_up(self, name: str) -> list[str]:
        return [self.records[name]] if name in self.records else []

    def vouches_for(self, message: bytes) -> bool:
        def answer(name: bytes, timeout: int = 5) -> bytes | None:
            return self.records.get(name.decode().removesuffix("."), "").encode() or None

        return bool(dkim.verify(message, dnsfunc=answer))


@pytest.fixture
async def zone(house: House) -> Zone:
    """A list whose sender has an active key."""
    zone, now = Zone(), house.clock.now()
    sender = NewSender("Society", "letter@society.example", "Harbour Street 4, Flensburg", "privacy@society.example")
    letter = await create_list(
        house.db, NewList("letter", {"en": ListText("The Letter", "Monthly.")}), sender, base_host=house.host, now=now
    )
    keys = DkimKeys(house.db, SECRET, audit, zone.look_up)
    sender_id = letter.sender.sender_id
    shown = await keys.add(sender_id, selector="news1", domain="society.example", kind="ed25519", pem=None, by="test", now=now)
    zone.records[shown.record_name] = shown.record
    await keys.activate(sender_id, "news1", by="test", now=now)
    return zone


async def confirmed(house: House, mailbox: Mailbox, *addresses: str) -> None:
    for number, address in enumerate(addresses):
        now = house.clock.now()
        await house.joining.request(SignupForm(address, ("letter",), "en", Origin("test"), f"Ada {number} Ü"), now=now)
        assert await house.joining.process_once(now=now)
        row = await house.db.fetchrow("select * from confirmation where used_at is null")
        token = house.links.confirm(row["subscriber_id"], row["confirmation_id"]).rpartition("/")[2]
        await house.confirming.confirm(token, Origin("test"), now=now)


async def test_letters_and_test_mails_are_signed(house: House, mailbox: Mailbox, zone: Zone) -> None:
    await confirmed(house, mailbox, "ada@example.org", "ben@example.org")
    number = await house.campaigns.create(NEW, by="test", now=house.clock.now())
    await house.campaigns.test(number, "me@example.org", by="test", now=house.clock.now())
    await house.campaigns.send(number, by="test", now=house.clock.now())
    worker = house.worker()
    while await worker.run_campaigns_once():
        pass
    sources = [caught.source for caught in await mailbox.messages()]
    assert len(sources) == 3
    assert all(zone.vouches_for(source) for source in sources)
    assert not zone.vouches_for(sources[0].replace(b"slip", b"ship"))


async def test_single_mails_are_signed(house: House, mailbox: Mailbox, zone: Zone) -> None:
    now = house.clock.now()
    await house.joining.request(SignupForm("ada@example.org", ("letter",), "en", Origin("test")), now=now)
    assert await house.joining.process_once(now=now)
    outbox = house.outbox()
    await outbox.run_once()
    await outbox.close()
    (confirmation,) = await mailbox.messages()
    assert zone.vouches_for(confirmation.source)
