"""Whatever an operator types, into whichever field: it reaches no page, no header and no address as anything but text."""

from __future__ import annotations

import re

from tests.integration.web.console.conftest import Operator
from tests.integration.web.console.forms import forms_of
from tests.integration.web.console.places import LEFT_ALONE, readable_pages

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


async def test_what_is_typed_into_any_field_is_never_more_than_text(owner: Operator) -> None:
    tried = 0
    for path in await readable_pages(owner):
        page = await owner.get(path)
        for form in forms_of(path, await page.text()):
            if form.action.partition("?")[0] in LEFT_ALONE:
                continue
            for text in TEXTS:
                for fields in form.filled(text):
                    if form.method == "post":
                        answer = await owner.post(form.action, fields)
                    else:
                        answer = await owner.get(form.action.partition("?")[0], params=fields)
                    tried += 1
                    said = await answer.text()
                    assert answer.status < 500, (path, form.action, fields)
                    assert not _RAW.search(said), (path, form.action, fields)
                    assert "evil.example" not in answer.headers.get("Location", "").partition("?")[0], (path, form.action)
    assert tried > 20
    for path in await readable_pages(owner):
        assert not _RAW.search(await (await owner.get(path)).text()), path
    lists = await owner.house.db.fetchval("select count(*) from list")
    assert lists >= 2
