"""A house in which there is something of everything, for tests that look at every page."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from PIL import Image

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

BY = "Ada"
READERS = 30


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
    Image.linear_gradient("L").resize((1600, 800)).convert("RGB").save(picture, "PNG")
    await house.images.add("tide.png", picture.getvalue(), "The tide at the slip", by=BY, now=now)
    await house.layouts.create(_layout(), by=BY, now=now)
    numbers = [await _draft(house, name) for name in ("December", "Later", "November", "Stopped")]
    await house.scheduling.schedule(numbers[1], f"{now.year + (now.month == 12)}-12-31T10:00", by=BY, now=now)
    await house.campaigns.send(numbers[2], by=BY, now=now)
    sending = house.sending(worker="w")
    while await sending.run_once():
        pass
    await sending.close()
    await house.campaigns.send(numbers[3], by=BY, now=now)
    await house.campaigns.pause(numbers[3], by=BY, now=now)
    await house.reporting.make_due(now=now, before_each=_nothing)
    helper = Subprocessor("Post Ltd", "Delivers our letters", "Norway", "Contract under Art. 28 GDPR", ["smtp.post.example"])
    await house.subprocessors.add(helper, by=BY, now=now)
    await house.policy.publish(notify=False, no_notice=None, by=BY, now=now)
    await house.register.add("access", "letter", note="file 12/2026", by=BY, now=now)
    await house.suppressing.add("left@example.org", Reason.LEFT, slug=None, by=BY, now=now)


async def _nothing() -> None:
    pass


def _layout() -> NewLayout:
    return NewLayout(
        "Monthly", "The harbour in {{ list.name }}", "", Format.MARKDOWN, "# News\n\nDear {{ name | default: 'reader' }},"
    )


async def _draft(house: House, name: str) -> int:
    draft = Draft("en", f"{name} at the harbour", "", Format.MARKDOWN, "Dear {{ name }},\n\n**see you** at the slip.")
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
    # A year in which it grew, with a summer in which it did not.
    await house.db.execute(
        """insert into list_day (list_id, day, asked, confirmed, unsubscribed)
           select 1, ($1::timestamptz - make_interval(months => 12 - n::integer))::date, 4, came, went
           from unnest('{3,2,4,3,2,1,1,2,4,3,2}'::integer[], '{0,0,1,0,1,2,2,1,0,1,0}'::integer[])
                with ordinality as month(came, went, n)""",
        now,
    )
