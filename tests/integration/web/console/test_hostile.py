"""Whatever an operator types, into whichever field: it reaches no page, no header and no address as anything but text."""

from __future__ import annotations

import re

from newsletter.app import House
from tests.console_walk import addresses
from tests.full_house import furnish
from tests.integration.web.console.conftest import Hire, Operator
from tests.integration.web.console.forms import Form, forms_of

TEXTS = (
    "\"'><x-evil onclick=alert(1)></x-evil></textarea></script><script>alert(1)</script><!--",
    "evil\r\nBcc: victim@evil.example\r\n\r\n<x-evil>",
    "'); drop table list; -- <x-evil>",
    "{{ 7 * 7 }}{% raw %}<x-evil>{{ ''.__class__ }}",
    "\0\u202e\ufffd<x-evil>",
    '=HYPERLINK("https://evil.example") <x-evil>',
    "/../../..//evil.example/<x-evil>",
)
_RAW = re.compile(r"<x-evil|<script>alert", re.IGNORECASE)


LEFT_ALONE = re.compile(r"/console/(sign-out|sign-in.*|operators/1/let-go|doctor|relays)")
"""What ends the session that everything is tried with, or goes out to the network and takes no text."""


async def readable(who: Operator) -> list[str]:
    """Pages that are there."""
    known = await addresses(who.house)
    return [each.path for each in known if not each.route.endswith(("/events", "/preview", "(further)"))]


async def test_what_is_typed_into_any_field_is_never_more_than_text(hire: Hire, house: House) -> None:
    await furnish(house)
    owner = await hire("owner", "Ada")
    tried: set[tuple[str, str]] = set()
    for path in await readable(owner):
        answer = await owner.get(path)
        if answer.content_type != "text/html":
            continue
        for form in forms_of(path, await answer.text()):
            target = form.action.partition("?")[0]
            if LEFT_ALONE.fullmatch(target) or (form.method, form.action) in tried:
                continue
            tried.add((form.method, form.action))
            for text in TEXTS:
                await attack(owner, form, form.together(text), path)
            for fields in form.filled(TEXTS[0]):
                await attack(owner, form, fields, path)
    assert len(tried) > 30
    for path in await readable(owner):
        answer = await owner.get(path)
        if answer.content_type == "text/html":
            assert not _RAW.search(await answer.text()), path
    assert await house.db.fetchval("select count(*) from list") >= 1


async def attack(who: Operator, form: Form, fields: dict[str, str], path: str) -> None:
    if form.method == "post":
        answer = await who.post(form.action, fields)
    else:
        answer = await who.get(form.action.partition("?")[0], params=fields)
    said = await answer.text()
    assert answer.status < 500, (path, form.action, fields)
    assert answer.content_type != "text/html" or not _RAW.search(said), (path, form.action, fields)
    assert "evil.example" not in answer.headers.get("Location", "").partition("?")[0], (path, form.action)
