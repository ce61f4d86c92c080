"""HTML as plain text that reads well by itself: the text part of a mail, made from the same content as its HTML part.

Every block ends with its own line break, and an empty line where one belongs: so a condition that drops a block leaves no hole.
Lines are wrapped at 72 columns (RFC 3676 asks for 78 at most, and quoting adds some); a URL is never broken.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html.parser import HTMLParser

from newsletter.campaigns.merge import ENDERS, OPENERS
from newsletter.campaigns.prepared import StandIns

WIDTH = 72

_BLOCKS = frozenset(
    re.findall(
        r"\w+",
        "p div section center blockquote figure figcaption ul ol li dl dt dd table caption thead tbody tfoot tr pre hr"
        " h1 h2 h3 h4 h5 h6",
    )
)
_TIGHT = frozenset(("li", "tr", "dt"))
"""Blocks after which no empty line follows."""
_URL_BEGIN, _URL_END = "\x01", "\x02"
_BREAK = "\x03"
_OURS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def wrap(text: str, stand_ins: StandIns, *, width: int = WIDTH) -> list[str]:
    """The lines of one paragraph, broken at blanks alone; a word wider than `width` has a line of its own."""
    lines: list[str] = []
    used = width
    for word in text.split():
        columns = stand_ins.columns(word)
        if lines and used + 1 + columns <= width:
            lines[-1] += f" {word}"
            used += 1 + columns
        else:
            lines.append(word)
            used = columns
    return lines


def to_text(markup: str, stand_ins: StandIns) -> str:
    """`markup`, as `markup.finished` gives it, as text with stand-ins. Empty, or ending with an empty line."""
    writer = _Writer(stand_ins)
    writer.feed(markup)
    writer.close()
    return writer.text()


class _Writer(HTMLParser):
    """Collects a run of inline text, and writes it as a block wherever one begins or ends."""

    def __init__(self, stand_ins: StandIns) -> None:
        super().__init__(convert_charrefs=True)
        self._stand_ins = stand_ins
        self._out: list[str] = []
        self._run: list[str] = []
        self._indents: list[tuple[str, str, str]] = []
        self._counters: list[int | None] = []
        self._links: list[tuple[str, int]] = []
        self._layouts: list[bool] = []
        self._heading = ""
        self._pre = False
        self._tight = False

    def text(self) -> str:
        """What was written so far."""
        self._flush("")
        return "".join(self._out) + ("\n" if self._tight else "")

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag in _BLOCKS:
            self._flush("li" if self._indents and tag in ("ul", "ol") else "")
            self._begin(tag, attributes)
        elif tag in ("td", "th"):
            self._cell()
        elif tag == "br":
            self._run.append("\n" if self._pre else _BREAK)
        elif tag == "a":
            self._links.append((attributes.get("href", ""), len(self._run)))
        elif tag == "img":
            self.handle_data(f" {attributes.get('alt', '')} ")

    def _begin(self, tag: str, attributes: dict[str, str]) -> None:
        if tag in ("ul", "ol"):
            start = attributes.get("start", "1")
            self._counters.append(None if tag == "ul" else int(start) if start.isdecimal() and len(start) < 6 else 1)
        elif tag == "li":
            marker = self._marker()
            self._indents.append((tag, marker, " " * len(marker)))
        elif tag == "blockquote":
            self._indents.append((tag, "> ", "> "))
        elif tag == "table":
            self._layouts.append(attributes.get("role") == "presentation")
        elif tag == "hr":
            self._write(["* * *"], "hr")
        elif tag == "pre":
            self._pre = True
        elif tag[0] == "h":
            self._heading = tag

    def _marker(self) -> str:
        if not self._counters or self._counters[-1] is None:
            return "- "
        self._counters[-1] += 1
        return f"{self._counters[-1] - 1}. "

    def _cell(self) -> None:
        """Cells of one row share a line, unless a table is there for layout alone."""
        if self._is_layout():
            self._flush("td")
        elif self._visible(self._run):
            self._run.append(" | ")

    def _is_layout(self) -> bool:
        return bool(self._layouts) and self._layouts[-1]

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._links:
            self._end_link(*self._links.pop())
        elif tag in _BLOCKS and tag != "hr":
            self._flush("td" if tag == "tr" and self._is_layout() else tag)
            self._end(tag)

    def _end(self, tag: str) -> None:
        if tag in ("ul", "ol", "table", "dl"):
            if self._tight and not any(kind == "li" for kind, _, _ in self._indents):
                self._out.append("\n")
                self._tight = False
            if tag == "table":
                self._layouts.pop()
            elif tag != "dl":
                self._counters.pop()
        elif tag in ("li", "blockquote") and self._indents:
            self._indents.pop()
        elif tag == "pre":
            self._pre = False
        elif tag[0] == "h":
            self._heading = ""

    def _end_link(self, href: str, start: int) -> None:
        url = href.removeprefix("mailto:")
        label = "".join(self._run[start:]).strip()
        if url and label != url:
            self._run.append(f"{_URL_BEGIN}{url}{_URL_END}" if label else f"{url} ")

    def handle_comment(self, data: str) -> None:
        self._run.append(data)

    def handle_data(self, data: str) -> None:
        data = _OURS.sub("", data)
        if self._pre:
            self._run.append(data)
            return
        if self._heading == "h1":
            data = self._capitals(data)
        self._run.append(re.sub(r"[ \t\n\r\f]+", " ", data))

    def _capitals(self, data: str) -> str:
        """Capitals for what was written, not for what a reader brings."""
        words = self._stand_ins.pattern.findall(data)
        texts = [text.upper() for text in self._stand_ins.pattern.split(data)]
        return "".join(text + word for text, word in zip(texts, [*words, ""], strict=True))

    # Writing a block.

    def _flush(self, tag: str) -> None:
        """Write the run as a block that ends as `tag` does. Tags whose block goes beyond the run stay outside of its lines."""
        run, self._run = self._run, []
        before, run, after = self._parted(run)
        self._out += before
        if self._visible(run):
            content = _linked("".join(run))
            if self._pre:
                lines = [f"    {line}".rstrip() for line in content.strip("\n").split("\n")]
            else:
                room = WIDTH - sum(len(rest) for _, _, rest in self._indents)
                lines = [line for part in content.split(_BREAK) for line in wrap(part, self._stand_ins, width=room)]
            if self._heading == "h2":
                lines.append("-" * max(map(self._stand_ins.columns, lines)))
            self._write(lines, tag)
        self._out += after

    def _write(self, lines: Sequence[str], tag: str) -> None:
        for line in lines:
            first = "".join(marker for _, marker, _ in self._indents)
            self._indents = [(kind, rest, rest) for kind, _, rest in self._indents]
            self._out.append(f"{first}{line}\n")
        self._tight = tag in _TIGHT
        if not self._tight:
            self._out.append("\n")

    def _visible(self, run: Sequence[str]) -> bool:
        return bool(self._stand_ins.tag_pattern.sub("", "".join(run)).replace(_BREAK, "").strip())

    def _parted(self, run: list[str]) -> tuple[list[str], list[str], list[str]]:
        """The run without the tags at either end that belong to a block begun before it, or ended after it."""
        lone = self._lone(run)
        start, end = 0, len(run)
        while start < end and (start in lone or not run[start].strip()):
            start += 1
        while end > start and (end - 1 in lone or not run[end - 1].strip()):
            end -= 1
        return [run[i] for i in range(start) if i in lone], run[start:end], [run[i] for i in range(end, len(run)) if i in lone]

    def _lone(self, run: Sequence[str]) -> set[int]:
        """Where in `run` stand tags whose block does not begin and end in it."""
        lone: set[int] = set()
        begun: list[list[int]] = []
        for index, word in enumerate(run):
            piece = self._stand_ins.pieces.get(word)
            if piece is None or not piece.tag:
                continue
            if piece.tag in OPENERS:
                begun.append([index])
            elif not begun:
                lone.add(index)
            elif piece.tag in ENDERS:
                begun.pop()
            else:
                begun[-1].append(index)
        return lone.union(*begun)


def _linked(content: str) -> str:
    """Links as `text: URL` at the end of a block, and within a sentence as `text <URL>` (RFC 3986, appendix C).

    By hand, since an expression that looks for blanks on both sides of a link takes cubic time on a long run of them.
    """
    head, *parts = content.split(_URL_BEGIN)
    out = [head]
    for place, part in enumerate(parts, start=1):
        url, _, after = part.partition(_URL_END)
        behind = after.lstrip()
        if behind.startswith(_BREAK) or (not behind and place == len(parts)):
            out[-1] = out[-1].rstrip().removesuffix(":").rstrip()
            out += [f": {url}", after]
        else:
            out += [f" <{url}>", after]
    return "".join(out)
