"""What visitors, readers and workers do, through the real services, for tests that are about what comes of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from newsletter.app import House
from newsletter.consent.service import Origin
from newsletter.core.addresses import parse_address
from newsletter.dev.letters import Letter
from newsletter.dev.mailbox import Mailbox
from newsletter.jobs.schedule import Schedule, retention_jobs
from newsletter.subscribing.confirming import Confirmable
from newsletter.subscribing.joining import SignupForm
from newsletter.subscribing.leaving import Unsubscribed
from newsletter.subscribing.lists import ListText, MailingList, NewList, NewSender, create_list
from newsletter.subscribing.rules import Via
from tests.conftest import ManualClock

WEB = Origin("https://news.example.org/subscribe/letter", "192.0.2.77", "Testbrowser/1.0")
NORTHWIND = NewSender(
    "Northwind Society", "letter@northwind.example", "Harbour Street 4, 24937 Flensburg", "privacy@northwind.example"
)


class People:
    """Two lists of one sender, `letter` and `digest`; whoever signs up; and one worker, whose steps are taken by hand."""

    letter: MailingList
    digest: MailingList

    def __init__(self, house: House, clock: ManualClock, mailbox: Mailbox) -> None:
        self.house = house
        self.clock = clock
        self.mailbox = mailbox
        self.outbox = house.outbox()
        self._closing = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._closing.push_async_callback(self.outbox.close)
        self.letter = await self._make("letter", NORTHWIND, en="The Northwind Letter", de="Der Nordwindbrief")
        self.digest = await self._make("digest", NORTHWIND.name, en="The Digest")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._closing.aclose()

    async def _make(self, slug: str, sender: NewSender | str, **names: str) -> MailingList:
        texts = {language: ListText(name, "Once a month.") for language, name in names.items()}
        return await create_list(self.house.db, NewList(slug, texts), sender, base_host=self.house.host, now=self.clock.at)

    def id_of(self, address: str) -> UUID:
        return self.house.keyring.subscriber_id(parse_address(address).normal)

    # What visitors do.

    async def ask_for_data(self, address: str, *, language: str = "en") -> None:
        """Hand in the form that asks for the link; nobody has decided on it yet."""
        await self.house.asking.request(address, language, WEB.network, now=self.clock.at)

    async def request(
        self, address: str, *slugs: str, name: str = "", language: str = "en", origin: Origin = WEB
    ) -> list[MailingList]:
        """Hand in the form."""
        form = SignupForm(address, slugs or ("letter",), language, origin, name)
        return await self.house.joining.request(form, now=self.clock.at)

    async def sign_up(
        self, address: str, *slugs: str, name: str = "", language: str = "en", origin: Origin = WEB
    ) -> str | None:
        """Hand in the form and let a worker decide on it; the token of the confirmation that it asks for, if it asks."""
        await self.request(address, *slugs, name=name, language=language, origin=origin)
        before = await self.confirm_token(address)
        await self.decide()
        after = await self.confirm_token(address)
        return None if after == before else after

    async def confirm_token(self, address: str) -> str | None:
        """Of the newest confirmation mail in the queue; `letters` says what it was when it has been sent."""
        about = await self.house.db.fetchval(
            "select about from outbox where subscriber_id = $1 and kind = 'confirm' order by outbox_id desc limit 1",
            self.id_of(address),
        )
        return about and token_in(self.house.links.confirm(self.id_of(address), about))

    async def confirm(self, token: str) -> Confirmable:
        return await self.house.confirming.confirm(token, WEB, now=self.clock.at)

    async def refuse(self, token: str) -> Confirmable:
        return await self.house.confirming.refuse(token, WEB, now=self.clock.at)

    async def reader(self, address: str, *slugs: str, name: str = "", language: str = "en") -> UUID:
        """Somebody who has confirmed."""
        token = await self.sign_up(address, *slugs, name=name, language=language)
        assert token is not None
        await self.confirm(token)
        return self.id_of(address)

    def unsubscribe_token(self, address: str, slug: str = "letter") -> str:
        """As it stands in every letter of that list, for ever."""
        mailing_list = {"letter": self.letter, "digest": self.digest}[slug]
        return token_in(self.house.links.unsubscribe(self.id_of(address), mailing_list.list_id))

    async def unsubscribe(self, address: str, slug: str = "letter", via: Via = Via.LINK) -> Unsubscribed:
        return await self.house.leaving.unsubscribe(self.unsubscribe_token(address, slug), via, WEB, now=self.clock.at)

    async def undo(self, token: str | None) -> MailingList:
        assert token is not None
        return await self.house.leaving.undo(token, WEB, now=self.clock.at)

    async def erase_now(self, token: str | None) -> MailingList:
        assert token is not None
        return await self.house.leaving.erase_now(token, now=self.clock.at)

    # What a worker does.

    async def decide(self) -> int:
        """Decide on all requests that are due; how many there were."""
        count = 0
        while await self.house.joining.process_once(now=self.clock.at):
            count += 1
        while await self.house.asking.process_once(now=self.clock.at):
            count += 1
        return count

    async def letters(self, address: str | None = None) -> list[Letter]:
        """Send what is in the outbox; all that was caught so far (for that address), newest first."""
        while await self.outbox.run_once():
            pass
        await self.outbox.finish()
        return [letter for letter in await self.mailbox.messages() if address is None or address in letter.recipients]

    async def tick(self, *, worker: str = "worker") -> list[str]:
        """One look at the schedule; the names of the jobs that ran."""
        return await Schedule(self.house.db, self.clock, retention_jobs(self.house.retention), worker=worker).run_due()

    async def pass_time(self, by: timedelta, *, tick: timedelta) -> None:
        """Let time pass as it does in production: with a tick every so often."""
        end = self.clock.at + by
        while self.clock.at < end:
            self.clock.at = min(end, self.clock.at + tick)
            await self.tick()

    # What is so.

    async def states(self, address: str) -> dict[str, str]:
        """Of each of the person's subscriptions, by the list's short name."""
        rows = await self.house.db.fetch(
            "select l.slug, s.state from subscription s join list l using (list_id) where s.subscriber_id = $1",
            self.id_of(address),
        )
        return {row["slug"]: row["state"] for row in rows}

    async def is_known(self, address: str) -> bool:
        return bool(await self.count("subscriber", "subscriber_id = $1", self.id_of(address)))

    async def left_at(self, address: str) -> Any:
        return await self.house.db.fetchval("select left_at from subscriber where subscriber_id = $1", self.id_of(address))

    async def events(self, address: str) -> list[str]:
        """The person's evidence, in order."""
        rows = await self.house.db.fetch(
            "select kind from consent_event where subscriber_id = $1 order by event_id", self.id_of(address)
        )
        return [row["kind"] for row in rows]

    async def suppressions(self, address: str) -> set[tuple[int, str]]:
        rows = await self.house.db.fetch(
            "select list_id, reason from suppression where subscriber_id = $1", self.id_of(address)
        )
        return {(row["list_id"], row["reason"]) for row in rows}

    async def count(self, table: str, where: str = "true", *arguments: Any) -> int:
        return int(await self.house.db.fetchval(f"select count(*) from {table} where {where}", *arguments))


def token_in(url: str) -> str:
    return url.rpartition("/")[2]


def links_in(text: str | None) -> Sequence[str]:
    return re.findall(r"https?://[^\s<>\"]+", text or "")


async def add_readers(house: House, count: int, *, domain: str = "example.org", slug: str = "letter") -> None:
    """Confirmed ones at once, reader0 and so on at that domain, with nothing behind them."""
    addresses = [f"reader{number}@{domain}" for number in range(count)]
    await house.db.execute(
        """with people as (select * from unnest($1::uuid[], $2::text[]) as p(id, address)),
                added as (insert into subscriber (subscriber_id, address, domain, language, created_at)
                          select id, address, split_part(address, '@', 2), 'en', $3 from people)
           insert into subscription (subscriber_id, list_id, state, language, requested_at, confirmed_at)
           select id, (select list_id from list where slug = $4), 'confirmed', 'en', $3, $3 from people""",
        [house.keyring.subscriber_id(address) for address in addresses],
        addresses,
        house.clock.now(),
        slug,
    )
