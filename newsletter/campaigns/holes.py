"""Where a letter has a hole for readers who have given no name. Pure.

Each place for a name is worked out alone, for a reader with a name and for one without; the conditions around it decide whether
whoever has no name comes past it at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from newsletter.campaigns.content import Draft
from newsletter.campaigns.merge import FIELDS, TEXT, Parts, Piece, nested, split

_SHORTEST = "\ue000"
"""A name that no filter cuts or changes, of a character for private use."""


@dataclass(frozen=True)
class Hole:
    """`where`: subject, preheader or body."""

    source: str
    where: str
    line: int

    def __str__(self) -> str:
        return (
            f"{self.source}, in line {self.line} of the body" if self.where == "body" else f"{self.source}, in the {self.where}"
        )


def holes(draft: Draft, constants: Mapping[str, str]) -> Sequence[Hole]:
    """In the order of the letter. `constants`: the merge fields that are the same for all. Raises `InvalidContent`."""
    texts = {"subject": draft.subject, "preheader": draft.preheader, "body": draft.body}
    values = dict.fromkeys(FIELDS, "x") | dict(constants) | {"name": ""}
    return [
        Hole(piece.source, where, piece.line)
        for where, text in texts.items()
        for piece in _reached(split(text, where=where), values)
    ]


def _reached(parts: Parts, values: Mapping[str, str]) -> Iterator[Piece]:
    """The pieces that leave a hole, as far as the conditions around them let these values come to them."""
    pieces = [part for part in parts if isinstance(part, Piece)]
    marked = [each.source if each.tag else f"[{at}]" if _is_hole(each, values) else "" for at, each in enumerate(pieces)]
    if "".join(marked):
        for at in re.findall(r"\[(\d+)\]", TEXT.from_string("".join(marked)).render(**nested(values))):
            yield pieces[int(at)]


def _is_hole(piece: Piece, values: Mapping[str, str]) -> bool:
    """Whether nothing comes of it without a name, or just what is around the name; inside an address nobody sees it."""
    if piece.tag or "name" not in piece.fields or piece.is_url_encoded:
        return False
    template = TEXT.from_string(piece.source)
    without = template.render(**nested(values))
    named = template.render(**nested({**values, "name": _SHORTEST}))
    return not without.strip() or (without != named and without == named.replace(_SHORTEST, ""))
