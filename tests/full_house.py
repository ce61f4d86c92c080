"""A house in which there is something of everything, for tests that look at every page."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

from aiohttp import web
from PIL import Image, ImageOps

from newsletter.app import House
from newsletter.campaigns.content import Draft, Format
from newsletter.campaigns.layouts import NewLayout
from newsletter.campaigns.service import NewCampaign
from newsletter.consent.rules import Reason
from newsletter.consent.service import Origin
from newsletter.dev.demo import prepare_demo
from newsletter.privacy.policy import Subprocessor
from newsletter.subscribing.joining import SignupForm
from newsletter.web.server import make_app
from tests.people import add_readers
from tests.relay import Say, ScriptedRelay, Stage

BY = "Ada"
READERS = 30
"""That sign up one by one, with all that belongs to it; `FURTHER` stand beside them."""
FURTHER = {"mail.example": 62, "post.example": 41, "example.net": 24}
LETTER = """# Low water at seven

Dear {{ name | default: "reader" }},

the harbour museum opens on Saturday, and **the old crane** turns again for an hour.

![The tide at the slip](/images/tide)

- 10:00 The crane is oiled, and everybody may help
- 11:00 Coffee in the net loft
- 15:00 Low water: we walk to the wreck

[All that happens at the harbour](https://quay.example/events)
"""


@asynccontextmanager
async def serving(house: House, port: int) -> AsyncIterator[None]:
    """On a loopback port, in this process."""
    runner = web.AppRunner(make_app(house.services()), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def furnish(house: House) -> None:
    """Two lists with readers, campaigns in each state, a layout, an image, what trust and house are about."""
    now = house.clock.now()
    await prepare_demo(house)
    await _readers(house)
    await house.db.execute("update list_text set welcome_subject = 'Welcome', welcome_text = 'Hello.' where language = 'en'")
    picture = io.BytesIO()
    evening = ImageOps.colorize(Image.linear_gradient("L").resize((1600, 800)), "#f4c99a", "#1f5f7a", mid="#9cc3cf")
    evening.save(picture, "PNG")
    await house.images.add("tide.png", picture.getvalue(), "The tide at the slip", by=BY, now=now)
    await house.layouts.create(_layout(), by=BY, now=now)
    numbers = [await _draft(house, name) for name in ("December", "New Year", "November", "Harbour fair")]
    await house.scheduling.schedule(numbers[1], f"{now.year + (now.month == 12)}-12-31T10:00", by=BY, now=now)
    await _send(house, numbers[2], {"550 5.1.1 no such user": 7, "552 5.2.2 mailbox full": 5})
    await _send(house, numbers[3], {"451 4.7.1 greylisted, please come back later": 9})
    await house.campaigns.pause(numbers[3], by=BY, now=now)
    await house.reporting.make_due(now=now, before_each=_nothing)
    helper = Subprocessor("Post Ltd", "Delivers our letters", "Norway", "Contract under Art. 28 GDPR", ["smtp.post.example"])
    await house.subprocessors.add(helper, by=BY, now=now)
    await house.policy.publish(notify=False, no_notice=None, by=BY, now=now)
    await house.register.add("access", "letter", note="file 12/2026", by=BY, now=now)
    await house.suppressing.add("left@example.org", Reason.LEFT, slug=None, by=BY, now=now)


async def _send(house: House, number: int, refusals: dict[str, int]) -> None:
    """By a worker that stays, to a relay that refuses so many readers in those words."""
    now = house.clock.now()
    async with ScriptedRelay() as relay:
        chosen = iter(await house.db.fetch("select address from subscriber where domain <> 'example.org' order by address"))
        for reply, count in refusals.items():
            for _ in range(count):
                relay.on(Stage.RCPT, Say(reply), to=next(chosen)["address"])
        url = type(house.settings.smtp_url)(f"smtp://127.0.0.1:{relay.port}?starttls=never")
        sending = replace(house, settings=house.settings.model_copy(update={"smtp_url": url})).sending(worker="w")
        await house.campaigns.send(number, by=BY, now=now)
        await house.reporting.sample(now=now)
        while await sending.run_once():
            pass
        await house.reporting.sample(now=now + timedelta(minutes=2))
        await sending.close()
    await house.sending(worker="w").be_present()


async def _nothing() -> None:
    pass


def _layout() -> NewLayout:
    return NewLayout(
        "Monthly", "The harbour in {{ list.name }}", "", Format.MARKDOWN, "# News\n\nDear {{ name | default: 'reader' }},"
    )


async def _draft(house: House, name: str) -> int:
    picture = await house.db.fetchval("select hash || '.' || kind from image")
    body = LETTER.replace("/images/tide", f"{house.settings.base_url}/images/{picture}")
    draft = Draft("en", f"{name} at the harbour", "The old crane turns again", Format.MARKDOWN, body)
    return await house.campaigns.create(NewCampaign("letter", name, (draft,)), by=BY, now=house.clock.now())


async def _readers(house: House) -> None:
    now = house.clock.now()
    for number in range(READERS):
        form = SignupForm(f"reader{number}@example.org", ("letter",), "en", Origin("https://quay.example/", "203.0.113.9", "x"))
        await house.joining.request(form, now=now)
    while await house.joining.process_once(now=now):
        pass
    await house.db.execute("update subscription set state = 'confirmed', expires_at = null, confirmed_at = $1", now)
    await house.db.execute("delete from outbox")
    for domain, count in FURTHER.items():
        await add_readers(house, count, domain=domain)
    # A year in which it grew, with a summer in which it did not.
    await house.db.execute(
        """insert into list_day (list_id, day, asked, confirmed, unsubscribed)
           select 1, ($1::timestamptz - make_interval(months => 12 - n::integer))::date, 4, came, went
           from unnest('{13,12,14,13,9,4,3,8,14,13,12}'::integer[], '{0,1,1,2,3,7,8,2,1,1,2}'::integer[])
                with ordinality as month(came, went, n)""",
        now,
    )
