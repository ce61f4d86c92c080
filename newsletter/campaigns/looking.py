"""What a finished letter holds, read from its HTML: links, images, words. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass(frozen=True)
class Shown:
    """An image."""

    source: str
    alt: str
    width: str


@dataclass
class Look:
    """`words`: what a reader sees."""

    links: list[str] = field(default_factory=list)
    images: list[Shown] = field(default_factory=list)
    words: str = ""


def look_at(html: str) -> Look:
    """Of a document that we made ourselves."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    reader.look.words = " ".join(" ".join(reader.texts).split())
    return reader.look


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.look = Look()
        self.texts: list[str] = []
        self._hidden = ""

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag in ("style", "title"):
            self._hidden = tag
        elif tag == "a" and values.get("href"):
            self.look.links.append(values["href"])
        elif tag == "img":
            self.look.images.append(Shown(values.get("src", ""), values.get("alt", ""), values.get("width", "")))

    def handle_endtag(self, tag: str) -> None:
        if tag == self._hidden:
            self._hidden = ""

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.texts.append(data)
