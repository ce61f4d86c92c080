"""What the address of an image of ours says about it: `…/images/{hash}.jpg?{width}x{height}`. Nobody has to look it up."""

from __future__ import annotations

import re

COLUMN = 544
"""Pixels that a letter has for its content (`templates/mail/campaign.html`)."""
_OURS = re.compile(r"https?://[^\s/]+(?:/[^\s?#]*)?/images/([0-9a-f]{32})\.(?:jpg|png)(?:\?(\d{1,4})x(\d{1,4}))?")


def displayed(width: int, height: int) -> tuple[int, int]:
    """As it is shown: no wider than a letter. Outlook knows no `max-width`, and goes by the attribute."""
    if width <= COLUMN:
        return width, height
    return COLUMN, max(1, round(height * COLUMN / width))


def hash_in(address: str) -> str | None:
    """Of the image that an address names, if it is one of this form."""
    found = _OURS.fullmatch(address)
    return found[1] if found else None


def size_in(address: str) -> tuple[int, int] | None:
    """Width and height to show it with, where the address says them."""
    found = _OURS.fullmatch(address)
    if found is None or not found[2] or not int(found[2]) or not int(found[3]):
        return None
    return displayed(int(found[2]), int(found[3]))
