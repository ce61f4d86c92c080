"""Texts with merge fields, made ready once and filled in for each reader.

Every piece of Liquid is replaced by a stand-in of plain letters (`StandIns`) while Markdown, the sanitiser and the frame do
their work, so that none of them can damage it and no reader's name is ever taken for their language. When the surroundings
are finished the pieces come back, and the whole is prepared (`prepare`): what is the same for all becomes text, what a reader
brings becomes a slot, and only conditions and filters are left to Liquid. The rest is `delivery.compiled`'s.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from liquid import BoundTemplate, RenderContext
from liquid.ast import Node
from liquid.builtin import content as nodes
from liquid.builtin import output
from liquid.builtin.expressions import Path
from liquid.exceptions import LiquidError

from newsletter.campaigns.merge import HTML, MAX_OUTPUT, READER_FIELDS, TEXT, Parts, Piece, expressions_of, nested
from newsletter.core.errors import InvalidContent
from newsletter.delivery.compiled import Content, Slot

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
class Passage:
    """Parts that are worked out for each reader, as one value: logic, and what stands around it in plain text.

    In plain text a line that comes out empty takes its empty line with it: three line breaks or more become two, and there are
    none where the text opens. What a passage begins and ends at is no line break, whoever the reader is.
    """

    parts: tuple[Part, ...]
    is_text: bool = False
    opens: bool = False

    def text(self, values: Mapping[str, str], context: RenderContext) -> str:
        whole = "".join(_filled(part, values, context) for part in self.parts)
        if not self.is_text:
            return whole
        return _collapsed(whole).lstrip("\n") if self.opens else _collapsed(whole)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A text with its places. All that is the same for every reader is in the texts between them.

    A slot has the name of its field, in HTML with `html.` before it, since values are escaped there; or that of a passage.
    """

    content: Content
    passages: Mapping[str, Passage]
    fields: frozenset[str]
    """The reader's fields that it needs."""
    slots: tuple[str, ...]
    most: int
    """Characters that a value may have in each of its places before the whole gets more than MAX_OUTPUT."""
    constants: Mapping[str, str]
    """The fields that are the same for all, by name."""
    _size: int
    _template: BoundTemplate

    @property
    def has_logic(self) -> bool:
        """Whether Liquid has to run for each reader, which costs more than joining texts."""
        return any(isinstance(part, Logic) for passage in self.passages.values() for part in passage.parts)

    def work_out(self, reader: Mapping[str, str], values: dict[str, str]) -> None:
        """Add the texts of the passages for a reader, whose values are by READER_FIELDS, to the values of the slots.

        Raises InvalidContent when Liquid fails, or the whole gets more than MAX_OUTPUT characters.
        """
        if self.passages:
            context = RenderContext(self._template, globals=nested({**self.constants, **reader}))
            for slot, passage in self.passages.items():
                values[slot] = passage.text(reader, context)
        if self._size + sum([len(values[slot]) for slot in self.slots]) > MAX_OUTPUT:
            raise InvalidContent("With its merge fields filled in this becomes too large: shorten it.", field="body")

    def joined(self, values: Mapping[str, str]) -> str:
        """The text of a reader with these values, as it is sent."""
        return "".join([piece if isinstance(piece, str) else values[piece.name] for piece in self.content])


def prepare(source: str, *, where: Literal["subject", "text", "html"], constants: Mapping[str, str]) -> Prepared:
    """Prepare Liquid that `StandIns.restore` put together. `constants` are the values of all fields but READER_FIELDS.

    Raises InvalidContent when Liquid finds a fault that checking piece by piece did not.
    """
    try:
        template = (HTML if where == "html" else TEXT).from_string(source)
    except LiquidError as error:
        raise InvalidContent(f"The merge fields and tags do not fit together ({error.message}).", field="body") from None
    parts = _merged(_parts(template, constants))
    content: list[str | Slot] = []
    passages: dict[str, Passage] = {}
    for part in _tidied(parts) if where == "text" else map(_alone, parts):
        match part:
            case str():
                content.append(part)
            case Field(name):
                content.append(Slot(f"html.{name}" if where == "html" else name))
            case Passage():
                slot = f"{where} {len(passages)}"
                passages[slot] = part
                content.append(Slot(slot))
    size = sum(len(piece) for piece in content if isinstance(piece, str))
    slots = tuple(piece.name for piece in content if isinstance(piece, Slot))
    return Prepared(
        content=tuple(content),
        passages=passages,
        fields=frozenset().union(*map(_fields, parts)) & READER_FIELDS,
        slots=slots,
        most=(MAX_OUTPUT - size) // max(1, len(slots)),
        _size=size,
        _template=template,
        constants=constants,
    )


def _parts(template: BoundTemplate, constants: Mapping[str, str]) -> Iterator[Part]:
    shared = RenderContext(template, globals=nested(constants))
    for node in template.nodes:
        fields = frozenset(str(e) for e in expressions_of(node) if isinstance(e, Path))
        if isinstance(node, nodes.ContentNode):
            yield node.text
        elif not fields & READER_FIELDS:
            yield _rendered(node, shared)
        elif isinstance(node, output.OutputNode) and str(node.expression) in fields:
            yield Field(str(node.expression))
        else:
            yield Logic(node, fields)


def _merged(parts: Iterable[Part]) -> list[Part]:
    """With one text, and none that is empty, between two places."""
    merged: list[Part] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        elif part != "":
            merged.append(part)
    return merged


def _fields(part: Part) -> frozenset[str]:
    return frozenset() if isinstance(part, str) else frozenset({part.name}) if isinstance(part, Field) else part.fields


def _alone(part: Part) -> str | Field | Passage:
    return Passage((part,)) if isinstance(part, Logic) else part


def _filled(part: Part, values: Mapping[str, str], context: RenderContext) -> str:
    if isinstance(part, str):
        return part
    return values[part.name] if isinstance(part, Field) else _rendered(part.node, context)


def _rendered(node: Node, context: RenderContext) -> str:
    buffer = context.get_buffer()
    try:
        node.render(context, buffer)
    except LiquidError as error:
        raise InvalidContent(f"A merge field cannot be filled in ({error.message}): correct it.", field="body") from None
    return buffer.getvalue()


# Empty lines of plain text.


_NAME = Field("name")


def _collapsed(text: str) -> str:
    return re.sub(r"\n{3,}", "\n\n", text) if "\n\n\n" in text else text


def _tidied(parts: Iterable[Part]) -> Iterator[str | Field | Passage]:
    """A plain text without needless empty lines: settled here as far as it is the same for all readers.

    Every text is cut into line breaks, words (which begin and end with something else) and line breaks: empty lines can only
    come about between the words of one text and those of the next.
    """
    between: list[Part] = []
    opens = True
    for part in parts:
        words = part.strip("\n") if isinstance(part, str) else ""
        if not isinstance(part, str) or not words:
            between.append(part)
            continue
        before, _, after = part.partition(words)
        yield from _between([*between, before], opens=opens)
        yield _collapsed(words)
        between, opens = [after], False
    yield from _between(between, opens=opens)


def _between(parts: Iterable[Part], *, opens: bool) -> Iterator[str | Field | Passage]:
    parts = _merged(parts)
    if any(isinstance(part, Logic) for part in parts) or _may_leave_an_empty_line(parts, opens=opens):
        yield Passage(tuple(parts), is_text=True, opens=opens)
        return
    for index, part in enumerate(parts):
        if isinstance(part, str):
            yield "" if opens and index == 0 else _collapsed(part)
        elif isinstance(part, Field):
            yield part


def _may_leave_an_empty_line(parts: Sequence[Part], *, opens: bool) -> bool:
    """Whether only names stand between two line breaks: of the fields they alone may be empty."""
    begun = opens
    for index, part in enumerate(parts):
        if isinstance(part, str) and begun and index > 0:
            return True
        begun = isinstance(part, str) or (begun and part == _NAME)
    return False


def printable(value: str) -> str:
    """`value` with a blank for each control character and half of a character, so that no reader's name can break a mail."""
    if value.isascii() and value.isprintable():
        return value.strip()
    return _UNPRINTABLE.sub(" ", value).strip()
