"""Merge fields: the Liquid that operators may write, cut out of its source and checked piece by piece, each with its line.

The language is small on purpose. No tag loads a file or repeats anything, no filter multiplies its input, and a piece is short:
so the work is at most proportional to what was written, and Liquid's own limits are only a second fence.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TextIO

from liquid import BoundTemplate, Environment, RenderContext, StrictUndefined
from liquid.ast import Node
from liquid.builtin import content, illegal, output
from liquid.builtin.expressions import Path
from liquid.builtin.filters import misc, string
from liquid.builtin.tags import case_tag, if_tag, unless_tag
from liquid.exceptions import LiquidError
from liquid.expression import Expression
from liquid.stringify import to_liquid_string
from liquid.undefined import Undefined

from newsletter.core.errors import InvalidContent

FIELDS = ("name", "list.name", "list.description", "sender.name", "links.unsubscribe", "links.subscribe", "links.privacy")
"""The merge fields that operators may use."""
READER_FIELDS = frozenset({"name", "links.unsubscribe", "confirmed_on"})
"""Those whose value is the reader's own; `confirmed_on` is for our frame alone."""
MAX_PIECES = 1000
"""Merge fields and tags in one text."""
MAX_PIECE = 500
"""Characters of one merge field or tag."""
MAX_OUTPUT = 2_000_000
"""Characters of one filled text, far beyond what mail programs show."""

_OPENING = re.compile(r"\{\{|\{%")
_TAG = re.compile(r"\{%-?\s*(\w*)\s*(.*?)\s*-?%\}", re.DOTALL)
_END_RAW = re.compile(r"\{%-?\s*endraw\s*-?%\}")
_END_COMMENT = re.compile(r"\{%-?\s*endcomment\s*-?%\}")
_MIDDLES = {"elsif": ("if", "unless"), "else": ("if", "unless", "case"), "when": ("case",)}
_ENDS = {"endif": "if", "endunless": "unless", "endcase": "case"}
OPENERS = frozenset(_ENDS.values())
ENDERS = frozenset(_ENDS)
_FILTERS: dict[str, Callable[..., object]] = {
    "append": string.append,
    "capitalize": string.capitalize,
    "default": misc.default,
    "downcase": string.downcase,
    "prepend": string.prepend,
    "strip": string.strip,
    "truncate": string.truncate,
    "truncatewords": string.truncatewords,
    "upcase": string.upcase,
    "url_encode": string.url_encode,
}
_REASONS = {
    "primitive expression": "a field, or a text in quotes, is missing",
    "missing expression": "the condition is missing",
    "expected word": "the name of a filter is missing after “|”",
    "expected end of expression": "there is a word or sign too many (equal is ==, a filter's value follows a colon)",
    "path segment": "the name of a field is missing",
    "expected an identifier": "the name of a field is incomplete",
}


class _Environment(Environment):
    """Liquid with the few tags and filters that a letter needs, and limits that end a runaway in milliseconds."""

    block_nesting_limit = 20
    context_depth_limit = 5
    loop_iteration_limit = 1
    local_namespace_limit = 1
    output_stream_limit = MAX_OUTPUT

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:  # noqa: ARG002
        for tag in (content.Literal, output.Output, illegal.Illegal, if_tag.IfTag, unless_tag.UnlessTag, case_tag.CaseTag):
            self.add_tag(tag)
        self.filters.update(_FILTERS)


class _EscapedNode(output.OutputNode):
    """Escapes whatever it writes. Liquid's own autoescape takes texts in quotes for HTML: a way round the sanitiser."""

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        return buffer.write(html.escape(to_liquid_string(self.expression.evaluate(context), autoescape=False)))


class _EscapedOutput(output.Output):
    node_class = _EscapedNode


TEXT = _Environment(undefined=StrictUndefined)
HTML = _Environment(undefined=StrictUndefined)
HTML.add_tag(_EscapedOutput)


class _Nothing(str):
    """An empty text that `{% if name %}` takes for absent, as everyone expects who writes it; in Liquid, "" is true."""

    __slots__ = ()


class _Optional(str):
    """A reader's value. Liquid asks `__liquid__` what to compare, and takes whatever it believes undefined for false."""

    __slots__ = ()

    def __liquid__(self) -> str:
        return str(self) or _Nothing()


Undefined.register(_Nothing)


def nested(values: Mapping[str, str]) -> dict[str, object]:
    """`{"list.name": …}` as Liquid looks it up: `{"list": {"name": …}}`."""
    tree: dict[str, object] = {}
    for path, value in values.items():
        root, _, leaf = path.partition(".")
        if leaf:
            branch = tree.setdefault(root, {})
            assert isinstance(branch, dict)
            branch[leaf] = _Optional(value)
        else:
            tree[root] = _Optional(value)
    return tree


# Reading.


@dataclass(frozen=True, slots=True)
class Piece:
    """One `{{ … }}` or `{% … %}`. `line` is 1-based; `tag` is the tag's name, empty for an output."""

    source: str
    line: int
    tag: str = ""
    fields: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def is_field(self) -> bool:
        """Whether it is a field and nothing else: `{{ links.privacy }}`."""
        return self.source.strip("{}- \t\n") in self.fields

    @property
    def is_link(self) -> bool:
        """Whether its value is a whole address of ours."""
        return self.is_field and all(path.startswith("links.") for path in self.fields)

    @property
    def is_url_encoded(self) -> bool:
        """Whether its value is fit for a place inside a URL."""
        return re.search(r"\|\s*url_encode\s*-?\}\}$", self.source) is not None

    @property
    def columns(self) -> int:
        """About how wide its value is in plain text."""
        if self.tag:
            return 0
        return 72 if any(path.startswith("links.") for path in self.fields) else 12


Parts = Sequence[str | Piece]


def split(source: str, *, where: str) -> Parts:
    """Cut `source`, which has LF line breaks, into text and Liquid; what `raw` holds is text, what `comment` holds is dropped.

    Raises InvalidContent with `where` as `field`, the line in a body, and what to write instead, for: a piece that is not
    closed or not understood, a tag, filter or merge field that there is not, a block without its end, more than MAX_PIECES.
    """
    parts: list[str | Piece] = []
    pieces: list[Piece] = []
    position = 0
    while opening := _OPENING.search(source, position):
        parts.append(source[position : opening.start()])
        piece, position = _cut(source, opening.start(), where)
        if len(pieces) == MAX_PIECES:
            raise _invalid(f"There are more than {MAX_PIECES} merge fields and tags: use fewer", piece, where)
        if piece.tag == "raw":
            ending = _ending(_END_RAW, source, position, piece, where)
            parts.append(source[position : ending.start()])
            position = ending.end()
        elif piece.tag == "comment":
            position = _ending(_END_COMMENT, source, position, piece, where).end()
        else:
            pieces.append(_checked(piece, where))
            parts.append(pieces[-1])
    parts.append(source[position:])
    parts = [part for part in parts if part]
    _check_blocks(pieces, where)
    _check_cases(parts, where)
    return parts


def _cut(source: str, start: int, where: str) -> tuple[Piece, int]:
    opening = source[start : start + 2]
    closing = "}}" if opening == "{{" else "%}"
    end = source.find(closing, start + 2, start + MAX_PIECE)
    line = source.count("\n", 0, start) + 1
    if end < 0:
        raise _invalid(
            f"“{opening}” has no “{closing}” after it (within {MAX_PIECE} characters): close it,"
            f" or write {{% raw %}} {opening} {{% endraw %}} to show the braces themselves",
            Piece(opening, line),
            where,
        )
    text = source[start : end + 2]
    tag = _TAG.fullmatch(text)
    return Piece(text, line, (tag[1] or "%") if tag else ""), end + 2


def _ending(pattern: re.Pattern[str], source: str, position: int, piece: Piece, where: str) -> re.Match[str]:
    if ending := pattern.search(source, position):
        return ending
    raise _invalid(f"“{piece.source}” has no end: write {{% end{piece.tag} %}} where it ends", piece, where)


def _invalid(message: str, piece: Piece, where: str) -> InvalidContent:
    if where == "body":
        return InvalidContent(f"{message} (line {piece.line} of the body).", field=where, line=piece.line)
    return InvalidContent(f"{message} (in the {where}).", field=where)


# Checking.


def _checked(piece: Piece, where: str) -> Piece:
    """`piece` with the fields that it uses. It is parsed and tried alone, so that each error has its line."""
    try:
        nodes = TEXT.from_string(_alone(piece, where)).nodes
        expressions = [expression for node in nodes for expression in expressions_of(node)]
        paths = [str(e) for e in expressions if isinstance(e, Path)]
        _check_names(paths, piece, where)
        for name in ("", "Jo"):
            _try(expressions, name)
    except LiquidError as error:
        reason = str(error.message)
        plain = next((ours for theirs, ours in _REASONS.items() if theirs in reason), reason)
        if re.search("[“”„‘’«»]", piece.source):
            plain = 'texts need straight quotes ("), not typographic ones'
        raise _invalid(f"“{piece.source}” cannot be understood: {plain}", piece, where) from None
    return Piece(piece.source, piece.line, piece.tag, frozenset(paths))


def _alone(piece: Piece, where: str) -> str:
    """Liquid that parses exactly what `piece` says."""
    if not piece.tag:
        return piece.source
    found = _TAG.fullmatch(piece.source)
    rest = found[2] if found else ""
    if piece.tag in ("if", "elsif", "unless"):
        return f"{{% if {rest} %}}{{% endif %}}"
    if piece.tag in ("case", "when"):
        case, when = (rest, "''") if piece.tag == "case" else ("''", rest)
        return f"{{% case {case} %}}{{% when {when} %}}{{% endcase %}}"
    if piece.tag not in _MIDDLES and piece.tag not in _ENDS:
        known = "if, elsif, else, unless, case, when, raw and comment"
        raise _invalid(f"“{piece.source}” is not a tag that can be used here. There are {known}", piece, where)
    if rest:
        remedy = "a condition follows elsif" if piece.tag == "else" else "delete it"
        raise _invalid(f"“{piece.source}” has something after “{piece.tag}” that would be ignored: {remedy}", piece, where)
    return ""


def _check_names(paths: Sequence[str], piece: Piece, where: str) -> None:
    for path in paths:
        if path not in FIELDS:
            near = get_close_matches(path.lower(), FIELDS, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise _invalid(
                f"There is no merge field “{path}”.{hint} The merge fields are {', '.join(FIELDS)}; a text needs quotes",
                piece,
                where,
            )
    for name in re.findall(r"\|\s*(\w+)", re.sub(r"\"[^\"]*\"|'[^']*'", "''", piece.source)):
        if name not in _FILTERS:
            raise _invalid(f"There is no filter “{name}”. The filters are {', '.join(_FILTERS)}", piece, where)


def _try(expressions: Sequence[Expression], name: str) -> None:
    """Evaluate every part for itself, also those that a condition would skip, so that no reader meets an error first."""
    sample = dict.fromkeys(FIELDS, "x") | {"name": name}
    context = RenderContext(BoundTemplate(TEXT, []), globals=nested(sample))
    for expression in expressions:
        expression.evaluate(context)


def _check_blocks(pieces: Sequence[Piece], where: str) -> None:
    open_blocks: list[Piece] = []
    for piece in pieces:
        if piece.tag in OPENERS:
            open_blocks.append(piece)
            if len(open_blocks) >= _Environment.block_nesting_limit:
                raise _invalid("Too many blocks are open inside one another: nest fewer", piece, where)
        elif piece.tag:
            fitting = _MIDDLES.get(piece.tag) or (_ENDS[piece.tag],)
            if not open_blocks or open_blocks[-1].tag not in fitting:
                wanted = " or ".join(f"{{% {tag} … %}}" for tag in fitting)
                raise _invalid(f"“{piece.source}” has no {wanted} before it that it belongs to", piece, where)
            if piece.tag in _ENDS:
                open_blocks.pop()
    if open_blocks:
        piece = open_blocks[-1]
        raise _invalid(f"“{piece.source}” has no end: write {{% end{piece.tag} %}} where it ends", piece, where)


def _check_cases(parts: Parts, where: str) -> None:
    """Nothing may stand between case and its first when: Liquid drops a text there, and stumbles over a tag."""
    for index, part in enumerate(parts):
        if isinstance(part, Piece) and part.tag == "case":
            following = next(later for later in parts[index + 1 :] if isinstance(later, Piece) or later.strip())
            if not isinstance(following, Piece) or following.tag not in ("when", "else", "endcase"):
                raise _invalid(f"What stands between “{part.source}” and its “when” is never shown: delete it", part, where)


def expressions_of(node: Node) -> Iterator[Expression]:
    context = RenderContext(BoundTemplate(TEXT, []))
    for expression in node.expressions():
        yield from _deep(expression)
    for child in node.children(context):
        yield from expressions_of(child)


def _deep(expression: Expression) -> Iterator[Expression]:
    yield expression
    for child in expression.children():
        yield from _deep(child)
