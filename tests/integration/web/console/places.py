"""Every page of the console, with the parts of its address filled in."""

from __future__ import annotations

import re

from newsletter.web.console import PARTS
from tests.integration.web.console.conftest import Operator

FILLED = {"token": "nonsense", "number": "1"}
"""What stands in the variable parts of an address; a part that is not here has to be added."""
LEFT_ALONE = {"/console/sign-out"}
"""Ends the session that everything is tried with."""


def fill(path: str) -> str:
    def value(match: re.Match[str]) -> str:
        assert match[1] in FILLED, f"say in places.py what stands for {match[1]} in {path}"
        return FILLED[match[1]]

    return re.sub(r"\{(\w+)(?::(?:[^{}]|\{[^{}]*\})*)?\}", value, path)


def all_pages() -> list[str]:
    return [fill(each.path) for part in PARTS for each in part.guarded if each.method == "GET"]


async def readable_pages(who: Operator) -> list[str]:
    """Those that are there, for this operator, and are pages."""
    found = []
    for path in all_pages():
        answer = await who.get(path)
        if answer.status == 200 and answer.content_type == "text/html":
            found.append(path)
        answer.release()
    return found
