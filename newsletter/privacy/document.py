"""A document as sections: made once in a language, shown by a template as a page, and as Markdown to store, compare and mail.

Pure. What a person typed stands in it as it was typed; it is escaped where it is rendered.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from markdown_it import MarkdownIt

WIDTH = 78
"""Columns of a line as it is printed; a comparison puts one more before it."""

_SPECIAL = re.compile(r"[\\`*_\[\]<>|]|&(?=#|\w+;)")
_MARK_AT_START = re.compile(r"^[#+\-=~]")
_NUMBER_AT_START = re.compile(r"^\d+(?=[.)])")
_HEADING = "## "
_reader = MarkdownIt("commonmark", {"html": False}).disable("image")


@dataclass(frozen=True, slots=True)
class Link:
    """`target` begins with a slash for a page of ours, else it is whole, with its scheme."""

    words: str
    target: str

    @property
    def is_own(self) -> bool:
        return self.target.startswith("/")


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence or more, and where it leads on to."""

    words: str
    link: Link | None = None


@dataclass(frozen=True, slots=True)
class Paragraph:
    kind: ClassVar[str] = "paragraph"
    line: Line


@dataclass(frozen=True, slots=True)
class Items:
    kind: ClassVar[str] = "items"
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """Terms with what they are, such as a name with its addresses; with a heading of their own or none."""

    kind: ClassVar[str] = "facts"
    rows: tuple[tuple[str, Line], ...]
    heading: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Each row begins with what it is about."""

    kind: ClassVar[str] = "table"
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


Block = Paragraph | Items | Facts | Table


@dataclass(frozen=True, slots=True)
class Section:
    """`key` is its address on the page, the same in every language."""

    key: str
    heading: str
    blocks: tuple[Block, ...]


def paragraph(words: str, link: Link | None = None) -> Paragraph:
    return Paragraph(Line(words, link))


def items(*lines: str | Line) -> Items:
    return Items(tuple(Line(each) if isinstance(each, str) else each for each in lines))


def to_markdown(sections: Iterable[Section], *, base_url: str) -> str:
    """CommonMark, a paragraph or an item to a line, so that a comparison shows sentences. Links to our pages become whole."""
    parts: list[str] = []
    for section in sections:
        parts.append(_HEADING + _escaped(section.heading))
        parts.extend(_block(block, base_url) for block in section.blocks)
    return "\n\n".join(parts) + "\n"


def _block(block: Block, base_url: str) -> str:
    match block:
        case Paragraph(line):
            return _line(line, base_url)
        case Items(lines):
            return "\n".join(f"- {_line(each, base_url)}" for each in lines)
        case Facts(rows, heading):
            listed = "\n".join(f"- {_escaped(term)}: {_line(each, base_url)}" for term, each in rows)
            return f"### {_escaped(heading)}\n\n{listed}" if heading else listed
        case Table(headings, rows):
            return "\n".join(_row(headings, row) for row in rows)


def _row(headings: Sequence[str], row: Sequence[str]) -> str:
    """As an item, since a table in Markdown cannot be wrapped."""
    rest = "; ".join(f"{_escaped(name)}: {_escaped(cell)}" for name, cell in zip(headings[1:], row[1:], strict=True))
    return f"- **{_escaped(row[0])}**: {rest}"


def _line(line: Line, base_url: str) -> str:
    words, link = _escaped(line.words), line.link
    if link is None:
        return words
    target = (base_url + link.target) if link.is_own else link.target
    return f"{words} [{_escaped(link.words)}]({target.replace('(', '%28').replace(')', '%29')})".strip()


def _escaped(words: str) -> str:
    """On one line, and with no meaning in Markdown."""
    flat = _SPECIAL.sub(r"\\\g<0>", " ".join(words.split()))
    return _NUMBER_AT_START.sub(r"\g<0>\\", _MARK_AT_START.sub(r"\\\g<0>", flat))


def to_html(markdown: str) -> str:
    """Of a text that was stored. Markup in it is shown as it stands, and nothing is loaded."""
    rendered: str = _reader.render(markdown)
    return rendered


def wrapped(markdown: str, width: int = WIDTH) -> str:
    """The same for a terminal: a word that is longer, such as a link, stays whole."""
    return "\n".join(_wrapped(line, width) for line in markdown.splitlines()) + "\n"


def _wrapped(line: str, width: int) -> str:
    if line.startswith("#") or not line:
        return line
    return textwrap.fill(
        line,
        width,
        subsequent_indent="  " if line.startswith("- ") else "",
        break_long_words=False,
        break_on_hyphens=False,
    )


def changed_headings(before: str, now: str) -> list[str]:
    """The sections that differ between two texts in Markdown: those of `now` in their order, then those that are gone."""
    old, new = _by_heading(before), _by_heading(now)
    return [name for name in new if old.get(name) != new[name]] + [name for name in old if name not in new]


def _by_heading(markdown: str) -> dict[str, str]:
    parts = re.split(rf"^{_HEADING}(.+)$", markdown, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))
