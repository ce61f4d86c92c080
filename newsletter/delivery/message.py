"""A single mail: everything that it takes to make one, and `compose`.

For a mail that goes to many, with some places that differ, see `compiled`: what is made here is made by the same encoder.
"""

from __future__ import annotations

from collections.abc import Sequence

from newsletter.delivery.compiled import Composed, compile_message
from newsletter.delivery.headers import (
    DateHeader,
    Header,
    Mailbox,
    MailboxHeader,
    TextHeader,
    TokenHeader,
    UrlHeader,
    check_header_text,
)

__all__ = [
    "Composed",
    "DateHeader",
    "Header",
    "Mailbox",
    "MailboxHeader",
    "TextHeader",
    "TokenHeader",
    "UrlHeader",
    "check_header_text",
    "compose",
]


def compose(headers: Sequence[Header], *, text: str, html: str | None, boundary: str) -> Composed:
    """Make a message of `headers`, in their order, and one or two parts: the text first, then the HTML if there is one.

    A pure function of its arguments. `text` and `html` may hold any line breaks and lines of any length, and each ends with a
    line break. Raises InvalidInput as `compile_message` does.
    """
    return compile_message(headers, text=[text], html=None if html is None else [html], boundary=boundary).fill(
        (), {}, digest=True
    )
