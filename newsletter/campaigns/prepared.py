"""Texts with merge fields, made ready once and filled in for each reader.

Every piece of Liquid is replaced by a stand-in of plain letters (`StandIns`) while Markdown, the sanitiser and the frame do
their work, so that none of them can damage it and no reader's name is ever taken for their language. When the surroundings
are finished the pieces come back, and the whole is prepared (`prepare`): what is the same for all becomes text, what a reader
brings becomes a field, and only conditions and filters are left to Liquid. Filling in is one join.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from liquid import BoundTemplate, RenderContext
from liquid.ast import Node
from liquid.builtin import content, output
from liquid.builtin.expressions import Path
from liquid.exceptions import LiquidError

from newsletter.campaigns.merge import HTML, MAX_OUTPUT, READER_FIELDS, TEXT, Parts, Piece, expressions_of, nested
from newsletter.core.errors import InvalidContent

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class StandIns:
    """Words of plain letters and digits, one for each piece of Liquid, that Markdown and HTML leave alone.

    They hold a digest of what they stand in, so that nothing which was written can pose as one. Where HTML is made, the
    stand-in of a tag is in a comment, since a comment may stand where text may not, such as between the rows of a table.
    """

    def __init__(self, salt: str) -> None:
        mark = "lq" + hashlib.sha256(salt.encode()).hexdigest()[:12]
        self.pattern = re.compile(rf"{mark}[ot][0-9]+z")
        self.tag_pattern = re.compile(rf"{mark}t[0-9]+z")
        self.pieces: dict[str, Piece] = {}
        self._mark = mark
        self._anywhere = re.compile(rf"<!--({mark}t[0-9]+z)-->|({mark}[ot][0-9]+z)")

    def add(self, piece: Piece) -> str:
        """A new stand-in, for `piece`."""
        word = f"{self._mark}{'t' if piece.tag else 'o'}{len(self.pieces)}z"
        self.pieces[word] = piece
        return word

    def protect(self, parts: Parts) -> str:
        """The source with a stand-in for every piece."""
        return "".join(part if isinstance(part, str) else self.add(part) for part in parts)

    def restore(self, protected: str, literal: Callable[[str], str]) -> str:
        """Liquid source: the pieces in their places, and what lies between them through `literal`."""
        out: list[str] = []
        position = 0
        for found in self._anywhere.finditer(protected):
            out += (literal(protected[position : found.start()]), self.pieces[found[1] or found[2]].source)
            position = found.end()
        return "".join((*out, literal(protected[position:])))

    def columns(self, text: str) -> int:
        """How wide `text` will be for most readers: a tag has no width, a link is long, a name is a dozen letters."""
        words: list[str] = self.pattern.findall(text)
        return len(text) + sum(self.pieces[word].columns - len(word) for word in words)


def literal_html(markup: str) -> str:
    """HTML as Liquid source that gives the same HTML: no brace of it can be taken for Liquid."""
    return markup.replace("{", "&#123;")


def literal_text(text: str) -> str:
    """Text as Liquid source that gives the same text."""
    return text.replace("{", '{{ "{" }}')


# Filling in.


@dataclass(frozen=True, slots=True)
class Field:
    """A place for a reader's value as it is, one of READER_FIELDS."""

    name: str


@dataclass(frozen=True, slots=True)
class Logic:
    """A place for what Liquid makes of a reader's values: a condition, or a filter."""

    node: Node
    fields: frozenset[str]


Part = str | Field | Logic


@dataclass(frozen=True, slots=True)
class Prepared:
    """A text with its places. All that is the same for every reader is in the texts between them."""

    parts: tuple[Part, ...]
    is_html: bool
    template: BoundTemplate
    constants: Mapping[str, str]

    @property
    def fields(self) -> frozenset[str]:
        """The reader's fields that it needs."""
        own = {part.name for part in self.parts if isinstance(part, Field)}
        return frozenset(own.union(*(part.fields for part in self.parts if isinstance(part, Logic)))) & READER_FIELDS

    @property
    def has_logic(self) -> bool:
        """Whether Liquid has to run for each reader, which costs more than joining texts."""
        return any(isinstance(part, Logic) for part in self.parts)

    def fill(self, reader: Mapping[str, str]) -> str:
        """The text for a reader, whose values are by READER_FIELDS. Escaped where it is HTML.

        Raises InvalidContent when Liquid fails, or gives more than MAX_OUTPUT characters.
        """
        context = self._context(reader) if self.has_logic else None
        out = "".join(self._filled(part, reader, context) for part in self.parts)
        if len(out) > MAX_OUTPUT:
            raise InvalidContent("With its merge fields filled in this becomes too large: shorten it.", field="body")
        return out

    def _filled(self, part: Part, reader: Mapping[str, str], context: RenderContext | None) -> str:
        if isinstance(part, str):
            return part
        if isinstance(part, Field):
            return html.escape(reader[part.name]) if self.is_html else reader[part.name]
        assert context is not None
        return _rendered(part.node, context)

    def _context(self, reader: Mapping[str, str]) -> RenderContext:
        return RenderContext(self.template, globals=nested({**self.constants, **reader}))


def prepare(source: str, *, is_html: bool, constants: Mapping[str, str]) -> Prepared:
    """Prepare Liquid that `StandIns.restore` put together. `constants` are the values of all fields but READER_FIELDS.

    Raises InvalidContent when Liquid finds a fault that checking piece by piece did not.
    """
    try:
        template = (HTML if is_html else TEXT).from_string(source)
    except LiquidError as error:
        raise InvalidContent(f"The merge fields and tags do not fit together ({error.message}).", field="body") from None
    shared = RenderContext(template, globals=nested(constants))
    parts: list[Part] = []
    for node in template.nodes:
        part = _part(node, shared)
        if isinstance(part, str) and parts and isinstance(parts[-1], str):
            parts[-1] += part
        elif part != "":
            parts.append(part)
    return Prepared(tuple(parts), is_html, template, constants)


def _part(node: Node, shared: RenderContext) -> Part:
    if isinstance(node, content.ContentNode):
        return node.text
    fields = frozenset(str(e) for e in expressions_of(node) if isinstance(e, Path))
    if not fields & READER_FIELDS:
        return _rendered(node, shared)
    if isinstance(node, output.OutputNode) and str(node.expression) in fields:
        return Field(str(node.expression))
    return Logic(node, fields)


def _rendered(node: Node, context: RenderContext) -> str:
    buffer = context.get_buffer()
    try:
        node.render(context, buffer)
    except LiquidError as error:
        raise InvalidContent(f"A merge field cannot be filled in ({error.message}): correct it.", field="body") from None
    return buffer.getvalue()


def printable(value: str) -> str:
    """`value` with a blank for each control character and half of a character, so that no reader's name can break a mail."""
    return _UNPRINTABLE.sub(" ", value).strip()
