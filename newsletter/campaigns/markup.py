"""What an operator wrote, as HTML that may go into a mail: Markdown rendered, HTML sanitised, styles written into the tags.

Both formats end in the same place. Because a condition may drop any part of the result, each block of Liquid has to begin and
end inside one and the same element: so whatever a reader's values are, what he gets is well formed, and the frame around it,
with the way out, cannot be swallowed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html.parser import HTMLParser

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore

from newsletter.campaigns.image_address import size_in
from newsletter.campaigns.merge import ENDERS, OPENERS, Piece
from newsletter.campaigns.prepared import StandIns
from newsletter.campaigns.sanitise import VOID, sanitised
from newsletter.core.errors import InvalidContent

MAX_BRACKETS = 5000
"""Opening square brackets in Markdown: looking for the end of each costs time that grows with their number squared."""

_WHOLE_URL = re.compile(r"https?://[^\s/?#]+(?:[/?#]\S*)?|mailto:\S+", re.IGNORECASE)


def markdown_to_html(protected: str, stand_ins: StandIns) -> str:
    """CommonMark with tables, no HTML. A line of tags alone stands between blocks; a paragraph of one bold link is a button.

    Raises InvalidContent when it would take too long.
    """
    if protected.count("[") > MAX_BRACKETS:
        raise InvalidContent(f"The body holds more than {MAX_BRACKETS} opening brackets “[”: use fewer.", field="body")
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")

    def tag_line(state: StateBlock, start: int, _end: int, silent: bool) -> bool:
        line = state.src[state.bMarks[start] : state.eMarks[start]]
        words = stand_ins.tag_pattern.findall(line)
        if not words or stand_ins.tag_pattern.sub("", line).strip():
            return False
        if not silent:
            state.line = start + 1
            state.push("tag_line", "", 0).content = "".join(words)
        return True

    terminates = ["paragraph", "reference", "blockquote", "list"]
    parser.block.ruler.before("table", "tag_line", tag_line, {"alt": terminates})
    parser.core.ruler.after("inline", "buttons", _buttons)
    parser.core.ruler.after("inline", "sizes", _sizes)
    parser.add_render_rule("tag_line", lambda _self, tokens, index, _options, _env: tokens[index].content + "\n")
    return stand_ins.tag_pattern.sub(r"<!--\g<0>-->", parser.render(protected))


def _buttons(state: StateCore) -> None:
    for token in state.tokens:
        children = [child for child in token.children or () if child.type != "text" or child.content]
        kinds = [child.type for child in children]
        alone = kinds[:2] == ["strong_open", "link_open"] and kinds[-2:] == ["link_close", "strong_close"]
        if alone and kinds.count("link_open") == kinds.count("strong_open") == 1 and token.level == 1:
            children[1].attrSet("class", "button")
            token.children = children[1:-1]


def _sizes(state: StateCore) -> None:
    """Images of ours say in their address how large they are: then the text does not jump when they are loaded."""
    for image in (child for token in state.tokens for child in token.children or () if child.type == "image"):
        if size := size_in(str(image.attrs.get("src", ""))):
            image.attrSet("width", str(size[0]))
            image.attrSet("height", str(size[1]))


def mark_tags(protected: str, stand_ins: StandIns) -> str:
    """HTML as an operator wrote it, with the stand-ins of tags in comments, and all other comments gone."""
    without = re.sub(r"<!--.*?(?:-->|$)|<!\[[^<>]*>|<\?[^<>]*>", "", protected, flags=re.DOTALL)
    marked = stand_ins.tag_pattern.sub(r"<!--\g<0>-->", without)
    # A parser puts the rows of a table into a tbody: begun only after a tag, it would cross the block that the tag opens.
    return re.sub(r"(<table\b[^<>]*>)((?:\s|<!--\w+-->)+)(?=<tr\b)", r"\1<tbody>\2", marked, flags=re.IGNORECASE)


def finished(markup: str, stand_ins: StandIns, *, markdown: bool, right_to_left: bool, body: str) -> str:
    """`markup` sanitised, with its styles in the tags, and checked; `body` is what was written, to find lines in.

    Raises InvalidContent for a merge field or tag where none can be, a link that is not whole, or too much of something.
    """
    clean = sanitised(markup, tables=markdown, right_to_left=right_to_left)
    _Checker(stand_ins, body).check(clean)
    return clean


class _Checker(HTMLParser):
    """Walks HTML that nh3 wrote, where every element is closed, and looks at each stand-in and each link."""

    def __init__(self, stand_ins: StandIns, body: str) -> None:
        super().__init__(convert_charrefs=True)
        self._stand_ins = stand_ins
        self._body = body
        self._depth = 0
        self._blocks: list[tuple[Piece, int]] = []

    def check(self, markup: str) -> None:
        """Raises InvalidContent for the first thing that is wrong."""
        left = set(self._stand_ins.pattern.findall(markup))
        for word, piece in self._stand_ins.pieces.items():
            if word not in left:
                raise self._misplaced(piece)
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            self._attribute(name, value or "")
        if tag not in VOID:
            self._depth += 1

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        self._depth -= 1
        if self._blocks and self._depth < self._blocks[-1][1]:
            raise self._crossing(self._blocks[-1][0])

    def handle_comment(self, data: str) -> None:
        piece = self._stand_ins.pieces.get(data)
        if piece is None:
            raise InvalidContent("The body holds a comment that cannot be taken out: delete it.", field="body")
        if piece.tag in OPENERS:
            self._blocks.append((piece, self._depth))
        elif not self._blocks or self._blocks[-1][1] != self._depth:
            raise self._crossing(self._blocks[-1][0] if self._blocks else piece)
        if piece.tag in ENDERS:
            self._blocks.pop()

    def _attribute(self, name: str, value: str) -> None:
        pieces = [self._stand_ins.pieces[word] for word in self._stand_ins.pattern.findall(value)]
        for piece in pieces:
            if piece.tag or name not in ("href", "src", "alt", "title"):
                raise self._misplaced(piece)
        if name in ("href", "src"):
            self._url(value, pieces)

    def _url(self, value: str, pieces: Sequence[Piece]) -> None:
        """A whole address, or one of our own links; any other value of a reader or list only as part of it, encoded."""
        if len(pieces) == 1 and pieces[0].is_link and self._stand_ins.pattern.fullmatch(value):
            return
        for piece in pieces:
            if not piece.is_url_encoded:
                raise InvalidContent(
                    f"“{piece.source}” stands inside the address of a link (line {piece.line} of the body): write"
                    " {{ … | url_encode }} there, or use one of the links.… fields as the whole address.",
                    field="body",
                    line=piece.line,
                )
        host = re.split(r"[/?#]", value.partition("://")[2], maxsplit=1)[0]
        if not _WHOLE_URL.fullmatch(value) or self._stand_ins.pattern.search(host):
            shown = self._stand_ins.restore(value, str)
            raise InvalidContent(
                f"The link to “{shown}” is not a whole address: begin it with https:// and the name of the site, or mailto:.",
                field="body",
                line=_line_of(self._body, shown),
            )

    def _misplaced(self, piece: Piece) -> InvalidContent:
        return InvalidContent(
            f"“{piece.source}” stands where it cannot be filled in (line {piece.line} of the body): put it into the text, or"
            " where it is a field into the address, alt or title of a link or image. Not into a tag, comment, script or style.",
            field="body",
            line=piece.line,
        )

    def _crossing(self, piece: Piece) -> InvalidContent:
        return InvalidContent(
            f"The block that “{piece.source}” begins (line {piece.line} of the body) does not end in the element that it begins"
            " in: put its beginning, middle and end into the same paragraph, list or table cell, or each on a line of its own.",
            field="body",
            line=piece.line,
        )


def _line_of(body: str, value: str) -> int | None:
    position = body.find(value)
    return body.count("\n", 0, position) + 1 if position >= 0 else None
